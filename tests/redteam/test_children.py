#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
What one execution of a session leaves to the next: processes, output, and an interpreter that hides itself.
Environment and last line as in tests/cli/cli_harness.py.
"""
from common import RedCase, cli_harness
from rest import rest
from speed import setting


class Streams(RedCase):
    def test_hidden_interpreter(self):
        """Nobody may look into a process that is not dumpable: its pipes cannot be opened by name."""
        self.run_("import ctypes, sys\nx = 1\nprint(ctypes.CDLL(None).prctl(4, 0, 0, 0, 0))")
        path = cli_harness.WORK.file(b"given")
        for number in range(3):
            result = self.run_(f"x += 1\nprint(sys.stdin.read(), x)\nprint({number}, file=sys.stderr)", "--stdin", path)
            self.assertEqual((result["stdout"], result["stderr"]), (f"given {number + 2}\n", f"{number}\n"))
            self.assertEqual(result["state"]["outcome"], "kept")
        rest(lambda code: self.run_(code)["state"])
        self.run_("import os; os._exit(1)", status="error")
        self.assertEqual(self.run_("print(x)")["stdout"], "4\n")

    def test_background_is_told_apart(self):
        self.run_("import subprocess\np = subprocess.Popen('read line; echo $line', shell=True, stdin=-1)\nprint('first')")
        result = self.run_("p.communicate(b'of the child\\n')\nprint('second')")
        self.assertEqual(result["stdout"], "second\n")
        self.assertEqual(result["background"], {"stdout": "of the child\n", "stderr": "", "truncated": False})
        self.assertNotIn("background", self.run_("print('third')"))

    def test_children_after_the_time_limit(self):
        count = ("import os\nfound = []\nfor p in os.listdir('/proc'):\n"
                 "    try: found += [p] if open('/proc/%s/stat' % p).read().rpartition(')')[2].split()[0] not in 'ZX' else []\n"
                 "    except (OSError, IndexError): pass\n"
                 "print(len([p for p in found if p.isdigit() and b'sleep' in open('/proc/%s/cmdline' % p, 'rb').read()]))")
        self.run_("import subprocess\nearlier = subprocess.Popen(['sleep', '3000'])\nx = 1", *self.patient())
        result = self.run_("import os, time, signal\nsubprocess.Popen(['sleep', '3001'], start_new_session=True)\n"
                           "subprocess.Popen('(sleep 3002 &) ; sleep 3003', shell=True)\n"
                           "subprocess.Popen(['sleep', '3004']).send_signal(signal.SIGSTOP)\n"
                           "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: os.execvp('sleep', ['sleep', '3005'])\n    os._exit(0)\n"
                           "subprocess.run('sleep 3006; true', shell=True)", "--timeout", setting(5), status="timeout")
        self.assertEqual(result["state"]["outcome"], "kept")
        self.assertEqual(self.run_(count)["stdout"], "1\n")
        self.assertEqual(self.run_("print(x, earlier.poll())")["stdout"], "1 None\n")


if __name__ == "__main__":
    cli_harness.main([Streams])
