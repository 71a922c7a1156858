# SPDX-License-Identifier: MIT
"""dsandbox.dolphin on a fake service: names, parameters, texts, imports, the interpreter."""
import inspect
import os
import uuid
from pathlib import Path
from unittest import mock

from common import README_BASE, Case, FakeCase, environment
from fake import Failure

import dsandbox
from dsandbox import dolphin
from dsandbox.dolphin import (ALLOWED_LIBRARIES, DockerSandboxExecutor, python_interpreter,
                              sandboxed_python_interpreter, validate_imports)

# What may be imported in the later published version.
PUBLISHED = """
sys os math random datetime time json csv io collections itertools functools operator re string textwrap unicodedata struct
codecs base64 binascii hashlib hmac secrets pathlib glob fnmatch tempfile shutil pickle shelve sqlite3 gzip bz2 lzma zipfile
tarfile configparser argparse logging warnings traceback decimal fractions statistics enum typing copy pprint heapq bisect
array queue threading multiprocessing subprocess socket ssl email urllib http html xml webbrowser uuid contextlib abc
dataclasses numpy np pandas pd matplotlib plt scipy sklearn scikit-learn pdfplumber fitz pymupdf docx python-docx pptx
python-pptx openpyxl chardet magic python-magic
""".split()


class Interface(FakeCase):
    """Names, parameters, defaults and attributes of both published versions."""

    def test_parameters_and_defaults(self):
        parameters = inspect.signature(DockerSandboxExecutor).parameters
        defaults = [(name, parameters[name].default) for name in list(parameters)[:9]]
        self.assertEqual(defaults, [
            ("session_id", None), ("sandbox_base_dir", "/tmp/sandboxes"), ("container_mount_path", "/sandbox"),
            ("image_name", "dolphin-python-sandbox"), ("image_tag", "latest"), ("memory_limit", "512m"),
            ("cpu_quota", 100000), ("enable_network", False), ("timeout", 30)])
        self.assertIn("container_mount_base_dir", parameters)

    def test_attributes(self):
        executor = DockerSandboxExecutor("a", self.base)
        self.assertEqual(executor.session_id, "a")
        self.assertEqual(executor.sandbox_base_dir, Path(self.base))
        self.assertEqual(executor.session_dir, Path(self.base) / "a")
        self.assertEqual(executor.container_mount_path, "/sandbox")
        self.assertEqual((executor.image_name, executor.image_tag), ("dolphin-python-sandbox", "latest"))
        self.assertEqual(executor.full_image_name, "dolphin-python-sandbox:latest")
        self.assertEqual((executor.memory_limit, executor.cpu_quota), ("512m", 100000))
        self.assertEqual((executor.enable_network, executor.timeout), (False, 30))
        self.assertTrue(executor.docker_client.ping())

    def test_generated_id(self):
        for given in (None, ""):
            executor = DockerSandboxExecutor(given, self.base)
            self.assertEqual(str(uuid.UUID(executor.session_id)), executor.session_id)

    def test_session_directory_is_made(self):
        self.assertTrue(DockerSandboxExecutor("a", self.base).session_dir.is_dir())

    def test_limits_become_the_policy(self):
        self.service.images.add("im:3")
        executor = DockerSandboxExecutor("a", self.base, "/sandbox", "im", "3", "1g", 50000, True, 7)
        executor.execute_code("1")
        create = self.bodies("/v1/sessions")[-1]
        self.assertEqual(create["set"], {"memory": str(1 << 30), "cpus": "0.5", "network": "full"})
        self.assertEqual((create["image"], create["base_dir"]), ("im:3", self.base))
        self.assertEqual(self.bodies("/v1/sessions/a/execute")[-1]["timeout"], 7)

    def test_sizes(self):
        for text, size in (("512m", 512 << 20), ("1g", 1 << 30), ("1.5G", 3 << 29), ("100000k", 100000 << 10), ("64mb", 64 << 20),
                           ("1048576", 1 << 20), ("1048576b", 1 << 20), (1 << 20, 1 << 20)):
            self.assertEqual(dolphin.memory_bytes(text), size, text)
        for text in ("", "0", "-1", "much", "1x", None, True, 0):
            with self.assertRaisesRegex(ValueError, "memory_limit .*unlimited"):
                dolphin.memory_bytes(text)
        self.assertEqual([dolphin.processors(n) for n in (100000, 150000, 1000)], ["1", "1.5", "0.01"])
        for quota in (0, -1, 999, "100000", None, True):
            with self.assertRaisesRegex(ValueError, "cpu_quota"):
                dolphin.processors(quota)

    def test_timeout_is_checked(self):
        for timeout in (0, -1, None, "30", True):
            with self.assertRaisesRegex(ValueError, "timeout"):
                DockerSandboxExecutor("a", self.base, timeout=timeout)

    def test_mount_paths(self):
        inside = os.path.join(self.base, "a")
        for arguments in ({"container_mount_base_dir": self.base}, {"container_mount_path": inside},
                          {"container_mount_path": self.base}):  # as the third parameter of the later version
            with self.subTest(**arguments):
                executor = DockerSandboxExecutor("a", self.base, **arguments)
                self.assertEqual(executor.container_mount_path, inside)
                self.assertEqual(self.bodies("/v1/sessions")[-1]["mount"], "same_path")
        self.service.sessions.clear()
        DockerSandboxExecutor("a", self.base, same_path=False)
        self.assertNotIn("mount", self.bodies("/v1/sessions")[-1])
        with self.assertRaisesRegex(ValueError, "cannot be at /elsewhere inside: /sandbox and"):
            DockerSandboxExecutor("a", self.base, "/elsewhere")

    def test_module_functions(self):
        self.assertEqual(dolphin.__all__, ["DockerSandboxExecutor", "sandboxed_python_interpreter"])
        defaults = {n: p.default for n, p in inspect.signature(sandboxed_python_interpreter).parameters.items()}
        self.assertEqual(list(defaults), ["code", "context", "session_id", "image_name", "image_tag"])
        self.assertEqual(list(defaults.values())[2:], [None, "dolphin-python-sandbox", "latest"])
        parameters = list(inspect.signature(python_interpreter).parameters)
        self.assertEqual(parameters, ["code", "context", "use_docker_sandbox", "session_id", "docker_image_name", "docker_image_tag"])

    def test_configure(self):
        dolphin.configure(backend="podman", host="unix:///x", allow_unenforced=["memory"], settings={"pids": 7})
        DockerSandboxExecutor("a", self.base, host="unix:///y")
        create = self.bodies("/v1/sessions")[-1]
        self.assertEqual((create["backend"], create["host"], create["allow_unenforced"]), ("podman", "unix:///y", ["memory"]))
        self.assertEqual(create["set"]["pids"], "7")
        with self.assertRaises(TypeError):
            dolphin.configure(bakend="x")

    def test_configure_takes_every_option(self):
        """Each one that Options has is used, none breaks the constructor."""
        values = {"backend": "podman", "host": "unix:///x", "image": "dsandbox-sandbox:latest", "base_dir": self.base, "policy": {"pids": 9},
                  "settings": {"pids": 7}, "memory": "300MiB", "cpus": 2.0, "network": "full", "pids": 8, "disk": "1GiB",
                  "allow_unenforced": ["memory"], "same_path": True, "engine_timeout": 5}
        self.assertEqual(set(values), set(inspect.signature(dsandbox.Options).parameters))
        for name, value in values.items():
            with self.subTest(name):
                self.service.sessions.clear()
                dolphin.configure(**{name: value})
                DockerSandboxExecutor("a", *[] if name == "base_dir" else [self.base])
                create, used = self.bodies("/v1/sessions")[-1], dsandbox.Options(**{name: value}).body()
                self.assertEqual({k: create["set"][k] for k in used.get("set", {})}, used.pop("set", {}))
                self.assertEqual({k: create[k] for k in used}, used)


