# SPDX-License-Identifier: MIT
"""What the tests of `dsandbox mcp` share: a server on pipes, spoken to line by line, and the official Python client."""
import json
import os
import select
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("../cli", "../edges", "../service"):
    sys.path.append(os.path.join(HERE, folder))
import cli_harness  # noqa: E402
import session_harness  # noqa: E402
from cli_harness import BACKEND, scaled  # noqa: E402
from speed import setting  # noqa: E402

VERSION = "2026-07-28"
META = {"io.modelcontextprotocol/protocolVersion": VERSION, "io.modelcontextprotocol/clientCapabilities": {}}
PYTHON = "mcp==2.3.0"
TYPESCRIPT = {"typescript": "@modelcontextprotocol/sdk@1.32.2", "typescript2": "@modelcontextprotocol/client@2.4.0"}
TOOLS = ["execute_python", "run_command", "list_files", "read_file", "write_file", "get_variables", "reset_session", "close_session"]
PARSE, INVALID, NO_METHOD, PARAMS, NO_VERSION, HEADERS = -32700, -32600, -32601, -32602, -32022, -32020
FOREVER = "import time\nprint('begun', flush=True)\nwhile True: time.sleep(0.01)"
UNTIL = "import os, time\ndef until(name):\n    while not os.path.exists(name): time.sleep(0.01)\n"  # until(name) waits for a file
LIMIT = 60  # seconds, of one answer


class Server:
    """`dsandbox mcp` with a client that says exactly what a test wants."""

    def __init__(self, *options, era="modern", env=None):
        argv, environment = session_harness.command(["mcp", *options], env)
        self.process = subprocess.Popen(argv, env=environment, cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, bufsize=0)
        self.era, self.number, self.buffer, self.lines = era, 0, b"", []
        self.notes = []  # notifications that came
        if era == "legacy":
            self.agreed = self.result("initialize", protocolVersion="2025-11-25", capabilities={},
                                      clientInfo={"name": "test", "version": "1"})
            self.note("notifications/initialized")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # --- what is sent

    def raw(self, data):
        view = memoryview(data)
        while view:
            view = view[self.process.stdin.write(view):]

    def send(self, message):
        self.raw(json.dumps(message).encode() + b"\n")

    def note(self, method, **params):
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def request(self, method, token=None, **params):
        """Its id."""
        self.number += 1
        meta = {**(META if self.era == "modern" else {}), **({"progressToken": token} if token is not None else {})}
        if meta:
            params["_meta"] = meta
        self.send({"jsonrpc": "2.0", "id": self.number, "method": method, "params": params})
        return self.number

    def call(self, name, token=None, **arguments):
        return self.request("tools/call", token, name=name, arguments=arguments)

    # --- what comes

    def line(self, seconds=LIMIT):
        """The next message; None: none came."""
        end = time.monotonic() + scaled(seconds)
        while b"\n" not in self.buffer:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                return None
            piece = self.process.stdout.read(1 << 16)
            if not piece:
                raise AssertionError(f"it has ended: {self.end()}")
            self.buffer += piece
        line, self.buffer = self.buffer.split(b"\n", 1)
        message = json.loads(line)
        assert message["jsonrpc"] == "2.0" and len({"result", "error", "method"} & set(message)) == 1, message
        return message

    def is_silent(self, seconds):
        """Nothing comes for so long, on a machine of any speed."""
        return b"\n" not in self.buffer and not select.select([self.process.stdout], [], [], seconds)[0]

    def note_with(self, words, seconds=LIMIT):
        """A notification that has these words in its message: among those that came, or one that comes now."""
        seen = 0
        while not any(words in note["params"].get("message", "") for note in self.notes[seen:]):
            seen = len(self.notes)
            message = self.line(seconds)
            if message is None:
                raise AssertionError(f"no notification with {words!r} within {seconds} s: {self.notes}")
            (self.notes if "method" in message else self.lines).append(message)

    def answer(self, number, seconds=LIMIT):
        """The answer to a request; others wait, notifications are kept."""
        for i, message in enumerate(self.lines):
            if message.get("id") == number:
                return self.lines.pop(i)
        while True:
            message = self.line(seconds)
            if message is None:
                raise AssertionError(f"no answer to {number} within {seconds} s")
            if "method" in message:
                self.notes.append(message)
            elif message.get("id") == number:
                return message
            else:
                self.lines.append(message)

    def result(self, method, **params):
        answer = self.answer(self.request(method, **params))
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        return answer["result"]

    def tool(self, name, seconds=LIMIT, **arguments):
        answer = self.answer(self.call(name, **arguments), seconds)
        if "error" in answer:
            raise AssertionError(f"{name}: {answer['error']}")
        return answer["result"]

    def is_alive(self):
        """It answers, after all that."""
        return len(self.result("tools/list")["tools"]) == 8

    # --- its end

    def end(self):
        """Status and standard error, of one that has ended."""
        return self.process.wait(scaled(LIMIT)), self.process.stderr.read().decode(errors="replace")

    def close(self):
        """Status, after standard input has ended."""
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()
        try:
            status = self.process.wait(scaled(LIMIT))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("no end after its standard input has ended") from None
        for stream in (self.process.stdout, self.process.stderr):
            stream.close()
        return status


