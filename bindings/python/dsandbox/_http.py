# SPDX-License-Identifier: MIT
"""HTTP over the service's unix socket: one connection per call, so that calls from many threads need no lock."""
import contextlib
import http.client
import json
import os
import select
import socket
import struct
import threading
from typing import IO, Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple, Union

from .errors import DeniedError, Error, ProtocolError, TimedOutError, UnavailableError, error_of

ANSWER_MAX = 256 << 20  # bytes of one answer; the service's own limits are far below
CHUNK = 64 << 10
EVENT_MAX = 64 << 20  # bytes of one event
PROBE_SECONDS = 30.0  # of silence, after which the service is asked whether it is still there


class _Socket(socket.socket):
    """A socket whose reads wait without a limit as long as `probe` does not raise."""

    probe: Optional[Callable[[], None]] = None

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        if self.probe is not None:
            poll = select.poll()
            poll.register(self, select.POLLIN)
            while not poll.poll(PROBE_SECONDS * 1000):
                self.probe()
        return super().recv_into(buffer, nbytes, flags)


class Hangup:
    """Ends one call from another thread: the service stops the execution, and the call fails."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sock: Optional[socket.socket] = None
        self._done = False

    def attach(self, sock: Optional[socket.socket]) -> None:
        with self._lock:
            self._sock = sock
            if self._done:
                self._shut()

    def hang_up(self) -> None:
        with self._lock:
            self._done = True
            self._shut()

    def _shut(self) -> None:
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: Optional[float], probe: Optional[Callable[[], None]]) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path
        self.probe = probe

    def connect(self) -> None:
        sock = _Socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(self.timeout)
            sock.connect(self.path)
            _check_peer(sock, self.path)
        except BaseException:
            sock.close()
            raise
        sock.probe = self.probe
        self.sock = sock


def _check_peer(sock: socket.socket, path: str) -> None:
    """Whoever listens must be this very user: code and files are handed over."""
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    if uid != os.geteuid():
        raise DeniedError(f"the service at {path} belongs to user {uid}, not to you; set XDG_RUNTIME_DIR")


class Http:
    """The calls to one socket. `timeout`: seconds for an answer that does not wait for user code."""

    def __init__(self, path: str, timeout: float = 120.0) -> None:
        self.path = path
        self.timeout = timeout

    def open(
        self,
        method: str,
        path: str,
        body: Union[bytes, Iterator[bytes], Mapping[str, Any], None] = None,
        accept: str = "application/json",
        timeout: Optional[float] = None,
        patient: bool = False,
        hangup: Optional[Hangup] = None,
    ) -> Tuple[_Connection, http.client.HTTPResponse]:
        """Send a request and read the head of its answer. `patient`: wait as long as the service is alive."""
        headers = {"Accept": accept, "Connection": "close"}
        data: Union[bytes, Iterator[bytes], None] = None
        if isinstance(body, bytes):
            data, headers["Content-Type"] = body, "application/octet-stream"
        elif isinstance(body, Iterator):
            data, headers["Content-Type"] = body, "application/octet-stream"
            headers["Transfer-Encoding"] = "chunked"
        elif body is not None:
            data, headers["Content-Type"] = json.dumps(body, allow_nan=False).encode(), "application/json"
        limit = None if patient else timeout or self.timeout
        connection = _Connection(self.path, limit, self._probe if patient else None)
        try:
            connection.connect()
            if hangup is not None:
                hangup.attach(connection.sock)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, path, data, headers, encode_chunked=isinstance(data, Iterator))
            # What is refused early is not read to its end: the answer is there all the same, or there is none.
            return connection, connection.getresponse()
        except BaseException as error:
            connection.close()
            raise self._explain(error, method, path) from error

    def call(
        self,
        method: str,
        path: str,
        body: Union[bytes, Iterator[bytes], Mapping[str, Any], None] = None,
        accept: str = "application/json",
        timeout: Optional[float] = None,
        patient: bool = False,
        hangup: Optional[Hangup] = None,
    ) -> bytes:
        """One call; the body of its answer. Raises the service's error."""
        connection, response = self.open(method, path, body, accept, timeout, patient, hangup)
        try:
            data = _read_all(response)
        except BaseException as error:
            raise self._explain(error, method, path) from error
        finally:
            if hangup is not None:
                hangup.attach(None)
            response.close()
            connection.close()
        if response.status >= 400:
            raise service_error(response.status, data)
        return data

    def json(
        self,
        method: str,
        path: str,
        body: Optional[Mapping[str, Any]] = None,
        timeout: Optional[float] = None,
        patient: bool = False,
        hangup: Optional[Hangup] = None,
    ) -> Dict[str, Any]:
        return parse_object(self.call(method, path, body, timeout=timeout, patient=patient, hangup=hangup) or b"{}")

    def download(self, path: str, to: IO[bytes]) -> int:
        """GET a content of any size; how many bytes it has. Raises the service's error before anything is written."""
        connection, response = self.open("GET", path, accept="*/*")
        size = 0
        try:
            if response.status >= 400:
                raise service_error(response.status, _read_all(response))
            for part in _parts(response):
                to.write(part)
                size += len(part)
            return size
        except (ConnectionError, socket.timeout, http.client.HTTPException) as error:
            raise self._explain(error, "GET", path) from error
        finally:
            response.close()
            connection.close()

    def events(
        self, path: str, body: Mapping[str, Any], hangup: Optional[Hangup] = None
    ) -> Iterator[Tuple[str, Dict[str, Any]]]:
        """POST and give the server-sent events as they come. Leaving the loop hangs up."""
        connection, response = self.open("POST", path, body, "text/event-stream", patient=True, hangup=hangup)
        try:
            kind = (response.getheader("Content-Type") or "").split(";")[0].strip().lower()
            if response.status >= 400:
                raise service_error(response.status, _read_all(response))
            if kind != "text/event-stream":
                yield "result", parse_object(_read_all(response))
                return
            yield from _events(response)
        except (OSError, http.client.HTTPException) as error:
            raise self._explain(error, "POST", path) from error
        finally:
            if hangup is not None:
                hangup.attach(None)
            response.close()
            connection.close()

    def _probe(self) -> None:
        self.call("GET", "/v1/version", timeout=20.0)

    def _explain(self, error: BaseException, method: str, path: str) -> BaseException:
        if isinstance(error, Error) or not isinstance(error, (OSError, http.client.HTTPException)):
            return error
        if isinstance(error, socket.timeout):
            return TimedOutError(f"the service at {self.path} did not answer {method} {path} in time")
        if isinstance(error, PermissionError):
            return DeniedError(f"the service's socket {self.path} is not yours: {error.strerror}")
        if isinstance(error, http.client.IncompleteRead) and error.expected:
            return UnavailableError(
                f"what the service at {self.path} sends was cut off: a file was changed while it was read, its session "
                "ended, or the service did"
            )
        if isinstance(error, (ConnectionError, FileNotFoundError, http.client.IncompleteRead)):
            return UnavailableError(f"the service at {self.path} does not answer or went away: {error}")
        if isinstance(error, http.client.HTTPException):
            return ProtocolError(f"what answers at {self.path} is not the service: {error!r}")
        return UnavailableError(f"cannot speak to the service at {self.path}: {error}")


