"""The parallel client for Flow Production Tracking (formerly ShotGrid, Shotgun).

``ShotgunExecutor`` has the methods of ``shotgun_api3.Shotgun`` as futures, and ``executor.shotgun``
is a ``Shotgun`` that threads may share. ``ShotgunPool`` and ``ThreadLocalShotgun`` are such clients
without an executor. A local site to try them on is in ``shotgun_executor.sandbox``.
"""

from __future__ import annotations

import logging

from shotgun_executor._version import __version__ as __version__
from shotgun_executor.completion import as_completed as as_completed
from shotgun_executor.completion import wait as wait
from shotgun_executor.environment import site_of_environment as site_of_environment
from shotgun_executor.errors import DeadlineExceeded as DeadlineExceeded
from shotgun_executor.errors import DeadlockError as DeadlockError
from shotgun_executor.errors import DependencyError as DependencyError
from shotgun_executor.errors import IncompleteError as IncompleteError
from shotgun_executor.errors import PoolTimeout as PoolTimeout
from shotgun_executor.errors import ResumeError as ResumeError
from shotgun_executor.errors import ShutdownError as ShutdownError
from shotgun_executor.errors import TooManyCalls as TooManyCalls
from shotgun_executor.errors import UploadError as UploadError
from shotgun_executor.errors import outcome_unknown as outcome_unknown
from shotgun_executor.executor import ShotgunExecutor as ShotgunExecutor
from shotgun_executor.facade import ShotgunPool as ShotgunPool
from shotgun_executor.facade import ThreadLocalShotgun as ThreadLocalShotgun
from shotgun_executor.files import upload_progress as upload_progress
from shotgun_executor.future import Future as Future
from shotgun_executor.limit import Limit as Limit
from shotgun_executor.observing import CallEvent as CallEvent
from shotgun_executor.planned import PlannedWrite as PlannedWrite
from shotgun_executor.progress import PublishProgress as PublishProgress
from shotgun_executor.report import PublishReport as PublishReport
from shotgun_executor.results import Outcome as Outcome
from shotgun_executor.retry import Retries as Retries
from shotgun_executor.stats import CallStats as CallStats
from shotgun_executor.stats import Stats as Stats
from shotgun_executor.stats import Times as Times

__all__ = [
    "CallEvent",
    "CallStats",
    "DeadlineExceeded",
    "DeadlockError",
    "DependencyError",
    "Future",
    "IncompleteError",
    "Limit",
    "Outcome",
    "PlannedWrite",
    "PoolTimeout",
    "PublishProgress",
    "PublishReport",
    "ResumeError",
    "Retries",
    "ShotgunExecutor",
    "ShotgunPool",
    "ShutdownError",
    "Stats",
    "ThreadLocalShotgun",
    "Times",
    "TooManyCalls",
    "UploadError",
    "__version__",
    "as_completed",
    "outcome_unknown",
    "site_of_environment",
    "upload_progress",
    "wait",
]

logging.getLogger("shotgun_executor").addHandler(logging.NullHandler())
