# SPDX-License-Identifier: MIT
"""Tools in sandboxes: what comes back, sessions, progress, cancellation, ends; raw messages, and the official client."""
import base64
import json
import os
import struct
import time

import cli_harness
from cli_harness import containers, scaled, wait_until
from mcp_harness import FOREVER, UNTIL, Server, official, official_steps, options, text
from session_harness import SessionCase, dsb, end_service, service_facts
from speed import set_seconds, setting

class McpCase(SessionCase):
    def server(self, *more, **how):
        return Server(*options(self.allow), *more, **how)

    def ok(self, server, name, **arguments):
        """The structured result of a call that works."""
        result = server.tool(name, **arguments)
        self.assertFalse(result["isError"], result)
        return result["structuredContent"]

    def py(self, server, code, **more):
        return self.ok(server, "execute_python", code=code, **more)


class Results(McpCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.one = Server(*options(cls.allow))

    @classmethod
    def tearDownClass(cls):
        cls.one.close()
        super().tearDownClass()

    def test_variables_stay(self):
        self.py(self.one, "x = 41")
        result = self.one.tool("execute_python", code="print('hi')\nx + 1")
        self.assertEqual([item["text"] for item in result["content"]], ["hi\n", "42"])
        done = result["structuredContent"]
        self.assertEqual((done["status"], done["stdout"], done["results"], done["exit_code"], done["variables"], done["message"]),
                         ("ok", "hi\n", ["42"], 0, "kept", None))
        self.assertGreater(done["memory_peak_bytes"], 1 << 20)

    def test_exception(self):
        result = self.one.tool("execute_python", code="y = 1\nprint('before')\n1 / 0")
        self.assertTrue(result["isError"])
        error = result["structuredContent"]["error"]
        self.assertEqual((error["name"], error["value"]), ("ZeroDivisionError", "division by zero"))
        self.assertIn("line 3", error["traceback"])
        self.assertIn("before\n", result["content"][0]["text"])
        self.assertEqual(text(result).count("ZeroDivisionError"), 1)  # the code's own print of it is left out
        self.assertEqual(self.py(self.one, "y")["results"], ["1"])

    def test_figures_in_order(self):
        """Each figure of this run, in its place, and none of the run before."""
        def sizes(result):
            data = [base64.b64decode(item["data"]) for item in result["content"] if item["type"] == "image"]
            return [struct.unpack(">II", image[16:24])[0] for image in data]

        draw = "import matplotlib.pyplot as plt\nfor w in %s:\n    plt.figure(figsize=(w, 1), dpi=100)\n    plt.plot([1, 2])\n    plt.show()\n"
        result = self.one.tool("execute_python", code=draw % "(2, 4, 3)")
        first = sizes(result)
        self.assertEqual(len(first), 3, result)
        self.assertTrue(first[0] < first[2] < first[1], first)
        result = self.one.tool("execute_python", code="print('one')\n" + draw % "(5,)" + "'last'")
        self.assertEqual([item["type"] for item in result["content"]], ["text", "image", "text"])
        self.assertGreater(sizes(result)[0], first[1])
        self.assertEqual(result["structuredContent"]["figures"], 1)

    def test_long_output(self):
        result = self.one.tool("execute_python", code="print('first'); print('é' * 100000); print('last')")
        said = result["content"][0]["text"]
        self.assertLess(len(said.encode()), 20200)
        self.assertTrue(said.startswith("first\né") and said.endswith("é\nlast\n"))
        self.assertTrue(result["structuredContent"]["stdout_truncated"])
        links = [item for item in result["content"] if item["type"] == "resource_link"]
        self.assertEqual(links[0]["size"], 200012)
        whole = self.one.result("resources/read", uri=links[0]["uri"])["contents"][0]["text"]
        self.assertEqual(whole, "first\n" + "é" * 100000 + "\nlast\n")
        self.assertIn(links[0]["uri"], [item["uri"] for item in self.one.result("resources/list")["resources"]])

    def test_all_text_together(self):
        result = self.one.tool("execute_python", code="import sys\nfor i in range(500): display('d' * 400)\n"
                               "print('o' * 50000); print('e' * 50000, file=sys.stderr); raise ValueError('v' * 50000)")
        self.assertLess(len(json.dumps(result)), 60000)
        self.assertIn("displayed objects", result["structuredContent"]["message"])

    def test_what_is_no_picture(self):
        """A model's conversation would have it for good."""
        result = self.one.tool("execute_python", code="from IPython.display import display\n"
                               "display({'image/png': 'AAAA', 'text/plain': 'words'}, raw=True)")
        if result["isError"]:  # the image has no IPython
            result = self.one.tool("execute_python", code="class P:\n def _repr_png_(self): return b'no picture'\nP()")
        self.assertEqual([item["type"] for item in result["content"] if item["type"] == "image"], [])

    def test_commands(self):
        done = self.ok(self.one, "run_command", command="echo out; echo err >&2; cat; pwd; exit 3", stdin="in ", cwd="/tmp")
        self.assertEqual((done["status"], done["exit_code"], done["stdout"], done["stderr"]), ("error", 3, "out\nin /tmp\n", "err\n"))
        self.assertEqual(done["message"], "Exit status 3.")
        self.assertEqual(self.ok(self.one, "run_command", command="no-such-program")["exit_code"], 127)
        seconds = set_seconds(1)
        result = self.one.tool("run_command", command="echo begun; sleep 600", timeout_s=seconds)
        self.assertTrue(result["isError"])
        self.assertIn(f"Stopped after {seconds} s", text(result))
        self.assertEqual(result["structuredContent"]["stdout"], "begun\n")

    def test_files(self):
        self.assertEqual(self.ok(self.one, "write_file", path="in/a.txt", content="päth\n" * 10000)["size"], 60000)
        self.assertEqual(self.py(self.one, "len(open('in/a.txt').read())")["results"], ["50000"])
        first = self.ok(self.one, "read_file", path="/sandbox/in/a.txt")
        self.assertEqual((first["size"], first["next_offset"], len(first["text"].encode())), (60000, 19999, 19999))
        parts, at = [], 0
        while at is not None:
            part = self.ok(self.one, "read_file", path="in/a.txt", offset=at, limit=7001)
            parts.append(part["text"])
            at = part["next_offset"]
        self.assertEqual("".join(parts), "päth\n" * 10000)
        self.ok(self.one, "write_file", path="b.bin", content=base64.b64encode(bytes(range(256))).decode(), encoding="base64")
        back = self.ok(self.one, "read_file", path="b.bin", encoding="base64")
        self.assertEqual(base64.b64decode(back["base64"]), bytes(range(256)))
        self.assertEqual(self.ok(self.one, "read_file", path="b.bin")["text"], None)
        done = self.one.tool("execute_python", code="open('new name.csv', 'w').write('1,2')")
        link = [item for item in done["content"] if item["type"] == "resource_link"][0]
        self.assertEqual((link["name"], link["mimeType"], link["size"]), ("new name.csv", "text/csv", 3))
        self.assertEqual(self.one.result("resources/read", uri=link["uri"])["contents"][0]["text"], "1,2")
        listed = {row["path"]: row for row in self.ok(self.one, "list_files")["files"]}
        self.assertEqual(listed["b.bin"], {"path": "b.bin", "type": "file", "size": 256})
        self.assertEqual([row["path"] for row in self.ok(self.one, "list_files", path="in")["files"]], ["in/a.txt"])

    def test_files_that_are_not_there(self):
        for name, arguments in (("read_file", {"path": "nothing"}), ("read_file", {"path": "../x"}), ("read_file", {"path": "/etc/passwd"}),
                                ("read_file", {"path": ""}), ("write_file", {"path": "a/../b", "content": ""}),
                                ("list_files", {"path": "nothing"}), ("write_file", {"path": "x", "content": "?", "encoding": "base64"})):
            result = self.one.tool(name, **arguments)
            self.assertTrue(result["isError"], (name, arguments, result))
        self.py(self.one, "import os\nos.path.lexists('out') or os.symlink('/etc/passwd', 'out')")
        self.assertTrue(self.one.tool("read_file", path="out")["isError"])
        uri = "dsandbox://session/" + self.ok(self.one, "get_variables")["session_id"] + "/files/"
        for path in ("out", "nothing", "../x", "%2e%2e/x", "a//b"):
            self.assertIn("error", self.one.answer(self.one.request("resources/read", uri=uri + path)), path)

    def test_picture_that_is_read(self):
        self.py(self.one, "import matplotlib.pyplot as plt\nplt.plot([1])\nplt.savefig('p.png')\nplt.close()")
        result = self.one.tool("read_file", path="p.png")
        self.assertEqual([(item["type"], item.get("mimeType")) for item in result["content"]], [("image", "image/png")])

    def test_variables_and_reset(self):
        self.py(self.one, "big = 'x' * 100000; n = 3")
        listed = {row["name"]: row for row in self.ok(self.one, "get_variables")["variables"]}
        self.assertEqual(listed["n"], {"name": "n", "type": "int", "repr": "3"})
        self.assertLess(len(listed["big"]["repr"] or ""), 400)
        self.ok(self.one, "reset_session")
        self.assertEqual(self.ok(self.one, "get_variables")["variables"], [])


class Sessions(McpCase):
    def test_named(self):
        """They outlive the server, which the default one does not; and others of the user are out of reach."""
        dsb("session", "new", self.s, *self.settings())
        with self.server() as server:
            own = self.py(server, "x = 'default'")["session_id"]
            named = self.py(server, "x = 'named'", session_id="work")["session_id"]
            self.assertEqual(named, "work")
            self.assertEqual(self.py(server, "x")["results"], ["'default'"])
            self.assertEqual(self.py(server, "x", session_id=own)["results"], ["'default'"])
            result = server.tool("get_variables", session_id=self.s[:50])
            self.assertTrue(result["isError"])
            self.assertIn("execute_python with this session_id makes it", text(result))
            directory = os.path.join(cli_harness.WORK.base, "mcp-" + own)
            self.assertTrue(os.path.isdir(directory))
            begin = time.monotonic()
            server.close()
            self.assertLess(time.monotonic() - begin, scaled(5))
        self.assertTrue(wait_until(lambda: not os.path.exists(directory), 10))
        left = [row["id"] for row in self.json("session", "ls")["sessions"]]
        self.assertEqual(sorted(left), sorted([self.s, "mcp-work"]))
        with self.server() as server:
            self.assertEqual(self.py(server, "x", session_id="work")["results"], ["'named'"])
            self.assertTrue(self.ok(server, "close_session", session_id="work", delete_files=True)["files_deleted"])
            self.assertTrue(server.tool("close_session", session_id="work")["isError"])
        dsb("session", "rm", self.s, "--files")

    def test_given(self):
        with self.server("--session", self.s) as server:
            self.assertEqual(self.py(server, "x = 5")["session_id"], self.s)
        self.assertEqual(self.run_("x")["results"][0]["text/plain"], "5")
        dsb("session", "rm", self.s, "--files")

    def test_closed_and_begun_again(self):
        with self.server() as server:
            self.py(server, "x = 1\nopen('f', 'w').write('kept')")
            self.ok(server, "close_session")
            result = server.tool("execute_python", code="print(open('f').read(), 'x' in globals())")
            self.assertEqual(result["structuredContent"]["stdout"], "kept False\n")

    def test_service_that_went(self):
        """With its sessions: the next call says what is lost, and works."""
        with self.server() as server:
            self.py(server, "x = 1")
            end_service()
            result = server.tool("execute_python", code="'x' in globals()")
            self.assertEqual(result["structuredContent"]["results"], ["False"])
            self.assertIn("variables lost", text(result))

    def test_refused_policy(self):
        with self.server("--runtime", "no-such-runtime") as server:
            result = server.tool("execute_python", code="1")
            self.assertTrue(result["isError"])
            self.assertRegex(text(result), "no-such-runtime|runtime")
            self.assertTrue(server.is_alive())


class Time(McpCase):
    def test_timeout(self):
        with self.server() as server:
            self.py(server, "x = 1")
            seconds = set_seconds(1) + 0.5
            result = server.tool("execute_python", code="x = 2\n" + FOREVER, timeout_s=seconds)
            self.assertTrue(result["isError"])
            self.assertEqual(result["structuredContent"]["status"], "timeout")
            self.assertIn(f"Stopped after {seconds} s; variables", text(result))
            self.assertIn("printed so far: see above", text(result))
            self.assertEqual(result["structuredContent"]["stdout"], "begun\n")

    def test_memory(self):
        with self.server("--memory", "128MiB") as server:
            result = server.tool("execute_python", code="x = bytearray(1 << 30)\nx[::4096] = b'1' * len(x[::4096])")
            self.assertTrue(result["isError"])
            self.assertRegex(text(result), "out of memory, the limit is 128MiB|MemoryError")
            self.py(server, "1")

    def cancelled(self, era):
        with self.server("--policy", cli_harness.WORK.file('{"grace": "60s"}'), era=era) as server:
            self.py(server, "x = 1")
            number = server.call("execute_python", token="t", code="x = 2\n" + FOREVER)
            self.assertEqual(server.line()["method"], "notifications/progress")  # it runs
            server.note("notifications/cancelled", requestId=number, reason="no more")
            # In the same session: it waits for the end of the other.
            begin = time.monotonic()
            self.assertEqual(self.py(server, "x")["results"], ["2"])
            self.assertLess(time.monotonic() - begin, scaled(15))
            self.assertEqual([line for line in server.lines if line.get("id") == number], [])
            self.assertTrue(server.is_silent(1))

    def test_cancelled(self):
        self.cancelled("modern")

    def test_cancelled_legacy(self):
        self.cancelled("legacy")

    def test_cancelled_in_the_queue(self):
        """A call that waits for another one of its session never runs."""
        with self.server() as server:
            self.py(server, "x = 0")
            first = server.call("execute_python", code=UNTIL + "until('go')")
            second = server.call("execute_python", code="x = 1")
            self.assertTrue(wait_until(lambda: service_facts()["queued"] == 1, 30))
            server.note("notifications/cancelled", requestId=second)
            self.assertTrue(wait_until(lambda: service_facts()["queued"] == 0, 30))
            self.ok(server, "write_file", path="go", content="")
            self.assertFalse(server.answer(first)["result"]["isError"])
            self.assertEqual(self.py(server, "x")["results"], ["0"])
            self.assertEqual(server.lines, [])

    def test_progress(self):
        with self.server() as server:
            self.py(server, "1")
            number = server.call("execute_python", token="tok", code=UNTIL + "for i in range(3):\n    print('step', i, flush=True)\n    until(f'go{i}')")
            for i in range(3):
                server.note_with(f"step {i}\n")
                self.ok(server, "write_file", path=f"go{i}", content="")
            self.assertFalse(server.answer(number)["result"]["isError"])
            notes = [note["params"] for note in server.notes]
            self.assertGreaterEqual(len(notes), 3)
            self.assertEqual({note["progressToken"] for note in notes}, {"tok"})
            self.assertEqual(sorted({note["progress"] for note in notes}), [note["progress"] for note in notes])
            self.py(server, "import time; print('x', flush=True); time.sleep(1)")  # nobody asks for it
            self.assertEqual(len(server.notes), len(notes))

    def test_quiet_code_still_lives(self):
        with self.server() as server:
            number = server.call("execute_python", token=7, code=UNTIL + "until('go')")
            server.note_with("running for ")
            self.assertRegex(server.notes[-1]["params"]["message"], "^running for [0-9]+ s$")
            self.ok(server, "write_file", path="go", content="")
            self.assertFalse(server.answer(number)["result"]["isError"])

    def test_flood(self):
        """Much output, and a client that wants all of it as progress and reads late."""
        with self.server() as server:
            number = server.call("execute_python", token=1, code="for i in range(400000): print('x' * 60)")
            time.sleep(2)
            result = server.answer(number)["result"]
            self.assertLess(len(json.dumps(result)), 60000)
            self.assertLess(len(json.dumps(server.notes)), 1 << 20)

    def test_many_at_once(self):
        with self.server() as server:
            numbers = [server.call("execute_python", code=f"import time; time.sleep(0.2); {i}", session_id=f"many{i % 3}") for i in range(12)]
            for i, number in enumerate(numbers):
                self.assertEqual(server.answer(number)["result"]["structuredContent"]["results"], [str(i)])
            for i in range(3):
                self.ok(server, "close_session", session_id=f"many{i}", delete_files=True)


class Ends(McpCase):
    def ends(self, end, seconds=8):
        server = self.server()
        session = self.py(server, "1")["session_id"]
        server.call("execute_python", token="t", code=FOREVER)
        server.note_with("begun")
        begin = time.monotonic()
        end(server)
        server.process.wait(scaled(seconds))
        took = time.monotonic() - begin
        server.close()
        self.assertTrue(wait_until(lambda: not containers(), 20), containers())
        self.assertFalse(os.path.exists(os.path.join(cli_harness.WORK.base, "mcp-" + session)))
        return took

    def test_input_that_ends(self):
        self.assertLess(self.ends(lambda server: server.process.stdin.close()), scaled(4))

    def test_signal(self):
        self.ends(lambda server: server.process.terminate())

    def test_output_that_nobody_reads(self):
        def end(server):
            server.process.stdout.close()
            server.request("tools/list")
        self.ends(end)

    def test_killed(self):
        """Its session ends by its own idle time."""
        server = self.server("--idle-timeout", setting(3))
        self.py(server, "1")
        server.process.kill()
        server.close()
        self.assertTrue(wait_until(lambda: not containers(), 30), containers())


class Official(McpCase):
    """Clients as hosts have them: they check each message, and each structured result against its schema."""

    def check(self, mode, version):
        steps, check = official_steps()
        report = official(mode, steps, *options(self.allow))
        self.assertEqual(report["version"], None if mode == "typescript" else version)  # it does not say
        check(self, report)
        self.assertLess(report["close_seconds"], scaled(2.5))  # else it would have been killed

    def test_modern(self):
        self.check("auto", "2026-07-28")

    def test_legacy(self):
        self.check("legacy", "2025-11-25")

    def test_typescript(self):
        self.check("typescript", "2025-11-25")

    def test_typescript_modern(self):
        self.check("typescript2", "2026-07-28")


CASES = [Results, Sessions, Time, Ends, Official]
