#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
What rootless Podman needs of a machine, taken away one by one, as an ordinary user meets it: the reason is said, not what
follows from it, and what is advised is then done, word by word. For root in a guest of vm.sh, whose user "ci" has lingering.
"""
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
import unittest

USER, UID = "ci", 1000
HARD_END = 600  # of any command: an emulated machine on a busy one
HOME = f"/home/{USER}"
RUNTIME = f"/run/user/{UID}"
SETTINGS = f"{HOME}/.config/containers/containers.conf"
POLICY = "/tmp/patient-policy.json"
# A start may take minutes on an emulated machine that has a busy host.
PATIENT = "dsandbox --engine-timeout 600"
RUN = f"run --policy {POLICY} -c 'print(1)'"
UNIT = "/etc/systemd/system/user@.service.d"


def root(*argv, check=True):
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=check, timeout=HARD_END)


def logged_in(command):
    """As after a login, with a session of systemd's."""
    return root("runuser", "-l", USER, "-c", command, check=False)


def without_login(command):
    """As from cron, or after su: no session, no variables of one."""
    env = ["env", "-i", f"HOME={HOME}", f"USER={USER}", f"LOGNAME={USER}", "PATH=/usr/local/bin:/usr/bin:/bin"]
    return root("setpriv", "--reuid", USER, "--regid", USER, "--init-groups", *env, "sh", "-c", command, check=False)


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def end_all():
    """Nothing of the user runs any more, and nothing of it is left but what is on the disk."""
    root("loginctl", "terminate-user", USER, check=False)
    root("systemctl", "stop", f"user@{UID}.service", check=False)
    root("pkill", "-KILL", "-u", USER, check=False)
    while root("pgrep", "-u", USER, check=False).returncode == 0:
        time.sleep(0.05)
    for path in (f"/tmp/.dsandbox-{UID}", f"/tmp/storage-run-{UID}", f"/tmp/podman-run-{UID}", f"{RUNTIME}/dsandbox"):
        shutil.rmtree(path, ignore_errors=True)


