"""The parallel client for Flow Production Tracking (formerly ShotGrid, Shotgun)."""

from __future__ import annotations

from shotgun_executor._version import __version__ as __version__
