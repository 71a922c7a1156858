# SPDX-License-Identifier: MIT
"""What the tests of the service share: a service of their own, a client that checks every answer, the engine."""
import base64
import contextlib
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
import threading
import time
import unittest
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../rig"))
import openapi  # noqa: E402
import oci_engine  # noqa: E402
import runner  # noqa: E402
from speed import scaled  # noqa: E402

TOP = openapi.TOP
PROGRAM = os.path.abspath(os.environ.get("DSB_TEST_PROGRAM", os.path.join(TOP, "build/cli/dsandbox")))
TOOL = os.path.join(os.path.dirname(os.path.dirname(PROGRAM)), "tests/service/client-tool")
SETUP = os.environ.get("DSB_TEST_SETUP", "")
BACKEND = os.environ.get("DSB_TEST_BACKEND", "")
ENDPOINT = os.environ.get("DSB_TEST_ENDPOINT", "")
IMAGE = os.environ.get("DSB_TEST_IMAGE", "dsandbox-sandbox:latest")
AS = os.environ.get("DSB_TEST_AS", "")
SESSIONS = int(os.environ.get("DSB_TEST_SESSIONS", "50"))
EXECUTIONS = int(os.environ.get("DSB_TEST_EXECUTIONS", "1000"))
SANITIZED = any(name.startswith(("ASAN_", "TSAN_")) for name in os.environ)  # memory sizes say nothing then
HARD_LIMIT = 120  # seconds, of one answer, on an idle machine
OPENAPI = openapi.OpenApi()
# In the log of a service, which has what its processes for sessions write as well: a finding of a sanitizer, and a death that
# nobody asked for.
FINDING = re.compile(r"Sanitizer(?! has encountered a fatal error| does not work under ptrace)|:\d+:\d+: runtime error: ")
DEATH = re.compile(r"the session's process (crashed in .*|ended in .* with exit status [1-9].*)")
FOREVER = "import time\nwhile True: time.sleep(0.01)"


class Work:
    """The scratch directory; it belongs to the rootless user where there is one."""

    def __init__(self):
        given = os.environ.get("DSB_TEST_WORK")
        self.made = given is None
        self.path = given or tempfile.mkdtemp(prefix="dsb-service.", dir="/tmp")
        self.uid = os.getuid()
        os.chmod(self.path, 0o755)
        if AS:
            self.uid = int(subprocess.run([AS, "id", "-u"], stdout=subprocess.PIPE, check=True, timeout=30).stdout)
            os.chown(self.path, self.uid, -1)
        self.count = 0

    def dir(self, name, mode=0o700):
        self.count += 1
        path = os.path.join(self.path, f"{name}{self.count}")
        os.mkdir(path, mode)
        os.chmod(path, mode)
        if AS:
            os.chown(path, self.uid, -1)
        return path

    def file(self, content, mode=0o600):
        self.count += 1
        path = os.path.join(self.path, f"file{self.count}")
        with open(path, "wb") as out:
            out.write(content.encode() if isinstance(content, str) else content)
        os.chmod(path, mode)
        if AS:
            os.chown(path, self.uid, -1)
        return path

    def apart(self, number):
        """For one of several processes that run tests beside each other."""
        self.path = os.path.join(self.path, f"w{number}")
        os.mkdir(self.path, 0o755)

    def remove(self):
        for name in os.listdir(self.path):
            path = os.path.join(self.path, name)
            shutil.rmtree(path, ignore_errors=True) if os.path.isdir(path) else os.unlink(path)
        if self.made:
            shutil.rmtree(self.path, ignore_errors=True)


WORK = None
ALLOW = []  # controls that the engine of this set-up cannot hold here, as the program itself says


def begin():
    global WORK
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.umask(0o022)
    for path in (PROGRAM, TOOL):
        if not os.access(path, os.X_OK):
            raise SystemExit(f"test_service.py: '{path}' is not there; build first, or set DSB_TEST_PROGRAM")
    WORK = Work()
    runner.IN_WORKER.append(WORK.apart)
    if SETUP:
        with Service() as service:
            result = service.api.post("/v1/run", {"code": "pass", **service.where})
        if result["status"] == "refused":
            ALLOW.extend(c["name"] for c in result["policy"]["controls"] if c["verdict"] == "refused")
        elif result["status"] != "ok":
            raise SystemExit(f"test_service.py: the engine is not usable: {result['failure']}")


