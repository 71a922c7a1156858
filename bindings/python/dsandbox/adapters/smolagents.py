# SPDX-License-Identifier: MIT
"""An executor of smolagents (1.26): DsandboxExecutor is a `PythonExecutor` whose code runs in a session.

    from dsandbox.adapters.smolagents import DsandboxExecutor

    with DsandboxExecutor(memory="1GiB") as executor:
        CodeAgent(tools=[], model=model, executor=executor).run("…")

Tools are sent as source and run in the sandbox, as smolagents' other remote executors have it: without a network, and with the
packages of the image. Those that `host_tools` names stay here, with what they have (a network, keys, a database), and the code calls
them as the others: their arguments are hostile input. Nothing is unpickled here.
"""
import io
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Collection, Dict, List, Optional, Sequence, Type

import PIL.Image
from smolagents.local_python_executor import CodeOutput
from smolagents.monitoring import AgentLogger, LogLevel
from smolagents.remote_executors import RemotePythonExecutor
from smolagents.tools import Tool
from smolagents.utils import AgentError

from ..errors import NotFoundError
from ..results import Result
from ..sandbox import Session, SessionValues

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["DsandboxExecutor"]

ANSWER = ".dsandbox-final-answer"
ANSWER_MAX = 64 << 20
# The answer is the text of an exception, of which a result has the beginning: all of a long one goes through a file.
_KEEP = f"""
def _dsandbox_keep(tool):
    inner = tool.forward
    def forward(*values, **named):
        try:
            return inner(*values, **named)
        except BaseException as answer:
            if type(answer).__name__ == "FinalAnswerException":
                with open("/sandbox/{ANSWER}", "w", encoding="utf-8") as file:
                    file.write(answer.value)
            raise
    tool.forward = forward
_dsandbox_keep(final_answer)
del _dsandbox_keep
"""


class DsandboxExecutor(RemotePythonExecutor):
    """A session, whose variables stay from one step to the next.

    id: None, a new one, which cleanup() ends; otherwise that one, which is left. additional_imports: packages that the image must
    have. host_tools: names of tools that run in this process; what they take and give is JSON, or bytes. The other keyword arguments
    are those of dsandbox.Session.
    """

    def __init__(
        self,
        id: Optional[str] = None,
        *,
        additional_imports: Sequence[str] = (),
        host_tools: Collection[str] = (),
        logger: Optional[AgentLogger] = None,
        **options: "Unpack[SessionValues]",
    ) -> None:
        super().__init__(list(additional_imports), logger or AgentLogger(level=LogLevel.ERROR))
        self.host_tools: Collection[str] = host_tools
        self._tools: Dict[str, Callable[..., Any]] = {}
        self.session: Session = Session(id, **options)
        self.installed_packages: List[str] = self.install_packages(list(additional_imports))

    def run_code_raise_errors(self, code: str) -> CodeOutput:
        """What the last expression was; a picture, where it is one. What went wrong is an AgentError, for the model to read."""
        result = self.session.run(code, tools=self._tools)
        logs = _logs(result)
        if result.error is not None and result.error.name == self.FINAL_ANSWER_EXCEPTION:
            return CodeOutput(output=self._answer(result.error.value), logs=logs, is_final_answer=True)
        if not result.ok:
            raise AgentError(f"{logs}\nExecuting code yielded an error:\n{_why(result)}", self.logger)
        return CodeOutput(output=_output(result), logs=logs, is_final_answer=False)

    def send_tools(self, tools: Dict[str, Tool]) -> None:
        self._tools = {name: tool for name, tool in tools.items() if name in self.host_tools}
        super().send_tools({name: tool for name, tool in tools.items() if name not in self._tools})
        if "final_answer" in tools:
            self.session.run(_KEEP).check()

    def _answer(self, text: str) -> Any:
        whole = _Bounded()
        try:
            self.session.files.download(ANSWER, whole)
            self.session.files.delete(ANSWER)
            text = whole.getvalue().decode("utf-8")
        except NotFoundError:
            pass  # the code has raised it by itself
        try:
            return self._deserialize_final_answer(text, allow_pickle=False)
        except Exception as error:  # it is what the code says, and can be anything
            raise AgentError(f"the final answer cannot be read: {error}", self.logger) from error

    def install_packages(self, additional_imports: List[str]) -> List[str]:
        """Nothing is installed in a sandbox: they are in its image, or this is an error."""
        if additional_imports:
            code = "import importlib.metadata as _m\nfor _n in {!r}: _m.version(_n)\ndel _m, _n".format(additional_imports)
            result = self.session.run(code)
            if not result.ok:
                missing = f"the sandbox's image does not have all of {', '.join(additional_imports)}: {result.summary()}"
                raise AgentError(missing, self.logger)
        return additional_imports

    def cleanup(self) -> None:
        """End the session, unless it had an id before."""
        if not self.session.keep:
            self.session.close(delete_files=True)

    def __enter__(self) -> "DsandboxExecutor":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.cleanup()


class _Bounded(io.BytesIO):
    def write(self, data: Any) -> int:
        if self.tell() + len(data) > ANSWER_MAX:
            raise ValueError(f"it has more than {ANSWER_MAX} bytes")
        return super().write(data)


def _why(result: Result) -> str:
    trace = result.error.traceback if result.error is not None else None
    if result.status == "error":
        return trace or result.summary()
    return f"{trace or ''}{replace(result, error=None).summary()}"  # it was stopped, and what it says is of that


def _logs(result: Result) -> str:
    """What was printed, as far as it was kept."""
    cut = result.stdout_truncated
    return result.stdout + (f"\n[the first {len(result.stdout_data)} of {result.stdout_bytes} bytes]\n" if cut else "")


def _output(result: Result) -> Any:
    if not result.results:
        return None
    last = result.results[-1]
    return PIL.Image.open(io.BytesIO(last.png)) if last.png is not None else last.text
