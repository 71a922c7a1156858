#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Byte code for start.py, of the version of Python that runs this: compiling our files is a seventh of a short run's time.

    make_code.py PLACE OUTPUT FILE...    PLACE is the directory that the files are in when they run, with a slash at its end
"""
import importlib.util
import marshal
import os
import sys


def code_of(path, place):
    with open(path, "rb") as file:
        return marshal.dumps(compile(file.read(), place + os.path.basename(path), "exec", 0, True))


def main():
    place, output, *files = sys.argv[1:]
    codes = {os.path.basename(path): code_of(path, place) for path in files}
    with open(output, "wb") as file:
        file.write(marshal.dumps((importlib.util.MAGIC_NUMBER, place, codes)))


if __name__ == "__main__":
    main()
