"""The module's text."""
from __future__ import annotations
x: Undefined = 1
print(__doc__, __annotations__)
