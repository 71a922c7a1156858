# SPDX-License-Identifier: MIT
# Group SC: the system call filter. EPERM is the filter's word; EFAULT, EBADF, EINVAL and EAFNOSUPPORT mean that a
# call reached the kernel. Arguments are such that nothing happens where a call gets through.
import mmap

_NUMBERS.update({
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "clone3": (435, 435), "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264), "kexec_load": (246, 104), "kexec_file_load": (320, 294),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89),
    "quotactl": (179, 60), "reboot": (169, 142), "fanotify_init": (300, 262), "vhangup": (153, 58),
    "personality": (135, 92), "memfd_secret": (447, 447), "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    "socket": (41, 198), "seccomp": (317, 277), "mbind": (237, 235), "set_mempolicy": (238, 237),
    "move_pages": (279, 239), "sethostname": (170, 161), "prlimit64": (302, 261), "vmsplice": (278, 75),
})
_X86 = _column == 0


def _fate(action):
    """What becomes of a child that does something a process may not survive. A fault is the answer of a kernel
    that has no such entry."""
    child = os.fork()
    if child == 0:
        os._exit(0 if action() else 1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return "refused" if code in (1, -signal.SIGSYS, -signal.SIGSEGV) else "worked" if code == 0 else "ended with %d" % code


#: case SC-01 high process 1 cannot be traced
#: expect EPERM
def sc_01():
    return call("ptrace", 0x4206, 1, 0, 0)


#: case SC-02 medium the memory of other processes cannot be read
#: expect EPERM EPERM
def sc_02():
    return call("process_vm_readv", 1, 0, 0, 0, 0, 0), call("process_vm_writev", 1, 0, 0, 0, 0, 0)


#: case SC-03 medium kcmp
#: expect EPERM
def sc_03():
    return call("kcmp", 1, 1, 0, 0, 0)


#: case SC-04 high keyrings
#: expect EPERM EPERM EPERM
def sc_04():
    return call("keyctl", 0, -3, 0), call("add_key", 0, 0, 0, 0, 0), call("request_key", 0, 0, 0, 0)


#: case SC-05 critical bpf
#: expect EPERM
def sc_05():
    return call("bpf", 0, 0, 0)


#: case SC-06 high perf_event_open
#: expect EPERM
def sc_06():
    return call("perf_event_open", 0, 0, -1, -1, 0)


#: case SC-07 high userfaultfd, in both modes
#: expect EPERM EPERM
def sc_07():
    return call("userfaultfd", 0), call("userfaultfd", 1)


#: case SC-08 critical io_uring
#: expect EPERM EPERM EPERM
def sc_08():
    return (call("io_uring_setup", 1, 0), call("io_uring_enter", 0, 0, 0, 0, 0),
            call("io_uring_register", 0, 0, 0, 0))


#: case SC-09 medium clone3 is not there, so that programs fall back to clone
#: expect ENOSYS
def sc_09():
    return call("clone3", 0, 0)


#: case SC-10 critical files cannot be opened by handle
#: expect EPERM EPERM
def sc_10():
    return call("open_by_handle_at", 0, 0, 0), call("name_to_handle_at", -100, b"/", 0, 0, 0)


#: case SC-11 critical another kernel cannot be started
#: expect EPERM EPERM
def sc_11():
    return call("kexec_load", 0, 0, 0, 0), call("kexec_file_load", -1, -1, 0, 0, 0)


#: case SC-12 critical kernel modules
#: expect EPERM EPERM EPERM
def sc_12():
    return call("init_module", 0, 0, 0), call("finit_module", -1, 0, 0), call("delete_module", 0, 0)


#: case SC-13 high the clock cannot be set
#: expect EPERM EPERM
def sc_13():
    return call("settimeofday", 0, 0), call("clock_settime", 0, 0)


#: case SC-14 high swap, accounting, quota
#: expect EPERM EPERM EPERM EPERM
def sc_14():
    return call("swapon", 0, 0), call("swapoff", 0), call("acct", 0), call("quotactl", 0, 0, 0, 0)


#: case SC-15 critical reboot
#: expect EPERM
def sc_15():
    # A command that no kernel has.
    return call("reboot", 0xfee1dead, 672274793, 0x7fffffff, 0)


#: case SC-16 high ports of the processor
#: expect refused
def sc_16():
    if not _X86:
        return "refused"
    _NUMBERS.update({"iopl": (172, -1), "ioperm": (173, -1)})
    return "refused" if (call("iopl", 3), call("ioperm", 0, 1, 1)) == ("EPERM", "EPERM") else "not by the filter"


#: case SC-17 medium fanotify and vhangup
#: expect EPERM EPERM
def sc_17():
    return call("fanotify_init", 0, 0), call("vhangup")


#: case SC-18 medium personality cannot turn protections off
#: expect EPERM
def sc_18():
    return call("personality", 0x40000)


#: case SC-20 low memfd_secret
#: expect none
def sc_20():
    answer = call("memfd_secret", 0)
    return "none" if answer in ("EPERM", "ENOSYS") else answer


#: case SC-21 medium descriptors and memory of others
#: expect EPERM EPERM
def sc_21():
    return call("pidfd_getfd", 0, 0, 0), call("process_madvise", 0, 0, 0, 0, 0)


def _socket(family, kind=1, protocol=0):
    return call("socket", family, kind, protocol)


#: case SC-22 critical AF_ALG is refused by the filter, not by the kernel
#: expect filtered
def sc_22():
    return "filtered" if _socket(38, 5) in ("EPERM", "EACCES") else _socket(38, 5)


#: case SC-23 critical AF_VSOCK
#: expect filtered
def sc_23():
    return "filtered" if _socket(40) in ("EPERM", "EACCES") else _socket(40)


#: case SC-24 critical packet and raw sockets
#: expect EPERM EPERM EPERM
def sc_24():
    return _socket(17, 3), _socket(2, 3, 1), _socket(10, 3, 58)


#: case SC-25 high no other socket family reaches the kernel
#: expect none
def sc_25():
    families = [family for family in range(1, 47) if family not in (1, 2, 10, 16, 17)]
    answers = {family: _socket(family) for family in families}
    return ["%d=%s" % item for item in answers.items() if item[1] not in ("EPERM", "EACCES")] or "none"


#: case SC-26 high of netlink only the routing protocol
#: expect ok, others: none
def sc_26():
    answers = {protocol: _socket(16, 3, protocol) for protocol in range(1, 22)}
    rest = ["%d=%s" % item for item in answers.items() if item[1] not in ("EPERM", "EACCES")]
    return "%s, others: %s" % (_socket(16, 3, 0), " ".join(rest) or "none")


#: case SC-27 low unknown calls get an answer, and nobody is killed
#: expect refused
def sc_27():
    _NUMBERS.update({"x": (999, 999), "y": (499, 499)})
    answers = {call("x"), call("y")}
    return "refused" if answers <= {"ENOSYS", "EPERM"} else sorted(answers)


#: case SC-28 high the 32-bit entry is closed as a whole
#: expect refused
def sc_28():
    def enter():
        # getpid through the 32-bit entry
        code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        code.write(b"\xb8\x14\0\0\0\xcd\x80\xc3")
        return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))() > 0
    return _fate(enter) if _X86 else "refused"


