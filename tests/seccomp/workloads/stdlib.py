# SPDX-License-Identifier: MIT
"""The part of the standard library that talks to the kernel: files, descriptors, memory, sockets, time, terminals."""
import array
import contextlib
import ctypes
import errno
import fcntl
import glob
import http.client
import http.server
import importlib
import mmap
import os
import resource
import select
import selectors
import shutil
import socket
import socketserver
import sqlite3
import ssl
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import tty

libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def fails(*names):
    """The block must fail with one of these errors."""
    try:
        yield
    except OSError as error:
        assert error.errno in [getattr(errno, name) for name in names], error
    else:
        raise AssertionError("no error, but one of " + " ".join(names))


def files():
    os.makedirs("tree/a/b")
    with open("tree/f", "w") as file:
        file.write("text")
        file.flush()
        os.fsync(file)
        os.fdatasync(file)
        fcntl.flock(file, fcntl.LOCK_EX)
        fcntl.lockf(file, fcntl.LOCK_EX)
        os.lockf(file.fileno(), os.F_ULOCK, 0)
        os.fchmod(file.fileno(), 0o600)
        os.fchown(file.fileno(), -1, -1)
        os.ftruncate(file.fileno(), 100)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        os.utime(file.fileno())
    os.truncate("tree/f", 10)
    os.chmod("tree/f", 0o640)
    os.chown("tree/f", -1, -1)
    os.lchown("tree/f", -1, -1)
    os.link("tree/f", "tree/hard")
    os.symlink("f", "tree/soft")
    assert os.readlink("tree/soft") == "f" and os.path.realpath("tree/soft").endswith("tree/f")
    os.utime("tree/soft", (1, 2), follow_symlinks=False)
    assert os.lstat("tree/soft").st_mtime == 2
    os.rename("tree/hard", "tree/moved")
    os.replace("tree/moved", "tree/moved2")
    assert os.access("tree/f", os.R_OK) and os.access("tree/f", os.R_OK, effective_ids=True)
    folder = os.open("tree", os.O_RDONLY)
    os.mkdir("c", dir_fd=folder)
    os.rename("c", "d", src_dir_fd=folder, dst_dir_fd=folder)
    os.link("f", "g", src_dir_fd=folder, dst_dir_fd=folder)
    os.symlink("f", "s", dir_fd=folder)
    assert os.stat("g", dir_fd=folder).st_nlink == 3 and os.readlink("s", dir_fd=folder) == "f"
    os.chmod("g", 0o600, dir_fd=folder)
    with contextlib.suppress(NotImplementedError, OSError):
        os.chmod("tree/soft", 0o600, follow_symlinks=False)
    os.chown("g", -1, -1, dir_fd=folder)
    os.unlink("g", dir_fd=folder)
    os.rmdir("d", dir_fd=folder)
    os.fchdir(folder)
    assert os.getcwd().endswith("/tree")
    os.chdir("..")
    assert sorted(os.listdir(folder)) == ["a", "f", "moved2", "s", "soft"] and len(list(os.scandir("tree"))) == 5
    os.close(folder)
    assert len(list(os.walk("tree"))) == 3 == len(list(os.fwalk("tree"))) and glob.glob("tr*/**/b", recursive=True)
    os.umask(os.umask(0o22))
    os.statvfs(".")
    with contextlib.suppress(OSError):  # which file systems have attributes differs
        for which, how in (("tree/f", {}), ("tree/f", {"follow_symlinks": False}), (os.open("tree/f", os.O_RDWR), {})):
            os.setxattr(which, "user.a", b"1", **how)
            assert os.getxattr(which, "user.a", **how) == b"1" and os.listxattr(which, **how)
            os.removexattr(which, "user.a", **how)
    shutil.copytree("tree", "copy", symlinks=True)
    shutil.copy2("tree/f", "copied")
    shutil.move("copied", "/tmp/moved")  # another file system
    assert shutil.disk_usage(".").total
    for how in ("zip", "tar", "gztar", "bztar", "xztar"):
        shutil.unpack_archive(shutil.make_archive("packed", how, "tree"), "unpacked-" + how)
        assert os.path.getsize("unpacked-" + how + "/f") == 10
    shutil.rmtree("copy")
    with tempfile.TemporaryDirectory() as path, tempfile.NamedTemporaryFile(dir=path) as file, tempfile.TemporaryFile() as other:
        file.write(b"x")
        other.write(b"y")
    with fails("EPERM"):
        os.mkfifo("fifo")
    with fails("EROFS"):
        os.mkdir("/x")


