# SPDX-License-Identifier: MIT
"""
The ways of running code that are compared. A fresh way has run(code) -> output; a session way has execute(code), which
keeps variables unless its `keeps` is False. Whatever is not right raises: a wrong answer has no time.
"""
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
import time

LIMIT = 300  # seconds, of one call
# What the default policy asks of every engine, in the words of `docker run`.
HARDENED = ["--network=none", "--memory=512m", "--memory-swap=512m", "--cpu-period=100000", "--cpu-quota=100000", "--pids-limit=128",
            "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--user=65532:65532",
            "--tmpfs=/tmp:rw,noexec,nosuid,nodev,size=100m"]


class Wrong(Exception):
    """A way did not do what it was asked."""


def output_of(argv, env=None):
    """Standard output of a whole process."""
    done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT)
    if done.returncode != 0:
        raise Wrong(f"{' '.join(argv[:12])} …: exit status {done.returncode}: {done.stderr.decode(errors='replace')[-2000:]}")
    return done.stdout.decode()


class Way:
    keeps = True

    def close(self):
        pass


# --- what users would pick ----------------------------------------------------------------------------------------------


class Bare(Way):
    """The interpreter alone, no sandbox: the floor."""

    name = "bare interpreter"

    def __init__(self, settings):
        self.python = settings.python

    def run(self, code):
        return output_of([self.python, "-c", code], {"PATH": os.environ["PATH"], "MPLCONFIGDIR": "/tmp"})


class EngineRun(Way):
    """`docker run` or `podman run`, with the same limits as ours."""

    def __init__(self, name, client, settings):
        self.name, self.argv = name, [*client, "run", "--rm", *HARDENED, "--env=MPLCONFIGDIR=/tmp", settings.image, "python3", "-c"]

    def run(self, code):
        return output_of([*self.argv, code])


class EngineExec(Way):
    """`docker exec` of an interpreter in a container that runs: neither fresh nor with variables."""

    keeps = False

    def __init__(self, name, client, settings):
        self.name, self.client = name, client
        self.id = output_of([*client, "run", "-d", "--rm", *HARDENED, "--env=MPLCONFIGDIR=/tmp", settings.image, "sleep", "36000"]).strip()

    def run(self, code):
        return output_of([*self.client, "exec", self.id, "python3", "-c", code])

    def execute(self, code):
        self.run(f"x = 0\n{code}")

    def close(self):
        output_of([*self.client, "kill", self.id])


class Llm(Way):
    """llm-sandbox as its documentation has it, without network and without the set-up of packages; a session for each run."""

    keeps = False

    def __init__(self, settings, pool=False):
        import docker
        from llm_sandbox import SandboxSession
        from llm_sandbox.pool import PoolConfig, create_pool_manager
        self.name = "llm-sandbox pool" if pool else "llm-sandbox"
        self.client = docker.DockerClient(base_url=settings.docker, timeout=LIMIT)
        self.session = SandboxSession
        self.options = {"lang": "python", "image": settings.image, "client": self.client, "skip_environment_setup": True,
                        "runtime_configs": {"network_mode": "none", "user": "root", "mem_limit": "512m"}}
        self.pool = None
        if pool:
            self.pool = create_pool_manager(backend="docker", config=PoolConfig(max_pool_size=2, min_pool_size=2), **self.options)
            self.options = {"lang": "python", "pool": self.pool}

    def run(self, code):
        with self.session(**self.options) as session:
            return self.result(session.run(code))

    @staticmethod
    def result(result):
        if result.exit_code != 0:
            raise Wrong(f"llm-sandbox: {result.stderr}")
        return result.stdout

    def close(self):
        if self.pool:
            self.pool.close()
        self.client.close()


class LlmSession(Llm):
    """One session of it for all executions; each is an interpreter of its own."""

    def __init__(self, settings):
        super().__init__(settings)
        self.name, self.one = "llm-sandbox session", self.session(**self.options)
        self.one.open()

    def execute(self, code):
        self.result(self.one.run(f"x = 0\n{code}"))

    def close(self):
        self.one.close()
        super().close()


class Jupyter(Way):
    """A kernel on this machine: no sandbox, no limits."""

    name = "Jupyter kernel"

    def __init__(self, settings):
        from jupyter_client.manager import start_new_kernel
        self.manager, self.client = start_new_kernel(kernel_name="python3", env={**os.environ, "MPLCONFIGDIR": "/tmp"})
        self.execute("x = 0")

    def execute(self, code):
        self.printed = 0
        reply = self.client.execute_interactive(code, timeout=LIMIT, output_hook=self.hear)
        if reply["content"]["status"] != "ok":
            raise Wrong(f"Jupyter: {reply['content']}")
        return self.printed

    def hear(self, message):
        if message["msg_type"] == "stream":
            self.printed += len(message["content"]["text"])

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


# --- ours ---------------------------------------------------------------------------------------------------------------


