# SPDX-License-Identifier: MIT
# EQ-03: every system call there is, asked of the filter and of the filter alone.
#
# A child installs one more filter that holds up a single number for a supervisor. A refusal of the policy's filter is
# stronger and comes back at once; a call that the policy allows stays pending until the child is killed. So nothing
# is ever executed, and a refusal by the kernel cannot be taken for one by the filter.
import mmap
import struct

# The profile's effect, written down a second time: a change there has to be made here, too.
_ALLOWED = set("""
    accept accept4 access alarm arch_prctl bind brk chdir chmod chown clock_getres clock_gettime clock_nanosleep
    clone close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl
    epoll_pwait epoll_wait eventfd eventfd2 execve exit exit_group faccessat faccessat2 fadvise64 fchdir fchmod
    fchmodat fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstatfs
    fsync ftruncate futex getcpu getcwd getdents getdents64 getegid geteuid getgid getgroups getitimer getpeername
    getpgid getpgrp getpid getppid getpriority getrandom getresgid getresuid getrlimit getrusage getsid getsockname
    getsockopt gettid gettimeofday getuid getxattr ioctl kill landlock_add_rule landlock_create_ruleset
    landlock_restrict_self lchown lgetxattr link linkat listen listxattr llistxattr lremovexattr lseek lsetxattr
    lstat madvise memfd_create mincore mkdir mkdirat mlock mmap mprotect mremap msync munlock munmap nanosleep
    newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 poll ppoll prctl pread64 preadv
    preadv2 prlimit64 pselect6 pwrite64 pwritev pwritev2 read readlink readlinkat readv recvfrom recvmsg removexattr
    rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn
    rt_sigsuspend rt_sigtimedwait sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getparam
    sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setparam sched_setscheduler sched_yield seccomp
    select sendfile sendmmsg sendmsg sendto set_robust_list set_tid_address setfsgid setfsuid setgid setgroups
    setitimer setpgid setpriority setregid setresgid setresuid setreuid setrlimit setsid setsockopt setuid setxattr
    shutdown sigaltstack signalfd signalfd4 socket socketpair splice stat statfs statx symlink symlinkat sysinfo
    tgkill time timerfd_create timerfd_gettime timerfd_settime times tkill truncate umask uname unlink unlinkat
    utime utimensat utimes vfork wait4 waitid write writev
""".split())
# Refused as if the kernel did not have them; all others are refused with EPERM.
_ABSENT = set("""
    _sysctl afs_syscall clone3 create_module epoll_ctl_old epoll_pwait2 epoll_wait_old execveat fchmodat2
    futex_waitv get_kernel_syms getpmsg inotify_add_watch inotify_init inotify_init1 inotify_rm_watch membarrier
    mlock2 nfsservctl pkey_alloc pkey_free pkey_mprotect putpmsg query_module sched_getattr sched_setattr security
    timer_create timer_delete timer_getoverrun timer_gettime timer_settime tuxcall vserver
""".split())
# The same, but an engine whose libseccomp does not know a name refuses it as it refuses holes in the table: runc with
# ENOSYS above the last number it knows, others with the profile's default.
_NEWER = set("""
    cachestat file_getattr file_setattr futex_requeue futex_wait futex_wake getxattrat listmount listxattrat
    lsm_get_self_attr lsm_list_modules lsm_set_self_attr map_shadow_stack mseal open_tree_attr removexattrat
    set_mempolicy_home_node setxattrat statmount uprobe uretprobe
""".split())
_REFUSED = {"fallocate": "EOPNOTSUPP", "lookup_dcookie": "EXDEV"}
# Kernel interface numbers; a number and a colon begin a run.
_X86_64 = """
    0: read write open close stat fstat lstat poll lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask
    rt_sigreturn ioctl pread64 pwrite64 readv writev access pipe select sched_yield mremap msync mincore madvise
    shmget shmat shmctl dup dup2 pause nanosleep getitimer alarm setitimer getpid sendfile socket connect accept
    sendto recvfrom sendmsg recvmsg shutdown bind listen getsockname getpeername socketpair setsockopt getsockopt
    clone fork vfork execve exit wait4 kill uname semget semop semctl shmdt msgget msgsnd msgrcv msgctl fcntl flock
    fsync fdatasync truncate ftruncate getdents getcwd chdir fchdir rename mkdir rmdir creat link unlink symlink
    readlink chmod fchmod chown fchown lchown umask gettimeofday getrlimit getrusage sysinfo times ptrace getuid
    syslog getgid setuid setgid geteuid getegid setpgid getppid getpgrp setsid setreuid setregid getgroups setgroups
    setresuid getresuid setresgid getresgid getpgid setfsuid setfsgid getsid capget capset rt_sigpending
    rt_sigtimedwait rt_sigqueueinfo rt_sigsuspend sigaltstack utime mknod uselib personality ustat statfs fstatfs
    sysfs getpriority setpriority sched_setparam sched_getparam sched_setscheduler sched_getscheduler
    sched_get_priority_max sched_get_priority_min sched_rr_get_interval mlock munlock mlockall munlockall vhangup
    modify_ldt pivot_root _sysctl prctl arch_prctl adjtimex setrlimit chroot sync acct settimeofday mount umount2
    swapon swapoff reboot sethostname setdomainname iopl ioperm create_module init_module delete_module
    get_kernel_syms query_module quotactl nfsservctl getpmsg putpmsg afs_syscall tuxcall security gettid readahead
    setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr removexattr
    lremovexattr fremovexattr tkill time futex sched_setaffinity sched_getaffinity set_thread_area io_setup
    io_destroy io_getevents io_submit io_cancel get_thread_area lookup_dcookie epoll_create epoll_ctl_old
    epoll_wait_old remap_file_pages getdents64 set_tid_address restart_syscall semtimedop fadvise64 timer_create
    timer_settime timer_gettime timer_getoverrun timer_delete clock_settime clock_gettime clock_getres
    clock_nanosleep exit_group epoll_wait epoll_ctl tgkill utimes vserver mbind set_mempolicy get_mempolicy mq_open
    mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr kexec_load waitid add_key request_key keyctl
    ioprio_set ioprio_get inotify_init inotify_add_watch inotify_rm_watch migrate_pages openat mkdirat mknodat
    fchownat futimesat newfstatat unlinkat renameat linkat symlinkat readlinkat fchmodat faccessat pselect6 ppoll
    unshare set_robust_list get_robust_list splice tee sync_file_range vmsplice move_pages utimensat epoll_pwait
    signalfd timerfd_create eventfd fallocate timerfd_settime timerfd_gettime accept4 signalfd4 eventfd2
    epoll_create1 dup3 pipe2 inotify_init1 preadv pwritev rt_tgsigqueueinfo perf_event_open recvmmsg fanotify_init
    fanotify_mark prlimit64 name_to_handle_at open_by_handle_at clock_adjtime syncfs sendmmsg setns getcpu
    process_vm_readv process_vm_writev kcmp finit_module sched_setattr sched_getattr renameat2 seccomp getrandom
    memfd_create kexec_file_load bpf execveat userfaultfd membarrier mlock2 copy_file_range preadv2 pwritev2
    pkey_mprotect pkey_alloc pkey_free statx io_pgetevents rseq uretprobe uprobe 424: pidfd_send_signal
    io_uring_setup io_uring_enter io_uring_register open_tree move_mount fsopen fsconfig fsmount fspick pidfd_open
    clone3 close_range openat2 pidfd_getfd faccessat2 process_madvise epoll_pwait2 mount_setattr quotactl_fd
    landlock_create_ruleset landlock_add_rule landlock_restrict_self memfd_secret process_mrelease futex_waitv
    set_mempolicy_home_node cachestat fchmodat2 map_shadow_stack futex_wake futex_wait futex_requeue statmount
    listmount lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal setxattrat getxattrat listxattrat
    removexattrat open_tree_attr file_getattr file_setattr
"""
_AARCH64 = """
    0: io_setup io_destroy io_submit io_cancel io_getevents setxattr lsetxattr fsetxattr getxattr lgetxattr
    fgetxattr listxattr llistxattr flistxattr removexattr lremovexattr fremovexattr getcwd lookup_dcookie eventfd2
    epoll_create1 epoll_ctl epoll_pwait dup dup3 fcntl inotify_init1 inotify_add_watch inotify_rm_watch ioctl
    ioprio_set ioprio_get flock mknodat mkdirat unlinkat symlinkat linkat renameat umount2 mount pivot_root
    nfsservctl statfs fstatfs truncate ftruncate fallocate faccessat chdir fchdir chroot fchmod fchmodat fchownat
    fchown openat close vhangup pipe2 quotactl getdents64 lseek read write readv writev pread64 pwrite64 preadv
    pwritev sendfile pselect6 ppoll signalfd4 vmsplice splice tee readlinkat newfstatat fstat sync fsync fdatasync
    sync_file_range timerfd_create timerfd_settime timerfd_gettime utimensat acct capget capset personality exit
    exit_group waitid set_tid_address unshare futex set_robust_list get_robust_list nanosleep getitimer setitimer
    kexec_load init_module delete_module timer_create timer_gettime timer_getoverrun timer_settime timer_delete
    clock_settime clock_gettime clock_getres clock_nanosleep syslog ptrace sched_setparam sched_setscheduler
    sched_getscheduler sched_getparam sched_setaffinity sched_getaffinity sched_yield sched_get_priority_max
    sched_get_priority_min sched_rr_get_interval restart_syscall kill tkill tgkill sigaltstack rt_sigsuspend
    rt_sigaction rt_sigprocmask rt_sigpending rt_sigtimedwait rt_sigqueueinfo rt_sigreturn setpriority getpriority
    reboot setregid setgid setreuid setuid setresuid getresuid setresgid getresgid setfsuid setfsgid times setpgid
    getpgid getsid setsid getgroups setgroups uname sethostname setdomainname getrlimit setrlimit getrusage umask
    prctl getcpu gettimeofday settimeofday adjtimex getpid getppid getuid geteuid getgid getegid gettid sysinfo
    mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr msgget msgctl msgrcv msgsnd semget semctl
    semtimedop semop shmget shmctl shmat shmdt socket socketpair bind listen accept connect getsockname getpeername
    sendto recvfrom setsockopt getsockopt shutdown sendmsg recvmsg readahead brk munmap mremap add_key request_key
    keyctl clone execve mmap fadvise64 swapon swapoff mprotect msync mlock munlock mlockall munlockall mincore
    madvise remap_file_pages mbind get_mempolicy set_mempolicy migrate_pages move_pages rt_tgsigqueueinfo
    perf_event_open accept4 recvmmsg 260: wait4 prlimit64 fanotify_init fanotify_mark name_to_handle_at
    open_by_handle_at clock_adjtime syncfs setns sendmmsg process_vm_readv process_vm_writev kcmp finit_module
    sched_setattr sched_getattr renameat2 seccomp getrandom memfd_create bpf execveat userfaultfd membarrier mlock2
    copy_file_range preadv2 pwritev2 pkey_mprotect pkey_alloc pkey_free statx io_pgetevents rseq kexec_file_load
    424: pidfd_send_signal io_uring_setup io_uring_enter io_uring_register open_tree move_mount fsopen fsconfig
    fsmount fspick pidfd_open clone3 close_range openat2 pidfd_getfd faccessat2 process_madvise epoll_pwait2
    mount_setattr quotactl_fd landlock_create_ruleset landlock_add_rule landlock_restrict_self memfd_secret
    process_mrelease futex_waitv set_mempolicy_home_node cachestat fchmodat2 map_shadow_stack futex_wake futex_wait
    futex_requeue statmount listmount lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal setxattrat
    getxattrat listxattrat removexattrat open_tree_attr file_getattr file_setattr
"""
_LAST = 470
_BEFORE_FILTERS = ("uprobe", "uretprobe")  # new kernels answer these before any filter, from their own code page only
_X32, _HIGH = 0x40000000, 1 << 32


