# SPDX-License-Identifier: MIT
"""A drop-in replacement for dolphin-mcp's `docker_sandbox` module. Only the import changes:

    from dsandbox.dolphin import DockerSandboxExecutor

    with DockerSandboxExecutor(session_id="my-session") as sandbox:
        sandbox.execute_code("x = 20")
        print(sandbox.execute_code("print(x + 1)"))       # 21: variables persist

The sandbox is dsandbox's own (see the package): variables live on by session id, also in another executor or process;
what is written to /sandbox is in <sandbox_base_dir>/<session_id> on the host; no code ever runs on the host instead.
The default image name of the replaced class stands for dsandbox's image when no image of that name is there.
"""
import contextlib
import errno
import io
import logging
import os
import re
import threading
import traceback
import uuid
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Dict, List, Mapping, Optional, Tuple, Type, Union

from ._answer import answer_text, variables_lost
from ._context import loader
from ._imports import ALLOWED_LIBRARIES as ALLOWED_LIBRARIES
from ._imports import SYNTAX_ERROR, validate_imports
from .client import Client
from .errors import ConflictError, DeniedError, Error, InvalidError, NotFoundError, RefusedError, UnavailableError
from .results import Result
from .sandbox import SHARED_BASE, Options, Session, default_base_dir

__all__ = ["DockerSandboxExecutor", "sandboxed_python_interpreter"]

logger: logging.Logger = logging.getLogger(__name__)

DEFAULT_IMAGE = "dolphin-python-sandbox"
SANDBOX = "/sandbox"
SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
STATE_FILE = ".dsandbox-state"  # where Session.save keeps variables, inside the sandbox
CONTEXT_IN_CODE = 1 << 20  # bytes; a bigger context travels as a file
IMPORT_ERROR = "IMPORT RESTRICTION ERROR:\n"
SYNTAX_ERRORS = ("SyntaxError", "IndentationError", "TabError")
ENGINE_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}

_defaults: Dict[str, Any] = {}


def configure(client: Optional[Client] = None, **options: Any) -> None:
    """What all executors of this process use from now on, for callers that cannot be changed.

    client: how the service is found. options: those of dsandbox.Options, say backend="podman" or
    allow_unenforced=["memory"]. Each call replaces the former one.
    """
    Options(**options)  # an unknown one is an error here, not later
    _defaults.clear()
    _defaults.update(options)
    if client is not None:
        _defaults["client"] = client


