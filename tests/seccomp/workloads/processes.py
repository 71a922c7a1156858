# SPDX-License-Identifier: MIT
"""Children, threads, pools, queues, shared memory, asyncio, signals."""
import asyncio
import concurrent.futures
import contextlib
import functools
import multiprocessing.pool
import os
import pty
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time


def double(value):
    return 2 * value


def put_in(queue_):
    queue_.put(os.getpid())


def add_to(value, lock):
    for _ in range(100):
        with lock:
            value.value += 1


def subprocesses():
    run = functools.partial(subprocess.run, check=True, stdout=subprocess.PIPE, timeout=30)
    assert run("echo a b | wc -w; ls / >/dev/null; (exit 0) & wait", shell=True).stdout.strip() == b"2"
    assert run([sys.executable, "-c", "print(input())"], input=b"x\n").stdout == b"x\n"
    assert run(["cat"], input=b"y" * (1 << 20)).stdout == b"y" * (1 << 20)
    for how in ({"start_new_session": True}, {"preexec_fn": os.getpid}, {"close_fds": False}, {"cwd": "/"}, {"umask": 0o77},
                {"process_group": 0}, {"user": os.getuid()}, {"group": os.getgid()}):
        if sys.version_info < (3, 11) and "process_group" in how or sys.version_info < (3, 9) and {"user", "group", "umask"} & set(how):
            continue
        run(["true"], **how)
    assert os.waitstatus_to_exitcode(os.system("exit 3")) == 3
    child = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 4"], os.environ, setpgroup=0, setsigdef=[signal.SIGINT],
                           setsigmask=[signal.SIGUSR1], file_actions=[(os.POSIX_SPAWN_CLOSE, 0)])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 4
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        if hasattr(os, "pidfd_open"):
            handle = os.pidfd_open(sleeper.pid)
            signal.pidfd_send_signal(handle, signal.SIGTERM)
            assert os.waitid(os.P_PIDFD, handle, os.WEXITED | os.WNOWAIT).si_status == signal.SIGTERM
            os.close(handle)
        sleeper.kill()
    child, terminal = pty.fork()
    if child == 0:
        os.execvp("sh", ["sh", "-c", "stty size; test -t 0 && echo terminal"])
    text = b""
    with contextlib.suppress(OSError):
        while True:
            text += os.read(terminal, 1024) or (_ for _ in ()).throw(OSError)
    assert b"terminal" in text
    os.waitpid(child, 0)
    for wait in (lambda: os.wait3(0), lambda: os.wait4(-1, 0)):
        if os.fork() == 0:
            os._exit(0)
        wait()


def shell():
    """What programs of the image do that code calls out to."""
    script = """
set -e
mkdir -p d/e; echo x >d/f; cp -a d d2; cp --reflink=auto d/f d/g; mv d/g d/h; mv -n d/h d/e/; ln -s f d/l; ln d/f d/i
touch -d 2001-01-01 d/f; touch -h d/l; chmod -R u+w d; ls -laR d >list; stat d/f; df . >/dev/null; du -s d; readlink -f d/l
find d -type f -exec cat {} + | sort -u | tail -n 1; (sleep 0.01 & wait); date; seq 1 1000 | head -n 1 >/dev/null
tar -cf d.tar d 2>/dev/null; tar -xf d.tar -C d2 2>/dev/null; gzip -k d.tar; dd if=d.tar of=d3 bs=64k conv=fsync status=none
sed -i s/x/y/ d/f; grep -r y d; truncate -s 1M big; sync d/f; nice -n 1 true; timeout 5 true; mktemp -d; id -u; nproc; env -i true
exec 3<d/f; read line <&3; trap 'echo caught' USR1; kill -USR1 $$; ulimit -n 100; umask 77; rm -rf d d2
""".replace("tar -cf d.tar d 2>/dev/null; tar -xf d.tar -C d2 2>/dev/null;", "cat list >d.tar;" if not shutil.which("tar") else
            "tar -cf d.tar d; tar -xf d.tar -C d2;")
    subprocess.run(["sh", "-c", script], check=True, stdout=subprocess.DEVNULL, timeout=60)


