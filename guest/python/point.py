# SPDX-License-Identifier: MIT
"""Rollback points: copies of the session that stand still until they are needed.

session.py loads this file; its names and those of kernel.py are here as well.
"""
import _thread

waitpid, setsid = os.waitpid, os.setsid
lstat, listdir, read_fd, write_fd = os.lstat, os.listdir, os.read, os.write
sigpending, sigtimedwait = _signal.sigpending, _signal.sigtimedwait
socket_pair = _socket.socketpair
OOM_SESSION = b"900"


def thread_count():
    try:
        return min(_thread._count(), 0xFFFF)
    except Exception:
        return 0


class RandomState:
    """A fork seeds the module random anew; a copy of the session goes on with the numbers of the session."""

    def __init__(self):
        self.state = None
        module = modules.get("random")
        if module is None:
            return
        try:
            self.instance = module._inst
            self.base = library("_random").Random
            self.gauss = self.instance.gauss_next
            self.state = self.base.getstate(self.instance)
        except Exception:
            self.state = None

    def restore(self):
        if self.state is None:
            return
        try:
            self.base.setstate(self.instance, self.state)
            self.instance.gauss_next = self.gauss
        except Exception:
            pass


def load_twin():
    try:
        ctypes = library("ctypes")
        loaded = ctypes.PyDLL(__file__.rpartition("/")[0] + "/twin.so")
        loaded.twin.argtypes = ()
        return loaded.twin, loaded.subreaper
    except Exception:
        return None, None  # no ctypes in this image


def write_score(text):
    try:
        fd = open_fd("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC)
        try:
            write_fd(fd, text)
        finally:
            close(fd)
    except OSError:
        pass


def read_score(pid):
    try:
        fd = open_fd("/proc/%d/oom_score_adj" % pid, O_RDONLY | O_CLOEXEC)
        try:
            return read_fd(fd, 16).strip()
        finally:
            close(fd)
    except OSError:
        return b"500"


class Points:
    def __init__(self, session, config):
        self.session = session
        self.score = read_score(os.getppid())
        self.pids = {getpid()}
        self.twin, self.subreaper = load_twin() if config.flags & Command.CHECKPOINT else (None, None)

    def make(self, number, nonce):
        threads = thread_count()
        state = RandomState()
        self.session.settle()
        pending = _signal.SIGCHLD in sigpending()
        # The code may have made this process the one that orphans come to; the copy is dsb-init's.
        adopts = self.subreaper and self.subreaper(0)
        middle = self.fork_away()
        if middle == 0:
            self.stand_still(number, nonce, threads)
            state.restore()
            return
        made = middle > 0
        try:
            made = made and waitpid(middle, 0)[1] == 0
        except OSError:
            pass
        if adopts == 1:
            self.subreaper(1)
        if not made:
            self.session.link.send(b"F", 0, 0, number, nonce)
        if middle < 0:
            return
        if not pending:  # the user's handler has nothing to hear of ours
            sigtimedwait({_signal.SIGCHLD}, 0)

    def fork_away(self):
        """The copy's parent is dsb-init, so that the code can never wait for it.  0 in the copy, else who is between."""
        if self.twin:
            return self.twin()
        middle = quiet_fork()
        if middle == 0 and quiet_fork() != 0:
            exit_now(0)
        return middle

    def stand_still(self, number, nonce, threads):
        """The copy's part.  Returns when it is to continue as the session."""
        try:
            write_score(self.score)
            link = self.session.link
            link.sock.detach() if not link.ours() else link.sock.close()
            link.reconnect()
            self.session.control.sock = link.sock
            link.send(b"P", 0, threads, number, nonce)
            setsid()
            self.cut_off()
        except BaseException:
            exit_now(1)
        self.pause()

    def pause(self):
        control = self.session.control
        while True:
            try:
                kind, _ = control.receive()
            except SystemExit:
                exit_now(0)
            except BaseException:
                exit_now(1)
            if kind == b"A":
                break
        write_score(OOM_SESSION)
        while sigtimedwait(SIGNALS, 0) is not None:
            pass
        self.session.pid = getpid()
        self.pids.add(getpid())
        self.session.link.send(b"A", 0, 0, control.number, control.nonce)

    def cut_off(self):
        """Lets go of what leads to other processes and hosts: they must see the session's own end of it alone.

        Both ends of a pipe, or a socket pair of the session's own, may stay: they belong to its objects.  In the
        place of the others comes something that is closed at its other side, so that no object gets a foreign file.
        """
        ends, sockets = {}, []
        for name in listdir("/proc/self/fd"):
            fd = int(name)
            try:
                found = fstat(fd)
                mode = found.st_mode & 0o170000
                if fd < 3 or fd == self.session.link.number:
                    continue
                if mode == 0o010000:
                    ends.setdefault(found.st_ino, []).append((fd, lstat("/proc/self/fd/" + name).st_mode & 0o600))
                elif mode == 0o140000 and not self.own_pair(fd):
                    sockets.append(fd)
            except OSError:
                continue
        for found in ends.values():
            modes = 0
            for _, mode in found:
                modes |= mode
            if modes != 0o600:
                sockets += [fd for fd, _ in found]
        if not sockets:
            return
        dead, other = socket_pair()
        other.close()
        for fd in sockets:
            dup2(dead.fileno(), fd, inheritable=False)
        dead.close()

    def own_pair(self, fd):
        sock = new_socket(fileno=fd)
        try:
            if sock.family != _socket.AF_UNIX or sock.getsockname() or sock.getpeername():
                return False
            peer = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
            return struct.unpack("3i", peer)[0] in self.pids
        finally:
            sock.detach()
