# SPDX-License-Identifier: MIT
# Group DV: devices.


#: case DV-01 critical /dev holds the standard pseudo devices only
#: expect extra none, missing none
def dv_01():
    must = {"null", "zero", "full", "random", "urandom"}
    may = {"tty", "console", "ptmx", "pts", "shm", "mqueue", "fd", "stdin", "stdout", "stderr", "core"}
    found = set(os.listdir("/dev"))
    return "extra %s, missing %s" % (" ".join(sorted(found - must - may)) or "none",
                                     " ".join(sorted(must - found)) or "none")


#: case DV-02 critical no disk can be reached
#: expect none EPERM EPERM
def dv_02():
    names = ("/dev/sda", "/dev/vda", "/dev/nvme0n1", "/dev/xvda", "/dev/loop0", "/dev/mapper/control", "/dev/dm-0")
    return (attempts({name: lambda name=name: open(name, "rb") for name in names}, ("ENOENT",)),
            [err(lambda: os.mknod("/tmp/dv02", stat.S_IFBLK | 0o600, os.makedev(major, 0))) for major in (8, 254)])


#: case DV-03 critical kvm, fuse, tun, vsock, userfaultfd and memory devices are closed
#: expect none
def dv_03():
    names = ("kvm", "fuse", "net/tun", "vsock", "vhost-vsock", "userfaultfd", "mem", "port", "kmsg", "uinput", "dri")
    return attempts({name: lambda name=name: os.open("/dev/" + name, os.O_RDONLY) for name in names},
                    ("ENOENT", "EPERM"))


#: case DV-04 high there is no terminal, and the filter lets nothing be pushed into one
#: expect EPERM EPERM EPERM ENXIO
def dv_04():
    import fcntl
    return [err(lambda: fcntl.ioctl(number, 0x5412, b"x")) for number in (0, 1, 2)] + [err(lambda: open("/dev/tty"))]


#: case DV-05 low /dev/full and /dev/null behave
#: expect ENOSPC 1 8
def dv_05():
    full = err(lambda: os.write(os.open("/dev/full", os.O_WRONLY), b"x"))
    return full, os.write(os.open("/dev/null", os.O_WRONLY), b"x"), len(os.read(os.open("/dev/urandom", 0), 8))
