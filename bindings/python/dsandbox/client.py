# SPDX-License-Identifier: MIT
"""The per-user service, one method for each thing it does. Sandbox and Session (sandbox.py) are the comfortable way."""
import base64
import codecs
import os
import threading
from typing import IO, Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple, TypeVar, Union
from urllib.parse import quote, urlencode

from . import _service
from ._http import Hangup, Http
from ._tools import Tools
from .errors import InvalidError, ProtocolError, UnavailableError
from .results import FileInfo, HistoryEntry, Listing, Matches, Result, SessionInfo, Variable, file_info, matches, variable

__all__ = ["Client", "OutputCallback"]

OutputCallback = Callable[[str], Any]
Body = Mapping[str, Any]
Name = Union[str, bytes]
T = TypeVar("T")
PIECE = 64 << 10
PLACE_BEFORE, PLACE_AFTER = 4096, 200  # characters of code around a cursor that are looked at
DESCRIPTION_MAX = 64 << 10


class Client:
    """Finds the service, or starts it. May be used from many threads at once.

    socket_path: its unix socket; None: $XDG_RUNTIME_DIR/dsandbox/api.sock, else in /run/user/UID, else
        /tmp/.dsandbox-UID/api.sock.
    start: start `dsandbox serve` when no service answers.
    program: the program to start; None: $DSANDBOX_PROGRAM, else on PATH, else beside this package.
    timeout: seconds for an answer that does not wait for user code.
    """

    def __init__(
        self,
        socket_path: Optional[str] = None,
        *,
        start: bool = True,
        program: Optional[str] = None,
        timeout: float = 120.0,
    ) -> None:
        self.socket_path: str = socket_path or _service.default_socket()
        self.start = start
        self.program = program
        self._http = Http(self.socket_path, timeout)
        self._lock = threading.Lock()
        self._found = False

    def __repr__(self) -> str:
        return f"Client({self.socket_path!r})"

    def connect(self) -> "Client":
        """Find or start the service now. Every call does this by itself when it is needed."""
        with self._lock:
            _service.ensure(self.socket_path, self.start, self.program)
            self._found = True
        return self

    def ping(self) -> bool:
        """True, or an error that says why there is no service."""
        self.version()
        return True

    def version(self) -> Dict[str, Any]:
        """What the service says of itself: version, pid, started, sessions, executing, queued."""
        return self._json("GET", "/v1/version")

    # --- executions ------------------------------------------------------------

    def run(
        self,
        body: Body,
        on_stdout: Optional[OutputCallback] = None,
        on_stderr: Optional[OutputCallback] = None,
        tools: Optional[Tools] = None,
    ) -> Result:
        """POST /v1/run: one execution in a fresh sandbox."""
        return self._execution("/v1/run", body, on_stdout, on_stderr, None, tools)

    def execute(
        self,
        session: str,
        body: Body,
        on_stdout: Optional[OutputCallback] = None,
        on_stderr: Optional[OutputCallback] = None,
        hangup: Optional[Hangup] = None,
        tools: Optional[Tools] = None,
    ) -> Result:
        """POST /v1/sessions/ID/execute. The callbacks get the output as text while the code runs.

        When this thread leaves early (KeyboardInterrupt, an error in a callback) the execution is stopped; `hangup`
        lets another thread do that.
        """
        return self._execution(_path(session, "execute"), body, on_stdout, on_stderr, hangup, tools)

    def interrupt(self, session: str) -> bool:
        """Stop the running execution, with SIGINT first. False: none was running."""
        return self._json("POST", _path(session, "interrupt")).get("interrupted") is True

    def stdin(self, session: str, data: bytes, end: bool = False) -> None:
        """More standard input for the running execution (started with "stdin_open")."""
        self._call("POST", _path(session, "stdin") + ("?end=1" if end else ""), data)

    # --- sessions --------------------------------------------------------------

    def sessions(self, labels: Optional[Mapping[str, str]] = None) -> List[SessionInfo]:
        query = urlencode([("label", f"{key}={value}") for key, value in (labels or {}).items()])
        answer = self._json("GET", "/v1/sessions" + ("?" + query if query else ""))
        return [SessionInfo.from_json(item) for item in _list(answer, "sessions")]

    def create(self, body: Body) -> SessionInfo:
        """POST /v1/sessions: the session exists and its sandbox is ready afterwards."""
        return SessionInfo.from_json(self._json("POST", "/v1/sessions", body, patient=True))

    def session(self, session: str) -> SessionInfo:
        return SessionInfo.from_json(self._json("GET", _path(session)))

    def delete(self, session: str, files: bool = False) -> None:
        """End the sandbox; `files`: also delete what is in the session's directory."""
        self._call("DELETE", _path(session) + ("?files=1" if files else ""))

    def reset(self, session: str) -> None:
        """A fresh interpreter; files stay."""
        self._json("POST", _path(session, "reset"), {}, patient=True)

    def save(self, session: str) -> Dict[str, Any]:
        """Keep the variables that can be pickled in a file of the sandbox: {"saved", "not_saved"}."""
        return self._json("POST", _path(session, "save"), {}, patient=True)

    def restore(self, session: str) -> Dict[str, Any]:
        """The reverse of save: {"restored", "not_restored"}."""
        return self._json("POST", _path(session, "restore"), {}, patient=True)

    def variables(self, session: str) -> Listing[Variable]:
        """`truncated` where there are more than 1000."""
        answer = self._json("GET", _path(session, "vars"), patient=True)
        return Listing((variable(item) for item in _list(answer, "vars")), answer.get("truncated") is True)

    def complete(self, session: str, code: str, cursor: int) -> Matches:
        """Names that could stand where the cursor is, so many characters from the beginning of the code."""
        first, body = _place(code, cursor)
        found = matches(self._json("POST", _path(session, "complete"), body), body["code"], body["cursor"])
        return Matches(found.names, first + found.start, first + found.end, found.truncated)

    def inspect(self, session: str, code: str, cursor: int, detail: bool = False) -> Optional[str]:
        """What is known of the name where the cursor is, or whose call it is in; `detail`: its source as well. None: nothing."""
        answer = self._json("POST", _path(session, "inspect"), {**_place(code, cursor)[1], "detail": detail})
        text = answer.get("text")
        return text[:DESCRIPTION_MAX] if answer.get("found") is True and isinstance(text, str) else None

    def history(self, session: str) -> Listing[HistoryEntry]:
        """The last executions, oldest first; `truncated` where there were others before."""
        answer = self._json("GET", _path(session, "history"))
        entries = (HistoryEntry.from_json(item) for item in _list(answer, "executions"))
        return Listing(entries, answer.get("truncated") is True)

    # --- files -----------------------------------------------------------------

    def files(self, session: str, path: Name = "") -> Listing[FileInfo]:
        """Everything below a directory of the session, "" for all; `truncated` where that is too much for a list."""
        query = "?" + urlencode({"path": path}) if path else ""
        answer = self._json("GET", _path(session, "files") + query)
        return Listing((file_info(item) for item in _list(answer, "files")), answer.get("truncated") is True)

    def read_file(self, session: str, path: Name) -> bytes:
        return self._call("GET", _path(session, "files", path), accept="*/*")

    def write_file(self, session: str, path: Name, data: bytes) -> None:
        """Create or replace."""
        self._call("PUT", _path(session, "files", path), data)

    def download_file(self, session: str, path: Name, to: IO[bytes]) -> int:
        """As read_file, into a binary file: a content of any size, which is not held in memory. Its size."""
        self._look()
        return self._http.download(_path(session, "files", path), to)

    def upload_file(self, session: str, path: Name, source: IO[bytes]) -> None:
        """As write_file, from a binary file, up to its end. The service has nothing new unless it is all there."""
        self._look()
        failed: List[Exception] = []

        def pieces() -> Iterator[bytes]:
            try:
                yield from iter(lambda: source.read(PIECE), b"")
            except Exception as error:
                failed.append(error)  # not one of the connection
                raise

        try:
            self._http.call("PUT", _path(session, "files", path), pieces())
        except Exception:
            if failed:
                raise failed[0] from None
            raise

    def delete_file(self, session: str, path: Name, recursive: bool = False) -> None:
        self._call("DELETE", _path(session, "files", path) + ("?recursive=1" if recursive else ""))

    def gc(self) -> Dict[str, Any]:
        """Remove what dead runs left behind."""
        return self._json("POST", "/v1/gc", {}, patient=True)

    # --- how -------------------------------------------------------------------

    def _json(self, method: str, path: str, body: Optional[Body] = None, patient: bool = False) -> Dict[str, Any]:
        return self._with_service(lambda: self._http.json(method, path, body, patient=patient))

    def _call(self, method: str, path: str, body: Optional[bytes] = None, accept: str = "application/json") -> bytes:
        return self._with_service(lambda: self._http.call(method, path, body, accept))

    def _with_service(self, call: Callable[[], T]) -> T:
        """The service leaves when it is idle. A call that found nobody is made once more with a new one."""
        if not self._found:
            self.connect()
        try:
            return call()
        except UnavailableError:
            if not self.start or _service.answers(self.socket_path) is None:
                raise
        self.connect()
        return call()

    def _look(self) -> None:
        """For what cannot be sent twice: there is a service now."""
        if not self._found or _service.answers(self.socket_path) is not None:
            self.connect()

    def _execution(
        self,
        path: str,
        body: Body,
        on_stdout: Optional[OutputCallback],
        on_stderr: Optional[OutputCallback],
        hangup: Optional[Hangup] = None,
        tools: Optional[Tools] = None,
    ) -> Result:
        follow = on_stdout is not None or on_stderr is not None or tools is not None
        # An execution is never sent twice: the service may have run it.
        self._look()
        if not follow:
            answer = self._http.json("POST", path, body, patient=True, hangup=hangup)
        else:
            decoders = {"stdout": _Decoder(on_stdout), "stderr": _Decoder(on_stderr)}
            events: Iterator[Any] = self._http.events(path, body, hangup)
            answer = _follow(events if tools is None else self._with_tools(events, tools), decoders)
        try:
            return Result.from_json(answer)
        except ValueError as error:
            raise ProtocolError(f"the service's answer is no result: {error}") from error


    def _with_tools(self, events: Iterator[Any], tools: Tools) -> Iterator[Any]:
        """The same events; what is a call is made meanwhile."""
        execution: Optional[str] = None
        try:
            for name, data in events:
                if name == "accepted":
                    execution = data.get("id")
                if name == "call":
                    tools.call(self._http, execution, data)
                yield name, data
        finally:
            tools.end()
            close = getattr(events, "close", None)
            if close is not None:
                close()