def _table(text):
    names, number = {}, 0
    for word in text.split():
        if word.endswith(":"):
            number = int(word[:-1])
        else:
            names[number] = word
            number += 1
    return names


_NAMES = _table(_AARCH64 if _column else _X86_64)
_NUMBER = {name: number for number, name in _NAMES.items()}


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]


def _hold(number):
    """A filter that holds up one number and lets the others through."""
    code = (struct.pack("=HBBI", 0x20, 0, 0, 0) + struct.pack("=HBBI", 0x15, 0, 1, number)
            + struct.pack("=HBBI", 0x06, 0, 0, 0x7fc00000) + struct.pack("=HBBI", 0x06, 0, 0, 0x7fff0000))
    return _Program(4, code)


def _child(program, enter):
    """In the child: never returns."""
    try:
        if _libc.syscall(ctypes.c_long(_NUMBER["seccomp"]), ctypes.c_long(1), ctypes.c_long(8), ctypes.byref(program)) >= 0:
            code = enter()
            os._exit(code if 0 < code < 200 else 201)
    finally:
        os._exit(202)


def _verdict(number, enter):
    """What the policy's filter says: 'allowed', an errno's name, or what ended the child."""
    program = _hold(number)
    listener = os.dup(0)  # the child's listener takes this number: the table of descriptors is shared
    os.close(listener)
    # CLONE_FILES and SIGCHLD
    child = _libc.syscall(ctypes.c_long(_NUMBER["clone"]), *[ctypes.c_long(a) for a in (0x400 | signal.SIGCHLD, 0, 0, 0, 0)])
    if child == 0:
        _child(program, enter)
    if child < 0:
        return "no child: " + errno.errorcode[ctypes.get_errno()]
    answer, pending = None, select.poll()
    pending.register(listener, select.POLLIN)
    deadline = time.monotonic() + 5
    while answer is None:
        if any(events & select.POLLIN for _, events in pending.poll(1)):
            answer = "allowed"
        elif os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            break
        elif time.monotonic() > deadline:
            answer = "no answer"
    if answer:
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        os.close(listener)
    except OSError:
        pass
    if answer:
        return answer
    if code < 0:
        return signal.Signals(-code).name
    names = {201: "returned", 202: "no filter of our own", errno.EOPNOTSUPP: "EOPNOTSUPP"}
    return names.get(code) or errno.errorcode.get(code, str(code))