class Constructor(FakeCase):
    """What stops an executor from being made, in the words of the replaced class."""

    def test_no_engine(self):
        self.service.failure = Failure("unavailable", "no container engine is usable")
        with self.assertRaisesRegex(RuntimeError, "^Docker is not available: no container engine is usable"):
            DockerSandboxExecutor("a", self.base)

    def test_configured_base_directory(self):
        dolphin.configure(base_dir=self.base)
        self.assertEqual(DockerSandboxExecutor("a").session_dir, Path(self.base) / "a")
        self.assertEqual(self.bodies("/v1/sessions")[-1]["base_dir"], self.base)
        other = DockerSandboxExecutor("b", self.path("other"))
        self.assertEqual(other.sandbox_base_dir, Path(self.path("other")))

    def test_default_base_directory_is_somebody_elses(self):
        """Code that was written for /tmp/sandboxes works for the second user of a machine."""
        own = self.path("own")
        with mock.patch.object(dolphin, "default_base_dir", lambda: own):
            for arguments in ((), (README_BASE,), (README_BASE, README_BASE)):
                with self.subTest(arguments):
                    self.service.sessions.clear()
                    executor = DockerSandboxExecutor("a", *arguments)
                    self.assertEqual(executor.session_dir, Path(own) / "a")
                    self.assertEqual(self.bodies("/v1/sessions")[-1]["base_dir"], own)

    def test_no_service(self):
        with environment(XDG_RUNTIME_DIR=self.path("..")), self.assertRaisesRegex(RuntimeError, "^Docker is not available: .*DSANDBOX_PROGRAM"):
            DockerSandboxExecutor("a", self.base)

    def test_engine_is_not_ours(self):
        self.service.failure = Failure("denied", "no permission for /var/run/docker.sock")
        with self.assertRaisesRegex(RuntimeError, "^Docker is not available: no permission"):
            DockerSandboxExecutor("a", self.base)

    def test_base_directory_is_not_ours(self):
        self.service.failure = Failure("denied", f"base directory {self.base} belongs to uid 7")
        with self.assertRaises(PermissionError) as caught:
            DockerSandboxExecutor("a", self.base)
        self.assertEqual(str(caught.exception), f"[Errno 13] Permission denied: '{self.base}'")
        self.assertIn("belongs to uid 7", str(caught.exception.__cause__))

    def test_refused(self):
        self.service.failure = Failure("refused", "memory cannot be limited here")
        with self.assertRaisesRegex(RuntimeError, "The sandbox was refused: memory"):
            DockerSandboxExecutor("a", self.base)

    def test_own_image_is_missing(self):
        with self.assertRaisesRegex(RuntimeError, r"Docker image 'mine:2' not found\. Build it with: docker build -f "
                                                  r"Dockerfile\.sandbox -t mine:2 \."):
            DockerSandboxExecutor("a", self.base, image_name="mine", image_tag="2")

    def test_default_image_is_missing(self):
        self.service.images.clear()
        with self.assertRaisesRegex(RuntimeError, "Docker image 'dolphin-python-sandbox(:latest)?' not found.*docker build -f "
                                                  "Dockerfile.sandbox -t dolphin-python-sandbox.*dsandbox image build"):
            DockerSandboxExecutor("a", self.base)

    def test_old_image_stands_for_ours(self):
        self.assertNotIn("image", DockerSandboxExecutor("a", self.base)._session.opened.raw["labels"])
        self.assertNotIn("image", self.service.sessions["a"].body)

    def test_old_image_is_used_when_it_is_there(self):
        self.service.images.add("dolphin-python-sandbox:latest")
        DockerSandboxExecutor("a", self.base)
        self.assertEqual(self.service.sessions["a"].body["image"], "dolphin-python-sandbox:latest")

    def test_ensure_image_exists(self):
        executor = DockerSandboxExecutor("a", self.base)
        executor._ensure_image_exists()
        self.service.sessions.clear()
        self.service.images.clear()
        with self.assertRaises(RuntimeError):
            executor._ensure_image_exists()

    def test_session_id_stays_below_the_base(self):
        for name in ("/etc", "../up", "..", ".", "a/b", "a\n", "-a", "x" * 65, "a b", "ä", "a\0"):
            with self.subTest(name=name), self.assertRaisesRegex(ValueError, "session_id"):
                DockerSandboxExecutor(name, self.base)
        self.assertEqual(self.service.sessions, {})


