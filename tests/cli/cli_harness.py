# SPDX-License-Identifier: MIT
"""
What black-box tests of the program `dsandbox` share: starting it, its results, the engine behind it, a scratch directory.

Environment: DSB_TEST_PROGRAM (build/cli/dsandbox). With an engine, once for each set-up (tests/run.sh does this), also
DSB_TEST_SETUP, DSB_TEST_BACKEND, DSB_TEST_ENDPOINT, DSB_TEST_AS (a program that becomes the rootless user),
DSB_TEST_WORK, DSB_TEST_IMAGE, DSB_TEST_RUNS.
Arguments are those of unittest: names of tests, -k PATTERN. The last line is "N passed, N failed, N skipped".
"""
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../rig"))
import oci_engine  # noqa: E402
import runner  # noqa: E402
import schema  # noqa: E402
from speed import scaled  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.abspath(os.environ.get("DSB_TEST_PROGRAM", os.path.join(TOP, "build/cli/dsandbox")))
EXAMPLES = os.path.join(TOP, "examples")
if not os.access(os.path.join(EXAMPLES, "hello.py"), os.R_OK) or os.environ.get("DSB_TEST_EXAMPLES"):
    EXAMPLES = os.environ.get("DSB_TEST_EXAMPLES", EXAMPLES)
SETUP = os.environ.get("DSB_TEST_SETUP", "")
BACKEND = os.environ.get("DSB_TEST_BACKEND", "")
ENDPOINT = os.environ.get("DSB_TEST_ENDPOINT", "")
AS = os.environ.get("DSB_TEST_AS", "")
RUNS = int(os.environ.get("DSB_TEST_RUNS", "30"))
HARD_LIMIT = 120  # seconds, of one run of the program
LONG = ("--timeout", "10m")  # code that is not about its time limit is not to meet it where others have the processors and the disk
RESULT_SCHEMA = json.load(open(os.path.join(TOP, "doc/result.schema.json"), encoding="utf-8"))


class Work:
    """The scratch directory of this set-up; owned by the rootless user where there is one. main() begins and ends it."""

    path = base = run = ""
    made, uid, count = False, 0, 0

    def begin(self):
        given = os.environ.get("DSB_TEST_WORK")
        self.made = given is None
        self.path = given or tempfile.mkdtemp(prefix="dsb-cli.", dir="/tmp")
        self.uid = os.getuid()
        if self.made:
            os.chmod(self.path, 0o755)
        else:
            self.remove()  # of tests before these, which were killed
        if AS:
            self.uid = int(subprocess.run([AS, "id", "-u"], stdout=subprocess.PIPE, check=True, timeout=30).stdout)
            if self.made:
                os.chown(self.path, self.uid, -1)
        self.base = self.dir("base", 0o700)
        self.run = self.dir("run", 0o700)

    def dir(self, name, mode=0o755):
        path = os.path.join(self.path, name)
        os.mkdir(path, mode)
        os.chmod(path, mode)
        if AS:
            os.chown(path, self.uid, -1)
        return path

    def apart(self, number):
        """For one of several processes that run tests beside each other."""
        self.path = self.dir(f"w{number}")
        self.base, self.run = self.dir("base", 0o700), self.dir("run", 0o700)

    def file(self, content, name=None):
        self.count += 1
        path = os.path.join(self.path, name or f"file{self.count}")
        with open(path, "wb") as out:
            out.write(content.encode() if isinstance(content, str) else content)
        os.chmod(path, 0o644)
        return path

    def remove(self):
        if self.made:
            shutil.rmtree(self.path, ignore_errors=True)
        else:
            for name in os.listdir(self.path):
                path = os.path.join(self.path, name)
                shutil.rmtree(path, ignore_errors=True) if os.path.isdir(path) else os.unlink(path)


WORK = Work()
runner.IN_WORKER.append(WORK.apart)


def engine():
    """The variable that leads to the engine."""
    if BACKEND == "oci":  # its images are in dsandbox/images below that
        return {"XDG_DATA_HOME": os.path.dirname(os.path.dirname(ENDPOINT))}
    if BACKEND == "podman":
        return {"CONTAINER_HOST": ENDPOINT}
    return {"DOCKER_HOST": ENDPOINT, **empty_podman()}


def empty_podman():
    """Where Docker has not got what is asked for, the program looks whether Podman has it: not the machine's own."""
    place = os.path.join(WORK.path, "podman")
    files = {"storage.conf": f'[storage]\ndriver = "vfs"\ngraphroot = "{place}/graph"\nrunroot = "{place}/run"\n',
             "containers.conf": f'[engine]\ntmp_dir = "{place}/tmp"\nlock_type = "file"\nevents_logger = "file"\n'
                                f'[network]\nnetwork_config_dir = "{place}/networks"\n'}
    os.makedirs(place, exist_ok=True)
    for name, text in files.items():
        if not os.path.exists(os.path.join(place, name)):
            with open(os.path.join(place, name), "w", encoding="utf-8") as out:
                out.write(text)
    return {"CONTAINERS_STORAGE_CONF": os.path.join(place, "storage.conf"), "CONTAINERS_CONF": os.path.join(place, "containers.conf")}