def _ask(name, *arguments, number=None):
    return _ask_each(name, [arguments], number)


def _ask_each(name, calls, number=None):
    """Calls of one number in one child: the answer of all, or of one that has another answer than those before."""
    number = _NUMBER[name] if number is None else number
    values = [[ctypes.c_long(a) for a in (number,) + (tuple(call) + (0,) * 6)[:6]] for call in calls]

    def enter():
        answers = []
        for each in values:
            ctypes.set_errno(0)
            answers.append(ctypes.get_errno() if _libc.syscall(*each) == -1 else 0)
            if answers[-1] != answers[0]:
                break
        return answers[-1]
    return _verdict(number, enter)


def _deviations(expected):
    """Of {what: (verdict, those that are right)}."""
    wrong = ["%s=%s" % (what, verdict) for what, (verdict, right) in expected.items() if verdict not in right]
    return wrong or "as the profile"


#: case EQ-03 critical every system call: exactly what the profile allows reaches the kernel
#: expect as the profile
def eq_03():
    first = {"socket": (1,), "socketpair": (1,), "ioctl": (0, 0x5401), "prctl": (15,), "seccomp": (1, 8),
             "setsockopt": (0, 1, 2)}  # those whose arguments matter
    seen = {}
    for number in range(_LAST + 1):
        name = _NAMES.get(number, str(number))
        if name in _ALLOWED:
            right = ("allowed",)
        elif name in _REFUSED or name in _ABSENT:
            right = (_REFUSED.get(name, "ENOSYS"),)
        else:
            right = ("EPERM",) if number in _NAMES and name not in _NEWER else ("ENOSYS", "EPERM")
        if name in _BEFORE_FILTERS:
            right += ("SIGILL", "ENXIO")
        seen[name] = _ask(name, *first.get(name, ()), number=number), right
    return _deviations(seen)