def _parts(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        part = response.read(CHUNK)  # older Pythons allocate all that is asked for
        if part:
            yield part
            continue
        missing = response.length
        if missing:  # a piece that is asked for may be missing without an error
            raise http.client.IncompleteRead(b"", missing)
        return


def _read_all(response: http.client.HTTPResponse) -> bytes:
    size = 0
    parts: List[bytes] = []
    for part in _parts(response):
        parts.append(part)
        size += len(part)
        if size > ANSWER_MAX:
            raise ProtocolError(f"the service's answer is bigger than {ANSWER_MAX >> 20} MiB")
    return b"".join(parts)


def parse_object(data: bytes) -> Dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"the service's answer is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ProtocolError("the service's answer is not a JSON object")
    return value


def service_error(status: int, data: bytes) -> Error:
    try:
        error = json.loads(data)["error"]
        return error_of(str(error["code"]), str(error["message"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return ProtocolError(f"the service answered with HTTP status {status} and no error object")


def _events(response: http.client.HTTPResponse) -> Iterator[Tuple[str, Dict[str, Any]]]:
    name, size = "message", 0
    lines: List[bytes] = []
    while True:
        line = response.readline(EVENT_MAX + 1)
        size += len(line)
        if size > EVENT_MAX:
            raise ProtocolError(f"the service sent an event of more than {EVENT_MAX >> 20} MiB")
        if not line:
            return
        line = line.rstrip(b"\r\n")
        if not line:
            if lines:
                yield name, parse_object(b"\n".join(lines))
            name, lines, size = "message", [], 0
        elif line.startswith(b"event:"):
            name = line[6:].strip().decode("utf-8", "replace")
        elif line.startswith(b"data:"):
            lines.append(line[6:] if line[5:6] == b" " else line[5:])