class Text(FakeCase):
    """What execute_code returns for each end."""

    def run_with(self, answer, version=2, code="…x"):
        executor = DockerSandboxExecutor("a", self.base, version=version, timeout=3)
        self.service.answers = [answer]
        return executor.execute_code("'a'")

    def test_output_and_errors_in_their_order(self):
        def run(emit):
            emit("stdout", "1\n")
            emit("stderr", "2\n")
            emit("stdout", "3\n")
            return {}

        self.assertEqual(self.run_with(run), "1\n2\n3\n")

    def test_last_value_is_not_printed(self):
        self.assertEqual(DockerSandboxExecutor("a", self.base).execute_code("6 * 7"), "")

    def test_uncaught_error(self):
        output = DockerSandboxExecutor("a", self.base).execute_code("print('before')\n{}['no']")
        self.assertRegex(output, r"\Abefore\nEXECUTION ERROR:\nTraceback \(most recent call last\):\n(.*\n)*KeyError: 'no'\n\Z")

    def test_uncaught_error_of_the_first_version(self):
        output = DockerSandboxExecutor("a", self.base, version=1).execute_code("print('before')\n{}['no']")
        self.assertRegex(output, r"\AEXECUTION ERROR:\nContainer execution error:\nbefore\nTraceback(.*\n)*KeyError: 'no'\n\Z")

    def test_exit_status(self):
        executor = DockerSandboxExecutor("a", self.base)
        self.assertEqual(executor.execute_code("import sys; print(1); sys.exit('bye')"), "1\nbye\n")
        self.assertEqual(executor.execute_code("import sys; print(1); sys.exit(3)"), "1\n")
        executor = DockerSandboxExecutor("a", self.base, version=1)
        self.assertEqual(executor.execute_code("import sys; print(1); sys.exit(3)"), "EXECUTION ERROR:\nContainer execution error:\n1\n")

    def test_timeout_has_the_partial_output(self):
        for version in (1, 2):
            text = self.run_with({"status": "timeout", "stdout": "partial\n"}, version)
            self.assertEqual(text, "ERROR:\nExecution timed out: the code was stopped after 3 seconds.\nVariables are kept.\n"
                                   "Output until then:\npartial\n")

    def test_other_ends(self):
        rolled = {"outcome": "rolled_back", "reason": "it crashed"}
        older = {**rolled, "execution": 7, "to": 4}
        lost = {"outcome": "lost", "reason": "no memory"}
        for answer, expected in (
            ({"status": "oom", "state": rolled}, r"ERROR:\nOut of memory.*512m\.\nVariables are as before this code \(it crashed\)\.\n"),
            ({"status": "oom", "state": {**rolled, "execution": 7, "to": 6}}, r"ERROR:\nOut of memory.*\nVariables are as before this code \("),
            ({"status": "oom", "state": older},
             r"ERROR:\nOut of memory.*\nVariables were rolled back to execution 4 \(it crashed\)\.\n"),
            ({"status": "signal", "signal": 11, "state": lost}, r"ERROR:\n.*SIGSEGV.*\nVariables are lost \(no memory\)\.\n"),
            ({"status": "lost", "state": {**lost, "reason": "it ended; its files are gone, too"}},
             r"ERROR:\n.*\nVariables are lost \(it ended; its files are gone, too\)\.\n\Z"),
            ({"status": "lost", "state": {**lost, "reason": None}}, r"ERROR:\n.*\nVariables are lost\.\n\Z"),
            ({"status": "output_limit"}, r"ERROR:\n.*too much output\n"),
            ({"status": "disk_limit"}, r"ERROR:\n.*too much in /sandbox\n"),
            ({"status": "cancelled"}, r"ERROR:\n.*stopped by the caller\n"),
            ({"status": "lost", "failure": {"code": "lost", "message": "the container ended"}, "state": None}, r"ERROR:\nThe container ended\n"),
            ({"status": "refused", "failure": {"code": "refused", "message": "no"}, "state": None}, r"ERROR:\nNo\n"),
            ({"status": "error", "failure": {"code": "not_found", "message": "no image"}, "state": None}, r"ERROR:\nNo image\n"),
        ):
            with self.subTest(status=answer["status"]):
                self.assertRegex(self.run_with(answer), r"\A" + expected)

    def test_truncated(self):
        text = self.run_with({"stdout": "abc", "stdout_bytes": 5000, "stdout_truncated": True})
        self.assertEqual(text, "abc\n[stdout: the first 3 of 5000 bytes]\n")

    def test_traceback_that_is_not_in_the_output(self):
        text = self.run_with({"status": "error", "stdout": "abc", "stderr": "", "error": {"name": "E", "value": "v", "traceback": "T\n"}})
        self.assertEqual(text, "abc\nEXECUTION ERROR:\nT\n")

    def test_variables_that_were_lost_before(self):
        text = self.run_with({"status": "error", "stderr": "T\n", "error": {"name": "NameError", "value": "x", "traceback": "T\n"},
                              "state": {"outcome": "lost", "reason": "the engine was restarted"}})
        self.assertEqual(text, "EXECUTION ERROR:\nT\n[variables were lost: the engine was restarted]\n")

    def test_variables_that_are_gone_though_the_code_ended_well(self):
        lost = {"outcome": "lost", "reason": "the engine was restarted"}
        text = self.run_with({"stdout": "1\n", "state": lost})
        self.assertEqual(text, "1\n[variables were lost: the engine was restarted]\n")
        self.assertEqual(self.run_with({"state": lost}), "[variables were lost: the engine was restarted]\n")
        restored = {"names": ["a", "b"], "missing": [{"name": "c", "why": "no pickle"}]}
        self.assertEqual(self.run_with({"stdout": "1", "state": {**lost, "restored": restored}}),
                         "1\n[variables were lost: the engine was restarted]\n[came back from the saved ones: a, b]\n"
                         "[did not come back: c]\n")
        for to, where in ((3, "execution 3"), (0, "the beginning")):
            rolled = {"outcome": "rolled_back", "reason": "it exited", "to": to, "execution": 5}
            self.assertEqual(self.run_with({"stdout": "1\n", "state": rolled}), f"1\n[variables were rolled back to {where}: it exited]\n")

    def test_all_failures_of_the_code_say_what_became_of_the_variables(self):
        lost = {"outcome": "lost", "reason": "it left"}
        said = "[variables were lost: it left]\n"
        self.assertEqual(self.run_with({"status": "error", "exit_code": 3, "stdout": "1\n", "state": lost}), "1\n" + said)
        self.assertEqual(self.run_with({"status": "error", "exit_code": 3, "stdout": "1\n", "state": lost}, 1),
                         "EXECUTION ERROR:\nContainer execution error:\n1\n" + said)

    def test_what_other_limits_cost(self):
        """The session is made anew, and the first answer says what that one does not have."""
        DockerSandboxExecutor("a", self.base).execute_code("def f(): pass\nx = 1")
        second = DockerSandboxExecutor("a", self.base, memory_limit="256m")
        self.assertEqual(second.execute_code("print(x)"), "1\n[variable f was lost: a function]\n")
        self.assertEqual(second.execute_code("print(x)"), "1\n")

    def test_rollback_points(self):
        """After each execution; those of a session that somebody else has made are his."""
        DockerSandboxExecutor("a", self.base).execute_code("def f(): return 7")
        self.assertEqual(self.bodies("/v1/sessions")[-1]["checkpoint"], "always")
        self.service.sessions["a"].body["checkpoint"] = "off"
        self.assertEqual(DockerSandboxExecutor("a", self.base).execute_code("print(f())"), "7\n")
        self.assertEqual(self.service.sessions["a"].body["checkpoint"], "off")

    def test_rolled_back_by_more_than_this_code(self):
        for to, words in ((4, "Variables are as before this code"), (2, "Variables were rolled back to execution 2"),
                          (0, "Variables were rolled back to the beginning")):
            rolled = {"outcome": "rolled_back", "reason": "it crashed", "to": to, "execution": 5}
            text = self.run_with({"status": "signal", "signal": 11, "state": rolled})
            self.assertIn(f"\n{words} (it crashed).\n", text)

    def test_what_our_own_executions_were_told(self):
        """The loss is told once, and it was an execution for the context that came first."""
        executor = DockerSandboxExecutor("a", self.base)
        self.service.contexts = {"state": {"outcome": "lost", "reason": "the engine was restarted"}}
        self.assertEqual(executor.execute_code("print(y)", {"y": 5}), "5\n[variables were lost: the engine was restarted]\n")
        self.service.contexts = None
        self.assertEqual(executor.execute_code("print(y)", {"y": 5}), "5\n")

    def test_never_raises(self):
        executor = DockerSandboxExecutor("a", self.base)
        self.service.sessions.clear()
        self.service.failure = Failure("unavailable", "the engine is gone")
        self.assertEqual(executor.execute_code("1"), "ERROR:\nthe engine is gone")
        for code in (None, 5, b"1"):
            self.assertRegex(executor.execute_code(code), r"\AERROR:\n")

    def test_no_path_of_the_host_in_an_error(self):
        executor = DockerSandboxExecutor("a", self.base)
        executor._session = None
        self.assertRegex(executor.execute_code("1"), r"\AERROR:\nUnexpected error:\nAttributeError: .*\Z")

    def test_output_that_is_not_utf8(self):
        def run(emit):
            emit("stdout", b"a\xffb")
            return {"stdout": "a\ufffdb", "stdout_base64": "Yf9i"}

        self.assertEqual(self.run_with(run), "a\ufffdb")


