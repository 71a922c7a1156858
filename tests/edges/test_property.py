#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Requests that schemathesis makes from doc/openapi.json, right ones and wrong ones: none is answered in a way that the document
does not know. Environment and last line as in tests/cli/cli_harness.py; DSB_TEST_PROPERTY: seconds of each part (20), and
DSB_TEST_PROPERTY_EXAMPLES, of each operation (30; a third of that for the requests that follow from others); DSB_TEST_SEED.
"""
import json
import os
import unittest

import own_service
import harness
import cli_harness
import tools

ONCE = "what a request may look like is the service's"
setUpModule, tearDownModule = own_service.begin, own_service.end
SECONDS = os.environ.get("DSB_TEST_PROPERTY", "20")
EXAMPLES = int(os.environ.get("DSB_TEST_PROPERTY_EXAMPLES", "30"))
SEED = os.environ.get("DSB_TEST_SEED", "1")
TOKEN = "correct-horse-battery-staple"
# The reviewed findings; a third one is in schemathesis.toml.
ACCEPTED = "positive_data_acceptance"  # what JSON Schema cannot say: keys of a policy, names of controls, stdin beside stdin_base64
WITHOUT_ENGINE = "not_a_server_error"  # 503 is right there; 500 never is, see property_hooks.py


@unittest.skipUnless(cli_harness.SETUP == "docker-api", "the same for every engine: docker-api does it")
class Property(unittest.TestCase):
    def examine(self, examples, accepted, *options, **where):
        tool = os.path.join(tools.python("schemathesis", "schemathesis==4.32.5"), "schemathesis")
        work = harness.WORK.dir("property")
        with harness.Service("--listen", "127.0.0.1:0", "--token-file", harness.WORK.file(TOKEN)) as service:
            line = next(line for line in service.said().splitlines() if "listening on" in line)
            address = "http://127.0.0.1:" + line.partition("port ")[2].split(",")[0]
            env = {**os.environ, "DSB_WHERE": json.dumps({**service.where, **where}), "SCHEMATHESIS_HOOKS": "property_hooks",
                   "PYTHONPATH": own_service.HERE, "PYTHONDONTWRITEBYTECODE": "1"}
            pid = service.pid
            said = tools.call(tool, "--config-file", os.path.join(own_service.HERE, "schemathesis.toml"), "run", os.path.join(harness.TOP, "doc/openapi.json"), "--url", address, "--header",
                              f"Authorization: Bearer {TOKEN}", "--no-color", "--generation-database", "none", "--warnings", "off",
                              "--seed", SEED, "--max-time", SECONDS, "--continue-on-failure", "--exclude-checks",
                              ",".join(accepted), "--max-examples", str(examples), *options, cwd=work, env=env)
            self.assertEqual(service.pid, pid, "the same service as before")
            print(next(line.strip() for line in said.splitlines() if " generated" in line))

    def test_requests(self):
        """No engine answers, so there are thousands."""
        self.examine(EXAMPLES, (ACCEPTED, WITHOUT_ENGINE), "--phases", "coverage,fuzzing",
                     host="unix://" + os.path.join(harness.WORK.path, "no-such.sock"))

    def test_sessions(self):
        """What one answer says is used in the next request."""
        self.examine(EXAMPLES // 3, (ACCEPTED,), "--phases", "examples,stateful")


if __name__ == "__main__":
    cli_harness.main([Property])
