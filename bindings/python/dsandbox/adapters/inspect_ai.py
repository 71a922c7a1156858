# SPDX-License-Identifier: MIT
"""The sandbox `dsandbox` of inspect_ai (0.3.285), which finds it by the entry point of the package.

    Task(…, sandbox="dsandbox")                                # or ("dsandbox", "policy.json")
    Task(…, sandbox=SandboxEnvironmentSpec("dsandbox", DsandboxConfig(memory="1GiB")))
"""
import json
import os
from typing import Any, Dict, List, Literal, Optional, Union, overload

from inspect_ai.util import (
    ExecResult,
    OutputLimitExceededError,
    SandboxEnvironment,
    SandboxEnvironmentConfigType,
    SandboxEnvironmentLimits,
    SandboxUnavailableError,
    SandboxUserUnsupportedError,
    sandboxenv,
)
from pydantic import BaseModel, ConfigDict

from .._environment import WorkspaceUnavailableError, exit_code, stderr_of
from ..workspace import Workspace

__all__ = ["DsandboxConfig", "DsandboxSandboxEnvironment"]

CANNOT_RUN = 126


class DsandboxConfig(BaseModel):
    """What the sandboxes of a task are made with: as dsandbox.Options has it, which says what it means."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: Optional[str] = None
    host: Optional[str] = None
    image: Optional[str] = None
    base_dir: Optional[str] = None
    policy: Optional[Dict[str, Any]] = None
    settings: Optional[Dict[str, Union[str, int, float, bool]]] = None
    memory: Union[int, str, None] = None
    cpus: Optional[float] = None
    network: Optional[str] = None
    pids: Optional[int] = None
    disk: Union[int, str, None] = None
    allow_unenforced: List[str] = []

    def __hash__(self) -> int:
        """inspect_ai has a table of configurations."""
        return hash(self.model_dump_json())


def _config_of(config: Optional[SandboxEnvironmentConfigType]) -> DsandboxConfig:
    if isinstance(config, DsandboxConfig):
        return config
    if isinstance(config, str):
        with open(config, encoding="utf-8") as file:
            return DsandboxConfig(policy=json.load(file))
    if config is not None:
        kind = type(config).__name__
        raise TypeError(f"the configuration of a dsandbox is a DsandboxConfig or the path of a policy file, not {kind}")
    return DsandboxConfig()


@sandboxenv(name="dsandbox")
class DsandboxSandboxEnvironment(SandboxEnvironment):
    """A session for each sample. What the policy does not say otherwise: 10 MiB of output are kept, as inspect_ai has it.

    Commands run as the one user that a sandbox has.
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace

    @classmethod
    def default_concurrency(cls) -> Optional[int]:
        """Samples at once: each has a sandbox."""
        return 2 * (os.cpu_count() or 1)

    @classmethod
    async def sample_init(
        cls, task_name: str, config: Optional[SandboxEnvironmentConfigType], metadata: Dict[str, str]
    ) -> Dict[str, SandboxEnvironment]:
        options = _config_of(config).model_dump()
        if "output_limit" not in (options["policy"] or {}):
            options["settings"] = {"output_limit": SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE, **(options["settings"] or {})}
        workspace = Workspace(**options)
        await workspace.working_dir()
        return {"default": cls(workspace)}

    @classmethod
    async def sample_cleanup(
        cls,
        task_name: str,
        config: Optional[SandboxEnvironmentConfigType],
        environments: Dict[str, SandboxEnvironment],
        interrupted: bool,
    ) -> None:
        for environment in environments.values():
            await environment.as_type(DsandboxSandboxEnvironment).workspace.close()

    @classmethod
    def config_deserialize(cls, config: Dict[str, Any]) -> BaseModel:
        return DsandboxConfig(**config)

    async def exec(
        self,
        cmd: List[str],
        input: Union[str, bytes, None] = None,
        cwd: Optional[str] = None,
        env: Optional[Dict[str, str]] = None,
        user: Optional[str] = None,
        timeout: Optional[int] = None,
        timeout_retry: bool = True,
        concurrency: bool = True,
    ) -> ExecResult[str]:
        """Nothing is tried again: a command that took too long was run, and may have done a part of its work."""
        if user is not None:
            raise SandboxUserUnsupportedError(f"a sandbox has one user, and no {user!r}")
        try:
            result = await self.workspace.execute(cmd, cwd=cwd, env=env, stdin=input, timeout=timeout)
        except WorkspaceUnavailableError as error:
            raise SandboxUnavailableError(error.message) from error
        if result.status == "timeout":
            raise TimeoutError(result.summary())
        limit = SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE
        if result.stdout_truncated or result.stderr_truncated or max(result.stdout_bytes, result.stderr_bytes) > limit:
            raise OutputLimitExceededError(SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE_STR, result.stdout + result.stderr)
        code = exit_code(result)
        if code == CANNOT_RUN and "ermission denied" in result.stderr:
            raise PermissionError(result.stderr.strip())
        return ExecResult(code == 0, code, result.stdout, stderr_of(result))

    async def write_file(self, file: str, contents: Union[str, bytes]) -> None:
        try:
            await self.workspace.write_bytes(file, contents.encode() if isinstance(contents, str) else contents)
        except WorkspaceUnavailableError as error:
            raise SandboxUnavailableError(error.message) from error

    @overload
    async def read_file(self, file: str, text: Literal[True] = True) -> str: ...

    @overload
    async def read_file(self, file: str, text: Literal[False]) -> bytes: ...

    async def read_file(self, file: str, text: bool = True) -> Union[str, bytes]:
        try:
            size = (await self.workspace.stat(file)).size or 0
            data = await self.workspace.read_bytes(file) if size <= SandboxEnvironmentLimits.MAX_READ_FILE_SIZE else None
        except WorkspaceUnavailableError as error:
            raise SandboxUnavailableError(error.message) from error
        if data is None or len(data) > SandboxEnvironmentLimits.MAX_READ_FILE_SIZE:
            raise OutputLimitExceededError(SandboxEnvironmentLimits.MAX_READ_FILE_SIZE_STR, None)
        return data.decode("utf-8") if text else data
