# SPDX-License-Identifier: MIT
"""The sandbox provider `dsandbox` of Deep Agents Code: `dcode --sandbox dsandbox`. The package's entry point tells of it."""
from typing import Any, Optional

from deepagents_code.integrations.sandbox_provider import (
    SandboxInstallHint,
    SandboxNotFoundError,
    SandboxProvider,
    SandboxProviderMetadata,
)

from .._environment import WORKING_DIR, WorkspaceUnavailableError
from ..client import Client
from .deepagents import DsandboxBackend

__all__ = ["DsandboxProvider"]


class DsandboxProvider(SandboxProvider):
    """`params` of its configuration are the keyword arguments of DsandboxBackend, "memory" and so on."""

    @property
    def metadata(self) -> SandboxProviderMetadata:
        hint = SandboxInstallHint(kind="package", name="dsandbox[deepagents]")
        return SandboxProviderMetadata(name="dsandbox", working_dir=WORKING_DIR, install=hint)

    def get_or_create(self, *, sandbox_id: Optional[str] = None, **kwargs: Any) -> DsandboxBackend:
        """The session of this id, which must be there; or a new one, which is there when this returns."""
        backend = DsandboxBackend(sandbox_id, **kwargs)
        try:
            backend.id
        except WorkspaceUnavailableError as error:
            raise SandboxNotFoundError(error.message) from error
        return backend

    def delete(self, *, sandbox_id: str, client: Optional[Client] = None, **kwargs: Any) -> None:
        """No error when it is gone already."""
        DsandboxBackend(sandbox_id, client=client).close()