def threads():
    values, lock, ready = queue.Queue(), threading.RLock(), threading.Event()

    def work(number):
        with lock:
            values.put(number)
        ready.wait(5)
        threading.get_native_id()

    running = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    threading.stack_size(1 << 20)
    for each in running:
        each.start()
    ready.set()
    for each in running:
        each.join()
    assert values.qsize() == 8
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(double, range(9)))[-1] == 16
    with multiprocessing.pool.ThreadPool(2) as pool:
        assert pool.map(double, [4]) == [8]
    threading.Barrier(1).wait()
    assert not threading.Condition().acquire(False) or True
    timer = threading.Timer(0.01, ready.clear)
    timer.start()
    timer.join()


def pools():
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        with context.Pool(2) as pool:
            assert pool.map(double, range(50))[-1] == 98
        messages = context.Queue()
        child = context.Process(target=put_in, args=(messages,))
        child.start()
        assert messages.get(timeout=30) == child.pid
        child.join()
        value, lock = context.Value("i", 0), context.Lock()
        children = [context.Process(target=add_to, args=(value, lock)) for _ in range(2)]
        for child in children:
            child.start()
        for child in children:
            child.join()
        assert value.value == 200
    with multiprocessing.get_context("fork").Manager() as manager:
        shared = manager.dict(a=1)
        shared["b"] = 2
        assert len(shared) == 2
    from multiprocessing import shared_memory
    block = shared_memory.SharedMemory(create=True, size=4096)
    again = shared_memory.SharedMemory(block.name)
    block.buf[0] = 9
    assert again.buf[0] == 9
    again.close()
    block.close()
    block.unlink()
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(double, range(5))) == [0, 2, 4, 6, 8]
    left, right = multiprocessing.Pipe()
    left.send({"x": 1})
    assert right.recv() == {"x": 1}


async def tasks():
    loop = asyncio.get_running_loop()

    async def serve(reader, writer):
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()

    async def ask(open_, *address):
        reader, writer = await open_(*address)
        writer.write(b"hello\n")
        answer = await reader.read()
        writer.close()
        return answer

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    assert await ask(asyncio.open_connection, *server.sockets[0].getsockname()) == b"HELLO\n"
    server.close()
    server = await asyncio.start_unix_server(serve, "asyncio.sock")
    assert await ask(asyncio.open_unix_connection, "asyncio.sock") == b"HELLO\n"
    server.close()
    child = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    assert (await child.communicate(b"cat"))[0] == b"cat"
    assert await loop.run_in_executor(None, double, 4) == 8
    assert await asyncio.gather(*(asyncio.sleep(0.01, n) for n in range(20))) == list(range(20))
    caught = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, caught.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await asyncio.wait_for(caught.wait(), 5)
    loop.remove_signal_handler(signal.SIGUSR1)


def signals():
    seen = []
    signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    assert signal.getitimer(signal.ITIMER_REAL)[1] > 0
    signal.pause()
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.alarm(1)
    signal.alarm(0)
    assert seen
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    signal.pthread_kill(threading.get_ident(), signal.SIGUSR2)
    assert signal.SIGUSR2 in signal.sigpending()
    assert signal.sigtimedwait({signal.SIGUSR2}, 5).si_signo == signal.SIGUSR2
    signal.raise_signal(signal.SIGUSR2)
    assert signal.sigwait({signal.SIGUSR2}) == signal.SIGUSR2
    signal.siginterrupt(signal.SIGALRM, False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})
    import faulthandler
    faulthandler.enable()
    child = os.fork()
    if child == 0:
        faulthandler.disable()
        os.abort()
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGABRT
    with contextlib.suppress(ProcessLookupError):
        os.killpg(999999, 0)
    time.sleep(0.01)


if __name__ == "__main__":
    subprocesses()
    shell()
    threads()
    pools()
    asyncio.run(tasks())
    signals()
    print("ok processes")