class Imports(Case):
    """The later version's check of imports, without what was wrong with it."""

    def test_published_ones_are_allowed(self):
        self.assertEqual(set(PUBLISHED) - ALLOWED_LIBRARIES, set())
        for name in PUBLISHED:
            if name.isidentifier():
                self.assertEqual(validate_imports(f"import {name}\nfrom {name}.x import y"), (True, ""))

    def test_disallowed(self):
        valid, message = validate_imports("import requests, flask.x\nimport json")
        self.assertFalse(valid)
        self.assertTrue(message.startswith("Import restriction violation: The following imports are not allowed: flask.x, requests\n\n"
                                           "Allowed libraries:\n- Standard Python library modules\n- numpy\n"))
        self.assertIn("- scikit-learn (import as sklearn)\n", message)

    def test_syntax_error(self):
        valid, message = validate_imports("def (")
        self.assertFalse(valid)
        self.assertTrue(message.startswith("Syntax error in code: "))
        self.assertFalse(validate_imports("a\0b")[0])
        self.assertFalse(validate_imports("(" * 5000)[0])

    def test_what_was_rejected_wrongly(self):
        for name in ("asyncio", "calendar", "inspect", "signal", "zlib", "concurrent.futures", "PIL", "zoneinfo", "cmath", "types"):
            self.assertEqual(validate_imports(f"import {name}"), (True, ""), name)
        self.assertEqual(validate_imports("from __future__ import annotations"), (True, ""))
        self.assertEqual(validate_imports("from . import x\nfrom .y import z"), (True, ""))

    def test_what_slipped_through(self):
        for code in ("__import__('requests')", "import importlib; importlib.import_module('requests.x')",
                     "from importlib import import_module\nimport_module(name='requests')",
                     "def f():\n    import requests", "try:\n    import requests\nexcept ImportError: pass",
                     "from requests import get as json", "import os, requests as r"):
            self.assertFalse(validate_imports(code)[0], code)
        self.assertTrue(validate_imports("__import__('json'); __import__(name); import_module('.x', 'y')")[0])

    def test_empty(self):
        for code in ("", "# nothing", "\n\n"):
            self.assertEqual(validate_imports(code), (True, ""))


