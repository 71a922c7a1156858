# SPDX-License-Identifier: MIT
"""What the server says before any sandbox, and to clients that do not behave."""
import json
import os
import time

import cli_harness
from cli_harness import Case, dsandbox, scaled
from mcp_harness import INVALID, META, NO_METHOD, NO_VERSION, PARAMS, PARSE, TOOLS, Server, text

SANITIZED = any(name.startswith(("ASAN_", "TSAN_")) for name in os.environ)  # memory sizes say nothing then


class Eras(Case):
    def test_modern(self):
        with Server() as server:
            found = server.result("server/discover")
            self.assertEqual(found["supportedVersions"], ["2026-07-28"])
            self.assertEqual((found["resultType"], found["cacheScope"]), ("complete", "private"))
            self.assertGreaterEqual(found["ttlMs"], 0)
            self.assertEqual(found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "dsandbox")
            tools = server.result("tools/list")
            self.assertEqual([tool["name"] for tool in tools["tools"]], TOOLS)
            self.assertIn("ttlMs", tools)
            self.assertEqual(server.answer(server.request("initialize", protocolVersion="2025-11-25"))["error"]["code"], NO_METHOD)
            self.assertEqual(server.close(), 0)

    def test_legacy(self):
        with Server(era="legacy") as server:
            self.assertEqual(server.agreed["protocolVersion"], "2025-11-25")
            self.assertEqual(server.result("ping"), {})
            tools = server.result("tools/list")
            self.assertEqual([tool["name"] for tool in tools["tools"]], TOOLS)
            self.assertNotIn("resultType", tools)
            self.assertEqual(server.result("resources/list"), {"resources": []})
            self.assertEqual(server.answer(server.request("logging/setLevel", level="debug"))["error"]["code"], NO_METHOD)

    def test_versions(self):
        for asked, agreed in (("2025-06-18", "2025-06-18"), ("2025-03-26", "2025-03-26"), ("2024-11-05", "2025-11-25"),
                              ("2099-01-01", "2025-11-25")):
            with self.subTest(asked), Server(era="none") as server:
                self.assertEqual(server.result("initialize", protocolVersion=asked)["protocolVersion"], agreed)
        with Server(era="none") as server:
            wrong = {**META, "io.modelcontextprotocol/protocolVersion": "1900-01-01"}
            error = server.answer(server.request("tools/list", _meta=wrong))["error"]
            self.assertEqual((error["code"], error["data"]), (NO_VERSION, {"supported": ["2026-07-28"], "requested": "1900-01-01"}))
            del wrong["io.modelcontextprotocol/clientCapabilities"]
            wrong["io.modelcontextprotocol/protocolVersion"] = "2026-07-28"
            self.assertEqual(server.answer(server.request("tools/list", _meta=wrong))["error"]["code"], PARAMS)

    def test_nothing_is_started(self):
        """A host that only asks what there is: no service, no directory, and no time."""
        begin = time.monotonic()
        with Server(env={"XDG_RUNTIME_DIR": cli_harness.WORK.dir("quiet", 0o700)}) as server:
            server.result("server/discover")
            server.result("tools/list")
            first = time.monotonic() - begin
            begin = time.monotonic()
            for _ in range(100):
                server.result("tools/list")
            each = (time.monotonic() - begin) / 100
        self.assertEqual(os.listdir(os.path.join(cli_harness.WORK.path, "quiet")), [])
        self.assertLess(first, scaled(1))
        self.assertLess(each, scaled(0.02))


class Descriptions(Case):
    def tools(self, *options):
        with Server(*options) as server:
            return {tool["name"]: tool for tool in server.result("tools/list")["tools"]}

    def test_of_the_policy(self):
        tools = self.tools("--timeout", "7s", "--memory", "96MiB", "--preload", "numpy", "--image", "my-image")
        said = tools["execute_python"]["description"]
        for word in ("7s", "96MiB", "no network", "numpy", "my-image"):
            self.assertIn(word, said)
        self.assertEqual(tools["execute_python"]["inputSchema"]["properties"]["timeout_s"]["maximum"], 7)
        self.assertFalse(tools["execute_python"]["annotations"]["openWorldHint"])
        tools = self.tools("--network", "full", "--allow-unenforced", "memory")
        said = tools["execute_python"]["description"]
        self.assertNotIn("no network", said)
        self.assertIn("memory may be missing", said)
        self.assertTrue(tools["execute_python"]["annotations"]["openWorldHint"])

    def test_schemas_are_strict(self):
        for name, tool in self.tools().items():
            for schema in (tool["inputSchema"], tool["outputSchema"]):
                self.assertEqual((name, schema["type"], schema["additionalProperties"]), (name, "object", False))
                self.assertLessEqual(set(schema["required"]), set(schema["properties"]))
            self.assertIn("session_id", tool["inputSchema"]["properties"])
            self.assertIn("session_id", tool["outputSchema"]["required"])