def end():
    WORK.remove()


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=HARD_LIMIT):
        super().__init__("dsandbox", timeout=scaled(timeout))
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Failure(Exception):
    """An answer of 4xx or 5xx."""

    def __init__(self, status, error):
        super().__init__(f"{status} {error['code']}: {error['message']}")
        self.status, self.code, self.message = status, error["code"], error["message"]


class Api:
    """Calls, each of them checked against the document. One connection for each thread."""

    def __init__(self, path):
        self.path = path
        self.local = threading.local()

    def connection(self):
        if getattr(self.local, "connection", None) is None:
            self.local.connection = UnixConnection(self.path)
        return self.local.connection

    def raw(self, method, path, body=None, headers=None):
        """(status, headers, bytes)."""
        connection = self.connection()
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # an answer that came early
                connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            raise
        OPENAPI.check_answer(method, path, answer.status, answer.getheader("Content-Type"), content)
        assert answer.status != 429 or int(answer.getheader("Retry-After")) > 0
        return answer.status, answer.headers, content

    def call(self, method, path, body=None, status=None):
        text = None if body is None else json.dumps(body) if isinstance(body, dict) else body
        got, headers, content = self.raw(method, path, text)
        if got >= 400:
            raise Failure(got, json.loads(content)["error"])
        if isinstance(body, dict):
            OPENAPI.check_request(method, path, body)
        if status is not None and got != status:
            raise AssertionError(f"{method} {path}: {got} instead of {status}")
        return json.loads(content) if headers.get("Content-Type") == "application/json" else content

    def get(self, path):
        return self.call("GET", path)

    def post(self, path, body=None, status=None):
        return self.call("POST", path, body, status)

    def delete(self, path):
        return self.call("DELETE", path)

    def run(self, session, code, **more):
        """With time enough where others have the processors, unless it is about that."""
        return self.post(f"/v1/sessions/{session}/execute", {"code": code, "timeout": "10m", **more})

    def close(self):
        if getattr(self.local, "connection", None) is not None:
            self.local.connection.close()
            self.local.connection = None

    def stream(self, path, body, timeout=HARD_LIMIT, headers=None):
        return Stream(self.path, path, body, timeout, headers)


class Stream:
    """An execution that is followed: iterate over (event, data)."""

    def __init__(self, socket_path, path, body, timeout, headers=None):
        OPENAPI.check_request("POST", path, body)
        self.connection = UnixConnection(socket_path, timeout)
        try:
            self.connection.request("POST", path, json.dumps(body), {"Accept": "text/event-stream", **(headers or {})})
            self.answer = self.connection.getresponse()
        except BaseException:
            self.connection.close()
            raise
        if self.answer.status != 200:
            content = self.answer.read()
            OPENAPI.check_answer("POST", path, self.answer.status, self.answer.getheader("Content-Type"), content)
            raise Failure(self.answer.status, json.loads(content)["error"])
        OPENAPI.check_answer("POST", path, 200, self.answer.getheader("Content-Type"), b"")
        self.stdout, self.stderr, self.result, self.id = b"", b"", None, None
        self.number, self.comments = 0, 0

    def __iter__(self):
        return self

    def __next__(self):
        line = self.answer.readline()
        while line.startswith(b":"):  # a comment
            self.comments += 1
            assert self.answer.readline() == b"\n"
            line = self.answer.readline()
        if not line:
            raise StopIteration
        self.number += 1
        assert line == f"id: {self.number}\n".encode(), line
        name, data = self.answer.readline(), self.answer.readline()
        assert self.answer.readline() == b"\n"
        name = name.decode().partition("event: ")[2].strip()
        data = json.loads(data.decode().partition("data: ")[2])
        OPENAPI.check_event(name, data)
        if name in ("stdout", "stderr"):
            piece = data["text"].encode() if "text" in data else base64.b64decode(data["base64"])
            setattr(self, name, getattr(self, name) + piece)
        if name == "accepted":
            self.id = data["id"]
        if name == "result":
            self.result = data
        return name, data

    def until(self, wanted):
        for name, data in self:
            if name == wanted:
                return data
        raise AssertionError(f"the stream ended without {wanted}")

    def all(self):
        for _ in self:
            pass
        return self

    def close(self):
        self.answer.close()
        self.connection.close()


