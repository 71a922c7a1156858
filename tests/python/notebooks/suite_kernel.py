# SPDX-License-Identifier: MIT
"""What cells do and show, as a client of Jupyter's protocol sees it (jupyter_client)."""
import base64
import json
import os
import re
import time

import dsandbox
import pytest

from conftest import OPTIONS, client, only_session


def test_state_and_values(kernel):
    assert kernel.run("x = 20").status == "ok"
    assert kernel.run("x += 1").of("execute_result") == []
    reply = kernel.run("x * 2")
    assert (reply.value, reply.content["execution_count"]) == ("42", 3)
    assert reply.of("execute_result")[0]["execution_count"] == 3
    assert kernel.run("x;").of("execute_result", "display_data") == []
    assert kernel.run("").status == "ok"
    silent = kernel.run("print('heard'); x", silent=True)
    assert (silent.text(), silent.of("execute_result", "execute_input")) == ("heard\n", [])
    assert kernel.run("await __import__('asyncio').sleep(0, 'awaited')").value == "'awaited'"
    assert kernel.run("1", user_expressions={"a": "x"}).content["user_expressions"]["a"]["status"] == "error"


def test_what_is_shown(kernel):
    reply = kernel.run("display('first', {'text/plain': 'raw'}, raw=False)\nimport pandas as pd\npd.DataFrame({'a': [1, 2]})")
    assert [content["data"]["text/plain"] for content in reply.of("display_data")] == ["'first'", "{'text/plain': 'raw'}"]
    table = reply.of("execute_result")[0]["data"]
    assert '<table border="1" class="dataframe">' in table["text/html"] and "<style" not in table["text/html"]
    reply = kernel.run("import matplotlib.pyplot as plt\nplt.plot([1, 2, 4])\nplt.show()\nplt.plot([3, 1])\nplt.title('two');")
    pictures = [base64.b64decode(content["data"]["image/png"]) for content in reply.of("display_data")]
    assert [picture[:8] for picture in pictures] == [b"\x89PNG\r\n\x1a\n"] * 2 and pictures[0] != pictures[1]
    assert reply.of("execute_result") == []
    reply = kernel.run("display(1)")  # what is displayed last is no value
    assert (len(reply.of("display_data")), reply.of("execute_result")) == (1, [])
    reply = kernel.run("from IPython.display import HTML, Javascript, SVG, Markdown\n"
                       "display(HTML('<b onclick=x>b</b><script>alert(1)</script>'), Javascript('alert(1)'), SVG('<svg><script>1</script></svg>'),\n"
                       "        Markdown('**a** <script>1</script>'), {'application/json': {'a': 1}, 'x/y': 'z'}, raw=False)\n"
                       "display({'application/json': {'a': 1}, 'application/vnd.x': 'z'}, raw=True)")
    shown = [content["data"] for content in reply.of("display_data")]
    assert re.fullmatch("<div[^>]*><b>b</b></div>", shown[0]["text/html"]) and set(shown[1]) == {"text/plain"}
    assert shown[2]["text/html"].startswith('<img src="data:image/svg+xml;base64,') and set(shown[3]) == {"text/plain"}
    assert shown[5] == {"text/plain": "", "application/json": {"a": 1}}


def test_trusted_output(start):
    kernel = start("--trust-output", name="trusted")
    assert kernel.run("from IPython.display import HTML\nHTML('<script>1</script>')").of("execute_result")[0]["data"]["text/html"] == "<script>1</script>"


