# SPDX-License-Identifier: MIT
"""/mcp before any sandbox, and clients that do not behave."""
import json
import os
import signal
import subprocess
import time

from mcp_harness import HEADERS, INVALID, META, NO_METHOD, NO_VERSION, PARAMS, PARSE, TOOLS, VERSION, text
from http_harness import BOTH, Client, McpService, front_of, own_service
import harness
from cli_harness import Case, scaled

setUpModule, tearDownModule = own_service.begin, own_service.end


class HttpCase(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.service = McpService()

    @classmethod
    def tearDownClass(cls):
        cls.service.stop()
        cls.service.check_log()
        super().tearDownClass()

    def refused(self, answer, status, code):
        message = answer.last()
        self.assertEqual((answer.status, message["error"]["code"]), (status, code), message)
        return message


class HttpEras(HttpCase):
    def test_modern(self):
        client = Client(self.service)
        found = client.result("server/discover")
        self.assertEqual(found["supportedVersions"], [VERSION])
        self.assertIn("session_id", found["instructions"])
        tools = client.result("tools/list")
        self.assertEqual([tool["name"] for tool in tools["tools"]], TOOLS)
        self.assertEqual({tool["name"] for tool in tools["tools"] if "session_id" in tool["inputSchema"]["required"]},
                         {"list_files", "read_file", "get_variables", "reset_session", "close_session"})
        self.assertEqual(client.note("notifications/cancelled", requestId=7).status, 400)  # of no session, and not modern
        self.assertEqual(client.raw('{"jsonrpc":"2.0","method":"notifications/x"}', MCP_Protocol_Version=VERSION).status, 202)

    def test_modern_fields(self):
        """They say what the message says, or it is not taken."""
        client = Client(self.service)
        for fields in ({"MCP_Protocol_Version": None}, {"MCP_Protocol_Version": "2025-11-25"}, {"Mcp_Method": None},
                       {"Mcp_Method": "tools/call"}, {"Mcp_Method": "Tools/list"}):
            self.refused(client.request("tools/list", fields=fields), 400, HEADERS)
        for name in (None, "run_command", "=?base64?cnVu?=", "=?base64?????="):
            self.refused(client.request("tools/call", fields={"Mcp_Name": name}, name="get_variables", arguments={}), 400, HEADERS)
        same = client.request("tools/call", fields={"Mcp_Name": "=?base64?Z2V0X3ZhcmlhYmxlcw==?="}, name="get_variables", arguments={})
        self.assertIn("needs the argument session_id", text(same.last()["result"]))
        wrong = {**META, "io.modelcontextprotocol/protocolVersion": "1900-01-01"}
        error = self.refused(client.request("tools/list", fields={"MCP_Protocol_Version": "1900-01-01"}, _meta=wrong), 400, NO_VERSION)
        self.assertEqual(error["error"]["data"]["supported"], [VERSION])
        self.refused(client.request("tools/list", _meta={}), 400, PARAMS)
        self.refused(client.request("ping"), 404, NO_METHOD)
        self.refused(client.request("initialize", protocolVersion="2025-11-25"), 404, NO_METHOD)

    def test_legacy(self):
        client = Client(self.service, era="legacy")
        self.assertEqual(client.agreed["protocolVersion"], "2025-11-25")
        self.assertEqual(client.result("ping"), {})
        self.assertEqual([tool["name"] for tool in client.result("tools/list")["tools"]], TOOLS)
        self.assertEqual(client.request("tools/list", fields={"MCP_Protocol_Version": "2025-11-25"}).status, 200)
        self.refused(client.request("tools/list", fields={"MCP_Protocol_Version": "1900-01-01"}), 400, INVALID)
        self.refused(client.request("prompts/list"), 200, NO_METHOD)
        self.refused(client.request("ping", fields={"Mcp-Session-Id": None}), 400, INVALID)
        self.refused(client.request("ping", fields={"Mcp-Session-Id": "another"}), 404, INVALID)
        other = Client(self.service, era="legacy")
        self.assertNotEqual(other.session, client.session)
        self.assertEqual(client.raw(None, "DELETE").status, 204)
        self.refused(client.request("ping"), 404, INVALID)
        self.assertEqual(client.raw(None, "DELETE").status, 404)
        self.assertEqual(other.result("ping"), {})

    def test_many_legacy_clients(self):
        """Who was not there for longest begins anew."""
        first, second = (Client(self.service, era="legacy") for _ in range(2))
        for _ in range(254):
            Client(self.service, era="legacy")
        self.assertEqual(first.result("ping"), {})
        Client(self.service, era="legacy")
        self.assertEqual(first.result("ping"), {})
        self.refused(second.request("ping"), 404, INVALID)


class HttpDoors(HttpCase):
    def test_token(self):
        for token in (None, "wrong-horse-battery-staple"):
            answer = Client(self.service, token=token).request("tools/list")
            self.assertEqual(answer.status, 401)

    def test_web_pages(self):
        client = Client(self.service)
        port = self.service.port
        for host, origin, status in ((f"localhost:{port}", None, 200), (f"127.0.0.1:{port}", f"http://localhost:{port}", 200),
                                     (f"[::1]:{port}", "https://127.0.0.1", 200), ("evil.example", None, 403),
                                     (f"localhost:{port}", "http://evil.example", 403), (f"localhost:{port}", "null", 403),
                                     ("localhost.evil.example", None, 403), (f"localhost:{port}x", None, 403),
                                     (f"127.0.0.1:{port}", "http://127.0.0.1.evil.example", 403), ("evil.example", "http://evil.example", 403)):
            answer = client.request("server/discover", fields={"Host": host, "Origin": origin})
            self.assertEqual(answer.status, status, (host, origin))

    def test_unix_socket(self):
        """Whoever gets there needs no token, and may call the host as he likes; a page does not get there."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {"_meta": META}}).encode()
        fields = {"MCP-Protocol-Version": VERSION, "Mcp-Method": "server/discover", "Content-Type": "application/json"}
        for origin, status in ((None, 200), ("http://evil.example", 403)):
            connection = harness.UnixConnection(self.service.socket)
            connection.request("POST", "/mcp", body, {**fields, **({"Origin": origin} if origin else {})})
            answer = connection.getresponse()
            self.assertEqual(answer.status, status, answer.read())
            connection.close()

    def test_methods(self):
        client = Client(self.service)
        answer = client.raw(None, "GET")
        self.assertEqual((answer.status, answer.http.headers["Allow"]), (405, "POST, DELETE"))
        self.assertEqual(client.raw(None, "DELETE").status, 405)
        self.assertEqual(client.raw("{}", "PUT").status, 405)

    def test_accept(self):
        client = Client(self.service)
        for accept, status in ((BOTH, 200), (None, 200), ("*/*", 200), ("application/json", 200), ("text/html", 406)):
            answer = client.request("tools/list", fields={"Accept": accept})
            self.assertEqual((answer.status, answer.type), (status, "application/json"), accept)
        answer = client.request("tools/list", fields={"Accept": "text/event-stream"})
        self.assertEqual((answer.status, answer.type, len(answer.last()["result"]["tools"])), (200, "text/event-stream", 8))
        self.assertEqual(client.request("tools/list", fields={"Content-Type": "text/plain"}).status, 415)

    def test_malformed(self):
        client = Client(self.service)
        for body, code in (("{", PARSE), ("", PARSE), ("[]", PARSE), ("\0", PARSE), ('{"jsonrpc":"2.0","id":7}', INVALID),
                           ('{"jsonrpc":"2.0","id":{},"method":"x"}', INVALID), ("[" * 100000, PARSE), ("x" * (17 << 20), INVALID)):
            self.refused(client.raw(body), 400, code)
        self.assertEqual(client.raw("x" * (33 << 20)).status, 413)
        self.assertEqual(len(client.result("tools/list")["tools"]), 8)


class HttpProcess(HttpCase):
    def test_nothing_is_started(self):
        with McpService() as service:
            self.assertEqual(front_of(service), [])
            client = Client(service)
            client.result("server/discover")
            begin = time.monotonic()
            for _ in range(50):
                client.result("tools/list")
            self.assertLess((time.monotonic() - begin) / 50, scaled(0.05))
            self.assertEqual(len(front_of(service)), 1)
            self.assertEqual(service.api.get("/v1/sessions")["sessions"], [])
            self.assertFalse(os.path.exists(service.base))

    def test_killed(self):
        """The next request has another one."""
        client = Client(self.service)
        legacy = Client(self.service, era="legacy")
        pid = front_of(self.service)[0]
        os.kill(pid, signal.SIGKILL)
        harness.wait_for(lambda: harness.is_gone(pid))
        self.assertEqual(len(client.result("tools/list")["tools"]), 8)
        self.refused(legacy.request("ping"), 404, INVALID)
        self.assertNotEqual(front_of(self.service), [pid])

    def test_stopped(self):
        """One that does not read holds up nobody else, and ends with the service."""
        with McpService() as service:
            client = Client(service)
            client.result("tools/list")
            pid = front_of(service)[0]
            os.kill(pid, signal.SIGSTOP)
            waiting = client.raw_begin(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"}))
            self.assertEqual(service.api.get("/v1/sessions")["sessions"], [])
            os.kill(pid, signal.SIGCONT)
            self.assertEqual(waiting.getresponse().status, 400)
            waiting.close()
        harness.wait_for(lambda: harness.is_gone(pid))

    def test_started_by_hand(self):
        program = os.path.join(os.path.dirname(os.path.dirname(harness.PROGRAM)), "service/dsandbox-mcp")
        done = subprocess.run([program], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)
        self.assertEqual((done.returncode, done.stdout), (125, b""))
        self.assertIn(b"dsandbox serve alone", done.stderr)

    def test_settings(self):
        for content, words in (("{", "--mcp"), ('{"policy": {"memry": "1"}}', "memry"), ('{"id": "x"}', "'id'"), (None, "--mcp")):
            path = harness.WORK.file(content) if content is not None else "/nowhere"
            process = harness.Service(start=False).popen(harness.PROGRAM, "serve", "--mcp", path)
            _, err = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 125, err)
            self.assertIn(words, err.decode())
        with McpService(set={"memory": "96MiB"}) as service:
            self.assertIn("96MiB", Client(service).result("server/discover")["instructions"])


CASES = [HttpEras, HttpDoors, HttpProcess]
