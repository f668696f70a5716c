"""A batch on its way: one transaction, and the parts of it if the site refuses the whole."""

from __future__ import annotations

import concurrent.futures
from typing import TYPE_CHECKING, Any, Optional
from xmlrpc.client import ProtocolError

from shotgun_api3.shotgun import (
    AuthenticationFault,
    Fault,
    MissingTwoFactorAuthenticationFault,
    ShotgunError,
    UserCredentialsNotAllowedForOxygenAuthenticationFault,
    UserCredentialsNotAllowedForSSOAuthenticationFault,
)

from shotgun_executor.errors import outcome_unknown, same_error
from shotgun_executor.opening import Aborted
from shotgun_executor.outcome import mark_unknown
from shotgun_executor.retry import Sent, sent_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shotgun_executor.batching import Batching
    from shotgun_executor.future import Future
    from shotgun_executor.member import Member

__all__ = ["Carrier", "halves", "refuses_content"]

# These refuse who calls, not what is called.
_SIGN_IN = (
    AuthenticationFault,
    MissingTwoFactorAuthenticationFault,
    UserCredentialsNotAllowedForSSOAuthenticationFault,
    UserCredentialsNotAllowedForOxygenAuthenticationFault,
)

# What the client raises when it cannot make a request of what it was given.
_NOT_ENCODED = (TypeError, ValueError, LookupError, AttributeError, RecursionError, OverflowError)

_TOO_LARGE = 413


class Carrier:
    """Members that are sent together, by one call of the dispatch.

    Guarantees:

    * A member is sent again only if it is certain that the site did not carry out what it was
      sent in.
    * What the site refuses as a whole is sent in halves, and so on, until each request that it
      refuses has its own error, and every other one is carried out. Each request that is left
      alone is made as the single call that it stands for.
    * Members on one entity stay in their order.
    """

    def __init__(self, batching: Batching, members: list[Member]) -> None:
        self._batching = batching
        # What is to be sent, the next one last. Only the thread that runs the call changes it.
        self._pieces = [members]
        self._sending: Sequence[Member] = ()  # what the last attempt was about

    def submit(self) -> None:
        """Have a worker send it; if none can be had, its members fail."""
        members = self._pieces[0]
        label = str(members[0]) if len(members) == 1 else f"a batch of {len(members)}"
        try:
            future = self._batching.submit(self.run, label)
        except Exception as error:
            self._fail_rest(error)
            return
        self._follow(future, members)

    def cancel(self) -> None:
        """Cancel those members that nobody sends."""
        for piece in list(self._pieces):
            for member in list(piece):
                member.future.cancel()

    def _follow(self, future: Future[None], members: Sequence[Member]) -> None:
        call = future._call
        if call is not None:
            self._batching.on_their_way(members, call)
        future.add_done_callback(self._over)

    def run(self) -> None:
        """Send everything; on a worker. Raises what may pass, to be called again."""
        while self._pieces:
            piece = self._batching.claim(self._pieces[-1])
            if not piece:
                self._pieces.pop()
            elif len(piece) > 1 and not all(map(self._goes_in_batches, piece)):
                self._pieces[-1:] = [[member] for member in reversed(piece)]
            else:
                self._pieces[-1] = piece
                self._send(piece)

    def _goes_in_batches(self, member: Member) -> bool:
        return self._batching.makes_batches_of(member.method)

    def _send(self, piece: list[Member]) -> None:
        self._sending = piece
        try:
            results = self._batching.send(piece)
            if len(results) != len(piece):
                raise _wrong_count(results, piece)
        except Exception as error:
            if not self._settle(piece, error):
                raise
            del error  # it holds this frame
        else:
            self._pieces.pop()
            self._batching.end([(member, value, None) for member, value in zip(piece, results)])

    def _settle(self, piece: list[Member], error: Exception) -> bool:
        """Do what *error* calls for; False if it is about more than these members."""
        if _is_about_members(error):
            self._pieces.pop()
            if len(piece) == 1:
                self._batching.end([(piece[0], None, error)])
            else:
                self._split(piece)
            return True
        if outcome_unknown(error) and len(self._pieces) > 1 and not isinstance(error, Aborted):
            self._pieces.pop()
            self._batching.end([(member, None, same_error(error)) for member in piece])
            return True
        return False

    def _split(self, piece: list[Member]) -> None:
        first, second, independent = halves(piece)
        if independent:
            carrier = Carrier(self._batching, second)
            try:
                future = self._batching.submit(carrier.run, f"a part of a batch of {len(piece)}")
            except RuntimeError:  # no thread can be had for it: this one does it
                self._pieces.append(second)
            else:
                carrier._follow(future, second)
        else:
            self._pieces.append(second)
        self._pieces.append(first)

    def _over(self, future: concurrent.futures.Future[None]) -> None:
        """The call has ended: with everything sent, or it never will be."""
        if future.cancelled():
            self._fail_rest(None)
            return
        error = future.exception()
        if error is not None:
            self._fail_rest(error)

    def _fail_rest(self, error: Optional[BaseException]) -> None:
        """Fail what has no outcome (without an error: cancel it)."""
        pieces, self._pieces = self._pieces, []
        outcomes: list[tuple[Member, Any, Optional[BaseException]]] = []
        for piece in reversed(pieces):
            for member in piece:
                if error is None:
                    outcomes.append((member, None, concurrent.futures.CancelledError()))
                elif piece is self._sending or not outcome_unknown(error):
                    outcomes.append((member, None, _own(error, alone=len(piece) == 1)))
                else:
                    outcomes.append((member, None, _not_sent(error)))
        self._batching.end(outcomes)


