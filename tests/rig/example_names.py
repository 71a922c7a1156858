# SPDX-License-Identifier: MIT
"""The names of the programs and notebooks in examples/, told apart by where they run: a program that imports our package starts sandboxes itself."""
import os
import re


def _names(directory, starts_sandboxes):
    names = set()
    for file in os.listdir(directory):
        if file.endswith(".py"):
            with open(os.path.join(directory, file), encoding="utf-8") as text:
                if bool(re.search(r"(?m)^(from|import) dsandbox\b", text.read())) == starts_sandboxes:
                    names.add(file[:-3])
    return names


def inside(directory):
    """Those that run in a sandbox."""
    return _names(directory, False)


def notebooks(directory):
    """Those that Jupyter runs, in a kernel of ours."""
    return {file[:-6] for file in os.listdir(directory) if file.endswith(".ipynb")}


def outside(directory):
    """Those that a user runs, and that start sandboxes."""
    return _names(directory, True)
