# SPDX-License-Identifier: MIT
"""The result of an execution (doc/result.schema.json, `dsandbox.result/1`) and what else the service answers, typed.

Only what the schema promises is relied upon: an absent member gives the default, an unknown one stays in `raw`.
"""
import base64
import binascii
import os
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple, TypeVar

from .errors import ExecutionFailed

__all__ = [
    "Background",
    "CodeError",
    "Control",
    "Display",
    "Failure",
    "FileChanges",
    "FileInfo",
    "HistoryEntry",
    "Listing",
    "Matches",
    "Missing",
    "Omitted",
    "Restored",
    "Result",
    "SessionInfo",
    "State",
    "ToolCall",
    "Usage",
    "Variable",
    "VariableChanges",
]

Json = Mapping[str, Any]
NAMES_MAX, NAME_MAX = 1000, 200
T = TypeVar("T")


def _text(data: Json, key: str) -> Optional[str]:
    value = data.get(key)
    return value if isinstance(value, str) else None


def _int(data: Json, key: str) -> Optional[int]:
    value = data.get(key)
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _object(data: Json, key: str) -> Dict[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _objects(data: Json, key: str) -> List[Dict[str, Any]]:
    value = data.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


@dataclass(frozen=True)
class Failure:
    """Why nothing ran, or why there is no answer: our or the engine's failure, or a refusal."""

    code: str
    message: str


@dataclass(frozen=True)
class CodeError:
    """The exception that the code did not catch, in the code's own words."""

    name: str
    value: str
    traceback: Optional[str]


@dataclass(frozen=True)
class Background:
    """What processes and threads of earlier executions wrote since the result before."""

    stdout: str
    stderr: str
    truncated: bool


@dataclass(frozen=True)
class ToolCall:
    """One call of a tool. status: "ok", "error", "refused", "timeout" or "abandoned"."""

    tool: str
    status: str
    ms: float
    arguments_bytes: int
    answer_bytes: int


@dataclass(frozen=True)
class Display:
    """One displayed object, figure or value as a MIME bundle."""

    data: Dict[str, Any]

    @property
    def text(self) -> Optional[str]:
        return _text(self.data, "text/plain")

    @property
    def html(self) -> Optional[str]:
        return _text(self.data, "text/html")

    @property
    def svg(self) -> Optional[str]:
        return _text(self.data, "image/svg+xml")

    @property
    def json(self) -> Any:
        return self.data.get("application/json")

    @property
    def png(self) -> Optional[bytes]:
        return self.image("image/png")

    def image(self, mime: str) -> Optional[bytes]:
        """The bytes of an image that the bundle holds as base64; None when it has none of that kind."""
        text = _text(self.data, mime)
        try:
            return base64.b64decode(text) if text is not None else None
        except (binascii.Error, ValueError):
            return None


@dataclass(frozen=True)
class Matches:
    """Names that could stand in code, in the place of what is from `start` to `end`; the sandbox's word, and at most 1000.

    truncated: there are more, or they were not found in time.
    """

    names: Tuple[str, ...]
    start: int
    end: int
    truncated: bool


@dataclass(frozen=True)
class Omitted:
    """So many results are missing, or have no picture, and why."""

    count: int
    reason: str


@dataclass(frozen=True)
class FileInfo:
    """A file of a session; `path` is relative to /sandbox.

    name: the bytes of the path, which `path` shows with U+FFFD where they are no text. All methods take either.
    """

    path: str
    type: str = "file"
    size: Optional[int] = None
    mtime: Any = None
    name: bytes = b""
    mode: Optional[int] = None


class Listing(List[T]):
    """A list, and whether it was cut: `truncated` says that there is more than is in it."""

    def __init__(self, items: Iterable[T] = (), truncated: bool = False) -> None:
        super().__init__(items)
        self.truncated = truncated


@dataclass(frozen=True)
class FileChanges:
    created: Tuple[FileInfo, ...] = ()
    modified: Tuple[FileInfo, ...] = ()
    deleted: Tuple[FileInfo, ...] = ()
    truncated: bool = False


@dataclass(frozen=True)
class Variable:
    """A variable of a session, in the session's own words."""

    name: str
    type: str = ""
    size: Optional[int] = None
    repr: Optional[str] = None


@dataclass(frozen=True)
class VariableChanges:
    created: Tuple[Variable, ...] = ()
    changed: Tuple[Variable, ...] = ()
    deleted: Tuple[Variable, ...] = ()
    truncated: bool = False


@dataclass(frozen=True)
class Missing:
    """A variable that did not come back, and why."""

    name: str
    why: str


@dataclass(frozen=True)
class Restored:
    """Which saved variables came back before the code ran, in the sandbox's own words."""

    names: Tuple[str, ...] = ()
    missing: Tuple[Missing, ...] = ()


@dataclass(frozen=True)
class State:
    """What became of the session's variables: `kept`, `rolled_back` or `lost`, and why.

    execution: the number of this execution in its sandbox. to: at whose end the variables are again.
    point: whether a crash in a later execution can be rolled back to the end of this one: `taken`; `pending: …`, when the
    session is quiet, and what a crash before that does; `skipped: …`; `off`.
    restored: after a loss, what came back of the variables that had been saved.
    """

    outcome: str
    reason: Optional[str] = None
    point: Optional[str] = None
    variables: VariableChanges = field(default_factory=VariableChanges)
    execution: Optional[int] = None
    to: Optional[int] = None
    restored: Optional[Restored] = None

    @property
    def kept(self) -> bool:
        return self.outcome == "kept"

    @property
    def rolled_back(self) -> bool:
        return self.outcome == "rolled_back"

    @property
    def lost(self) -> bool:
        return self.outcome == "lost"


@dataclass(frozen=True)
class Usage:
    """None: could not be measured."""

    wall_ms: Optional[int] = None
    cpu_ms: Optional[int] = None
    memory_peak_bytes: Optional[int] = None
    pids_peak: Optional[int] = None
    oom_kills: Optional[int] = None


@dataclass(frozen=True)
class Control:
    """One control of the policy: what was asked for, what was measured, and from where."""

    name: str
    asked: Optional[str]
    measured: Optional[str]
    source: Optional[str]
    verdict: str


@dataclass(frozen=True)
class Result:
    """One execution. `status`: ok error timeout oom signal output_limit disk_limit cancelled lost refused.

    reason: what the status means here, where it does not say all. image: as it was asked for; image_id: what was run.
    plugin: path and version of the file that the backend is. leftover: what could not be removed, and why. warm: the sandbox had
    waited in the service's pool.
    """

    status: str
    exit_code: Optional[int] = None
    signal: Optional[int] = None
    failure: Optional[Failure] = None
    stdout: str = ""
    stderr: str = ""
    stdout_data: bytes = b""
    stderr_data: bytes = b""
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    stdout_truncated: bool = False
    stderr_truncated: bool = False
    stdout_tail: str = ""
    stderr_tail: str = ""
    stdout_file: Optional[str] = None
    stderr_file: Optional[str] = None
    stdout_file_bytes: int = 0
    stderr_file_bytes: int = 0
    background: Optional[Background] = None
    error: Optional[CodeError] = None
    results: Tuple[Display, ...] = ()
    results_omitted: Tuple[Omitted, ...] = ()
    files: FileChanges = field(default_factory=FileChanges)
    state: Optional[State] = None
    usage: Usage = field(default_factory=Usage)
    policy_sha256: Optional[str] = None
    controls: Tuple[Control, ...] = ()
    backend: Optional[str] = None
    engine: Optional[Dict[str, Any]] = None
    image: Optional[str] = None
    workdir: Optional[str] = None
    timing: Dict[str, float] = field(default_factory=dict)
    id: Optional[str] = None
    session: Optional[str] = None
    raw: Dict[str, Any] = field(default_factory=dict, repr=False)
    reason: Optional[str] = None
    image_id: Optional[str] = None
    plugin: Optional[Dict[str, Any]] = None
    leftover: Optional[str] = None
    warm: bool = False
    calls: Tuple[ToolCall, ...] = ()
    calls_total: Optional[int] = None
    results_value: bool = False

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    @property
    def ran(self) -> bool:
        """The code was started. False: it was refused, or failed before."""
        return self.failure is None or self.status == "lost"

    @property
    def value(self) -> Optional[str]:
        """The text of what was displayed last, normally the value of the last expression."""
        return self.results[-1].text if self.results else None

    def summary(self) -> str:
        """One line that says how it ended."""
        if self.failure is not None:
            return self.failure.message
        if self.error is not None:
            return f"{self.error.name}: {self.error.value}" if self.error.value else self.error.name
        if self.status == "error":
            return f"the code ended with exit status {self.exit_code}"
        words = {
            "ok": "the code ended well",
            "timeout": "the code was stopped after its time limit",
            "oom": "the code was stopped: out of memory",
            "signal": f"the code was ended by signal {self.signal}",
            "output_limit": "the code was stopped: too much output",
            "disk_limit": "the code was stopped: too much in /sandbox",
            "cancelled": "the code was stopped by the caller",
        }
        return words.get(self.status, f"the execution ended with status {self.status}")

    def check(self) -> "Result":
        """This result, or ExecutionFailed when its status is not `ok`."""
        if not self.ok:
            raise ExecutionFailed(self.summary(), self)
        return self

    @classmethod
    def from_json(cls, data: Json) -> "Result":
        status = _text(data, "status")
        if status is None:
            raise ValueError("not a result: it has no status")
        policy, image = _object(data, "policy"), _object(data, "image")
        out, err = _stream(data, "stdout"), _stream(data, "stderr")
        return cls(
            status=status,
            exit_code=_int(data, "exit_code"),
            signal=_int(data, "signal"),
            failure=_failure(_object(data, "failure")),
            stdout=out.decode("utf-8", "replace"),
            stderr=err.decode("utf-8", "replace"),
            stdout_data=out,
            stderr_data=err,
            stdout_bytes=_int(data, "stdout_bytes") or len(out),
            stderr_bytes=_int(data, "stderr_bytes") or len(err),
            stdout_truncated=data.get("stdout_truncated") is True,
            stderr_truncated=data.get("stderr_truncated") is True,
            stdout_tail=_text(data, "stdout_tail") or "",
            stderr_tail=_text(data, "stderr_tail") or "",
            stdout_file=_text(data, "stdout_file"),
            stderr_file=_text(data, "stderr_file"),
            stdout_file_bytes=_int(data, "stdout_file_bytes") or 0,
            stderr_file_bytes=_int(data, "stderr_file_bytes") or 0,
            background=_background(_object(data, "background")),
            calls=tuple(_tool_call(item) for item in _objects(data, "calls")),
            calls_total=_int(data, "calls_total"),
            error=_code_error(_object(data, "error")),
            results=tuple(Display(item) for item in _objects(data, "results")),
            results_omitted=tuple(
                Omitted(_int(item, "count") or 0, _text(item, "reason") or "")
                for item in _objects(data, "results_omitted")
            ),
            files=_file_changes(_object(data, "files")),
            state=_state(_object(data, "state")),
            usage=_usage(_object(data, "usage")),
            policy_sha256=_text(policy, "sha256"),
            controls=tuple(_control(item) for item in _objects(policy, "controls")),
            backend=_text(data, "backend"),
            engine=_object(data, "engine") or None,
            image=_text(image, "ref"),
            workdir=_text(data, "workdir"),
            timing={k: float(v) for k, v in _object(data, "timing").items() if isinstance(v, (int, float))},
            id=_text(data, "id"),
            session=_text(data, "session"),
            raw=dict(data),
            reason=_text(data, "reason"),
            image_id=_text(image, "id"),
            plugin=_object(data, "plugin") or None,
            leftover=_text(data, "leftover"),
            warm=data.get("warm") is True,
            results_value=data.get("results_value") is True,
        )


@dataclass(frozen=True)
class SessionInfo:
    """A session as the service knows it. `state`: starting idle busy ended."""

    id: str
    state: str
    backend: Optional[str] = None
    engine: Any = None
    image: Any = None
    workdir: Optional[str] = None
    base_dir: Optional[str] = None
    labels: Dict[str, str] = field(default_factory=dict)
    created: Any = None
    used: Any = None
    executions: int = 0
    queued: int = 0
    raw: Dict[str, Any] = field(default_factory=dict, repr=False)
    container: Optional[str] = None
    policy: Any = None
    lost: Any = None
    changed: Any = None

    @classmethod
    def from_json(cls, data: Json) -> "SessionInfo":
        return cls(
            id=_text(data, "id") or "",
            state=_text(data, "state") or "",
            backend=_text(data, "backend"),
            engine=data.get("engine"),
            image=data.get("image"),
            workdir=_text(data, "workdir"),
            base_dir=_text(data, "base_dir"),
            labels={str(k): str(v) for k, v in _object(data, "labels").items()},
            created=data.get("created"),
            used=data.get("used"),
            executions=_int(data, "executions") or 0,
            queued=_int(data, "queued") or 0,
            raw=dict(data),
            container=_text(data, "container"),
            policy=data.get("policy"),
            lost=data.get("lost"),
            changed=data.get("changed"),
        )


@dataclass(frozen=True)
class HistoryEntry:
    """One past execution of a session. code_truncated: `code` is the first 64 KiB of it.

    command: it was a command, and `code` is its line as a shell would read it.
    """

    n: int
    id: Optional[str]
    code: str
    status: str
    started: Any = None
    wall_ms: Optional[int] = None
    error: Any = None
    code_truncated: bool = False
    command: bool = False

    @classmethod
    def from_json(cls, data: Json) -> "HistoryEntry":
        return cls(
            n=_int(data, "n") or 0,
            id=_text(data, "id"),
            code=_text(data, "code") or "",
            status=_text(data, "status") or "",
            started=data.get("started"),
            wall_ms=_int(data, "wall_ms"),
            error=data.get("error"),
            code_truncated=data.get("code_truncated") is True,
            command=data.get("command") is True,
        )


def _stream(data: Json, name: str) -> bytes:
    exact = _text(data, name + "_base64")
    if exact is not None:
        return base64.b64decode(exact)
    return (_text(data, name) or "").encode("utf-8", "surrogatepass")


def _failure(data: Json) -> Optional[Failure]:
    return Failure(_text(data, "code") or "failed", _text(data, "message") or "") if data else None


def _tool_call(data: Json) -> ToolCall:
    ms = data.get("ms")
    return ToolCall(
        _text(data, "tool") or "",
        _text(data, "status") or "",
        float(ms) if isinstance(ms, (int, float)) else 0.0,
        _int(data, "arguments_bytes") or 0,
        _int(data, "answer_bytes") or 0,
    )


def _background(data: Json) -> Optional[Background]:
    if not data:
        return None
    return Background(_text(data, "stdout") or "", _text(data, "stderr") or "", data.get("truncated") is True)


def _code_error(data: Json) -> Optional[CodeError]:
    if not data:
        return None
    return CodeError(_text(data, "name") or "", _text(data, "value") or "", _text(data, "traceback"))


def file_info(item: Any) -> FileInfo:
    if isinstance(item, str):
        return FileInfo(item, name=os.fsencode(item))
    path, exact = _text(item, "path") or "", _text(item, "path_base64")
    name = path.encode("utf-8", "surrogatepass") if exact is None else base64.b64decode(exact)
    size, mode = _int(item, "size"), _int(item, "mode")
    return FileInfo(path, _text(item, "type") or "file", size, item.get("mtime"), name, mode)


def _file_list(data: Json, key: str) -> Tuple[FileInfo, ...]:
    value = data.get(key)
    return tuple(file_info(item) for item in value if isinstance(item, (str, dict))) if isinstance(value, list) else ()


def _file_changes(data: Json) -> FileChanges:
    lists = [_file_list(data, key) for key in ("created", "modified", "deleted")]
    return FileChanges(lists[0], lists[1], lists[2], data.get("truncated") is True)


def variable(item: Json) -> Variable:
    return Variable(_text(item, "name") or "", _text(item, "type") or "", _int(item, "size"), _text(item, "repr"))


def matches(data: Json, code: str, cursor: int) -> Matches:
    """No place that is not in the code, and no more than was promised."""
    start, end, found = _int(data, "start"), _int(data, "end"), data.get("matches")
    names = [text[:NAME_MAX] for text in found if isinstance(text, str)] if isinstance(found, list) else []
    if start is None or end is None or not 0 <= start <= end <= len(code):
        return Matches((), cursor, cursor, True)
    return Matches(tuple(names[:NAMES_MAX]), start, end, data.get("truncated") is True)


def _variables(data: Json, key: str) -> Tuple[Variable, ...]:
    return tuple(variable(item) for item in _objects(data, key))


def _state(data: Json) -> Optional[State]:
    if not data:
        return None
    outcome = _text(data, "outcome") or ""
    for word in ("lost", "rolled_back", "kept"):
        if not outcome and data.get(word) is True:
            outcome = word
    changes = _object(data, "vars")
    lists = [_variables(changes, key) for key in ("created", "changed", "deleted")]
    variables = VariableChanges(lists[0], lists[1], lists[2], changes.get("truncated") is True)
    numbers = _int(data, "execution"), _int(data, "to")
    restored = _restored(_object(data, "restored"))
    return State(outcome, _text(data, "reason"), _text(data, "point"), variables, numbers[0], numbers[1], restored)


def _restored(data: Json) -> Optional[Restored]:
    if not data:
        return None
    names, missing = data.get("names"), _objects(data, "missing")
    return Restored(
        tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else (),
        tuple(Missing(_text(item, "name") or "", _text(item, "why") or "") for item in missing),
    )


def _usage(data: Json) -> Usage:
    keys = ("wall_ms", "cpu_ms", "memory_peak_bytes", "pids_peak", "oom_kills")
    return Usage(*[_int(data, key) for key in keys])


def _control(data: Json) -> Control:
    texts = [_text(data, key) for key in ("asked", "measured", "source")]
    return Control(_text(data, "name") or "", texts[0], texts[1], texts[2], _text(data, "verdict") or "")
