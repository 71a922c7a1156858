# SPDX-License-Identifier: MIT
"""
An engine of a test's own on small file systems, in a mount namespace of its own: nothing stays mounted when it ends. The
image is the rig's: its layers are linked to, so that a few megabytes hold all that the engine keeps besides.

Environment as tests/cli/cli_harness.py, and DSB_TEST_RIG: tests/rig/rig.sh, as its engines were started.
"""
import contextlib
import glob
import os
import shutil
import subprocess
import tempfile
import unittest
from unittest import mock

import cli_harness
import session_harness
from cli_harness import BACKEND, WORK

RIG = os.environ.get("DSB_TEST_RIG", "")
ENGINE = {"docker-api": "docker", "docker-cli": "docker", "podman": "podman", "podman-rootless": "rootless"}.get(cli_harness.SETUP, "")
CAN = bool(RIG and ENGINE) and os.getuid() == 0 and not cli_harness.AS  # the store of another user is mapped to ids of his
WHY = "needs root, and an engine of tests/rig"
SIZE = "32m"


def checked(*args, **how):
    done = subprocess.run(args, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False, **how)
    if done.returncode != 0:
        raise AssertionError(f"{args}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


class Space:
    """A mount namespace that lasts as long as the process which holds it."""

    def __init__(self):
        # What the rig mounts later is seen here, and what is mounted here by engines that make a namespace below it.
        self.holder = subprocess.Popen(["unshare", "-m", "--propagation", "slave", "sh", "-c", "mount --make-rshared / && echo up && exec sleep 100000"],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert self.holder.stdout.readline() == b"up\n"

    def path(self, path):
        """The same, as it is seen from outside."""
        return f"/proc/{self.holder.pid}/root{path}"

    def command(self, *args):
        return ["nsenter", "-t", str(self.holder.pid), "-m", "--", *args]

    def run(self, *args, **how):
        return checked(*self.command(*args), **how)

    def tmpfs(self, path, *options):
        os.makedirs(path, 0o700, exist_ok=True)
        self.run("mount", "-t", "tmpfs", "-o", ",".join(("mode=0700", *options)), "small", path)

    def close(self):
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()

    @contextlib.contextmanager
    def full(self, path, left=0):
        """Its file system, but for some bytes."""
        fillers = [self.path(os.path.join(path, name)) for name in ("filler", "filler-of-the-rest")]
        try:
            for filler, size in zip(fillers, (1 << 16, 1 << 10)):
                with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
                    while file.write(bytes(size)) == size:
                        pass
            if left:
                os.truncate(fillers[0], os.stat(fillers[0]).st_size - left)
            yield
        finally:
            for filler in fillers:
                os.unlink(filler)


def copy_docker(source, to):
    """The image without its layers."""
    shutil.copytree(f"{source}/image", f"{to}/image", ignore=shutil.ignore_patterns("mounts"))
    os.makedirs(f"{to}/overlay2")
    shutil.copytree(f"{source}/overlay2/l", f"{to}/overlay2/l", symlinks=True)
    for file in glob.glob(f"{source}/image/overlay2/layerdb/*/*/cache-id"):
        with open(file, encoding="ascii") as text:
            link_layer(f"{source}/overlay2/{text.read()}", f"{to}/overlay2")


def copy_podman(source, to):
    for name in ("overlay-images", "overlay-layers", "overlay/l"):
        shutil.copytree(f"{source}/{name}", f"{to}/{name}", symlinks=True)
    for layer in glob.glob(f"{source}/overlay-layers/*.tar-split.gz"):
        link_layer(f"{source}/overlay/{os.path.basename(layer).split('.')[0]}", f"{to}/overlay")


def link_layer(source, to):
    layer = os.path.join(to, os.path.basename(source))
    os.makedirs(layer)
    os.symlink(f"{source}/diff", f"{layer}/diff")
    for name in ("link", "lower"):
        if os.path.exists(f"{source}/{name}"):
            shutil.copy(f"{source}/{name}", layer)


@unittest.skipUnless(CAN, WHY)
class StoreCase(session_harness.SessionCase):
    """Everything of the harness meets the engine of `space`, whose data is in `store`, below `state`."""

    space = state = store = None

    @classmethod
    def setUpClass(cls):
        session_harness.end_service()
        cls.space = Space()
        cls.addClassCleanup(cls.space.close)
        cls.state = tempfile.mkdtemp(prefix="dsb-store.", dir="/var/tmp")
        cls.addClassCleanup(shutil.rmtree, cls.state, ignore_errors=True)
        cls.store = os.path.join(cls.state, ENGINE)
        cls.space.tmpfs(cls.store, f"size={SIZE}")
        copy = copy_docker if ENGINE == "docker" else copy_podman
        copy(os.path.join(checked("sh", RIG, "dir"), ENGINE), cls.space.path(cls.store))
        cls.addClassCleanup(cls.rig, "down", "--purge")
        cls.rig("start", ENGINE)
        answers = dict(line.split("=", 1) for line in cls.rig("env").splitlines())
        wrapper = WORK.file(f'#!/bin/sh\nexec nsenter -t {cls.space.holder.pid} -m -- "{cli_harness.PROGRAM}" "$@"\n')
        os.chmod(wrapper, 0o755)
        cls.put(cli_harness, "ENDPOINT", answers["DSB_RIG_DOCKER_HOST" if ENGINE == "docker" else "DSB_RIG_PODMAN_SOCKET"])
        cls.put(cli_harness, "PROGRAM", wrapper)
        # What tests before these left in theirs is none of what is asked here.
        cls.put(WORK, "base", WORK.dir(f"base-{cls.__name__}", 0o700))
        cls.addClassCleanup(session_harness.end_service)
        super().setUpClass()

    @classmethod
    def put(cls, module, name, value):
        patch = mock.patch.object(module, name, value)
        patch.start()
        cls.addClassCleanup(patch.stop)

    @classmethod
    def rig(cls, *args):
        return cls.space.run("sh", RIG, *args, env={**os.environ, "DSB_RIG_DIR": cls.state, "DSB_RIG_ONLY": ENGINE})

    def setUp(self):
        super().setUp()
        self.addCleanup(session_harness.dsb, "session", "rm", "--all", "--files")

    @staticmethod
    def alone():
        """The other engine's address leads nowhere: none is started for a look."""
        return {**dict.fromkeys(("DOCKER_HOST", "CONTAINER_HOST"), "unix:///nonexistent.sock"), **cli_harness.engine()}

    def options(self, base=None):
        return ["--backend", BACKEND, "--base-dir", base or WORK.base]

    def nothing_left(self, base=None):
        """After gc: an engine without room may not remove a container, and whoever asked it may still be there at the first look."""
        base = base or WORK.base

        def gone():
            done = session_harness.dsb("gc", *self.options(base))
            self.assertEqual(done.status, 0, done)
            return not cli_harness.containers() and not self.left_in(base)
        self.assertTrue(cli_harness.wait_until(gone, 20), (cli_harness.containers(), self.left_in(base)))

    def left_in(self, base):
        base = self.space.path(base)
        locks = os.path.join(base, ".locks")
        return [name for place in (base, locks) if os.path.isdir(place) for name in os.listdir(place) if name != ".locks"]
