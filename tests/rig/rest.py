# SPDX-License-Identifier: MIT
"""A session at rest: the rollback point that it takes in quiet is there."""
import re
import time

from speed import scaled


def rest(execute):
    """`execute` runs code in the session and returns the result's state, as an object of JSON.

    Runs nothing, with pauses in between, until an answer names a point that has all that was there before. Returns the
    number of its execution: a crash from now on goes back to that one, or to a later one that did nothing.
    """
    until, first = time.monotonic() + scaled(60), None
    while True:
        state = execute("pass")
        first = first or state["execution"]
        said = re.search(r"loses the variables of the last (?:(\d+) executions|execution)$", state["point"])
        to = state["execution"] - int(said[1] or 1) if said else -1
        if to >= first - 1:
            return to
        if time.monotonic() > until:
            raise AssertionError(f"the session takes no rollback point in quiet: {state}")
        time.sleep(.1)