#: case EQ-03-ARGUMENTS critical arguments: sockets, clone, limits, scheduling, signals, ioctl, fcntl, prctl, huge pages
#: expect as the profile
def eq_03_arguments():
    calls, refused = [], {}

    def put(good, name, *arguments):
        calls.append((name, arguments, "allowed")) if good else refused.setdefault(name, []).append(arguments)

    for part in (_sockets, _options, _processes, _memory, _commands):
        part(put)
    seen = {}
    for name, each in refused.items():
        seen["one of " + name] = _ask_each(name, each), ("EPERM",)
        if seen["one of " + name][0] != "EPERM":
            calls += [(name, arguments, "EPERM") for arguments in each[:100]]  # to name some of them
    for name, arguments, right in calls:
        seen["%s%s" % (name, tuple(map(hex, arguments)))] = _ask(name, *arguments), (right,)
    return _deviations(seen) if calls else "nothing was asked"


def _sockets(put):
    for family in range(48):
        put(family in (1, 2, 10, 16), "socket", family, 1, 0)
        put(False, "socket", _HIGH | family, 1, 0)
        put(family == 1, "socketpair", family, 1, 0)
    # ICMP, IGMP, TCP, UDP, DCCP, ICMPv6, L2TP, SCTP, UDP-Lite, raw, SMC, MPTCP
    for protocol in (0, 1, 2, 6, 17, 33, 58, 115, 132, 136, 255, 256, 262, _HIGH, _HIGH | 6):
        put(protocol == 0, "socket", 1, 1, protocol)
        put(protocol == 0, "socketpair", 1, 1, protocol)
        for family in (2, 10):
            for kind in range(16):
                put((kind, protocol) in ((1, 0), (1, 6), (2, 0), (2, 17)), "socket", family, kind, protocol)
    put(True, "socket", 2, 0x80801, 6)  # SOCK_CLOEXEC, SOCK_NONBLOCK
    for protocol in range(1, 24):
        put(False, "socket", 16, 3, protocol)


