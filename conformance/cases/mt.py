# SPDX-License-Identifier: MIT
# Group MT: mounts.

# Targets that a container must and may have. Those that engines make in one way or another (name files, marker
# files, masks) are allowed, read-only where they are files; nothing else is.
MUST = ("/", "/proc", "/sys", "/dev", "/dev/shm", "/dev/pts", "/dev/mqueue", "/sandbox", "/opt/dsandbox", "/tmp",
        "/run", "/var/tmp")
MAY = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/passwd", "/etc/group", "/run/.containerenv")
PSEUDO = ("/proc/", "/sys/", "/dev/")
PSEUDO_TYPES = ("proc", "sysfs", "tmpfs", "devtmpfs", "devpts", "mqueue", "cgroup", "cgroup2")
DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "console")


def _expected_mount(row):
    target = row["target"]
    if target in MUST:
        return target != "/opt/dsandbox" or "ro" in row["options"]
    if target in MAY:
        return "ro" in row["options"]
    if target.startswith("/dev/") and target[5:] in DEVICES:
        return True
    if target.startswith(("/proc/", "/sys/")) and row["type"] == "devtmpfs":
        return row["root"] == "/null"
    return target.startswith(PSEUDO) and row["type"] in PSEUDO_TYPES


#: case MT-01 critical the mount table holds what the policy lists and nothing else
#: expect missing none, foreign none
def mt_01():
    rows = mounts()
    targets = {row["target"] for row in rows}
    missing = [target for target in MUST if target not in targets]
    foreign = sorted("%s(%s)" % (row["target"], row["type"]) for row in rows if not _expected_mount(row))
    return "missing %s, foreign %s" % (" ".join(missing) or "none", " ".join(foreign) or "none")


#: case MT-02 critical no socket file anywhere but in the volume
#: expect none
def mt_02():
    found = []
    for folder, _, files in walk("sandbox"):
        for name in files:
            path = os.path.join(folder, name)
            if err(lambda: os.lstat(path)) == "ok" and stat.S_ISSOCK(os.lstat(path).st_mode):
                found.append(path)
    return found or "none"


#: case MT-03 critical mount(2) is denied by the filter
#: expect EPERM EPERM
def mt_03():
    return call("mount", b"none", b"/tmp", b"tmpfs", 0, 0), call("pivot_root", b"/tmp", b"/tmp")


#: case MT-04 critical the new mount calls are denied by the filter
#: expect EPERM EPERM EPERM EPERM
def mt_04():
    return (call("open_tree", -100, b"/", 0), call("fsopen", b"tmpfs", 0),
            call("move_mount", -100, b"/tmp", -100, b"/", 0), call("mount_setattr", -100, b"/", 0, 0, 0))


#: case MT-05 critical a mask cannot be taken off
#: expect EPERM EPERM EPERM EPERM
def mt_05():
    return [call("umount2", path, 2) for path in (b"/proc/kcore", b"/proc/keys", b"/sys/firmware", b"/sandbox")]


#: case MT-06 critical the root cannot be remounted for writing
#: expect EPERM EPERM
def mt_06():
    return call("mount", b"none", b"/", b"", 0x20 | 0x1000, 0), call("mount", b"none", b"/", b"", 0x20, 0)


#: case MT-07 high no mount shares its events with the host
#: expect none
def mt_07():
    return sorted(row["target"] for row in mounts()
                  if any(tag.startswith("shared:") for tag in row["tags"])) or "none"


#: case MT-08 high every mount that the policy lists has its flags
#: expect none
def mt_08():
    wanted = {"/sandbox": ("rw", "nosuid", "nodev"), "/opt/dsandbox": ("ro", "nosuid", "nodev"),
              "/tmp": ("rw", "nosuid", "nodev", "noexec"), "/run": ("rw", "nosuid", "nodev", "noexec"),
              "/var/tmp": ("rw", "nosuid", "nodev", "noexec"), "/dev/shm": ("rw", "nosuid", "nodev", "noexec"),
              "/": ("ro",), "/sys": ("ro",)}
    # The last mount on a target is the one in force.
    rows = {row["target"]: row["options"] for row in mounts()}
    lacking = ["%s:%s" % (target, flag) for target, flags in wanted.items() for flag in flags
               if flag not in rows.get(target, ())]
    return lacking or "none"


#: case MT-09 high /tmp is a tmpfs of the policy's size with a bounded number of files
#: expect tmpfs 104857600 bounded
#: needs tmp
def mt_09():
    info = os.statvfs("/tmp")
    kinds = [row["type"] for row in mounts() if row["target"] == "/tmp"]
    return kinds[-1:], info.f_blocks * info.f_frsize, "bounded" if 0 < info.f_files < 1 << 32 else info.f_files


#: case MT-10 critical the working directory is inside the root
#: expect /sandbox /sandbox
def mt_10():
    return os.getcwd(), os.readlink("/proc/self/cwd")