class DockerSandboxExecutor:
    """Runs code in the sandbox of a session.

    The parameters of both published versions, with their meaning there; the default of `sandbox_base_dir` is another
    directory where it is another user's (default_base_dir), and the one given to configure(). After the `*` what is new:
    container_mount_base_dir: the session's directory is inside at <this>/<session_id>; only the path that it has on
        the host is possible.
    version: 2, the later one: imports are checked, and errors are part of the output. 1: as the README's version had
        it: imports are not checked, and an error's text starts with "EXECUTION ERROR:".
    same_path: the session's directory is inside also at its path on the host. None: where that path allows it.
    client, and all options of dsandbox.Options: which service and engine.

    PermissionError: the base directory cannot be used. ValueError: a parameter makes no sense. RuntimeError: no engine
    answers, the image is missing, or the policy cannot be put in force; its text says what to do.
    """

    def __init__(
        self,
        session_id: Optional[str] = None,
        sandbox_base_dir: Union[str, "os.PathLike[str]"] = SHARED_BASE,
        container_mount_path: str = SANDBOX,
        image_name: str = DEFAULT_IMAGE,
        image_tag: str = "latest",
        memory_limit: Union[str, int] = "512m",
        cpu_quota: int = 100000,
        enable_network: bool = False,
        timeout: float = 30,
        *,
        container_mount_base_dir: Union[str, "os.PathLike[str]", None] = None,
        version: int = 2,
        same_path: Optional[bool] = None,
        client: Optional[Client] = None,
        **options: Any,
    ) -> None:
        if version not in (1, 2):
            raise ValueError(f"version {version!r}: there are 1 and 2")
        self.session_id: str = session_id or str(uuid.uuid4())
        if SESSION_ID.fullmatch(self.session_id) is None:
            raise ValueError(
                f"session_id {self.session_id!r}: 1 to 64 letters, digits and _.- are possible, first a letter or digit"
            )
        self._options = {**_defaults, **options}
        # In the later version the third parameter is the base directory.
        if container_mount_base_dir is None and os.fspath(container_mount_path) == os.fspath(sandbox_base_dir):
            container_mount_base_dir = container_mount_path
        self.sandbox_base_dir: Path = self._base(sandbox_base_dir, self._options.pop("base_dir", None))
        if container_mount_base_dir is not None and os.fspath(container_mount_base_dir) == os.fspath(sandbox_base_dir):
            container_mount_base_dir = self.sandbox_base_dir
        self.session_dir: Path = self.sandbox_base_dir / self.session_id
        self.container_mount_base_dir: Path = Path(container_mount_base_dir or self.sandbox_base_dir)
        self.container_mount_path: str = os.fspath(container_mount_path)
        if container_mount_base_dir is not None:
            self.container_mount_path = str(self.container_mount_base_dir / self.session_id)
        self.image_name = image_name
        self.image_tag = image_tag
        self.full_image_name: str = f"{image_name}:{image_tag}"
        self.memory_limit = memory_limit
        self.cpu_quota = cpu_quota
        self.enable_network = enable_network
        self.timeout = timeout
        self.version = version
        configured_path = self._options.pop("same_path", None)
        self._same_path = self._wants_same_path(configured_path if same_path is None else same_path)
        configured = self._options.pop("client", None)
        self.docker_client: Client = client or configured or Client()
        self._configured_image: Optional[str] = self._options.pop("image", None)
        self._options["settings"] = {**(self._options.get("settings") or {}), **self._limits()}
        self._lock = threading.Lock()
        self._directory: Optional[Tuple[int, int]] = None
        self._untold: List[str] = []  # what became of variables, that no answer has said
        self._session = self._connect()
        logger.info("session %s is ready", self.session_id)

    def __repr__(self) -> str:
        return f"DockerSandboxExecutor(session_id={self.session_id!r})"

    def __enter__(self) -> "DockerSandboxExecutor":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        """Nothing: the session goes on, and its files stay. cleanup() ends it."""

    def execute_code(self, code: str, context: Optional[Dict[str, Any]] = None) -> str:
        """Run code and return what it printed, always as text: errors, also ours, are in it.

        Where variables were lost or rolled back, lines in brackets behind the output say so, and why.

        context: variables to set before. One that was given before with the same value is left as the code made it.
        """
        unclear = False
        if self.version >= 2 and isinstance(code, str):
            valid, message = validate_imports(code)
            # Python in the sandbox may be newer than here: it says whether the syntax is wrong.
            unclear = not valid and message.startswith(SYNTAX_ERROR)
            if not valid and not unclear:
                return f"{IMPORT_ERROR}{message}"
        try:
            result, output = self._execute(code, context)
            if unclear and result.error is not None and result.error.name in SYNTAX_ERRORS:
                return f"{IMPORT_ERROR}{SYNTAX_ERROR}{result.error.value}"
            earlier, self._untold = self._untold, []
            return answer_text(result, output, self.version, self.timeout, str(self.memory_limit), earlier)
        except Error as error:
            logger.error("session %s: %s", self.session_id, error.message)
            return f"ERROR:\n{error.message}"
        except Exception as error:
            logger.exception("session %s", self.session_id)
            return f"ERROR:\nUnexpected error:\n{type(error).__name__}: {error}"

    def get_session_files(self) -> List[str]:
        """Paths of all regular files of the session, relative to its directory. Links are no files."""
        found = self._files_call(lambda session: session.files.list())
        return sorted(item.path for item in found or () if item.type == "file" and item.path != STATE_FILE)

    def read_session_file(self, filename: Union[str, "os.PathLike[str]"]) -> str:
        """The text of a file of the session.

        FileNotFoundError: there is none. ValueError: the name leads out of the session, or through a link.
        """
        name = self._inside(os.fspath(filename))
        try:
            data = self._files_call(lambda session: session.files.read(name))
        except DeniedError as error:
            raise ValueError("Path traversal attempt detected") from error
        except InvalidError as error:
            if self.session_dir.joinpath(name).is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name) from error
            raise ValueError(f"Not a file that can be read: {filename}: {error.message}") from error
        if data is None:
            raise FileNotFoundError(f"File not found: {filename}")
        return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8").read()

    def cleanup(self) -> None:
        """End the sandbox and delete the session's directory. Problems are logged only."""
        try:
            self._session.close(delete_files=True)
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(self.session_dir)
        except Exception as error:
            logger.error("cannot clean up session %s: %s", self.session_id, error)

    @staticmethod
    def _base(given: Union[str, "os.PathLike[str]"], configured: Union[str, "os.PathLike[str]", None]) -> Path:
        if os.fspath(given) == SHARED_BASE:  # the default, which was written out in published examples
            given = configured or default_base_dir()
        return Path(os.path.abspath(os.fspath(given)))

    # --- the session ------------------------------------------------------------

    def _limits(self) -> Dict[str, str]:
        limits = {"memory": str(memory_bytes(self.memory_limit)), "cpus": processors(self.cpu_quota)}
        limits["network"] = "full" if self.enable_network else "none"
        valid = isinstance(self.timeout, (int, float)) and not isinstance(self.timeout, bool) and self.timeout > 0
        if not valid:
            raise ValueError(f"timeout {self.timeout!r}: a number of seconds above 0 is expected")
        return limits

    def _wants_same_path(self, asked: Optional[bool]) -> Optional[bool]:
        """None: if possible."""
        inside = PurePosixPath(self.container_mount_path)
        if inside == PurePosixPath(SANDBOX):
            return asked
        if inside == PurePosixPath(self.session_dir) and asked is not False:
            return True
        raise ValueError(
            f"the session's directory cannot be at {inside} inside: {SANDBOX} and its path on the host, "
            f"{self.session_dir}, are possible"
        )

    def _images(self) -> List[Optional[str]]:
        if self.image_name != DEFAULT_IMAGE:
            return [self.full_image_name]
        return [self.full_image_name, self._configured_image]

    def _ensure_image_exists(self) -> None:
        """RuntimeError when the image is not there."""
        with self._lock:
            self._session = self._connect()

    def _connect(self) -> Session:
        try:
            session = self._open()
        except Error as error:
            logger.error("session %s: %s", self.session_id, error.message)
            raise self._explained(error) from error
        self._directory = self._identity()
        return session

    def _open(self, replace: bool = True) -> Session:
        conflict: Optional[ConflictError] = None
        missing: Dict[Optional[str], NotFoundError] = {}
        for same_path in [True, False] if self._same_path is None else [self._same_path]:
            for image in self._images():
                if image in missing:
                    continue
                try:
                    return self._make(image, same_path)
                except ConflictError as error:
                    conflict = conflict or error
                except NotFoundError as error:
                    if "image" not in error.message.lower():
                        raise
                    missing[image] = error
                except InvalidError as error:
                    if not same_path or self._same_path or "same_path" not in error.message:
                        raise
        if conflict is not None and replace:
            return self._replace(conflict)
        raise conflict or list(missing.values())[-1]

    def _make(self, image: Optional[str], same_path: bool) -> Session:
        options = Options(image=image, same_path=same_path, base_dir=self.sandbox_base_dir, **self._options)
        try:  # as the replaced class: what an execution did is there after a crash of the next one
            return Session(self.session_id, client=self.docker_client, options=options, checkpoint="always")
        except ConflictError:  # it may be somebody else's, who chose otherwise
            return Session(self.session_id, client=self.docker_client, options=options)

    def _replace(self, conflict: ConflictError) -> Session:
        """The session runs with other limits: take its variables over into a sandbox with ours.

        The replaced class had a new container for each execution, so an id did not tie its limits down.
        """
        logger.warning("session %s is made anew: %s", self.session_id, conflict.message)
        client, saved, restored = self.docker_client, False, False
        former = client.session(self.session_id)
        same_files = former.base_dir is None or os.path.normpath(former.base_dir) == str(self.sandbox_base_dir)
        with contextlib.suppress(Error):
            answer = client.save(self.session_id)
            saved = same_files
            self._lose(answer.get("not_saved"))
        self._end()
        session = self._open(replace=False)
        if saved:
            with contextlib.suppress(Error):
                self._lose(session.restore().get("not_restored"))
                restored = True
                session.files.delete(STATE_FILE)
        if not restored and former.executions > 0:
            self._untold.append("variables were lost: the session was made anew with other limits")
        return session

    def _end(self) -> None:
        """The former session. What could not be removed of it is removed by the next, or said by it."""
        try:
            self.docker_client.delete(self.session_id)
        except Error as error:
            logger.info("session %s: %s", self.session_id, error.message)

    def _lose(self, entries: Any) -> None:
        for item in entries if isinstance(entries, list) else ():
            if isinstance(item, dict):
                self._untold.append(f"variable {item.get('name')} was lost: {item.get('why')}")
                logger.warning("session %s: %s", self.session_id, self._untold[-1])

    def _living(self) -> Session:
        """The session, made anew when somebody has removed its directory (which is how the README cleans up)."""
        now = self._identity()
        if now is None or (now != self._directory and not self._is_inside(now)):
            self._end()
            self._session = self._open()
        self._directory = self._identity()
        return self._session

    def _is_inside(self, directory: Tuple[int, int]) -> bool:
        """The sandbox has this directory: it was another executor that made both anew."""
        result = self._session.run("import os as __os\nprint(__os.stat('/sandbox').st_ino)\ndel __os", filename="<check>")
        self._untold += variables_lost(result)
        return result.stdout.strip() == str(directory[1])

    def _identity(self) -> Optional[Tuple[int, int]]:
        try:
            info = os.lstat(self.session_dir)
        except OSError:
            return None
        return info.st_dev, info.st_ino

    def _explained(self, error: Error) -> Exception:
        """As the replaced class says it."""
        if isinstance(error, InvalidError):
            return ValueError(error.message)
        if isinstance(error, DeniedError):
            for path in (str(self.session_dir), str(self.sandbox_base_dir)):
                if path in error.message:
                    return PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        if isinstance(error, NotFoundError) and "image" in error.message.lower():
            ours = " or make dsandbox's own with: dsandbox image build" if self.image_name == DEFAULT_IMAGE else ""
            return RuntimeError(
                f"Docker image '{self.full_image_name}' not found. "
                f"Build it with: docker build -f Dockerfile.sandbox -t {self.full_image_name} .{ours} ({error.message})"
            )
        if isinstance(error, RefusedError):
            return RuntimeError(f"The sandbox was refused: {error.message}")
        if isinstance(error, (UnavailableError, DeniedError)):
            return RuntimeError(f"Docker is not available: {error.message}")
        return RuntimeError(error.message)

    # --- executions --------------------------------------------------------------

    def _give(self, session: Session, context: Mapping[str, Any]) -> None:
        code, problems = loader(context)
        name = f".dsandbox-context-{uuid.uuid4().hex}.py"
        in_file = len(code) > CONTEXT_IN_CODE
        if in_file:
            session.files.write(name, code)
            code = f"with open('/sandbox/{name}') as __f: __f = __f.read()\nexec(__f)\ndel __f"
        try:
            result = session.run(code, filename="<context>", timeout=max(self.timeout, 30))
        finally:
            if in_file:
                session.files.delete(name)
        self._untold += variables_lost(result)
        lost = [f"{name}: {reason}" for name, reason in problems.items()] + result.stdout.splitlines()
        if result.error is not None or not result.ok:
            lost.append(result.summary())
        for line in lost:
            logger.warning("session %s: context not carried over: %s", self.session_id, line)

    def _execute(self, code: str, context: Optional[Mapping[str, Any]]) -> Tuple[Result, str]:
        """The result, and both streams as they came."""
        with self._lock:
            session = self._living()
        try:
            return self._run(session, code, context)
        except ConflictError:
            with self._lock:  # an executor with other limits was here
                session = self._session = self._open()
            return self._run(session, code, context)

    def _run(self, session: Session, code: str, context: Optional[Mapping[str, Any]]) -> Tuple[Result, str]:
        if context:
            self._give(session, context)
        chunks: List[str] = []
        result = session.run(code, timeout=self.timeout, on_stdout=chunks.append, on_stderr=chunks.append)
        if result.state is not None and not result.state.kept:
            logger.warning("session %s: variables %s: %s", self.session_id, result.state.outcome, result.state.reason)
        return result, "".join(chunks)

    # --- files -------------------------------------------------------------------

    def _inside(self, name: str) -> str:
        """The name relative to the session. Only text is looked at: the service opens it without following links."""
        path = PurePosixPath(name)
        for root in (str(self.session_dir), SANDBOX):
            if path.is_absolute() and PurePosixPath(root) in path.parents:
                path = path.relative_to(root)
        if path.is_absolute() or ".." in path.parts or "\0" in name:
            raise ValueError("Path traversal attempt detected")
        return str(path)

    def _files_call(self, call: Any) -> Any:
        """None: no such file or session, and no directory either."""
        for attempt in (1, 2):
            try:
                return call(self._session)
            except NotFoundError:
                known = attempt == 2 or not os.path.isdir(self.session_dir) or self._is_known()
                if known:
                    return None
            with self._lock:
                self._session = self._open()  # the service has forgotten it, the files are there
        return None

    def _is_known(self) -> bool:
        try:
            self._session.info()
            return True
        except NotFoundError:
            return False


