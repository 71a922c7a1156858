# SPDX-License-Identifier: MIT
"""The text that DockerSandboxExecutor.execute_code returns for a result."""
import contextlib
import signal
from typing import List, Optional, Sequence

from .results import Result, State

NAMES_SHOWN = 20  # of variables, in one line


def answer_text(result: Result, output: str, version: int, timeout: float, memory: str, earlier: Sequence[str] = ()) -> str:
    """What execute_code returns. earlier: what became of variables before."""
    ended = result.status == "ok" or (result.status == "error" and result.failure is None)
    lines = [*earlier, *(variables_lost(result) if ended else ()), *_truncation(result)]
    if ended:
        text = output if result.status == "ok" else _failed(result, output, version)
    else:
        text = f"ERROR:\n{_ending(result, timeout, memory)}\n{_state(result.state)}"
        text += f"Output until then:\n{output}" if output else ""
    if lines and text and not text.endswith("\n"):
        text += "\n"
    return text + "".join(f"[{line}]\n" for line in lines)


def _failed(result: Result, output: str, version: int) -> str:
    """The code ended with an uncaught error, or a status other than 0."""
    if version == 1:
        return f"EXECUTION ERROR:\nContainer execution error:\n{output}"
    if result.error is None:
        return output
    trace = result.error.traceback or result.summary() + "\n"
    at = output.rfind(trace)
    if at < 0:  # cut off, or the code has an excepthook of its own
        output += "" if output.endswith("\n") or not output else "\n"
        at = len(output)
        output += trace
    return f"{output[:at]}EXECUTION ERROR:\n{output[at:]}"


def _state(state: Optional[State]) -> str:
    """What became of the variables of code that was stopped. Of files only the reason can tell: nobody looks here."""
    if state is None:
        return ""
    if state.kept:
        return "Variables are kept.\n"
    text = "Variables are lost"
    if state.rolled_back:
        at_once = state.to is None or state.execution is None or state.to == state.execution - 1
        text = "Variables are as before this code" if at_once else f"Variables were {_what(state)}"
    return text + (f" ({state.reason}).\n" if state.reason else ".\n")


def _what(state: State) -> str:
    point = f"execution {state.to}" if state.to else "the beginning"
    return f"rolled back to {point}" if state.rolled_back else "lost"


def variables_lost(result: Result) -> List[str]:
    """The same of code that came to its end: they may have gone before it, or with its interpreter."""
    state = result.state
    if state is None or state.kept:
        return []
    lines = [f"variables were {_what(state)}: {state.reason or 'the reason is not known'}"]
    if state.restored is not None and state.restored.names:
        lines.append(f"came back from the saved ones: {_some(state.restored.names)}")
    if state.restored is not None and state.restored.missing:
        lines.append(f"did not come back: {_some([item.name for item in state.restored.missing])}")
    return lines


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMES_SHOWN]) + (", …" if len(names) > NAMES_SHOWN else "")


def _ending(result: Result, timeout: float, memory: str) -> str:
    if result.status == "timeout":
        return f"Execution timed out: the code was stopped after {timeout:g} seconds."
    if result.status == "oom":
        return f"Out of memory: the code was stopped; the limit is {memory}."
    if result.status == "signal" and result.signal is not None:
        with contextlib.suppress(ValueError):
            return f"The code was ended by signal {result.signal} ({signal.Signals(result.signal).name})."
    text = result.summary()
    return text[:1].upper() + text[1:]


def _truncation(result: Result) -> List[str]:
    return [
        f"{name}: the first {len(kept)} of {size} bytes"
        for name, cut, kept, size in (
            ("stdout", result.stdout_truncated, result.stdout_data, result.stdout_bytes),
            ("stderr", result.stderr_truncated, result.stderr_data, result.stderr_bytes),
        )
        if cut
    ]