def halves(piece: Sequence[Member]) -> tuple[list[Member], list[Member], bool]:
    """Two parts of *piece*, and whether they are independent: on different entities."""
    groups: dict[Any, list[Member]] = {}
    for member in piece:
        groups.setdefault(member.key, []).append(member)
    middle = len(piece) // 2
    if len(groups) == 1:
        return list(piece[:middle]), list(piece[middle:]), False
    first: list[Member] = []
    second: list[Member] = []
    for group in groups.values():
        # The first group is never alone in its half because it is large, nor is a half empty.
        (second if first and len(first) + len(group) > middle else first).extend(group)
    if not second:
        last = next(reversed(groups.values()))
        first, second = first[: -len(last)], last
    return first, second, True


def _is_about_members(error: Exception) -> bool:
    """Whether it was not carried out because of what is in it, so that a part may be."""
    nothing = not outcome_unknown(error) and sent_of(error) is Sent.NOTHING
    return nothing and refuses_content(error)


def refuses_content(error: BaseException) -> bool:
    """Whether *error* is about what was asked for, so that a part of it may be fine."""
    if isinstance(error, Fault):
        return not isinstance(error, _SIGN_IN)
    if isinstance(error, ProtocolError):
        return error.errcode == _TOO_LARGE
    if isinstance(error, OSError):  # that of a bad certificate is a ValueError as well
        return False
    return type(error) is ShotgunError or isinstance(error, _NOT_ENCODED)


def _wrong_count(results: Sequence[Any], piece: Sequence[Member]) -> ShotgunError:
    error = ShotgunError(f"the site answered {len(results)} results to {len(piece)} requests")
    mark_unknown(error, "which of them belongs to which, and what was carried out, is not known")
    error._sent = Sent.UNKNOWN  # type: ignore[attr-defined]  # read by sent_of()
    return error


def _own(error: BaseException, *, alone: bool) -> BaseException:
    """*error* for one member of several: each may be raised by a thread of its own."""
    return same_error(error) if isinstance(error, Exception) and not alone else error


def _not_sent(error: BaseException) -> ShotgunError:
    """What a member fails by that was still to be sent when an unknown outcome ended the rest."""
    failed = ShotgunError(f"it was not sent: {type(error).__name__} ended the batch before")
    failed.__cause__ = error
    return failed