def memory_bytes(limit: Union[str, int]) -> int:
    """A memory limit in the engine's own notation: "512m", "1g", "1.5g", bytes."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([bkmgt]?)b?\s*", str(limit).lower())
    size = int(float(match.group(1)) * ENGINE_UNITS[match.group(2)]) if match and not isinstance(limit, bool) else 0
    if size <= 0:
        raise ValueError(f"memory_limit {limit!r}: a size like '512m' or '1g' is expected; there is no 'unlimited'")
    return size


def processors(quota: int) -> str:
    """Processors, from the engine's microseconds of each 100 000."""
    if isinstance(quota, bool) or not isinstance(quota, int) or quota < 1000:
        raise ValueError(f"cpu_quota {quota!r}: 1000 or more is expected (100000 is one CPU); there is no 'unlimited'")
    return f"{quota / 100000:.5f}".rstrip("0").rstrip(".")


def sandboxed_python_interpreter(
    code: str,
    context: Dict[str, Any],
    session_id: Optional[str] = None,
    image_name: str = DEFAULT_IMAGE,
    image_tag: str = "latest",
) -> str:
    """Run code in the sandbox of a session; what it printed, or "SANDBOX ERROR:" and why there is no sandbox.

    Without a session_id the session is that of the context, which keeps the id as `__sandbox_session_id__`.
    """
    if session_id is None:
        session_id = context.get("__sandbox_session_id__")
    if session_id is None:
        session_id = context["__sandbox_session_id__"] = str(uuid.uuid4())
    try:
        executor = DockerSandboxExecutor(session_id=session_id, image_name=image_name, image_tag=image_tag)
        return executor.execute_code(code, context)
    except Exception:
        return f"SANDBOX ERROR:\n{traceback.format_exc()}"


