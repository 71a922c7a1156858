# SPDX-License-Identifier: MIT
"""A backend of LangChain's deepagents (0.7): DsandboxBackend is a `BaseSandbox`.

    from dsandbox.adapters.deepagents import DsandboxBackend

    agent = create_deep_agent(model, backend=DsandboxBackend(memory="1GiB"))
"""
import errno
from typing import TYPE_CHECKING, List, Optional, Tuple

from deepagents.backends.protocol import ExecuteResponse, FileDownloadResponse, FileOperationError, FileUploadResponse
from deepagents.backends.sandbox import BaseSandbox

from .._environment import Environment, exit_code, stderr_of
from ..client import Client
from ..sandbox import OptionValues, Time

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["DsandboxBackend"]

TIMED_OUT = 124  # as of timeout(1)


class DsandboxBackend(BaseSandbox):
    """A session. id: an existing one, which must be there; None: a new one, made by the first use.

    timeout: seconds (or "5s") for each command that has none of its own, None: the policy's. The other keyword arguments are
    those of dsandbox.Options. The session lives until close(), or until its own times end it.
    """

    def __init__(
        self,
        id: Optional[str] = None,
        *,
        client: Optional[Client] = None,
        timeout: Optional[Time] = None,
        **options: "Unpack[OptionValues]",
    ) -> None:
        self._environment = Environment(id, client, timeout, **options)

    @property
    def id(self) -> str:
        """Of the session, which is made where it is not there yet."""
        return self._environment.open()

    def execute(self, command: str, *, timeout: Optional[int] = None) -> ExecuteResponse:
        """A line for /bin/sh. Its standard output and error are one text, in the order in which they were written."""
        result = self._environment.run("exec 2>&1; " + command, timeout=timeout or None)
        truncated = result.stdout_truncated or result.stderr_truncated
        output = result.stdout + stderr_of(result)
        if result.status == "timeout":
            return ExecuteResponse(f"{output}\ndsandbox: {result.summary()}\n", TIMED_OUT, truncated)
        return ExecuteResponse(output, exit_code(result), truncated)

    def upload_files(self, files: List[Tuple[str, bytes]]) -> List[FileUploadResponse]:
        return [FileUploadResponse(path, self._upload(path, content)) for path, content in files]

    def download_files(self, paths: List[str]) -> List[FileDownloadResponse]:
        return [self._download(path) for path in paths]

    def close(self, delete_files: bool = True) -> None:
        """End the session."""
        self._environment.close(delete_files)

    def _upload(self, path: str, content: bytes) -> "Optional[FileOperationError | str]":
        if not path.startswith("/") or "\0" in path:
            return "invalid_path"
        try:
            self._environment.write(path, content)
        except OSError as error:
            return _why(error)
        return None

    def _download(self, path: str) -> FileDownloadResponse:
        if not path.startswith("/") or "\0" in path:
            return FileDownloadResponse(path, None, "invalid_path")
        try:
            return FileDownloadResponse(path, self._environment.read(path), None)
        except OSError as error:
            return FileDownloadResponse(path, None, _why(error))


def _why(error: OSError) -> "FileOperationError | str":
    """The words of deepagents; of a failure of ours, which is no path's, the error itself."""
    if error.errno == errno.ENOENT:
        return "file_not_found"
    if error.errno == errno.EISDIR:
        return "is_directory"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "permission_denied"
    if error.errno in (errno.ENOTDIR, errno.EINVAL, errno.ENAMETOOLONG, errno.ELOOP):
        return "invalid_path"
    if error.errno is None:
        raise error
    return str(error)
