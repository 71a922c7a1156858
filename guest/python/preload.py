# SPDX-License-Identifier: MIT
"""Imports what the policy preloads, before any code is there.

kernel.py loads this file; its names are here as well.  Each interpreter imports for itself and no other is forked from
it, so what is seeded now (hashes, the module random, NumPy's) is seeded by the kernel, and no other interpreter has it.
What the modules print goes to the log of the interpreter, which is shown when it ends.
"""


def give_up(text):
    """The run fails with this: one that was to be quick, and imports in the code what it can, is no help to anybody."""
    os.write(2, ("preload: " + text_of(text, 2000)).encode("utf-8", "replace"))
    os._exit(1)


def bring(name):
    try:
        __import__(name)
    except BaseException as e:
        give_up("%s cannot be imported: %s: %s" % (name, type(e).__name__, value_of(e)))
    # It would run beside the code, and a copy of the interpreter does not have it.
    if library("_thread")._count():
        give_up("%s leaves a thread running: it can only be imported by the code" % name)


def preload(config):
    """In the environment that the code will have, so that a library counts the processors of the policy; but with
    nothing of /sandbox: neither its modules nor, in the working directory, its settings."""
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    os.environ.clear()
    os.environ.update(config.variables)
    os.chdir("/")
    path = sys.path
    own = [p for p in config.variables.get("PYTHONPATH", "").split(os.pathsep) if p]
    sys.path = [p for p in own if not (p + "/").startswith("/sandbox/")] + path
    for name in config.arguments:
        bring(name)
    sys.path = path
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # else it comes out as the code's
    os.fchdir(here)
    os.close(here)