def environment(**more):
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8", "HOME": WORK.path,
           "XDG_RUNTIME_DIR": WORK.run, "G_DEBUG": "fatal-warnings"}
    env.update({k: v for k, v in os.environ.items() if k.startswith(("ASAN_", "UBSAN_", "LSAN_"))})
    if ENDPOINT:
        env.update(engine())
    else:
        missing = "unix://" + os.path.join(WORK.path, "no-such.sock")
        env["DOCKER_HOST"] = env["CONTAINER_HOST"] = missing
    env.update(more)
    return {k: v for k, v in env.items() if v is not None}


def command(args, env):
    if not AS:
        return [PROGRAM, *args], env
    # The wrapper clears the environment and has its own HOME, PATH and XDG_RUNTIME_DIR.
    kept = {k: v for k, v in env.items() if k not in ("PATH", "HOME", "XDG_RUNTIME_DIR")}
    return [AS, "env", *(f"{k}={v}" for k, v in kept.items()), PROGRAM, *args], env


def start(*args, env=None, **popen):
    argv, env = command(args, environment(**(env or {})))
    popen.setdefault("stdin", subprocess.DEVNULL)
    popen.setdefault("cwd", "/")
    return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **popen)


class Done:
    def __init__(self, args, status, out, err, seconds):
        self.args, self.status, self.out, self.err, self.seconds = args, status, out, err, seconds
        self.stdout, self.stderr = out.decode("utf-8", "replace"), err.decode("utf-8", "replace")

    def __str__(self):
        text = f"dsandbox {' '.join(self.args)}\n  exit status {self.status} after {self.seconds:.1f} s"
        try:
            result = json.loads(self.stdout)
            for key in ("status", "exit_code", "signal", "failure", "stdout", "stderr", "error"):
                if result.get(key) not in (None, ""):
                    text += f"\n  {key}: {str(result[key])[:1000]!r}"
        except (ValueError, AttributeError):
            text += f"\n  standard output: {self.stdout[:1500]!r}"
        return text + f"\n  standard error: {self.stderr[:1500]!r}"


def dsandbox(*args, data=None, env=None, limit=HARD_LIMIT, start=start, **popen):
    begin = time.monotonic()
    if data is not None:
        popen["stdin"] = subprocess.PIPE
    process = start(*args, env=env, **popen)
    try:
        out, err = process.communicate(data, timeout=limit)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"no end within {limit} s: {Done(args, None, out, err, limit)}") from None
    return Done(args, process.returncode, out, err, time.monotonic() - begin)


class Case(unittest.TestCase):
    maxDiff = None
    longMessage = True

    def result(self, done):
        """The one JSON object on standard output."""
        try:
            result = schema.loads(done.out.decode("utf-8"))
        except ValueError as problem:
            self.fail(f"standard output is not one JSON object: {problem}\n{done}")
        self.assertEqual(schema.problems(result, RESULT_SCHEMA), [], done)
        return result

    def assert_failure(self, done, code, *words, status=125):
        """A failure of ours: exit status, JSON with code and message, and the words that help the reader."""
        self.assertEqual(done.status, status, done)
        result = self.result(done)
        self.assertEqual(result["status"], "refused" if status == 126 else "error", done)
        self.assertIsNotNone(result["failure"], done)
        message = result["failure"]["message"]
        if code:
            self.assertEqual(result["failure"]["code"], code, done)
        for word in words:
            self.assertRegex(message.lower(), re.compile(word.lower()), done)
        self.assertNotIn("GLib", message)
        self.assertIsNone(result["exit_code"], done)
        return result


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("engine", timeout=scaled(30))
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def engine_get(path):
    end = time.monotonic() + scaled(5)
    while True:
        connection = UnixConnection(ENDPOINT[len("unix://"):])
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status == 200:
            return json.loads(body)
        if b"/proc/" not in body or time.monotonic() > end:  # Podman 4.3 fails when a container ends just then
            return None
        time.sleep(0.05)


def is_known(row):
    """Of a list of containers: Docker 20.10 goes on listing some that it does not know any more."""
    return row["State"] not in ("removing", "dead") or engine_get(f"/containers/{row['Id']}/json") is not None


def containers():
    """Names of all containers of ours that have a mount below our base directory."""
    if BACKEND == "oci":
        return oci_engine.containers(WORK.path)
    filters = urllib.parse.quote(json.dumps({"label": ["dsandbox.owner"]}))
    found, rows = [], engine_get("/containers/json?all=1&filters=" + filters)
    if rows is None:
        raise AssertionError("the engine does not list its containers")
    for row in rows:
        facts = engine_get(f"/containers/{row['Id']}/json")
        if facts and any(m.get("Source", "").startswith(WORK.path + "/") for m in facts.get("Mounts") or []):
            found.append(facts["Name"])
    return found


