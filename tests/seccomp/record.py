#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Records which system calls the workloads make under the profile, from the moment the runtime loads it: strace follows
a container engine while it runs them. Not part of the tests; what it found is recorded.txt, against which they check
the profile.

    DSB_TEST_PROGRAM=build/cli/dsandbox DSB_TEST_BACKEND=podman DSB_TEST_ENDPOINT=unix:///run/podman.sock \\
        sudo -E python3 tests/seccomp/record.py --pid "$(pidof podman)" [--cpython DIR]

--pid      the process that starts the runtime (podman's service; with Docker: containerd), may be repeated
--cpython  a directory with CPython's own `test` package of the image's Python (on Debian: from libpythonX.Y-testsuite,
           together with the `test` directory of the image): another hour of calls, to find out what is missing
--runtime  name of the runtime, for the first column
Names are added to recorded.txt; delete it first to begin anew. Calls that were refused are printed at the end.
"""
import argparse
import collections
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
RECORDED = os.path.join(HERE, "recorded.txt")
WORKLOADS = ("libraries", "packages", "processes", "stdlib")
REGRESSION = """
test_asyncio test_bz2 test_cmd_line test_codecs test_concurrent_futures test_ctypes test_curses test_dbm test_eintr
test_epoll test_faulthandler test_fcntl test_file test_fileio test_fork1 test_ftplib test_gc test_getpass test_glob
test_grp test_gzip test_hashlib test_httplib test_httpservers test_imaplib test_import test_interpreters test_io
test_ioctl test_largefile test_locale test_logging test_lzma test_mailbox test_mmap test_multiprocessing_fork
test_multiprocessing_forkserver test_multiprocessing_spawn test_openpty test_os test_pathlib test_pickle test_platform
test_poll test_popen test_poplib test_posix test_posixpath test_pty test_pwd test_queue test_random test_readline
test_resource test_runpy test_select test_selectors test_shelve test_shutil test_signal test_smtplib test_socket
test_socketserver test_sqlite3 test_ssl test_stat test_statistics test_subprocess test_sys test_syslog test_tarfile
test_tempfile test_termios test_thread test_threading test_threadsignals test_time test_timeout test_tracemalloc
test_tty test_urllib test_urllib2_localnet test_uuid test_wait3 test_wait4 test_wsgiref test_xmlrpc test_zipfile
test_zoneinfo
""".split()


def program(name):
    """The workload as a file of the sandbox, run by a fresh interpreter: children must be able to import it."""
    with open(os.path.join(HERE, "workloads", name + ".py"), encoding="utf-8") as file:
        return ("import subprocess, sys\nopen('workload.py', 'w').write(%r)\n"
                "sys.exit(subprocess.run([sys.executable, 'workload.py']).returncode)\n" % file.read())


class Trace:
    """strace's output: which calls each filtered process makes, and which of them were refused."""
    unknown = {"syscall_0x1c4": "fchmodat2", "syscall_0x1c3": "cachestat", "syscall_0x1ce": "mseal"}  # to an old strace
    line = re.compile(r"^(\d+) +(?:<\.\.\. )?(\w+)(\(| resumed>)(.*)$")
    loads = re.compile(r"SECCOMP_SET_MODE_FILTER, .*\{len=|PR_SET_SECCOMP, SECCOMP_MODE_FILTER")
    child = re.compile(r"= \d+ /\* (\d+) in strace's PID NS \*/$|= (\d+)$")

    def __init__(self):
        self.filtered, self.inside, self.begun = set(), set(), {}
        self.made = collections.defaultdict(set)  # pid -> calls: a child may speak before its parent's clone returns
        self.runtime, self.calls, self.refused = set(), set(), collections.Counter()

    def feed(self, text):
        match = self.line.match(text)
        if not match:
            return
        pid, name, kind, rest = match.groups()
        name = self.unknown.get(name, name)
        if kind == "(":
            self.begun[pid] = rest
            if pid in self.inside:
                self.calls.add(name)
            elif pid in self.filtered:
                self.runtime.add(name)
            else:
                self.made[pid].add(name)
        whole = rest if kind == "(" else self.begun.get(pid, "") + rest
        if "<unfinished" in rest:
            return
        if name in ("seccomp", "prctl") and self.loads.search(whole) and rest.endswith("= 0"):
            self.filtered.add(pid)
        elif pid in self.filtered and name in ("clone", "clone3", "fork", "vfork"):
            born = self.child.search(rest)
            if born:
                child = born[1] or born[2]
                self.filtered.add(child)
                self.inside.add(child)
                self.calls |= self.made.pop(child, set())
        elif pid in self.filtered and name == "execve" and rest.endswith("= 0"):
            self.inside.add(pid)
        elif name in ("exit", "exit_group"):
            self.made.pop(pid, None)
        if pid in self.filtered and re.search(r"= -1 (EPERM|ENOSYS|EOPNOTSUPP|EXDEV)", rest):
            self.refused["%s(%s" % (name, re.sub(r"0x[0-9a-f]{8,}|\"[^\"]*\"\.*|\d{3,}", "_", whole)[:70])] += 1


def dsandbox(arguments, limit):
    command = [os.environ.get("DSB_TEST_PROGRAM", os.path.join(TOP, "build/cli/dsandbox"))]
    if os.environ.get("DSB_TEST_BACKEND"):
        command += ["--backend", os.environ["DSB_TEST_BACKEND"]]
    if os.environ.get("DSB_TEST_ENDPOINT"):
        command += ["--host", os.environ["DSB_TEST_ENDPOINT"]]
    command += ["run", "--no-service", "--timeout", "%ds" % limit, "--output-limit", "64MiB"]
    return subprocess.run(command + arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=limit + 120)


def traced(pids, arguments, limit, work, complete=True):
    output = os.path.join(work, "trace")
    strace = subprocess.Popen(["strace", "-f", "-qq", "--decode-pids=pidns", "-s", "8", "-e", "signal=none", "-o", output]
                              + [word for pid in pids for word in ("-p", pid)])
    try:
        time.sleep(1)
        done = dsandbox(arguments, limit)
    finally:
        strace.send_signal(signal.SIGINT)
        strace.wait(timeout=60)
    if complete and done.returncode != 0:
        sys.exit("record.py: the workload fails:\n" + done.stdout.decode("utf-8", "replace")[-4000:])
    trace = Trace()
    with open(output, encoding="utf-8", errors="replace") as lines:
        for text in lines:
            trace.feed(text.rstrip("\n"))
    os.unlink(output)
    if not trace.calls:
        sys.exit("record.py: no process with a filter was seen; does --pid name the process that starts the runtime?")
    return trace, done


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pid", action="append", required=True)
    parser.add_argument("--cpython")
    parser.add_argument("--runtime", default="runtime")
    options = parser.parse_args()
    names = collections.defaultdict(set)
    if os.path.exists(RECORDED):
        with open(RECORDED, encoding="ascii") as file:
            for text in file:
                if not text.startswith("#"):
                    name, _, users = text.partition(":")
                    names[name] |= set(users.split())
    refused = collections.Counter()
    with tempfile.TemporaryDirectory() as work:
        jobs = [("start", ["-c", "pass"], 60)]
        jobs += [(name, ["-c", program(name)], 600) for name in WORKLOADS]
        if options.cpython:
            with open(os.path.join(work, "policy.json"), "w", encoding="ascii") as file:
                json.dump({"binds": [{"source": os.path.abspath(options.cpython), "target": "/suite"}]}, file)
            code = ("import os, sys\nos.environ['PYTHONPATH'] = '/suite'\n"
                    "os.execv(sys.executable, [sys.executable, '-m', 'test', '--tempdir', '/sandbox', '--timeout', '300', '-j2', *%r])"
                    % REGRESSION)
            jobs.append(("cpython", ["--policy", file.name, "--memory", "2GiB", "--disk", "4GiB", "--pids", "512", "--cpus", "2",
                                     "--tmp-size", "500MiB", "-c", code], 5400))
        for label, arguments, limit in jobs:
            trace, done = traced(options.pid, arguments, limit, work, complete=label != "cpython")
            if label == "cpython":  # some of its tests need more than a sandbox has
                print(done.stdout.decode("utf-8", "replace")[-3000:])
            for name in trace.runtime:
                names[name].add(options.runtime)
            for name in trace.calls:
                names[name].add(label)
            refused.update(trace.refused)
            print("%s: %d calls by the runtime, %d inside" % (label, len(trace.runtime), len(trace.calls)), flush=True)
    with open(RECORDED, "w", encoding="ascii") as file:
        file.write("# Made by record.py: system calls under the profile, and who made them; many were refused.\n")
        for name in sorted(names):
            file.write("%s: %s\n" % (name, " ".join(sorted(names[name]))))
    for text, count in sorted(refused.items()):
        print("refused %6d  %s" % (count, text))


if __name__ == "__main__":
    main()
