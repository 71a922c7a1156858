# SPDX-License-Identifier: MIT
"""The package itself, and on a real engine."""
import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import threading
import time
from unittest import mock

from common import PACKAGE, PROGRAM, TOP, Case, EngineCase, environment, scaled, wait_until

import dsandbox
import example_names
from dsandbox import Client, Sandbox, Session
from dsandbox.sandbox import default_base_dir
from package_client import content
from rest import rest
from speed import set_seconds

# For code that ends when it is interrupted: on a busy machine within its grace, too, or its variables would go back.
PATIENT = {"grace": "60s"}


class BaseDirectory(Case):
    """The rule is the library's, see tests/unit/test_workdir.c."""

    def test_default(self):
        shared = self.path("shared")
        own = f"{shared}-{os.geteuid()}"
        with mock.patch("dsandbox.sandbox.SHARED_BASE", shared):
            self.assertEqual(default_base_dir(), shared, "nobody's")
            os.mkdir(shared, 0o700)
            self.assertEqual(default_base_dir(), shared, "ours")
            os.chmod(shared, 0o770)
            self.assertEqual(default_base_dir(), own, "others can write it")
            os.mkdir(own, 0o700)
            os.rmdir(shared)
            self.assertEqual(default_base_dir(), own, "sessions are there")


class Package(Case):
    def test_every_error_code(self):
        with open(os.path.join(TOP, "doc", "result.schema.json"), encoding="utf-8") as file:
            codes = json.load(file)["properties"]["failure"]["oneOf"][1]["properties"]["code"]["enum"]
        from dsandbox.errors import error_of
        for code in codes:
            self.assertEqual(error_of(code, "m").code, code)
            self.assertIsInstance(error_of(code, "m"), dsandbox.Error)

    def test_result_of_every_status(self):
        with open(os.path.join(TOP, "doc", "result.schema.json"), encoding="utf-8") as file:
            statuses = json.load(file)["properties"]["status"]["enum"]
        for status in statuses:
            result = dsandbox.Result.from_json({"status": status})
            self.assertEqual(result.ok, status == "ok")
            self.assertTrue(result.summary())
        with self.assertRaises(ValueError):
            dsandbox.Result.from_json({})

    def test_images(self):
        display = dsandbox.Display({"image/png": base64.b64encode(b"\x89PNG").decode(), "text/html": "<b>", "application/json": [1]})
        self.assertEqual((display.png, display.html, display.json, display.text), (b"\x89PNG", "<b>", [1], None))

    def test_public_names_exist(self):
        for name in dsandbox.__all__:
            self.assertTrue(hasattr(dsandbox, name), name)
        self.assertTrue(os.path.exists(os.path.join(PACKAGE, "dsandbox", "py.typed")))

    def test_compiles_without_a_warning(self):
        for python in [sys.executable, os.environ.get("DSB_TEST_PYTHON38", "")]:
            if python:
                done = subprocess.run([python, "-W", "error", "-c", "import sys, pathlib\nfor f in pathlib.Path(sys.argv[1]).glob('*.py'): "
                                       "compile(f.read_text('utf-8'), str(f), 'exec')", os.path.join(PACKAGE, "dsandbox")], timeout=60)
                self.assertEqual(done.returncode, 0)

    def test_standard_library_only(self):
        code = ("import sys; sys.path[0] = sys.argv[1]; before = set(sys.modules)\nimport dsandbox, dsandbox.dolphin\n"
                "names = {n.split('.')[0] for n in set(sys.modules) - before if not n.startswith('_')}\n"
                "print(sorted(names - set(sys.stdlib_module_names) - {'dsandbox'}))")
        if sys.version_info >= (3, 10):
            out = subprocess.run([sys.executable, "-I", "-S", "-c", code, PACKAGE], stdout=subprocess.PIPE, timeout=60, check=True)
            self.assertEqual(out.stdout, b"[]\n")