class Interpreter(FakeCase):
    """sandboxed_python_interpreter and python_interpreter."""

    def setUp(self):
        super().setUp()
        self.enterContext_(environment(DOLPHIN_USE_DOCKER_SANDBOX=None))
        self.context = {"__sandbox_session_id__": "a"}
        # The functions have no parameter for the base directory.
        original = fake_base(self)
        self.addCleanup(original)

    def test_id_is_kept_in_the_context(self):
        context = {}
        self.assertEqual(sandboxed_python_interpreter("print(1)", context), "1\n")
        uuid.UUID(context["__sandbox_session_id__"])
        self.assertEqual(list(self.service.sessions), [context["__sandbox_session_id__"]])
        sandboxed_python_interpreter("x = 1", context)
        self.assertEqual(sandboxed_python_interpreter("print(x)", context), "1\n")
        self.assertEqual(len(self.service.sessions), 1)
        self.assertEqual(sandboxed_python_interpreter("print(1)", context, "other"), "1\n")
        self.assertIn("other", self.service.sessions)

    def test_failure(self):
        self.service.failure = Failure("unavailable", "no engine")
        text = sandboxed_python_interpreter("1", {})
        self.assertTrue(text.startswith("SANDBOX ERROR:\nTraceback (most recent call last):\n"), text)
        self.assertIn("RuntimeError: Docker is not available: no engine", text)
        self.assertTrue(sandboxed_python_interpreter("1", {}, "../x").startswith("SANDBOX ERROR:\n"))

    def where(self, **arguments):
        """Where python_interpreter runs code, by what it leaves in the context."""
        context = dict(self.context)
        self.assertEqual(python_interpreter("ran_here = 1; print(5)", context, **arguments), "5\n")
        return "here" if "ran_here" in context else "sandbox"

    def test_environment_variable(self):
        for value in ("1", "true", "yes", "on"):
            with environment(DOLPHIN_USE_DOCKER_SANDBOX=value):
                self.assertEqual(self.where(), "sandbox")
                self.assertEqual(self.where(use_docker_sandbox=False), "sandbox", "the variable alone decides for the sandbox")
        for value in ("0", "false", "no", "off"):
            with environment(DOLPHIN_USE_DOCKER_SANDBOX=value):
                self.assertEqual(self.where(), "here")
                self.assertEqual(self.where(use_docker_sandbox=True), "sandbox")

    def test_parameter(self):
        self.assertEqual(self.where(use_docker_sandbox=True), "sandbox")
        self.assertEqual(self.where(use_docker_sandbox=False), "here")
        self.assertEqual(self.where(), "sandbox", "not on the host unless somebody says so")
        with environment(DOLPHIN_USE_DOCKER_SANDBOX=""):
            self.assertEqual(self.where(), "sandbox")

    def test_never_the_host_instead(self):
        marker = self.path("marker")
        code = f"open({marker!r}, 'w')"
        self.service.failure = Failure("unavailable", "no engine")
        for arguments in ({}, {"use_docker_sandbox": True}):
            self.assertTrue(python_interpreter(code, {}, **arguments).startswith("SANDBOX ERROR:\n"))
        with environment(XDG_RUNTIME_DIR=self.path("..")):
            self.assertTrue(python_interpreter(code, {}).startswith("SANDBOX ERROR:\n"))
        self.assertFalse(os.path.exists(marker))

    def test_image_is_passed_on(self):
        text = python_interpreter("1", {}, True, "b", "mine", "2")
        self.assertIn("Docker image 'mine:2' not found", text)

    def test_in_process(self):
        context = {}
        self.assertEqual(python_interpreter("x = 1; print(x)", context, False), "1\n")
        self.assertEqual(context["x"], 1)
        self.assertTrue(python_interpreter("1/0", context, False).startswith("Traceback"))
        self.assertTrue(python_interpreter("import requests", context, False).startswith("IMPORT RESTRICTION ERROR:\n"))
        self.assertIn("__builtins__", context)
        self.assertEqual(python_interpreter("print(x)", context, True), "1\n", "such a context can be given to the sandbox")


def fake_base(case):
    """Executors of functions without the parameter use the directory of the test. Returns the way back."""
    defaults = DockerSandboxExecutor.__init__.__defaults__
    changed = tuple(case.base if value == README_BASE else value for value in defaults)
    DockerSandboxExecutor.__init__.__defaults__ = changed

    def back():
        DockerSandboxExecutor.__init__.__defaults__ = defaults

    return back
