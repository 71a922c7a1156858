# SPDX-License-Identifier: MIT
"""Sandbox: each run in a fresh sandbox. Session: one sandbox whose variables and files stay."""
import base64
import contextlib
import os
import stat
import uuid
from typing import IO, TYPE_CHECKING, Any, Dict, Iterable, List, Literal, Mapping, Optional, Sequence, Type, TypedDict, Union
from types import TracebackType

from ._http import Hangup
from ._tools import Tool, Tools
from .client import Client, Name, OutputCallback
from .errors import ConflictError, InvalidError, NotFoundError
from .results import FileInfo, HistoryEntry, Listing, Matches, Result, SessionInfo, Variable

if TYPE_CHECKING:
    from typing_extensions import Unpack  # type checkers have it, wherever the package is used

__all__ = ["Files", "OptionValues", "Options", "Sandbox", "Session"]

SHARED_BASE = "/tmp/sandboxes"

Time = Union[int, float, str]
Size = Union[int, str]
Checkpoint = Literal["idle", "always", "off"]
Data = Union[str, bytes]
GivenTools = Union[Mapping[str, Tool], Tools, None]
Command = Union[str, Sequence[Union[str, "os.PathLike[str]"]]]
Place = Union[str, bytes, "os.PathLike[str]", IO[bytes]]


def default_base_dir() -> str:
    """Where session directories are: /tmp/sandboxes, or /tmp/sandboxes-UID where the first is another user's.

    The rule is the library's (dsb_default_base_dir).
    """
    own = f"{SHARED_BASE}-{os.geteuid()}"
    return own if not _is_ours(SHARED_BASE) and (_is_ours(own) or os.path.lexists(SHARED_BASE)) else SHARED_BASE


def _is_ours(path: str) -> bool:
    try:
        info = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid() and not info.st_mode & 0o022


class OptionValues(TypedDict, total=False):
    """The keyword arguments of Options, for type checkers; what they mean is said there."""

    backend: Optional[str]
    host: Optional[str]
    image: Optional[str]
    base_dir: Union[str, "os.PathLike[str]", None]
    policy: Optional[Mapping[str, Any]]
    settings: Optional[Mapping[str, Any]]
    memory: Optional[Size]
    cpus: Optional[float]
    network: Optional[str]
    pids: Optional[int]
    disk: Optional[Size]
    allow_unenforced: Iterable[str]
    same_path: bool
    engine_timeout: Optional[Time]


class SessionValues(OptionValues, total=False):
    """The keyword arguments of Session."""

    client: Optional[Client]
    timeout: Optional[Time]
    keep: Optional[bool]
    labels: Optional[Mapping[str, str]]
    checkpoint: Optional[Checkpoint]
    idle_timeout: Optional[Time]
    life_time: Optional[Time]
    exist_ok: bool
    options: "Optional[Options]"


class LaterValues(TypedDict, total=False):
    """Those that a sandbox does not say for its sessions."""

    keep: Optional[bool]
    labels: Optional[Mapping[str, str]]
    checkpoint: Optional[Checkpoint]
    idle_timeout: Optional[Time]
    life_time: Optional[Time]
    exist_ok: bool


class RunValues(TypedDict, total=False):
    """The keyword arguments of Session.run."""

    filename: Optional[str]
    argv: Optional[Sequence[str]]
    env: Optional[Mapping[str, str]]
    stdin: Optional[Data]
    stdin_open: bool
    timeout: Optional[Time]
    wait: bool
    on_stdout: Optional[OutputCallback]
    on_stderr: Optional[OutputCallback]
    tools: GivenTools
    call_timeout: Optional[Time]
    calls_stop_clock: bool


class ExecValues(TypedDict, total=False):
    """The keyword arguments of Session.exec."""

    cwd: "Union[str, os.PathLike[str], None]"
    env: Optional[Mapping[str, str]]
    stdin: Optional[Data]
    stdin_open: bool
    timeout: Optional[Time]
    wait: bool
    on_stdout: Optional[OutputCallback]
    on_stderr: Optional[OutputCallback]


