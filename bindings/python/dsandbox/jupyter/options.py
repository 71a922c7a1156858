# SPDX-License-Identifier: MIT
"""What the kernel's sandbox is made with: options of a command line, as kernelspecs have them, and of an environment variable."""
import argparse
import json
import os
import shlex
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ..client import Client
from ..errors import InvalidError
from ..sandbox import Options

VARIABLE = "DSANDBOX_JUPYTER"
TIMEOUT = "1h"  # of a cell, where nothing else is said: somebody watches it
IDLE_TIMEOUT, LIFE_TIME = "24h", "168h"  # the session ends with its kernel; these are for when nobody could end it
PLAIN = ("backend", "host", "image", "base_dir", "memory", "network", "disk", "engine_timeout")


class Settings:
    """Of one kernel."""

    def __init__(self, given: argparse.Namespace) -> None:
        values: Dict[str, Any] = {name: getattr(given, name) for name in PLAIN if getattr(given, name) is not None}
        values.update({name: getattr(given, name) for name in ("cpus", "pids") if getattr(given, name) is not None})
        if given.policy is not None:
            values["policy"] = _policy(given.policy)
        if given.set:
            values["settings"] = dict(_pair(text) for text in given.set)
        self.options: Options = Options(allow_unenforced=given.allow_unenforced, same_path=given.same_path, **values)
        self.client: Client = Client(given.socket)
        self.session: Optional[str] = given.session
        self.files: Optional[str] = given.files
        self.trust_output: bool = given.trust_output
        # What a policy says of times holds, unless somebody says otherwise.
        own = given.policy is None
        self.timeout: Optional[str] = given.timeout or (TIMEOUT if own else None)
        self.idle_timeout: Optional[str] = given.idle_timeout or (IDLE_TIMEOUT if own else None)
        self.life_time: Optional[str] = given.life_time or (LIFE_TIME if own else None)
        self.checkpoint: Any = given.checkpoint


def parser(**how: Any) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(allow_abbrev=False, **how)
    add = made.add_argument_group("the sandbox").add_argument
    add("--backend", help="docker-api, docker-cli, podman, …")
    add("--host", help="the engine's address")
    add("--image", help="any image with Python >= 3.8, with the packages that the notebooks need")
    add("--base-dir", help="where session directories are on the host")
    add("--policy", metavar="FILE", help="a policy file")
    for name in ("--memory", "--network", "--disk", "--engine-timeout"):
        add(name)
    add("--cpus", type=float)
    add("--pids", type=int)
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="any key of a policy")
    add("--allow-unenforced", action="append", default=[], metavar="CONTROL", help="a control that may be missing")
    add("--same-path", action="store_true", help="the session's directory is also inside at its path on the host")
    add("--timeout", help=f"for each cell; {TIMEOUT} without --policy")
    add("--idle-timeout", help="when the sandbox ends by itself")
    add("--life-time")
    add("--checkpoint", choices=("idle", "always", "off"), help="when the variables are copied, for after a crash")
    add("--session", metavar="ID", help="a session whose files stay; else each kernel has one, whose files go with it")
    add("--files", metavar="DIR", help="a directory whose files are copied to /sandbox of a new session")
    add("--trust-output", action="store_true", help="hand on scripts and HTML as they are: they act as you in your browser")
    add("--socket", help="of the service, where it is not the user's own")
    return made


def read(argv: Sequence[str]) -> Tuple[Settings, List[str]]:
    """The settings, and the arguments that are not about the sandbox."""
    from_environment, wrong = parser(prog=f"${VARIABLE}").parse_known_args(shlex.split(os.environ.get(VARIABLE, "")))
    if wrong:
        raise InvalidError(f"${VARIABLE} has something that is no option of the sandbox: {' '.join(wrong)}")
    given, rest = parser(add_help=False).parse_known_args(list(argv), from_environment)
    return Settings(given), rest


def _policy(path: str) -> Dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except (OSError, ValueError) as error:
        raise InvalidError(f"the policy file {path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise InvalidError(f"the policy file {path} has no JSON object")
    return content


def _pair(text: str) -> Tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise InvalidError(f"--set {text}: KEY=VALUE is expected")
    return key, value
