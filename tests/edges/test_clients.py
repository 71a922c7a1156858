#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Clients that others generate from doc/openapi.json: in Python and in TypeScript, over the socket and with a token. Environment
and last line as in tests/cli/cli_harness.py.
"""
import json
import os
import shutil
import unittest

import own_service
import harness
import cli_harness
import tools

ONCE = "what a request may look like is the service's"
setUpModule, tearDownModule = own_service.begin, own_service.end
DOCUMENT = os.path.join(harness.TOP, "doc/openapi.json")
TOKEN = "correct-horse-battery-staple"

PYTHON = '''
import io, json, sys
import httpx
from dsandbox_api import AuthenticatedClient, Client
from dsandbox_api.api.executions import execute, run
from dsandbox_api.api.files import delete_file, list_files, read_file, write_file
from dsandbox_api.api.sessions import create_session, delete_session, get_session, list_sessions
from dsandbox_api.models import Create, Error, Execute, Run
from dsandbox_api.types import File

address, token, where, session = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), sys.argv[4]
if token:
    client = AuthenticatedClient(base_url=address, token=token, timeout=120)
else:
    client = Client(base_url="http://dsandbox", httpx_args={"transport": httpx.HTTPTransport(uds=address)}, timeout=120)
made = create_session.sync(client=client, body=Create.from_dict({"id": session, "labels": {"a": "b"}, **where}))
assert made.id == session and made.state == "idle", made
again = create_session.sync_detailed(client=client, body=Create.from_dict({"id": session, **where}))
assert again.status_code == 409 and isinstance(again.parsed, Error) and again.parsed.error.code == "conflict", again
result = execute.sync(session, client=client, body=Execute(code="open('made', 'w').write('by code')\\nprint(6 * 7)"))
assert (result.status, result.stdout) == ("ok", "42\\n"), result
assert read_file.sync(session, "made", client=client).payload.read() == b"by code"
write_file.sync(session, "sent", client=client, body=File(payload=io.BytesIO(b"by us")))
assert sorted(file.path for file in list_files.sync(session, client=client).files) == ["made", "sent"]
delete_file.sync(session, "sent", client=client)
assert [one.id for one in list_sessions.sync(client=client, label=["a=b"]).sessions] == [session]
once = run.sync(client=client, body=Run.from_dict({"code": "raise SystemExit(3)", **where}))
assert (once.status, once.exit_code) == ("error", 3), once
assert delete_session.sync(session, client=client, files=True).files_deleted is True
assert get_session.sync(session, client=client).error.code == "not_found"
print("round trip")
'''

TYPESCRIPT = '''
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

declare const process: { argv: string[] };
const [address, token, where, session] = process.argv.slice(2) as [string, string, string, string];
const client = createClient<paths>({ baseUrl: address, headers: { Authorization: `Bearer ${token}` } });
const place: Partial<components["schemas"]["create"]> = JSON.parse(where);

function same(what: unknown, wanted: unknown): void {
  if (JSON.stringify(what) !== JSON.stringify(wanted)) throw new Error(`${JSON.stringify(what)}, not ${JSON.stringify(wanted)}`);
}

const params = { path: { session } };
const made = await client.POST("/v1/sessions", { body: { ...place, id: session } });
same([made.response.status, made.data?.state], [201, "idle"]);
const again = await client.POST("/v1/sessions", { body: { ...place, id: session } });
const code: components["schemas"]["error"]["error"]["code"] | undefined = again.error?.error.code;
same([again.response.status, code], [409, "conflict"]);
const result = await client.POST("/v1/sessions/{session}/execute",
  { params, body: { code: "open('made', 'w').write('by code')\\nprint(6 * 7)" } });
same([result.data?.status, result.data?.stdout], ["ok", "42\\n"]);
const file = await client.GET("/v1/sessions/{session}/files/{path}",
  { params: { path: { session, path: "made" } }, parseAs: "text" });
same(file.data, "by code");
const once = await client.POST("/v1/run", { body: { ...place, code: "raise SystemExit(3)" } });
same([once.data?.status, once.data?.exit_code], ["error", 3]);
const ended = await client.DELETE("/v1/sessions/{session}", { params: { ...params, query: { files: true } } });
same(ended.data?.files_deleted, true);
const gone = await client.GET("/v1/sessions/{session}", { params });
same([gone.response.status, gone.error?.error.code], [404, "not_found"]);
console.log("round trip");
'''


@unittest.skipUnless(cli_harness.SETUP == "docker-api", "the same for every engine: docker-api does it")
class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = harness.Service("--listen", "127.0.0.1:0", "--token-file", harness.WORK.file(TOKEN))
        cls.addClassCleanup(cls.service.stop)
        line = next(line for line in cls.service.said().splitlines() if "listening on" in line)
        cls.address = "http://127.0.0.1:" + line.partition("port ")[2].split(",")[0]
        cls.where = json.dumps(cls.service.where)

    def test_python(self):
        tool = tools.python("openapi-python-client", "openapi-python-client==0.29.1")
        work = harness.WORK.dir("python")
        said = tools.call(os.path.join(tool, "openapi-python-client"), "generate", "--path", DOCUMENT, "--meta", "none",
                          "--fail-on-warning", "--output-path", "dsandbox_api", cwd=work,
                          env={**os.environ, "PATH": tool + ":" + os.environ["PATH"]})
        self.assertNotIn("WARNING", said)
        program = os.path.join(work, "round.py")
        with open(program, "w", encoding="utf-8") as out:
            out.write(PYTHON)
        for address, token in ((self.service.socket, ""), (self.address, TOKEN)):
            said = tools.call(os.path.join(tool, "python3"), program, address, token, self.where, "py" + str(len(token)))
            self.assertEqual(said, "round trip\n")

    def test_typescript(self):
        tool = tools.node("openapi-typescript", "openapi-typescript@7.13.0", "openapi-fetch@0.17.0", "typescript@5.9.3")
        work = os.path.join(tool, f"round{os.getpid()}")  # where node finds the packages
        os.mkdir(work)
        self.addCleanup(shutil.rmtree, work)
        binary = os.path.join(tool, "node_modules/.bin")
        tools.call(os.path.join(binary, "openapi-typescript"), DOCUMENT, "-o", "api.d.ts", cwd=work)
        with open(os.path.join(work, "round.ts"), "w", encoding="utf-8") as out:
            out.write(TYPESCRIPT)
        tools.call(os.path.join(binary, "tsc"), "--strict", "--target", "es2022", "--module", "nodenext", "--lib",
                   "es2022,dom", "--skipLibCheck", "round.ts", cwd=work)
        said = tools.call("node", "round.js", self.address, TOKEN, self.where, "ts", cwd=work)
        self.assertEqual(said, "round trip\n")


if __name__ == "__main__":
    cli_harness.main([Clients])