class Engine(EngineCase):
    """The same on a real engine."""

    def sandbox(self, **more):
        return Sandbox(client=self.client, base_dir=self.base, **self.options(), **more)

    def session(self, *args, settings=None, **more):
        session = self.sandbox(settings=settings).session(*args, **more)
        self.addCleanup(session.close, delete_files=True)
        return session

    def test_one_shot(self):
        out = []
        result = self.sandbox().run("print('out'); open('/sandbox/a', 'w').write('x'); 6 * 7", on_stdout=out.append)
        self.assertEqual((result.status, result.stdout, result.value, "".join(out)), ("ok", "out\n", "42", "out\n"), result.raw)
        self.assertEqual([f.path for f in result.files.created], ["a"])
        self.assertEqual(result.backend, self.options()["backend"])
        self.assertEqual({c.verdict for c in result.controls} - {"unenforced"}, {"enforced"})

    def test_input(self):
        result = self.sandbox().run("import sys, os; print(sys.argv[1:], os.environ['A'], sys.stdin.read())",
                                    argv=["1"], env={"A": "b"}, stdin="typed")
        self.assertEqual(result.stdout, "['1'] b typed\n", result.raw)

    def test_commands(self):
        out = []
        result = self.sandbox().exec(["sh", "-c", "echo $A; cat; exit 3"], env={"A": "b"}, stdin="typed", on_stdout=out.append)
        self.assertEqual((result.status, result.exit_code, result.stdout, "".join(out)), ("error", 3, "b\ntyped", "b\ntyped"), result.raw)
        session = self.session()
        session.run("x = 1")
        self.assertEqual(session.exec("pwd; echo a > made", cwd="/tmp").stdout, "/tmp\n")
        self.assertEqual(session.exec(["no-such-program"]).exit_code, 127)
        result = session.exec("setsid sleep 600 & printf 'on\\377'; cat")
        self.assertEqual((result.status, result.stdout, result.stdout_data), ("ok", "on\ufffd", b"on\xff"), result.raw)
        result = session.exec("echo part; setsid sleep 600", timeout=set_seconds(2))
        self.assertEqual((result.status, result.stdout), ("timeout", "part\n"), result.raw)
        self.assertEqual((session.exec(["/etc/passwd"]).exit_code, session.exec("exit 3").exit_code), (126, 3))
        self.assertEqual(session.run("x").value, "1")
        self.assertEqual([(h.code, h.command) for h in session.history()][1:3],
                         [("/bin/sh -c 'pwd; echo a > made'", True), ("no-such-program", True)])

    def test_timeout(self):
        result = self.sandbox().run("print('before', flush=True)\nwhile True: pass", timeout=set_seconds(1))
        self.assertEqual((result.status, result.stdout), ("timeout", "before\n"), result.raw)

    def test_session(self):
        session = self.session()
        self.assertEqual(session.run("import math; x = 41").status, "ok")
        result = session.run("x + 1")
        self.assertEqual(result.value, "42", result.raw)
        self.assertTrue(result.state.kept)
        self.assertIn(("x", "int"), [(v.name, v.type) for v in session.vars()])
        self.assertEqual([h.code for h in session.history()], ["import math; x = 41", "x + 1"])
        session.run("def f():\n    return 1 / 0")
        trace = session.run("# another text\n\nf()").error.traceback
        self.assertIn('File "<execution 4>", line 3, in <module>\n    f()\n', trace)
        self.assertIn('File "<execution 3>", line 2, in f\n    return 1 / 0\n', trace)
        session.reset()
        self.assertEqual(session.run("x").error.name, "NameError")

    def test_environment_of_one_execution(self):
        session, shows = self.session(), "import os; [os.environ.get(n) for n in ('TOKEN', 'LANG')]"
        self.assertEqual(session.run(shows, env={"TOKEN": "secret", "LANG": "xx"}).value, "['secret', 'xx']")
        self.assertEqual(session.run(shows).value, "[None, 'C.UTF-8']")
        session.run("os.environ['TOKEN'] = 'mine'")
        self.assertEqual(session.run(shows, env={"TOKEN": "secret"}).value, "['secret', 'C.UTF-8']")
        self.assertEqual(session.run(shows).value, "['mine', 'C.UTF-8']")

    def test_survives(self):
        session = self.session()
        session.run("x = 41")
        crashes = (("timeout", "while True: pass", 1), ("signal", "import ctypes; ctypes.string_at(0)", None),
                   ("error", "import os; os._exit(3)", None), ("timeout", "import time; time.sleep(60)", 1))
        for status, code, timeout in crashes:
            with self.subTest(code=code):
                rest(lambda code: session.run(code).raw["state"])
                self.assertEqual(session.run(code, timeout=timeout).status, status)
                result = session.run("x")
                self.assertEqual((result.value, result.status), ("41", "ok"), result.raw)

    @staticmethod
    def gate(name="go"):
        """Code that waits until let_go()."""
        return f"import os, time\nwhile not os.path.exists('/sandbox/{name}'): time.sleep(0.02)\n"

    @staticmethod
    def let_go(session, name="go"):
        with open(os.path.join(session.workdir, name), "w", encoding="ascii"):
            pass

    def test_streaming(self):
        """Each line is here before the next one can be printed."""
        session, came = self.session(), []

        def take(text):
            came.append(text)
            self.let_go(session, f"go{len(came) - 1}")

        result = session.run("".join(f"print({i})\n{self.gate(f'go{i}')}" for i in range(3)), on_stdout=take, timeout=600)
        self.assertEqual((came, result.status), (["0\n", "1\n", "2\n"], "ok"), result.raw)

    def test_interrupt(self):
        session, results, started = self.session(settings=PATIENT), [], threading.Event()
        code = "x = 7\nprint('up')\nimport time\ntime.sleep(60)"
        thread = threading.Thread(target=lambda: results.append(session.run(code, on_stdout=lambda text: started.set())))
        thread.start()
        self.assertTrue(started.wait(scaled(30)))
        self.assertTrue(session.interrupt())
        thread.join(scaled(30))
        self.assertEqual(results[0].status, "cancelled")
        self.assertEqual(session.run("x").value, "7")

    def test_stdin(self):
        session, results, started = self.session(), [], threading.Event()
        code = "print('up')\nprint('got', input(), input())"
        thread = threading.Thread(target=lambda: results.append(
            session.run(code, stdin_open=True, on_stdout=lambda text: started.set())))
        thread.start()
        self.assertTrue(started.wait(scaled(30)))
        session.send_stdin("one\n")
        session.send_stdin("two\n", end=True)
        thread.join(scaled(30))
        self.assertEqual(results[0].stdout, "up\ngot one two\n", results[0].raw)

    def test_busy(self):
        session, started = self.session(), threading.Event()
        thread = threading.Thread(target=lambda: session.run(f"print(1)\n{self.gate()}order = [1]", on_stdout=lambda t: started.set(), timeout=600))
        thread.start()
        self.assertTrue(started.wait(scaled(30)))
        with self.assertRaises(dsandbox.BusyError):
            session.run("1", wait=False)
        threading.Thread(target=lambda: wait_until(lambda: session.info().queued == 1, 30) and self.let_go(session)).start()
        self.assertEqual(session.run("order + [2]").value, "[1, 2]", "the second waits its turn")
        thread.join(scaled(30))

    def test_hang_up_stops_the_code(self):
        session = self.session(settings=PATIENT)

        def stop(text):
            raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            session.run("y = 1\nprint('up')\nimport time\ntime.sleep(60)", on_stdout=stop)
        begin = time.monotonic()
        self.assertEqual(session.run("y").value, "1")
        self.assertLess(time.monotonic() - begin, scaled(20))

    def test_files(self):
        session = self.session("files-" + os.urandom(4).hex())
        session.files.write("in/put.txt", "hällo")
        self.assertEqual(session.run("open('/sandbox/in/put.txt', encoding='utf-8').read()").value, "'hällo'")
        session.run("open('/sandbox/out.bin', 'wb').write(b'\\0\\xff')")
        self.assertEqual(session.files.read("out.bin"), b"\0\xff")
        self.assertEqual(sorted(f.path for f in session.files.list() if f.type == "file"), ["in/put.txt", "out.bin"])
        with open(os.path.join(session.workdir, "out.bin"), "rb") as file:
            self.assertEqual(file.read(), b"\0\xff", "it is on the host")
        session.run("import os; os.symlink('/etc/passwd', '/sandbox/link')")
        with self.assertRaises(dsandbox.Error):
            session.files.read("link")
        session.files.delete("in", recursive=True)
        with self.assertRaises(dsandbox.NotFoundError):
            session.files.read("in/put.txt")

    def test_large_files(self):
        session = self.session("large-" + os.urandom(4).hex())
        ours = os.path.join(self.base, "large-" + os.urandom(4).hex())
        self.addCleanup(os.unlink, ours)
        with open(ours, "wb") as file:
            file.write(b"0123456789abcdef" * (100 << 16))
        wanted = hashlib.sha256(content(ours)).hexdigest()
        session.files.upload("dir/large", ours)
        code = "import hashlib\nhashlib.sha256(open('dir/large', 'rb').read()).hexdigest()"
        self.assertEqual(session.run(code, timeout=60).value, repr(wanted))
        os.truncate(ours, 0)
        self.assertEqual(session.files.download("dir/large", ours), 100 << 20)
        self.assertEqual(hashlib.sha256(content(ours)).hexdigest(), wanted)
        session.files.upload("small", io.BytesIO(b"abc"))
        to = io.BytesIO()
        self.assertEqual((session.files.download("small", to), to.getvalue()), (3, b"abc"))
        with self.assertRaises(dsandbox.NotFoundError):
            session.files.download("none", ours)
        self.assertEqual(hashlib.sha256(content(ours)).hexdigest(), wanted)

    def test_figures(self):
        result = self.session().run("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nNone", timeout=60)
        images = [d.png for d in result.results if d.png]
        self.assertEqual(len(images), 1, result.raw)
        self.assertTrue(images[0].startswith(b"\x89PNG"))

    def test_another_process_goes_on(self):
        session = self.session("shared-" + os.urandom(4).hex())
        session.run("x = 5")
        code = ("import sys; sys.path[0], sock, id = sys.argv[1:]; import dsandbox\n"
                "print(dsandbox.Session(id, client=dsandbox.Client(sock, start=False)).run('x * 2').value)")
        out = subprocess.run([sys.executable, "-c", code, PACKAGE, self.client.socket_path, session.id],
                             stdout=subprocess.PIPE, timeout=60, check=True)
        self.assertEqual(out.stdout, b"10\n")

    def test_refusals_and_failures(self):
        result = Sandbox(client=self.client, backend="docker-api", host="unix:///nonexistent.sock", base_dir=self.base).run("1")
        self.assertEqual((result.status, result.failure.code), ("error", "unavailable"), result.raw)
        with self.assertRaises(dsandbox.UnavailableError):
            Session(client=self.client, backend="docker-api", host="unix:///nonexistent.sock", base_dir=self.base)
        options = {**self.options(), "image": "no-such-image:1"}
        with self.assertRaisesRegex(dsandbox.NotFoundError, "no-such-image:1"):
            Session(client=self.client, base_dir=self.base, **options)
        with self.assertRaisesRegex(dsandbox.InvalidError, "memry"):
            self.sandbox(settings={"memry": 1}).session()


