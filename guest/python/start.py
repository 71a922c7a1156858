# SPDX-License-Identifier: MIT
"""What dsb-init starts: kernel.py, from byte code where make_code.py has made it for this interpreter, else from its source."""
import builtins
import sys
from marshal import loads

# Functions of ours must not see what user code does to the module builtins.
__builtins__ = dict(builtins.__dict__)

PLACE = __file__.rpartition("/")[0] + "/"


def made_code():
    """File name -> byte code. It is for one version of Python, and has the place of the files in it."""
    try:
        with open(PLACE + "code-" + str(sys.implementation.cache_tag), "rb") as f:
            magic, place, codes = loads(f.read())
    except (OSError, EOFError, TypeError, ValueError):
        return {}
    same = magic == sys.modules["_frozen_importlib_external"].MAGIC_NUMBER and place == PLACE
    return codes if same else {}


CODES = made_code()


def code_of(name):
    """What a file of ours compiles to; each is asked for once."""
    if name in CODES:
        return loads(CODES.pop(name))
    with open(PLACE + name, "rb") as f:
        return compile(f.read(), PLACE + name, "exec", 0, True)


exec(code_of("kernel.py"))
