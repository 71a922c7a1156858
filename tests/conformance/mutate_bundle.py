# SPDX-License-Identifier: MIT
"""
The mutants of mutate.py that no specification can say, for the backend oci: a `runc` before the real one on the PATH changes
the bundle that it is given.
"""
import json
import os
import shutil
import sys

CAPABILITIES = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID",
                "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"]
MORE = CAPABILITIES + ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_NET_ADMIN", "CAP_SYS_BOOT"]
FUSE = {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666, "uid": 0, "gid": 0}
OPEN = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [{"names": ["reboot"], "action": "SCMP_ACT_ERRNO"}]}


def linux(key, value):
    return lambda bundle: bundle["linux"].__setitem__(key, value)


def mount(source, target):
    return lambda bundle: bundle["mounts"].append(
        {"destination": target, "type": "bind", "source": source, "options": ["rbind", "ro"]})


def options(target, without, more):
    def change(bundle):
        for one in bundle["mounts"]:
            if one["destination"] == target:
                one["options"] = [o for o in one["options"] if o not in without] + more
    return change


def capabilities(names):
    def change(bundle):
        bundle["process"]["capabilities"] = {kind: names for kind in bundle["process"]["capabilities"]}
    return change


def shared(kind, also=lambda bundle: None):
    def change(bundle):
        bundle["linux"]["namespaces"] = [one for one in bundle["linux"]["namespaces"] if one["type"] != kind]
        also(bundle)
    return change


def no_seccomp(bundle):
    del bundle["linux"]["seccomp"]


def device(bundle):
    bundle["linux"]["devices"] = [FUSE]
    bundle["linux"]["resources"]["devices"].append({"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rwm"})


def privileged(bundle):
    capabilities(MORE)(bundle)
    no_seccomp(bundle)
    device(bundle)
    bundle["linux"].update(maskedPaths=[], readonlyPaths=[])


def changes(socket):
    """By the name of the mutant; `socket` stands for an engine's."""
    return {
        "mount of the host": mount("/etc", "/mnt"),
        "socket of the engine": mount(socket, "/run/docker.sock"),
        "flags of /tmp": options("/tmp", ("noexec", "nosuid", "nodev"), ["exec", "suid", "dev"]),
        "flags of /sandbox": options("/sandbox", ("nosuid", "nodev"), ["suid", "dev"]),
        "rootfs": lambda bundle: bundle["root"].__setitem__("readonly", False),
        "more groups": lambda bundle: bundle["process"]["user"].__setitem__("additionalGids", [44]),
        "one capability": capabilities(["CAP_NET_RAW"]),
        "default capabilities": capabilities(CAPABILITIES),
        "no seccomp": no_seccomp,
        "default seccomp": linux("seccomp", OPEN),
        "pid namespace": shared("pid"),
        "ipc namespace": shared("ipc"),
        "uts namespace": shared("uts", lambda bundle: bundle.pop("hostname")),
        "cgroup namespace": shared("cgroup"),
        "net namespace": shared("network"),
        "device": device,
        "privileged": privileged,
        "masked paths": linux("maskedPaths", []),
        "read-only paths": linux("readonlyPaths", []),
    }


class Runtime:
    """A directory for the front of the PATH. `change` is the name of the mutant, or None."""

    def __init__(self, folder, socket):
        self.path = os.path.join(folder, "bin")
        self.word = os.path.join(folder, "mutant")
        os.mkdir(self.path, 0o755)
        real = shutil.which("runc", path=os.environ["PATH"] + ":/usr/local/sbin:/usr/sbin:/sbin")
        script = os.path.join(self.path, "runc")
        with open(script, "w", encoding="utf-8") as file:
            file.write("#!%s -I\nimport sys\nsys.path.insert(0, %r)\nimport mutate_bundle\nmutate_bundle.run(%r, %r, %r)\n"
                       % (os.path.realpath(sys.executable), os.path.dirname(os.path.abspath(__file__)), real, self.word, socket))
        os.chmod(script, 0o755)
        self.set(None)

    def set(self, name):
        with open(self.word, "w", encoding="utf-8") as file:
            file.write(name or "")


def run(real, word, socket):
    """As runc, in its place."""
    with open(word, encoding="utf-8") as file:
        name = file.read()
    if name and "--bundle" in sys.argv:
        path = os.path.join(sys.argv[sys.argv.index("--bundle") + 1], "config.json")
        with open(path, encoding="utf-8") as file:
            bundle = json.load(file)
        changes(socket)[name](bundle)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(bundle, file)
    os.execv(real, [real, *sys.argv[1:]])
