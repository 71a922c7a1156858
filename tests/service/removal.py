# SPDX-License-Identifier: MIT
"""What of a session could not be removed is said, whoever ended it. With an engine in memory that fails to remove."""
import json
import os
import sys

import harness
import openapi
from fake_pid1 import FakePid1
from harness import HARD_LIMIT, PROGRAM, Case, Service, scaled, wait_for
from schedule import PLUGIN

sys.path.insert(0, os.path.join(openapi.TOP, "bindings/python"))
import dsandbox  # noqa: E402

FAULT = os.path.join(os.path.dirname(PLUGIN), "libdsandbox-fault.so")
FAILS, CRASHES = "destroy:0", "destroy:0:crash"
LEFT = "could not be removed: injected fault in destroy"


class Removal(Case):
    @classmethod
    def setUpClass(cls):
        cls.fault = harness.WORK.file("")
        cls.service = Service(env={"DSB_TEST_INNER": PLUGIN, "DSB_TEST_FAULT": cls.fault})
        cls.api = cls.service.api

    def setUp(self):
        self.set_fault("")
        self.id = self._testMethodName[5:][:30]
        self.pid1 = FakePid1(os.path.join(self.service.run, self.id[:20]), os.path.join(self.service.base, self.id))
        self.addCleanup(self.pid1.close)

    def set_fault(self, text):
        with open(self.fault, "w", encoding="ascii") as out:
            out.write(text)

    def begin(self, code=None, **more):
        """A session whose container cannot be removed."""
        create = {"base_dir": self.service.base, "plugin": FAULT, "host": "unix:" + self.pid1.path, **more}
        result = self.api.post(f"/v1/sessions/{self.id}/execute", {"code": json.dumps(code or {}), "create": create})
        self.assertEqual(result["status"], "ok", result)
        self.set_fault(FAILS)

    def delete(self, query=""):
        status, _, body = self.api.raw("DELETE", f"/v1/sessions/{self.id}{query}")
        return status, json.loads(body)

    def ended(self):
        return self.id not in [row["id"] for row in self.api.get("/v1/sessions")["sessions"]]

    def program(self, *args):
        process = self.service.popen(PROGRAM, *args)
        out, err = process.communicate(timeout=HARD_LIMIT)
        return process.returncode, out.decode(), err.decode()

    def test_http(self):
        self.begin()
        status, body = self.delete()
        self.assertEqual((status, body["error"]["code"]), (503, "unavailable"))
        message = body["error"]["message"]
        self.assertTrue(message.startswith(f"session {self.id} ended, but its container dsb-"), message)
        self.assertTrue(message.endswith(LEFT + "; 'dsandbox gc' tries again"), message)
        self.assertTrue(self.ended())

    def test_files_are_deleted_all_the_same(self):
        self.begin()
        message = self.delete("?files=1")[1]["error"]["message"]
        self.assertIn("ended and its files were deleted, but its container", message)
        self.assertFalse(os.path.exists(os.path.join(self.service.base, self.id)))

    def test_the_next_of_this_id_is_told(self):
        self.begin()
        self.delete()
        self.set_fault("")
        create = {"base_dir": self.service.base, "plugin": FAULT, "host": "unix:" + self.pid1.path}
        result = self.api.post(f"/v1/sessions/{self.id}/execute", {"code": "{}", "create": create})
        self.assertEqual(result["state"]["outcome"], "lost", result["state"])
        self.assertIn("the session was deleted, but not all that it had: ", result["state"]["reason"])
        self.assertIn(LEFT, result["state"]["reason"])
        self.assertEqual(self.delete()[0], 200)

    def test_process_that_fails_in_it(self):
        self.begin()
        self.set_fault(CRASHES)
        message = self.delete()[1]["error"]["message"]
        self.assertIn(f"session {self.id} ended, but its container may still be there ('dsandbox gc' removes it): ", message)
        self.assertIn("in close", message)
        self.assertTrue(self.ended())

    def test_program(self):
        self.begin()
        status, out, err = self.program("session", "rm", self.id, "--files")
        self.assertEqual((status, out), (125, ""), err)
        self.assertIn(LEFT, err)
        self.assertIn("'dsandbox gc' tries again", err)

    def test_program_json(self):
        self.begin()
        status, out, _ = self.program("session", "rm", "--all", "--json")
        rows = json.loads(out)
        self.assertEqual((status, rows["ended"], [row["id"] for row in rows["failed"]]), (125, [], [self.id]))
        self.assertIn(LEFT, rows["failed"][0]["message"])

    def test_python(self):
        self.begin()
        client = dsandbox.Client(self.service.socket)
        with self.assertRaises(dsandbox.Error) as raised:
            client.delete(self.id)
        self.assertIn(LEFT, raised.exception.message)

    def test_nobody_waits(self):
        """The log has it."""
        self.begin(idle_timeout=f"{scaled(1.5):.1f}s")  # longer than it takes to set the fault, also on a busy machine
        wait_for(self.ended)
        wait_for(lambda: f"session {self.id} ended, but its container" in self.service.said())

    def test_container_that_ended_by_itself(self):
        """Its removal failed then, and who ends the session is told of it."""
        self.begin({"rest": scaled(0.15)})
        wait_for(lambda: LEFT in (self.api.get(f"/v1/sessions/{self.id}")["lost"] or ""))
        self.assertIn(LEFT, self.delete()[1]["error"]["message"])


CASES = (Removal,)
