#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
The program against engines that hang, are on another host, or speak TLS, and what `image build` sends. No engine is
needed. DSB_TEST_PROGRAM is the program. Arguments are those of unittest.
"""
import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../rig"))
import runner  # noqa: E402
from fake_engine import INFO, Engine  # noqa: E402
from signals import send  # noqa: E402
from speed import scaled, set_seconds, setting  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.abspath(os.environ.get("DSB_TEST_PROGRAM", os.path.join(TOP, "build/cli/dsandbox")))
SLACK = float(os.environ.get("DSB_TEST_SLACK", "1"))  # how much slower than an ordinary machine (sanitizers)
SETTLE = 3  # seconds that a creation gets after a cancel: what it makes must be known, or it stays


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="dsb-mock.", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        for name in ("base", "run", "home", "tmp"):
            os.mkdir(os.path.join(self.dir, name), 0o700)
        self.socket = os.path.join(self.dir, "engine.sock")

    def environment(self, **more):
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8",
               "HOME": os.path.join(self.dir, "home"), "XDG_RUNTIME_DIR": os.path.join(self.dir, "run"),
               "DOCKER_HOST": "unix://" + self.socket, "G_DEBUG": "fatal-warnings",
               # else a service of Podman is started, where the program is there
               "CONTAINER_HOST": "unix://" + os.path.join(self.dir, "no-such.sock")}
        env.update({k: v for k, v in os.environ.items() if k.startswith(("ASAN_", "UBSAN_", "LSAN_"))})
        env.update(more)
        return {k: v for k, v in env.items() if v is not None}

    def start(self, *args, env=None):
        return subprocess.Popen([PROGRAM, *args], env=self.environment(**(env or {})), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/")

    def end(self, process, limit=60):
        try:
            out, err = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            self.fail(f"no end within {limit} s: {out!r} {err!r}")
        return process.returncode, out.decode(), err.decode()

    def dsb(self, *args, env=None, limit=60):
        return self.end(self.start(*args, env=env), limit)

    def run_args(self, backend="docker-api"):
        return ("--backend", backend, "run", "--json", "--base-dir", os.path.join(self.dir, "base"), "-c", "pass")

    def hasty(self):
        """A policy that does not wait long for a container's first word."""
        path = os.path.join(self.dir, "policy.json")
        with open(path, "w", encoding="ascii") as out:
            out.write(json.dumps({"start_timeout": setting(1)}))
        return path

    def failure(self, done, code, *words, status=125):
        self.assertEqual(done[0], status, done)
        result = json.loads(done[1])
        self.assertEqual(result["failure"]["code"], code, done)
        for word in words:
            self.assertIn(word.lower(), result["failure"]["message"].lower())
        return result["failure"]["message"]


