# SPDX-License-Identifier: MIT
# Group PS: /proc and /sys.


def _bytes(path):
    with open(path, "rb") as file:
        return len(file.read(64))


def _readable(paths):
    return [path for path in paths if err(lambda: _bytes(path)) == "ok" and _bytes(path)] or "none"


#: case PS-01 high files that tell about the host's kernel are masked
#: expect none
def ps_01():
    return _readable(("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/interrupts",
                      "/proc/latency_stats"))


#: case PS-02 medium directories that tell about the host's hardware are masked
#: expect none
def ps_02():
    paths = ("/sys/firmware", "/proc/acpi", "/proc/scsi", "/proc/asound", "/sys/devices/virtual/powercap")
    return [path for path in paths if err(lambda: os.listdir(path)) == "ok" and os.listdir(path)] or "none"


#: case PS-03 critical kernel settings cannot be written
#: expect readonly none
def ps_03():
    names = ("kernel/core_pattern", "kernel/hostname", "vm/drop_caches", "net/ipv4/ip_forward", "kernel/modprobe")
    flag = "readonly" if read_only("/proc/sys") else "writable"
    return flag, attempts({name: lambda name=name: open("/proc/sys/" + name, "w") for name in names},
                          ("EROFS", "EACCES", "ENOENT"))


#: case PS-04 critical the magic key cannot be pressed
#: expect none
def ps_04():
    return attempts({"sysrq": lambda: open("/proc/sysrq-trigger", "w")}, ("EROFS", "EACCES", "ENOENT"))


#: case PS-05 critical sysfs is read-only
#: expect readonly none
def ps_05():
    names = ("kernel/uevent_helper", "kernel/mm/transparent_hugepage/enabled", "power/state")
    flag = "readonly" if read_only("/sys") else "writable"
    return flag, attempts({name: lambda name=name: open("/sys/" + name, "w") for name in names},
                          ("EROFS", "EACCES", "ENOENT"))


#: case PS-06 high the process namespace is its own, and process 1 is ours
#: expect small numbers, process 1 is dsb-init
def ps_06():
    numbers = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    small = os.getpid() < 4096 and len(numbers) < 16
    with open("/proc/1/comm") as name:
        return ["small numbers," if small else "%d processes," % len(numbers), "process 1 is", name.read().strip()]


#: case PS-07 high no process but the sandbox's own is to be seen
#: expect none
def ps_07():
    foreign = set()
    for number in os.listdir("/proc"):
        if not number.isdigit():
            continue
        try:
            name = open("/proc/%s/comm" % number).read().strip()
        except OSError:
            continue
        if name != "dsb-init" and "python" not in name and not name.startswith(("kernel", "dsb-")):
            foreign.add(name)
    return sorted(foreign) or "none"


#: case PS-08 critical the root of process 1 leads nowhere else
#: expect EACCES EACCES
def ps_08():
    return err(lambda: os.listdir("/proc/1/root")), err(lambda: os.listdir("/proc/1/cwd"))


#: case PS-09 medium the kernel's log is closed
#: expect EPERM none
def ps_09():
    return call("syslog", 3, 0, 0), attempts({"kmsg": lambda: open("/dev/kmsg")}, ("ENOENT", "EPERM"))


#: case PS-10 high a process cannot save itself from the out-of-memory killer
#: expect none
def ps_10():
    def write():
        descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(descriptor, b"-1000")
    return attempts({"write": write}, ("EACCES", "EPERM", "EROFS"))


#: case PS-11 low mount table and cgroup names tell nothing about other sessions
#: expect none
def ps_11():
    text = "".join(open("/proc/self/" + name).read() for name in ("mountinfo", "cgroup", "mounts"))
    return [word for word in FACTS["neighbours"] if word in text] or "none"


#: case PS-12 low no kernel addresses
#: expect none
def ps_12():
    if not os.path.exists("/proc/kallsyms"):
        return "none"
    with open("/proc/kallsyms") as table:
        lines = [table.readline() for _ in range(50)]
    return sorted({line.split()[0] for line in lines if line.strip() and int(line.split()[0], 16)})[:3] or "none"