class Service:
    """A service with directories of its own. Leaving the block ends it."""

    def __init__(self, *options, run=None, state=None, base=None, start=True, idle="1h", env=None):
        self.run = run or WORK.dir("run")
        self.state = state or WORK.dir("state")
        self.base = base or os.path.join(WORK.dir("base"), "b")
        self.socket = os.path.join(self.run, "dsandbox", "api.sock")
        self.options = ["--idle", idle, *options]
        self.env = env or {}
        self.api = Api(self.socket)
        self.process = None
        if start:
            self.start()

    @property
    def where(self):
        """Members that every body about sandboxes needs here."""
        members = {"base_dir": self.base, "image": IMAGE}
        if SETUP:
            members.update(backend=BACKEND, host=ENDPOINT)
        else:
            members.update(backend="docker-api", host="unix://" + os.path.join(WORK.path, "no-such.sock"))
        if ALLOW:
            members["allow_unenforced"] = ALLOW
        return members

    def command(self, *argv):
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8", "HOME": self.state,
               "XDG_RUNTIME_DIR": self.run, "XDG_STATE_HOME": self.state, "G_DEBUG": "fatal-warnings"}
        env.update({k: v for k, v in os.environ.items() if k.startswith(("ASAN_", "UBSAN_", "LSAN_", "TSAN_"))})
        env.update(self.env)
        if SANITIZED:
            env["G_SLICE"] = "always-malloc"  # else GLib reuses memory where no sanitizer sees it
        return [*([AS] if AS else []), "env", "-i", *(f"{k}={v}" for k, v in env.items()), *argv]

    def popen(self, *argv, **more):
        return subprocess.Popen(self.command(*argv), stdin=more.pop("stdin", subprocess.DEVNULL), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, cwd="/", **more)

    def tool(self, *argv, **more):
        """The C client: (exit status, stdout, stderr)."""
        process = self.popen(TOOL, *argv, **more)
        out, err = process.communicate(timeout=HARD_LIMIT)
        return process.returncode, out.decode(), err.decode()

    def start(self):
        self.log = open(os.path.join(self.state, "log"), "ab")
        self.process = subprocess.Popen(self.command(PROGRAM, "serve", *self.options), stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, cwd="/")
        self.wait_up()

    def wait_up(self):
        deadline = time.monotonic() + scaled(30)
        while True:
            try:
                return self.api.get("/v1/version")
            except OSError:
                self.api.close()
                if time.monotonic() > deadline or (self.process is not None and self.process.poll() is not None):
                    raise AssertionError("the service does not start: " + self.said())
                time.sleep(0.02)

    def written(self):
        with open(os.path.join(self.state, "log"), encoding="utf-8", errors="replace") as log:
            return log.read()

    def said(self):
        return self.written()[-2000:]

    def deaths(self):
        """Of processes for sessions, by themselves."""
        return [found[0] for found in DEATH.finditer(self.written())]

    def check_log(self):
        """A sanitizer ends a session's process at most, which alone would be a lost session among others."""
        text = self.written()
        found = FINDING.search(text)
        if found:
            raise AssertionError("a sanitizer in the service's log: " + text[max(0, found.start() - 200):][:8000])

    @property
    def pid(self):
        return self.api.get("/v1/version")["pid"]

    @property
    def pids(self):
        """Its own, and those of its processes for sessions."""
        return [self.pid, *children(self.pid)]

    def kill(self):
        """SIGKILL, of its processes for sessions, too."""
        pids = self.pids
        self.kill_alone()
        for pid in pids[1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_for(lambda: all(is_gone(pid) for pid in pids))

    def kill_alone(self):
        """SIGKILL; its sessions go on, and wait for the next one."""
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait(HARD_LIMIT)
        self.log.close()
        self.api.close()

    def stop(self, number=signal.SIGINT):
        """The exit status. Its sessions end with it, but with SIGTERM. Fails if a sanitizer has found something in any of them."""
        self.api.close()
        if self.process is None:
            return None
        if self.process.poll() is None:
            with contextlib.suppress(OSError, AssertionError, ProcessLookupError):
                os.kill(self.pid, number)
        self.api.close()
        try:
            status = self.process.wait(60)
        except subprocess.TimeoutExpired:
            for pid in (*children(self.process.pid), self.process.pid):
                os.kill(pid, signal.SIGKILL)
            status = self.process.wait(10)
        self.log.close()
        self.check_log()
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def audit(self):
        with open(os.path.join(self.state, "dsandbox", "audit.jsonl"), encoding="utf-8") as log:
            return [json.loads(line) for line in log]


class Engine:
    """The engine itself, over the API that Docker and Podman share."""

    def __init__(self):
        self.path = ENDPOINT.partition("unix://")[2]

    def call(self, method, path):
        connection = UnixConnection(self.path, 60)
        connection.request(method, "/v1.40" + path, headers={"Content-Length": "0"})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    def kill(self, container):
        if BACKEND == "oci":
            return oci_engine.kill(container)
        status, content = self.call("POST", f"/containers/{container}/kill")
        # Podman 4.3 kills, waits, and may find the container removed meanwhile.
        assert status == 204 or "no such container" in str(content), content
        return None

    def ours(self, pids):
        """Ids of containers that the processes made."""
        if BACKEND == "oci":  # what has ended is removed with the next one that is made
            owned = oci_engine.records(WORK.path).items()
            return [name for name, record in owned if int(record["owner"].split(".")[1]) in pids and oci_engine.processes(name)]
        filters = urllib.parse.quote(json.dumps({"label": ["dsandbox.owner"]}))
        end = time.monotonic() + scaled(5)
        while True:
            status, content = self.call("GET", f"/containers/json?all=1&filters={filters}")
            if b"/proc/" not in content or time.monotonic() > end:  # Podman 4.3 fails when one of them ends just then
                break
            time.sleep(0.05)
        assert status == 200, content
        rows = [row for row in json.loads(content) if int(row["Labels"]["dsandbox.owner"].split(".")[1]) in pids]
        # Docker 20.10 goes on listing some that it does not know any more.
        return [row["Id"] for row in rows if row["State"] not in ("removing", "dead") or self.call("GET", f"/containers/{row['Id']}/json")[0] != 404]


def content(path):
    with open(path, "rb") as file:
        return file.read()


def children(pid):
    """Pids of the processes that it started, and that are there."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stat:
            if int(stat.read().rpartition(")")[2].split()[1]) == pid:
                found.append(int(name))
    return found


def is_gone(pid):
    """Or nobody has looked yet how it ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def process_size(pid):
    """(descriptors, resident KiB) of a process."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        resident = next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
    return len(os.listdir(f"/proc/{pid}/fd")), resident


def wait_for(what, seconds=30, step=0.05):
    deadline = time.monotonic() + scaled(seconds)
    while not what():
        if time.monotonic() > deadline:
            raise AssertionError("it did not come about in time")
        time.sleep(step)


def in_threads(jobs):
    """Run the functions at the same time; their results in order. The first error is raised."""
    results, errors = [None] * len(jobs), []

    def work(i):
        try:
            results[i] = jobs[i]()
        except BaseException as error:  # pylint: disable=broad-except
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(scaled(600))
    if errors:
        raise errors[0]
    assert not any(thread.is_alive() for thread in threads), "one of the jobs does not end"
    return results


class Case(unittest.TestCase):
    """A service for all tests of the class."""
    options = ()
    service = None

    @classmethod
    def setUpClass(cls):
        cls.service = Service(*cls.options)
        cls.api = cls.service.api

    @classmethod
    def tearDownClass(cls):
        status = cls.service.stop()
        if status != 0:
            raise AssertionError(f"the service ended with {status}: {cls.service.said()}")

    def refused(self, status, code, call, *args, **kwargs):
        with self.assertRaises(Failure) as caught:
            call(*args, **kwargs)
        self.assertEqual((caught.exception.status, caught.exception.code), (status, code), caught.exception)
        return caught.exception.message


class SessionCase(Case):
    """Every test has a session of its own."""

    def setUp(self):
        self.id = self.id_of(self)
        self.create = self.service.where

    @staticmethod
    def id_of(case):
        return case._testMethodName[5:][:50]  # pylint: disable=protected-access

    def tearDown(self):
        try:
            self.api.delete(f"/v1/sessions/{self.id}?files=1")
        except Failure as failure:
            self.assertEqual(failure.code, "not_found")

    def be_patient(self):
        """Code that ends when it is interrupted does so within its grace on a busy machine, too, or its variables would go back."""
        self.create = {**self.create, "set": {**self.create.get("set", {}), "grace": "60s", "timeout": "10m"}}

    def run_code(self, code, **more):
        return self.api.run(self.id, code, create=self.create, **more)

    def ok(self, code, **more):
        result = self.run_code(code, **more)
        self.assertEqual(result["status"], "ok", result)
        return result

    def path(self, rest=""):
        return f"/v1/sessions/{self.id}{rest}"

    def state(self):
        return self.api.get(self.path())["state"]