class Cancel(Case):
    """A signal ends the program whatever the engine does, with one result and status cancelled."""

    STEPS = ("ping", "info", "image", "create", "inspect", "attach", "start")

    def cancel(self, backend, hang, signals, env=None):
        with Engine(self.socket) as engine:
            engine.hang = set(hang)
            process = self.start(*self.run_args(backend), env=env)
            self.assertTrue(engine.hung.wait(scaled(20)), "the engine was never asked")
            time.sleep(0.1)
            begin = time.monotonic()
            for number in signals:
                process.send_signal(number)
                time.sleep(0.2)
            done = self.end(process, 30)
            seconds = time.monotonic() - begin
        self.assertLess(seconds, scaled(2 + (SETTLE if "create" in hang else 0)) * SLACK, done)
        self.assertEqual(done[0], 128 + signals[0], done)
        self.assertEqual(json.loads(done[1])["status"], "cancelled", done)
        self.assertEqual(os.listdir(os.path.join(self.dir, "base")) or [".locks"], [".locks"])
        return engine

    def test_every_step(self):
        for step in self.STEPS:
            with self.subTest(step):
                self.dead(step, [signal.SIGINT])

    def dead(self, step, signals, backend="docker-api"):
        """The engine answers until `step`, and nothing from there on."""
        with Engine(self.socket) as engine:
            engine.hang = {step}
            process = self.start(*self.run_args(backend))
            self.assertTrue(engine.hung.wait(scaled(20)), "the engine was never asked")
            engine.hang = {"ping", "version", "remove", "kill", step}
            time.sleep(0.1)
            begin = time.monotonic()
            for number in signals:
                process.send_signal(number)
                time.sleep(0.2)
            done = self.end(process, 30)
            seconds = time.monotonic() - begin
        self.assertLess(seconds, scaled(2 + (SETTLE if step == "create" else 0)) * SLACK, done)
        self.assertEqual(done[0], 128 + signals[0], done)
        self.assertEqual(json.loads(done[1])["status"], "cancelled", done)

    def test_second_signal_changes_nothing(self):
        self.dead("create", [signal.SIGINT, signal.SIGINT])

    def test_terminated(self):
        self.dead("create", [signal.SIGTERM])

    def test_one_step_hangs(self):
        """The rest of the engine works: the container is removed all the same."""
        for step in ("create", "inspect", "attach", "start"):
            with self.subTest(step):
                engine = self.cancel("docker-api", [step], [signal.SIGINT])
                self.assertIn("remove", [s for s, _ in engine.requests])

    def test_removal_hangs(self):
        """An engine that is alive and does not remove gets some seconds; a third signal is the way out."""
        for signals in (1, 3):
            with self.subTest(signals=signals), Engine(self.socket) as engine:
                engine.hang = {"create", "remove"}
                process = self.start(*self.run_args())
                self.assertTrue(engine.hung.wait(scaled(20)))
                begin = time.monotonic()
                send(process, signal.SIGINT, signals)
                done = self.end(process)
                seconds = time.monotonic() - begin
                if signals == 1:
                    self.assertEqual((done[0], json.loads(done[1])["status"]), (130, "cancelled"), done)
                    self.assertTrue(4 < seconds < scaled(7 + SETTLE) * SLACK, seconds)
                else:
                    self.assertEqual(done[0], -signal.SIGINT, done)
                    self.assertLess(seconds, scaled(2) * SLACK)

    def test_auto_does_not_try_the_next(self):
        with Engine(self.socket) as engine:
            engine.hang = {"ping"}
            process = self.start("run", "--json", "-c", "pass", env={"CONTAINER_HOST": "unix://" + self.socket})
            self.assertTrue(engine.hung.wait(scaled(20)))
            begin = time.monotonic()
            process.send_signal(signal.SIGINT)
            done = self.end(process)
            self.assertLess(time.monotonic() - begin, scaled(2) * SLACK)
        self.assertEqual((done[0], json.loads(done[1])["status"]), (130, "cancelled"), done)

    @unittest.skipUnless(shutil.which("docker"), "no program docker")
    def test_docker_cli(self):
        for step in ("info", "create"):
            with self.subTest(step):
                self.dead(step, [signal.SIGINT], "docker-cli")


class Deadlines(Case):
    def test_engine_timeout(self):
        with Engine(self.socket) as engine:
            for step in ("ping", "info", "image", "create", "inspect", "attach"):
                engine.hang = {step}
                begin = time.monotonic()
                done = self.dsb(*self.run_args(), "--engine-timeout", "1")
                with self.subTest(step):
                    self.failure(done, "engine_timeout", "time")
                    self.assertLess(time.monotonic() - begin, scaled(2.5) * SLACK)

    def test_range(self):
        for value in ("0", "-1", "3601", "-2147483648", "x"):
            done = self.dsb(*self.run_args(), f"--engine-timeout={value}")
            self.failure(done, "invalid", "engine-timeout")


class Listing(Case):
    """Podman 4.3 fails to list containers when one of them ends just then."""
    BUSY = (500, {"cause": "no such process", "message": "read /proc/22752/cgroup: no such process", "response": 500})

    def gc(self, answers):
        with Engine(self.socket) as engine:
            engine.answers["list"] = lambda: answers.pop(0) if answers else (200, [])
            done = self.dsb("gc", "--backend", "docker-api", "--base-dir", os.path.join(self.dir, "base"))
        return done, [step for step, _ in engine.requests].count("list")

    def test_one_ends_meanwhile(self):
        done, asked = self.gc([self.BUSY, self.BUSY])
        self.assertEqual((done[0], asked), (0, 3), done)

    def test_no_end_of_it(self):
        done, asked = self.gc([self.BUSY] * 100)
        self.assertEqual(done[0], 125, done)
        self.assertIn("no such process", done[2])
        self.assertLess(asked, 10)

    def test_other_failures_are_said_at_once(self):
        done, asked = self.gc([(500, {"message": "disk on fire"})])
        self.assertEqual((done[0], asked), (125, 1), done)
        self.assertIn("disk on fire", done[2])


