# SPDX-License-Identifier: MIT
"""
What the tests of the Python package share. The environment is that of tests/cli/cli_harness.py: DSB_TEST_PROGRAM alone, or
also DSB_TEST_BACKEND, DSB_TEST_ENDPOINT, DSB_TEST_AS (the tests then run as that user), DSB_TEST_WORK, DSB_TEST_IMAGE.
"""
import contextlib
import fcntl
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PACKAGE = os.path.join(TOP, "bindings", "python")
HERE = os.path.dirname(os.path.abspath(__file__))
FAKE = os.path.join(HERE, "fake.py")
sys.path[:0] = [PACKAGE, HERE, os.path.join(HERE, "../rig")]

PROGRAM = os.path.abspath(os.environ.get("DSB_TEST_PROGRAM", os.path.join(TOP, "build/cli/dsandbox")))
BACKEND = os.environ.get("DSB_TEST_BACKEND", "")
ENDPOINT = os.environ.get("DSB_TEST_ENDPOINT", "")
IMAGE = os.environ.get("DSB_TEST_IMAGE", "")
AS = os.environ.get("DSB_TEST_AS", "")
README_BASE = "/tmp/sandboxes"

import fake  # noqa: E402
import dsandbox  # noqa: E402
import runner  # noqa: E402
from speed import scaled  # noqa: E402
from dsandbox import dolphin  # noqa: E402


class Work:
    path = ""
    allow = []  # controls that the engine cannot hold here
    client = None


def directory(name):
    path = os.path.join(Work.path, name)
    os.makedirs(path, 0o700, exist_ok=True)
    return path


@contextlib.contextmanager
def environment(**values):
    """os.environ with these; None: without."""
    before = {key: os.environ.get(key) for key in values}

    def put(items):
        for key, value in items.items():
            os.environ.pop(key, None)
            if value is not None:
                os.environ[key] = value

    put(values)
    try:
        yield
    finally:
        put(before)


class Case(unittest.TestCase):
    longMessage = True

    def setUp(self):
        # The names of tests are too long for the path of a socket.
        self.dir = tempfile.mkdtemp(prefix="t", dir=Work.path)
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def path(self, *parts):
        return os.path.join(self.dir, *parts)


class FakeCase(Case):
    """With a fake service at the default socket."""

    def setUp(self):
        super().setUp()
        os.mkdir(self.path("dsandbox"), 0o700)
        self.enterContext_(environment(XDG_RUNTIME_DIR=self.dir, DSANDBOX_PROGRAM="/nonexistent", DSANDBOX_BACKEND=None,
                                       DSANDBOX_HOST=None, DOCKER_HOST=None, CONTAINER_HOST=None))
        self.service = self.enterContext_(fake.Fake(self.path("dsandbox", "api.sock")))
        self.base = self.path("base")
        dolphin.configure()
        self.addCleanup(dolphin.configure)

    def enterContext_(self, manager):
        value = manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)
        return value

    def bodies(self, path):
        """Bodies of the requests that were made to a path."""
        import json
        return [json.loads(data) for _, where, data in self.service.calls if where == path and data]


class EngineCase(Case):
    """With the real service on a real engine."""

    def setUp(self):
        super().setUp()
        self.client = Work.client
        self.base = directory("base")
        dolphin.configure(self.client, **self.options())
        self.addCleanup(dolphin.configure)

    def options(self):
        options = {"backend": BACKEND, "host": ENDPOINT or None, "allow_unenforced": Work.allow}
        if IMAGE:
            options["image"] = IMAGE
        return options


def usable(base):
    """The directory can be our base directory."""
    try:
        info = os.lstat(base)
    except FileNotFoundError:
        return True
    return info.st_uid == os.geteuid() and not info.st_mode & 0o022


@contextlib.contextmanager
def readme_base():
    """It is one for all set-ups that run at the moment."""
    place = os.open(os.path.dirname(README_BASE), os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        os.close(place)


def forget_empty_base():
    """The README's base directory is its maker's; while it is empty, it can be somebody else's."""
    with contextlib.suppress(OSError):
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(os.path.join(README_BASE, ".locks"))
        os.rmdir(README_BASE)


def wait_until(condition, seconds=20.0):
    deadline = time.monotonic() + scaled(seconds)
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def become_user():
    """Run this whole file again as the user of DSB_TEST_AS."""
    if not AS or os.environ.get("DSB_TEST_BECAME"):
        return
    work = tempfile.mkdtemp(prefix="dsb-python.", dir="/tmp")
    uid = int(subprocess.run([AS, "id", "-u"], stdout=subprocess.PIPE, check=True, timeout=30).stdout)
    os.chown(work, uid, -1)
    keep = {key: value for key, value in os.environ.items() if key.startswith("DSB_TEST_")}
    keep.update(DSB_TEST_WORK=work, DSB_TEST_BECAME="1", PYTHONDONTWRITEBYTECODE="1")
    with readme_base():
        forget_empty_base()
    argv = [AS, "env", *(f"{key}={value}" for key, value in keep.items()), "python3", os.path.abspath(sys.argv[0]), *sys.argv[1:]]
    try:
        sys.exit(subprocess.run(argv, timeout=1800).returncode)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def start_engine():
    Work.client = dsandbox.Client(os.path.join(directory("run"), "api.sock"), program=PROGRAM)
    sandbox = dsandbox.Sandbox(client=Work.client, backend=BACKEND, host=ENDPOINT or None, image=IMAGE or None,
                               base_dir=directory("base"))
    result = sandbox.run("pass")
    if result.status == "refused":
        Work.allow = [control.name for control in result.controls if control.verdict == "refused"]
        print(f"allowing what this engine cannot hold: {', '.join(Work.allow)}", flush=True)


def stop_engine():
    if Work.client is None:
        return
    with contextlib.suppress(dsandbox.Error):
        pid = Work.client.version()["pid"]
        os.kill(pid, signal.SIGINT)
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 30)


def load_from(modules):
    """A `load_tests` of these modules: with an engine the cases that need one, without one all others."""
    def load_tests(loader, _tests, _pattern):
        suite = unittest.TestSuite()
        for module in modules:
            for case in [value for value in vars(module).values() if isinstance(value, type)]:
                if issubclass(case, unittest.TestCase) and case.__module__ == module.__name__:
                    if issubclass(case, EngineCase) == bool(BACKEND):
                        suite.addTests(loader.loadTestsFromTestCase(case))
        return suite
    return load_tests


def main(*modules):
    """Runs the cases of the modules, or of the file that was started."""
    become_user()
    sys.modules["__main__"].load_tests = load_from(modules or [sys.modules["__main__"]])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    logging.getLogger("dsandbox").addHandler(logging.NullHandler())
    logging.getLogger("dsandbox").propagate = False
    given = os.environ.get("DSB_TEST_WORK")
    Work.path = tempfile.mkdtemp(prefix="p", dir=given or "/tmp")
    os.environ.update(XDG_STATE_HOME=directory("state"), G_DEBUG="fatal-warnings")
    try:
        if BACKEND:
            start_engine()
        result = runner.run()
    finally:
        stop_engine()
        shutil.rmtree(Work.path, ignore_errors=True)
    runner.end(result)
