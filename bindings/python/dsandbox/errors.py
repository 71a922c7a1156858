# SPDX-License-Identifier: MIT
"""What can go wrong outside the code that is run. What the code itself did is data: see results.Result."""
from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple, Type

if TYPE_CHECKING:
    from .results import Result

__all__ = [
    "BusyError",
    "ConflictError",
    "DeniedError",
    "Error",
    "ExecutionCancelled",
    "ExecutionFailed",
    "InvalidError",
    "LimitError",
    "LostError",
    "NotFoundError",
    "ProtocolError",
    "RefusedError",
    "TimedOutError",
    "UnavailableError",
]


class Error(Exception):
    """The base of all errors of this package.

    code: the service's word for it ("not_found", "busy", …), the same words as in a result's `failure`.
    message: what happened and, where the reader can act, what to do.
    """

    code: str = "failed"

    def __init__(self, message: str, code: Optional[str] = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code

    def __reduce__(self) -> Tuple[Any, ...]:
        """Pickled, it is the same error again: pools of processes and task queues send them."""
        return (type(self), (self.message, self.code), dict(self.__dict__))


class InvalidError(Error, ValueError):
    """A bad argument, option or policy."""

    code: str = "invalid"


class NotFoundError(Error, LookupError):
    """No such session, file, image or plugin."""

    code: str = "not_found"


class UnavailableError(Error, ConnectionError):
    """No service could be found or started, or no container engine answers."""

    code: str = "unavailable"


class DeniedError(Error):
    """Permission: the engine's socket, the base directory, a file that leads out of the session."""

    code: str = "denied"


class RefusedError(Error):
    """The policy cannot be put in force here, so nothing is run."""

    code: str = "refused"


class BusyError(Error):
    """The session runs something else and the caller did not want to wait."""

    code: str = "busy"


class ConflictError(Error):
    """The session exists already, with another policy."""

    code: str = "conflict"


class LimitError(Error):
    """Too many sessions, or something too big."""

    code: str = "limit"


class LostError(Error):
    """The sandbox ended before it answered."""

    code: str = "lost"


class ExecutionCancelled(Error):
    """Somebody stopped it."""

    code: str = "cancelled"


class TimedOutError(Error, TimeoutError):
    """The service or the container engine did not answer in time."""

    code: str = "engine_timeout"


class ProtocolError(Error):
    """What answered is not the service."""

    code: str = "protocol"


class ExecutionFailed(Error):
    """Raised by Result.check(): the code did not end well. `result` has everything."""

    code: str = "execution"

    def __init__(self, message: str, result: "Result") -> None:
        super().__init__(message)
        self.result = result

    def __reduce__(self) -> Tuple[Any, ...]:
        return (type(self), (self.message, self.result), dict(self.__dict__))


def _by_code() -> Dict[str, Type[Error]]:
    kinds = (InvalidError, NotFoundError, UnavailableError, DeniedError, RefusedError, BusyError, ConflictError)
    more = (LimitError, LostError, ExecutionCancelled, TimedOutError, ProtocolError)
    return {kind.code: kind for kind in kinds + more}


_KINDS = _by_code()


def error_of(code: str, message: str) -> Error:
    """The error of the service's code; a code that is not known here is a plain Error with that code."""
    return _KINDS.get(code, Error)(message, code)