def python_interpreter(
    code: str,
    context: Dict[str, Any],
    use_docker_sandbox: Optional[bool] = None,
    session_id: Optional[str] = None,
    docker_image_name: str = DEFAULT_IMAGE,
    docker_image_tag: str = "latest",
) -> str:
    """The reasoning system's interpreter: what the code printed, as text.

    DOLPHIN_USE_DOCKER_SANDBOX=1 or use_docker_sandbox=True: in the sandbox. If there is none, the text says so; the
    code is not run. Only where the sandbox is switched off explicitly, by use_docker_sandbox=False or
    DOLPHIN_USE_DOCKER_SANDBOX=0, does the code run in this process, with all of its rights.
    """
    if _use_sandbox(use_docker_sandbox):
        return sandboxed_python_interpreter(code, context, session_id, docker_image_name, docker_image_tag)
    return _in_process(code, context)


def _use_sandbox(asked: Optional[bool]) -> bool:
    """Any word for the sandbox decides. Without a word at all it is the sandbox."""
    word = os.environ.get("DOLPHIN_USE_DOCKER_SANDBOX", "").strip().lower()
    off = word in ("0", "false", "no", "off")
    if asked or (word and not off):
        return True
    return asked is None and not off


def _in_process(code: str, context: Dict[str, Any]) -> str:
    valid, message = validate_imports(code)
    if not valid:
        return f"{IMPORT_ERROR}{message}"
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output):
            exec(code, context)
    except Exception:
        return traceback.format_exc()
    return output.getvalue()
