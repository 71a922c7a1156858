# SPDX-License-Identifier: MIT
"""Workspace on an engine, where the suites of frameworks do not look (test_frameworks.py)."""
import asyncio

from common import EngineCase, wait_until
from speed import set_seconds, setting

from dsandbox import NotFoundError, Session
from dsandbox.workspace import (FileEntry, Workspace, WorkspaceOutputLimitError, WorkspaceRef, WorkspaceTimeoutError,
                                WorkspaceUnavailableError)


class Workspaces(EngineCase):
    def use(self, work, **more):
        """What `work` does with a workspace of its own."""
        async def whole():
            workspace = Workspace(client=self.client, base_dir=self.base, **self.options(), **more)
            try:
                await work(workspace)
            finally:
                await workspace.close()
        asyncio.run(whole())

    def test_commands(self):
        async def work(workspace):
            self.assertIsNone(workspace.ref)
            await workspace.make_dir("below")
            self.assertEqual(workspace.ref, WorkspaceRef("dsandbox", workspace.ref.id))
            done = await workspace.run('echo "$A$B"; pwd; cat; exit 3', shell=True, cwd="below", env={"B": "2"}, stdin=b"in")
            self.assertEqual((done.exit_code, done.stdout, done.stderr), (3, "12\n/sandbox/below\nin", ""))
            self.assertEqual((await workspace.run("kill -9 $$", shell=True)).exit_code, 137)
            for wrong in ("true", []):
                with self.assertRaises((TypeError, ValueError)):
                    await workspace.run(wrong)
            for timeout in (0, -1, float("nan"), "1"):
                with self.assertRaises(ValueError):
                    await workspace.run(["true"], timeout=timeout)
        self.use(work, env={"A": "1", "B": "1"})

    def test_limits(self):
        async def work(workspace):
            with self.assertRaises(WorkspaceTimeoutError) as late:
                await workspace.run("echo before; sleep 600", shell=True, timeout=set_seconds(3))
            self.assertEqual(late.exception.stdout, "before\n")
            with self.assertRaises(WorkspaceOutputLimitError) as much:
                await workspace.run(["head", "-c", "5000", "/dev/zero"])
            self.assertEqual((much.exception.limit, much.exception.stdout), (4096, "\0" * 4096))
            await workspace.write_bytes("/tmp/long", b"0123456789" * 2000)  # read in pieces of what is kept
            self.assertEqual(await workspace.read_bytes("/tmp/long"), b"0123456789" * 2000)
        self.use(work, settings={"output_limit": "4KiB"})

    def test_names_that_are_no_text(self):
        async def work(workspace):
            await workspace.write_bytes("\udcff \n", b"1")
            self.assertEqual(await workspace.list_dir("."), [FileEntry("\udcff \n", "/sandbox/./\udcff \n", False, 1)])
            self.assertEqual(await workspace.read_bytes("\udcff \n"), b"1")
        self.use(work)

    def test_beside_a_command(self):
        """What the service can answer does not wait for it."""
        async def work(workspace):
            await workspace.write_bytes("there/file", b"content")
            await workspace.write_bytes("there/closed", b"")
            await workspace.run("ln -s file there/link; chmod 0 there/closed", shell=True)
            running = asyncio.ensure_future(workspace.run(["sleep", "600"]))
            while self.client.session(workspace.ref.id).state != "busy":
                await asyncio.sleep(0.05)
            self.assertEqual(await workspace.read_bytes("there/file"), b"content")
            self.assertEqual(await workspace.stat("there/file"), FileEntry("file", "/sandbox/there/file", False, 7))
            self.assertTrue(await workspace.exists("there"))
            for absent in ("there/absent", "absent/file"):
                self.assertFalse(await workspace.exists(absent))
            self.assertFalse(running.done())
            others = [asyncio.ensure_future(workspace.read_bytes(name)) for name in ("there/link", "there/closed")]
            running.cancel()
            self.assertEqual(await others[0], b"content")
            with self.assertRaises(PermissionError):
                await others[1]
        self.use(work)

    def test_one_that_is_gone_stays_so(self):
        async def work(workspace):
            await workspace.working_dir()
            await workspace.close()
            for again in (workspace, Workspace(workspace.ref.id, client=self.client)):
                for use in (again.run(["true"]), again.read_bytes("x"), again.exists("x")):
                    with self.assertRaises(WorkspaceUnavailableError):
                        await use
            with self.assertRaises(NotFoundError):
                self.client.session(workspace.ref.id)
        self.use(work)

    def test_one_that_was_idle_goes_on_with_its_files(self):
        session = Session(client=self.client, base_dir=self.base, idle_timeout=setting(5), **self.options())
        self.addCleanup(session.close, True)
        session.files.write("file", b"content")
        self.assertTrue(wait_until(lambda: session.id not in [one.id for one in self.client.sessions()]))
        self.assertEqual(asyncio.run(Workspace(session.id, client=self.client).read_bytes("file")), b"content")
