# SPDX-License-Identifier: MIT
"""Session for asyncio: nothing blocks the loop, and whoever cancels the task stops the code.

    async with AsyncSession() as session:
        result = await asyncio.wait_for(session.run("while True: pass"), 5)      # the code is stopped after 5 s
"""
import asyncio
import concurrent.futures
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Dict, Optional, Set, Type, TypeVar, Union

from ._http import Hangup
from ._tools import Tools, awaited
from .client import Name, OutputCallback
from .results import FileInfo, HistoryEntry, Listing, Matches, Result, SessionInfo, Variable
from .sandbox import Command, Data, ExecValues, Place, RunValues, Session, SessionValues

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["AsyncFiles", "AsyncSession"]

T = TypeVar("T")


def _start(call: Callable[[], T]) -> "asyncio.Future[T]":
    """In a thread of its own: a pool would make one call wait for the end of other code."""
    loop = asyncio.get_running_loop()
    future: "asyncio.Future[T]" = loop.create_future()

    def settle(value: Optional[T], error: Optional[BaseException]) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)  # type: ignore[arg-type]

    def work() -> None:
        value, error = None, None
        try:
            value = call()
        except BaseException as problem:
            error = problem
        try:
            loop.call_soon_threadsafe(settle, value, error)
        except RuntimeError:
            pass  # the loop is closed: nobody waits

    threading.Thread(target=work, name="dsandbox", daemon=True).start()
    return future


async def _until(running: "asyncio.Future[T]", hangup: Hangup) -> T:
    """What comes of an execution. A caller that is cancelled ends it, and does not wait for its end."""
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        hangup.hang_up()
        running.add_done_callback(_forget)
        raise


async def _call(call: Callable[[], T]) -> T:
    return await _start(call)


class AsyncFiles:
    """As Files; see there."""

    def __init__(self, session: "AsyncSession") -> None:
        self._session = session

    def __repr__(self) -> str:
        return f"AsyncFiles({self._session.id!r})"

    async def list(self, path: Name = "") -> Listing[FileInfo]:
        session = await self._session.opened()
        return await _call(lambda: session.files.list(path))

    async def read(self, path: Name) -> bytes:
        session = await self._session.opened()
        return await _call(lambda: session.files.read(path))

    async def read_text(self, path: Name, encoding: str = "utf-8", errors: str = "strict") -> str:
        return (await self.read(path)).decode(encoding, errors)

    async def write(self, path: Name, data: Data) -> None:
        session = await self._session.opened()
        await _call(lambda: session.files.write(path, data))

    async def download(self, path: Name, to: Place) -> int:
        session = await self._session.opened()
        return await _call(lambda: session.files.download(path, to))

    async def upload(self, path: Name, source: Place) -> None:
        session = await self._session.opened()
        await _call(lambda: session.files.upload(path, source))

    async def delete(self, path: Name, recursive: bool = False) -> None:
        session = await self._session.opened()
        await _call(lambda: session.files.delete(path, recursive))


