"""A local site that the unmodified ``shotgun_api3`` client talks to over HTTP.

``Sandbox()`` runs one in a process of its own, for tests, measurements and demonstrations;
``python -m shotgun_executor.sandbox`` runs one in the foreground. Both need the extra:
``pip install "shotgun-executor[sandbox]"``.
"""

from __future__ import annotations

from shotgun_executor.sandbox.counters import Counters as Counters
from shotgun_executor.sandbox.process import Sandbox as Sandbox
from shotgun_executor.sandbox.record import Request as Request
from shotgun_executor.sandbox.remote import RemoteSandbox as RemoteSandbox
from shotgun_executor.sandbox.remote import SandboxError as SandboxError
from shotgun_executor.sandbox.settings import Info as Info

__all__ = ["Counters", "Info", "RemoteSandbox", "Request", "Sandbox", "SandboxError"]