def running():
    """Where an engine removes what has ended, all of them; without a daemon that is left to whoever comes next."""
    return oci_engine.running(WORK.path) if BACKEND == "oci" else containers()


def container_pid(name):
    """The container's first process, by its number here."""
    if BACKEND == "oci":
        return oci_engine.first(name)
    return engine_get(f"/containers/{name.lstrip('/')}/json")["State"]["Pid"]


def kill_container(name):
    """Past dsandbox."""
    if BACKEND == "oci":
        return oci_engine.kill(name)
    connection = UnixConnection(ENDPOINT[len("unix://"):])
    connection.request("POST", f"/containers/{name.lstrip('/')}/kill?signal=KILL")
    answer = connection.getresponse()
    # Podman 4.3 kills, waits, and may find the container removed meanwhile.
    if answer.status not in (200, 204) and b"no such container" not in answer.read():
        raise AssertionError(f"the engine does not kill: {answer.status}")
    return connection.close()


def read(path):
    """What is there now; processes and control groups may be gone."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def mounts():
    with open("/proc/self/mounts", encoding="utf-8") as lines:
        return sorted(line for line in lines if WORK.path in line)


def processes():
    """Processes that carry our base directory in their command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as text:
                line = text.read()
        except OSError:
            continue
        if WORK.base.encode() in line and int(pid) != os.getpid():
            found.append(line.replace(b"\0", b" ").decode("utf-8", "replace"))
    return found


def gate(name="go"):
    """Code that waits until let_go(): what is asked meanwhile is asked meanwhile, on a machine of any speed."""
    return f"import os, time\nwhile not os.path.exists('/sandbox/{name}'): time.sleep(0.02)\n"


def let_go(session, name="go"):
    with open(os.path.join(WORK.base, session, name), "w", encoding="ascii"):
        pass


def wait_until(condition, seconds):
    end = time.monotonic() + scaled(seconds)
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return condition()


class EngineCase(Case):
    allow = None  # controls that this engine cannot enforce here

    @classmethod
    def setUpClass(cls):
        if EngineCase.allow is None:
            EngineCase.allow = cls.find_unenforced()

    @classmethod
    def find_unenforced(cls):
        done = dsandbox("--backend", BACKEND, "run", "--json", "--base-dir", WORK.base, "-c", "pass")
        try:
            result = json.loads(done.stdout)
        except ValueError:
            raise AssertionError(f"the first run gives no JSON: {done}") from None
        if result["status"] == "refused" and SETUP == "podman-rootless":
            return [c["name"] for c in result["policy"]["controls"] if c["verdict"] == "refused"]
        if result["status"] != "ok":
            raise AssertionError(f"the first run does not work: {done}")
        return []

    # By the program itself: with the service, session_harness.py.
    def dsb(self, *args, json_=True, **how):
        options = ["--backend", BACKEND, "run", "--no-service", "--base-dir", WORK.base]
        if self.allow:
            options.append("--allow-unenforced=" + ",".join(self.allow))
        if json_:
            options.append("--json")
        return dsandbox(*options, *args, **how)

    def run_ok(self, code, *args, **how):
        done = self.dsb(*LONG, *args, "-c", code, **how)
        result = self.result(done)
        self.assertEqual((done.status, result["status"]), (0, "ok"), done)
        self.assertIsNone(result["failure"], done)
        return result

    def popen(self, *args, json_=True):
        options = ["--backend", BACKEND, "run", "--no-service", "--base-dir", WORK.base]
        if self.allow:
            options.append("--allow-unenforced=" + ",".join(self.allow))
        if json_:
            options.append("--json")
        return start(*options, *args)

    def assert_clean(self, seconds=10):
        self.assertTrue(wait_until(lambda: not containers(), seconds), f"left behind: {containers()}")
        self.assertEqual(mounts(), [])
        self.assertEqual([n for n in os.listdir(WORK.base) if n.startswith(".run")], [])


def load(cases):
    """A `load_tests` of these cases."""
    def load_tests(loader, _tests, _pattern):
        suite = unittest.TestSuite()
        for case in cases:
            suite.addTests(loader.loadTestsFromTestCase(case))
        return suite
    return load_tests


def main(cases):
    # Started in the background by a shell, we would hand an ignored SIGINT down to the program.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.umask(0o022)
    if not os.access(PROGRAM, os.X_OK):
        sys.exit(f"{os.path.basename(sys.argv[0])}: '{PROGRAM}' is not there; build first, or set DSB_TEST_PROGRAM")
    sys.modules["__main__"].load_tests = load(cases)
    try:
        WORK.begin()
        result = runner.run()
    finally:
        WORK.remove()
    runner.end(result)
