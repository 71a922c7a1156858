#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
What the kernel counts for all processes of a user, or once for the machine: one sandbox takes all that it can get of
it, the others work. Environment and last line as in tests/cli/cli_harness.py.
"""
import resource
import subprocess

from common import ORDINARY, ORDINARY_SAYS, OWN_UID, RedCase, cli_harness, dsb
from session_harness import service_facts

# Sends a pair of sockets through itself until the user may have no more descriptors in flight.
IN_FLIGHT = """
import array, errno, socket
held, flying, full = [], 0, False
some = array.array('i', [0] * 250)
while not full and len(held) < 400:
    pair = socket.socketpair()
    held.append(pair)
    try:
        pair[0].sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, some)])
        flying += len(some)
    except OSError as error:
        full = error.errno == errno.ETOOMANYREFS
        assert full, error
print(full, flying)
"""
# The same with as many as a policy lets a sandbox have: more than the service may have on their way to its sessions' processes.
MANY_IN_FLIGHT = """
import array, errno, resource, socket
limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
held, full, some = [], False, array.array('i', [0] * 250)
while not full and len(held) < 400:
    held.append(pair := socket.socketpair())
    pair[0].setblocking(False)
    try:
        while True: pair[0].sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, some)])
    except BlockingIOError: pass
    except OSError as error:
        full = error.errno == errno.ETOOMANYREFS
        assert full, error
print(full)
"""
SERVICE_NOFILE = 8192  # service/broker/main.c
# All large pipes, then as many small ones as this process may have.
PIPES = """
import fcntl, os, resource
held, large = [], 0
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
try:
    while True:
        held.append(os.pipe())
        try:
            fcntl.fcntl(held[-1][0], 1031, 1 << 20)
            large += 1
        except PermissionError: pass
except OSError: pass
for end in held[-20:]: os.close(end[0]), os.close(end[1])
last = os.pipe()
print(large > 30, fcntl.fcntl(last[0], 1032))
"""
# Locked pages, of several processes.
LOCKED = """
import ctypes, mmap, os, time
libc = ctypes.CDLL(None, use_errno=True)
held = []
def lock(size):
    held.append(memory := mmap.mmap(-1, size))
    return libc.mlock(ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(memory))), ctypes.c_size_t(size)) == 0
for _ in range(8):
    ready, told = os.pipe()
    if os.fork() == 0:
        while lock(1 << 20): pass
        os.write(told, b'.')
        time.sleep(1000)
    os.read(ready, 1)
"""
# As many processes as the sandbox may have, or enough of them where the engine has no limit.
PROCESSES = """
import os, time
held = 0
try:
    while held < 400:
        if os.fork() == 0: time.sleep(1000)
        held += 1
except BlockingIOError: pass
assert held > 50, held
"""
# As many watches of epoll as one process may have, and the asyncio that needs one.
WATCHES = """
import os, resource, select
limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
held = [select.epoll() for _ in range(400)]
for end in [end for _ in range(200) for end in os.pipe()]:
    for each in held: each.register(end, select.EPOLLIN)
"""
ASYNCIO = """
import asyncio
async def pass_on(): return (await asyncio.gather(asyncio.sleep(0.01, 'slept'), asyncio.to_thread(str, 5)))
print(asyncio.run(pass_on()))
"""
# Signals that are queued, by every way there is, and never taken.
SIGNALS = """
import errno, os, re, signal, threading
def queued(): return int(re.search(r'SigQ:\\s*(\\d+)/', open('/proc/self/status').read())[1])
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
before, refused = queued(), []
for send in (lambda n: os.kill(os.getpid(), n), lambda n: signal.pthread_kill(threading.get_ident(), n),
             lambda n: signal.pidfd_send_signal(os.pidfd_open(os.getpid()), n)):
    for number in range(34, 65):
        try:
            for _ in range(1000): send(number)
        except OSError as error: refused.append(error.errno == errno.EPERM)
print(refused == [True] * 93, queued() - before < 100)
"""
# What is refused: nothing of it can be taken.
REFUSED = """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def count(*call):
    taken = 0
    while taken < 1000 and libc.syscall(*call) >= 0: taken += 1
    return taken
number = {'x86_64': {'inotify_init1': 294, 'timer_create': 222, 'add_key': 248, 'mq_open': 240, 'shmget': 29, 'fanotify_init': 300,
                     'io_uring_setup': 425, 'bpf': 321, 'perf_event_open': 298, 'userfaultfd': 323, 'unshare': 272},
          'aarch64': {'inotify_init1': 26, 'timer_create': 107, 'add_key': 217, 'mq_open': 180, 'shmget': 194, 'fanotify_init': 262,
                      'io_uring_setup': 425, 'bpf': 280, 'perf_event_open': 241, 'userfaultfd': 282, 'unshare': 97}}[os.uname().machine]