#: case SC-29 medium the x32 interface is closed
#: expect refused
def sc_29():
    _NUMBERS["x32"] = (0x40000000 + 39, -1)
    return _fate(lambda: call("x32") == "ok")


#: case SC-30 low the filter stays
#: expect 2
def sc_30():
    call("seccomp", 1, 0, 0)
    return status()["Seccomp"]


#: case SC-32 low memory policy calls are refused, and a library that looks for them still works
#: expect EPERM EPERM EPERM
def sc_32():
    return call("mbind", 0, 0, 0, 0, 0, 0), call("set_mempolicy", 0, 0, 0), call("move_pages", 0, 0, 0, 0, 0, 0)


#: case SC-33 low modify_ldt
#: expect refused
def sc_33():
    _NUMBERS["modify_ldt"] = (154, -1)
    answer = call("modify_ldt", 0, 0, 0)
    return "refused" if answer in ("EPERM", "ENOSYS") else answer


#: case SC-34 high limits of other processes cannot be read or set
#: expect EPERM
def sc_34():
    return call("prlimit64", 1, 7, 0, 0)


#: case SC-35 medium vmsplice
#: expect EPERM
def sc_35():
    return call("vmsplice", 1, 0, 0, 0)


#: case SC-19 low memfd_create
#: skip a decision of the policy that the probes leave open

#: case SC-31 low landlock
#: skip only tightens, and its answer is the kernel's version
