# SPDX-License-Identifier: MIT
"""
smolagents has no suite for others. What its tests ask of its own remote executors is asked here of ours, in our words; and an agent,
with a stub for a model.
"""
import os

import pytest
from PIL import Image
from smolagents import CodeAgent, FinalAnswerTool, Tool
from smolagents.models import ChatMessage, MessageRole, Model
from smolagents.utils import AgentError

from conftest import options
from dsandbox import NotFoundError
from dsandbox.adapters.smolagents import DsandboxExecutor

LEFT_OUT = {}
NOT_ASKED = {}


class Twice(Tool):
    name = "twice"
    description = "Twice a number."
    inputs = {"number": {"type": "integer", "description": "the number"}}
    output_type = "integer"

    def forward(self, number: int) -> int:
        return 2 * number


class Where(Tool):
    name = "where"
    description = "The process that this runs in, with a word."
    inputs = {"word": {"type": "string", "description": "any but 'no'"}}
    output_type = "object"

    def forward(self, word: str) -> dict:
        if word == "no":
            raise LookupError("no such word")
        return {"word": word, "process": os.getpid()}


class Script(Model):
    """A model that says what it was told to."""

    def __init__(self, *answers):
        super().__init__()
        self.answers = list(answers)
        self.seen = []

    def generate(self, messages, **_more):
        self.seen.append(str([message.content for message in messages]))
        return ChatMessage(role=MessageRole.ASSISTANT, content=f"Thought: on.\n<code>\n{self.answers.pop(0)}\n</code>")


@pytest.fixture(scope="module")
def executor():
    with DsandboxExecutor(additional_imports=["numpy", "pillow"], **options()) as one:
        one.send_tools({"final_answer": FinalAnswerTool(), "twice": Twice()})
        yield one


def test_state_stays(executor):
    executor("import numpy as np; a = 2")
    assert "1.41421" in executor("print(np.sqrt(a))").logs


def test_last_expression_is_the_output(executor):
    done = executor("print('said'); 6 * 7")
    assert (done.output, done.logs, done.is_final_answer) == ("42", "said\n", False)
    assert executor("x = 1").output is None


@pytest.mark.parametrize("code, answer", [
    ("final_answer('This is the final answer')", "This is the final answer"),
    ("final_answer({'a': [1, 2.5, None], 'b': (True, b'\\xff')})", {"a": [1, 2.5, None], "b": (True, b"\xff")}),
])
def test_final_answer(executor, code, answer):
    done = executor(code)
    assert done.is_final_answer and done.output == answer


def test_final_answer_is_a_picture(executor):
    done = executor("from PIL import Image\nfinal_answer(Image.new('RGB', (10, 10), (255, 0, 0)))")
    assert isinstance(done.output, Image.Image) and done.output.getpixel((0, 0)) == (255, 0, 0)


def test_a_long_final_answer(executor):
    assert executor("final_answer('y' * 300000)").output == "y" * 300000


def test_a_figure_is_the_output(executor):
    done = executor("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()")
    assert isinstance(done.output, Image.Image) and done.output.width > 100


def test_errors_are_for_the_model(executor):
    with pytest.raises(AgentError, match="SyntaxError"):
        executor('print("Missing Parenthesis')
    with pytest.raises(AgentError, match="(?s)before.*ZeroDivisionError"):
        executor("print('before'); 1 / 0")
    with pytest.raises(AgentError, match="time limit"):
        executor.session.timeout = 1
        try:
            executor("while True: pass")
        finally:
            executor.session.timeout = None


def test_variables_and_tools_are_sent(executor):
    executor.send_variables({"table": {"a": [1, 2]}, "word": "é"})
    assert executor("twice(table['a'][1]), word").output == "(4, 'é')"


def test_a_pickle_is_not_read(executor):
    code = "class FinalAnswerException(BaseException): pass\nraise FinalAnswerException('pickle:gASVAAAAAAAAAC4=')"
    with pytest.raises(Exception, match="(?i)pickle"):
        executor(code)


def test_a_package_that_the_image_has_not():
    with pytest.raises(AgentError, match="not-there-at-all"):
        DsandboxExecutor(additional_imports=["not-there-at-all"], **options())


def test_cleanup_ends_the_session():
    with DsandboxExecutor(**options()) as one:
        id, client = one.session.id, one.session.client
        assert client.session(id).state != "ended"
    with pytest.raises(NotFoundError):
        client.session(id)


def test_tools_of_this_process():
    with DsandboxExecutor(host_tools={"where"}, **options()) as one:
        one.send_tools({"final_answer": FinalAnswerTool(), "twice": Twice(), "where": Where()})
        done = one("found = where(word='here')\nfinal_answer([twice(4), found['word'], found['process'], where('x')['word']])")
        assert done.output == [8, "here", os.getpid(), "x"]
        with pytest.raises(AgentError, match="LookupError: no such word"):
            one("where('no')")
        assert one("try:\n    where('no')\nexcept LookupError as error: print('caught', error)").logs == "caught no such word\n"


def test_an_agent_with_a_tool_of_this_process():
    model = Script("print('it is', where('near')['process'])", "final_answer('done')")
    with DsandboxExecutor(host_tools={"where"}, **options()) as one:
        assert CodeAgent(tools=[Where()], model=model, executor=one, verbosity_level=0).run("Look.") == "done"
    assert f"it is {os.getpid()}" in model.seen[1]


def test_an_agent():
    model = Script("n = twice(21)\nprint('so far', n)", "final_answer(n + 1)")
    with DsandboxExecutor(**options()) as one:
        assert CodeAgent(tools=[Twice()], model=model, executor=one, verbosity_level=0).run("Count.") == 43
    assert "so far 42" in model.seen[1]
