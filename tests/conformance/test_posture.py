#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
A live sandbox seen from the host, where what the code says does not matter: identity, capabilities, namespaces, mounts,
limits, control groups, descriptors, environment of each of its processes (EQ-01); what Docker states about the
containers of its two backends (EQ-06); what is left on the host after the suite (EQ-07).
Root only, since other users' processes are looked at. Environment and last line as in tests/cli/cli_harness.py.
"""
import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
import unittest
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "cli")]
import cli_harness  # noqa: E402
import oci_engine  # noqa: E402
import writers  # noqa: E402
from cli_harness import BACKEND, ENDPOINT, PROGRAM, SETUP, EngineCase, command, environment, scaled, wait_until  # noqa: E402

DOCKER = BACKEND.startswith("docker")
ROOTLESS = SETUP == "podman-rootless"
NAMESPACES = ("pid", "ipc", "uts", "net", "mnt", "cgroup")
ROOT_ONLY = unittest.skipUnless(os.getuid() == 0, "needs root to look at other users' processes")
CANARY = "DSBXCANARY-posture-of-the-host"
# What every sandbox has. `flags` of binds that Docker cannot set are waived below.
MOUNTS = {
    "/": {"ro"}, "/proc": {"nosuid", "nodev", "noexec"}, "/sys": {"ro", "nosuid", "nodev", "noexec"}, "/dev": {"nosuid"},
    "/dev/pts": {"nosuid", "noexec"}, "/dev/mqueue": {"nosuid", "nodev", "noexec"}, "/dev/shm": {"nosuid", "nodev", "noexec"},
    "/sandbox": {"rw", "nosuid", "nodev"}, "/opt/dsandbox": {"ro", "nosuid", "nodev"}, "/etc/hosts": {"ro", "nosuid", "nodev"},
    "/etc/hostname": {"ro", "nosuid", "nodev"}, "/etc/resolv.conf": {"ro", "nosuid", "nodev"},
    "/tmp": {"rw", "nosuid", "nodev", "noexec"}, "/run": {"rw", "nosuid", "nodev", "noexec"},
    "/var/tmp": {"rw", "nosuid", "nodev", "noexec"},
}
WAIVED_FLAGS = {(target, flag) for target in ("/sandbox", "/opt/dsandbox", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf") for flag in ("nosuid", "nodev")} if DOCKER else set()
# Made by the engine, small, read-only; and masks below these.
MAY = {"/run/.containerenv", "/sys/fs/cgroup"}
BELOW = ("/proc/", "/sys/", "/dev/")


def read(path):
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def status(pid):
    return {key: value.split() for key, value in (line.split(":", 1) for line in read("/proc/%d/status" % pid).splitlines())}


def namespace(pid, name):
    return os.stat("/proc/%s/ns/%s" % (pid, name)).st_ino


def processes_with(text):
    """Processes whose mount table has `text`, but for those in our own mount namespace."""
    found, ours = [], os.stat("/proc/self/ns/mnt").st_ino
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and namespace(name, "mnt") != ours and text in read("/proc/%s/mountinfo" % name):
                found.append(int(name))
        except OSError:
            continue
    return sorted(found)


class Sandbox:
    """A run that lasts until it is closed; `pids` are those of its pid namespace, the first is its process 1."""

    def __init__(self, allow, backend=BACKEND, name="posture"):
        options = ["--allow-unenforced=" + ",".join(allow)] if allow else []
        argv, env = command(["--backend", backend, "run", "--no-service", "--json", "--base-dir", cli_harness.WORK.base, "--session", name,
                             "--timeout", "1h", "--stdin", "-", *options, "-c", "open('/sandbox/ready', 'w').close(); input()"], environment(DSBX_CANARY=CANARY))
        self.directory = os.path.join(cli_harness.WORK.base, name)
        self.process = subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/")
        end = time.monotonic() + scaled(30)
        self.pids = []
        while len(self.pids) < 2 and time.monotonic() < end and self.process.poll() is None:
            time.sleep(0.1)
            if not os.path.exists(os.path.join(self.directory, "ready")):
                continue
            inside = [pid for pid in processes_with(self.directory + " /sandbox ") if len(self.nspid(pid)) > 1 or ROOTLESS]
            first = [pid for pid in inside if self.nspid(pid)[-1:] == ["1"] and self.name(pid) == "dsb-init"]
            if len(first) == 1:
                spaces = namespace(first[0], "pid")
                self.pids = first + [pid for pid in inside if pid != first[0] and namespace(pid, "pid") == spaces]

    @staticmethod
    def nspid(pid):
        try:
            return status(pid).get("NSpid", [])
        except OSError:
            return []

    @staticmethod
    def name(pid):
        try:
            return read("/proc/%d/comm" % pid).strip()
        except OSError:
            return ""

    def close(self):
        out, err = self.process.communicate(b"\n", timeout=60)
        return json.loads(out), err

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.communicate(b"\n", timeout=60)


@ROOT_ONLY
class Posture(EngineCase):
    """EQ-01. One sandbox for all tests."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.box = Sandbox(cls.allow)
        if len(cls.box.pids) < 2:
            cls.box.__exit__()
            raise AssertionError("no sandbox with code in it: %s, %s" % (cls.box.pids, cls.box.process.poll()))

    @classmethod
    def tearDownClass(cls):
        result, err = cls.box.close()
        if result["status"] != "ok":
            raise AssertionError((result, err))

    def test_identity(self):
        owner = os.stat(self.box.directory)
        self.assertNotEqual(owner.st_uid, 0)
        for pid in self.box.pids:
            facts = status(pid)
            self.assertEqual(set(facts["Uid"]), {str(owner.st_uid)}, "the owner of the session's files")
            self.assertNotIn("0", facts["Gid"])
            self.assertEqual(len(set(facts["Gid"])), 1)
            self.assertLessEqual(set(facts["Groups"]), set(facts["Gid"]))

    def test_privileges(self):
        for pid in self.box.pids:
            facts = status(pid)
            for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                self.assertEqual(int(facts[name][0], 16), 0, name)
            self.assertEqual((facts["NoNewPrivs"], facts["Seccomp"]), (["1"], ["2"]))

    def test_namespaces(self):
        for pid in self.box.pids:
            shared = [name for name in NAMESPACES if namespace(pid, name) == namespace("self", name)]
            self.assertEqual(shared, [])
            self.assertEqual([namespace(pid, name) for name in NAMESPACES], [namespace(self.box.pids[0], name) for name in NAMESPACES])
            self.assertEqual(namespace(pid, "user") != namespace("self", "user"), ROOTLESS)

    def test_user_map(self):
        rows = [[int(word) for word in line.split()] for line in read("/proc/%d/uid_map" % self.box.pids[0]).splitlines()]
        if not ROOTLESS:
            self.assertEqual(rows, [[0, 0, 4294967295]])
            return
        self.assertNotIn(0, [outside for _, outside, _ in rows], "nobody inside is the host's root")
        own = os.stat(self.box.directory).st_uid
        self.assertEqual([inside for inside, outside, count in rows if outside <= own < outside + count and count == 1], [1000])

    def test_mounts(self):
        rows = {}
        for line in read("/proc/%d/mountinfo" % self.box.pids[0]).splitlines():
            left, right = line.split(" - ", 1)
            words = left.split()
            rows[words[4]] = (words[3], set(words[5].split(",")), words[6:], right.split()[0])
        foreign = [target for target in rows if target not in MOUNTS and target not in MAY and not target.startswith(BELOW)]
        self.assertEqual(foreign, [])
        lacking = [(target, flag) for target, flags in MOUNTS.items() for flag in flags if target not in rows or flag not in rows[target][1]]
        self.assertEqual([pair for pair in lacking if pair not in WAIVED_FLAGS], [])
        self.assertLessEqual(WAIVED_FLAGS, set(lacking), "a waiver that is not needed any more")
        # Version 1 has a tmpfs of root's for the controllers' mounts, which are read-only themselves.
        self.assertEqual([t for t, row in rows.items() if (t in MAY and "ro" not in row[1] and (t, row[3]) != ("/sys/fs/cgroup", "tmpfs")) or
                          (row[3].startswith("cgroup") and "ro" not in row[1])], [])
        self.assertEqual([t for t, row in rows.items() if any(tag.startswith("shared:") for tag in row[2])], [], "propagation to the host")
        self.assertTrue(rows["/sandbox"][0].endswith(self.box.directory) or self.box.directory.endswith(rows["/sandbox"][0]))

    def test_limits(self):
        for pid in self.box.pids:
            limits = {line[:25].strip(): line[26:].split()[:2] for line in read("/proc/%d/limits" % pid).splitlines()[1:]}
            self.assertEqual(limits["Max open files"], ["1024", "1024"])
            self.assertEqual(limits["Max core file size"], ["0", "0"])
            self.assertEqual(limits["Max file size"], [str(1 << 30)] * 2)

    def test_control_group(self):
        if os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
            path = "/sys/fs/cgroup" + read("/proc/%d/cgroup" % self.box.pids[0]).strip().split("::", 1)[1]
            found = {"memory": read(path + "/memory.max").strip(), "swap": read(path + "/memory.swap.max").strip(),
                     "cpu": read(path + "/cpu.max").strip(), "pids": read(path + "/pids.max").strip()}
        else:
            groups = {name: line.split(":", 2)[2] for line in read("/proc/%d/cgroup" % self.box.pids[0]).splitlines()
                      for name in line.split(":", 2)[1].split(",")}
            def value(controller, name):
                return read("/sys/fs/cgroup/%s%s/%s" % (controller, groups[controller], name)).strip()
            found = {name: "" for name in ("memory", "swap", "cpu", "pids") if name in self.allow}
            if not self.allow:
                found = {"memory": value("memory", "memory.limit_in_bytes"), "pids": value("pids", "pids.max"),
                         "swap": str(int(value("memory", "memory.memsw.limit_in_bytes")) - int(value("memory", "memory.limit_in_bytes"))),
                         "cpu": "%s %s" % (value("cpu", "cpu.cfs_quota_us"), value("cpu", "cpu.cfs_period_us"))}
        expected = {"memory": str(512 << 20), "swap": "0", "cpu": "100000 100000", "pids": "128"}
        self.assertEqual(found, {**expected, **{name: found[name] for name in self.allow}})

    def test_descriptors(self):
        for pid in self.box.pids:
            kinds = set()
            for number in os.listdir("/proc/%d/fd" % pid):
                with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                    target = os.readlink("/proc/%d/fd/%s" % (pid, number))
                    kinds.add(target.split(":")[0] if not target.startswith("/") else target)
            self.assertTrue(kinds)
            files = {kind for kind in kinds if kind.startswith("/") and not kind.startswith(("/sys/fs/cgroup/", "/memfd:"))}
            self.assertLessEqual(files, {"/dev/null"})
            self.assertLessEqual(kinds - files, {"pipe", "socket", "anon_inode"} | {k for k in kinds if k.startswith(("/sys/fs/cgroup/", "/memfd:"))})

    def test_environment(self):
        for pid in self.box.pids:
            text = read("/proc/%d/environ" % pid)
            self.assertNotIn(CANARY, text)
            names = {pair.split("=", 1)[0] for pair in text.split("\0") if pair}
            self.assertLessEqual(names, {"HOME", "HOSTNAME", "LANG", "LC_ALL", "LOGNAME", "MKL_NUM_THREADS", "MPLBACKEND", "MPLCONFIGDIR", "OMP_NUM_THREADS",
                                         "OPENBLAS_NUM_THREADS", "PATH", "PYTHONDONTWRITEBYTECODE", "TMPDIR", "USER", "container", "TERM"})

    def test_oom_score(self):
        # The code goes first, process 1 tells about it; a host's process is at 0.
        scores = {Sandbox.name(pid): int(read("/proc/%d/oom_score_adj" % pid)) for pid in self.box.pids}
        self.assertEqual(scores.pop("dsb-init"), 500)
        self.assertTrue(scores and min(scores.values()) >= 500, scores)


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("engine", timeout=scaled(20))
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def engine_json(path):
    connection = Unix(ENDPOINT.replace("unix://", ""))
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def flat(value, prefix=""):
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from flat(item, prefix + "." + key)
    else:
        yield prefix, json.dumps(value, sort_keys=True) if value not in (None, [], {}, "", False, 0) else "none"