def of_user():
    """The user's processes, but its manager and the bus."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            user = next(line for line in read(f"/proc/{pid}/status").splitlines() if line.startswith("Uid:")).split()
            if str(UID) in user[1:] and not read(f"/proc/{pid}/cgroup").strip().endswith(("/init.scope", "/dbus.service")):
                yield int(pid)


def end_processes():
    """As end_all, but the manager goes on: a new one takes as long as all that a test asks of the program."""
    while pids := list(of_user()):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    for path in (f"/tmp/.dsandbox-{UID}", f"/tmp/storage-run-{UID}", f"/tmp/podman-run-{UID}"):
        shutil.rmtree(path, ignore_errors=True)
    for name in set(os.listdir(RUNTIME)) - {"systemd", "bus"}:
        path = f"{RUNTIME}/{name}"
        shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)


def begin_all():
    root("systemctl", "start", f"user@{UID}.service")


def make_archive(package, place):
    """An installed package as an archive of its own, since there is no other here; apt.conf is for apt, which asks nobody then."""
    tree = f"{place}/tree"
    os.makedirs(f"{tree}/DEBIAN")
    for path in root("dpkg", "-L", package).stdout.splitlines():
        if os.path.lexists(path) and not os.path.isdir(path):
            root("cp", "-a", "--parents", path, tree)
    fields = root("dpkg-query", "-s", package).stdout
    control = "".join(line for line in fields.splitlines(True) if not line.startswith("Status:"))
    write(f"{tree}/DEBIAN/control", control)
    root("dpkg-deb", "--build", tree, f"{place}/{package}.deb")
    with open(f"{place}/{package}.deb", "rb") as file:
        content = file.read()
    write(f"{place}/Packages", f"{control.strip()}\nFilename: ./{package}.deb\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n")
    write(f"{place}/list", f"deb [trusted=yes] file:{place} ./\n")
    write(f"{place}/apt.conf", f'Dir::Etc::sourcelist "{place}/list"; Dir::Etc::sourceparts "-"; APT::Get::Assume-Yes "true";\n')
    root("env", f"APT_CONFIG={place}/apt.conf", "apt-get", "update")


class Prerequisite(unittest.TestCase):
    maxDiff = None
    shell = staticmethod(logged_in)
    login = False  # whether it is about the user's manager, of which each test has a new one then
    verbs = ()

    @classmethod
    def setUpClass(cls):
        # as on a user's machine: no service that stays
        cls.settings = read(SETTINGS)
        os.unlink(SETTINGS)
        write(POLICY, '{"start_timeout": "600s"}')
        cls.verbs = (RUN, "session new")
        if not cls.login:
            end_all()
            begin_all()

    @classmethod
    def tearDownClass(cls):
        write(SETTINGS, cls.settings)
        shutil.chown(SETTINGS, USER, USER)

    def setUp(self):
        if self.login:
            end_all()
            begin_all()
        else:
            end_processes()

    def restore(self, path):
        """As it is now, at the end of the test."""
        content, status = read(path), os.stat(path)
        self.addCleanup(lambda: (write(path, content), os.chmod(path, status.st_mode)))

    def set_kernel(self, name, value):
        path = "/proc/sys/" + name.replace(".", "/")
        self.addCleanup(write, path, read(path))
        write(path, value)

    def missing(self, name, found):
        """What is said of it; the remedy."""
        done = self.shell(f"{PATIENT} doctor --json")
        self.assertEqual(done.returncode, 125, done)
        findings = json.loads(done.stdout)["findings"]
        bad = [f for f in findings if f["needed"] and not f["good"] and f["name"] != "engine"]
        self.assertEqual([f["name"] for f in bad], [name], findings)
        self.assertRegex(bad[0]["found"], found)
        verbs = self.verbs
        if not self.login:
            type(self).verbs = (RUN,)  # the service says the same of the same
        for verb in verbs:
            done = self.shell(f"{PATIENT} {verb}")
            self.assertIn(done.returncode, (125, 126), done)
            self.assertEqual(done.stdout, "", done)
            self.assertIn(f"{name}: {bad[0]['found']}", done.stderr)
            self.assertIn(bad[0]["remedy"], done.stderr)
            # the reason comes first, what followed from it later
            if done.returncode == 125:
                self.assertTrue(done.stderr.startswith(f"dsandbox: rootless containers cannot run here: {name}:"), done)
            self.assertNotIn("install Docker", done.stderr)
        return bad[0]["remedy"]

    def follow(self, remedy, **env):
        """Word by word; and nothing else is needed."""
        words = re.fullmatch(rf"as root: (.*?)(?:; then as {USER}: (.*?))?(?: \([^()]*\))?", remedy)
        self.assertTrue(words, remedy)
        done = subprocess.run(["sh", "-c", words[1]], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=HARD_END,
                              env={**os.environ, **env})
        self.assertEqual(done.returncode, 0, done)
        if words[2]:
            done = self.shell(words[2])
            self.assertEqual(done.returncode, 0, done)
        self.works()

    def works(self):
        done = self.shell(f"{PATIENT} {RUN}")
        self.assertEqual((done.returncode, done.stdout), (0, "1\n"), done)


class Ids(Prerequisite):
    def take(self, *files):
        for path in files:
            self.restore(path)
            write(path, "".join(line + "\n" for line in read(path).splitlines() if not line.startswith(USER + ":")))

    def test_subuid(self):
        self.take("/etc/subuid")
        self.follow(self.missing("subordinate ids", "^none for ci in /etc/subuid$"))

    def test_subgid(self):
        """With a service that systemd started for the user, and that stays."""
        self.take("/etc/subgid")
        write(SETTINGS, "[engine]\nservice_timeout = 0\n")
        self.addCleanup(os.unlink, SETTINGS)
        self.addCleanup(self.shell, "systemctl --user stop podman.socket podman.service")
        self.assertEqual(self.shell("systemctl --user start podman.socket podman.service").returncode, 0)
        self.follow(self.missing("subordinate ids", "^none for ci in /etc/subgid$"))

    def test_neither(self):
        """The ids of the images that are there come back, not any."""
        self.take("/etc/subuid", "/etc/subgid")
        write("/etc/subuid", "first:1000000:65536\n")
        self.follow(self.missing("subordinate ids", "^none for ci in /etc/subuid and /etc/subgid$"))

    def test_others_than_the_images_have(self):
        for path in ("/etc/subuid", "/etc/subgid"):
            self.restore(path)
            write(path, f"{USER}:1000000:65536\n")
        self.missing("engine's storage", "belongs to ids from 100000 on, which are not yours")

    def test_no_newuidmap(self):
        place = "/var/tmp/archive"
        make_archive("uidmap", place)
        self.addCleanup(lambda: shutil.which("newuidmap") or root("dpkg", "-i", f"{place}/uidmap.deb"))
        root("dpkg", "--purge", "--force-depends", "uidmap")
        self.follow(self.missing("newuidmap", "^is not installed$"), APT_CONFIG=f"{place}/apt.conf")

    def test_newuidmap_without_rights(self):
        program = shutil.which("newuidmap")
        self.addCleanup(os.chmod, program, 0o4755)
        os.chmod(program, 0o755)
        self.follow(self.missing("newuidmap", "is not set-user-id root"))


class Namespaces(Prerequisite):
    def test_of_users(self):
        self.set_kernel("user.max_user_namespaces", "0")
        self.follow(self.missing("name spaces", "user.max_user_namespaces is 0"))

    def test_for_root_only(self):
        self.set_kernel("kernel.unprivileged_userns_clone", "0")
        self.follow(self.missing("name spaces", "kernel.unprivileged_userns_clone is 0"))

    def test_of_networks(self):
        self.set_kernel("user.max_net_namespaces", "0")
        self.follow(self.missing("name spaces", "user.max_net_namespaces is 0"))


class Login(Prerequisite):
    login = True

    def test_delegation(self):
        end_all()
        os.makedirs(UNIT, exist_ok=True)
        self.addCleanup(lambda: (shutil.rmtree(UNIT), root("systemctl", "daemon-reload")))
        write(f"{UNIT}/10-less.conf", "[Service]\nDelegate=\nDelegate=pids\n")
        root("systemctl", "daemon-reload")
        begin_all()
        self.follow(self.missing("cgroups", "the engine cannot limit cpu"))

    def test_runtime_directory(self):
        root("umount", "-l", RUNTIME)
        os.rmdir(RUNTIME)
        self.follow(self.missing("runtime directory", f"^{RUNTIME}: No such file"))

    def test_runtime_directory_of_others(self):
        os.chown(RUNTIME, 0, 0)
        self.follow(self.missing("runtime directory", "belongs to uid 0"))


    def test_runtime_directory_that_cannot_be_written(self):
        root("mount", "-o", "remount,ro", RUNTIME)
        done = self.shell("dsandbox session new")
        self.assertEqual(done.returncode, 125, done)
        self.assertIn(f"cannot make {RUNTIME}/dsandbox: Read-only file system; dsandbox doctor says what to do", done.stderr)
        done = self.shell(f"{PATIENT} doctor --json")
        self.follow(*(f["remedy"] for f in json.loads(done.stdout)["findings"] if f["name"] == "runtime directory"))


class NoLogin(Prerequisite):
    login = True
    shell = staticmethod(without_login)

    def test_no_user_manager(self):
        """Without lingering there is none, once the last login has ended."""
        root("loginctl", "disable-linger", USER)
        self.addCleanup(root, "loginctl", "enable-linger", USER)
        end_all()
        while os.path.exists(RUNTIME):
            time.sleep(0.05)
        self.follow(self.missing("user manager", "systemd has none for you"))


class Space(Prerequisite):
    @contextlib.contextmanager
    def full(self, place):
        """Full up to the last block, whoever asks."""
        hog = os.path.join(place, "hog")
        with open(hog, "wb") as file:
            # What the file system keeps for root as well: in pieces without content, which cost nothing.
            at, size = 0, os.statvfs(place).f_bfree * os.statvfs(place).f_frsize
            while size >= 4096:
                try:
                    os.posix_fallocate(file.fileno(), at, size)
                    at += size
                except OSError:
                    size //= 2
            os.lseek(file.fileno(), 0, os.SEEK_END)
            with contextlib.suppress(OSError):
                while True:
                    os.write(file.fileno(), bytes(4096))
        try:
            yield
        finally:
            os.unlink(hog)

    def test_of_the_engine(self):
        with self.full(HOME):
            self.assertEqual(self.missing("engine's room", "its file system is full"),
                             f"make room on the file system of {HOME}/.local/share/containers")
        self.works()

    def test_of_the_base_directory(self):
        base = f"{HOME}/small"
        os.makedirs(base)
        self.addCleanup(os.rmdir, base)
        root("mount", "-t", "tmpfs", "-o", f"size=16m,mode=0700,uid={UID},gid={UID}", "tmpfs", base)
        self.addCleanup(root, "umount", "-l", base)
        with self.full(base):
            for verb, status in ((RUN, 125), ("session new", 125), ("doctor", 125)):
                done = self.shell(f"{PATIENT} --base-dir {base} {verb}")
                self.assertEqual(done.returncode, status, done)
                self.assertRegex(done.stdout + done.stderr, r"the host's file system has only 0 bytes free, and [0-9.]+ KiB must stay free")
        done = self.shell(f"{PATIENT} --base-dir {base} {RUN}")
        self.assertEqual((done.returncode, done.stdout), (0, "1\n"), done)


CASES = [Ids, Namespaces, Login, NoLogin, Space]
