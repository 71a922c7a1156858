# SPDX-License-Identifier: MIT
"""Containers of the backend oci, which has no engine to ask: by its records, and by what the kernel has."""
import glob
import json
import os
import select
import signal


def groups(name="*"):
    return glob.glob(f"/sys/fs/cgroup/dsandbox/{name}") + glob.glob(f"/sys/fs/cgroup/*/dsandbox/{name}")


def processes(name):
    found = set()
    for group in groups(name):
        try:
            with open(os.path.join(group, "cgroup.procs"), encoding="utf-8") as file:
                found.update(map(int, file.read().split()))
        except OSError:
            pass
    return found


def has_mount(pid, top):
    try:
        with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="replace") as file:
            return any(line.split()[3].startswith(top + "/") for line in file)
    except OSError:
        return False


def records(top):
    """Name: record, of all runtime directories below `top`."""
    found = {}
    for folder, names, files in os.walk(top):
        if "record.json" in files and os.path.basename(os.path.dirname(folder)) == "oci":
            names[:] = []
            try:
                with open(os.path.join(folder, "record.json"), encoding="utf-8") as file:
                    found[os.path.basename(folder).lstrip(".")] = json.load(file)
            except OSError:
                pass  # removed meanwhile
    return found


def running(top):
    """Names of those with a process that has a directory below `top`."""
    there = {os.path.basename(group) for group in groups()}
    return sorted(name for name in there if any(has_mount(pid, top) for pid in processes(name)))


def containers(top):
    """The same, and names of those with a record."""
    return sorted({*records(top), *running(top)})


def first(name):
    """The container's process 1, by its number here; None: there is none."""
    for pid in processes(name):
        try:
            with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
                if next(line for line in file if line.startswith("NSpid:")).split()[-1] == "1":
                    return pid
        except (OSError, StopIteration):
            pass
    return None


def kill(name):
    """As somebody from outside would: nothing of dsandbox knows. Engines wait for the end, too."""
    pid = first(name)
    if pid:
        process = os.pidfd_open(pid)
        signal.pidfd_send_signal(process, signal.SIGKILL)
        select.select([process], [], [])
        os.close(process)