class BadClients(Case):
    def bad(self, server, data, code, number=None):
        server.raw(data + b"\n")
        answer = server.line()
        self.assertEqual((answer["error"]["code"], answer.get("id")), (code, number), data[:200])

    def test_malformed(self):
        with Server() as server:
            for data, code, number in (
                    (b"{", PARSE, None), (b"[]", PARSE, None), (b"\xff", PARSE, None), (b"1", PARSE, None), (b"{}x", PARSE, None),
                    (b'{"jsonrpc":"2.0","id":1,"id":1,"method":"x"}', PARSE, None), (b"{" * 5000, PARSE, None),
                    (b'{"a":' * 40 + b"1" + b"}" * 40, PARSE, None), (b"\0", PARSE, None),
                    (b'{"jsonrpc":"2.0","id":{},"method":"x"}', INVALID, None), (b'{"jsonrpc":"2.0","id":7}', INVALID, 7),
                    (b'{"id":7,"method":"ping"}', INVALID, 7), (b'{"jsonrpc":"2.0","id":7,"method":"x","params":[]}', PARAMS, 7)):
                self.bad(server, data, code, number)
            server.raw(b"\n \r\n")  # nothing is no message
            server.raw(b'{"jsonrpc":"2.0","method":"x","params":[]}\n{"jsonrpc":"2.0","id":1,"result":{}}\n')
            self.assertTrue(server.is_alive())
            self.assertEqual(server.lines, [])

    def test_tools_that_are_none(self):
        with Server() as server:
            self.assertEqual(server.answer(server.call("rm_rf"))["error"]["code"], PARAMS)
            self.assertEqual(server.answer(server.request("tools/call"))["error"]["code"], PARAMS)
            for name, arguments, words in (("execute_python", {}, "needs the argument code"), ("execute_python", {"code": 1}, "text"),
                                           ("execute_python", {"code": "", "timeout_s": 99}, "30s"),
                                           ("read_file", {"path": "x", "mode": 1}, "no argument"),
                                           ("get_variables", {"session_id": "../x"}, "session_id")):
                result = server.tool(name, **arguments)
                self.assertTrue(result["isError"])
                self.assertIn(words, text(result))
            for uri in ("file:///etc/passwd", "dsandbox://output/x/stdout", "dsandbox://session/a%2F..%2Fb/files/x", "", 7):
                self.assertEqual(server.answer(server.request("resources/read", uri=uri))["error"]["code"], PARAMS, uri)

    def test_too_long(self):
        with Server() as server:
            piece = b"x" * (1 << 20)
            for _ in range(40):
                server.raw(piece)
            answer = server.line()
            self.assertEqual(answer["error"]["code"], INVALID)
            self.assertIn("16777216", answer["error"]["message"])
            server.raw(b"\n")
            self.assertTrue(server.is_alive())
            with open(f"/proc/{server.process.pid}/status", encoding="ascii") as status:
                peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
            if not SANITIZED:
                self.assertLess(peak, 120 << 10)

    def test_slow(self):
        with Server() as server:
            message = json.dumps({"jsonrpc": "2.0", "id": "slow", "method": "tools/list", "params": {"_meta": META}}).encode()
            for i in range(0, len(message), 20):
                server.raw(message[i:i + 20])
                time.sleep(0.01)
            self.assertTrue(server.is_silent(0.2))
            server.raw(b"\n" + message[:30])
            self.assertEqual(server.line()["id"], "slow")
            self.assertEqual(server.close(), 0)  # with half a message

    def test_out_of_order(self):
        with Server(era="none") as server:
            server.note("notifications/cancelled", requestId=1)
            server.note("notifications/initialized")
            self.assertEqual(server.answer(server.call("execute_python", code="1"))["error"]["code"], PARAMS)
            self.assertEqual(server.answer(server.request("server/discover"))["error"]["code"], NO_METHOD)
            self.assertEqual(server.result("ping"), {})
            server.result("initialize", protocolVersion="2025-11-25")
            self.assertEqual(server.answer(server.request("initialize", protocolVersion="2025-11-25"))["error"]["code"], INVALID)
            self.assertTrue(server.is_alive())

    def test_that_do_not_read(self):
        """Answers wait for them, and each comes once."""
        with Server() as server:
            numbers = [server.request("tools/list") for _ in range(300)]
            self.assertEqual([server.line()["id"] for _ in numbers], numbers)

    def test_that_are_gone(self):
        for ended in ("stdout", "stdin"):
            with self.subTest(ended), Server() as server:
                server.result("tools/list")
                getattr(server.process, ended).close()
                if ended == "stdout":
                    server.request("tools/list")
                self.assertEqual(server.process.wait(scaled(10)), 0)

    def test_probe_that_is_killed(self):
        """A client asks a process beside the real one, and kills it at once."""
        server = Server()
        server.request("server/discover")
        server.process.kill()
        server.close()

    def test_options(self):
        for args, words in ((["mcp", "x"], "unexpected operand"), (["mcp", "--no-service"], "mcp does not take --no-service"),
                            (["mcp", "--memory", "1"], "memory"), (["mcp", "--session", "../x"], "session")):
            done = dsandbox(*args)
            self.assertEqual((done.status, done.out), (125, b""), done)
            self.assertIn(words, done.stderr)


CASES = [Eras, Descriptions, BadClients]
