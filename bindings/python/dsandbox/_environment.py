# SPDX-License-Identifier: MIT
"""A session as frameworks want it: commands, and files at any path inside. Workspace and the adapters are skins of it.

Files are read and written by a small program in the sandbox, so that links, permissions and paths outside /sandbox mean what they
mean to the code. While the session is busy, questions that the service can answer as well are answered by it.
"""
import contextlib
import errno
import os
import posixpath
import re
import threading
import uuid
from typing import TYPE_CHECKING, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple, Union

from ._http import Hangup
from .client import Client
from .errors import BusyError, Error, LostError, NotFoundError, error_of
from .results import FileInfo, Result
from .sandbox import Command, Data, Options, OptionValues, Session, Time, _command

if TYPE_CHECKING:
    from typing_extensions import Unpack

WORKING_DIR = "/sandbox"
PIECE = 512 << 10  # bytes of a file in one answer: below the least that is kept of a command's output by default
WRITE_PIECE = 16 << 20  # the service takes bodies of 32 MiB, and this is sent as base64
FILE_SECONDS = 60
HEXADECIMAL = re.compile("(?:[0-9a-f]{2})+")

# What is run inside: the operation, the path as hexadecimal digits, and more. It prints "ok …" or "errno N", and the content.
# Nothing is imported that an interpreter does not have anyway: this is the time of each operation.
_INSIDE = r"""
import errno, os, stat, sys
operation, path, more = sys.argv[1], bytes.fromhex(sys.argv[2]), sys.argv[3:]

def opened(flags):
    fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    mode = os.fstat(fd).st_mode
    if stat.S_ISDIR(mode) or not stat.S_ISREG(mode):
        raise OSError(errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL, "")
    return fd

def read():
    fd = opened(os.O_RDONLY)
    os.lseek(fd, int(more[0]), os.SEEK_SET)
    return b"ok %d %s\n" % (os.fstat(fd).st_size, os.path.realpath(path).hex().encode()) + os.read(fd, int(more[1]))

def write():
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, "")
    data = sys.stdin.buffer.read()
    with os.fdopen(opened(os.O_WRONLY | os.O_CREAT | (os.O_APPEND if more[0] == "more" else os.O_TRUNC)), "wb") as file:
        file.write(data)
    return b"ok\n"

def row(name, where):
    try:
        facts = os.stat(where)
    except OSError:
        if operation != "list":
            raise
        return b"- -1 " + name + b"\0"
    if stat.S_ISDIR(facts.st_mode):
        return b"d -1 " + name + b"\0"
    return b"- %d " % (facts.st_size if stat.S_ISREG(facts.st_mode) else -1) + name + b"\0"

def listed():
    return b"ok\n" + b"".join(row(name, os.path.join(path, name)) for name in sorted(os.listdir(path)))

def removed():
    real, top = os.path.realpath(path), os.path.realpath(bytes.fromhex(more[0]))
    if not os.path.islink(path):
        if (top + b"/").startswith(real.rstrip(b"/") + b"/"):
            return b"errno 0\n"
        if os.path.isdir(path):
            import shutil
            shutil.rmtree(path)
            return b"ok\n"
    os.unlink(path)
    return b"ok\n"

def made():
    os.makedirs(path, exist_ok=True)
    return b"ok\n"

work = {"read": read, "write": write, "list": listed, "remove": removed, "make": made,
        "stat": lambda: b"ok\n" + row(os.path.basename(path.rstrip(b"/")), path),
        "realpath": lambda: b"ok\n" + os.path.realpath(path)}
try:
    answer = work[operation]()
except OSError as error:
    answer = b"errno %d\n" % (error.errno or errno.EIO)
sys.stdout.buffer.write(answer)
"""


class WorkspaceError(Error, RuntimeError):
    """The workspace could not do what was asked, and it is not the path's or the argument's fault."""

    code: str = "failed"


class WorkspaceUnavailableError(WorkspaceError):
    """The session is gone: to try again is of no use."""

    code: str = "not_found"


