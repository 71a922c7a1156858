# SPDX-License-Identifier: MIT
"""A Jupyter kernel whose cells run in a sandbox: `python3 -m dsandbox.jupyter install` makes it known to Jupyter.

Needs ipykernel (`pip install dsandbox[jupyter]`). Each kernel has a session of its own, which ends with it, however it ends.
"""
