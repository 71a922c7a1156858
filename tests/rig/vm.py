#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Drives the guest of vm.sh, which is a User Mode Linux kernel: a process of this machine.

    vm.py DIR SECONDS FILES.tar COMMAND   boot DIR's disk, unpack FILES.tar at /, run COMMAND as root, exit with its status

Every run starts from the same disk: what a guest writes is thrown away. Exit status 125: the machine itself failed.
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

# A process namespace of its own: however we end, each process of the guest, which is one of this machine, ends as well.
# One processor: the guest's kernel and its processes take turns, and to wake another processor each time is what costs.
ALONE = f"setpriv --pdeathsig KILL taskset -c {max(os.sched_getaffinity(0))} unshare --pid --mount-proc --fork --kill-child=KILL".split()
KERNEL = "mem=2G rootfstype=ext4 root=/dev/ubda rw con=null con0=null,fd:{console} ssl=null ssl0=fd:{port} umid=guest quiet " \
    "panic=-1 systemd.show_status=0 random.trust_cpu=on".split()


class Failed(Exception):
    pass


class Machine:
    def __init__(self, directory, seconds, files):
        self.end = time.monotonic() + seconds
        self.work = tempfile.mkdtemp(prefix="dsb-vm.")
        shutil.copyfile(files, os.path.join(self.work, "files.tar"))
        ours, theirs = socket.socketpair()
        with open(os.path.join(self.work, "console"), "wb") as console, theirs:
            words = [word.format(console=console.fileno(), port=theirs.fileno()) for word in KERNEL]
            words += [f"ubd0={self.work}/changes,{directory}/root.img", f"uml_dir={self.work}"]
            self.process = subprocess.Popen([*ALONE, "linux.uml", *words], stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                                            pass_fds=(console.fileno(), theirs.fileno()))
        self.socket, self.port = ours, ours.makefile("rwb")

    def frame(self):
        left = self.end - time.monotonic()
        if left <= 0:
            raise Failed("out of time")
        self.socket.settimeout(left)
        head = self.port.readline()
        kind, _, number = head.decode("ascii", "replace").partition(" ")
        if not head.endswith(b"\n") or kind not in ("READY", "O", "E", "X"):
            raise Failed(f"the guest is gone: {head!r}")
        return kind, int(number), self.port.read(int(number)) if kind in "OE" else b""

    def run(self, command):
        """Runs a shell command as root in the guest; its output is ours."""
        self.port.write(json.dumps(command).encode() + b"\n")
        self.port.flush()
        while True:
            kind, number, data = self.frame()
            if kind == "X":
                return number
            stream = sys.stdout if kind == "O" else sys.stderr
            stream.buffer.write(data)
            stream.flush()

    def boot(self):
        kind, _, _ = self.frame()
        if kind != "READY":
            raise Failed("the guest did not start")
        return self.run(f"mount -t hostfs none /mnt -o {self.work} && tar -C / --no-overwrite-dir -xf /mnt/files.tar && umount /mnt")

    def console(self):
        with open(os.path.join(self.work, "console"), encoding="utf-8", errors="replace") as file:
            return file.read()[-2000:]

    def close(self):
        self.process.kill()
        self.process.wait()
        self.port.close()
        self.socket.close()
        shutil.rmtree(self.work)


def main():
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(125))
    directory, seconds, files, command = os.path.abspath(sys.argv[1]), float(sys.argv[2]), *sys.argv[3:5]
    began = time.monotonic()
    machine = Machine(directory, seconds, files)
    try:
        status = machine.boot()
        print(f"vm: booted in {time.monotonic() - began:.1f} s", file=sys.stderr)
        return status or machine.run(command)
    except (Failed, OSError, ValueError) as problem:
        print(f"vm: {problem or type(problem).__name__}\n{machine.console()}", file=sys.stderr)
        return 125
    finally:
        machine.close()


if __name__ == "__main__":
    sys.exit(main())