def _options(put):
    for level in list(range(64)) + [255, 263, 270, 284, _HIGH]:
        for option in list(range(80)) + [101, 103, 104, _HIGH | 1]:
            put(option in _SOCKET_OPTIONS.get(level, ()), "setsockopt", 0, level, option)


def _processes(put):
    for bit in range(32):
        put(not 1 << bit & 0x7e020000, "clone", 1 << bit)  # CLONE_NEW*
    put(False, "clone", _HIGH | 0x10000000)
    for process in (0, 1, 2, os.getpid(), -1, _HIGH):
        put(process == 0, "prlimit64", process, 7)
    for process in [0, 1, 3, os.getpid(), _HIGH, _HIGH | 1] + [1 << bit for bit in range(1, 22)]:
        good = process not in (1, _HIGH | 1)  # the kernel looks at the lower half only
        for name in ("sched_setaffinity", "sched_setparam", "sched_setscheduler"):
            put(good, name, process)
        put(good, "setpriority", 0, process)
        put(False, "setpriority", 1, process)  # a group and a user have pid 1 among them
        put(False, "setpriority", 2, process)
        put(False, "setpriority", _HIGH, process)
    for number in range(66):
        for name in ("kill", "tkill", "pidfd_send_signal"):
            put(number < 32, name, 0x7ffffff0, number)
        put(number < 34, "tgkill", 0x7ffffff0, 0x7ffffff0, number)  # with those of the C library
    put(False, "kill", 0x7ffffff0, _HIGH | 34)
    for operation in range(5):
        for flags in (0, 1, 2, 4, 8, 9, 16, 24, _HIGH | 8):
            put((operation, flags) == (1, 8), "seccomp", operation, flags)


def _memory(put):
    for bit in range(32):
        put(1 << bit != 0x40000, "mmap", 0, 0, 0, 1 << bit)  # MAP_HUGETLB
        put(1 << bit != 4, "memfd_create", 0, 1 << bit)  # MFD_HUGETLB
    put(False, "mmap", 0, 0, 0, _HIGH | 0x40022)
    put(False, "memfd_create", 0, _HIGH | 4)