class Options:
    """What a sandbox is made with. None everywhere: the service's default.

    backend: "docker-api", "docker-cli", "podman" or "auto"; None: $DSANDBOX_BACKEND.
    host: the engine's address, "unix:///run/docker.sock"; None: $DSANDBOX_HOST, else what $DOCKER_HOST or
        $CONTAINER_HOST says to that backend.
    image: any image with Python >= 3.8. Images are never pulled.
    base_dir: where session directories are on the host; None: default_base_dir().
    policy: the content of a policy file (doc/dsandbox-policy.5).
    memory, cpus, network ("none" or "full"), pids, disk, settings: single policy keys; `settings` takes any key.
    allow_unenforced: controls that may be missing where the engine cannot hold them; every result lists them.
    same_path: the session's directory is also visible inside at its path on the host.
    """

    def __init__(
        self,
        *,
        backend: Optional[str] = None,
        host: Optional[str] = None,
        image: Optional[str] = None,
        base_dir: Union[str, "os.PathLike[str]", None] = None,
        policy: Optional[Mapping[str, Any]] = None,
        settings: Optional[Mapping[str, Any]] = None,
        memory: Optional[Size] = None,
        cpus: Optional[float] = None,
        network: Optional[str] = None,
        pids: Optional[int] = None,
        disk: Optional[Size] = None,
        allow_unenforced: Iterable[str] = (),
        same_path: bool = False,
        engine_timeout: Optional[Time] = None,
    ) -> None:
        self.backend: Optional[str] = backend or os.environ.get("DSANDBOX_BACKEND") or None
        self.host: Optional[str] = host or os.environ.get("DSANDBOX_HOST") or _engine_address(self.backend)
        self.image = image
        self.base_dir: Optional[str] = os.path.abspath(os.fspath(base_dir)) if base_dir is not None else None
        self.policy: Optional[Dict[str, Any]] = dict(policy) if policy is not None else None
        named = {"memory": memory, "cpus": cpus, "network": network, "pids": pids, "disk": disk}
        self.settings: Dict[str, str] = {key: _setting(key, value) for key, value in (settings or {}).items()}
        self.settings.update({key: _setting(key, value) for key, value in named.items() if value is not None})
        self.allow_unenforced: List[str] = [allow_unenforced] if isinstance(allow_unenforced, str) else list(allow_unenforced)
        self.same_path = same_path
        self.engine_timeout = engine_timeout

    def body(self) -> Dict[str, Any]:
        """The members of the request."""
        values = {
            "backend": self.backend,
            "host": self.host,
            "image": self.image,
            "base_dir": self.base_dir,
            "policy": self.policy,
            "set": self.settings or None,
            "allow_unenforced": self.allow_unenforced or None,
            "mount": "same_path" if self.same_path else None,
            "engine_timeout": self.engine_timeout,
        }
        return {key: value for key, value in values.items() if value is not None}


def _engine_address(backend: Optional[str]) -> Optional[str]:
    """The service has an environment of its own, so what the caller's says goes into the request."""
    if backend in ("docker-api", "docker-cli"):
        return os.environ.get("DOCKER_HOST") or None
    return os.environ.get("CONTAINER_HOST") or None if backend == "podman" else None


def _setting(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.5f}".rstrip("0").rstrip(".")
    if isinstance(value, (int, str)):
        return str(value)
    raise InvalidError(f"setting '{key}': a text, number or truth value is expected, not {type(value).__name__}")


def _execution(
    code: str,
    filename: Optional[str],
    argv: Optional[Sequence[str]],
    env: Optional[Mapping[str, str]],
    stdin: Optional[Data],
    timeout: Optional[Time],
) -> Dict[str, Any]:
    if not isinstance(code, str):
        raise InvalidError(f"the code must be a str, not {type(code).__name__}")
    body: Dict[str, Any] = {"code": code}
    if filename is not None:
        body["filename"] = filename
    if argv is not None:
        body["argv"] = [str(item) for item in argv]
    return _with_input(body, env, stdin, timeout)


def _command(
    command: Command,
    cwd: Union[str, "os.PathLike[str]", None],
    env: Optional[Mapping[str, str]],
    stdin: Optional[Data],
    timeout: Optional[Time],
) -> Dict[str, Any]:
    """A text is a line for the shell, a list the program and its arguments."""
    body: Dict[str, Any] = {"shell": command} if isinstance(command, str) else {"argv": [os.fspath(word) for word in command]}
    if cwd is not None:
        body["cwd"] = os.fspath(cwd)
    return _with_input(body, env, stdin, timeout)


