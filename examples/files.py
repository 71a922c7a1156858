# SPDX-License-Identifier: MIT
"""
Files survive in a session. Run it twice with the same --session:

    dsandbox run --session demo examples/files.py

The file is then in the base directory on the host, /tmp/sandboxes/demo/count.txt (--base-dir chooses another).
"""
from pathlib import Path

counter = Path("/sandbox/count.txt")
count = int(counter.read_text()) + 1 if counter.exists() else 1
counter.write_text(f"{count}\n")
print("run number", count)

try:
    Path("/etc/motd").write_text("hello")
except OSError as error:
    print("outside /sandbox:", error)
