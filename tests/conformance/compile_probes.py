# SPDX-License-Identifier: MIT
"""Compile every probe file, alone and behind the common part, without running any probe."""
import pathlib
import sys

cases = pathlib.Path(__file__).resolve().parents[2] / "conformance" / "cases"
common = (cases / "common.py").read_text()
groups = [path for path in sorted(cases.glob("*.py")) if path.name != "common.py"]
for path in groups:
    # The oldest interpreter that the guest supports must be able to read them.
    compile(common + "\nFACTS = {}\n" + path.read_text(), str(path), "exec", dont_inherit=True)
print("%d groups" % len(groups))
sys.exit(0 if groups else 1)
