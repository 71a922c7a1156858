# SPDX-License-Identifier: MIT
"""
A backend that ends, hangs or changes its process, in each operation: its own session alone suffers, within the deadline
and with a name. With an engine in memory.
"""
import json
import os
import re
import time
import unittest

import harness
from fake_pid1 import FakePid1
from harness import Failure, Service, children, in_threads, scaled, wait_for
from schedule import PLUGIN
from speed import setting

FAULT = os.path.join(os.path.dirname(PLUGIN), "libdsandbox-fault.so")
# `list` is of gc, which takes installed backends alone, and image_make of the program: tests/edges has both.
OPERATIONS = ("load", "open", "describe", "prepare", "create", "inspect", "start", "read", "write", "closing", "destroy", "close")
NAMES = {"crash": "crashed in [a-z]+: signal 11", "abort": "crashed in [a-z]+: signal 6",
         "exit": "ended in [a-z]+ with exit status 125", "success": "ended in [a-z]+ with exit status 125",
         "hang": "did not answer in time in [a-z]+", "quiet": "did not answer in time in [a-z]+"}
CHANGES = ("shut", "umask", "mask", "chdir", "block", "ignore", "locale", "leak")
TIMES = {"engine_timeout": setting(1), "set": {"start_timeout": setting(3), "grace": "100ms"}}
DEADLINE = 40  # seconds for one request: those times, and the service's patience


class Around:
    """A service, its honest session, and the bad one."""

    def __init__(self, op):
        self.op, self.fault = op, harness.WORK.file("")
        self.service = Service(env={"DSB_TEST_INNER": PLUGIN, "DSB_TEST_FAULT": self.fault})
        self.pid1 = FakePid1(os.path.join(self.service.run, "pid1"))
        self.where = {"base_dir": self.service.base, "host": "unix:" + self.pid1.path}
        self.pid = self.service.pid
        self.run("honest", {"keep": "mine"}, {**self.where, "plugin": PLUGIN})
        self.files = os.stat(os.path.join(self.service.base, "honest")).st_mode

    def run(self, session, code, create=None):
        more = {"create": create} if create else {}
        result = self.service.api.run(session, json.dumps(code), timeout=setting(3), **more)
        if result["failure"]:
            raise Failure(200, result["failure"])
        return result

    def set_fault(self, how):
        with open(self.fault, "w", encoding="ascii") as file:
            file.write(f"{self.op}:1:{how}" if how else "")

    def trouble(self, how):
        """What the bad session's life is told, and for how long it had to wait at most."""
        self.set_fault(how)
        told, longest = [], 0
        bad = {**self.where, **TIMES, "plugin": FAULT}
        for step in (lambda: self.run("bad", {"keep": "x"}, bad), lambda: self.run("bad", {"give": True}, bad),
                     lambda: self.service.api.delete("/v1/sessions/bad?files=1")):
            begin = time.monotonic()
            try:
                step()
            except Failure as failure:
                told.append(f"{failure.code}: {failure.message}")
            longest = max(longest, time.monotonic() - begin)
        self.set_fault(None)
        return told, longest

    def problems(self, how):
        before = len(self.service.written())
        told, longest = self.trouble(how)
        if longest > scaled(DEADLINE):
            yield f"{longest} s"
        said = "\n".join(told) + self.service.written()[before:]  # what is closed is nobody's who could be told
        if how in NAMES and not re.search("process (of a session )?" + NAMES[how], said):
            yield f"no name in {said!r}"
        if self.run("honest", {"give": True})["stdout"] != "mine" or self.service.pid != self.pid:
            yield "the honest session suffered"
        if self.run("bad", {"keep": "y"}, {**self.where, **TIMES, "plugin": FAULT})["status"] != "ok":
            yield "not made again"
        self.service.api.delete("/v1/sessions/bad?files=1")
        wait_for(lambda: len(children(self.pid)) <= 2)  # the honest one's, and one that waits ready
        left = set(os.listdir(os.path.join(self.service.run, "dsandbox/api.sessions"))) | set(os.listdir(self.service.base))
        left -= {name for name in left if re.fullmatch(r"honest(@\d+)?|\.locks", name)}
        if left:
            yield f"left: {left}"

    def all_problems(self, hows):
        found = [f"{self.op}:{how}: {problem}" for how in hows for problem in self.problems(how)]
        self.service.api.delete("/v1/sessions/honest?files=1")
        if self.service.stop() != 0:
            found.append(f"{self.op}: the service's end: {self.service.said()}")
        self.pid1.close()
        return found


class Misbehaving(unittest.TestCase):
    def in_each_operation(self, hows):
        problems = in_threads([lambda op=op: Around(op).all_problems(hows) for op in OPERATIONS])
        problems = [problem for each in problems for problem in each]
        self.assertEqual(problems, [], "\n".join(problems))

    def test_ends(self):
        self.in_each_operation(("crash", "abort", "exit", "success"))

    def test_changes(self):
        self.in_each_operation(CHANGES)


class Hanging(Misbehaving):
    long = "each waits for the service's patience"
    waits = True
    test_ends = test_changes = None

    def test_hangs(self):
        self.in_each_operation(("hang", "quiet"))


CASES = (Misbehaving, Hanging)