class Gone(Case):
    """Docker 20.10 goes on listing containers whose removal was asked for twice at once."""
    ROW = {"Id": "ab" * 32, "Names": [], "Labels": {"dsandbox.owner": "0.1.1.0-0", "dsandbox.session": "s", "dsandbox.deadline": "1"}}

    def gc(self, state, inspect):
        with Engine(self.socket) as engine:
            answers = [(200, [{**self.ROW, "State": state}])]
            engine.answers["list"] = lambda: answers.pop(0) if answers else (200, [])
            engine.answers["inspect"] = inspect
            done = self.dsb("gc", "--backend", "docker-api", "--base-dir", os.path.join(self.dir, "base"))
        self.assertEqual(done[0], 0, done)
        return done[1]

    def test_what_it_does_not_know_is_not_there(self):
        for state in ("removing", "dead"):
            self.assertEqual(self.gc(state, (404, {"message": "No such container"})), "removed 0\n")

    def test_what_it_knows_is_removed(self):
        for state in ("removing", "dead", "exited"):
            self.assertEqual(self.gc(state, (200, {})), "removed 1\n")


class Remote(Case):
    """Which addresses are of another host is in the unit tests; here, what comes of it."""

    def test_refused_before_anything_is_made(self):
        backends = ["docker-api"] + (["docker-cli"] if shutil.which("docker") else [])
        for backend in backends:
            with self.subTest(backend), Engine(self.socket) as engine:
                engine.answers["info"] = (200, dict(INFO, OperatingSystem="Docker Desktop"))
                done = self.dsb(*self.run_args(backend))
                self.failure(done, "refused", "not on this host", "its endpoint unix://", status=126)
                said = self.dsb(*(word for word in self.run_args(backend) if word != "--json"))[2]
                self.assertIn("(--host unix:///PATH, or another --backend;", said)
                self.assertLessEqual({s for s, _ in engine.requests}, {"ping", "info", "version"})
                shown = self.dsb("backend", "show", backend)
                self.assertEqual(shown[0], 0, shown)

    def test_loopback_is_here(self):
        with Engine() as engine:
            done = self.dsb(*self.run_args(), "--policy", self.hasty(),
                            env={"DOCKER_HOST": f"tcp://127.0.0.1:{engine.port}"})
            self.assertIn("create", [s for s, _ in engine.requests], done)


