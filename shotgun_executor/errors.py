"""The errors of this package.

What ``shotgun_api3`` raises passes through unchanged: ``Fault``, ``AuthenticationFault``,
``ProtocolError`` and the rest arrive with the class that existing ``except`` clauses name. What the
executor refuses is refused as in the standard library: ``RuntimeError`` after a shutdown,
``BrokenThreadPool`` after a failed initializer. The package adds::

    shotgun_api3.ShotgunError
    ├── PoolTimeout             (also a TimeoutError) no connection came free within the limit
    ├── DependencyError         a future among the arguments of a call failed
    └── DeadlockError           (also a RuntimeError) calls wait for each other in a circle
"""

from __future__ import annotations

from typing import TypeVar

from shotgun_api3.shotgun import ShotgunError

__all__ = ["DeadlockError", "DependencyError", "PoolTimeout", "same_error"]

E = TypeVar("E", bound=Exception)


class PoolTimeout(ShotgunError, TimeoutError):  # noqa: N818 - named as psycopg's and the stdlib's
    """No connection of a bounded pool came free within the limit."""


class DependencyError(ShotgunError):
    """A call was not made, because a future among its arguments failed: ``__cause__`` says how."""


class DeadlockError(ShotgunError, RuntimeError):
    """Calls wait for each other in a circle, so none of them would ever end."""


def same_error(error: E) -> E:
    """A second exception like *error*, for another thread to raise.

    One exception object raised by several threads would collect the traceback frames of all of
    them. The constructor is not called, since some (``ProtocolError``) take other arguments than
    they keep.
    """
    twin = type(error).__new__(type(error), *error.args)
    twin.args = error.args
    twin.__dict__.update(error.__dict__)
    twin.__cause__ = error
    return twin
