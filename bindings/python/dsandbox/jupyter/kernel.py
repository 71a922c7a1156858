# SPDX-License-Identifier: MIT
"""The kernel: what Jupyter asks becomes calls to a session, and what that says becomes messages. No code is run here.

ipykernel speaks Jupyter's protocol. Cells run one after the other; while one does, this thread's loop hands on what it prints,
and an interrupt, which comes as a signal or as a message that becomes one, is asked of the service by a thread of its own.
"""
import ast
import asyncio
import codeop
import contextlib
import dataclasses
import fcntl
import hashlib
import os
import signal
import threading
import time
from typing import Any, ClassVar, Dict, Iterator, List, Optional, Sequence

from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel

from .. import __version__
from ..aio import AsyncSession
from ..errors import Error, LimitError, TimedOutError
from ..results import Result
from ..sandbox import Session
from .guard import DONE, KEEP, Guard
from .options import Settings
from .output import Stream, bundle, clean, lines

FILES_MAX = 1000
LOCK_SECONDS = 30.0
PROMPT_MAX = 4096
INPUT_TIMEOUT = "24h"  # for whoever is asked
PAUSE = 0.02  # seconds between looks for an answer
SETTLE = 0.05  # and until what was printed before a question is there
CODE_MAX = 64 << 10
ENV = {"DSANDBOX_ERRORS": "report"}  # not on standard error as well
NAMES = {
    "timeout": "TimeLimitExceeded",
    "oom": "OutOfMemory",
    "output_limit": "OutputLimitExceeded",
    "disk_limit": "DiskLimitExceeded",
    "lost": "SandboxLost",
    "refused": "PolicyRefused",
    "signal": "CodeKilled",
    "cancelled": "KeyboardInterrupt",
}


class StdinNotImplementedError(Exception):
    """The front end cannot be asked."""


