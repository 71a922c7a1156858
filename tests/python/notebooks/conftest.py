# SPDX-License-Identifier: MIT
"""
Kernels as Jupyter starts them, from a kernelspec that `python3 -m dsandbox.jupyter install` has written. DSB_TEST_OPTIONS: how
sandboxes are made, as JSON; DSB_TEST_SOCKET: the service.
"""
import json
import os
import subprocess
import sys
import time

import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from dsandbox import Client

OPTIONS = json.loads(os.environ["DSB_TEST_OPTIONS"])
SECONDS = 120


def client():
    return Client(os.environ["DSB_TEST_SOCKET"], start=False)


def sandbox():
    """As options of a command line."""
    words = ["--socket", os.environ["DSB_TEST_SOCKET"]]
    for name, value in OPTIONS.items():
        for one in value if isinstance(value, list) else [value] if value is not None else []:
            words += ["--" + name.replace("_", "-"), str(one)]
    return words


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def sessions():
    """Those of this suite's kernels."""
    return [one for one in client().sessions({"kernel": "jupyter"}) if one.base_dir == OPTIONS["base_dir"]]


def only_session():
    assert wait_until(lambda: len(sessions()) == 1), sessions()
    return sessions()[0]


class Place:
    """Where kernelspecs of this test are."""

    def __init__(self, top):
        self.top, self.prefix = str(top), str(top / "prefix")
        self.environment = {**os.environ, "JUPYTER_PATH": self.prefix + "/share/jupyter", "JUPYTER_RUNTIME_DIR": self.top + "/runtime",
                            "JUPYTER_DATA_DIR": self.top + "/data", "JUPYTER_CONFIG_DIR": self.top + "/config", "IPYTHONDIR": self.top + "/ipython",
                            "JUPYTER_PLATFORM_DIRS": "1", "PYTHONWARNINGS": "ignore"}

    def install(self, *options, name="dsandbox"):
        """The kernelspec's content."""
        argv = [sys.executable, "-m", "dsandbox.jupyter", "install", "--prefix", self.prefix, "--name", name, "--", *sandbox(), *options]
        subprocess.run(argv, check=True, timeout=SECONDS, env=self.environment)
        with open(self.spec(name), encoding="utf-8") as file:
            return json.load(file)

    def spec(self, name="dsandbox"):
        return os.path.join(self.prefix, "share/jupyter/kernels", name, "kernel.json")

    def call(self, *argv, **more):
        done = subprocess.run([sys.executable, "-m", *argv], timeout=300, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              check=False, cwd=self.top, **more)
        return done.returncode, done.stdout.decode("utf-8", "replace")


class Reply:
    def __init__(self, content, messages):
        self.content, self.messages = content, messages
        self.status = content["status"]

    def of(self, *kinds):
        return [content for kind, content, _ in self.messages if kind in kinds]

    def text(self, name="stdout"):
        return "".join(content["text"] for content in self.of("stream") if content["name"] == name)

    @property
    def value(self):
        return [content["data"]["text/plain"] for content in self.of("execute_result")][-1]


class Kernel:
    """One that runs, and a client of it."""

    def __init__(self, place, name="dsandbox", **more):
        specs = KernelSpecManager(kernel_dirs=[os.path.join(place.prefix, "share/jupyter/kernels")])
        runtime = os.path.join(place.top, "runtime")
        os.makedirs(runtime, exist_ok=True)
        self.manager = KernelManager(kernel_name=name, kernel_spec_manager=specs, connection_file=os.path.join(runtime, f"{time.monotonic_ns()}.json"))
        self.manager.start_kernel(env={**place.environment, **more})
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(SECONDS)

    def run(self, code, **how):
        messages = []

        def take(message):
            messages.append((message["msg_type"], message["content"], time.monotonic()))

        reply = self.client.execute_interactive(code, timeout=SECONDS, output_hook=take, **{"allow_stdin": False, **how})
        return Reply(reply["content"], messages)

    def complete(self, code, at=None):
        return self.client.complete(code, at, reply=True, timeout=SECONDS)["content"]

    def inspect(self, code, at=None, detail=0):
        return self.client.inspect(code, at, detail, reply=True, timeout=SECONDS)["content"]

    def answer(self, kind):
        """The next reply of this kind to what was only sent."""
        while True:
            message = self.client.get_shell_msg(timeout=SECONDS)
            if message["msg_type"] == kind:
                return message["content"]

    def end(self):
        self.client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel()


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@pytest.fixture
def start(place):
    """Makes kernels; those that still run at the end are ended."""
    made = []

    def start(*options, name="dsandbox", **more):
        if options or not os.path.exists(place.spec(name)):
            place.install(*options, name=name)
        made.append(Kernel(place, name, **more))
        return made[-1]

    yield start
    for kernel in made:
        kernel.end()


@pytest.fixture
def kernel(start):
    return start()
