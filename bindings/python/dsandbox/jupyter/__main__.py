# SPDX-License-Identifier: MIT
"""`python3 -m dsandbox.jupyter install` writes a kernelspec; without a word it is the kernel that such a one starts."""
import json
import os
import sys
import tempfile
from typing import Any, Dict, List

from ..errors import Error
from .options import parser, read

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def kernelspec(display_name: str, sandbox: List[str], variables: List[str]) -> Dict[str, Any]:
    """How Jupyter starts the kernel. The package is found where it is now, also where it is not installed."""
    environment = {name: os.environ[name] for name in variables if name in os.environ}
    if not any(part in ROOT.split(os.sep) for part in ("site-packages", "dist-packages")):
        environment["PYTHONPATH"] = ROOT
    return {
        "argv": [sys.executable, "-m", "dsandbox.jupyter", "-f", "{connection_file}", *sandbox],
        "display_name": display_name,
        "language": "python",
        "interrupt_mode": "message",
        "env": environment,
        "metadata": {"debugger": False},
    }


def install(argv: List[str]) -> None:
    """The command `install`; what comes after -- are options of the sandbox, and are looked at now."""
    import argparse

    from jupyter_client.kernelspec import KernelSpecManager

    at = argv.index("--") if "--" in argv else len(argv)
    known = argparse.ArgumentParser(prog="python3 -m dsandbox.jupyter install", description="Make the kernel known to Jupyter.",
                                    epilog="After -- : options of the sandbox, see `python3 -m dsandbox.jupyter options`.")
    place = known.add_mutually_exclusive_group()
    place.add_argument("--user", action="store_true", help="for this user; this is what is done without a word")
    place.add_argument("--prefix", help="below this directory")
    place.add_argument("--sys-prefix", action="store_true", help="in this Python's environment")
    known.add_argument("--name", default="dsandbox", help="the kernel's name: jupyter console --kernel NAME")
    known.add_argument("--display-name", help="what menus show")
    given = known.parse_args(argv[:at])
    sandbox = argv[at + 1 :]
    for at in range(1, len(sandbox)):  # Jupyter starts kernels elsewhere
        if sandbox[at - 1] in ("--policy", "--files", "--base-dir"):
            sandbox[at] = os.path.abspath(sandbox[at])
    _, wrong = read(sandbox)
    if wrong:
        known.error(f"these are no options of the sandbox: {' '.join(wrong)}")
    prefix = sys.prefix if given.sys_prefix else given.prefix
    default = "Python (sandbox)" if given.name == "dsandbox" else f"Python (sandbox: {given.name})"
    with tempfile.TemporaryDirectory() as source:
        with open(os.path.join(source, "kernel.json"), "w", encoding="utf-8") as file:
            json.dump(kernelspec(given.display_name or default, sandbox, ["DSANDBOX_PROGRAM"]), file, indent=1)
        os.chmod(source, 0o755)
        print(KernelSpecManager().install_kernel_spec(source, given.name, user=prefix is None, prefix=prefix))


def main(argv: List[str]) -> None:
    try:
        if argv[:1] == ["install"]:
            install(argv[1:])
        elif argv[:1] == ["options"]:
            parser(prog="", usage="options of the sandbox, after -- or in $DSANDBOX_JUPYTER").print_help()
        else:
            settings, rest = read(argv)
            from .kernel import run

            run(settings, rest)
    except Error as error:
        sys.exit(f"dsandbox.jupyter: {error}")
    except ImportError as error:
        sys.exit(f"dsandbox.jupyter: {error}; pip install 'dsandbox[jupyter]' brings what is needed")


if __name__ == "__main__":
    main(sys.argv[1:])
