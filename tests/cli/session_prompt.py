# SPDX-License-Identifier: MIT
"""The prompt, on a terminal."""
import os
import re
import signal
import termios

import cli_harness
from cli_harness import AS
from session_harness import SessionCase, Terminal, end_service
from speed import setting


class Prompt(SessionCase):
    def prompt(self, *args):
        terminal = Terminal("repl", *self.settings(), *args)
        self.addCleanup(lambda: terminal.process.poll() is not None or terminal.process.kill())
        return terminal

    def temporary(self):
        """Sessions that a prompt made for itself."""
        return [s["id"] for s in self.json("session", "ls")["sessions"] if s["id"].startswith("s-")]

    def test_values_and_the_end(self):
        terminal = self.prompt()
        terminal.expect("dsandbox .*sandbox")
        terminal.line("x = 40 + 2")
        terminal.line("x")
        terminal.expect("\r\n42\r\n")
        terminal.line("print('pri' + 'nted'); None")
        terminal.expect("\nprinted\r\n")
        self.assertEqual(len(self.temporary()), 1)
        terminal.expect(">>> ")
        terminal.send("\x04")
        self.assertEqual(terminal.end(), 0)
        self.assertEqual(self.temporary(), [], "its session is gone")
        self.assertFalse([n for n in os.listdir(cli_harness.WORK.base) if n.startswith("s-")], "and its files")

    def test_a_figure_that_fails(self):
        """Says why where it would be, and that it is missing."""
        terminal = self.prompt("--timeout", "120s")
        terminal.line("import matplotlib.pyplot as plt; t = plt.title('$\\\\bad{$'); plt.show()")
        terminal.expect(r"Figure.*: not drawn\r\nTraceback.*\nValueError: .*dsandbox: 1 result is missing: drawing failed: ", 120)
        terminal.line("'go' + 'es on'")
        terminal.expect("'goes on'")
        terminal.line("import asyncio; await asyncio.sleep(0, 'awai' + 'ted')")
        terminal.expect("'awaited'")
        terminal.expect(">>> ")
        terminal.send("\x04")
        self.assertEqual(terminal.end(), 0)

    def test_many_lines(self):
        terminal = self.prompt()
        for line in ("def f(a,", "      b):", "    if a:", "", "        return 'sum', a + b", ""):
            if line == "":
                continue
            terminal.line(line)
        terminal.line("")
        terminal.line("f(1, 2)")
        terminal.expect(r"\n\('sum', 3\)\r\n")
        for line in ("x = '''one", "", "two'''", "x"):
            terminal.line(line)
        terminal.expect(re.escape("'one\\n\\ntwo'"))
        for line in ("for i in range(3):", "    print('n', i)"):
            terminal.line(line)
        terminal.line("")
        terminal.expect("n 0\r\nn 1\r\nn 2\r\n")
        for line in ("y = [1,", "  2]", "len(y)"):
            terminal.line(line)
        terminal.expect("\n2\r\n")
        terminal.line("exit()")
        self.assertEqual(terminal.end(), 0)

    def test_it_survives(self):
        limit = setting(2)
        terminal = self.prompt("--timeout", limit, "--checkpoint=always")
        terminal.line("x = 'still' + ' here'")
        terminal.line("import time; time.sleep(60)")
        terminal.expect(f"time limit of {limit}")
        terminal.line("x")
        terminal.expect("'still here'")
        terminal.line("import ctypes; ctypes.string_at(0)")
        terminal.expect("rolled back")
        terminal.line("x")
        terminal.expect("'still here'")
        terminal.line("1/0")
        terminal.expect("ZeroDivisionError")
        terminal.line("raise SystemExit(3)")
        terminal.line("x")
        terminal.expect("'still here'")
        terminal.expect(">>> ")
        terminal.send("\x04")
        self.assertEqual(terminal.end(), 0)

    def test_ctrl_c(self):
        terminal = self.prompt(*self.patient())
        terminal.line("x = 'still' + ' here'")
        terminal.line("print('run' + 'ning', flush=True); import time; time.sleep(60)")
        terminal.expect("\nrunning\r\n")
        terminal.send("\x03")
        terminal.expect("KeyboardInterrupt", 10)
        terminal.expect(">>> ")
        terminal.send("nonsense(")
        terminal.expect(r"nonsense\(")
        terminal.send("\x03")
        terminal.line("x")
        terminal.expect("'still here'")
        terminal.line("def f():")
        terminal.expect(r"\.\.\. ")
        terminal.send("\x03")
        terminal.line("x")
        terminal.expect("'still here'")
        terminal.expect(">>> ")
        terminal.send("\x04")
        self.assertEqual(terminal.end(), 0)

    def test_history(self):
        terminal = self.prompt()
        terminal.line("'remem' + 'bered'")
        terminal.expect("'remembered'")
        terminal.line("")
        terminal.expect(">>> ")
        terminal.send("\x04")
        self.assertEqual(terminal.end(), 0)
        path = os.path.join(cli_harness.WORK.path, "state/dsandbox/prompt_history")
        if not os.path.exists(path):
            self.skipTest("built without libedit")
        self.assertEqual(os.stat(path).st_mode & 0o077, 0)
        terminal = self.prompt()
        terminal.expect(">>> ")
        terminal.send("\x1b[A\r")
        terminal.expect("'remembered'")
        terminal.expect(">>> ")
        terminal.send("'edXed'\x1b[D\x1b[D\x1b[D\x7fit\r")
        terminal.expect("'edited'")
        for _ in range(50):
            terminal.expect(">>> ")
            # Whoever sees the prompt may type: the keys go to the editing, not through the terminal's own.
            self.assertFalse(termios.tcgetattr(terminal.master)[3] & termios.ICANON, "the terminal is taken before")
            terminal.send("\r")
        terminal.expect(">>> ")
        terminal.send("\x04")
        self.assertEqual(terminal.end(), 0)

    def test_named_session_stays(self):
        self.run_("x = 'from before'")
        terminal = self.prompt("--session", self.s)
        terminal.line("x")
        terminal.expect("'from before'")
        terminal.line("x = 'from the prompt'")
        terminal.line("quit")
        self.assertEqual(terminal.end(), 0)
        self.assertEqual(self.text("exec", self.s, "-c", "print(x)").stdout, "from the prompt\n")

    def test_input(self):
        terminal = self.prompt("-i")
        terminal.line("name = input('who' + '? ')")
        terminal.expect(r"\nwho\? ")
        terminal.send("ann\r")
        terminal.line("name.upper()")
        terminal.expect("'ANN'")
        terminal.expect(">>> ")
        terminal.send("\x04")
        self.assertEqual(terminal.end(), 0)
        terminal = self.prompt()
        terminal.line("input()")
        terminal.expect("started with -i")
        terminal.expect(">>> ")
        terminal.send("\x04")
        self.assertEqual(terminal.end(), 0)

    def test_nothing_gets_at_the_terminal(self):
        terminal = self.prompt()
        terminal.line("chr(27) + '[2J' and type('X', (), {'__repr__': lambda s: 'a' + chr(27) + ']0;t' + chr(7) + 'z'})()")
        terminal.expect(re.escape("\na\\x1b]0;t\\x07z\r\n"))
        terminal.expect(">>> ")
        terminal.send("\x04")
        self.assertEqual(terminal.end(), 0)

    def test_service_killed(self):
        terminal = self.prompt()
        terminal.line("x = 1")
        terminal.line("x + 1")
        terminal.expect("\n2\r\n")
        end_service(signal.SIGKILL)
        terminal.line("'x' in globals()")
        terminal.expect(r"(True\r\n|service).*>>> ")
        terminal.send("'x' in globals()\r")
        terminal.expect("True\r\n")
        terminal.expect(">>> ")
        terminal.send("\x04")
        self.assertEqual(terminal.end(), 0)

    def test_hang_up(self):
        if AS:
            self.skipTest("the program is not our child here")
        terminal = self.prompt()
        terminal.line("import time; print('u' + 'p', flush=True); time.sleep(60)")
        terminal.expect("\nup\r\n")
        terminal.process.send_signal(signal.SIGHUP)
        self.assertEqual(terminal.end(), 128 + signal.SIGHUP)
        self.assertEqual(self.temporary(), [])

    def test_alone_on_a_terminal(self):
        terminal = Terminal(*self.settings())
        terminal.line("6 * 7")
        terminal.expect("\n42\r\n")
        terminal.line("exit")
        self.assertEqual(terminal.end(), 0)

    def test_exec_on_a_terminal(self):
        self.run_("x = 5", *self.patient())
        terminal = Terminal("exec", self.s, "-i", "-c", "n = input('who' + '? ')\nprint(n.upper(), flush=True)\nimport time; time.sleep(60)")
        terminal.expect(r"who\? ")
        terminal.send("ann\r")
        terminal.expect("ANN\r\n")
        terminal.send("\x03")
        self.assertEqual(terminal.end(10), 130)
        self.assertEqual(self.text("exec", self.s, "-c", "print(x, n)").stdout, "5 ann\n")


CASES = (Prompt,)