def descriptors():
    first, second = os.pipe()
    os.write(second, b"0123456789")
    assert os.read(first, 3) == b"012"
    buffer = bytearray(3)
    assert os.readv(first, [buffer]) == 3 and os.writev(second, [b"ab", b"c"]) == 3
    assert array.array("i", fcntl.ioctl(first, termios.FIONREAD, b"\0" * 4))[0] == 7
    os.set_blocking(first, False)
    os.set_inheritable(first, True)
    third = os.dup2(os.dup(first), 60, inheritable=False)
    if hasattr(os, "splice"):
        with open("spliced", "wb") as file:
            assert os.splice(first, file.fileno(), 4) == 4
    os.close(third)
    os.closerange(50, 70)
    with open("data", "wb+") as file:
        number = file.fileno()
        assert os.pwrite(number, b"abcdef", 0) == 6 and os.pread(number, 2, 2) == b"cd"
        assert os.pwritev(number, [b"12"], 1) == 2 and os.preadv(number, [buffer], 0) == 3
        os.pwritev(number, [b"x"], 0, os.RWF_SYNC)
        os.preadv(number, [buffer], 0, os.RWF_HIPRI)
        assert os.lseek(number, 0, os.SEEK_END) == 6
        with contextlib.suppress(OSError):
            os.lseek(number, 0, os.SEEK_HOLE)
        with open("data2", "wb") as other:
            assert os.sendfile(other.fileno(), number, 0, 6) == 6
            with contextlib.suppress(OSError):
                os.copy_file_range(number, other.fileno(), 3, 0)
        with fails("EOPNOTSUPP"):  # its effect is read from the error: space without writing is closed
            if libc.fallocate(number, 0, ctypes.c_long(0), ctypes.c_long(10)):
                raise OSError(ctypes.get_errno(), "fallocate")
        os.posix_fallocate(number, 0, 20)  # by writing
    handle = os.memfd_create("m")
    os.ftruncate(handle, 4096)
    fcntl.fcntl(handle, getattr(fcntl, "F_GET_SEALS", 1034))
    with fails("EPERM"):
        os.memfd_create("m", 4)  # MFD_HUGETLB
    with open("leased", "wb") as file, fails("EPERM"):
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    with fails("EPERM"):
        mmap.mmap(-1, 2 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40000)
    os.close(handle)
    if hasattr(os, "eventfd"):
        event = os.eventfd(1)
        os.eventfd_write(event, 2)
        assert os.eventfd_read(event) == 3
    if hasattr(os, "timerfd_create"):
        timer = os.timerfd_create(time.CLOCK_MONOTONIC)
        os.timerfd_settime(timer, initial=0.01)
        os.timerfd_gettime(timer)
        assert struct.unpack("Q", os.read(timer, 8))[0] >= 1
    assert libc.inotify_init1(0) == -1 and ctypes.get_errno() == errno.ENOSYS
    a, b = socket.socketpair()
    for kind in (select.poll, select.epoll):
        poll = kind()
        poll.register(a, select.POLLIN)
        b.send(b"x")
        assert poll.poll(1)
    assert select.select([a], [], [], 1)[0] and selectors.DefaultSelector().register(a, 1)


def memory():
    with mmap.mmap(-1, 1 << 20) as area:
        area[:3] = b"abc"
        area.resize(2 << 20)
        area.flush()
        for advice in (mmap.MADV_DONTNEED, mmap.MADV_WILLNEED):
            area.madvise(advice)
        address = ctypes.addressof(ctypes.c_char.from_buffer(area))
        page = ctypes.c_void_p(address), ctypes.c_size_t(4096)
        assert libc.mprotect(*page, 1) == 0 and libc.mlock(*page) == 0 and libc.munlock(*page) == 0
        libc.mincore(*page, ctypes.create_string_buffer(1))
    with open("data", "r+b") as file, mmap.mmap(file.fileno(), 0) as area:
        area[0] = 65
    call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(lambda n: n + 1)  # executable memory
    assert call(1) == 2
    libc.malloc_trim(0)
    base = sqlite3.connect("s.db")
    base.execute("pragma journal_mode=wal")
    base.execute("pragma mmap_size=1000000")
    with base:
        base.execute("create table t (a)")
        base.executemany("insert into t values (?)", ((n,) for n in range(1000)))
    assert base.execute("select sum(a) from t").fetchone() == (499500,)
    base.execute("vacuum")
    base.close()