@unittest.skipUnless(DOCKER, "compares the two backends of Docker")
class Inspect(EngineCase):
    """EQ-06"""

    # Where the two differ, and why.
    KNOWN = {
        ".Config.NetworkDisabled": "the API makes the namespace without the daemon's hook; the program has no word for it",
        ".HostConfig.Dns": "keeps the host's resolv.conf out where the daemon writes one",
        ".HostConfig.DnsSearch": "the same",
        ".HostConfig.MaskedPaths": "the program cannot mask paths (waiver PS-01)",
        ".HostConfig.Mounts": "the program cannot say NonRecursive",
    }
    OWN = (".Config.Hostname", ".Config.Labels.dsandbox.deadline", ".Config.Labels.dsandbox.owner", ".Config.Labels.dsandbox.session", ".HostConfig.ContainerIDFile")

    def state(self, backend):
        with Sandbox(self.allow, backend, "inspect-" + backend) as box:
            owner = os.stat(box.directory).st_uid
            rows = self.found(backend)
            self.assertEqual(len(rows), 1)
            whole = engine_json("/containers/%s/json" % rows[0]["Id"])
        both = {"Config": whole["Config"], "HostConfig": whole["HostConfig"]}
        for mount in both["HostConfig"]["Mounts"] or []:
            mount["Source"] = mount["Source"].replace("inspect-" + backend, "inspect")
        # Each has a user of its own.
        self.assertEqual(both["Config"]["User"], f"{owner}:{owner}")
        both["Config"]["User"] = "its own"
        options = both["HostConfig"]["SecurityOpt"]
        profile = next(option for option in options if option.startswith("seccomp="))
        both["HostConfig"]["SecurityOpt"] = sorted(set(options) - {profile})
        # The program rewrites the text; what it says is the same.
        both["HostConfig"]["Profile"] = json.dumps(self.plain(json.loads(profile[len("seccomp="):])), sort_keys=True)
        both["Config"]["Env"].sort()
        both["HostConfig"]["Ulimits"].sort(key=lambda row: row["Name"])
        return dict(flat(both))

    @classmethod
    def plain(cls, value):
        if isinstance(value, dict):
            return {key: cls.plain(item) for key, item in value.items() if item not in (None, [], {}, "", 0)}
        return [cls.plain(item) for item in value] if isinstance(value, list) else value

    @staticmethod
    def found(backend):
        return engine_json("/containers/json?filters=" + urllib.parse.quote(json.dumps({"label": ["dsandbox.session=inspect-" + backend]})))

    @ROOT_ONLY
    def test_both_backends(self):
        api, program = self.state("docker-api"), self.state("docker-cli")
        different = {key: (api.get(key, "none"), program.get(key, "none")) for key in sorted(set(api) | set(program))
                     if api.get(key, "none") != program.get(key, "none") and key not in self.OWN}
        self.assertEqual({key: pair for key, pair in different.items() if key not in self.KNOWN}, {})