def test_errors(kernel):
    reply = kernel.run("def f():\n    return 1 / 0\nf()")
    error = reply.of("error")[0]
    assert (error["ename"], error["evalue"]) == ("ZeroDivisionError", "division by zero")
    assert error["traceback"][0] == "Traceback (most recent call last):" and error["traceback"][-1] == "ZeroDivisionError: division by zero"
    assert any("line 2, in f" in line for line in error["traceback"])
    assert (reply.status, reply.content["ename"], reply.text("stderr")) == ("error", "ZeroDivisionError", "")
    assert kernel.run("1 +").of("error")[0]["ename"] == "SyntaxError"
    assert "is a magic command of IPython" in kernel.run("%timeit 1").content["evalue"]
    assert kernel.run("import sys; sys.exit(3)").content["ename"] == "SystemExit"
    long = kernel.run("raise ValueError('\\x1b]0;title\\x07' + 'a' * 10 ** 6)").of("error")[0]
    assert len(long["evalue"]) < 70000 and sum(map(len, long["traceback"])) <= 65536 and "\x07" not in json.dumps(long["evalue"])
    for at, code in enumerate(["1", "1 / 0", "2", "3"]):  # what waits behind an error does not run
        kernel.client.execute(code, allow_stdin=False)
    states = [kernel.answer("execute_reply")["status"] for _ in range(4)]
    assert states[:3] == ["ok", "error", "aborted"]


def test_streams_come_in_order_and_at_once(kernel):
    kernel.run("1")
    reply = kernel.run("import sys, time\nfor i in range(5):\n    print('out', i)\n    time.sleep(.3)\n    print('err', i, file=sys.stderr)\n    time.sleep(.3)")
    said = [(content["name"], content["text"]) for content in reply.of("stream")]
    assert said == [(name, f"{name[3:]} {i}\n") for i in range(5) for name in ("stdout", "stderr")]
    times = [when for kind, _, when in reply.messages if kind == "stream"]
    assert times[-1] - times[0] > 2
    kinds = [kind for kind, _, _ in kernel.run("print('a')\ndisplay(1)\n2").messages]
    assert kinds == ["status", "execute_input", "stream", "display_data", "execute_result", "status"]
    assert kernel.run("for i in range(20000): print(i)").text() == "".join(f"{i}\n" for i in range(20000))
    assert kernel.run("import os\nfor b in '\u00e4\u20ac'.encode(): os.write(1, bytes([b])); time.sleep(.1)").text() == "\u00e4\u20ac"


def test_bounds(start):
    kernel = start("--set", "output_limit=64KiB", name="small")
    reply = kernel.run("print('x' * 300000)")
    assert reply.text() == "x" * 65536
    assert "dsandbox: 234465 bytes of standard output were left out\n" in reply.text("stderr")
    reply = kernel.run("for i in range(1500): display(i)")
    assert len(reply.of("display_data")) == 1000 and "dsandbox: 500 results are missing: more than 1000 are shown\n" in reply.text("stderr")
    assert len(kernel.run("'y' * 10 ** 7").of("execute_result")[0]["data"]["text/plain"]) < 70000


def test_input(kernel):
    asked = []

    def answer(message):
        asked.append(message["content"])
        kernel.client.input(["Ada", "7", "\x04"][len(asked) - 1])

    reply = kernel.run("print('before')\nname = input('name? ')\nimport types\nm = types.ModuleType('m')\nexec('def f(): return int(input())', m.__dict__)\n"
                       "print(name, m.f())\ntry: input()\nexcept EOFError as e: print('end')", allow_stdin=True, stdin_hook=answer)
    assert (reply.status, reply.text()) == ("ok", "before\nAda 7\nend\n")
    assert asked == [{"prompt": prompt, "password": False} for prompt in ("name? ", "", "")]
    error = kernel.run("input('name? ')").of("error")[0]
    assert (error["ename"], error["evalue"]) == ("StdinNotImplementedError", "input() was called, but this front end does not support input requests")
    prompts = []
    kernel.run("input('p' * 10 ** 5 + '\\x1b')", allow_stdin=True,
               stdin_hook=lambda message: prompts.append(message["content"]["prompt"]) or kernel.client.input(""))
    assert prompts == ["p" * 4096]