class AsyncSession:
    """A Session (see there for the arguments) whose methods are awaited. It is made by the first one, or `async with`.

    Callbacks of run() are called in the loop's thread. Cancelling the task that awaits run() stops the code: variables
    stay, as after interrupt().
    """

    def __init__(self, id: Optional[str] = None, **options: "Unpack[SessionValues]") -> None:
        unknown = set(options) - set(SessionValues.__annotations__)
        if unknown:
            raise TypeError("AsyncSession() has no option " + ", ".join(sorted(unknown)))
        self._make: Callable[[], Session] = lambda: Session(id, **options)
        self._opening: "Optional[asyncio.Future[Session]]" = None
        self._id = id
        self.files: AsyncFiles = AsyncFiles(self)

    def __repr__(self) -> str:
        return f"AsyncSession({self.id!r})"

    @property
    def id(self) -> Optional[str]:
        """None: not made yet, and no id was given."""
        opening = self._opening
        made = opening is not None and opening.done() and not opening.cancelled() and opening.exception() is None
        return opening.result().id if made and opening is not None else self._id

    async def opened(self) -> Session:
        """The session, which is made when it is not there."""
        if self._opening is None:
            self._opening = _start(self._make)
        opening = self._opening
        try:
            return await asyncio.shield(opening)
        except Exception:
            if self._opening is opening:
                self._opening = None  # the next call tries again
            raise

    async def __aenter__(self) -> "AsyncSession":
        await self.opened()
        return self

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        session = await self.opened()
        if not session.keep:
            await _call(lambda: session.close(delete_files=True))

    async def run(self, code: str, **how: "Unpack[RunValues]") -> Result:
        """As Session.run. A tool that is async is awaited in this loop, any other one runs in a thread."""
        session = await self.opened()
        waits = _Waits(asyncio.get_running_loop())
        tools = how.get("tools")
        if tools and not isinstance(tools, Tools):
            how["tools"] = Tools(tools, waits.wait)
        try:
            return await self._execute(how, lambda hangup: session.run(code, hangup=hangup, **how))
        finally:
            waits.end()

    async def exec(self, command: Command, **how: "Unpack[ExecValues]") -> Result:
        """As Session.exec."""
        session = await self.opened()
        return await self._execute(how, lambda hangup: session.exec(command, hangup=hangup, **how))

    async def _execute(self, how: "Union[RunValues, ExecValues]", execute: Callable[[Hangup], Result]) -> Result:
        loop = asyncio.get_running_loop()
        hangup = Hangup()
        for name in ("on_stdout", "on_stderr"):
            callback: Optional[OutputCallback] = how.get(name)  # type: ignore[assignment]
            if callback is not None:
                how[name] = _in_loop(loop, callback)  # type: ignore[literal-required]
        running = _start(lambda: execute(hangup))
        return await _until(running, hangup)

    async def interrupt(self) -> bool:
        session = await self.opened()
        return await _call(session.interrupt)

    async def send_stdin(self, data: Data, end: bool = False) -> None:
        session = await self.opened()
        await _call(lambda: session.send_stdin(data, end))

    async def reset(self) -> None:
        session = await self.opened()
        await _call(session.reset)

    async def vars(self) -> Listing[Variable]:
        session = await self.opened()
        return await _call(session.vars)

    async def complete(self, code: str, cursor: int) -> Matches:
        session = await self.opened()
        return await _call(lambda: session.complete(code, cursor))

    async def inspect(self, code: str, cursor: int, detail: bool = False) -> Optional[str]:
        session = await self.opened()
        return await _call(lambda: session.inspect(code, cursor, detail))

    async def history(self) -> Listing[HistoryEntry]:
        session = await self.opened()
        return await _call(session.history)

    async def save(self) -> Dict[str, Any]:
        session = await self.opened()
        return await _call(session.save)

    async def restore(self) -> Dict[str, Any]:
        session = await self.opened()
        return await _call(session.restore)

    async def info(self) -> SessionInfo:
        session = await self.opened()
        return await _call(session.info)

    async def close(self, delete_files: bool = False) -> None:
        session = await self.opened()
        await _call(lambda: session.close(delete_files))


class _Waits:
    """What tools of one run have the loop do, for their threads."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._all: "Set[concurrent.futures.Future[Any]]" = set()

    def wait(self, value: Awaitable[Any]) -> Any:
        future = asyncio.run_coroutine_threadsafe(awaited(value), self._loop)
        self._all.add(future)
        future.add_done_callback(self._all.discard)
        return future.result()

    def end(self) -> None:
        """Nobody waits for it any more."""
        for future in list(self._all):
            future.cancel()


def _in_loop(loop: asyncio.AbstractEventLoop, callback: OutputCallback) -> OutputCallback:
    return lambda text: loop.call_soon_threadsafe(callback, text)


def _forget(future: "asyncio.Future[Any]") -> None:
    """What the call says after it was given up is of no interest, and no warning."""
    if not future.cancelled():
        future.exception()