class _Decoder:
    """Hands bytes on as text, whole characters only."""

    def __init__(self, callback: Optional[OutputCallback]) -> None:
        self.callback = callback
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.given = 0
        self.waiting = False  # something was left out because we were slow: the rest comes with the result

    def feed(self, data: bytes, final: bool = False) -> None:
        if self.waiting:
            return
        self.given += len(data)
        text = self.decoder.decode(data, final)
        if text and self.callback is not None:
            self.callback(text)

    def end(self, kept: bytes) -> None:
        """`kept`: all that the result has."""
        rest = kept[self.given :] if self.waiting else b""
        self.waiting = False
        self.feed(rest, True)


def _follow(events: Iterator[Any], decoders: Mapping[str, _Decoder]) -> Dict[str, Any]:
    try:
        for name, data in events:
            if name in decoders:
                decoders[name].feed(_chunk(data))
            elif name == "dropped" and data.get("stream") in decoders:
                decoders[data["stream"]].waiting = True
            elif name == "result":
                for stream, decoder in decoders.items():
                    decoder.end(_chunk({"text": data.get(stream), "base64": data.get(f"{stream}_base64")}))
                return dict(data)
    finally:
        close = getattr(events, "close", None)
        if close is not None:
            close()  # hangs up, which stops the execution when it has not ended
    raise UnavailableError("the service went away before the result came")


