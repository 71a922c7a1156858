# SPDX-License-Identifier: MIT
"""A workspace of pydantic-ai (2.68): DsandboxWorkspace is a `WorkspaceBackend` with commands, files and `realpath`.

    from dsandbox.adapters.pydantic_ai import DsandboxWorkspace

    agent.run_sync("…", workspace=DsandboxWorkspace(memory="1GiB"))
"""
import contextlib
from typing import TYPE_CHECKING, Iterator, List, Mapping, Optional

from pydantic_ai import workspaces as theirs

from .. import workspace as ours
from ..client import Client
from ..sandbox import OptionValues, Time

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["DsandboxWorkspace"]


@contextlib.contextmanager
def _as_theirs() -> Iterator[None]:
    """Our failures by their names."""
    try:
        yield
    except ours.WorkspaceTimeoutError as error:
        raise theirs.WorkspaceTimeoutError(error.message, stdout=error.stdout, stderr=error.stderr) from error
    except ours.WorkspaceOutputLimitError as error:
        raise theirs.WorkspaceOutputLimitError(
            error.message, limit=error.limit, stdout=error.stdout, stderr=error.stderr
        ) from error
    except ours.WorkspaceUnavailableError as error:
        raise theirs.WorkspaceUnavailableError(error.message) from error
    except ours.WorkspaceError as error:
        raise theirs.WorkspaceError(error.message) from error


def _entry(entry: ours.FileEntry) -> theirs.FileEntry:
    return theirs.FileEntry(name=entry.name, path=entry.path, is_dir=entry.is_dir, size=entry.size)


class DsandboxWorkspace(theirs.WorkspaceBackend, theirs.SupportsCommands, theirs.SupportsFilesystem, theirs.SupportsRealpath):
    """A session, as dsandbox.workspace.Workspace has it; see there for the arguments.

    ref: the one that a former `ref` named, which must be there; None: a new one, made by the first use.
    """

    def __init__(
        self,
        ref: Optional[theirs.WorkspaceRef] = None,
        *,
        client: Optional[Client] = None,
        env: Optional[Mapping[str, str]] = None,
        timeout: Optional[Time] = None,
        **options: "Unpack[OptionValues]",
    ) -> None:
        if ref is not None and ref.provider != ours.PROVIDER:
            raise ValueError(f"the workspace is one of {ref.provider!r}, not of {ours.PROVIDER!r}")
        self.workspace: ours.Workspace = ours.Workspace(
            None if ref is None else ref.id, client=client, env=env, timeout=timeout, **options
        )

    @property
    def ref(self) -> Optional[theirs.WorkspaceRef]:
        ref = self.workspace.ref
        return None if ref is None else theirs.WorkspaceRef(provider=ref.provider, id=ref.id)

    async def working_dir(self) -> str:
        with _as_theirs():
            return await self.workspace.working_dir()

    async def run(
        self,
        command: theirs.WorkspaceCommand,
        *,
        shell: bool = False,
        env: Optional[Mapping[str, str]] = None,
        timeout: Optional[float] = None,
    ) -> theirs.CommandResult:
        with _as_theirs():
            done = await self.workspace.run(command, shell=shell, env=env, timeout=timeout)
        return theirs.CommandResult(exit_code=done.exit_code, stdout=done.stdout, stderr=done.stderr)

    async def read_bytes(self, path: str) -> bytes:
        with _as_theirs():
            return await self.workspace.read_bytes(path)

    async def write_bytes(self, path: str, data: bytes) -> None:
        with _as_theirs():
            await self.workspace.write_bytes(path, data)

    async def stat(self, path: str) -> theirs.FileEntry:
        with _as_theirs():
            return _entry(await self.workspace.stat(path))

    async def list_dir(self, path: str) -> List[theirs.FileEntry]:
        with _as_theirs():
            return [_entry(entry) for entry in await self.workspace.list_dir(path)]

    async def make_dir(self, path: str) -> None:
        with _as_theirs():
            await self.workspace.make_dir(path)

    async def remove(self, path: str) -> None:
        with _as_theirs():
            await self.workspace.remove(path)

    async def exists(self, path: str) -> bool:
        with _as_theirs():
            return await self.workspace.exists(path)

    async def realpath(self, path: str) -> str:
        with _as_theirs():
            return await self.workspace.realpath(path)

    async def close(self, delete_files: bool = True) -> None:
        """End the session, which is for who holds the ref to decide."""
        with _as_theirs():
            await self.workspace.close(delete_files)