def _calls(body: Dict[str, Any], tools: GivenTools, limit: Optional[Time], stop_clock: bool) -> Optional[Tools]:
    """Into the body: what the code may call. None: nothing."""
    if not tools:
        return None
    calls = tools if isinstance(tools, Tools) else Tools(tools)
    body["tools"] = list(calls.tools)
    if limit is not None:
        body["call_timeout"] = limit
    if stop_clock:
        body["calls_stop_clock"] = True
    return calls


def _with_input(
    body: Dict[str, Any], env: Optional[Mapping[str, str]], stdin: Optional[Data], timeout: Optional[Time]
) -> Dict[str, Any]:
    if env is not None:
        body["env"] = dict(env)
    if isinstance(stdin, bytes):
        body["stdin_base64"] = base64.b64encode(stdin).decode("ascii")
    elif stdin is not None:
        body["stdin"] = stdin
    if timeout is not None:
        body["timeout"] = timeout
    return body


class Sandbox:
    """Runs code, each time in a fresh sandbox that is gone afterwards.

        result = Sandbox(memory="256MiB").run("print(1 + 1)")

    The keyword arguments are those of Options. `timeout`: seconds (or "5s") for each run, None: the policy's.
    """

    def __init__(self, *, client: Optional[Client] = None, timeout: Optional[Time] = None, **options: "Unpack[OptionValues]") -> None:
        self.client: Client = client or Client()
        self.timeout = timeout
        self.options: Options = Options(**options)

    def run(
        self,
        code: str,
        *,
        filename: Optional[str] = None,
        argv: Optional[Sequence[str]] = None,
        env: Optional[Mapping[str, str]] = None,
        stdin: Optional[Data] = None,
        timeout: Optional[Time] = None,
        on_stdout: Optional[OutputCallback] = None,
        on_stderr: Optional[OutputCallback] = None,
        tools: GivenTools = None,
        call_timeout: Optional[Time] = None,
        calls_stop_clock: bool = False,
    ) -> Result:
        """Run code. What it did, and also a refusal or a failure of the engine, is in the result.

        tools, call_timeout, calls_stop_clock: as for Session.run().
        """
        limit = timeout if timeout is not None else self.timeout
        body = self.options.body()
        body.update(_execution(code, filename, argv, env, stdin, limit))
        calls = _calls(body, tools, call_timeout, calls_stop_clock)
        return self.client.run(body, on_stdout, on_stderr, calls)

    def exec(
        self,
        command: Command,
        *,
        cwd: Union[str, "os.PathLike[str]", None] = None,
        env: Optional[Mapping[str, str]] = None,
        stdin: Optional[Data] = None,
        timeout: Optional[Time] = None,
        on_stdout: Optional[OutputCallback] = None,
        on_stderr: Optional[OutputCallback] = None,
    ) -> Result:
        """Run a program: a list is the program and its arguments, a text is a line for /bin/sh.

        exit_code 127: there is no such program; 126: it cannot be run. cwd: absolute, or below /sandbox.
        """
        limit = timeout if timeout is not None else self.timeout
        body = self.options.body()
        body.update(_command(command, cwd, env, stdin, limit))
        return self.client.run(body, on_stdout, on_stderr)

    def session(self, id: Optional[str] = None, **more: "Unpack[LaterValues]") -> "Session":
        """A session with the same options."""
        return Session(id, client=self.client, timeout=self.timeout, options=self.options, **more)


