# SPDX-License-Identifier: MIT
"""Sandboxes that wait ready (serve --pool): given once, to whom they fit, replaced, ended. With an engine in memory."""
import json
import os
import signal
import unittest

import harness
from fake_pid1 import FakePid1
from harness import HARD_LIMIT, PROGRAM, Engine, Service, SessionCase, children, in_threads, is_gone, wait_for
from schedule import PLUGIN


def measured(result):
    """But for the uid, which is each sandbox's own, and the outermost bound of its life, which is a session's for all that wait."""
    return [row for row in result["policy"]["controls"] if row["name"] not in ("user", "time")]


class PoolCase(unittest.TestCase):
    """Each test has a service of its own."""
    size, idle = 2, "1h"

    def setUp(self):
        self.image = harness.WORK.file("sha256:0001")
        self.service = Service("--pool", str(self.size), "--pool-idle", self.idle, env={"DSB_TEST_IMAGE_FILE": self.image})
        self.addCleanup(self.service.stop)
        self.api = self.service.api
        self.pid1 = FakePid1(os.path.join(self.service.run, "pid1"))
        self.addCleanup(self.pid1.close)
        self.where = {"base_dir": self.service.base, "plugin": PLUGIN, "host": "unix:" + self.pid1.path}

    def run_once(self, code=None, **more):
        result = self.api.post("/v1/run", {"code": json.dumps(code or {}), **self.where, **more})
        self.assertEqual(result["status"], "ok", result)
        return result

    def execute(self, session, code=None, **more):
        body = {"code": json.dumps(code or {}), "create": {**self.where, **more}}
        result = self.api.post(f"/v1/sessions/{session}/execute", body)
        self.assertEqual(result["status"], "ok", result)
        return result

    def state(self):
        return self.api.get("/v1/pool")

    def await_ready(self, least=1):
        """How many wait, when all that are wanted do."""
        def is_so():
            state = self.state()
            return state["starting"] == 0 and state["waiting"] == sum(kind["wanted"] for kind in state["kinds"]) >= least
        try:
            wait_for(is_so)
        except AssertionError:
            self.fail(self.state())
        return self.state()["waiting"]

    def directories(self):
        return sorted(name for name in os.listdir(self.service.base) if not name == ".locks")

    def processes(self):
        return set(children(self.service.pid))