def _commands(put):
    for request in list(range(0x5400, 0x5480)) + list(range(0x8900, 0x89a0)) + sorted(_CLOSED | _REQUESTS):
        put(request in _REQUESTS, "ioctl", 0, request)
    for request in (0x5412, 0x541c, 0x40086602, 0x401c5820):  # the kernel looks at the lower half only
        put(False, "ioctl", 0, _HIGH | request)
    for command in list(range(64)) + list(range(1024, 1048)) + [_HIGH | 1024]:
        put(command in _FCNTL, "fcntl", 0, command)
    for option in list(range(128)) + [0x53564d41, 0x59616d61, _HIGH | 22]:
        put(option in _PRCTL, "prctl", option)


_SOCKET_OPTIONS = {0: {1, 2, 8, 10, 11, 12, 13, 24, 32, 33, 34, 35, 36},
                   1: {2, 5, 6, 7, 8, 9, 10, 12, 13, 15, 16, 18, 20, 21, 25, 29, 35},
                   6: {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 18, 23, 25},
                   41: {16, 17, 18, 19, 20, 21, 23, 25, 26, 49, 67}}
_FCNTL = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 36, 37, 38, 1030, 1031, 1032, 1033, 1034}  # no leases, no notification
_PRCTL = {1, 2, 3, 4, 7, 15, 16, 21, 23, 27, 29, 30, 36, 37, 38, 39, 41, 42, 47}
_REQUESTS = {0x5401, 0x5402, 0x5403, 0x5404, 0x5409, 0x540a, 0x540b, 0x540c, 0x540d, 0x540e, 0x540f, 0x5410,
             0x5411, 0x5413, 0x5414, 0x541b, 0x5420, 0x5421, 0x5422, 0x5425, 0x5429, 0x5441, 0x5450, 0x5451, 0x5452,
             0x5460, 0x8910, 0x8912, 0x8913, 0x8915, 0x8917, 0x8919, 0x891b, 0x891d, 0x8921, 0x8927, 0x8933,
             0x8942, 0x40045431, 0x40049409, 0x402c542b, 0x402c542c, 0x402c542d, 0x80045430, 0x80086601,
             0x802c542a}
# Flags and quota of files, freezing, mounting of images, subvolumes, snapshots, keyrings of files, filters' listeners
_CLOSED = {0x40086602, 0x401c5820, 0xc0045877, 0xc0045878, 0x4c00, 0x4c05, 0x4c82, 0x5000940e, 0x50009417, 0xc0506617,
           0xc0502100, 0x801c581f, 0x1277, 0x127d, 0x4b33, 0x4b3a, 0x4b47, 0xae01, 0xb701, 0x7b1}


def _refused_each(numbers, ask):
    return ["%d=%s" % item for item in ((number, ask(number)) for number in numbers)
            if item[1] not in ("SIGSYS", "SIGSEGV", "EPERM", "ENOSYS")] or "refused"


#: case EQ-03-X32 critical every number of the x32 interface
#: expect refused
def eq_03_x32():
    numbers = list(range(_LAST + 1)) + list(range(512, 548))
    return _refused_each(numbers if not _column else (), lambda number: _ask("x32", number=_X32 | number))


#: case EQ-03-I386 critical every number of the 32-bit entry
#: expect refused
def eq_03_i386():
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    enter = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))

    def call(number):
        code[:8] = b"\xb8" + struct.pack("<I", number) + b"\xcd\x80\xc3"  # mov $number, %eax; int $0x80; ret
        return enter()

    # 39 is mkdir there, and getpid of the 64-bit entry. A kernel that takes one for the other (User Mode Linux) has no 32-bit
    # entry: its filter sees the 64-bit number, as in EQ-03.
    child = os.fork()
    if child == 0:
        os._exit(call(39) != os.getpid())
    there = os.waitpid(child, 0)[1] != 0
    numbers = range(_LAST + 1) if there and not _column else ()
    return _refused_each(numbers, lambda number: _verdict(number, lambda: -call(number)))