class ImageBuild(Case):
    def built(self, *args, backend="docker-api"):
        with Engine(self.socket) as engine:
            done = self.dsb("--backend", backend, "image", "build", *args, env={"TMPDIR": os.path.join(self.dir, "tmp")})
            self.assertEqual(done[0], 0, done)
            self.assertEqual(os.listdir(os.path.join(self.dir, "tmp")), [])
            self.assertEqual(len(engine.uploads), 1, engine.requests)
            self.query = [q for s, q in engine.requests if s == "build"][0]
            return tarfile.open(fileobj=io.BytesIO(engine.uploads[0]))

    def content(self, tar, name):
        member = next(m for m in tar.getmembers() if os.path.normpath(m.name) == name)
        return tar.extractfile(member).read()

    def source(self, name):
        with open(os.path.join(TOP, name), "rb") as file:
            return file.read()

    def test_dockerfile_and_script(self):
        with self.built("-t", "x:y") as tar:
            self.assertEqual(self.content(tar, "Dockerfile.sandbox"), self.source("Dockerfile.sandbox"))
            self.assertEqual(self.content(tar, "images/from-packages.sh"), self.source("images/from-packages.sh"))
            names = sorted(os.path.normpath(m.name) for m in tar.getmembers())
        self.assertEqual(names, [".", "Dockerfile.sandbox", "images", "images/from-packages.sh"])
        self.assertIn("dockerfile=Dockerfile.sandbox", self.query)
        self.assertIn("t=x:y", self.query)

    def test_copies_of_the_dockerfile_are_in_the_tar(self):
        """Each file that the Dockerfile copies from its context is there."""
        words = [line.split() for line in self.source("Dockerfile.sandbox").decode().splitlines()]
        copied = [w[1] for w in words if w[:1] == ["COPY"] and not w[1].startswith("--from")]
        self.assertTrue(copied)
        with self.built() as tar:
            for name in copied:
                self.content(tar, name)

    @unittest.skipUnless(shutil.which("docker"), "no program docker")
    def test_docker_cli(self):
        if subprocess.run(["docker", "buildx", "version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          timeout=30, check=False).returncode == 0:
            self.skipTest("buildx has a protocol of its own")
        with self.built("-t", "x:y", backend="docker-cli") as tar:
            self.assertEqual(self.content(tar, "Dockerfile.sandbox"), self.source("Dockerfile.sandbox"))
            self.assertEqual(self.content(tar, "images/from-packages.sh"), self.source("images/from-packages.sh"))

    def test_own_file(self):
        path = os.path.join(self.dir, "My Dockerfile")
        with open(path, "w", encoding="ascii") as out:
            out.write("FROM scratch\n")
        with self.built("-f", path) as tar:
            self.assertEqual(self.content(tar, "Dockerfile.sandbox"), b"FROM scratch\n")

    def refused(self, path, *words, backend="docker-api"):
        with Engine(self.socket) as engine:
            begin = time.monotonic()
            done = self.dsb("--backend", backend, "--json", "image", "build", "-f", path, limit=20,
                            env={"TMPDIR": os.path.join(self.dir, "tmp")})
            self.failure(done, "invalid", *words)
            self.assertLess(time.monotonic() - begin, scaled(5) * SLACK)
            self.assertEqual(engine.uploads, [])
        self.assertEqual(os.listdir(os.path.join(self.dir, "tmp")), [])

    def test_not_a_file(self):
        fifo, fifo_tar, big = (os.path.join(self.dir, n) for n in ("fifo", "fifo.tar", "big"))
        os.mkfifo(fifo)
        os.mkfifo(fifo_tar)
        with open(big, "wb") as out:
            out.truncate(1 << 40)
        self.refused("/dev/zero", "regular file")
        self.refused(fifo, "regular file")
        self.refused(fifo_tar, "regular file")
        self.refused(big, "larger")
        self.refused(self.dir, "regular file")

    @unittest.skipUnless(shutil.which("docker"), "no program docker")
    def test_fifo_docker_cli(self):
        fifo_tar = os.path.join(self.dir, "fifo.tar")
        os.mkfifo(fifo_tar)
        self.refused(fifo_tar, "regular file", backend="docker-cli")

    def test_interrupted(self):
        """Ctrl-C while the packages are unpacked: nothing stays, and the children end."""
        tools = os.path.join(self.dir, "tools")
        os.mkdir(tools)
        with open(os.path.join(tools, "mmdebstrap"), "w", encoding="ascii") as out:
            out.write(f"#!/bin/sh\necho $$ >{self.dir}/pid\nhead -c 100000 /dev/zero\nexec sleep 60\n")
        with open(os.path.join(tools, "apt-get"), "w", encoding="ascii") as out:
            out.write("#!/bin/sh\n")  # asked where it gets packages from, it reads all of its lists
        for name in ("mmdebstrap", "apt-get"):
            os.chmod(os.path.join(tools, name), 0o755)
        tmp = os.path.join(self.dir, "tmp")
        process = self.start("image", "build", "--from-packages",
                             env={"TMPDIR": tmp, "PATH": tools + ":/usr/bin:/bin:/usr/sbin:/sbin"})
        deadline = time.monotonic() + scaled(30)
        while time.monotonic() < deadline and not os.path.exists(os.path.join(self.dir, "pid")):
            time.sleep(0.05)
        time.sleep(0.2)
        self.assertNotEqual(os.listdir(tmp), [])
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        done = self.end(process)
        self.assertLess(time.monotonic() - begin, scaled(3) * SLACK)
        self.assertEqual(done[0], 130, done)
        self.assertEqual(os.listdir(tmp), [])
        with open(os.path.join(self.dir, "pid"), encoding="ascii") as file:
            self.assertFalse(os.path.exists(f"/proc/{file.read().strip()}"))


def openssl(*args, cwd):
    subprocess.run(["openssl", *args], cwd=cwd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60)


def make_certificates(directory):
    """An authority, and certificates of a server at 127.0.0.1 and of a client, by it; and another authority."""
    for name in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                "-subj", f"/CN={name}", "-keyout", f"{name}-key.pem", "-out", f"{name}.pem", cwd=directory)
    for name, alt in (("server", "IP:127.0.0.1"), ("client", "DNS:client"), ("elsewhere", "DNS:elsewhere.test")):
        with open(os.path.join(directory, "ext"), "w", encoding="ascii") as out:
            out.write(f"subjectAltName={alt}\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
                "-keyout", f"{name}-key.pem", "-out", f"{name}.csr", cwd=directory)
        openssl("x509", "-req", "-days", "2", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca-key.pem",
                "-CAcreateserial", "-extfile", "ext", "-out", f"{name}.pem", cwd=directory)


@unittest.skipUnless(shutil.which("openssl"), "no program openssl")
class Tls(Case):
    @classmethod
    def setUpClass(cls):
        cls.pki = tempfile.mkdtemp(prefix="dsb-pki.", dir="/tmp")
        make_certificates(cls.pki)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.pki, ignore_errors=True)

    def server(self, name="server", client=False, version=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.path.join(self.pki, f"{name}.pem"), os.path.join(self.pki, f"{name}-key.pem"))
        if version:
            context.maximum_version = version
        if client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(os.path.join(self.pki, "ca.pem"))
        return context

    def cert_path(self, ca="ca", client="client"):
        path = tempfile.mkdtemp(dir=self.dir)
        if ca:
            shutil.copy(os.path.join(self.pki, f"{ca}.pem"), os.path.join(path, "ca.pem"))
        if client:
            shutil.copy(os.path.join(self.pki, f"{client}.pem"), os.path.join(path, "cert.pem"))
            shutil.copy(os.path.join(self.pki, f"{client}-key.pem"), os.path.join(path, "key.pem"))
        return path

    def show(self, env):
        return self.dsb("backend", "show", "docker-api", env=env)

    def answers(self, env):
        done = self.show(env)
        self.assertEqual(done[0], 0, done)
        self.assertIn("20.10.24", done[1])

    def test_mutual(self):
        for version in (ssl.TLSVersion.TLSv1_2, None):
            with Engine(tls=self.server(client=True, version=version)) as engine:
                self.answers({"DOCKER_HOST": f"tcp://127.0.0.1:{engine.port}", "DOCKER_TLS_VERIFY": "1",
                              "DOCKER_CERT_PATH": self.cert_path()})

    def test_https_address(self):
        with Engine(tls=self.server()) as engine:
            self.answers({"DOCKER_HOST": f"https://127.0.0.1:{engine.port}", "DOCKER_CERT_PATH": self.cert_path(client=None)})

    def test_certificates_in_the_config_directory(self):
        with Engine(tls=self.server(client=True)) as engine:
            self.answers({"DOCKER_HOST": f"tcp://127.0.0.1:{engine.port}", "DOCKER_TLS_VERIFY": "1",
                          "DOCKER_CONFIG": self.cert_path()})

    def test_stream_over_tls(self):
        """Up to the attach, which is written by hand."""
        with Engine(tls=self.server(client=True)) as engine:
            done = self.dsb(*self.run_args(), "--engine-timeout", str(set_seconds(1)), "--policy", self.hasty(),
                            env={"DOCKER_HOST": f"tcp://127.0.0.1:{engine.port}", "DOCKER_TLS_VERIFY": "1",
                                 "DOCKER_CERT_PATH": self.cert_path()})
            steps = [s for s, _ in engine.requests]
            self.assertIn("attach", steps, done)
            self.assertIn("start", steps, done)
            self.failure(done, "engine_timeout", "hello")

    def bad(self, env, *words, never="group docker"):
        done = self.dsb(*self.run_args(), env=env)
        self.assertEqual(done[0], 125, done)
        message = json.loads(done[1])["failure"]["message"]
        for word in words:
            self.assertIn(word, message)
        self.assertNotIn(never, message)

    def test_unknown_authority(self):
        with Engine(tls=self.server()) as engine:
            self.bad({"DOCKER_HOST": f"tcp://127.0.0.1:{engine.port}", "DOCKER_TLS_VERIFY": "1",
                      "DOCKER_CERT_PATH": self.cert_path(ca="other")}, "certificate", "ca.pem", "DOCKER_CERT_PATH")

    def test_wrong_name(self):
        with Engine(tls=self.server("elsewhere")) as engine:
            self.bad({"DOCKER_HOST": f"tcp://127.0.0.1:{engine.port}", "DOCKER_TLS_VERIFY": "1",
                      "DOCKER_CERT_PATH": self.cert_path()}, "name", "127.0.0.1")

    def test_no_client_certificate(self):
        for version in (ssl.TLSVersion.TLSv1_2, None):
            with Engine(tls=self.server(client=True, version=version)) as engine:
                self.bad({"DOCKER_HOST": f"tcp://127.0.0.1:{engine.port}", "DOCKER_TLS_VERIFY": "1",
                          "DOCKER_CERT_PATH": self.cert_path(client=None)}, "cert.pem", "DOCKER_CERT_PATH")

    def test_client_certificate_of_another_authority(self):
        with Engine(tls=self.server(client=True)) as engine:
            self.bad({"DOCKER_HOST": f"tcp://127.0.0.1:{engine.port}", "DOCKER_TLS_VERIFY": "1",
                      "DOCKER_CERT_PATH": self.cert_path(client="other")}, "DOCKER_CERT_PATH")

    def test_broken_key(self):
        path = self.cert_path()
        with open(os.path.join(path, "key.pem"), "w", encoding="ascii") as out:
            out.write("nonsense")
        with Engine(tls=self.server()) as engine:
            self.bad({"DOCKER_HOST": f"tcp://127.0.0.1:{engine.port}", "DOCKER_TLS_VERIFY": "1",
                      "DOCKER_CERT_PATH": path}, "key.pem")

    def test_plain_to_tls(self):
        with Engine(tls=self.server()) as engine:
            self.bad({"DOCKER_HOST": f"tcp://127.0.0.1:{engine.port}"}, "DOCKER_TLS_VERIFY")

    def test_tls_to_plain(self):
        with Engine() as engine:
            self.bad({"DOCKER_HOST": f"tcp://127.0.0.1:{engine.port}", "DOCKER_TLS_VERIFY": "1",
                      "DOCKER_CERT_PATH": self.cert_path()}, "DOCKER_TLS_VERIFY")

    # --- contexts

    def context(self, config, name, host, tls=None, skip=False):
        digest = hashlib.sha256(name.encode()).hexdigest()
        meta = os.path.join(config, "contexts", "meta", digest)
        os.makedirs(meta)
        with open(os.path.join(meta, "meta.json"), "w", encoding="ascii") as out:
            json.dump({"Name": name, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": skip}}}, out)
        if tls:
            shutil.copytree(tls, os.path.join(config, "contexts", "tls", digest, "docker"))

    def test_contexts(self):
        config = os.path.join(self.dir, "home", ".docker")
        os.mkdir(config)
        with Engine(self.socket) as plain, Engine(tls=self.server(client=True)) as secure:
            self.context(config, "plain", "unix://" + self.socket)
            self.context(config, "secure", f"tcp://127.0.0.1:{secure.port}", tls=self.cert_path())
            self.context(config, "skip", f"tcp://127.0.0.1:{secure.port}", tls=self.cert_path(ca="other"), skip=True)
            self.context(config, "wrong", f"tcp://127.0.0.1:{secure.port}", tls=self.cert_path(ca="other"))
            for name, engine in (("plain", plain), ("secure", secure), ("skip", secure)):
                with self.subTest(name):
                    engine.requests.clear()
                    self.answers({"DOCKER_HOST": None, "DOCKER_CONTEXT": name})
                    self.assertTrue(engine.requests)
            self.bad({"DOCKER_HOST": None, "DOCKER_CONTEXT": "wrong"}, "certificate")
            self.bad({"DOCKER_HOST": None, "DOCKER_CONTEXT": "absent"}, "absent", "docker context ls")
            with open(os.path.join(config, "config.json"), "w", encoding="ascii") as out:
                out.write('{"currentContext": "secure"}')
            secure.requests.clear()
            self.answers({"DOCKER_HOST": None})
            self.assertTrue(secure.requests)
            plain.requests.clear()  # DOCKER_HOST goes before a context
            self.answers({"DOCKER_CONTEXT": "secure"})
            self.assertTrue(plain.requests)

    def test_config_files_are_bounded(self):
        config = os.path.join(self.dir, "home", ".docker")
        os.mkdir(config)
        for kind in ("fifo", "huge", "zero"):
            with self.subTest(kind):
                path = os.path.join(config, "config.json")
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
                if kind == "fifo":
                    os.mkfifo(path)
                elif kind == "zero":
                    os.symlink("/dev/zero", path)
                else:
                    with open(path, "wb") as out:
                        out.truncate(1 << 40)
                for backend in ("docker-api", "docker-cli"):
                    begin = time.monotonic()
                    self.dsb("backend", "show", backend, env={"DOCKER_HOST": None, "DOCKER_CONTEXT": None}, limit=20)
                    self.assertLess(time.monotonic() - begin, scaled(10) * SLACK)


if __name__ == "__main__":
    os.umask(0o022)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    runner.main()