class Pool(PoolCase):
    def test_a_run(self):
        first = self.run_once()
        self.assertFalse(first["warm"])
        self.await_ready()
        waiting = self.directories()
        self.assertRegex(" ".join(waiting), r"^\.pool-[a-z0-9]+$")
        second = self.run_once({"out": "hi"})
        self.assertEqual((second["warm"], second["stdout"]), (True, "hi"))
        self.assertEqual(measured(second), measured(first))
        self.assertEqual(second["policy"]["sha256"], first["policy"]["sha256"])
        self.assertIn("claimed_ms", second["timing"])
        self.assertNotEqual(first["id"], second["id"])
        wait_for(lambda: not set(self.directories()) & set(waiting))  # used once
        self.await_ready()
        kinds = self.state()["kinds"]
        self.assertEqual([(row["claimed"], row["missed"], row["for"], row["backend"]) for row in kinds], [(1, 1, "run", "memory")])
        self.assertEqual(kinds[0]["policy"], first["policy"]["sha256"])
        for container in self.pid1.all:
            self.assertLessEqual((container.executions, container.claims), (1, 1))

    def test_its_own_time_limit(self):
        """It is not the sandbox's: the policy of the result is the one that a cold run has."""
        cold = self.run_once(timeout=7)
        self.await_ready()
        warm = self.run_once(timeout=9)
        again = self.run_once(timeout=9)
        self.assertTrue(warm["warm"])
        self.assertEqual(warm["policy"]["sha256"], again["policy"]["sha256"])
        self.assertNotEqual(warm["policy"]["sha256"], cold["policy"]["sha256"])

    def test_a_session(self):
        self.assertFalse(self.execute("cold")["warm"])
        self.await_ready()
        inode = os.stat(os.path.join(self.service.base, next(n for n in self.directories() if n.startswith(".pool-")))).st_ino
        result = self.execute("mine", {"keep": "x"})
        self.assertEqual((result["warm"], result["session"], result["state"]["outcome"]), (True, "mine", "kept"))
        self.assertEqual(result["workdir"], os.path.join(self.service.base, "mine"))
        self.assertEqual(os.stat(result["workdir"]).st_ino, inode)
        again = self.execute("mine", {"give": True})
        self.assertEqual((again["stdout"], again["state"]["execution"]), ("x", 2))
        shown = self.api.get("/v1/sessions/mine")
        self.assertEqual((shown["workdir"], shown["executions"]), (result["workdir"], 2))
        self.assertIn("mine", os.listdir(os.path.join(self.service.base, ".locks")))
        self.api.call("PUT", "/v1/sessions/mine/files/a.txt", "text")
        self.api.delete("/v1/sessions/mine?files=1")
        self.assertNotIn("mine", self.directories())
        self.assertNotIn("mine", os.listdir(os.path.join(self.service.base, ".locks")))

    def test_a_new_session_without_code(self):
        self.execute("cold")
        self.await_ready()
        self.api.post("/v1/sessions", {"id": "mine", **self.where}, status=201)
        self.assertEqual(self.state()["claimed"], 1)
        self.assertTrue(self.execute("mine")["warm"])

    def test_a_directory_that_is_there(self):
        """With files or without: it is not touched, and the session begins cold in it."""
        self.execute("cold")
        self.await_ready()
        for name, content in (("full", b"kept"), ("empty", None)):
            os.mkdir(os.path.join(self.service.base, name))
            if content:
                with open(os.path.join(self.service.base, name, "f"), "wb") as out:
                    out.write(content)
            inode = os.stat(os.path.join(self.service.base, name)).st_ino
            self.assertFalse(self.execute(name)["warm"])
            self.assertEqual(os.stat(os.path.join(self.service.base, name)).st_ino, inode)
        with open(os.path.join(self.service.base, "full/f"), "rb") as file:
            self.assertEqual(file.read(), b"kept")

    def test_a_session_that_was_lost_begins_cold(self):
        self.execute("mine")
        self.await_ready()
        for container in list(self.pid1.containers):
            if not container.waits:
                container.connection.shutdown(2)
        wait_for(lambda: self.api.get("/v1/sessions/mine")["state"] == "ended")
        result = self.execute("mine")
        self.assertEqual((result["warm"], result["state"]["outcome"]), (False, "lost"))

    def test_only_what_fits(self):
        """Another policy, kind, base directory or image name gets none; the same gets it."""
        self.run_once()
        self.await_ready()
        other = os.path.join(harness.WORK.dir("base"), "b")
        for more in ({"set": {"memory": "1GiB"}}, {"image": "another"}, {"base_dir": other}, {"set": {"preload": "json"}},
                     {"allow_unenforced": ["memory"]}):
            with self.subTest(more):
                self.assertFalse(self.run_once(**more)["warm"])
        self.assertFalse(self.execute("mine")["warm"])
        self.assertFalse(self.execute("always", checkpoint="always")["warm"])
        kinds = len(self.state()["kinds"])
        self.api.post("/v1/run", {"code": "{}", **self.where, "set": {"same_path": "true"}})
        self.assertEqual(len(self.state()["kinds"]), kinds)

    def test_another_image_under_the_name(self):
        self.run_once()
        self.await_ready()
        with open(self.image, "w", encoding="ascii") as out:
            out.write("sha256:0002")
        result = self.run_once()
        self.assertEqual((result["warm"], result["image"]["id"]), (False, "sha256:0002"))
        self.await_ready()
        result = self.run_once()
        self.assertEqual((result["warm"], result["image"]["id"]), (True, "sha256:0002"))

    def test_one_that_died_is_replaced(self):
        self.run_once()
        self.await_ready()
        self.pid1.kill()
        wait_for(lambda: self.state()["ended"] == 1)
        self.await_ready()
        self.assertTrue(self.run_once()["warm"])

    def test_a_process_that_was_killed_is_replaced(self):
        self.run_once()
        self.await_ready()
        before = set(self.directories())
        self.pid1.kill_processes()
        wait_for(lambda: self.state()["made"] == 2)
        self.await_ready()
        self.assertTrue(self.run_once()["warm"])
        wait_for(lambda: not set(self.directories()) & before)  # gc, behind

    def test_killed_just_before_it_is_claimed(self):
        """Whether somebody has noticed or not: the code runs, once, in a sandbox that is made."""
        self.run_once()
        for i in range(6):
            wait_for(lambda: self.state()["waiting"] > 0)
            if i % 2:
                self.pid1.kill_waiting()
            else:
                self.pid1.kill_processes()
            if i % 3 == 2:
                self.assertEqual(self.execute(f"s{i}", {"out": "x"})["stdout"], "x")
            else:
                self.assertEqual(self.run_once({"out": "x"})["stdout"], "x")
        self.assertEqual(sum(c.executions for c in self.pid1.all), 7)

    def test_the_service_is_killed(self):
        self.run_once()
        self.execute("mine", {"keep": "x"})
        self.await_ready(2)
        waiting = [c for c in self.pid1.containers if c.waits]
        self.assertEqual(len(waiting), 2)
        self.service.kill_alone()
        wait_for(lambda: not [n for n in self.directories() if n.startswith(".pool-")], 60)
        wait_for(lambda: not any(c.is_alive() for c in waiting))
        self.service.start()
        self.assertEqual(self.execute("mine", {"give": True})["stdout"], "x")  # its session goes on
        self.assertEqual(self.state()["waiting"], 0)

    def test_the_service_ends(self):
        self.run_once()
        self.await_ready()
        pids = self.processes()
        self.assertEqual(self.service.stop(signal.SIGTERM), 0)
        self.assertTrue(all(is_gone(pid) for pid in pids))
        self.assertEqual(self.directories(), [])

    def test_a_claimed_session_outlives_the_service(self):
        self.execute("cold")
        self.await_ready()
        self.assertTrue(self.execute("mine", {"keep": "x"})["warm"])
        self.service.kill_alone()
        self.service.start()
        result = self.execute("mine", {"give": True})
        self.assertEqual((result["stdout"], result["warm"]), ("x", True))

    def test_a_claimed_sessions_process_is_killed(self):
        self.execute("cold")
        self.await_ready()
        self.execute("mine", {"keep": "x"})
        for container in self.pid1.all:
            if container.is_alive() and container.executions and container.session:
                container.kill_process()
        wait_for(lambda: self.api.get("/v1/sessions/mine")["state"] == "ended")
        result = self.execute("mine")
        self.assertEqual((result["warm"], result["state"]["outcome"]), (False, "lost"))

    def test_it_cannot_be_made(self):
        """It is said, tried again, later and later; and nothing else is harmed."""
        self.run_once()
        self.await_ready()
        os.unlink(self.image)
        self.pid1.kill()
        wait_for(lambda: self.state()["failed"] >= 2)
        self.assertIn("no image", self.state()["kinds"][0]["problem"])
        process = self.service.popen(PROGRAM, "pool", "ls")
        out, err = process.communicate(timeout=HARD_LIMIT)
        self.assertIn(b"no image", err)
        self.assertIn(b"memory", out)
        with open(self.image, "w", encoding="ascii") as file:
            file.write("sha256:0003")
        self.await_ready()
        self.assertIsNone(self.state()["kinds"][0]["problem"])

    def test_one_that_fails_holds_up_no_other(self):
        body = {"code": "{}", **self.where, "host": "unix:/nowhere"}
        self.assertEqual(self.api.post("/v1/run", body)["status"], "error")
        wait_for(lambda: self.state()["failed"] == 5)  # the next try is in sixteen seconds
        self.run_once()
        wait_for(lambda: self.state()["waiting"] == 1)
        self.assertEqual(self.state()["failed"], 5)

    def test_the_program(self):
        process = self.service.popen(PROGRAM, "pool", "ls", "--json")
        out, _ = process.communicate(timeout=HARD_LIMIT)
        self.assertEqual(json.loads(out), self.state())
        self.service.stop()
        for args, said in ((["pool", "ls"], b"no pool; "), (["pool", "ls", "--json"], b'"kinds":[]')):
            process = self.service.popen(PROGRAM, *args)
            out, err = process.communicate(timeout=HARD_LIMIT)
            self.assertEqual(process.returncode, 0, err)
            self.assertIn(said, (out + err).replace(b": ", b":"))