class Example(EngineCase):
    """examples/, as a reader would run them."""

    def test_all_are_here(self):
        with_tests = {n[5:] for n in dir(self) if n.startswith("test_")}
        self.assertLessEqual(example_names.outside(os.path.join(TOP, "examples")), with_tests)

    def said(self, name):
        path = os.path.join(TOP, "examples", name)
        options = self.options()
        env = dict(os.environ, PYTHONPATH=PACKAGE, XDG_RUNTIME_DIR=self.dir, DSANDBOX_PROGRAM=PROGRAM, DSANDBOX_BACKEND=options["backend"])
        if options["host"]:
            env["DSANDBOX_HOST"] = options["host"]
        argv = [sys.executable, path, "--base-dir", self.base]
        for name in options["allow_unenforced"]:
            argv += ["--allow-unenforced", name]
        done = subprocess.run(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
        with environment(XDG_RUNTIME_DIR=self.dir):
            os.kill(Client(start=False).version()["pid"], 15)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout.decode()

    def test_agent(self):
        text = self.said("agent.py")
        for line in ("mean 20.5", "NameError", "report.txt"):
            self.assertIn(line, text)

    def test_tools(self):
        self.assertEqual(self.said("tools.py"), "without bob - these are not for models\ncleo spent most: 400\n"
                         "customers: ok\norders: ok\norders: error\norders: ok\n")
