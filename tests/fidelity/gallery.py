#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
matplotlib's gallery, from the source package of the image's version: plain, by us one-shot, and in sessions that twelve
programs share. Exit status, streams and files are equal but for gallery.json, a reviewed list, and there are as many
pictures as a notebook would show. What the time was, and how many rollback points were skipped, is printed before the last
line; a whole run asserts both, and that nothing stands in the list that no program needs.

Environment, arguments and last line as in tests/cli/cli_harness.py; and
    DSB_TEST_GALLERY          directory that keeps the package (beside the rig's images)
    DSB_TEST_GALLERY_EVERY=N  a sample: every Nth program
"""
import ast
import base64
import collections
import hashlib
import http.client
import json
import os
import re
import struct
import subprocess
import sys
import tarfile
import urllib.parse
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../cli"))
import cli_harness  # noqa: E402
from registry import patiently  # noqa: E402
from session_harness import SessionCase, dsb  # noqa: E402

VERSION = "3.10.1"  # the image's
SHA256 = "e8d2d0e3881b129268585bf4765ad3ee73a4591d77b9a18c214ac7e3a79fb2ba"
REVIEWED = json.load(open(os.path.join(HERE, "gallery.json"), encoding="utf-8"))
EVERY = int(os.environ.get("DSB_TEST_GALLERY_EVERY", "1"))
SHARED = 12  # programs in one session
LIMIT = 300  # seconds, of one program; a machine may be slow
WAYS = ("one-shot", "session")
RATIO = 1.15  # of the time of both ways to twice the plain one, at most
# Packages that the programs may need, and words of what no sandbox has: a window, a person, TeX, data that is fetched.
ALLOWED = set(sys.stdlib_module_names) - {"tkinter"} | {"matplotlib", "mpl_toolkits", "numpy", "PIL", "cycler", "dateutil"}
NEEDS_MORE = re.compile(r"get_sample_data|usetex|ginput|waitfor|backend_(?!agg|bases|svg|pdf)|\binput\(|FigureManager|webbrowser")
# Installed beside the program by the plain interpreter: saves each figure once, when it is shown or at the end. What is
# said while that is done is not the program's.
DRAWING = '''
import atexit, io, json, os, sys
import matplotlib.pyplot as plt
from matplotlib._pylab_helpers import Gcf
_pictures = []
def _show(*_, **__):
    caller = sys._getframe().f_back
    if caller and caller.f_code.co_name == "pause":
        return  # shows what is there in a window
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    kept, nowhere = (os.dup(1), os.dup(2)), os.open("/dev/null", os.O_WRONLY)
    for fd in (1, 2):
        os.dup2(nowhere, fd)
    try:
        _save()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for fd, old in zip((1, 2), kept):
            os.dup2(old, fd)
            os.close(old)
        os.close(nowhere)
def _save():
    for manager in Gcf.get_all_fig_managers():
        memory = io.BytesIO()
        manager.canvas.figure.savefig(memory, format="png", bbox_inches="tight")
        _pictures.append(memory.getvalue()[16:24].hex())
    plt.close("all")
    with open("/tmp/pictures", "w") as out:
        json.dump(_pictures, out)
plt.show = _show
atexit.register(_show)
'''
# Runs in a sandbox: each program of standard input under the plain interpreter.
PLAIN = '''
import json, os, resource, subprocess, sys, time
os.mkdir("/tmp/plain")
with open("/tmp/plain/sitecustomize.py", "w") as out:
    out.write(%r)
done = []
for name, code in json.load(sys.stdin):
    before = set(os.listdir("."))
    with open("/tmp/" + name, "w") as out:
        out.write(code)
    with open("/tmp/pictures", "w") as out:
        out.write("[]")
    used, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    run = subprocess.run([sys.executable, "/tmp/" + name], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         env={**os.environ, "PYTHONPATH": "/tmp/plain"})
    wall, now = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    files = {each: os.stat(each).st_size for each in set(os.listdir(".")) - before}
    for each in files:
        os.unlink(each)
    done.append({"status": run.returncode, "stdout": run.stdout.decode("utf-8", "replace"), "stderr": run.stderr.decode("utf-8", "replace"),
                 "files": files, "pictures": json.load(open("/tmp/pictures")), "wall": wall,
                 "cpu": now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime})
json.dump(done, sys.stdout)
''' % DRAWING


# --- the programs -----------------------------------------------------------------------------------------------------


def index_url():
    asked = subprocess.run([sys.executable, "-m", "pip", "config", "get", "global.index-url"], stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL).stdout.decode().strip()
    if asked or os.environ.get("PIP_INDEX_URL"):
        return asked or os.environ["PIP_INDEX_URL"]
    return subprocess.run([sys.executable, "-c", "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"],
                          stdout=subprocess.PIPE, check=True).stdout.decode().strip()


CUT = (OSError, http.client.HTTPException)  # what a download ends with that is asked for again


def get(url, accept="*/*"):
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept}), timeout=300) as answer:
        return answer.geturl(), answer.read()


def package():
    """The source package, from pip's index, once."""
    directory = os.environ.get("DSB_TEST_GALLERY")
    if not directory:
        rig = subprocess.run(["sh", os.path.join(HERE, "../rig/rig.sh"), "dir"], stdout=subprocess.PIPE, check=True)
        directory = os.path.join(rig.stdout.decode().strip(), "gallery")
    name = f"matplotlib-{VERSION}.tar.gz"
    path = os.path.join(directory, name)
    if not os.path.exists(path):
        page_url, page = patiently(lambda: get(index_url().rstrip("/") + "/matplotlib/", "text/html"), *CUT)
        link = re.search(rb'href="([^"#]*/%s)[#"]' % re.escape(name).encode(), page)
        data = patiently(lambda: get(urllib.parse.urljoin(page_url, link[1].decode()))[1], *CUT)
        os.makedirs(directory, exist_ok=True)
        with open(path + ".part", "wb") as out:
            out.write(data)
        os.replace(path + ".part", path)
    with open(path, "rb") as file:
        if hashlib.sha256(file.read()).hexdigest() != SHA256:
            sys.exit(f"gallery.py: '{path}' is not the pinned package")
    return path


def needs_nothing_else(code):
    if NEEDS_MORE.search(code):
        return False
    for node in ast.walk(ast.parse(code)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        if any(name.split(".")[0] not in ALLOWED for name in names):
            return False
    return True


def programs(path):
    """[(name, code)] in the order of their names; a name has its directory in it."""
    found = []
    with tarfile.open(path) as tar:
        for member in tar:
            inside = re.fullmatch(r"[^/]+/galleries/examples/(.+)/([^/]+\.py)", member.name)
            if inside and inside[1] != "user_interfaces":
                code = tar.extractfile(member).read().decode()
                if needs_nothing_else(code):
                    found.append((f"{inside[1]}-{inside[2]}", code))
    return sorted(found)[::EVERY]


# --- the three ways ---------------------------------------------------------------------------------------------------


def neutral(text, name):
    """Without what differs from run to run, and the name that a program has in a session."""
    text = re.sub(r"0x[0-9a-f]{6,}", "0xADDRESS", text)
    text = re.sub(r"<execution \d+>|[^\s\"]*/?" + re.escape(name), "PROGRAM", text)
    return re.sub(r"\b\d+\.\d+(e[+-]\d+)? ?(s|ms|sec|seconds)\b|(?<=FPS: )\d+\.\d+", "TIME", text)


def exact(result, stream):
    """As text, where the plain run's is made so from its bytes."""
    given = result.get(stream + "_base64")
    return result[stream] if given is None else base64.b64decode(given).decode("utf-8", "replace")


def as_done(result, name):
    pictures = [size for size in (picture_size(value) for value in result["results"]) if size]
    files = {f["path"]: f["size"] for f in result["files"]["created"] + result["files"]["modified"]}
    return {"status": result["exit_code"] if result["signal"] is None else -result["signal"], "files": files, "pictures": pictures,
            "stdout": neutral(exact(result, "stdout"), name), "stderr": neutral(exact(result, "stderr"), name),
            "cpu": (result["usage"]["cpu_ms"] or 0) / 1000, "reason": result["reason"],
            "point": (result["state"] or {}).get("point")}


def picture_size(value):
    return base64.b64decode(value["image/png"][:64])[16:24].hex() if "image/png" in value else None


def shape(pictures):
    return ["%dx%d" % struct.unpack(">II", bytes.fromhex(size)) for size in pictures]


class Gallery(SessionCase):
    programs = []
    did = {}  # program -> way -> what it did
    used = set()  # (number in REVIEWED, way, what differs)
    total = collections.defaultdict(float)

    def settings(self):
        return SessionCase.settings(self) + ["--timeout", f"{LIMIT}s"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        code = "import importlib.metadata as m; print(m.version('matplotlib').partition('+')[0])"
        has = dsb("run", *cls.settings(cls), "-c", code, limit=LIMIT)
        if has.stdout.strip() != VERSION:
            raise AssertionError(f"the image's matplotlib is not {VERSION}, whose source package is pinned: {has}")

    @classmethod
    def tearDownClass(cls):
        points, skipped = cls.points()
        print(f"gallery: rollback points: {len(skipped)} of {len(points)} skipped", *sorted(set(map(str, skipped))), sep="\n  ")
        for way in ("plain", *WAYS):
            print(f"gallery: {len(cls.did)} programs {way}: {cls.total[way, 'wall']:.1f} s, {cls.total[way, 'cpu']:.1f} s of processor; "
                  f"to plain {cls.total[way, 'wall'] / max(cls.total['plain', 'wall'], 0.001):.2f} "
                  f"and {cls.total[way, 'cpu'] / max(cls.total['plain', 'cpu'], 0.001):.2f}")
        super().tearDownClass()

    @classmethod
    def points(cls):
        """What each session program said of its rollback point, and those that were skipped."""
        points = [ways["session"]["point"] for ways in cls.did.values() if "session" in ways]
        return points, [point for point in points if not str(point).startswith(("taken", "pending"))]

    def keep(self, name, way, did, wall):
        self.did.setdefault(name, {})[way] = did
        self.total[way, "wall"] += wall
        self.total[way, "cpu"] += did["cpu"]

    def plain(self, batch):
        given = cli_harness.WORK.file(json.dumps(batch))
        done = dsb("run", "--json", *self.settings(), "--timeout", f"{LIMIT * len(batch)}s", "--output-limit", "16MiB", "--stdin", given,
                   "-c", PLAIN, limit=LIMIT * len(batch))
        result = self.result(done)
        self.assertEqual(result["status"], "ok", done)
        for (name, _), did in zip(batch, json.loads(result["stdout"])):
            did["stdout"], did["stderr"] = neutral(did["stdout"], name), neutral(did["stderr"], name)
            self.keep(name, "plain", did, did["wall"])

    def ours(self, name, code, way, *options):
        path = cli_harness.WORK.file(code, name)
        done = dsb("run", "--json", *self.settings(), *options, path, limit=LIMIT + 60)
        result = self.result(done)
        self.assertIsNone(result["failure"], done)
        self.keep(name, way, as_done(result, name), done.seconds)
        os.unlink(path)

    def run_batch(self, first):
        batch = self.programs[first : first + SHARED]
        self.plain(batch)
        for name, code in batch:
            self.ours(name, code, "one-shot")
        for name, code in batch:
            self.ours(name, code, "session", "--session", f"gallery-{first}")
        self.text("session", "rm", "--files", f"gallery-{first}")

    def check(self, number):
        name = self.programs[number][0]
        if name not in self.did:
            self.run_batch(number - number % SHARED)
        plain = self.did[name]["plain"]
        for way in WAYS:
            with self.subTest(way):
                ours = self.did[name][way]
                reviewed = {(number, way, key) for number, entry in enumerate(REVIEWED)
                            if re.fullmatch(entry["program"], name) and way in entry["ways"] for key in entry["in"]}
                allowed = {key for _, _, key in reviewed}
                found = {key for key in ("status", "stdout", "stderr", "files") if ours[key] != plain[key]}
                if len(ours["pictures"]) != len(plain["pictures"]):
                    found.add("pictures")
                self.used.update(each for each in reviewed if each[2] in found)
                for each in (plain, ours):
                    each["shapes"] = shape(each["pictures"])
                self.assertEqual(found - allowed, set(), f"\nplain: {plain}\nours:  {ours}\n")

    def check_whole(self):
        """Behind all programs."""
        if len(self.did) < len(self.programs):
            self.skipTest("not all programs were run")
        listed = {(number, way, key) for number, entry in enumerate(REVIEWED) for way in entry["ways"] for key in entry["in"]}
        unused = [(REVIEWED[number]["program"], way, key) for number, way, key in sorted(listed - self.used)]
        self.assertEqual(unused, [], "gallery.json allows what no program does")
        self.assertEqual(self.points()[1], [], "no rollback point is skipped")
        ours = sum(self.total[way, "wall"] for way in WAYS)
        self.assertLessEqual(ours / (len(WAYS) * self.total["plain", "wall"]), RATIO)


def add_tests():
    Gallery.programs = programs(package())
    for number, (name, _) in enumerate(Gallery.programs):
        label = re.sub(r"\W", "_", name[:-3])
        setattr(Gallery, f"test_{number:03}_{label}", lambda self, number=number: self.check(number))
    if EVERY == 1:
        Gallery.test_whole = Gallery.check_whole  # sorts behind the numbers


if __name__ == "__main__":
    if not cli_harness.SETUP:
        sys.exit("gallery.py: needs an engine: DSB_TEST_SETUP and the others, see tests/cli/cli_harness.py")
    add_tests()
    cli_harness.main([Gallery])
