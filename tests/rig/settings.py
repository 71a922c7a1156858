#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
What a user may have in containers.conf: a run is the same for all of it, or it is refused and says why. For root in a guest
of vm.sh. Settings of which none changes anything are together in few files, to save starts of the engine;
DSB_TEST_SETTINGS=each has each alone.
"""
import json
import os
import unittest

from prerequisites import PATIENT, POLICY, SETTINGS, USER, Prerequisite, logged_in, write

# All that code can see and an engine could have changed.
SEES = '''
import json, os, resource, time
def read(path):
    try:
        with open(path, errors="replace") as file: return file.read()
    except OSError as problem: return type(problem).__name__
umask = os.umask(0); os.umask(umask)
names = ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters", "NSpid")
files = ("/etc/resolv.conf", "/etc/hosts", "/etc/hostname", "/etc/group", "/proc/self/uid_map", "/proc/self/gid_map", "/proc/self/cgroup",
    "/proc/self/oom_score_adj", "/proc/1/cmdline", "/proc/sys/net/ipv4/ping_group_range", "/proc/sys/kernel/shm_rmid_forced",
    "/proc/keys", "/proc/self/attr/current", *("/sys/fs/cgroup/" + f for f in ("memory.high", "memory.max", "cpu.weight", "cpu.max", "pids.max")))
print(json.dumps({"env": dict(os.environ), "cwd": os.getcwd(), "umask": umask, "tz": time.tzname, "host": os.uname()[1],
    "mounts": sorted((f[4], f[5], f[f.index("-") + 1]) for f in map(str.split, read("/proc/self/mountinfo").splitlines())),
    "status": [l for l in read("/proc/self/status").splitlines() if l.split(":")[0] in names],
    "files": {path: read(path) for path in files},
    "directories": {path: sorted(os.listdir(path)) for path in ("/", "/dev", "/run", "/tmp", "/sandbox", "/sys/class/net", "/mnt", "/etc")},
    "pids": len([p for p in os.listdir("/proc") if p.isdigit()]),
    "limits": {n: resource.getrlimit(getattr(resource, n)) for n in dir(resource) if n.startswith("RLIMIT")}}))
'''
EACH = os.environ.get("DSB_TEST_SETTINGS") == "each"
ALLOW = f"/home/{USER}/allow.json"
HOOKS = f"/home/{USER}/hooks"
RAN = f"/home/{USER}/hook-ran"

SAME = r"""
containers annotations = ["run.oci.keep_original_groups=1", "run.oci.seccomp_fail_unknown_syscall=0"]
containers apparmor_profile = "unconfined"
containers base_hosts_file = "/etc/passwd"
containers cgroupns = "host"
containers cgroups = "no-conmon"
containers container_name_as_hostname = true
containers default_capabilities = ["CHOWN", "SYS_ADMIN", "SYS_PTRACE", "NET_ADMIN"]
containers default_sysctls = ["net.ipv4.ping_group_range=0 0"]
containers default_ulimits = ["nofile=4096:4096", "core=-1:-1", "fsize=-1:-1", "nproc=9:9", "stack=1048576:1048576", "cpu=1:1"]
containers dns_options = ["ndots:9"]
containers dns_searches = ["leak.example"]
containers dns_servers = ["192.0.2.1"]
containers env = ["LEAK=leak.example"]
containers env_host = true
containers host_containers_internal_ip = "192.0.2.9"
containers http_proxy = true
containers init = true
containers init_path = "/bin/false"
containers ipcns = "host"
containers keyring = false
containers label = false
containers label_users = true
containers log_driver = "journald"
containers log_driver = "passthrough"
containers log_size_max = 8192
containers log_tag = "leak"
containers mounts = ["type=bind,source=/usr/share,destination=/leak"]
containers mounts = ["type=tmpfs,destination=/mnt"]
containers netns = "host"
containers netns = "pasta"
containers no_hosts = true
containers oom_score_adj = -500
containers pidns = "host"
containers pids_limit = 0
containers pids_limit = 5
containers prepare_volume_on_create = true
containers privileged = true
containers read_only = false
containers seccomp_profile = "/root/allow.json"
containers seccomp_profile = "/home/ci/allow.json"
containers shm_size = "1g"
containers umask = "0000"
containers umask = "0777"
containers userns = "host"
containers userns = "auto"
containers userns = "nomap"
containers utsns = "host"
engine conmon_env_vars = ["LEAK=1"]
engine env = ["LEAK=1"]
engine events_logger = "none"
engine events_logger = "file"
engine image_default_transport = "oci:"
engine image_volume_mode = "tmpfs"
engine image_parallel_copies = 1
engine no_pivot_root = true
engine pull_policy = "always"
engine active_service = "leak"
engine stop_timeout = 60
engine exit_command_delay = 5
engine service_timeout = 1
engine tmp_dir = "/home/ci/podtmp"
engine static_dir = "/home/ci/podstatic"
engine volume_path = "/home/ci/podvolumes"
engine detach_keys = "a"
engine lock_type = "file"
network default_network = "leak"
network default_rootless_network_cmd = "slirp4netns"
network firewall_driver = "none"
secrets driver = "pass"
nonsense x = 1
containers nonsense = true
""".strip().splitlines()

# The administrator's own: the policy has no word for it, and holds. A hook is a program of his that runs on the host.
OWN = {
    'containers cgroup_conf = ["memory.high=268435456", "cpu.weight=1"]': {"/files//sys/fs/cgroup/memory.high", "/files//sys/fs/cgroup/cpu.weight"},
    'containers default_sysctls = ["kernel.shm_rmid_forced=1"]': {"/files//proc/sys/kernel/shm_rmid_forced",
                                                                  "/files//proc/sys/net/ipv4/ping_group_range"},
    'engine runtime = "/usr/bin/crun"': {"/controls/runtime"},
    f'engine hooks_dir = ["{HOOKS}"]': set(),
}

# Those of one list are measured together, and none hides another.
REFUSED = [
    {
        'containers cgroups = "disabled"': ["memory: asked 512MiB, found unlimited", "cpu: asked 1, found unlimited", "pids: asked 128"],
        'containers devices = ["/dev/zero:/dev/leak:rwm"]': ["devices: asked none, found 1 more", "/dev/leak "],
        'containers volumes = ["/usr/share:/leak:ro"]': ["volume: asked", "/leak "],
    },
    {'containers tz = "Asia/Tokyo"': ["volume: asked", "leave out tz in its containers.conf"]},
    {'containers tz = "local"': ["volume: asked", "leave out tz in its containers.conf"]},
    {'engine cgroup_manager = "cgroupfs"': ["cannot limit memory,swap,cpu,pids", "leave out cgroup_manager in containers.conf"]},
]

# With these Podman does not work at all, and says which it is.
BROKEN = {
    'containers interface_name = "leak0"': "interface_name",
    'containers pids_limit = "many"': "containers.pids_limit",
    'engine runtime = "youki"': 'runtime "youki" not found',
    'engine helper_binaries_dir = ["/nonexistent"]': "helper_binaries_dir",
    'engine database_backend = "boltdb"': "BoltDB",
    'engine conmon_path = ["/bin/false"]': "conmon failed",
    'engine num_locks = 64': "failed to open 64 locks",
}


def difference(a, b, path=""):
    if isinstance(a, dict) and isinstance(b, dict):
        return {d for key in a.keys() | b.keys() for d in difference(a.get(key), b.get(key), f"{path}/{key}")}
    return set() if a == b else {path}


def together(lines):
    """As few files as can hold all: no key twice in one."""
    files = []
    for line in lines:
        key = line.split(" =")[0]
        for file in files:
            if key not in {other.split(" =")[0] for other in file}:
                file.append(line)
                break
        else:
            files.append([line])
    return [[line] for line in lines] if EACH else files


class Settings(Prerequisite):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        os.makedirs(HOOKS, exist_ok=True)
        write(ALLOW, '{"defaultAction": "SCMP_ACT_ALLOW"}')
        hook = {"version": "1.0.0", "hook": {"path": "/usr/bin/touch", "args": ["touch", RAN]}, "when": {"always": True},
                "stages": ["prestart", "createRuntime"]}
        write(f"{HOOKS}/leak.json", json.dumps(hook))
        cls.plain = cls.seen()

    def setUp(self):
        self.addCleanup(lambda: os.path.exists(SETTINGS) and os.unlink(SETTINGS))

    @staticmethod
    def set(lines):
        sections = {}
        for line in lines:
            section, setting = line.split(" ", 1)
            sections.setdefault(section, []).append(setting)
        write(SETTINGS, "".join(f"[{name}]\n" + "".join(s + "\n" for s in settings) for name, settings in sections.items()))

    @staticmethod
    def run_it():
        done = logged_in(f"{PATIENT} run --json --policy {POLICY} -c '" + SEES.replace("'", "'\\''") + "'")
        return done, json.loads(done.stdout)

    @classmethod
    def seen(cls):
        """What code sees, and what the policy's controls measured."""
        done, result = cls.run_it()
        if (done.returncode, result["status"]) != (0, "ok"):
            raise AssertionError(result["failure"])
        controls = {c["name"]: [c["verdict"], c.get("measured")] for c in result["policy"]["controls"]}
        return {**json.loads(result["stdout"]), "controls": controls}

    def test_same(self):
        for lines in together(SAME):
            with self.subTest(lines):
                self.set(lines)
                self.assertEqual(difference(self.plain, self.seen()), set())

    def test_own(self):
        for lines in together(OWN):
            with self.subTest(lines):
                self.set(lines)
                self.assertEqual(difference(self.plain, self.seen()), set().union(*(OWN[line] for line in lines)))
        self.assertTrue(os.path.exists(RAN))

    def test_refused(self):
        for group in REFUSED:
            for lines in [[line] for line in group] if EACH else [list(group)]:
                with self.subTest(lines):
                    self.set(lines)
                    done, result = self.run_it()
                    self.assertEqual((done.returncode, result["status"]), (126, "refused"), result)
                    for words in sum((group[line] for line in lines), []):
                        self.assertIn(words, result["failure"]["message"])

    def test_broken(self):
        for line, words in BROKEN.items():
            with self.subTest(line):
                self.set([line])
                done, result = self.run_it()
                self.assertEqual((done.returncode, result["status"]), (125, "error"), result)
                self.assertIn(words, result["failure"]["message"])


CASES = [Settings]
