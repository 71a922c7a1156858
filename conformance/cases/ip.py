# SPDX-License-Identifier: MIT
# Group IP: interprocess communication, keyrings, control groups.

_NUMBERS.update({"keyctl": (250, 219), "sethostname": (170, 161), "setdomainname": (171, 162)})


#: case IP-01 high System V memory, queues and semaphores of the host are not to be seen
#: expect 1 1 1
def ip_01():
    return [open("/proc/sysvipc/" + name).read().count("\n") for name in ("shm", "msg", "sem")]


#: case IP-02 high no message queue of the host
#: expect none
def ip_02():
    return (os.listdir("/dev/mqueue") if os.path.isdir("/dev/mqueue") else []) or "none"


#: case IP-03 high shared memory and temporary directories start empty
#: expect none
#: own
def ip_03():
    known = {"/run": {".containerenv"}}
    found = ["%s/%s" % (place, name) for place in ("/dev/shm", "/tmp", "/run", "/var/tmp")
             for name in os.listdir(place) if name not in known.get(place, ())]
    return found or "none"


#: case IP-04 critical control groups cannot be written
#: expect none
def ip_04():
    names = ("cgroup.procs", "cgroup.subtree_control", "memory.max", "pids.max", "memory/memory.limit_in_bytes",
             "memory/cgroup.procs", "pids/pids.max", "cpu/cpu.cfs_quota_us", "devices/devices.allow")
    return attempts({name: lambda name=name: open("/sys/fs/cgroup/" + name, "w") for name in names},
                    ("EROFS", "EACCES", "ENOENT"))


#: case IP-05 critical no release agent can be set
#: expect none
def ip_05():
    names = [""] + (os.listdir("/sys/fs/cgroup") if os.path.isdir("/sys/fs/cgroup") else [])
    paths = ["/sys/fs/cgroup/%s/release_agent" % name for name in names]
    return attempts({path: lambda path=path: open(path, "w") for path in paths},
                    ("EROFS", "EACCES", "ENOENT", "ENOTDIR"))


#: case IP-06 high the session keyring is not the host's
#: expect EPERM empty
def ip_06():
    try:
        keys = open("/proc/keys").read()
    except OSError:
        keys = ""
    return call("keyctl", 6, -3, 0, 0), "empty" if not keys else "%d keys" % keys.count("\n")


#: case IP-07 low the host name is generic and stays
#: expect generic EPERM EPERM
def ip_07():
    name = socket.gethostname()
    foreign = name in FACTS["host_words"] or name == FACTS["host_name"]
    return name if foreign else "generic", call("sethostname", b"x", 1), call("setdomainname", b"x", 1)


#: case IP-08 low locks on files of the image as a channel between sandboxes
#: skip a known residual channel of a shared image layer, not a promise of the policy
