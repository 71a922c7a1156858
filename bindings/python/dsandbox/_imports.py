# SPDX-License-Identifier: MIT
"""The check of imports that the later version of the replaced module has. It tells a model early what is not there; it
is no boundary, which is the sandbox alone."""
import ast
import sys
from typing import Iterator, List, Optional, Tuple

# The standard library of Python 3.8 to 3.14, for interpreters that cannot say it themselves (below 3.10).
_STANDARD = """
__future__ _thread abc aifc annotationlib antigravity argparse array ast asynchat asyncio asyncore atexit audioop base64
bdb binascii binhex bisect builtins bz2 calendar cgi cgitb chunk cmath cmd code codecs codeop collections colorsys
compileall compression concurrent configparser contextlib contextvars copy copyreg cProfile crypt csv ctypes curses
dataclasses datetime dbm decimal difflib dis distutils doctest email encodings ensurepip enum errno faulthandler fcntl
filecmp fileinput fnmatch formatter fractions ftplib functools gc genericpath getopt getpass gettext glob graphlib grp
gzip hashlib heapq hmac html http idlelib imaplib imghdr imp importlib inspect io ipaddress itertools json keyword
lib2to3 linecache locale logging lzma mailbox mailcap marshal math mimetypes mmap modulefinder multiprocessing netrc nis
nntplib ntpath nturl2path numbers opcode operator optparse os ossaudiodev parser pathlib pdb pickle pickletools pipes
pkgutil platform plistlib poplib posix posixpath pprint profile pstats pty pwd py_compile pyclbr pydoc pydoc_data
pyexpat queue quopri random re readline reprlib resource rlcompleter runpy sched secrets select selectors shelve shlex
shutil signal site smtpd smtplib sndhdr socket socketserver spwd sqlite3 sre_compile sre_constants sre_parse ssl stat
statistics string stringprep struct subprocess sunau symbol symtable sys sysconfig syslog tabnanny tarfile telnetlib
tempfile termios textwrap this threading time timeit tkinter token tokenize tomllib trace traceback tracemalloc tty
turtle turtledemo types typing unicodedata unittest urllib uu uuid venv warnings wave weakref webbrowser wsgiref xdrlib
xml xmlrpc zipapp zipfile zipimport zlib zoneinfo
"""

# What an image may have: name to import, and the name of its package where that is another.
_LIBRARIES = """
numpy np pandas pd matplotlib plt scipy sklearn scikit-learn pdfplumber fitz pymupdf docx python-docx pptx python-pptx
openpyxl chardet magic python-magic PIL dateutil pytz tzdata joblib threadpoolctl mpl_toolkits pylab cycler kiwisolver
fontTools contourpy packaging pyparsing six seaborn sympy mpmath networkx bs4 beautifulsoup4 lxml jinja2 tabulate tqdm
"""

ALLOWED_LIBRARIES = set(_STANDARD.split()) | set(_LIBRARIES.split()) | set(getattr(sys, "stdlib_module_names", ()))

_NAMED = """
numpy|pandas|matplotlib|scipy|scikit-learn (import as sklearn)|pdfplumber|pymupdf (import as fitz)
|python-docx (import as docx)|python-pptx (import as pptx)|openpyxl|chardet|python-magic (import as magic)
"""
SYNTAX_ERROR = "Syntax error in code: "
_IMPORTERS = ("__import__", "import_module")


def validate_imports(code: str) -> Tuple[bool, str]:
    """(True, "") when all imports are of ALLOWED_LIBRARIES, else (False, why)."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return False, f"{SYNTAX_ERROR}{error}"
    wrong = sorted({name for name in _imports(tree) if name.split(".")[0] not in ALLOWED_LIBRARIES})
    if not wrong:
        return True, ""
    lines = ["- Standard Python library modules"] + [f"- {name.strip()}" for name in _NAMED.strip().split("|")]
    return False, (
        f"Import restriction violation: The following imports are not allowed: {', '.join(wrong)}\n\n"
        "Allowed libraries:\n" + "\n".join(lines)
    )


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
        elif isinstance(node, ast.Call):
            name = _imported_by_call(node)
            if name is not None:
                yield name


def _imported_by_call(call: ast.Call) -> Optional[str]:
    """The name in __import__("name") and importlib.import_module("name")."""
    function, called = call.func, ""
    if isinstance(function, ast.Name):
        called = function.id
    elif isinstance(function, ast.Attribute):
        called = function.attr
    arguments: List[ast.expr] = list(call.args[:1]) + [word.value for word in call.keywords if word.arg == "name"]
    if called not in _IMPORTERS or not arguments:
        return None
    try:
        value = ast.literal_eval(arguments[0])
    except (ValueError, SyntaxError):
        return None
    return value if isinstance(value, str) and value and not value.startswith(".") else None
