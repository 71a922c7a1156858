# SPDX-License-Identifier: MIT
"""Tools: functions of ours that code in the sandbox may call while it runs."""
import asyncio
import base64
import contextvars
import inspect
import json
import threading
from typing import Any, Awaitable, Callable, Dict, Mapping, Optional

from ._http import Http
from .errors import Error, InvalidError, LimitError

__all__ = ["Tool", "Tools"]

Tool = Callable[..., Any]
BYTES = "$base64"  # the one member of an object that stands for bytes


def _plain(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {BYTES: base64.b64encode(bytes(value)).decode("ascii")}
    if hasattr(value, "tolist"):
        return value.tolist()  # of numpy
    if isinstance(value, (set, frozenset)):
        return list(value)
    raise TypeError(f"the answer of a tool is what JSON has, and bytes, not {type(value).__name__}")


def _as_bytes(value: Any) -> Any:
    """Of arguments that have been read already; they have a bound in depth."""
    if isinstance(value, list):
        return [_as_bytes(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1 and isinstance(value.get(BYTES), str):
        return base64.b64decode(value[BYTES])
    return {key: _as_bytes(item) for key, item in value.items()}


def _failure(error: BaseException) -> Dict[str, Any]:
    first = error.args[0] if isinstance(error, KeyError) and len(error.args) == 1 else error
    return {"error": {"type": type(error).__name__, "message": str(first)}}


async def awaited(value: Awaitable[Any]) -> Any:
    return await value


def _run(value: Awaitable[Any]) -> Any:
    return asyncio.run(awaited(value))


class Tools:
    """Those of one execution. Each call has a thread of its own; the service bounds how many there are."""

    def __init__(self, tools: Mapping[str, Tool], wait: Callable[[Awaitable[Any]], Any] = _run) -> None:
        for name, tool in tools.items():
            if not callable(tool):
                raise InvalidError(f"the tool '{name}' cannot be called: it is of type {type(tool).__name__}")
        self.tools: Dict[str, Tool] = dict(tools)
        self.wait: Callable[[Awaitable[Any]], Any] = wait  # what a tool gives that is to be awaited
        self._over = False

    def end(self) -> None:
        """Nobody waits for answers any more. Tools that still run are left to themselves."""
        self._over = True

    def call(self, http: Http, execution: Optional[str], data: Mapping[str, Any]) -> None:
        context = contextvars.copy_context()
        call = (self._call, http, execution, data)
        threading.Thread(target=context.run, args=call, name="dsandbox-tool", daemon=True).start()

    def _call(self, http: Http, execution: Optional[str], data: Mapping[str, Any]) -> None:
        path = f"/v1/executions/{execution}/calls/{data.get('call')}"
        try:
            body = self._answer(data)
        except BaseException as error:  # also what a tool ends its thread with: the code is told so
            body = json.dumps(_failure(error)).encode()
        self._post(http, path, body)

    def _answer(self, data: Mapping[str, Any]) -> bytes:
        args, kwargs = _as_bytes(data.get("args")), _as_bytes(data.get("kwargs"))
        value = self.tools[str(data.get("tool"))](*args, **kwargs)
        if inspect.isawaitable(value):
            value = self.wait(value)
        return json.dumps({"result": value}, allow_nan=False, default=_plain).encode()

    def _post(self, http: Http, path: str, body: bytes) -> None:
        for again in (True, False):
            try:
                if not self._over:
                    http.call("POST", path, body)
                return
            except (InvalidError, LimitError) as error:
                if again:
                    body = json.dumps(_failure(ValueError(f"the tool's answer cannot be given: {error}"))).encode()
            except Error:
                return  # its execution is over, or the service is gone