def options(allow=None):
    more = [f"--allow-unenforced={','.join(allow)}"] if allow else []
    return ["--backend", BACKEND, "--base-dir", cli_harness.WORK.base, "--timeout", setting(30), *more]


def text(result):
    """All text of a tool's result."""
    return "\n".join(item["text"] for item in result["content"] if item["type"] == "text")


def official(mode, steps, *more, **where):
    """
    What an official client gets for these steps, see official.py; `mode` is its way to the era, or one of TYPESCRIPT. It starts a
    server, or with `where` (url and token) goes to one.
    """
    import tools  # which wants an engine's harness
    argv, env = session_harness.command(["mcp", *more])
    order = {"mode": mode, "steps": steps, **(where or {"command": argv[0], "args": argv[1:], "env": env})}
    if mode in TYPESCRIPT:
        order["packages"] = tools.node("mcp-client-" + mode, TYPESCRIPT[mode])
        client = ["node", os.path.join(HERE, "official.mjs")]
    else:
        client = [os.path.join(tools.python("mcp-client", PYTHON), "python3"), os.path.join(HERE, "official.py")]
    done = subprocess.run(client, input=json.dumps(order).encode(), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=scaled(240), check=False)
    if done.returncode != 0:
        raise AssertionError(f"the official client: {done.stderr.decode(errors='replace')[-3000:]}")
    return json.loads(done.stdout)


def official_steps(**session):
    """Steps of an official client, and check(case, report) of what came of them; `session` says which one they are about."""
    orders = [
        ("execute_python", {"code": "x = 20\nprint('hi')\nx + 1"}),
        ("execute_python", {"code": "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\nx"}),
        ("execute_python", {"code": UNTIL + "print('begun', flush=True)\nuntil('go')"}),
        ("execute_python", {"code": "1 / 0"}),
        ("execute_python", {"code": "while True: pass", "timeout_s": 1}),
        ("write_file", {"path": "a.txt", "content": "text"}),
        ("run_command", {"command": "cat a.txt; exit 1"}),
        ("list_files", {}),
        ("read_file", {"path": "a.txt"}),
        ("get_variables", {}),
        ("reset_session", {}),
        ("close_session", {"delete_files": True}),
    ]
    steps = [{"tool": name, "arguments": {**arguments, **session}} for name, arguments in orders]
    steps[2].update(progress=True, then={"tool": "write_file", "arguments": {"path": "go", "content": "", **session}})
    steps.append({"tool": "get_variables", "arguments": {"session_id": "nobody"}})

    def check(case, report):
        done = report["steps"]
        case.assertEqual(report["tools"], TOOLS)
        case.assertEqual(done[0]["structuredContent"]["results"], ["21"])
        case.assertEqual([item["type"] for item in done[1]["content"]], ["image", "text"])
        values = [value for value, _ in done[2]["progress"]]
        case.assertTrue(values and values == sorted(set(values)), done[2])
        case.assertEqual([step["isError"] for step in done], [False, False, False, True, True] + 7 * [False] + [True])
        case.assertEqual(done[6]["structuredContent"]["exit_code"], 1)
        case.assertEqual(done[8]["structuredContent"]["text"], "text")

    return steps, check