class Many(PoolCase):
    """What is asked for at once."""
    size = 6

    def test_each_is_given_once(self):
        first = in_threads([self.run_once] * 6)
        there = self.await_ready(3)
        before = [c for c in self.pid1.containers if c.waits]
        results = in_threads([lambda: self.run_once({"wait": 0.1})] * 12)
        self.assertEqual(len({r["id"] for r in results}), 12)
        # One of the first may have come when another one's was ready.
        self.assertEqual(sum(r["warm"] for r in first + results), self.state()["claimed"])
        self.assertGreaterEqual(self.state()["claimed"], there)
        for container in before:
            self.assertLessEqual((container.executions, container.claims), (1, 1))

    def test_sessions_at_once(self):
        in_threads([lambda i=i: self.execute(f"cold{i}") for i in range(4)])
        there = self.await_ready(3)
        results = in_threads([lambda i=i: self.execute(f"s{i}", {"keep": str(i)}) for i in range(8)])
        self.assertGreaterEqual(sum(r["warm"] for r in results), there)
        for i in range(8):
            self.assertEqual(self.execute(f"s{i}", {"give": True})["stdout"], str(i))

    def test_the_same_new_session_twice(self):
        self.execute("cold")
        self.await_ready()
        in_threads([lambda: self.execute("mine", {"keep": "x"}), lambda: self.execute("mine", {"keep": "x"})])
        self.assertEqual(self.state()["claimed"], 1)


