# SPDX-License-Identifier: MIT
"""
Runs the unittest cases of a suite and says of each what became of it, for people and for machines:

    case passed 0.012 program_options.Usage.test_help
    ...
    N passed, N failed, N skipped
"""
import os
import sys
import time
import unittest


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


class Runner(unittest.TextTestRunner):
    resultclass = Result


def run():
    """The cases of `__main__`, as the arguments choose them."""
    return unittest.main("__main__", argv=sys.argv, testRunner=Runner, verbosity=2, exit=False, catchbreak=False).result


def end(result):
    """Prints the lines, and ends the program."""
    failed = {str(getattr(test, "test_case", test)) for test, _ in result.failures + result.errors}
    failed_ids = {name_of(test) for test, _ in result.failures + result.errors}
    skipped_ids = {name_of(test) for test, _ in result.skipped}
    main = os.path.splitext(os.path.basename(sys.argv[0]))[0]
    for name in [*result.ran, *sorted((failed_ids | skipped_ids) - set(result.ran))]:
        kind = "failed" if name in failed_ids else "skipped" if name in skipped_ids else "passed"
        print(f"case {kind} {result.ran.get(name, 0):.3f} {name.replace('__main__', main, 1)}")
    passed = max(result.testsRun - len(failed) - len(result.skipped), 0)
    print(f"{passed} passed, {len(failed)} failed, {len(result.skipped)} skipped")
    sys.exit(1 if failed or not passed else 0)
