#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
What the host itself spends on what code made: memory and processor time of the program and of the service do not follow
the names that code gives to files and to members of values. Environment and last line as in tests/cli/cli_harness.py.
"""
import json
import os
import subprocess
import tempfile

from common import RedCase, dsb, service_pid, cli_harness

ONCE = "what the host spends on names is the program's and the service's"
MIB = 1 << 20
# On top of what the same costs with nothing in the directory: one budget of 16 MiB, and what JSON makes of it.
MEMORY_MAX = 96 * MIB
RATIO = 10
DEEP = """
import os
os.chdir('/sandbox')
for _ in range(62): os.mkdir('\\x01' * 250); os.chdir('\\x01' * 250)
for i in range({count}): os.close(os.open('\\x01' * 240 + str(i), os.O_CREAT | os.O_WRONLY))
"""
# To a hash that multiplies by 33 and adds, "ab" and "bA" are the same.
KEYS = "keys = [''.join('bA' if n >> bit & 1 else 'ab' for bit in range(14)) for n in range(1 << 14)]\n"
PLAIN = "keys = [f'{n:028}' for n in range(1 << 14)]\n"
FILES = "for key in keys: open('/sandbox/' + key, 'x').close()\n"
# The report is memory of the interpreter: code may write any text of its size there.
VALUES = """
import gc, json, os
text = json.dumps({'result': {'application/json': [dict.fromkeys(keys[:-1], 1)] * 11}}).encode()
for made in [o for o in gc.get_objects() if type(o).__name__ == 'Report' and hasattr(o, 'memory')]:
    made.write(text)
os._exit(0)
"""


class Host(RedCase):
    def spent(self, code, *args):
        """The result of a one-shot run, and what the program used: bytes at most, seconds of processor time."""
        argv, env = cli_harness.command([*self.options(), "--json", "--timeout", "110s", *args, "-c", code], cli_harness.environment())
        with tempfile.TemporaryFile() as out:
            process = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=out, cwd="/")
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            result = json.load(out)
        self.assertEqual((process.returncode, result["status"]), (0, "ok"), str(result)[:2000])
        return result, usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime

    def test_memory_of_the_program_for_file_names(self):
        _, usual, _ = self.spent("1")
        for count in (2000, 23000):
            result, memory, _ = self.spent(DEEP.format(count=count))
            self.assertLess(memory - usual, MEMORY_MAX)
            self.assertTrue(result["files"]["truncated"])
            self.assertLess(len(json.dumps(result["files"])), 16 * MIB)

    def peak_of_service(self):
        with open(f"/proc/{service_pid()}/status", encoding="ascii") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

    def test_memory_of_the_service_for_file_names(self):
        self.run_("1")
        usual = self.peak_of_service()
        self.assertEqual(self.run_(DEEP.format(count=2000))["files"]["truncated"], True)
        self.assertEqual(self.run_("print(1)")["stdout"], "1\n")
        listed = json.loads(dsb("session", "files", self.s, "--json").stdout)
        self.assertTrue(listed["truncated"])
        self.assertGreater(len(listed["files"]), 62)
        self.assertLess(self.peak_of_service() - usual, 2 * MEMORY_MAX)

    def assert_linear(self, make):
        """The best of three: what disturbs only adds."""
        result, _, usual = self.spent(PLAIN + make)
        worst = min(self.spent(KEYS + make)[2] for _ in range(3))
        self.assertLess(worst, RATIO * usual)
        return result

    def test_time_of_the_program_for_colliding_file_names(self):
        self.assert_linear(FILES)

    def test_time_of_the_program_for_colliding_members(self):
        self.assertEqual(len(self.assert_linear(VALUES)["results"][0]["application/json"]), 11)


if __name__ == "__main__":
    cli_harness.main([Host])