class Ours(Way):
    """The program, a whole process for each run; `session` for the same with variables."""

    def __init__(self, settings, backend, session=None, more=()):
        self.name = f"dsandbox {backend}" if session is None else f"program {backend}"
        self.env = settings.env
        self.argv = [settings.program, "--backend", backend, "--host", settings.endpoint(backend), "--base-dir", settings.base_dir,
                     "--image", settings.image, "run", *([] if session is None else ["--session", session]), *more, "-c"]

    def run(self, code):
        return output_of([*self.argv, code], self.env)

    execute = run

    def result(self, code, status, *options):
        """The result of an execution that has to end so."""
        argv = [*self.argv[:-1], "--json", *options, "-c", code]
        done = subprocess.run(argv, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=LIMIT)
        result = json.loads(done.stdout)
        if result["status"] != status:
            raise Wrong(f"{self.name}: {result['status']} instead of {status}: {result['failure']}")
        return result

    @contextlib.contextmanager
    def busy(self):
        """A sandbox that uses all of its processor time meanwhile."""
        argv = [*self.argv[:-1], "--timeout", f"{LIMIT}s", "-c", "print('up', flush=True)\nwhile True: pass"]
        process = subprocess.Popen(argv, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            if process.stdout.readline() != b"up\n":
                raise Wrong(f"{self.name}: the neighbour does not start")
            yield
            if process.poll() is not None:
                raise Wrong(f"{self.name}: the neighbour ended")
        finally:
            process.terminate()
            process.communicate(timeout=60)


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=LIMIT)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class Http(Way):
    """One kept connection to the service."""

    def __init__(self, settings, backend, session, name=None, **more):
        self.name = name or f"HTTP {backend}"
        self.path = f"/v1/sessions/{session}"
        self.connection = Unix(settings.socket)
        self.create = {"backend": backend, "host": settings.endpoint(backend), "image": settings.image, "base_dir": settings.base_dir,
                       "exist_ok": True, **more}
        self.answer = None

    def request(self, method, path, body=None):
        self.connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"} if body else {})
        answer = self.connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None

    def execute(self, code):
        body = {"code": code}
        if self.answer is None:
            body["create"] = self.create
        status, self.answer = self.request("POST", self.path + "/execute", body)
        if self.answer.get("status") != "ok":
            raise Wrong(f"the service answers {status}: {self.answer}")
        return self.answer["stdout_bytes"]

    def close(self):
        with contextlib.suppress(OSError, http.client.HTTPException):
            self.request("DELETE", self.path + "?files=true")
        self.connection.close()


class Capi(Way):
    """The library, in a process that measures by itself (session.c)."""

    def __init__(self, settings, backend, session):
        self.name = f"C interface {backend}"
        self.process = subprocess.Popen([settings.capi, backend, settings.endpoint(backend), settings.image, settings.base_dir, session],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise Wrong("the library does not open a session")

    def execute(self, code):
        """Milliseconds, as the process itself took them."""
        self.process.stdin.write(f"{len(code.encode())}\n{code}")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise Wrong("the library's process ended")
        return int(answer) / 1000

    def close(self):
        self.process.stdin.close()
        self.process.wait(LIMIT)


class Pooled(Ours):
    """The program, whose service is one of its own that keeps two sandboxes ready."""

    def __init__(self, settings, backend, preload):
        super().__init__(settings, backend, more=("--preload", preload) if preload else ())
        self.name += ", pool"
        self.program = settings.program
        with contextlib.ExitStack() as stack:
            run = stack.enter_context(tempfile.TemporaryDirectory(prefix="dsb-pool."))
            self.env = {**settings.env, "XDG_RUNTIME_DIR": run, "XDG_STATE_HOME": run}
            stack.enter_context(service(settings, self.env, ("--pool", "2")))
            self.close = stack.pop_all().close

    def state(self):
        return json.loads(output_of([self.program, "pool", "ls", "--json"], self.env))

    def await_ready(self):
        """As many wait as are to; none is being made, which would take processor time from what is measured."""
        until = time.monotonic() + LIMIT
        while (state := self.state())["starting"] > 0 or any(kind["waiting"] < kind["wanted"] for kind in state["kinds"]):
            if time.monotonic() > until or any(kind["problem"] for kind in state["kinds"]):
                raise Wrong(f"{self.name}: {state}")
            time.sleep(0.05)


@contextlib.contextmanager
def service(settings, env=None, more=()):
    """The service, as long as it is needed; ended with all its sessions."""
    env = env or settings.env
    process = subprocess.Popen([settings.program, "serve", "--stay", "--max-running", "200", "--max-sessions", "200", *more], env=env,
                               stdin=subprocess.DEVNULL)
    try:
        while not os.path.exists(os.path.join(env["XDG_RUNTIME_DIR"], "dsandbox/api.sock")):
            if process.poll() is not None:
                raise Wrong("the service does not start")
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(LIMIT)


@contextlib.contextmanager
def opened(makers):
    """What the makers make, closed at the end whatever happens."""
    with contextlib.ExitStack() as stack:
        found = []
        for make in makers:
            found.append(make())
            stack.callback(found[-1].close)
        yield found
