# SPDX-License-Identifier: MIT
"""Workspace: a session after the workspace protocol of pydantic-ai, which any object of this shape fulfils.

    workspace = Workspace(memory="1GiB")
    await workspace.write_bytes("/sandbox/in.txt", b"1 2 3")
    done = await workspace.run(["wc", "-w", "in.txt"])
    later = Workspace(workspace.ref.id)                  # the same one, also in another process
    await workspace.close()

It stands by itself and needs no framework; dsandbox.adapters.pydantic_ai gives it the types that pydantic-ai looks for.
"""
import asyncio
import math
from dataclasses import dataclass
from os import PathLike
from posixpath import basename, join, normpath
from typing import TYPE_CHECKING, Callable, List, Mapping, Optional, Sequence, TypeVar, Union

from ._environment import (
    WORKING_DIR,
    Entry,
    Environment,
    WorkspaceError,
    WorkspaceOutputLimitError,
    WorkspaceTimeoutError,
    WorkspaceUnavailableError,
    absolute,
    environment_of,
)
from ._http import Hangup
from .aio import _call, _start, _until
from .client import Client
from .results import Result
from .sandbox import Data, OptionValues, Time

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = [
    "CommandResult",
    "FileEntry",
    "Workspace",
    "WorkspaceError",
    "WorkspaceOutputLimitError",
    "WorkspaceRef",
    "WorkspaceTimeoutError",
    "WorkspaceUnavailableError",
]

PROVIDER = "dsandbox"
T = TypeVar("T")
Path = Union[str, "PathLike[str]"]


@dataclass(frozen=True)
class WorkspaceRef:
    """What to come back to: `id` is that of the session."""

    provider: str
    id: str


@dataclass(frozen=True)
class CommandResult:
    """A command that came to its end. exit_code: 127, there is no such program; 128+n: it was killed by signal n."""

    exit_code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class FileEntry:
    """A file or directory; a link is what it points to. size: of regular files."""

    name: str
    path: str
    is_dir: bool
    size: Optional[int] = None


class Workspace:
    """A session's commands and files, for asyncio.

    id: an existing session; WorkspaceUnavailableError when it was closed. None: a new one, made by the first use, which only
        close() ends for good: one that was idle for too long goes on in a new sandbox, with its files.
    env: for each command. timeout: seconds (or "5s") for each command, None: the policy's.
    The other keyword arguments are those of Options.

    Paths are absolute or begin in the working directory. Failures of a path are the builtin ones (FileNotFoundError,
    IsADirectoryError, …), a command that took too long is a WorkspaceTimeoutError, one that wrote more than the policy's
    `output` keeps a WorkspaceOutputLimitError, and a session that is gone a WorkspaceUnavailableError.
    A process that a command leaves behind is ended with it.
    """

    def __init__(
        self,
        id: Optional[str] = None,
        *,
        client: Optional[Client] = None,
        env: Optional[Mapping[str, str]] = None,
        timeout: Optional[Time] = None,
        **options: "Unpack[OptionValues]",
    ) -> None:
        self._environment = Environment(id, client, timeout, **options)
        self._env = dict(env) if env is not None else None

    def __repr__(self) -> str:
        return f"Workspace({self._environment.id!r})"

    @property
    def ref(self) -> Optional[WorkspaceRef]:
        """None until it is there."""
        id = self._environment.id
        return None if id is None else WorkspaceRef(PROVIDER, id)

    async def working_dir(self) -> str:
        """Where commands begin."""
        await self._do(self._environment.open)
        return WORKING_DIR

    async def run(
        self,
        command: Union[str, Sequence[str]],
        *,
        shell: bool = False,
        cwd: Optional[Path] = None,
        env: Optional[Mapping[str, str]] = None,
        stdin: Optional[Data] = None,
        timeout: Optional[float] = None,
    ) -> CommandResult:
        """Run a program and its arguments, or with `shell` a line for /bin/sh. Cancelling the task stops it."""
        result = await self.execute(command, shell=shell, cwd=cwd, env=env, stdin=stdin, timeout=timeout)
        return CommandResult(*self._environment.complete(result, timeout))

    async def execute(
        self,
        command: Union[str, Sequence[str]],
        *,
        shell: bool = False,
        cwd: Optional[Path] = None,
        env: Optional[Mapping[str, str]] = None,
        stdin: Optional[Data] = None,
        timeout: Optional[float] = None,
    ) -> Result:
        """As run(), with all that there is to say: time limits and cut output are in the result, and no errors."""
        if shell is not isinstance(command, str):
            raise TypeError("a text needs shell=True, and a list of words shell=False")
        if timeout is not None and not (isinstance(timeout, (int, float)) and math.isfinite(timeout) and timeout > 0):
            raise ValueError(f"timeout: a positive number of seconds is expected, not {timeout!r}")
        if not command:
            raise ValueError("the command is empty")
        hangup, where = Hangup(), None if cwd is None else absolute(cwd)
        environment, variables = self._environment, environment_of(self._env, env)
        running = _start(lambda: environment.run(command, cwd=where, env=variables, stdin=stdin, timeout=timeout, hangup=hangup))
        return await _until(running, hangup)

    async def _do(self, call: Callable[[], T]) -> T:
        """What is begun comes to its end: a session that is being made is not forgotten when nobody waits for it any more."""
        return await _call(call)

    async def read_bytes(self, path: Path) -> bytes:
        place = absolute(path)
        return await self._do(lambda: self._environment.read(place))

    async def write_bytes(self, path: Path, data: bytes) -> None:
        """Create or replace a file, and the directories above it; through a link, where it is one."""
        place = absolute(path)
        await self._do(lambda: self._environment.write(place, data))

    async def stat(self, path: Path) -> FileEntry:
        place = absolute(path)
        return _file_entry(await self._do(lambda: self._environment.stat(place)), place)

    async def list_dir(self, path: Path) -> List[FileEntry]:
        """What is in a directory, by name."""
        place = absolute(path)
        return [_file_entry(entry, join(place, entry.name)) for entry in await self._do(lambda: self._environment.list(place))]

    async def make_dir(self, path: Path) -> None:
        """With those above it; one that is there is no error."""
        place = absolute(path)
        await self._do(lambda: self._environment.make(place))

    async def remove(self, path: Path) -> None:
        """A file, a link, or a directory with all that is in it. The working directory and those above it: ValueError."""
        place = absolute(path)
        await self._do(lambda: self._environment.remove(place))

    async def exists(self, path: Path) -> bool:
        place = absolute(path)
        return await self._do(lambda: self._environment.exists(place))

    async def realpath(self, path: Path) -> str:
        """Without links, as os.path.realpath says it inside."""
        place = absolute(path)
        return await self._do(lambda: self._environment.realpath(place))

    async def close(self, delete_files: bool = True) -> None:
        """End the session. Nothing else does: who holds the ref decides."""
        await self._do(lambda: self._environment.close(delete_files))


def _file_entry(entry: Entry, path: str) -> FileEntry:
    return FileEntry(basename(normpath(path)), path, entry.is_dir, entry.size)