def system():
    os.uname(), os.getloadavg(), os.times(), os.cpu_count(), os.getpgid(0), os.getsid(0), os.getpgrp(), os.getppid()
    os.getresuid(), os.getresgid(), os.getgroups()
    uid, gid = os.getuid(), os.getgid()
    os.setuid(uid), os.setgid(gid), os.setreuid(uid, uid), os.setregid(gid, gid), os.setresuid(uid, uid, uid)
    os.setresgid(gid, gid, gid)
    with fails("EPERM"):
        os.setgroups([0])
    os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + 1)
    os.nice(1)
    os.sched_setaffinity(0, os.sched_getaffinity(0))
    os.sched_yield(), os.sched_getscheduler(0), os.sched_getparam(0), os.sched_rr_get_interval(0)
    os.sched_get_priority_max(os.SCHED_FIFO), os.sched_get_priority_min(os.SCHED_FIFO)
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0)), os.sched_setparam(0, os.sched_param(0))
    threads()
    resource.getrusage(resource.RUSAGE_SELF)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 500), hard))
    resource.prlimit(0, resource.RLIMIT_CORE, (0, 0))
    with fails("EPERM"):
        resource.prlimit(1, resource.RLIMIT_NOFILE)
    assert len(os.getrandom(8)) == len(os.urandom(8)) == 8
    libc.prctl(15, b"name", 0, 0, 0)
    for clock in (time.CLOCK_REALTIME, time.CLOCK_MONOTONIC, time.CLOCK_PROCESS_CPUTIME_ID, time.CLOCK_THREAD_CPUTIME_ID):
        time.clock_gettime(clock), time.clock_getres(clock)
    time.time(), time.perf_counter(), time.thread_time(), time.localtime(), time.sleep(0.001)
    if os.fork() == 0:
        os.setsid()
        os._exit(0)
    assert os.wait()[1] == 0


def threads():
    """Threads and children are where the code puts them; pid 1, which keeps the time, is not the code's."""
    one = ctypes.create_string_buffer(128)
    one[0] = 1 << min(os.sched_getaffinity(0)) % 8
    bound = []

    def bind():
        bound.append(libc.pthread_setaffinity_np(ctypes.c_ulong(threading.get_ident()), 128, one))
        bound.append(libc.pthread_setschedparam(ctypes.c_ulong(threading.get_ident()), 0, ctypes.byref(ctypes.c_int(0))))
    thread = threading.Thread(target=bind)
    thread.start(), thread.join()
    assert bound == [0, 0] or min(os.sched_getaffinity(0)) > 7, bound
    child = subprocess.Popen(["sleep", "60"])
    for number in (os.getpid(), threading.get_native_id(), child.pid):
        os.sched_setaffinity(number, os.sched_getaffinity(0))
        os.setpriority(os.PRIO_PROCESS, number, 15)
    child.kill(), child.wait()
    for refused in (lambda: os.sched_setaffinity(1, [0]), lambda: os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0)),
                    lambda: os.sched_setparam(1, os.sched_param(0)), lambda: os.setpriority(os.PRIO_PROCESS, 1, 19),
                    lambda: os.setpriority(os.PRIO_USER, 0, 19), lambda: os.setpriority(os.PRIO_PGRP, 0, 19)):
        with fails("EPERM"):
            refused()


def terminal():
    master, slave = os.openpty()
    assert os.isatty(slave) and os.ttyname(slave).startswith("/dev/pts/")
    tty.setraw(slave)
    termios.tcsetattr(slave, termios.TCSADRAIN, termios.tcgetattr(slave))
    termios.tcsetattr(slave, termios.TCSAFLUSH, termios.tcgetattr(slave))
    termios.tcdrain(slave), termios.tcflush(slave, termios.TCIOFLUSH), termios.tcflow(slave, termios.TCOON)
    termios.tcsendbreak(slave, 0)
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    assert os.get_terminal_size(slave) == (100, 30)
    with fails("EPERM"):
        fcntl.ioctl(slave, termios.TIOCSTI, b"x")
    os.write(slave, b"out")
    assert os.read(master, 3) == b"out"


class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(self.rfile.readline())