@ROOT_ONLY
class Witness(EngineCase):
    """EQ-07. Engines and machine may be shared: only what can be told to be ours, and what nobody should touch."""
    suite = None

    def snapshot(self):
        base = cli_harness.WORK.base
        etc = {}
        for folder, _, files in os.walk("/etc"):
            for name in files:
                with contextlib.suppress(FileNotFoundError):  # gone meanwhile
                    info = os.lstat(os.path.join(folder, name))
                    etc[os.path.join(folder, name)] = (info.st_mtime_ns, info.st_size, info.st_uid, info.st_mode)
        return {
            "mounts": [line for line in read("/proc/self/mountinfo").splitlines() if base in line],
            "processes": processes_with(base),
            "sessions": sorted(os.listdir(base)),
            "etc": etc,
        }

    @staticmethod
    def named_namespaces():
        """Of networks: Podman's, with which others may work, too."""
        return set(os.listdir("/run/netns")) if BACKEND == "podman" and os.path.isdir("/run/netns") else set()

    def is_ours(self, pid, line):
        """The suite itself, this set-up's engine, and what stands for a container of it."""
        place = os.path.dirname(os.path.dirname(ENDPOINT.replace("unix://", "")))
        return (self.suite and pid == self.suite.pid) or cli_harness.WORK.path in line or place in line

    def containers(self):
        """Of the suite's sessions, whose names begin like this, in the engine's own words."""
        if BACKEND == "oci":
            return [name for name, record in oci_engine.records(cli_harness.WORK.path).items() if record["session"].startswith("dsbx-")]
        path = "/v4.0.0/libpod/containers/json?all=true" if BACKEND == "podman" else "/containers/json?all=true"
        rows = [row for row in engine_json(path) or [] if (row.get("Labels") or {}).get("dsandbox.session", "").startswith("dsbx-")
                and any(cli_harness.WORK.base in json.dumps(mount) for mount in row.get("Mounts") or [])]
        return [row["Id"] for row in rows if cli_harness.is_known(row)]

    def cgroups(self, ids):
        return [path for path, _, _ in os.walk("/sys/fs/cgroup") if any(name in path for name in ids)]

    @staticmethod
    def lives(pid):
        """One that has ended and waits for the machine's first process has no mounts any more."""
        try:
            return cli_harness.WORK.base in read("/proc/%d/mountinfo" % pid)
        except OSError:
            return False

    def test_after_the_suite(self):
        before, named = self.snapshot(), self.named_namespaces()
        of_etc = writers.Writers("/etc", self.is_ours)
        argv = [PROGRAM, "conformance", "--backend", BACKEND, "--host", ENDPOINT, "--base-dir", cli_harness.WORK.base, "--setup", SETUP, "--json"]
        if self.allow:
            argv += ["--allow-unenforced", ",".join(self.allow)]
        env = environment()
        if cli_harness.AS:
            argv = [cli_harness.AS, *argv]
        suite = self.suite = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
        seen, ids = set(), set()
        while suite.poll() is None:
            seen.update(processes_with(cli_harness.WORK.base + "/dsbx-"))
            for pid in seen:
                try:
                    ids.update(word for word in read("/proc/%d/cgroup" % pid).replace("-", "/").replace(".", "/").split("/") if len(word.strip()) in (64, 26))  # or dsb- and so many
                except OSError:
                    pass
            time.sleep(0.2)
        self.assertGreater(len(seen), 5, "the witness saw the sandboxes while they lived")
        self.assertIn(suite.returncode, (0, 1))
        self.assertTrue(wait_until(lambda: not self.containers(), 15), self.containers())
        # An engine has removed a container a little before the kernel has ended all of it.
        self.assertTrue(wait_until(lambda: not any(map(self.lives, seen)), 15), [pid for pid in seen if self.lives(pid)])
        self.assertTrue(wait_until(lambda: not self.cgroups(ids), 15), self.cgroups(ids))
        # Another's goes with his container; one of the suite's, whose containers are gone, would stay.
        came = self.named_namespaces() - named
        self.assertTrue(wait_until(lambda: not came & self.named_namespaces(), 60), came & self.named_namespaces())
        after = self.snapshot()
        etc, now = before.pop("etc"), after.pop("etc")
        changed = {path: (etc.get(path), now.get(path)) for path in etc.keys() | now.keys() if etc.get(path) != now.get(path)}
        wait_until(lambda: all(map(of_etc.of_others, changed)), 5)  # who it was is read a little later
        self.assertEqual({path: change for path, change in changed.items() if not of_etc.of_others(path)}, {}, of_etc.seen)
        for what, value in before.items():
            self.assertEqual(after[what], value, what)


if __name__ == "__main__":
    cli_harness.main([Posture, Inspect, Witness])
