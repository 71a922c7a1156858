#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Drives the QEMU guest of vm.sh.

vm.py save DIR SECONDS COMMAND           boot DIR's guest, run COMMAND in it as root, save the state of the machine
vm.py run DIR SECONDS FILES.tar COMMAND  resume the saved state, unpack FILES.tar at /, run COMMAND, exit with its status

Every run starts from the same state: what a guest writes is thrown away. Exit status 125: the machine itself failed.
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

DISK = 256 << 20  # of the second disk: the saved state holds its size
MACHINE = (
    # la57 off: a boot with five-level paging panicked
    "-M q35 -accel tcg,thread=multi -cpu max,la57=off -smp {cpus} -m 2G -nodefaults -no-user-config -display none "
    "-no-reboot -nic none"
).split()
# The emulated TSC runs with the host's, but its calibration goes wrong on a busy host, and the guest's clock with it.
KERNEL = (
    "console=ttyS0 quiet panic=-1 systemd.show_status=0 mitigations=off random.trust_cpu=on tsc=unstable clocksource=hpet "
    "no_timer_check"
)


class Failed(Exception):
    pass


class Machine:
    def __init__(self, directory, seconds, files=None, resume=False):
        self.end = time.monotonic() + seconds
        self.work = tempfile.mkdtemp(prefix="dsb-vm.")
        self.process = None
        self.port = None
        disk = os.path.join(self.work, "files.img")
        with open(disk, "wb") as out:
            if files:
                with open(files, "rb") as source:
                    shutil.copyfileobj(source, out)
            if out.tell() > DISK:
                raise Failed(f"the files are larger than {DISK} bytes")
            out.truncate(DISK)
        with open(os.path.join(directory, "cpus"), encoding="ascii") as file:
            cpus = file.read().strip()
        # However we end, the machine ends with us.
        command = ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64"] + [word.format(cpus=cpus) for word in MACHINE]
        snapshot = ",snapshot=on" if resume else ""
        command += ["-drive", f"if=none,id=root,file={directory}/root.qcow2,format=qcow2,cache=unsafe{snapshot}"]
        command += ["-device", "virtio-blk-pci,drive=root"]
        command += ["-drive", f"if=none,id=files,file={disk},format=raw,cache=unsafe"]
        command += ["-device", "virtio-blk-pci,drive=files"]
        command += ["-device", "virtio-serial-pci", "-chardev", f"socket,id=port,path={self.work}/port,server=on,wait=off"]
        command += ["-device", "virtserialport,chardev=port,name=port", "-serial", f"file:{self.work}/console"]
        command += ["-qmp", f"unix:{self.work}/qmp,server=on,wait=off"]
        command += ["-kernel", f"{directory}/vmlinuz", "-initrd", f"{directory}/initrd", "-append", KERNEL]
        if resume:
            command += ["-incoming", f"exec:zstd -dcq '{directory}/state.zst'"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=dict(os.environ, TMPDIR=self.work))
        self.qmp_stream = self.connect("qmp").makefile("rw", encoding="utf-8")
        self.qmp_stream.readline()
        self.qmp("qmp_capabilities")
        self.port = self.connect("port").makefile("rwb")

    def left(self):
        left = self.end - time.monotonic()
        if left <= 0:
            raise Failed("out of time")
        return left

    def connect(self, name):
        while True:
            if self.process.poll() is not None:
                raise Failed(f"QEMU ended with status {self.process.returncode}")
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(self.left())
            try:
                client.connect(os.path.join(self.work, name))
                return client
            except OSError:
                client.close()
                time.sleep(0.02)

    def qmp(self, command, **arguments):
        self.qmp_stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.qmp_stream.flush()
        while True:
            line = self.qmp_stream.readline()
            if not line:
                raise Failed(f"QEMU ended during {command}")
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise Failed(f"QEMU: {command}: {answer['error']['desc']}")

    def frame(self):
        self.left()
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

    def resume(self):
        while self.qmp("query-status")["status"] == "inmigrate":
            self.left()
            time.sleep(0.02)
        if self.qmp("query-status")["status"] != "running":
            self.qmp("cont")

    def save(self, path):
        self.qmp("stop")
        self.qmp("migrate-set-parameters", **{"max-bandwidth": 1 << 34})
        self.qmp("migrate", uri=f"exec:zstd -1 -q -f -o '{path}'")
        while True:
            status = self.qmp("query-migrate")["status"]
            if status == "completed":
                break
            if status == "failed":
                raise Failed("the state could not be saved")
            self.left()
            time.sleep(0.1)

    def console(self):
        try:
            with open(os.path.join(self.work, "console"), encoding="utf-8", errors="replace") as file:
                return file.read()[-2000:]
        except OSError:
            return ""

    def close(self):
        if self.process:
            try:
                self.qmp("quit")
                self.process.wait(10)
            except (Failed, OSError, ValueError, subprocess.TimeoutExpired, AttributeError):
                self.process.kill()
            self.process.wait()
        shutil.rmtree(self.work)


def main():
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(125))
    what, directory, seconds = sys.argv[1], os.path.abspath(sys.argv[2]), float(sys.argv[3])
    machine = None
    began = time.monotonic()
    try:
        if what == "save":
            machine = Machine(directory, seconds)
            machine.boot()
            print(f"vm: booted in {time.monotonic() - began:.1f} s", file=sys.stderr)
            status = machine.run(sys.argv[4])
            if status == 0:
                machine.save(os.path.join(directory, "state.zst"))
                print(f"vm: state saved after {time.monotonic() - began:.1f} s", file=sys.stderr)
        else:
            machine = Machine(directory, seconds, files=sys.argv[4], resume=True)
            machine.resume()
            print(f"vm: resumed in {time.monotonic() - began:.1f} s", file=sys.stderr)
            # The guest slept: its clock stands where the state was saved. Direct: nothing of the disk may be cached.
            ready = f"date -s @{time.time():.3f} >/dev/null; dd if=/dev/vdb bs=1M iflag=direct status=none | tar -C / --no-overwrite-dir -xf -"
            status = machine.run(ready) or machine.run(sys.argv[5])
        return status
    except (Failed, OSError, ValueError) as problem:
        print(f"vm: {problem or type(problem).__name__}", file=sys.stderr)
        if machine and machine.console():
            print(machine.console(), file=sys.stderr)
        return 125
    finally:
        if machine:
            machine.close()


if __name__ == "__main__":
    sys.exit(main())