def _chunk(data: Mapping[str, Any]) -> bytes:
    if isinstance(data.get("base64"), str):
        return base64.b64decode(data["base64"])
    text = data.get("text")
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else b""


def _check_name(path: Name) -> None:
    """A name of a file may come from a model: it is one of this session, or none."""
    for part in os.fsencode(path).split(b"/"):
        if part in (b"", b".", b".."):
            raise InvalidError(f"{path!r} is not the path of a file below /sandbox: no part may be empty, '.' or '..'")


def _path(session: str, *parts: Name) -> str:
    if session in ("", ".", ".."):
        raise InvalidError(f"{session!r} is not the id of a session")
    for name in parts[1:]:
        _check_name(name)
    quoted: Iterable[str] = [quote(part, safe="/" if i else "") for i, part in enumerate(parts)]
    return "/".join(["/v1/sessions", quote(session, safe=""), *quoted])


def _place(code: str, cursor: int) -> Tuple[int, Dict[str, Any]]:
    """What is around the cursor, and where that begins."""
    cursor = max(0, min(cursor, len(code)))
    first = max(0, cursor - PLACE_BEFORE)
    return first, {"code": code[first : cursor + PLACE_AFTER].replace("\0", " "), "cursor": cursor - first}


def _list(answer: Mapping[str, Any], key: str) -> List[Dict[str, Any]]:
    value = answer.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
