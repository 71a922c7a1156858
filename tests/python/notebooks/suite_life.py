# SPDX-License-Identifier: MIT
"""How kernels and their sessions live and end: interrupts, limits, restarts, and what is left of one that was killed."""
import glob
import json
import os
import signal
import threading
import time

import pytest

from conftest import OPTIONS, client, only_session, sessions, wait_until


def directories():
    return glob.glob(os.path.join(OPTIONS["base_dir"], "jupyter-*"))


@pytest.mark.parametrize("mode", ["message", "signal"])
def test_interrupt(place, start, mode):
    spec = place.install()
    assert spec["interrupt_mode"] == "message"
    with open(place.spec(), "w", encoding="utf-8") as file:
        json.dump({**spec, "interrupt_mode": mode}, file)
    kernel = start()
    assert kernel.manager.kernel_spec.interrupt_mode == mode
    kernel.run("x = 5")
    for code in ("while True: pass", "import time; time.sleep(60)", "print('on'); input()"):
        began = time.monotonic()
        threading.Timer(1, kernel.manager.interrupt_kernel).start()
        reply = kernel.run(code, allow_stdin=True, stdin_hook=lambda message: None)
        assert (reply.content["ename"], reply.status) == ("KeyboardInterrupt", "error")
        assert time.monotonic() - began < 30
    kernel.client.execute("while True: pass", allow_stdin=False)
    wait_until(lambda: kernel.client.get_iopub_msg(timeout=60)["msg_type"] == "execute_input")
    kernel.manager.interrupt_kernel()  # at once: the service may not have heard of it yet
    assert kernel.answer("execute_reply")["ename"] == "KeyboardInterrupt"
    kernel.manager.interrupt_kernel()  # nothing runs
    time.sleep(0.5)
    assert kernel.run("x").value == "5"


def test_restart(kernel):
    kernel.run("x = 1\nopen('kept.txt', 'w').write('content')")
    first = only_session()
    kernel.manager.restart_kernel()
    kernel.client.wait_for_ready(120)
    assert kernel.run("x").content["ename"] == "NameError"
    assert kernel.run("open('kept.txt').read()").value == "'content'"
    assert only_session().id == first.id and only_session().container != first.container
    kernel.manager.restart_kernel(now=True)  # killed; whatever watches over it still ends its session
    kernel.client.wait_for_ready(120)
    assert kernel.run("x = 2\nx").value == "2"
    assert only_session().container != first.container


def test_two_at_once(start):
    kernels = [start(), start()]
    for at, kernel in enumerate(kernels):
        kernel.run(f"x = {at}")
    began = time.monotonic()
    for kernel in kernels:
        kernel.client.execute("import time; time.sleep(3); print(x)", allow_stdin=False)
    for kernel in kernels:
        assert kernel.answer("execute_reply")["status"] == "ok"
    assert time.monotonic() - began < 5.9
    assert [kernel.run("x").value for kernel in kernels] == ["0", "1"]
    assert len({session.id for session in sessions()}) == 2
    kernels[0].end()
    assert kernels[1].run("x").value == "1"


def test_shut_down(kernel):
    kernel.run("open('a.txt', 'w')")
    assert only_session() and directories()
    kernel.manager.shutdown_kernel()
    assert sessions() == [] and directories() == []


@pytest.mark.parametrize("restart", [False, True])
def test_shut_down_at_once(kernel, restart):
    """While its session is being made, or before."""
    if restart:
        kernel.manager.restart_kernel()
        kernel.client.wait_for_ready(120)
        assert kernel.run("1 + 1").value == "2"
    kernel.manager.shutdown_kernel()
    assert wait_until(lambda: not guards())
    assert sessions() == [] and directories() == []


@pytest.mark.parametrize("when", ["idle", "busy", "early"])
def test_killed(kernel, when):
    """Nothing of it is left."""
    if when == "idle":
        kernel.run("open('a.txt', 'w')")
    elif when == "busy":
        kernel.run("1")
        kernel.client.execute("while True: pass")
        time.sleep(1)
    pid = kernel.manager.provisioner.process.pid
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: not guards()), "what watches over it has not ended"
    assert sessions() == [] and directories() == []


def guards():
    """Processes that watch over a kernel."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                words = file.read()
        except OSError:
            continue
        if b"dsandbox.jupyter.guard" in words and os.environ["DSB_TEST_SOCKET"].encode() in words:
            found.append(path)
    return found


def test_terminated(kernel):
    kernel.run("1")
    pid = kernel.manager.provisioner.process.pid
    os.kill(pid, signal.SIGTERM)
    assert wait_until(lambda: sessions() == [] and directories() == [])


def test_a_dead_session(kernel):
    kernel.run("x = 1")
    client().delete(only_session().id)
    reply = kernel.run("print('here')")
    assert (reply.status, reply.text()) == ("ok", "here\n")
    assert reply.text("stderr") == "dsandbox: variables were lost: the session was ended from elsewhere, and this cell ran in a new one\n"
    assert kernel.run("x").content["ename"] == "NameError"
    assert kernel.run("x = 2").text("stderr") == ""
    time.sleep(2)
    reply = kernel.run("import os; os._exit(7)")
    assert reply.status == "error" and "dsandbox: variables were rolled back to execution" in reply.text("stderr"), reply.text("stderr")
    assert kernel.run("x").value == "2"


def test_out_of_memory(start):
    kernel = start("--memory", "128MiB", "--checkpoint", "off", name="little")
    kernel.run("x = 1")
    reply = kernel.run("y = bytearray(10 ** 9)\nfor i in range(0, 10 ** 9, 4096): y[i] = 1")
    assert reply.content["ename"] in ("OutOfMemory", "MemoryError"), reply.content
    if reply.content["ename"] == "OutOfMemory":
        assert "dsandbox: variables were lost:" in reply.text("stderr")
    assert kernel.run("1 + 1").value == "2"


def test_time_limit(start):
    kernel = start("--timeout", "2s", name="short")
    kernel.run("x = 1")
    reply = kernel.run("print('on', flush=True)\nwhile True: pass")
    assert (reply.content["ename"], reply.text()) == ("TimeLimitExceeded", "on\n")
    assert reply.content["evalue"] == "the code was stopped after its time limit" and any("while True" in line for line in reply.content["traceback"])
    assert kernel.run("import time\nprint(len(input()))", allow_stdin=True, stdin_hook=lambda _: time.sleep(4) or kernel.client.input("abc")).text() == "3\n"
    assert kernel.run("x").value == "1"


def test_no_engine(start):
    kernel = start("--host", "unix:///nonexistent.sock", name="nowhere")
    reply = kernel.run("1")
    assert reply.content["ename"] == "UnavailableError" and "/nonexistent.sock" in reply.content["evalue"]
    assert kernel.complete("pri")["matches"] == []
    assert kernel.run("1").content["ename"] == "UnavailableError"
