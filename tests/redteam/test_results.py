#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Results and file names that are made against the service: it goes on, and its processor time stays in proportion to what
was sent. What the program and their memory cost: test_host.py. Environment and last line as in tests/cli/cli_harness.py.
"""
import os

import common
from common import RedCase, cli_harness

# Names of 32 letters that a hash without a key, h * 33 + letter, cannot tell apart; and as many that it can.
NAMES = """
import itertools
def names(alike, count):
    pairs = itertools.product(('Az', 'BY') if alike else ('Az', 'Bz'), repeat=16)
    return [''.join(each) for each in itertools.islice(pairs, count)]
"""
SHOW = NAMES + """
class Show:
    def __init__(self, value): self.value = value
    def _repr_json_(self): return self.value
    def __repr__(self): return 'shown'
"""


def seconds(pid):
    """Processor time of a process."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Service(RedCase):
    def cost(self, act):
        pid = common.service_pid()
        before = seconds(pid)
        act()
        self.assertEqual(common.service_pid(), pid, "the same service as before")
        return seconds(pid) - before

    def assert_in_proportion(self, evil, benign):
        usual = max(self.cost(benign), self.cost(benign))
        self.assertLess(self.cost(evil), 10 * max(usual, 0.05), f"{usual} s for as much that is not chosen")

    def test_members_that_collide(self):
        self.run_("kept = 'still here'")
        for count in (16000, 65536):  # the first is allowed
            evil, benign = (SHOW + f"display(Show(dict.fromkeys(names({alike}, {count}), 0)))" for alike in (True, False))
            self.assert_in_proportion(lambda: self.run_(evil), lambda: self.run_(benign))
        self.assertEqual(self.run_("print(kept)")["stdout"], "still here\n")

    def test_file_names_that_collide(self):
        make = NAMES + "import os\nos.makedirs('d', exist_ok=True)\nfor name in names({0}, 16384): open('d/' + name, 'w').close()"
        work = "for name in names({0}, 16384)[::16]: os.utime('d/' + name)"
        names = [(alike, f"{self.s[-50:].lstrip('-')}-{alike}".lower()) for alike in (True, False)]
        for alike, session in names:
            self.run_(make.format(alike), session=session)
        evil, benign = ((lambda a=alike, s=session: self.run_(work.format(a), session=s)) for alike, session in names)
        self.assert_in_proportion(evil, benign)
        evil, benign = ((lambda s=session: self.json("session", "files", s)) for _, session in names)
        self.assert_in_proportion(evil, benign)
        for _, session in names:
            self.text("session", "rm", session)

    def test_depth_of_what_is_shown(self):
        """One attacker at every depth, and a session that must be there afterwards."""
        victim = self.s[-50:].lstrip("-") + "-victim"
        self.run_("kept = 'still here'", session=victim)
        pid = common.service_pid()
        for depth in (*range(20, 40), 500):
            code = SHOW + f"value = 'leaf'\nfor i in range({depth}): value = [value] if i % 2 else {{'k': value}}\n"
            self.run_(code + "display(Show(value))")
            self.run_(code + "Show(value)")
        self.assertEqual(self.run_("print(kept)", session=victim)["stdout"], "still here\n")
        self.assertEqual(common.service_pid(), pid)
        self.text("session", "rm", victim)


if __name__ == "__main__":
    cli_harness.main([Service])
