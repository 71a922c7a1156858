#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Modules that the interpreter imports before any code is there."""
import json
import os
import shutil
import tempfile
import unittest

import guest_client
from guest_client import DONE, READY, GuestCase
import runner

SHOW = "import sys\nprint([name in sys.modules for name in ('wave', 'colorsys', 'sndhdr_not')])"
MODULE = "dsandbox_test_module"


class Preload(GuestCase, unittest.TestCase):
    def module(self, text):
        """The directory of a module that is not the standard library's."""
        place = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, place, True)
        os.chmod(place, 0o755)
        with open(os.path.join(place, MODULE + ".py"), "w", encoding="utf-8") as f:
            f.write(text)
        return place

    def refused(self, **config):
        guest = self.start(**config)
        return self.failure(guest)

    def test_once(self):
        r = self.run_code(SHOW, config={"preload": ["wave", "colorsys"]})
        self.assertEqual(r.out, b"[True, True, False]\n")
        r = self.run_code(SHOW)
        self.assertEqual(r.out, b"[False, False, False]\n")

    def test_ready_before_the_code(self):
        """The host waits for it, in both modes; without modules a one-shot run says nothing of it."""
        for session in (False, True):
            with self.subTest(session):
                guest = self.start(session=session, preload=["wave"], env={"LANG": "C.UTF-8"})
                kind, execution, payload = guest.receive()
                self.assertEqual((kind, execution, payload), (READY, 0, b"{}"))
                guest.execute(SHOW)
                guest.until(DONE)
                self.assertEqual(guest.stream(guest_client.STDOUT), b"[True, False, False]\n")
        self.run_code("pass")

    def test_again_after_a_loss(self):
        """An interpreter that is started again has them, too."""
        guest = self.start(session=True, checkpoint="off", preload=["wave"], env={"LANG": "C.UTF-8"})
        guest.execute("import os\nos._exit(3)")
        done = json.loads(guest.until(DONE)[2])
        self.assertEqual(done["state"]["outcome"], "lost")
        guest.send(guest_client.ACK)
        guest.send(guest_client.EXEC, guest_client.exec_command(SHOW), 2)
        self.assertEqual(json.loads(guest.until(DONE)[2])["status"], "exited")
        self.assertEqual(guest.stream(guest_client.STDOUT), b"[True, False, False]\n")

    def test_what_cannot_be_imported(self):
        for session in (False, True):
            with self.subTest(session):
                message = self.refused(session=session, preload=["wave", "there.is_none"])
                self.assertIn("preload: there.is_none cannot be imported: ModuleNotFoundError: No module named 'there'", message)

    def test_a_module_that_does_not_end_well(self):
        """Whatever it does, the sentence says which it was."""
        for text, said in (("raise SystemExit(0)", "cannot be imported: SystemExit: 0"),
                           ("raise KeyboardInterrupt", "cannot be imported: KeyboardInterrupt: "),
                           ("x = 'y' * 100000\nraise ValueError(x)", "cannot be imported: ValueError: yyy"),
                           ("import threading, time\nthreading.Thread(target=time.sleep, args=[60], daemon=True).start()",
                            "leaves a thread running")):
            with self.subTest(text):
                env = {"PYTHONPATH": self.module(text)}
                self.assertIn("preload: %s %s" % (MODULE, said), self.refused(preload=[MODULE], env=env))

    def test_one_that_kills_itself(self):
        env = {"PYTHONPATH": self.module("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")}
        for session in (False, True):
            with self.subTest(session):
                self.assertIn("the interpreter ended", self.refused(session=session, preload=[MODULE], env=env))

    def test_nothing_of_the_users(self):
        """Neither from the session's directory, nor with it as the working directory; the code's own path is as ever."""
        text = "import os, sys\nPATH, CWD = list(sys.path), os.getcwd()\nprint('to the log')"
        place = self.module(text)
        code = "import sys, %s as m\nprint(m.PATH, m.CWD, sys.path, sep='\\n')" % MODULE
        r = self.run_code(code, config={"preload": [MODULE], "env": {"PYTHONPATH": "/sandbox:/sandbox/x:" + place}})
        path, cwd, own = r.out.decode().splitlines()
        self.assertEqual(cwd, "/")
        self.assertNotIn("sandbox", path)
        self.assertIn(place, path)
        self.assertNotIn(place, own)
        self.assertTrue(own.startswith("['/sandbox', "), own)
        self.assertEqual(own, self.run_code("import sys\nprint(sys.path)").out.decode().strip())

    def test_environment(self):
        """A library that counts processors sees the policy's, and the code has what it is given, no more."""
        place = self.module("import os\nSEEN = os.environ.get('OMP_NUM_THREADS')")
        code = "import os, %s as m\nprint(m.SEEN, sorted(os.environ.items()))" % MODULE
        env = {"OMP_NUM_THREADS": "3", "PYTHONPATH": place}
        r = self.run_code(code, config={"preload": [MODULE], "env": env}, env={"A": "b"})
        self.assertEqual(r.out, b"3 [('A', 'b')]\n")

    def test_random_numbers_are_its_own(self):
        code = "import random, sys\nprint(random.random(), hash('x'))"
        seen = {self.run_code(code, config={"preload": ["random"]}).out for _ in range(3)}
        self.assertEqual(len(seen), 3)

    def test_working_directory(self):
        r = self.run_code("import os\nprint(os.getcwd(), len(os.listdir('/proc/self/fd')))", config={"preload": ["wave"]})
        plain = self.run_code("import os\nprint(os.getcwd(), len(os.listdir('/proc/self/fd')))")
        self.assertEqual(r.out, plain.out)


if __name__ == "__main__":
    runner.main()
