#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
What happens to the engine itself, on a real one: killed, stopped, out of room, its socket gone. It kills engines, so it
needs ones of its own. Environment and last line as in cli_harness.py; also

  DSB_TEST_RIG   tests/rig/rig.sh, whose engine (DSB_RIG_DIR and so on as it was started) is the one in DSB_TEST_ENDPOINT

Root runs it: what an engine left is looked for in its storage, in all processes, mounts and control groups.
"""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from unittest import mock

import cli_harness
import session_harness
from cli_harness import BACKEND, ENDPOINT, SETUP, EngineCase, dsandbox, read, wait_until
from engine_proxy import EngineProxy
from speed import setting

RIG = os.environ.get("DSB_TEST_RIG", "")
ENGINE = {"docker-api": "docker", "docker-cli": "docker", "podman": "podman", "podman-rootless": "rootless"}.get(SETUP, "")
SOCKET = ENDPOINT[len("unix://"):]
PLACE = os.path.dirname(os.path.dirname(SOCKET))  # of the engines' sockets, process numbers and logs

UP = "import time\nprint('up', flush=True)\nopen('/sandbox/up', 'w').write('kept')\n"


def rig(*args, check=True, **settings):
    done = subprocess.run(["sh", RIG, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
                          env={**os.environ, **settings})
    if check and done.returncode != 0:
        raise AssertionError(f"rig.sh {' '.join(args)}: {done.stdout.decode('utf-8', 'replace')}")
    return done.stdout.decode("utf-8", "replace")


def restart():
    """The engine runs again, whatever was done to it."""
    rig("kill", ENGINE, "CONT", check=False)
    rig("start", ENGINE)


def storage():
    """Directories where the engine keeps containers and images, as it says."""
    if BACKEND == "podman":
        store = cli_harness.engine_get("/v4.0.0/libpod/info")["store"]
        return [store["graphRoot"], store["runRoot"], store["volumePath"]]
    return [cli_harness.engine_get("/info")["DockerRootDir"]]


def traces(identity):
    """Everything of the machine that carries this container's id."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        found += [f"process {pid}: {name}" for name in ("cmdline", "mountinfo", "cgroup") if identity.encode() in read(f"/proc/{pid}/{name}")]
    places = ["/sys/fs/cgroup", PLACE, *storage()]
    lines = subprocess.run(["find", *places, "-maxdepth", "6", "(", "-name", "diff", "-o", "-name", "merged", ")", "-prune", "-o", "-name",
                            f"*{identity}*", "-print"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60).stdout
    return found + lines.decode("utf-8", "replace").splitlines()


def held():
    """
    Processes that this engine still holds for a container. Engines that are killed in the middle of a start forget the
    monitor that they have just made, with a `runc init` that waits for its start or (Docker) without: nothing of the
    container has begun in it, and nobody can reach it through the engine any more. It is not counted.
    """
    mark = f"dsbrig{PLACE.rsplit('.', 1)[1]}" if ENGINE == "docker" else f"{PLACE}/{ENGINE}/"
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        line = read(f"/proc/{pid}/cmdline")
        program = os.path.basename(line.split(b"\0")[0])
        if mark.encode() not in line or not program.startswith((b"conmon", b"containerd-shim")):
            continue
        children = subprocess.run(["pgrep", "-a", "-P", pid], stdout=subprocess.PIPE, timeout=30).stdout.decode("utf-8", "replace").strip()
        forgotten = "[0-9]+ (/usr/bin/)?(runc|crun) init" + ("|" if ENGINE == "docker" else "")
        if not re.fullmatch(forgotten, children):
            found.append(f"{pid} {program.decode()}: {children}")
    return found


class Proxy(EngineProxy):
    """Acts just before the first request of a kind gets to the engine."""

    def __init__(self, pattern, action):
        self.pattern, self.action = re.compile(pattern), action
        self.acted, self.lock = False, threading.Lock()
        super().__init__()

    def on_data(self, data, to_engine, source, seen):
        if to_engine and self.pattern.match(data):
            with self.lock:
                if not self.acted:
                    self.acted = True
                    self.action()
        return True


def identity_of(name):
    return cli_harness.engine_get(f"/containers/{name.lstrip('/')}/json")["Id"]


class FaultCase(EngineCase):
    def setUp(self):
        self.addCleanup(restart)
        self.before = {line.split()[0] for line in held()}  # of sessions that others left

    def held(self):
        return [line for line in held() if line.split()[0] not in self.before]

    def begin(self, session, seconds, *options, code="pass"):
        """A run that is in the middle of its code, for so long or, without seconds, until it is let go: the process and the container's id."""
        middle = f"time.sleep({seconds})\n" if seconds else cli_harness.gate()
        process = self.popen("--session", session, *options, "-c", UP + middle + code)
        marker = os.path.join(cli_harness.WORK.base, session, "up")
        self.assertTrue(wait_until(lambda: os.path.exists(marker), 60))
        time.sleep(cli_harness.scaled(0.5))  # what was printed is on its way through the engine
        (name,) = cli_harness.containers()
        return process, identity_of(name)

    def end(self, process, limit):
        begin = time.monotonic()
        try:
            out, err = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            rig("kill", ENGINE, "CONT", check=False)
            raise AssertionError("no end within 60 s") from None
        seconds = time.monotonic() - begin
        done = cli_harness.Done(["…"], process.returncode, out, err, seconds)
        self.assertLess(seconds, cli_harness.scaled(limit), done)
        return done

    def gc(self):
        done = dsandbox("--backend", BACKEND, "gc", "--base-dir", cli_harness.WORK.base)
        self.assertEqual(done.status, 0, done)

    def assert_nothing_left(self, *identities):
        """After gc."""
        self.gc()
        self.assert_clean(20)
        self.assertTrue(wait_until(lambda: not self.held(), 45), self.held())  # pid 1 waits 30 s for its first word
        for identity in identities:
            self.assertTrue(wait_until(lambda: not traces(identity), 20), traces(identity))


class Killed(FaultCase):
    """CC-03"""

    def test_in_the_middle_of_a_run(self):
        process, identity = self.begin("killed", 600, "--timeout", "10m")
        self.assertNotEqual(traces(identity), [], "the search finds what is there")
        self.assertEqual(len(self.held()), 1, "and this one, too")
        rig("kill", ENGINE)
        done = self.end(process, 5)
        result = self.result(done)
        self.assertEqual((done.status, result["status"], result["stdout"]), (125, "lost", "up\n"), done)
        self.assertRegex(result["failure"]["message"], "^the container ended .*engine stopped.*dsandbox gc")
        # nothing can be started or cleaned now, and it is said how to go on
        self.assert_failure(self.dsb("-c", "pass", limit=30), "unavailable", "start it")
        done = dsandbox("--backend", BACKEND, "gc", "--base-dir", cli_harness.WORK.base, limit=30)
        self.assertEqual(done.status, 125, done)
        rig("start", ENGINE)
        self.assertEqual(self.run_ok("print(open('/sandbox/up').read())", "--session", "killed")["stdout"], "kept\n")
        self.assert_nothing_left(identity)

    def test_while_it_starts(self):
        """At many moments of the start: an honest failure or the answer, and nothing is left."""
        honest = 0
        for moment in range(8):
            process = self.popen("-c", "print('whole')")
            time.sleep(0.04 * moment)
            rig("kill", ENGINE)
            done = self.end(process, 20)
            result = self.result(done)
            if done.status == 0:
                self.assertEqual((result["status"], result["stdout"]), ("ok", "whole\n"), done)
            else:
                self.assertEqual(done.status, 125, done)
                self.assertIn(result["failure"]["code"], ("unavailable", "lost", "failed", "protocol"), done)
                honest += 1
            rig("start", ENGINE)
        self.assertGreater(honest, 0)
        self.assert_nothing_left()


class KilledSession(session_harness.SessionCase, FaultCase):
    """CC-03, a session of the service."""

    def setUp(self):
        session_harness.SessionCase.setUp(self)
        FaultCase.setUp(self)

    def begin_execution(self):
        self.run_("x = 1\nopen('/sandbox/f', 'w').write('file')")
        (name,) = cli_harness.containers()
        process = session_harness.popen("exec", self.s, "--json", "--timeout", "10m", "-c",
                                        "import time\nprint('up', flush=True)\nopen('/sandbox/up', 'w').close()\ntime.sleep(600)")
        marker = os.path.join(cli_harness.WORK.base, self.s, "up")
        self.assertTrue(wait_until(lambda: os.path.exists(marker), 30))
        time.sleep(cli_harness.scaled(0.5))  # what was printed is on its way through the engine
        return process, identity_of(name)

    def finish(self, *identities):
        self.text("session", "rm", self.s, "--files")
        session_harness.end_service()
        self.assert_nothing_left(*identities)

    def test_while_code_runs(self):
        process, identity = self.begin_execution()
        rig("kill", ENGINE)
        done = self.end(process, 5)
        result = self.result(done)
        self.assertEqual((done.status, result["status"], result["state"]["outcome"]), (125, "lost", "lost"), done)
        self.assertRegex(result["failure"]["message"], "engine stopped.*dsandbox gc")
        # the engine is away: the session cannot come back, and is not thrown away either
        again = session_harness.dsb("exec", self.s, "--json", "-c", "1", limit=30)
        self.assertEqual(again.status, 125, again)
        self.assertRegex(self.result(again)["failure"]["message"], "start it", again)
        rig("start", ENGINE)
        result = self.run_("print(open('/sandbox/f').read(), 'x' in globals())")
        self.assertEqual(result["stdout"], "file False\n")
        self.assertEqual(result["state"]["outcome"], "lost")
        self.assertRegex(result["state"]["reason"], "engine stopped.*files were kept")
        self.assertEqual(self.run_("x = 2")["state"]["outcome"], "kept", "said once")
        self.finish(identity)

    def test_while_nothing_runs(self):
        self.run_("x = 1\nopen('/sandbox/f', 'w').write('file')")
        (name,) = cli_harness.containers()
        identity = identity_of(name)
        rig("kill", ENGINE)
        rig("start", ENGINE)
        result = self.run_("print(open('/sandbox/f').read(), 'x' in globals())")
        self.assertEqual((result["stdout"], result["state"]["outcome"]), ("file False\n", "lost"))
        self.assertRegex(result["state"]["reason"], "files were kept")
        self.finish(identity)


PHASES = {"who": rb"GET [^ ]*/_ping|HEAD [^ ]*/_ping", "create": rb"POST [^ ]*/containers/create", "inspect": rb"GET [^ ]*/containers/[^/ ]+/json",
          "attach": rb"POST [^ ]*/attach", "start": rb"POST [^ ]*/start", "remove": rb"DELETE |POST [^ ]*/kill"}


class Phases(FaultCase):
    """CC-04: the engine hangs, or dies, as it gets the request of each phase."""

    def run_through(self, proxy, number, *args):
        # Only an engine that hangs is to be given up soon; one that has just been started may take its time.
        options = ["--backend", BACKEND, "--engine-timeout", setting(2)[:-1] if number == "STOP" else "60", "run", "--no-service", "--json", "--base-dir", cli_harness.WORK.base,
                   "--policy", cli_harness.WORK.file(f'{{"start_timeout": "{setting(5)}"}}')]
        if self.allow:
            options.append("--allow-unenforced=" + ",".join(self.allow))
        return cli_harness.start(*options, *args, env=proxy.env())

    def stop_first_process(self, session):
        """It would leave by itself, and nobody would have to remove the container."""
        marker = os.path.join(cli_harness.WORK.base, session, "up")
        self.assertTrue(wait_until(lambda: os.path.exists(marker), 30))
        os.unlink(marker)
        (name,) = cli_harness.containers()
        pid = cli_harness.engine_get(f"/containers/{name.lstrip('/')}/json")["State"]["Pid"]
        self.assertGreater(pid, 1)
        os.kill(pid, signal.SIGSTOP)

    def at(self, phase, number, limit):
        proxy = Proxy(PHASES[phase], lambda: rig("kill", ENGINE, number))
        self.addCleanup(proxy.close)
        if phase != "remove":
            process = self.run_through(proxy, number, "-c", "print('whole')")
        else:
            process = self.run_through(proxy, number, "--session", number, "--timeout", setting(2), "-c", UP + "time.sleep(600)")
            self.stop_first_process(number)
        done = self.end(process, limit)
        with proxy.lock:  # the action is over
            self.assertTrue(proxy.acted, done)
        rig("kill", ENGINE, "CONT", check=False)
        if number == "KILL":
            rig("start", ENGINE)
        return done

    def fails(self, phases, number, codes, limit):
        for phase in phases:
            with self.subTest(phase):
                done = self.at(phase, number, limit)
                result = self.result(done)
                if phase == "remove":
                    self.assertEqual((done.status, result["status"], result["stdout"]), (124, "timeout", "up\n"), done)
                else:
                    self.assertEqual((done.status, result["status"], result["stdout"]), (125, "error", ""), done)
                    self.assertIn(result["failure"]["code"], codes, done)
                self.assert_nothing_left()

    def test_stopped(self):
        self.fails(("create", "attach", "start", "remove"), "STOP", ("engine_timeout",), 20)

    def test_killed(self):
        self.fails(PHASES, "KILL", ("unavailable", "lost", "failed", "protocol"), 20)

    def test_stopped_while_code_runs(self):
        """Nothing gets through any more: the time limit of the code and what pid 1 may take are the end."""
        process, identity = self.begin("stopped", None, "--timeout", setting(3), code="print('end')")
        rig("kill", ENGINE, "STOP")
        cli_harness.let_go("stopped")
        done = self.end(process, 25)
        result = self.result(done)
        self.assertEqual((done.status, result["status"], result["stdout"]), (124, "timeout", "up\n"), done)
        rig("kill", ENGINE, "CONT")
        self.assert_nothing_left(identity)


class Room(FaultCase):
    def test_socket_gone(self):
        """What runs goes on over the connection that it has; nothing new begins."""
        process, identity = self.begin("socket", None, "--timeout", "10m", code="print('end')")
        os.rename(SOCKET, SOCKET + ".away")
        try:
            cli_harness.let_go("socket")
            done = self.end(process, 20)
            self.assertEqual((done.status, self.result(done)["stdout"]), (0, "up\nend\n"), done)
            self.assert_failure(self.dsb("-c", "pass", limit=30), "unavailable", "start it")
        finally:
            os.rename(SOCKET + ".away", SOCKET)
        self.assert_nothing_left(identity)

    def in_its_namespace(self, script, *args):
        """A shell command where the engine's process sees its mounts."""
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
            sock.connect(SOCKET)
            pid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        subprocess.run(["nsenter", "-t", str(pid), "-m", "sh", "-euc", script, "sh", *args], check=True, timeout=30, stdout=subprocess.DEVNULL)

    def test_cc07_no_room_in_the_engines_storage(self):
        place = os.path.join(storage()[0], "overlay-containers" if BACKEND == "podman" else "containers")
        staging = cli_harness.WORK.dir("staging")
        # as much as is there already, which other tests' kills leave in the engine's storage, and a little more
        self.in_its_namespace("mount -t tmpfs -o size=$(($(du -sk \"$2\" | cut -f 1) + 256))k,mode=0711 full \"$1\"", staging, place)
        try:
            self.in_its_namespace("cp -a \"$2\"/. \"$1\"; chown --reference=\"$2\" \"$1\"\n"
                                  "dd if=/dev/zero of=\"$1/filler\" 2>/dev/null || :\nmount --bind \"$1\" \"$2\"", staging, place)
            done = self.dsb("-c", "pass")
            self.assert_failure(done, None, "no space left")
        finally:
            self.in_its_namespace("! mountpoint -q \"$2\" || umount \"$2\"; umount \"$1\"", staging, place)
        os.rmdir(staging)
        self.assertEqual(self.run_ok("print('works again')")["stdout"], "works again\n")
        self.assert_nothing_left()


class Storage(FaultCase):
    DATABASES = (".db", ".sql", ".lock", ".log")  # one for all containers; they keep their pages

    def files(self):
        """What the engine stores, with sizes; of layers only that they are there."""
        found = {}
        for place in storage():
            for path, directories, names in os.walk(place):
                directories[:] = [d for d in directories if d not in ("diff", "merged")]
                found.update((os.path.join(path, d), 0) for d in directories)
                found.update((os.path.join(path, n), self.size(os.path.join(path, n))) for n in names if not n.endswith(self.DATABASES))
        return found

    @staticmethod
    def size(path):
        try:
            return os.lstat(path).st_size
        except OSError:
            return None

    def difference(self, before):
        after = self.files()
        return {p: (before.get(p), after.get(p)) for p in before.keys() | after.keys() if before.get(p) != after.get(p)}

    def test_dk09_the_same_before_and_after(self):
        self.run_ok("pass")
        self.gc()
        self.assert_clean(20)
        before = self.files()
        self.assertGreater(len(before), 20)
        process, identity = self.begin("storage", 30)
        self.assertTrue([p for p in self.difference(before) if identity in p], "the search finds what is there")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        for _ in range(5):
            self.run_ok("open('/tmp/f', 'wb').write(bytes(1 << 20)); print('x' * 100000)")
        self.assertEqual(self.dsb("--timeout", "1s", "-c", "while True: pass").status, 124)
        process = self.popen("--timeout", "1s", "-c", "import time; time.sleep(30)")
        time.sleep(1)
        process.kill()
        process.communicate(timeout=30)
        self.assertTrue(wait_until(lambda: not cli_harness.containers(), 20))
        self.gc()
        self.assertTrue(wait_until(lambda: not self.difference(before), 20), self.difference(before))


class Administrator(FaultCase):
    """EN-19, EN-20: what may be set for all containers of an engine does not reach ours, or they are refused."""
    DOCKER = {"default-ulimits": {n: {"Name": n, "Hard": 9000000, "Soft": 9000000} for n in ("core", "fsize")},
              "default-shm-size": "1g", "default-ipc-mode": "shareable", "default-cgroupns-mode": "host", "init": True, "live-restore": True,
              "dns": ["192.0.2.1"], "dns-search": ["leak.example"], "oom-score-adjust": -500, "no-new-privileges": False,
              "cgroup-parent": "/dsb-elsewhere"}
    PODMAN = {"default_capabilities": ["CHOWN", "SYS_ADMIN", "SYS_PTRACE", "NET_ADMIN"], "init": True, "ipcns": "host", "pidns": "host",
              "netns": "host", "utsns": "host", "cgroupns": "host", "userns": "host", "env": ["LEAK=leak.example"],
              "dns_servers": ["192.0.2.1"], "dns_searches": ["leak.example"], "shm_size": "1g", "pids_limit": 0, "http_proxy": True,
              "umask": "0000", "default_sysctls": ["net.ipv4.ping_group_range=0 0"]}

    def start_with(self, settings):
        if ENGINE == "docker":
            text = "".join(f"{json.dumps(key)}: {json.dumps(value)}, " for key, value in settings.items())
            name = "DSB_RIG_DOCKER_SETTINGS"
        else:
            text = "\n".join(f"{key} = {json.dumps(value)}" for key, value in settings.items())
            name = "DSB_RIG_PODMAN_SETTINGS"
        rig("kill", ENGINE)
        rig("start", ENGINE, **{name: text})

    def setUp(self):
        # what was set must not stay for the next test, whether it is in force or not
        self.addCleanup(lambda: (rig("kill", ENGINE, check=False), rig("start", ENGINE)))

    def test_what_others_get(self):
        profile = cli_harness.WORK.file('{"defaultAction": "SCMP_ACT_ALLOW"}')
        self.start_with({**self.DOCKER, "seccomp-profile": profile} if ENGINE == "docker" else {**self.PODMAN, "seccomp_profile": profile})
        options = [f"--allow-unenforced={','.join(self.allow)}"] if self.allow else []
        done = dsandbox("--backend", BACKEND, "conformance", "--base-dir", cli_harness.WORK.base, "--setup", SETUP, "--json", *options)
        report = json.loads(done.stdout)
        self.assertEqual([f"{c['id']}: {c['observed']}" for c in report["cases"] if c["verdict"] == "fail"], [])
        self.assertGreater(report["summary"]["pass"], 120, report["summary"])

    @unittest.skipIf(ENGINE == "docker", "Docker cannot be told to give them to all containers")
    def test_devices_and_volumes_for_all(self):
        for settings, words in (({"devices": ["/dev/zero:/dev/leak:rwm"]}, ["devices: asked none, found 1 more"]),
                                ({"volumes": ["/usr/share:/leak:ro"]}, ["volume: asked", "foreign or weaker: /leak "]),
                                ({"tz": "local"}, ["volume: asked", "leave out tz in its containers.conf"]),
                                ({"tz": "Asia/Tokyo"}, ["volume: asked", "leave out tz in its containers.conf"])):
            with self.subTest(settings):
                self.start_with(settings)
                self.assert_failure(self.dsb("-c", "print('ran')"), "refused", *words, status=126)

    @unittest.skipUnless(ENGINE == "docker", "for Docker")
    def test_users_that_are_mapped(self):
        """The volume is not what it is to be, says the measurement; doctor says so before. Whoever allows it has it."""
        ids = cli_harness.WORK.file("nobody:300000:65536\n")
        # An engine of its own: the users that it maps to have to reach its data, which may not be so for the other's.
        state = tempfile.mkdtemp(prefix="dsb-mapped.", dir="/var/tmp")
        os.chmod(state, 0o711)
        images = os.environ.get("DSB_RIG_IMAGES") or os.path.join(rig("dir").strip(), "image")
        settings = {"DSB_RIG_DIR": state, "DSB_RIG_IMAGES": images, "DSB_RIG_ONLY": ENGINE, "DSB_RIG_MUST_RUN": ENGINE,
                    "DSB_RIG_DOCKER_SETTINGS": '"userns-remap": "nobody:nogroup",'}
        self.addCleanup(rig, "down", "--purge", **settings)
        hidden = 'mount --bind "$1" /etc/subuid && mount --bind "$1" /etc/subgid && shift && exec "$@"'
        done = subprocess.run(["unshare", "-m", "--propagation", "slave", "sh", "-c", hidden, "sh", ids, "sh", RIG, "up"], timeout=300,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, env={**os.environ, **settings})
        self.assertEqual(done.returncode, 0, done.stdout)
        endpoint = dict(line.split("=", 1) for line in rig("env", **settings).splitlines())["DSB_RIG_DOCKER_HOST"]
        patch = mock.patch.object(cli_harness, "ENDPOINT", endpoint)
        patch.start()
        self.addCleanup(patch.stop)
        (root,) = storage()
        self.assertTrue(root.endswith("/300000.300000"), root)
        remedy = "use rootless Podman, or an engine that does not"
        self.assert_failure(self.dsb("-c", "print('ran')"), "refused", "volume: asked", "userns-remap", remedy, "allow_unenforced=volume",
                            status=126)
        engine = ("--backend", BACKEND, "--host", endpoint, "--base-dir", cli_harness.WORK.base)
        done = dsandbox(*engine, "doctor")
        self.assertEqual(done.status, 125, done)
        self.assertIn(f"{remedy}; the way round is --allow-unenforced=volume", done.stdout)
        done = dsandbox(*engine, "--allow-unenforced=volume", "doctor")
        self.assertEqual(done.status, 0, done)
        result = json.loads(self.dsb("--allow-unenforced=volume", "-c", "print('ran')").stdout)
        self.assertEqual((result["status"], result["stdout"]), ("ok", "ran\n"), result)
        self.assertEqual([c["verdict"] for c in result["policy"]["controls"] if c["name"] == "volume"], ["unenforced"])
        self.assert_clean(20)

    @unittest.skipUnless(ENGINE == "docker" and shutil.which("runsc"), "for Docker, with gVisor")
    def test_another_runtime(self):
        self.start_with({"default-runtime": "gvisor"})
        self.assert_failure(self.dsb("-c", "print('ran')"), "refused", "seccomp", "memory", status=126)


if __name__ == "__main__":
    if not (SETUP and RIG) or os.getuid() != 0:
        sys.exit("test_engine_faults.py kills engines: it needs DSB_TEST_RIG with a rig of its own, a set-up, and root")
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    cli_harness.main([Killed, KilledSession, Phases, Room, Storage, Administrator])