arguments = {'timer_create': (1, 0, ctypes.create_string_buffer(8)), 'add_key': (b'user', b'k', b'v', 1, -2), 'mq_open': (b'q', 0o102, 0o600, 0),
             'shmget': (0, 4096, 0o1600), 'io_uring_setup': (1, ctypes.create_string_buffer(256)), 'unshare': (0x10000000,)}
print([name for name in number if count(number[name], *arguments.get(name, (0,) * 6))])
"""
# Compiled filters are the machine's, not the user's: a process may have one, with its listener.
FILTERS = """
import ctypes, os, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
class Program(ctypes.Structure): _fields_ = [('length', ctypes.c_ushort), ('code', ctypes.c_char_p)]
code = struct.pack('=HBBI', 6, 0, 0, 0x7fff0000)
program = Program(1, code)
seccomp = {'x86_64': 317, 'aarch64': 277}[os.uname().machine]
print([libc.syscall(seccomp, 1, flags, ctypes.byref(program)) >= 0 for flags in (0, 1, 8, 8, 0)], libc.prctl(22, 2, ctypes.byref(program)))
end = socket.socketpair()[0]
print([libc.setsockopt(end.fileno(), 1, option, ctypes.byref(program), 16) for option in (26, 50, 51, 52)])
"""


class Shared(RedCase):
    def test_descriptors_in_flight(self):
        self.assert_others_work(IN_FLIGHT)

    def test_descriptors_in_flight_beyond_the_services(self):
        """Where all sandboxes are one user's, as its service, no code runs meanwhile; no session loses anything."""
        policy = cli_harness.WORK.file('{"nofile": %d}' % (SERVICE_NOFILE + 1000))
        if OWN_UID:
            self.assert_others_work(MANY_IN_FLIGHT, "--policy", policy)
            return
        if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < SERVICE_NOFILE + 1000:
            self.skipTest("no sandbox of this user may have so many")
        self.run_("kept = 'still here'")
        # What a service gives itself where its user has less: one that was started with more has that.
        limit = [*([cli_harness.AS] if cli_harness.AS else []), "prlimit", "--pid", str(service_facts()["pid"])]
        had = subprocess.run([*limit, "--nofile", "--output", "SOFT", "--noheadings"], check=True, stdout=subprocess.PIPE, timeout=60)
        self.addCleanup(subprocess.run, [*limit, f"--nofile={int(had.stdout)}:"], check=True, timeout=60)
        subprocess.run([*limit, f"--nofile={SERVICE_NOFILE}:"], check=True, timeout=60)
        with self.session_attacker(MANY_IN_FLIGHT, "--policy", policy) as said:
            self.assertEqual(said, ["True"])
            for where in (["--session", self.s], []):
                done = dsb("run", *where, *self.settings(), "-c", "print('not run')")
                self.assertEqual((done.status, done.stdout), (125, ""), done)
                self.assertIn("Too many references: this user", done.stderr)
        result = self.run_("print(kept)")
        self.assertEqual((result["stdout"], result["state"]["outcome"]), ("still here\n", "kept"))

    def test_locked_memory(self):
        victim = ORDINARY + LOCKED[:LOCKED.index("for _")] + "print(lock(1 << 20))\n"
        self.assert_others_work(LOCKED, victim=victim, says=ORDINARY_SAYS + "True\n")

    def test_processes(self):
        self.assert_others_work(PROCESSES)

    def test_watches_of_epoll(self):
        self.assert_others_work(WATCHES, victim=ORDINARY + ASYNCIO, says=ORDINARY_SAYS + "['slept', '5']\n")

    def test_pages_of_pipes(self):
        self.assert_others_work(PIPES, victim=ORDINARY + "print('x' * 200000)", says=ORDINARY_SAYS + "x" * 200000 + "\n")

    def test_pending_signals(self):
        self.assertEqual(self.run_ok(SIGNALS)["stdout"], "True True\n")

    def test_they_are_taken(self):
        """The attacks above take what there is, and only where all sandboxes are one user do the others see it."""
        for attack in (IN_FLIGHT, PIPES):
            with self.one_shot_attacker(attack) as said:
                other = self.run_ok(attack)["stdout"].splitlines()
                self.assertEqual(other == said, OWN_UID, f"{said} and beside it {other}")

    def test_what_is_refused(self):
        self.assertEqual(self.run_ok(REFUSED)["stdout"], "[]\n")
        self.assertEqual(self.run_(REFUSED)["stdout"], "[]\n")

    def test_compiled_filters(self):
        says = "[False, False, True, False, False] -1\n[-1, -1, -1, -1]\n"
        self.assertEqual(self.run_ok(FILTERS)["stdout"], says)


if __name__ == "__main__":
    cli_harness.main([Shared])
