#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
The power of the suite: weakens one thing of the policy at a time and sees who notices.

Each mutant has to be refused before any code runs (attestation: once where the engine's claim is honest, once where the
plugin claims that all is well, so that the measurement inside has to tell), and, where that control may be missing,
turn a case of the suite red that is green without it. Exit status 1 unless all of that holds for every mutant.

    mutate.py [--full] [--json FILE] [MUTANT...]     --full: the whole vector for each mutant, not only who should see it

Environment: DSB_TEST_PROGRAM (build/cli/dsandbox), DSB_TEST_BACKEND, DSB_TEST_ENDPOINT (unix://…), DSB_TEST_IMAGE,
DSB_TEST_SETUP, DSB_TEST_WORK. It runs as the user of the engine. What no specification can say is changed on its way to the
engine, by a proxy in front of its socket; where there is no engine, on its way to the runtime.

Nothing is sent through a network: those mutants are judged by the list of interfaces, and by a listener of the test's own.
"""
import argparse
import ctypes
import json
import os
import re
import resource
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../rig"))
import mutate_bundle  # noqa: E402
from speed import scaled  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.abspath(os.environ.get("DSB_TEST_PROGRAM", os.path.join(TOP, "build/cli/dsandbox")))
BUILD = os.path.dirname(os.path.dirname(PROGRAM))
MUTANT = os.path.join(BUILD, "tests/plugins/libdsandbox-mutant.so")
BACKEND = os.environ["DSB_TEST_BACKEND"]
ENDPOINT = os.environ["DSB_TEST_ENDPOINT"]
SETUP = os.environ.get("DSB_TEST_SETUP", BACKEND)
IMAGE = os.environ.get("DSB_TEST_IMAGE", "dsandbox-sandbox:latest")
INNER = os.path.join(BUILD, "backends", BACKEND, "libdsandbox-%s.so" % BACKEND)
CASES = os.path.join(TOP, "conformance/cases")
LIBPOD = BACKEND == "podman"
BUNDLE = BACKEND == "oci"
OF_BUNDLES = mutate_bundle.changes("")
LIMITS = ("memory", "swap", "cpu", "pids")


class Proxy:
    """In front of an engine's socket; changes the body of container creations."""

    def __init__(self, folder, target):
        self.path, self.target, self.change = os.path.join(folder, "proxy.sock"), target, None
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(self.path)
        self.server.listen(64)
        self.take_limit()
        threading.Thread(target=self.serve, daemon=True).start()

    def take_limit(self):
        """Backends give containers the task limit of the process behind the socket: let ours be the engine's."""
        with socket.socket(socket.AF_UNIX) as engine:
            engine.connect(self.target)
            pid = struct.unpack("3i", engine.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        try:
            with open("/proc/%d/limits" % pid) as limits:
                hard = next(line.split()[3] for line in limits if line.startswith("Max processes"))
        except OSError:
            return
        hard = resource.RLIM_INFINITY if hard == "unlimited" else int(hard)
        mine = resource.getrlimit(resource.RLIMIT_NPROC)
        if mine[1] == resource.RLIM_INFINITY or hard < mine[1]:
            resource.setrlimit(resource.RLIMIT_NPROC, (hard, hard))

    def serve(self):
        while True:
            client = self.server.accept()[0]
            engine = socket.socket(socket.AF_UNIX)
            engine.connect(self.target)
            threading.Thread(target=self.copy, args=(engine, client), daemon=True).start()
            threading.Thread(target=self.requests, args=(client, engine), daemon=True).start()

    @staticmethod
    def copy(source, sink, data=b""):
        try:
            while True:
                if data:
                    sink.sendall(data)
                data = source.recv(65536)
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
        except OSError:
            return

    def requests(self, client, engine):
        data = b""
        try:
            while True:
                while b"\r\n\r\n" not in data:
                    more = client.recv(65536)
                    if not more:
                        engine.shutdown(socket.SHUT_WR)
                        return
                    data += more
                head, data = data.split(b"\r\n\r\n", 1)
                if re.search(rb"(?i)\r\n(upgrade|transfer-encoding):", head):
                    return self.copy(client, engine, head + b"\r\n\r\n" + data)
                length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
                size = int(length.group(1)) if length else 0
                while len(data) < size:
                    data += client.recv(65536)
                body, data = data[:size], data[size:]
                if self.change and re.match(rb"POST [^ ]*/containers/create", head):
                    document = json.loads(body)
                    self.change(document)
                    body = json.dumps(document).encode()
                    head = re.sub(rb"(?i)(\r\ncontent-length: *)\d+", rb"\g<1>%d" % len(body), head)
                engine.sendall(head + b"\r\n\r\n" + body)
        except OSError:
            return


class Mutant:
    """`cases`: who should see it. `control`: who should refuse it, None where no control is about it."""

    def __init__(self, name, control, cases, keys=(), docker=None, libpod=None, policy=None, spec=None, setups=None,
                 held=False, note="", settings=()):
        self.name, self.control, self.cases, self.keys = name, control, cases.split(), keys
        self.change = name if BUNDLE and name in OF_BUNDLES else libpod if LIBPOD else docker
        self.policy, self.spec, self.setups, self.held, self.note = policy, spec, setups, held, note
        self.settings = settings


def host(key, value):
    return lambda body: body["HostConfig"].__setitem__(key, value)


def top(key, value):
    return lambda body: body.__setitem__(key, value)


def both(*changes):
    return lambda body: [change(body) for change in changes]


def docker_seccomp(new):
    def change(body):
        options = [o for o in body["HostConfig"]["SecurityOpt"] if not o.startswith("seccomp=")]
        body["HostConfig"]["SecurityOpt"] = options + new
    return change


def docker_mount(source, target):
    return lambda body: body["HostConfig"].setdefault("Mounts", []).append(
        {"Type": "bind", "Source": source, "Target": target, "ReadOnly": True})


def libpod_mount(source, target):
    return lambda body: body["mounts"].append(
        {"type": "bind", "source": source, "destination": target, "options": ["rbind", "ro"]})


def libpod_tmp(body):
    for mount in body["mounts"]:
        if mount["destination"] == "/tmp":
            mount["options"] = [o for o in mount["options"] if o not in ("noexec", "nosuid", "nodev")] + ["exec"]


def libpod_group(body):
    body["user"] = body["user"].split(":")[0] + ":0"


def libpod_bind_flags(body):
    for mount in body["mounts"]:
        if mount["destination"] == "/sandbox":
            mount["options"] = [o for o in mount["options"] if o not in ("nosuid", "nodev")] + ["suid", "dev"]


MASKED = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
          "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/fs/selinux", "/sys/dev/block"]
READ_ONLY = ["/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
PRIVATE = {"nsmode": "host"}


def mutants(work):
    """Every mutant; `work` has a directory `other` for those that need one."""
    path = os.path.join(work.path, "engine.sock")
    table = [
        Mutant("binds", "volume", "MT-01", keys=["binds"], spec=True),
        Mutant("guest", "volume", "MT-01", spec=True),
        Mutant("hosts", "volume", "MT-01", spec=True),
        Mutant("volume", "volume", "FS-06", spec=True),
        Mutant("same_path", None, "MT-01", keys=["same_path"], settings=["same_path=true"],
               note="asked for in the policy: there is nothing to refuse"),
        Mutant("mount of the host", "volume", "MT-01 NW-12", docker=docker_mount("/etc", "/mnt"), libpod=libpod_mount("/etc", "/mnt")),
        Mutant("socket of the engine", "volume", "MT-01 MT-02 LK-06", docker=docker_mount(path, "/run/docker.sock"),
               libpod=libpod_mount(path, "/run/docker.sock")),
        Mutant("flags of /tmp", "volume", "FS-20", docker=lambda b: b["HostConfig"]["Tmpfs"].__setitem__(
            "/tmp", "rw,exec,suid,dev,size=104857600,mode=1777"), libpod=libpod_tmp),
        Mutant("flags of /sandbox", None, "MT-08 FS-10", libpod=libpod_bind_flags, setups=("podman", "podman-rootless", "oci"),
               note="" if LIBPOD or BUNDLE else "Docker's bind mounts have none"),
        Mutant("tmp", "tmp", "MT-09", keys=["tmp_size"], spec=True),
        Mutant("tmp_exec", "tmp", "FS-20 MT-08", keys=["tmp_exec"], spec=True),
        Mutant("run", "tmp", "FS-21", spec=True),
        Mutant("shm", "shm", "FS-21", keys=["shm_size"], spec=True),
        Mutant("memory", "memory", "LM-01 LM-03", keys=["memory"], spec=True),
        Mutant("swap", "swap", "LM-02", keys=["swap"], spec=True),
        Mutant("cpus", "cpu", "LM-04", keys=["cpus"], spec=True),
        Mutant("pids", "pids", "LM-05 LM-06", keys=["pids"], spec=True),
        Mutant("nofile", "nofile", "US-17", keys=["nofile"], spec=True),
        Mutant("core", "core", "US-17", keys=["core"], spec=True, held=True, note="pid 1 gives the code none in any case"),
        Mutant("fsize", "fsize", "LM-07", keys=["fsize"], spec=True),
        Mutant("user", "user", "US-01", keys=["user"], spec=not LIBPOD, libpod=top("user", "0:0")),
        Mutant("group", "user", "US-01", spec=not LIBPOD, libpod=libpod_group),
        Mutant("more groups", "user", "US-01", docker=host("GroupAdd", ["44"]), libpod=top("groups", ["44"])),
        Mutant("keep_id", None, "FS-06", spec=True, setups=("podman-rootless",),
               note="" if SETUP == "podman-rootless" else "rootful engines map nobody"),
        Mutant("rootfs", "rootfs", "FS-01 MT-08", keys=["rootfs"], spec=not BUNDLE),
        Mutant("one capability", "capabilities", "US-02", docker=host("CapAdd", ["NET_RAW"]), libpod=top("cap_add", ["NET_RAW"])),
        Mutant("default capabilities", "capabilities", "US-02", keys=["capabilities"], docker=host("CapDrop", []),
               libpod=top("cap_drop", [])),
        Mutant("no_new_privs", "no_new_privs", "US-03", keys=["no_new_privs"], spec=True),
        Mutant("seccomp", "seccomp", "SC-04 SC-05 SC-22 MT-04 US-09", keys=["seccomp"], spec=True),
        Mutant("no seccomp", "seccomp", "US-03 SC-04 SC-05", docker=docker_seccomp(["seccomp=unconfined"]),
               libpod=top("seccomp_profile_path", "unconfined")),
        Mutant("default seccomp", "seccomp", "SC MT US IP", docker=docker_seccomp([]), libpod=top("seccomp_profile_path", "")),
        Mutant("pid namespace", "namespaces", "PS-06 PS-07", keys=["namespaces"], docker=host("PidMode", "host"),
               libpod=top("pidns", PRIVATE)),
        Mutant("ipc namespace", "namespaces", "IP-01", docker=host("IpcMode", "host"), libpod=both(top("ipcns", PRIVATE), lambda b: b.pop("shm_size")),
               setups=None if os.path.isdir("/dev/mqueue") else ("docker-api", "docker-cli", "podman", "oci"),
               note="" if os.path.isdir("/dev/mqueue") else "a rootless engine binds the host's /dev/mqueue: there is none"),
        Mutant("uts namespace", "namespaces", "IP-07", docker=both(host("UTSMode", "host"), top("Hostname", "")),
               libpod=both(top("utsns", PRIVATE), lambda b: b.pop("hostname"))),
        Mutant("cgroup namespace", "namespaces", "LM-15", docker=host("CgroupnsMode", "host"), libpod=top("cgroupns", PRIVATE)),
        Mutant("net namespace", "namespaces", "NW-01 NW-09", keys=["network"] if BUNDLE else (),
               docker=both(host("NetworkMode", "host"), top("NetworkDisabled", False), host("Dns", [])), libpod=top("netns", PRIVATE)),
        Mutant("device", "devices", "DV-01 DV-03", keys=["devices"], docker=host("Devices", [
            {"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "rwm"}]),
            libpod=top("devices", [{"path": "/dev/fuse"}])),
        Mutant("privileged", "devices", "DV-01 US-02", docker=host("Privileged", True), libpod=top("privileged", True)),
        Mutant("masked paths", None, "PS-01 PS-02", docker=host("MaskedPaths", []),
               libpod=both(top("mask", []), top("unmask", MASKED)), note="no control of the policy table"),
        Mutant("read-only paths", None, "PS-03", docker=host("ReadonlyPaths", []), libpod=top("unmask", READ_ONLY),
               note="no control of the policy table"),
        Mutant("hostname", None, "IP-07", spec=True, note="no control of the policy table"),
        Mutant("env", None, "LK-04 LK-05", spec=True, note="no control of the policy table"),
        Mutant("runtime", "runtime", "", keys=["runtime"], spec=True, note="nothing inside tells which runtime made it"),
        Mutant("timeout", None, "LM-08", keys=["timeout"], policy=("LM-08", "timeout", "20s")),
        Mutant("grace", None, "LM-09", keys=["grace"], policy=("LM-09", "grace", "20s")),
        Mutant("life_time", None, "LM-10", keys=["life_time"], policy=("LM-10", "life_time", "1h")),
        Mutant("output_limit", None, "LM-11", keys=["output_limit"], policy=("LM-11", "output_limit", "1MiB")),
        Mutant("results_limit", None, "", keys=["results_limit"]),
        Mutant("output_overflow", None, "LM-12", keys=["output_overflow"], policy=("LM-12", "output_overflow", "truncate")),
        Mutant("disk", None, "LM-13", keys=["disk"], policy=("LM-13", "disk", "1GiB")),
        Mutant("disk_inodes", None, "LM-14", keys=["disk_inodes"], policy=("LM-14", "disk_inodes", "100000")),
        Mutant("preload", None, "", keys=["preload"]),
        Mutant("start_timeout", None, "", keys=["start_timeout"]),
        Mutant("idle_timeout", None, "", keys=["idle_timeout"]),
    ]
    if not LIBPOD:
        table.append(Mutant("network", "network", "NW-01", keys=[] if BUNDLE else ["network"], spec=True,
                            setups=("docker-api", "docker-cli") if BUNDLE else None,
                            note="it has no network to give but the machine's: see net namespace" if BUNDLE else ""))
    else:
        other = {"nsmode": "path", "value": "/proc/%d/ns/net" % work.netns.pid} if work.netns else {"nsmode": "host"}
        table.append(Mutant("network", "network", "NW-01", keys=["network"], libpod=top("netns", other)))
    return table


class Work:
    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="dsb-mutate.", dir=os.environ.get("DSB_TEST_WORK") or "/tmp")
        os.chmod(self.path, 0o755)
        self.other = self.dir("other", 0o777)
        self.base = self.dir("base", 0o700)
        self.run = self.dir("run", 0o700)
        self.stand_in = socket.socket(socket.AF_UNIX)
        self.stand_in.bind(os.path.join(self.path, "engine.sock"))
        self.proxy = None if BUNDLE else Proxy(self.path, ENDPOINT.replace("unix://", ""))
        self.runtime = mutate_bundle.Runtime(self.path, os.path.join(self.path, "engine.sock")) if BUNDLE else None
        self.count, self.cache, self.netns = 0, {}, None
        # A rootful Podman would change the host's bridge and packet filter: it gets a namespace that is ours.
        if LIBPOD and os.getuid() == 0:
            self.netns = subprocess.Popen(["unshare", "--net", "sh", "-c", "ip link add dsb0 type veth peer name dsb1 && echo made && exec sleep 3600"],
                                          stdout=subprocess.PIPE)
            if self.netns.stdout.readline() != b"made\n":
                sys.exit("mutate.py: no network namespace with an interface of ours")

    def dir(self, name, mode):
        path = os.path.join(self.path, name)
        os.mkdir(path)
        os.chmod(path, mode)
        return path

    def close(self):
        if self.netns:
            self.netns.kill()
            self.netns.wait()
        shutil.rmtree(self.path, ignore_errors=True)

    def environment(self, **more):
        path = os.environ["PATH"]
        env = {"PATH": self.runtime.path + ":" + path if self.runtime else path, "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8",
               "DSB_TEST_INNER": INNER, "DSB_TEST_OTHER": self.other,
               "XDG_RUNTIME_DIR": os.environ.get("XDG_RUNTIME_DIR", self.run)}
        env.update({name: value for name, value in more.items() if value})
        return env

    def program(self, argv, env):
        return subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)

    def through(self, mutant):
        """The endpoint, with the proxy doing its part, or the runtime."""
        if self.runtime:
            self.runtime.set(mutant.change if mutant else None)
            return ENDPOINT
        self.proxy.change = mutant.change if mutant else None
        return "unix://" + self.proxy.path if mutant and mutant.change else ENDPOINT

    def attest(self, mutant, claim, allow):
        """One run: (status, refused controls, message), and whether the code ran all the same."""
        endpoint = self.through(mutant)
        self.count += 1
        session = "m%d" % self.count
        policy = os.path.join(self.path, "policy.json")
        with open(policy, "w", encoding="utf-8") as file:
            json.dump({"runtime": RUNTIME} if mutant.name == "runtime" else {}, file)
        env = self.environment(DSB_TEST_MUTATE=mutant.name if mutant.spec else "", DSB_TEST_CLAIM="1" if claim else "")
        argv = [PROGRAM, "run", "--plugin", MUTANT, "--host", endpoint, "--image", IMAGE, "--no-service", "--json", "--base-dir",
                self.base, "--session", session, "--policy", policy]
        if allow:
            argv.append("--allow-unenforced=" + ",".join(allow))
        done = self.program(argv + ["-c", "open('/sandbox/ran', 'w')"], env)
        result = json.loads(done.stdout)
        refused = [row["name"] for row in (result.get("policy") or {}).get("controls", []) if row["verdict"] == "refused"]
        ran = any(os.path.exists(os.path.join(place, "ran")) for place in (os.path.join(self.base, session), self.other))
        message = (result.get("failure") or {}).get("message", "") if isinstance(result.get("failure"), dict) else str(result.get("failure"))
        return {"status": result["status"], "refused": refused, "ran": ran, "message": message}

    def vector(self, mutant, cases, allow):
        """The suite: id -> (verdict, observed)."""
        endpoint = self.through(mutant)
        folder, names = CASES, set(allow)
        if mutant and mutant.policy:
            folder = self.weaker_cases(*mutant.policy)
        if mutant and mutant.control:
            names.add(mutant.control)
        names.update(BRINGS.get(mutant.name, ()) if mutant else ())
        argv = [PROGRAM, "conformance", "--plugin", MUTANT, "--host", endpoint, "--image", IMAGE, "--json", "--setup", SETUP,
                "--cases", folder, "--case", ",".join(cases), "--waivers", os.path.join(TOP, "conformance/waivers.json")]
        argv += [word for setting in (mutant.settings if mutant else ()) for word in ("--set", setting)]
        argv += ["--allow-unenforced", ",".join(sorted(names)), "--every-case"] if names else []
        done = self.program(argv, self.environment(DSB_TEST_MUTATE=mutant.name if mutant and mutant.spec else ""))
        try:
            return {row["id"]: (row["verdict"], row["observed"]) for row in json.loads(done.stdout)["cases"]}
        except ValueError:
            sys.exit("mutate.py: %s\n%s" % (argv, done.stderr.decode("utf-8", "replace")))

    def weaker_cases(self, case, key, value):
        folder = os.path.join(self.path, "cases-" + key)
        shutil.copytree(CASES, folder)
        path = os.path.join(folder, case[:2].lower() + ".py")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        changed, number = re.subn(r"(#: case %s .*?#: policy %s=)[^\n]*" % (case, key), r"\g<1>" + value, text, count=1, flags=re.S)
        assert number == 1, (case, key)
        with open(path, "w", encoding="utf-8") as file:
            file.write(changed)
        return folder


# Another name for the same one; where there is no second one, the refusal is for the runtime as well.
RUNTIME = "crun" if LIBPOD or BUNDLE else "io.containerd.runc.v2"


def start_timeout(work, value):
    """A container that takes two seconds to start: does the run end before? True: the limit held."""
    policy = os.path.join(work.path, "policy.json")
    with open(policy, "w", encoding="utf-8") as file:
        json.dump({"start_timeout": value}, file)
    argv = [PROGRAM, "run", "--plugin", MUTANT, "--host", work.through(None), "--image", IMAGE, "--no-service", "--json",
            "--base-dir", work.base, "--policy", policy, *ALLOW, "-c", "pass"]
    done = work.program(argv, work.environment(DSB_TEST_MUTATE="slow"))
    return json.loads(done.stdout)["status"] != "ok"


class Options(ctypes.Structure):
    """struct dsb_run_options"""
    _fields_ = [("struct_size", ctypes.c_uint32), ("init", ctypes.c_uint32)] + [(name, ctypes.c_char_p) for name in (
        "backend", "plugin_path", "endpoint", "base_dir", "session", "image")] + [
        ("allow_unenforced", ctypes.c_uint64), ("engine_timeout_ms", ctypes.c_uint32), ("cancel_fd", ctypes.c_int),
        ("log", ctypes.c_void_p), ("output", ctypes.c_void_p), ("data", ctypes.c_void_p),
        ("checkpoint", ctypes.c_int), ("lost_reason", ctypes.c_char_p)]


def idle_timeout(work, value):
    """A session that nobody uses for longer: is it gone? True: the limit held."""
    code = ("import ctypes, sys, time; sys.path.insert(0, %r); import mutate; sys.exit(mutate.idle_child(%r, %r))"
            % (os.path.dirname(os.path.abspath(__file__)), work.base, value))
    env = work.environment(**{name: os.environ[name] for name in os.environ if name.startswith("DSB_TEST_")},
                           DSB_MUTATE_ALLOW=",".join(ALLOW).replace("--allow-unenforced=", ""))
    return work.program([sys.executable, "-c", code], env).returncode == 10


def idle_child(base, value):
    """In a process of its own: 10 the session ended by itself, 11 it lives, else trouble."""
    library = ctypes.CDLL(os.path.join(BUILD, "core/libdsandbox.so"))
    for name in ("dsb_policy_new", "dsb_session_open"):
        getattr(library, name).restype = ctypes.c_void_p
    policy = ctypes.c_void_p(library.dsb_policy_new())
    assert library.dsb_policy_set(policy, b"idle_timeout", value.encode(), b"test", None)
    allow = ctypes.c_uint64(0)
    names = os.environ.get("DSB_MUTATE_ALLOW", "")
    assert not names or library.dsb_controls_parse(names.encode(), ctypes.byref(allow), None)
    options = Options(struct_size=ctypes.sizeof(Options), init=0x64736221, plugin_path=MUTANT.encode(),
                      endpoint=ENDPOINT.encode(), base_dir=base.encode(), session=b"idle", image=IMAGE.encode(), allow_unenforced=allow.value,
                      cancel_fd=-2)
    failure = ctypes.c_void_p()
    session = library.dsb_session_open(policy, ctypes.byref(options), ctypes.byref(failure))
    if not session:
        return 1
    until = time.monotonic() + scaled(5)
    while (alive := library.dsb_session_alive(ctypes.c_void_p(session))) and time.monotonic() < until:
        time.sleep(0.1)
    library.dsb_session_close(ctypes.c_void_p(session))
    return 11 if alive else 10


# Controls that go with the one that is weakened.
BRINGS = {"rootfs": ("volume",), "user": ("volume",), "keep_id": ("volume",), "network": ("namespaces", "volume"), "device": ("volume",),
          "privileged": ("capabilities", "seccomp", "volume", "rootfs", "no_new_privs"), "memory": ("swap",), "no_new_privs": ("seccomp",),
          "flags of /tmp": ("tmp",), "ipc namespace": ("shm", "volume"), "net namespace": ("network", "volume")}
if BUNDLE:
    BRINGS["flags of /sandbox"] = ("volume",)  # what the kernel says of the mount is part of this backend's claim
SPECIAL = {"start_timeout": (start_timeout, "1s", "60s"), "idle_timeout": (idle_timeout, "1s", "15m")}
ALLOW = []


def judge(work, mutant, baseline, allow, full, everything):
    row = {"mutant": mutant.name, "keys": mutant.keys, "control": mutant.control, "note": mutant.note,
           "claim": None, "inside": None, "cases": [], "problem": None, "message": None}
    if mutant.name in SPECIAL:
        check, strict, weak = SPECIAL[mutant.name]
        good, bad = check(work, strict), check(work, weak)
        row["cases"] = ["run with " + mutant.name] if good and not bad else []
        if not row["cases"]:
            row["problem"] = "survived: with %s it %s, with %s it %s" % (strict, "held" if good else "did not", weak,
                                                                         "held" if bad else "did not")
        return row
    if mutant.control:
        rest = [name for name in allow if name != mutant.control]
        row["claim"] = work.attest(mutant, False, rest)
        row["message"] = row["claim"]["message"]
        if mutant.name != "runtime":
            row["inside"] = work.attest(mutant, True, rest)
        names = {mutant.control, *BRINGS.get(mutant.name, ())}
        if mutant.name == "no_new_privs":
            names = {mutant.control}  # the profile is open as well, only so that the container starts
        for layer in ("claim", "inside"):
            found = row[layer]
            if found and (found["status"] != "refused" or not names & set(found["refused"]) or found["ran"] or
                          not any(name + ":" in found["message"] for name in names)):
                row["problem"] = "not refused by the %s: %s" % (layer, json.dumps(found))
    if mutant.cases:
        # Nothing but the cases that should see it where there is a network.
        wide = full and mutant.name not in ("network", "net namespace")
        asked = everything if wide else [case for case in everything if case in mutant.cases or case[:2] in mutant.cases]
        seen = work.vector(mutant, asked, allow)
        # A sandbox that did not come up shows nothing.
        row["cases"] = sorted(case for case, (verdict, answer) in seen.items() if verdict == "fail" and
                              not (answer or "").startswith("no answer: ") and baseline.get(case, ("",))[0] == "pass")
        if seen and all((answer or "").startswith("no answer: ") for _, answer in seen.values()):
            row["problem"] = "no sandbox came up: " + list(seen.values())[0][1][:300]
        elif mutant.held and row["cases"]:
            row["problem"] = "seen, and should not reach the code"
        elif not mutant.held and not row["cases"]:
            row["problem"] = "survived: no case is red: %s" % json.dumps(seen)[:400]
    return row


def print_row(row):
    def word(found):
        return "-" if found is None else "refused" if found["status"] == "refused" and not found["ran"] else "MISSED"
    cases = " ".join(row["cases"][:12]) + (" and %d more" % (len(row["cases"]) - 12) if len(row["cases"]) > 12 else "")
    print("%-22s %-13s %-8s %-8s %s%s" % (row["mutant"], row["control"] or "-", word(row["claim"]), word(row["inside"]),
                                          cases or "-", "   (%s)" % row["note"] if row["note"] else ""))
    if row["problem"]:
        print("    PROBLEM: " + row["problem"])
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("mutants", nargs="*")
    opt = parser.parse_args()
    begin = time.monotonic()
    os.environ.setdefault("DSBX_CANARY", "DSBXCANARY-of-the-backend")
    work = Work()
    try:
        return run(work, opt, begin)
    finally:
        work.close()


def run(work, opt, begin):
    listed = work.program([PROGRAM, "conformance", "--list", "--cases", CASES], work.environment()).stdout.decode().splitlines()
    everything = [line.split()[0] for line in listed if "left out:" not in line]
    # What this engine cannot do here has no mutants: it is missing already, and the policy says so.
    probe = Mutant("nothing", None, "")
    lacking = [name for name in work.attest(probe, False, [])["refused"]]
    if set(lacking) - set(LIMITS):
        sys.exit("mutate.py: no sandbox without mutation: %s" % lacking)
    ALLOW.extend(["--allow-unenforced=" + ",".join(lacking)] if lacking else [])
    table = [m for m in mutants(work) if not opt.mutants or m.name in opt.mutants]
    needed = sorted({case for m in table for word in m.cases for case in everything if case == word or case[:2] == word})
    baseline = work.vector(None, everything if opt.full else needed, lacking) if needed else {}
    keys = json.loads(work.program([PROGRAM, "policy", "show", "--json"], work.environment()).stdout)["keys"]
    rows, left = [], []
    print("%-22s %-13s %-8s %-8s %s" % ("mutant", "control", "claim", "inside", "cases that turn red"))
    for mutant in table:
        if mutant.setups and SETUP not in mutant.setups:
            left.append((mutant, mutant.note))
        elif mutant.control in lacking:
            left.append((mutant, "this engine cannot limit it here, and is refused for that"))
        else:
            rows.append(judge(work, mutant, baseline, lacking, opt.full, everything))
            print_row(rows[-1])
    for mutant, why in left:
        print("%-22s left out: %s" % (mutant.name, why))
    uncovered = sorted(set(keys) - {key for m in mutants(work) for key in m.keys}) if not opt.mutants else []
    survivors = [row["mutant"] for row in rows if row["problem"]]
    covered = {key for row in rows if not row["problem"] for key in row["keys"]}
    tried = {key for row in rows for key in row["keys"]}
    summary = {"setup": SETUP, "mutants": len(rows), "killed": len(rows) - len(survivors), "survivors": survivors,
               "refused_by_attestation": sum(row["claim"] is not None and not row["problem"] for row in rows),
               "seen_by_cases": sum(bool(row["cases"]) for row in rows), "policy_keys": len(keys), "keys_tried": len(tried),
               "keys_killed": len(covered), "keys_uncovered": uncovered, "left_out": [m.name for m, _ in left],
               "score": round(100.0 * (len(rows) - len(survivors)) / len(rows), 1) if rows else 0,
               "seconds": round(time.monotonic() - begin, 1)}
    if opt.json:
        with open(opt.json, "w", encoding="utf-8") as file:
            json.dump({"schema": "dsandbox.mutation/1", "summary": summary, "rows": rows}, file, indent=1)
    print("%(setup)s: mutation score %(score)s %%: %(killed)d of %(mutants)d mutants, %(keys_killed)d of %(keys_tried)d policy keys "
          "(of %(policy_keys)d), %(refused_by_attestation)d by attestation, %(seen_by_cases)d by cases, %(seconds)s s" % summary)
    if uncovered:
        print("policy keys without a mutant: " + " ".join(uncovered))
    print("%d passed, %d failed, %d skipped" % (len(rows) - len(survivors), len(survivors) + len(uncovered), len(left)))
    return 0 if rows and not survivors and not uncovered else 1


if __name__ == "__main__":
    sys.exit(main())