class Files:
    """The files of a session, below /sandbox. Paths are relative to it; links are never followed."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    def __repr__(self) -> str:
        return f"Files({self._session.id!r})"

    def list(self, path: Name = "") -> Listing[FileInfo]:
        """Everything below a directory, at any depth; `truncated` says that there is more."""
        return self._session.client.files(self._session.id, path)

    def read(self, path: Name) -> bytes:
        return self._session.client.read_file(self._session.id, path)

    def read_text(self, path: Name, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self.read(path).decode(encoding, errors)

    def write(self, path: Name, data: Data) -> None:
        """Create or replace; text is written as UTF-8."""
        self._session.client.write_file(self._session.id, path, data.encode() if isinstance(data, str) else data)

    def download(self, path: Name, to: "Place") -> int:
        """Copy a file of any size to a path of ours, or into a binary file; its size. An error leaves ours as it was."""
        client, id = self._session.client, self._session.id
        if not isinstance(to, (str, bytes, os.PathLike)):
            return client.download_file(id, path, to)
        place = os.fsdecode(to)
        new = f"{place}.{uuid.uuid4().hex}"
        try:
            with open(new, "xb") as file:
                size = client.download_file(id, path, file)
            os.replace(new, place)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new)
            raise
        return size

    def upload(self, path: Name, source: "Place") -> None:
        """Copy a file of ours of any size, a path or a binary file, into the session."""
        client, id = self._session.client, self._session.id
        if not isinstance(source, (str, bytes, os.PathLike)):
            client.upload_file(id, path, source)
            return
        with open(source, "rb") as file:
            client.upload_file(id, path, file)

    def delete(self, path: Name, recursive: bool = False) -> None:
        self._session.client.delete_file(self._session.id, path, recursive)


class Session:
    """A sandbox with one interpreter: variables, imports and files stay from one run to the next.

        with Session() as session:
            session.run("x = 41")
            print(session.run("x + 1").value)

    id: letters, digits and _.- ; the same id, also in another process, is the same session. None: a new id.
    keep: what `with` does at its end. True: nothing, the session lives on until it is idle for too long.
        False: end it and delete its files. None: True for an id that was given, False for a new one.
    timeout: seconds (or "5s") for each run, None: the policy's.
    idle_timeout, life_time: when the service ends the sandbox by itself. Files stay then, variables do not.
    checkpoint: when the variables are copied, so that a crash of the code goes back to them (costs memory). "idle": when the
        session has been quiet for a moment, so that many runs in a row cost one copy. "always": after each run. "off":
        never. None: "idle", or what the session of this id has.
    labels: texts to find it by. The other keyword arguments are those of Options.
    The sandbox is made at once; ConflictError: a session of this id has another policy.
    """

    def __init__(
        self,
        id: Optional[str] = None,
        *,
        client: Optional[Client] = None,
        timeout: Optional[Time] = None,
        keep: Optional[bool] = None,
        labels: Optional[Mapping[str, str]] = None,
        checkpoint: Optional[Checkpoint] = None,
        idle_timeout: Optional[Time] = None,
        life_time: Optional[Time] = None,
        exist_ok: bool = True,
        options: Optional[Options] = None,
        **more: "Unpack[OptionValues]",
    ) -> None:
        unknown = set(more) - set(OptionValues.__annotations__)
        if unknown:
            raise TypeError("Session() has no option " + ", ".join(sorted(unknown)))
        if options is not None and more:
            raise InvalidError("give either options= or single options, not both: " + ", ".join(sorted(more)))
        self.client: Client = client or Client()
        self.options: Options = options or Options(**more)
        self.timeout = timeout
        self.keep: bool = keep if keep is not None else id is not None
        self.id: str = id if id is not None else f"s-{uuid.uuid4().hex[:20]}"
        self.files: Files = Files(self)
        self._create = self.options.body()
        if labels:
            self._create["labels"] = dict(labels)
        if checkpoint is not None:
            self._create["checkpoint"] = checkpoint
        if idle_timeout is not None:
            self._create["idle_timeout"] = idle_timeout
        if life_time is not None:
            self._create["life_time"] = life_time
        self._open(exist_ok)

    def _open(self, exist_ok: bool) -> None:
        self.opened: SessionInfo = self.client.create({**self._create, "id": self.id, "exist_ok": exist_ok})

    def __repr__(self) -> str:
        return f"Session({self.id!r})"

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if not self.keep:
            self.close(delete_files=True)

    @property
    def workdir(self) -> Optional[str]:
        """The session's directory on the host. What is in it comes from the code: do not follow links there."""
        return self.opened.workdir

    def run(
        self,
        code: str,
        *,
        filename: Optional[str] = None,
        argv: Optional[Sequence[str]] = None,
        env: Optional[Mapping[str, str]] = None,
        stdin: Optional[Data] = None,
        stdin_open: bool = False,
        timeout: Optional[Time] = None,
        wait: bool = True,
        on_stdout: Optional[OutputCallback] = None,
        on_stderr: Optional[OutputCallback] = None,
        hangup: Optional[Hangup] = None,
        tools: GivenTools = None,
        call_timeout: Optional[Time] = None,
        calls_stop_clock: bool = False,
    ) -> Result:
        """Run code in the session, after what is queued there; `wait` False: BusyError instead of waiting.

        stdin_open: standard input stays open for send_stdin() from another thread.
        hangup: its hang_up(), from another thread, stops this code and ends the call.
        tools: functions of yours that this code, and nothing else, may call by these names, {"search": f}: search("a", n=2) in
            the sandbox is f("a", n=2) here, in a thread of its own. Arguments and answer are what JSON has, and bytes. What f
            raises is raised there, by the name of its class; f may be async. Where an event loop runs in the sandbox the call
            is to be awaited there; search.sync() is not. The arguments are the code's words: do not trust them.
        call_timeout: seconds for each call, then a TimeoutError there; None: 300. calls_stop_clock: the time limit of the run
            stands still meanwhile.
        A session that ended in the meantime is made again, with its files; the result's state says what was lost.
        """
        limit = timeout if timeout is not None else self.timeout
        body = _execution(code, filename, argv, env, stdin, limit)
        calls = _calls(body, tools, call_timeout, calls_stop_clock)
        return self._execute(body, stdin_open, wait, on_stdout, on_stderr, hangup, calls)

    def exec(
        self,
        command: Command,
        *,
        cwd: Union[str, "os.PathLike[str]", None] = None,
        env: Optional[Mapping[str, str]] = None,
        stdin: Optional[Data] = None,
        stdin_open: bool = False,
        timeout: Optional[Time] = None,
        wait: bool = True,
        on_stdout: Optional[OutputCallback] = None,
        on_stderr: Optional[OutputCallback] = None,
        hangup: Optional[Hangup] = None,
    ) -> Result:
        """Run a program in the session, beside its variables: a list of words, or a line for /bin/sh.

        exit_code 127: there is no such program; 126: it cannot be run. cwd: absolute, or below /sandbox. It is over when the
        program itself ends; what that has started is ended then, too. The rest is as for run().
        """
        limit = timeout if timeout is not None else self.timeout
        body = _command(command, cwd, env, stdin, limit)
        return self._execute(body, stdin_open, wait, on_stdout, on_stderr, hangup)

    def _execute(
        self,
        body: Dict[str, Any],
        stdin_open: bool,
        wait: bool,
        on_stdout: Optional[OutputCallback],
        on_stderr: Optional[OutputCallback],
        hangup: Optional[Hangup],
        tools: Optional[Tools] = None,
    ) -> Result:
        body["create"] = self._create
        if stdin_open:
            body["stdin_open"] = True
        if not wait:
            body["wait"] = False
        return self.client.execute(self.id, body, on_stdout, on_stderr, hangup, tools)

    def send_stdin(self, data: Data, end: bool = False) -> None:
        """More standard input for a run with stdin_open; `end`: nothing comes after it."""
        self.client.stdin(self.id, data.encode() if isinstance(data, str) else data, end)

    def interrupt(self) -> bool:
        """Stop the running code (KeyboardInterrupt in it first). False: nothing was running."""
        return self.client.interrupt(self.id)

    def reset(self) -> None:
        """A fresh interpreter. Files stay."""
        self.client.reset(self.id)

    def vars(self) -> Listing[Variable]:
        return self.client.variables(self.id)

    def complete(self, code: str, cursor: int) -> Matches:
        """Names that could stand in the code at the cursor. It is looked up inside, in a copy: no variable changes."""
        return self.client.complete(self.id, code, cursor)

    def inspect(self, code: str, cursor: int, detail: bool = False) -> Optional[str]:
        """What is known inside of the name at the cursor, or of what is called there; `detail`: its source as well."""
        return self.client.inspect(self.id, code, cursor, detail)

    def history(self) -> Listing[HistoryEntry]:
        return self.client.history(self.id)

    def save(self) -> Dict[str, Any]:
        """Keep what can be pickled, for restore() after the sandbox has ended."""
        return self.client.save(self.id)

    def restore(self) -> Dict[str, Any]:
        return self.client.restore(self.id)

    def info(self) -> SessionInfo:
        return self.client.session(self.id)

    def close(self, delete_files: bool = False) -> None:
        """End the sandbox. No error when it has ended already."""
        try:
            self.client.delete(self.id, delete_files)
        except NotFoundError:
            pass
