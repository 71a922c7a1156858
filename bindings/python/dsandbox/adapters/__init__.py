# SPDX-License-Identifier: MIT
"""Sandboxes for agent frameworks. Each module here needs its framework, and is imported only by who uses it."""