def test_completion_and_inspection(kernel):
    kernel.run("import numpy as np\nvalue_one = 1\ndef fun(alpha, *, beta=2):\n    'What it does.'\n    return alpha\n"
               "class Loud:\n    def __dir__(self):\n        globals()['changed'] = 1\n        print('loud')\n        return ['quiet']\n"
               "class Hangs:\n    def __dir__(self):\n        while True: pass\nloud, hangs = Loud(), Hangs()")
    session = only_session().id
    before = [(variable.name, variable.repr) for variable in client().variables(session)]
    assert kernel.complete("y = value_")["matches"] == ["value_one"]
    reply = kernel.complete("np.linal + 1", 8)
    assert (reply["matches"], reply["cursor_start"], reply["cursor_end"], reply["status"]) == (["linalg"], 3, 8, "ok")
    assert kernel.complete("fun(be")["matches"] == ["beta="]
    assert kernel.complete("\U0001f600 = value_o")["cursor_start"] == 4
    assert kernel.complete("loud.")["matches"] == ["quiet"]
    began = time.monotonic()
    assert kernel.complete("hangs.")["matches"] == []
    assert time.monotonic() - began < 20
    found = kernel.inspect("fun(1, ")
    assert found["found"] and "Signature: fun(alpha, *, beta=2)" in found["data"]["text/plain"] and "What it does." in found["data"]["text/plain"]
    assert "return alpha" in kernel.inspect("fun", detail=1)["data"]["text/plain"]
    assert kernel.inspect("nothing_of_this_name") == {"status": "ok", "found": False, "data": {}, "metadata": {}}
    assert [(variable.name, variable.repr) for variable in client().variables(session)] == before
    assert len(client().history(session)) == 1
    reply = kernel.run("'changed' in globals(), 'Out' in globals(), '_' in globals()")
    assert (reply.value, reply.text(), reply.content["execution_count"]) == ("(False, False, False)", "", 2)


def test_is_complete(kernel):
    for code, status in (("1 + 1", "complete"), ("def f():", "incomplete"), ("1 +", "invalid"), ("await f()", "complete"), ("(1,", "incomplete"),
                         ("x" * 100000, "unknown"), ("\0", "invalid")):
        kernel.client.is_complete(code)
        content = kernel.answer("is_complete_reply")
        assert content["status"] == status, code
        assert content.get("indent") == ("    " if code == "def f():" else "" if status == "incomplete" else None)


def test_kernel_info(kernel):
    content = kernel.client.kernel_info(reply=True, timeout=60)["content"]
    assert (content["implementation"], content["language_info"]["name"], content["supported_features"]) == ("dsandbox", "python", [])


def test_options(place, start, tmp_path):
    (tmp_path / "given" / "data").mkdir(parents=True)
    (tmp_path / "given" / "data" / "a.csv").write_text("a\n1\n")
    spec = place.install("--files", str(tmp_path / "given"), "--session", "named-" + os.urandom(3).hex(), name="named")
    assert spec["argv"][1:5] == ["-m", "dsandbox.jupyter", "-f", "{connection_file}"]
    name = spec["argv"][spec["argv"].index("--session") + 1]
    kernel = start(name="named", DSANDBOX_JUPYTER="--memory 256MiB")
    assert kernel.run("open('/sandbox/data/a.csv').read()").value == "'a\\n1\\n'"
    kernel.run("open('made.txt', 'w').write('made')")
    assert client().session(name).policy["controls"][4]["asked"] == "256MiB"
    kernel.end()
    with pytest.raises(dsandbox.NotFoundError):
        client().session(name)
    with open(os.path.join(OPTIONS["base_dir"], name, "made.txt"), encoding="utf-8") as file:
        assert file.read() == "made"
    status, said = place.call("dsandbox.jupyter", "install", "--", "--memroy", "1GiB")
    assert status == 2 and "these are no options of the sandbox: --memroy 1GiB" in said
