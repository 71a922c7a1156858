# SPDX-License-Identifier: MIT
"""
Runs the unittest cases of a suite and says of each what became of it, for people and for machines:

    case passed 0.012 program_options.Usage.test_help
    ...
    N passed, N failed, N skipped

DSB_TEST_BESIDE=N: in N processes beside each other, for suites that wait most of the time. A class with a fixture of its own
is one piece, every other test is one alone. A class that says `waits = True` begins first.
DSB_TEST_LONG=0: without the classes that say `long = "why"`; 1: these only. They are what a developer at work is not to wait
for: random schedules, sweeps of faults, deadlines of ten seconds and more.
"""
import contextlib
import os
import pickle
import sys
import tempfile
import time
import traceback
import unittest

IN_WORKER = []  # functions of a number, called in each process before its first test: a scratch directory of its own


def name_of(test):
    """module.Class.test, also where a case has an attribute `id` of its own."""
    test = getattr(test, "test_case", test)  # of which it is a part
    return test.id() if callable(test.id) else unittest.TestCase.id(test)


class Result(unittest.TextTestResult):
    """Remembers which cases ran, and how long."""

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.ran = {}

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()

    def stopTest(self, test):
        super().stopTest(test)
        self.ran[name_of(test)] = time.monotonic() - self.began

    def rows(self):
        """What is left of it for another process: the times; what failed and what was skipped, by name."""
        failed = {name_of(test) for test, _ in self.failures + self.errors}
        return self.ran, failed, {name_of(test) for test, _ in self.skipped}


def cases(suite):
    for test in suite:
        yield from cases(test) if isinstance(test, unittest.TestSuite) else [test]


def pieces(suite):
    """Lists of tests, each for one process."""
    shared = {}
    for test in cases(suite):
        alone = all(getattr(type(test), name).__func__ is getattr(unittest.TestCase, name).__func__
                    for name in ("setUpClass", "tearDownClass")) if isinstance(test, unittest.TestCase) else True
        shared.setdefault(name_of(test) if alone else type(test), []).append(test)
    return sorted(shared.values(), key=lambda piece: (not getattr(type(piece[0]), "waits", False), -len(piece)))


def wanted(suite):
    """By their length."""
    which = os.environ.get("DSB_TEST_LONG")
    return unittest.TestSuite(test for test in cases(suite) if not which or (which == "1") == hasattr(type(test), "long"))


class Together:
    """The results of all processes."""

    def __init__(self):
        self.ran, self.failed, self.skipped = {}, set(), set()

    def add(self, file):
        """What a process has written; whether it came to its end."""
        with contextlib.suppress(EOFError, pickle.UnpicklingError):
            while rows := pickle.load(file):
                self.ran.update(rows[0])
                self.failed |= rows[1]
                self.skipped |= rows[2]
            return True
        return False

    def rows(self):
        return self.ran, self.failed, self.skipped

    def wasSuccessful(self):
        return not self.failed


class Runner(unittest.TextTestRunner):
    resultclass = Result

    def run(self, test):
        workers = int(os.environ.get("DSB_TEST_BESIDE", "1"))
        test = wanted(test)
        todo = pieces(test)
        return self.beside(todo, min(workers, len(todo))) if workers > 1 and len(todo) > 1 else super().run(test)

    def beside(self, todo, workers):
        together, ended = Together(), True
        with tempfile.TemporaryFile() as place:  # whose offset is shared: each process takes what comes next
            for number in range(len(todo)):
                place.write(number.to_bytes(4, "little"))
            place.flush()
            os.lseek(place.fileno(), 0, os.SEEK_SET)
            sys.stdout.flush()
            sys.stderr.flush()
            said = [(tempfile.TemporaryFile(), tempfile.TemporaryFile()) for _ in range(workers)]
            pids = [self.worker(number, todo, place.fileno(), *said[number]) for number in range(workers)]
        for pid, (text, rows) in zip(pids, said):
            os.waitpid(pid, 0)
            text.seek(0)
            sys.stderr.write(text.read().decode("utf-8", "replace"))
            rows.seek(0)
            ended &= together.add(rows)
        if not ended:  # of its tests nobody has said anything
            together.failed |= {name_of(test) for piece in todo for test in piece} - set(together.ran)
        return together

    def worker(self, number, todo, place, text, rows):
        pid = os.fork()
        if pid:
            return pid
        status = 1
        try:
            os.dup2(text.fileno(), 1)
            os.dup2(text.fileno(), 2)
            for prepare in IN_WORKER:
                prepare(number)
            while piece := os.read(place, 4):
                result = super().run(unittest.TestSuite(todo[int.from_bytes(piece, "little")]))
                pickle.dump(result.rows(), rows)
                rows.flush()
            pickle.dump(None, rows)
            rows.flush()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)  # pylint: disable=protected-access


def run():
    """The cases of `__main__`, as the arguments choose them."""
    return unittest.main("__main__", argv=sys.argv, testRunner=Runner, verbosity=2, exit=False, catchbreak=False).result


def end(result):
    """Prints the lines, and ends the program."""
    ran, failed, skipped = result.rows()
    main = os.path.splitext(os.path.basename(sys.argv[0]))[0]
    kinds = {"passed": 0, "failed": 0, "skipped": 0}
    for name in [*ran, *sorted((failed | skipped) - set(ran))]:
        kind = "failed" if name in failed else "skipped" if name in skipped else "passed"
        kinds[kind] += 1
        print(f"case {kind} {ran.get(name, 0):.3f} {name.replace('__main__', main, 1)}")
    print(", ".join(f"{number} {kind}" for kind, number in kinds.items()))
    sys.exit(1 if failed or not kinds["passed"] else 0)


def main():
    end(run())