class Box:
    """The kernel's session, and what makes sure that it ends."""

    def __init__(self, settings: Settings, connection_file: str) -> None:
        self.settings = settings
        # A restart has the same file, and so the same session, whose files are there again.
        self.id: str = settings.session or "jupyter-" + hashlib.sha256(os.path.abspath(connection_file).encode()).hexdigest()[:24]
        self.session: AsyncSession = self._session()
        self._file = connection_file
        self._lock = threading.Lock()
        self._guard: Optional[Guard] = None
        self._over = False

    def _session(self) -> AsyncSession:
        s = self.settings
        return AsyncSession(
            self.id, client=s.client, options=s.options, timeout=s.timeout, idle_timeout=s.idle_timeout, life_time=s.life_time,
            checkpoint=s.checkpoint, labels={"kernel": "jupyter"}, keep=True,
        )

    def prepare(self) -> None:
        """Once, before there is a session: from now on it ends with this process."""
        with self._lock:
            if self._guard is None and not self._over:
                lock = None if self.settings.session else self._name_is_ours()
                self._guard = Guard(self.settings.client.socket_path, self.id, self.settings.session is not None, lock)

    def _name_is_ours(self) -> Optional[int]:
        """The kernel before a restart has this lock until its session has ended."""
        try:
            lock = os.open(self._file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        end = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return lock
            except BlockingIOError:
                if time.monotonic() > end:
                    os.close(lock)
                    raise TimedOutError("the session of the kernel before this one does not end") from None
            time.sleep(0.05)

    def fill(self, session: Session) -> None:
        """The files of --files, in a session that has none."""
        top = self.settings.files
        if top is None or session.files.list():
            return
        paths: List[str] = []
        for directory, _, names in os.walk(os.path.abspath(top)):
            paths += [path for path in (os.path.join(directory, name) for name in names) if os.path.isfile(path)]
            if len(paths) > FILES_MAX:
                raise LimitError(f"{top} has more than {FILES_MAX} files: name a directory with what the notebook needs")
        for path in paths:
            session.files.upload(os.path.relpath(path, os.path.abspath(top)), path)

    def end(self, keep_files: bool) -> None:
        """Of the session, and of who waits for our end."""
        with self._lock:
            guard, self._guard, self._over = self._guard, None, True
            if guard is None:
                return
            try:
                self.settings.client.delete(self.id, not (keep_files or self.settings.session))
            except Error:  # it is not there yet, or cannot be ended now: the guard tries again
                guard.tell(KEEP if keep_files else b"", wait=False)
            else:
                guard.tell(DONE, wait=True)


class Cell:
    """One execution: its messages go out as answers to one request."""

    def __init__(self, kernel: "SandboxKernel", silent: bool, allow_stdin: bool) -> None:
        self.kernel = kernel
        self.silent = silent
        self.allow_stdin = allow_stdin
        self.sender: Any = kernel.session
        self.parent: Any = kernel.get_parent("shell")
        self.ident: Any = kernel._parent_ident["shell"]
        self.over = threading.Event()
        self.streams = {"stdout": Stream(), "stderr": Stream()}

    def publish(self, kind: str, content: Dict[str, Any]) -> None:
        self.sender.send(self.kernel.iopub_socket, kind, content, self.parent, ident=self.kernel._topic(kind))

    def write(self, stream: str, text: str) -> None:
        text = self.streams[stream].feed(text)
        if text:
            self.publish("stream", {"name": stream, "text": text})

    def say(self, text: str) -> None:
        """A word of ours."""
        self.publish("stream", {"name": "stderr", "text": clean(f"dsandbox: {text}\n")})

    async def ask(self, prompt: str = "") -> str:
        """input() in the sandbox."""
        if not self.allow_stdin:
            raise StdinNotImplementedError("input() was called, but this front end does not support input requests")
        await asyncio.sleep(SETTLE)
        socket = self.kernel.stdin_socket
        while socket.poll(0):
            socket.recv_multipart()  # an answer to a question that was given up
        question = {"prompt": clean(prompt[:PROMPT_MAX]), "password": False}
        self.sender.send(socket, "input_request", question, self.parent, ident=self.ident)
        while True:
            if socket.poll(0):
                _, reply = self.sender.recv(socket)
                if reply is not None:
                    break
            await asyncio.sleep(PAUSE)
        value = str(reply["content"].get("value", ""))
        if value == "\x04":
            raise EOFError("no more input")
        return value

    async def run(self, session: AsyncSession, code: str) -> Result:
        return await session.run(
            code, env=ENV, tools={"input": self.ask}, call_timeout=INPUT_TIMEOUT, calls_stop_clock=True,
            on_stdout=lambda text: self.write("stdout", text), on_stderr=lambda text: self.write("stderr", text),
        )

    # --- what came of it

    def tell(self, result: Result) -> None:
        """All but the error."""
        if result.background is not None:
            for name, text in (("stdout", result.background.stdout), ("stderr", result.background.stderr)):
                if text:
                    self.publish("stream", {"name": name, "text": clean(text)})
        for name, cut, size, kept in (
            ("standard output", result.stdout_truncated, result.stdout_bytes, result.stdout_data),
            ("standard error", result.stderr_truncated, result.stderr_bytes, result.stderr_data),
        ):
            if cut:
                self.say(f"{size - len(kept)} bytes of {name} were left out")
        for at, shown in enumerate(result.results, 1):
            content = {"data": bundle(shown.data, self.kernel.settings.trust_output), "metadata": {}}
            if result.results_value and at == len(result.results):
                if not self.silent:
                    self.publish("execute_result", {**content, "execution_count": self.kernel.execution_count})
            else:
                self.publish("display_data", {**content, "transient": {}})
        for missing in result.results_omitted:
            self.say(f"{missing.count} {'result is' if missing.count == 1 else 'results are'} missing: {missing.reason}")


def failure(result: Result) -> Dict[str, Any]:
    """ename, evalue and traceback of a result that is not ok."""
    name, error = NAMES.get(result.status), result.error
    interrupted = error is not None and error.name == "KeyboardInterrupt" and result.status in ("cancelled", "signal")
    if error is not None and (name is None or interrupted):
        return {"ename": clean(error.name), "evalue": clean(error.value), "traceback": lines(error.traceback or "")}
    words = dataclasses.replace(result, error=None).summary() + (f": {result.reason}" if result.reason else "")
    if name is None and result.failure is None:
        name, words = "SystemExit", str(result.exit_code)
    name = name or "SandboxError"
    trace = lines(error.traceback) if error is not None and error.traceback else []
    return {"ename": name, "evalue": words, "traceback": [*trace, f"{name}: {words}"]}


class SandboxKernel(Kernel):
    """Python in a sandbox."""

    implementation = "dsandbox"
    implementation_version = __version__
    language_info: Dict[str, object] = {
        "name": "python",
        "version": "3",
        "mimetype": "text/x-python",
        "file_extension": ".py",
        "pygments_lexer": "python3",
        "codemirror_mode": {"name": "python", "version": 3},
        "nbconvert_exporter": "python",
    }
    banner = f"Python in a sandbox (dsandbox {__version__})"
    settings: ClassVar[Settings]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        application: Any = self.parent
        self.box: Box = Box(self.settings, application.abs_connection_file)
        self._cell: Optional[Cell] = None
        self._opening: "Optional[asyncio.Task[AsyncSession]]" = None
        self._ran = False

    def start(self) -> None:
        super().start()
        self.io_loop.add_callback(self._open_early)

    @property
    def kernel_info(self) -> Dict[str, Any]:
        """Without what ipykernel offers for code that it runs itself."""
        return {**super().kernel_info, "supported_features": []}

    # --- the session

    async def _open_early(self) -> None:
        with contextlib.suppress(Exception):  # the first cell says what is wrong
            await self._opened()

    async def _opened(self) -> AsyncSession:
        """The session. One that could not be made is tried again."""
        if self._opening is None or self._opening.done() and (self._opening.cancelled() or self._opening.exception() is not None):
            self._opening = asyncio.ensure_future(self._open())
        return await asyncio.shield(self._opening)

    async def _open(self) -> AsyncSession:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self.box.prepare)
        session = await self.box.session.opened()
        await loop.run_in_executor(None, self.box.fill, session)
        return self.box.session

    # --- interrupts

    def pre_handler_hook(self) -> None:
        self.saved_sigint_handler: Any = signal.signal(signal.SIGINT, self._on_interrupt)

    def post_handler_hook(self) -> None:
        signal.signal(signal.SIGINT, self.saved_sigint_handler)

    def _on_interrupt(self, *_: object) -> None:
        if self._cell is not None:
            threading.Thread(target=self._interrupt, args=(self._cell,), name="dsandbox-interrupt", daemon=True).start()

    def _interrupt(self, cell: Cell) -> None:
        """It may come before the service has the execution, or the session."""
        while not cell.over.is_set():
            with contextlib.suppress(Error):
                if self.settings.client.interrupt(self.box.id):
                    return
            cell.over.wait(PAUSE)

    @contextlib.contextmanager
    def _running(self, cell: Cell) -> Iterator[None]:
        self._cell = cell
        try:
            yield
        finally:
            self._cell = None
            cell.over.set()

    # --- what is asked

    async def do_execute(
        self,
        code: str,
        silent: bool,
        store_history: bool = True,
        user_expressions: Optional[Dict[str, str]] = None,
        allow_stdin: bool = False,
        *,
        cell_meta: Any = None,
        cell_id: Any = None,
    ) -> Dict[str, Any]:
        ok = {"status": "ok", "execution_count": self.execution_count, "payload": []}
        ok["user_expressions"] = _refused(user_expressions)
        if not code.strip():
            return ok
        cell = Cell(self, silent, allow_stdin)
        try:
            with self._running(cell):
                result = await cell.run(await self._opened(), code)
        except Error as error:
            name = type(error).__name__
            wrong = {"ename": name, "evalue": error.message, "traceback": [f"{name}: {error.message}"]}
        else:
            cell.tell(result)
            self._tell_state(cell, result)
            if result.ok:
                return ok
            wrong = failure(result)
        cell.publish("error", wrong)
        return {**ok, "status": "error", **wrong}

    def _tell_state(self, cell: Cell, result: Result) -> None:
        """What became of the variables, where they are not what the cells before have made of them."""
        state, had, self._ran = result.state, self._ran, self._ran or result.ran
        if state is None:
            return
        reason = state.reason or "the sandbox ended"
        if state.outcome == "rolled_back":
            cell.say(f"variables were rolled back to {f'execution {state.to}' if state.to else 'the beginning'}: {reason}")
        elif state.outcome == "lost":
            cell.say(f"variables were lost: {reason}; the next cell has a new interpreter")
        elif had and state.execution == 1:
            cell.say("variables were lost: the session was ended from elsewhere, and this cell ran in a new one")

    async def do_complete(self, code: str, cursor_pos: Optional[int]) -> Dict[str, Any]:
        at = len(code) if cursor_pos is None else cursor_pos
        answer: Dict[str, Any] = {"status": "ok", "matches": [], "cursor_start": at, "cursor_end": at, "metadata": {}}
        with contextlib.suppress(Error):
            found = await (await self._opened()).complete(code, at)
            answer.update(matches=list(found.names), cursor_start=found.start, cursor_end=found.end)
        return answer

    async def do_inspect(
        self, code: str, cursor_pos: Optional[int], detail_level: int = 0, omit_sections: Sequence[str] = ()
    ) -> Dict[str, Any]:
        text = None
        with contextlib.suppress(Error):
            session = await self._opened()
            text = await session.inspect(code, len(code) if cursor_pos is None else cursor_pos, detail_level > 0)
        data = {} if text is None else {"text/plain": clean(text)}
        return {"status": "ok", "found": text is not None, "data": data, "metadata": {}}

    async def do_is_complete(self, code: str) -> Dict[str, Any]:
        """For consoles: whether Enter runs it. The code is only parsed."""
        if len(code) > CODE_MAX:
            return {"status": "unknown"}
        compiler = codeop.CommandCompiler()
        compiler.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        try:
            whole = compiler(code, "<cell>", "exec") is not None
        except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError):
            return {"status": "invalid"}
        last = code.rstrip("\n").rpartition("\n")[2]
        indent = len(last) - len(last.lstrip(" ")) + (4 if last.rstrip().endswith(":") else 0)
        return {"status": "complete"} if whole else {"status": "incomplete", "indent": " " * indent}

    async def do_shutdown(self, restart: bool) -> Dict[str, Any]:
        await asyncio.get_running_loop().run_in_executor(None, self.box.end, restart)
        return {"status": "ok", "restart": restart}


def _refused(expressions: Optional[Dict[str, str]]) -> Dict[str, Any]:
    """They would be executions of their own."""
    words = "user_expressions are not evaluated in a sandbox"
    why = {"status": "error", "ename": "NotImplementedError", "evalue": words, "traceback": []}
    return {name: why for name in expressions or {}}


def run(settings: Settings, argv: List[str]) -> None:
    """Until the kernel is shut down."""
    SandboxKernel.settings = settings
    IPKernelApp.launch_instance(argv=argv, kernel_class=SandboxKernel)