class WorkspaceTimeoutError(WorkspaceError, TimeoutError):
    """A command took longer than its time. stdout, stderr: what it had written."""

    code: str = "timeout"

    def __init__(self, message: str, code: Optional[str] = None, *, stdout: str = "", stderr: str = "") -> None:
        super().__init__(message, code)
        self.stdout = stdout
        self.stderr = stderr


class WorkspaceOutputLimitError(WorkspaceError):
    """A command wrote more than is kept. stdout, stderr: the beginning of it; limit: bytes of each."""

    code: str = "limit"

    def __init__(
        self, message: str, code: Optional[str] = None, *, limit: int = 0, stdout: str = "", stderr: str = ""
    ) -> None:
        super().__init__(message, code)
        self.limit = limit
        self.stdout = stdout
        self.stderr = stderr


class Entry(NamedTuple):
    """A file or directory inside; a link is what it points to. size: of regular files."""

    name: str
    is_dir: bool
    size: Optional[int]


class Environment:
    """One session, made by the first use, or the one that `id` names.

    One that was closed is gone. One that ended by its own times goes on in a new sandbox, with its files.
    """

    def __init__(
        self, id: Optional[str], client: Optional[Client], timeout: Optional[Time], **options: "Unpack[OptionValues]"
    ) -> None:
        self.id = id
        self.client: Client = client or Client()
        self.timeout = timeout
        self._options = Options(**options)
        self._lock = threading.Lock()
        self._ready = False

    def open(self) -> str:
        """The id of a session that is there. Whoever comes first makes it, the others wait."""
        with self._lock:
            if not self._ready and self.id is not None:
                self._look_for(self.id)
            elif self.id is None:
                self.id = Session(client=self.client, options=self._options, exist_ok=False).id
            self._ready = True
            assert self.id is not None
            return self.id

    def _look_for(self, id: str) -> None:
        with self.there():
            try:
                self.client.session(id)
            except NotFoundError:
                self.client.execute(id, {"argv": ["true"]})  # which brings back one that ended by its own times

    @contextlib.contextmanager
    def there(self) -> Iterator[None]:
        try:
            yield
        except (NotFoundError, LostError) as error:
            raise WorkspaceUnavailableError(error.message, error.code) from error

    def alive(self) -> bool:
        try:
            return self.id is not None and self.client.session(self.id).state != "ended"
        except NotFoundError:
            return False

    def close(self, delete_files: bool = True) -> None:
        """End the session. No error when there is none."""
        if self.id is not None:
            with contextlib.suppress(NotFoundError):
                self.client.delete(self.id, delete_files)

    # --- commands ------------------------------------------------------------------------------

    def run(
        self,
        command: Command,
        *,
        cwd: Optional[str] = None,
        env: Optional[Mapping[str, str]] = None,
        stdin: Optional[Data] = None,
        timeout: Optional[Time] = None,
        hangup: Optional[Hangup] = None,
        wait: bool = True,
    ) -> Result:
        """What came of a command that was run. What was not is an error, and so is an environment that ended meanwhile."""
        id = self.open()
        if stdin is not None and len(stdin) > (WRITE_PIECE if isinstance(stdin, bytes) else WRITE_PIECE // 4):
            command, stdin = self._with_file(id, command, stdin), None
        body = _command(command, cwd, env, stdin, timeout if timeout is not None else self.timeout)
        if not wait:
            body["wait"] = False
        with self.there():
            result = self.client.execute(id, body, hangup=hangup)
        if result.status == "lost" or (result.status == "cancelled" and not self.alive()):
            raise WorkspaceUnavailableError(f"session {id} ended while a command ran: {result.summary()}", "lost")
        if result.failure is not None:
            raise error_of(result.failure.code, result.failure.message)
        return result

    def _with_file(self, id: str, command: Command, data: Data) -> List[str]:
        """The command, whose input is a file that is gone when it begins: the service takes no body of that size."""
        name = f".dsandbox-input-{uuid.uuid4().hex}"
        with self.there():
            self.client.write_file(id, name, data.encode() if isinstance(data, str) else data)
        words = ["/bin/sh", "-c", command] if isinstance(command, str) else [os.fspath(word) for word in command]
        return ["/bin/sh", "-c", 'exec < "$0" && rm -f "$0" && exec "$@"', f"{WORKING_DIR}/{name}", *words]

    def complete(self, result: Result, time: Optional[Time]) -> Tuple[int, str, str]:
        """Exit code and output of a command that came to its end, and all of whose output is there."""
        if result.status == "timeout":
            limit = time if time is not None else self.timeout
            said = f"after {limit} s" if isinstance(limit, (int, float)) else "after its time limit"
            raise WorkspaceTimeoutError(f"the command was stopped {said}", stdout=result.stdout, stderr=result.stderr)
        if result.stdout_truncated or result.stderr_truncated or result.status == "output_limit":
            kept = max(len(result.stdout_data), len(result.stderr_data))
            wrote = f"{result.stdout_bytes} and {result.stderr_bytes} bytes, of which the first {kept} are kept"
            message = f"the command wrote {wrote}"
            raise WorkspaceOutputLimitError(message, limit=kept, stdout=result.stdout, stderr=result.stderr)
        return exit_code(result), result.stdout, stderr_of(result)

    # --- files ---------------------------------------------------------------------------------

    def _inside(
        self, operation: str, path: str, *more: str, data: Optional[bytes] = None, wait: bool = True
    ) -> Tuple[List[str], bytes]:
        """The words of the answer's first line, and the rest."""
        argv = ["python3", "-I", "-S", "-c", _INSIDE, operation, os.fsencode(path).hex(), *more]
        result = self.run(argv, stdin=data, wait=wait, timeout=FILE_SECONDS if self.timeout is None else None)
        head, _, rest = result.stdout_data.partition(b"\n")
        words = head.decode("ascii", "replace").split()
        if words[:1] == ["errno"] and len(words) == 2 and words[1].isdigit() and result.status == "ok":
            number = int(words[1])
            if number == 0:
                raise ValueError(f"{path!r} is the working directory, or has it in it: it is not removed")
            raise OSError(number, os.strerror(number), path)
        if words[:1] != ["ok"] or result.status != "ok":
            if result.status == "disk_limit":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
            said = result.stderr.strip().splitlines()[-1:] or [result.summary()]
            raise WorkspaceError(f"cannot {operation} {path!r}: {said[0]}")
        if result.stdout_truncated and operation != "read":
            kept = len(result.stdout_data)
            raise WorkspaceOutputLimitError(f"cannot {operation} {path!r}: the answer is too long", limit=kept)
        return words[1:], rest

    def _beside(self, path: str) -> Optional[FileInfo]:
        """Asked of the service, while the session is busy: an entry, or that there is none. BusyError: only the inside can tell."""
        name = posixpath.relpath(posixpath.normpath(path), WORKING_DIR)
        if name == "." or name.startswith(".."):
            raise BusyError("only the sandbox itself can tell")
        try:
            found = self.client.files(self.open(), posixpath.dirname(name))
        except NotFoundError:
            self._look_for(self.open())
            return None
        except Error as error:
            raise BusyError(error.message) from error
        for info in found:
            if info.name == os.fsencode(name):
                if info.type not in ("file", "directory"):
                    break
                return info
        else:
            if not found.truncated:
                return None
        raise BusyError("only the sandbox itself can tell")

    def _entry(self, path: str) -> Entry:
        info = self._beside(path)
        if info is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return Entry(posixpath.basename(path), info.type == "directory", info.size if info.type == "file" else None)

    def _content(self, path: str) -> bytes:
        info = self._beside(path)
        if info is None or info.type != "file" or info.mode is None or not info.mode & 0o400:
            raise BusyError("only the sandbox itself can tell")
        try:
            return self.client.read_file(self.open(), info.name)
        except Error as error:
            raise BusyError(error.message) from error

    def read(self, path: str) -> bytes:
        """Piece by piece, after the first one has shown that it may be read; what is long and below /sandbox comes at once."""
        try:
            words, data = self._inside("read", path, "0", str(PIECE), wait=False)
        except BusyError:
            with contextlib.suppress(BusyError):
                return self._content(path)
            words, data = self._inside("read", path, "0", str(PIECE))
        size = _number(words[:1], path)
        if size <= len(data):
            return data
        real = os.fsdecode(bytes.fromhex(words[1])) if len(words) == 2 and HEXADECIMAL.fullmatch(words[1]) else path
        if real.startswith(WORKING_DIR + "/"):
            with contextlib.suppress(Error):
                return self.client.read_file(self.open(), os.fsencode(real[len(WORKING_DIR) + 1 :]))
        pieces, done = [data], len(data)
        while data and done < size:
            data = self._inside("read", path, str(done), str(PIECE))[1]
            pieces.append(data)
            done += len(data)
        return b"".join(pieces)[:size]

    def write(self, path: str, data: bytes) -> None:
        for at in range(0, max(len(data), 1), WRITE_PIECE):
            self._inside("write", path, "more" if at else "new", data=data[at : at + WRITE_PIECE])

    def stat(self, path: str) -> Entry:
        try:
            rows = self._rows(self._inside("stat", path, wait=False)[1], path)
        except BusyError:
            with contextlib.suppress(BusyError):
                return self._entry(path)
            rows = self._rows(self._inside("stat", path)[1], path)
        if len(rows) != 1:
            raise _damaged(path)
        return rows[0]

    def exists(self, path: str) -> bool:
        try:
            self.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            return False
        return True

    def list(self, path: str) -> List[Entry]:
        return self._rows(self._inside("list", path)[1], path)

    def make(self, path: str) -> None:
        self._inside("make", path)

    def remove(self, path: str) -> None:
        self._inside("remove", path, WORKING_DIR.encode().hex())

    def realpath(self, path: str) -> str:
        real = os.fsdecode(self._inside("realpath", path)[1])
        if not real.startswith("/"):
            raise _damaged(path)
        return real

    @staticmethod
    def _rows(text: bytes, path: str) -> List[Entry]:
        entries = []
        for line in text.split(b"\0")[:-1]:
            parts = line.split(b" ", 2)
            if len(parts) != 3 or parts[0] not in (b"d", b"-"):
                raise _damaged(path)
            size = None if parts[1] == b"-1" else _number([parts[1].decode("ascii", "replace")], path)
            entries.append(Entry(os.fsdecode(parts[2]), parts[0] == b"d", size))
        return entries


def _damaged(path: str) -> WorkspaceError:
    return WorkspaceError(f"what the sandbox says of {path!r} makes no sense")


def _number(words: List[str], path: str) -> int:
    if len(words) != 1 or not words[0].isdigit():
        raise _damaged(path)
    return int(words[0])


def exit_code(result: Result) -> int:
    """As a shell says it; 137 of what was killed for passing a limit."""
    if result.exit_code is not None:
        return result.exit_code
    return 128 + result.signal if result.signal is not None else 137


def stderr_of(result: Result) -> str:
    """With a line that says why, where the command itself could not: it was killed."""
    if result.status in ("ok", "error", "signal", "timeout"):
        return result.stderr
    return result.stderr + ("" if result.stderr.endswith("\n") or not result.stderr else "\n") + f"dsandbox: {result.summary()}\n"


def absolute(path: Union[str, "os.PathLike[str]"]) -> str:
    """Relative paths begin in the working directory."""
    text = os.fspath(path)
    if "\0" in text:
        raise ValueError("a path has no NUL in it")
    return posixpath.join(WORKING_DIR, text)


def environment_of(base: Optional[Mapping[str, str]], more: Optional[Mapping[str, str]]) -> Optional[Dict[str, str]]:
    return {**(base or {}), **(more or {})} or None