def sockets():
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"), (socket.AF_UNIX, "echo.sock")):
        with contextlib.ExitStack() as stack:
            try:
                probe = socket.socket(family)
                probe.bind(address if family == socket.AF_UNIX else (address, 0))
            except OSError as error:
                assert family == socket.AF_INET6 and error.errno == errno.EADDRNOTAVAIL, error  # a kernel without IPv6
                continue
            finally:
                probe.close()
            if family == socket.AF_UNIX:
                os.unlink(address)
            kind = socketserver.ThreadingUnixStreamServer if family == socket.AF_UNIX else socketserver.ThreadingTCPServer
            server = type("Server", (kind,), {"address_family": family, "allow_reuse_address": True})(
                address if family == socket.AF_UNIX else (address, 0), Echo)
            stack.enter_context(server)
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            with socket.socket(family) as client:
                client.settimeout(5)
                client.connect(server.server_address)
                client.sendall(b"line\n")
                assert client.recv(10) == b"line\n"
                client.getpeername(), client.getsockname(), client.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
            server.shutdown()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two:
        one.bind(("127.0.0.1", 0))
        two.sendto(b"datagram", one.getsockname())
        assert one.recvfrom(100)[0] == b"datagram"
    left, right = socket.socketpair()
    left.sendmsg([b"fd"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))])
    message = right.recvmsg(10, socket.CMSG_SPACE(4))
    os.close(array.array("i", message[1][0][2])[0])
    with open("data", "rb") as file:
        assert left.sendfile(file) > 0
    left.shutdown(socket.SHUT_WR)
    socket.gethostname(), socket.getaddrinfo("127.0.0.1", 80), socket.if_nameindex()
    for family in (16, 17, 38, 40):
        with fails("EPERM"):
            socket.socket(family, socket.SOCK_RAW, 12)
    options()
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        server.RequestHandlerClass.log_message = lambda *_: None
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        client = http.client.HTTPConnection(*server.server_address, timeout=5)
        client.request("GET", "/data")
        assert client.getresponse().status == 200
        server.shutdown()
    # No certificates here: a handshake without them.
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    for context in (server, client):
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("aNULL:@SECLEVEL=0")
    left, right = socket.socketpair()
    thread = threading.Thread(target=lambda: server.wrap_socket(left, server_side=True).sendall(b"secret"))
    thread.start()
    assert client.wrap_socket(right).recv(10) == b"secret"
    thread.join()


def options():
    """TCP and UDP and what is set on their sockets; other protocols, upper layers and filters are refused."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as tcp:
        for level, option in ((socket.SOL_SOCKET, socket.SO_REUSEADDR), (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                              (socket.IPPROTO_TCP, socket.TCP_NODELAY), (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
                              (socket.IPPROTO_IP, socket.IP_TTL)):
            tcp.setsockopt(level, option, 1)
        for level, option, value in ((socket.IPPROTO_TCP, 31, b"tls"), (socket.IPPROTO_TCP, 13, b"cubic"), (socket.SOL_SOCKET, 26, bytes(16)),
                                     (socket.SOL_SOCKET, 50, bytes(4)), (socket.SOL_SOCKET, 51, bytes(16)), (socket.SOL_SOCKET, 52, bytes(4))):
            with fails("EPERM"):
                tcp.setsockopt(level, option, value)
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP).close()
    for kind, protocol in ((1, 132), (1, 262), (1, 256), (2, 1), (2, 115), (2, 136), (5, 132), (5, 0), (6, 33), (6, 0), (10, 3)):
        with fails("EPERM"):
            socket.socket(socket.AF_INET, kind, protocol)


def imports():
    """Every module of the standard library that is there, each in this process; a few talk to the kernel at import."""
    left_out = {"this", "antigravity", "idlelib", "turtle", "turtledemo", "tkinter", "lib2to3", "test", "__main__"}
    names = [name for name in getattr(sys, "stdlib_module_names", ()) if name not in left_out and not name.startswith("_")]
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError:  # of another system, or of a package that is not installed
            pass
    assert subprocess.run([sys.executable, "-m", "timeit", "-n", "1", "pass"], stdout=subprocess.PIPE, timeout=60).returncode == 0


os.chdir(tempfile.mkdtemp(dir="."))
for each in (files, descriptors, memory, system, terminal, sockets, imports):
    each()
    print("ok", each.__name__)