class Shares(PoolCase):
    size = 3

    def test_one_kind_leaves_room_for_another(self):
        in_threads([self.run_once] * 6)
        self.await_ready(3)
        self.assertEqual([row["wanted"] for row in self.state()["kinds"]], [3])
        self.execute("cold")
        wait_for(lambda: sorted(row["waiting"] for row in self.state()["kinds"]) == [1, 2])
        self.assertTrue(self.execute("mine")["warm"])
        self.assertTrue(self.run_once()["warm"])


class Idle(PoolCase):
    idle = "2s"

    def test_nobody_asks(self):
        self.run_once()
        wait_for(lambda: self.state()["made"] == 1)
        wait_for(lambda: self.state()["kinds"] == [])
        wait_for(lambda: self.directories() == [])


class Off(unittest.TestCase):
    def test_without_the_option(self):
        with Service() as service:
            pool = service.api.get("/v1/pool")
            self.assertEqual((pool["size"], pool["kinds"]), (0, []))
            process = service.popen(PROGRAM, "serve", "--pool", "101")
            self.assertIn(b"from 0 to 100", process.communicate(timeout=HARD_LIMIT)[1])


class OnAnEngine(SessionCase):
    options = ("--pool", "4")  # one for each kind that these tests ask for

    def await_ready(self, kinds=1):
        """One of each kind at least, and nothing on its way."""
        def is_so():
            pool = self.api.get("/v1/pool")
            return len(pool["kinds"]) >= kinds and pool["starting"] == 0 and all(row["waiting"] for row in pool["kinds"])
        try:
            wait_for(is_so)
        except AssertionError as error:
            raise AssertionError(json.dumps(self.api.get("/v1/pool"))) from error

    def test_runs_and_a_session(self):
        self.create = {**self.create, "set": {"preload": "numpy"}}
        code = "import sys; print('numpy' in sys.modules, open('/sandbox/mine', 'a').tell())"
        cold = self.api.post("/v1/run", {"code": code, **self.create})
        self.assertEqual((cold["warm"], cold["status"]), (False, "ok"), cold)
        for _ in range(2):
            self.await_ready()
            warm = self.api.post("/v1/run", {"code": code, **self.create})
            self.assertEqual((warm["warm"], warm["stdout"]), (True, "True 0\n"), warm)
            self.assertEqual(measured(warm), measured(cold))
        self.assertFalse(self.ok("1")["warm"])  # a session is another kind
        self.api.delete(self.path("?files=1"))  # what is in the way of a directory that waits
        self.await_ready(2)
        self.assertTrue(self.ok("x = 1")["warm"])
        self.assertEqual(self.ok("x + 1")["results"][-1]["text/plain"], "2")

    def test_commands(self):
        """A sandbox that waited has an interpreter, which a run of a command does without, and a session keeps."""
        command = {"shell": "set -- /proc/[0-9]*; echo $#", **self.create}
        cold = self.api.post("/v1/run", command)
        self.assertEqual((cold["warm"], cold["status"]), (False, "ok"), cold)
        self.await_ready()
        warm = self.api.post("/v1/run", command)
        self.assertEqual((warm["warm"], warm["stdout"]), (True, cold["stdout"]), warm)
        self.assertEqual(measured(warm), measured(cold))
        self.ok("1")
        self.api.delete(self.path("?files=1"))
        self.await_ready(2)
        result = self.api.post(self.path("/execute"), {"argv": ["echo", "a"], "create": self.create})
        self.assertEqual((result["warm"], result["stdout"], result["state"]["outcome"]), (True, "a\n", "kept"), result)
        self.assertEqual(self.ok("1 + 1")["results"][-1]["text/plain"], "2")

    def test_the_engine_lost_what_waits(self):
        self.assertEqual(self.api.post("/v1/run", {"code": "1", **self.create})["status"], "ok")
        self.await_ready()
        engine = Engine()
        lost = engine.ours(children(self.service.pid))
        for container in lost:
            engine.kill(container)
        self.assertTrue(lost)
        self.assertEqual(self.api.post("/v1/run", {"code": "1", **self.create})["status"], "ok")


CASES = (Pool, Many, Shares, Idle, Off)
WITH_ENGINE = (OnAnEngine,)
