# SPDX-License-Identifier: MIT
# Group FS: the file system. The lines with a colon are the table; see README.md.
import mmap
import subprocess


#: case FS-01 critical the root file system cannot be written
#: expect readonly / EROFS /etc EROFS /usr EROFS /usr/lib EROFS /var EROFS /srv EROFS
def fs_01():
    places = ("/", "/etc", "/usr", "/usr/lib", "/var", "/srv")
    flag = "readonly" if read_only("/") else "writable"
    return [flag] + [word for place in places for word in (place, err(lambda: open(place + "/dsbx", "w")))]


#: case FS-02 critical a file of the host is not there
#: expect none
def fs_02():
    return attempts({path: lambda path=path: open(path) for path in host_files()}, ("ENOENT",))


#: case FS-03 critical /etc/passwd is closed, or the image's and names nobody of the host
#: expect host words: none
def fs_03():
    try:
        with open("/etc/passwd") as users:
            fields = {field for line in users for field in line.strip().split(":")}
    except PermissionError:
        fields = set()
    return ["host words:", sorted(fields.intersection(FACTS["people"])) or "none"]


#: case FS-04 high the shadow file cannot be read
#: expect none
def fs_04():
    return attempts({path: lambda path=path: open(path) for path in ("/etc/shadow", "/etc/gshadow")},
                    ("EACCES", "ENOENT"))


#: case FS-05 critical dot-dot from the work directory ends at the container's root
#: expect same root /
def fs_05():
    same = sorted(os.listdir("/sandbox/../../../../..")) == sorted(os.listdir("/"))
    return ["same root" if same else "another root", os.path.realpath("/sandbox/../../..")]


#: case FS-06 medium the work directory is writable, and its files are the invoker's on the host
#: expect own file, not writable by others
#: host owner fs06
def fs_06():
    with open("/sandbox/fs06", "w") as file:
        file.write("x")
    info = os.stat("/sandbox/fs06")
    return ["own file," if info.st_uid == os.getuid() != 0 else "file of %d," % info.st_uid,
            "mode %o" % info.st_mode if info.st_mode & 0o022 else "not writable by others"]


#: case FS-07 critical a symbolic link to a host path stays inside
#: expect none
def fs_07():
    opened = {}
    for number, path in enumerate(host_files()):
        link = "/sandbox/fs07-%d" % number
        os.symlink(path, link)
        opened[path] = lambda link=link: open(link)
    return attempts(opened, ("ENOENT",))


#: case FS-08 high no hard link to a file outside the volume
#: expect none
#: host absent fs08
def fs_08():
    return attempts({"link": lambda: os.link("/etc/passwd", "/sandbox/fs08")}, ("EXDEV", "EPERM"))


#: case FS-09 high nothing can be given to root
#: expect EPERM EPERM
def fs_09():
    open("/sandbox/fs09", "w").close()
    return err(lambda: os.chown("/sandbox/fs09", 0, 0)), err(lambda: os.chown("/sandbox", 0, 0))


#: case FS-10 high a set-user-id bit in the volume has no effect
#: expect nosuid
def fs_10():
    open("/sandbox/fs10", "w").close()
    err(lambda: os.chmod("/sandbox/fs10", 0o6755))
    nosuid = os.statvfs("/sandbox").f_flag & os.ST_NOSUID
    os.chmod("/sandbox/fs10", 0o644)
    return "nosuid" if nosuid else "suid"


#: case FS-11 critical no device node can be made
#: expect EPERM EPERM EPERM EPERM
#: host absent fs11
def fs_11():
    kinds = (stat.S_IFCHR, stat.S_IFBLK)
    return [err(lambda: os.mknod(path, kind | 0o600, os.makedev(1, 3)))
            for path in ("/sandbox/fs11", "/tmp/fs11") for kind in kinds]


#: case FS-12 medium no named pipe can be left in the volume; a socket can, and holds nobody up
#: expect EPERM ok
#: host absent fs12-fifo
#: host present fs12-socket
def fs_12():
    return (err(lambda: os.mkfifo("/sandbox/fs12-fifo")),
            err(lambda: socket.socket(socket.AF_UNIX).bind("/sandbox/fs12-socket")))


#: case FS-13 critical image files cannot be changed through /proc/self/root
#: expect none
def fs_13():
    names = ("/proc/self/root/etc/passwd", "/proc/self/root/usr/bin/env", "/proc/thread-self/root/etc/hosts")
    return attempts({name: lambda name=name: open(name, "r+b") for name in names}, ("EROFS", "EACCES"))


#: case FS-14 critical the interpreter and the guest's files cannot be overwritten
#: expect none
def fs_14():
    names = ["/proc/self/exe", os.path.realpath("/proc/self/exe")]
    guest = ["/opt/dsandbox/" + name for name in os.listdir("/opt/dsandbox")]
    names += [name for name in guest if os.path.isfile(name)] + ["/opt/dsandbox/dsbx-new"]
    return attempts({name: lambda name=name: open(name, "ab") for name in names}, ("EROFS", "EACCES", "ETXTBSY"))


#: case FS-15 critical the program of process 1 cannot be reached
#: expect EACCES EACCES
def fs_15():
    return err(lambda: os.readlink("/proc/1/exe")), err(lambda: open("/proc/1/exe", "rb"))


#: case FS-16 high file capabilities cannot be planted
#: expect EPERM
def fs_16():
    open("/sandbox/fs16", "w").close()
    value = b"\x01\x00\x00\x02" + b"\0" * 16
    return err(lambda: os.setxattr("/sandbox/fs16", "security.capability", value))


#: case FS-17 medium a file name that is not UTF-8 works and the answer stays valid
#: expect 1
def fs_17():
    open(b"/sandbox/\xc3.txt", "w").close()
    return os.listdir(b"/sandbox").count(b"\xc3.txt")


#: case FS-18 low over-long paths and names
#: expect ENAMETOOLONG ENAMETOOLONG
def fs_18():
    return err(lambda: open("/" + "a/" * 3000)), err(lambda: open("/sandbox/" + "n" * 256, "w"))


#: case FS-19 high the writable directories are exactly the policy's
#: expect /dev/mqueue /dev/shm /sandbox /tmp /var/tmp
def fs_19():
    found = set()
    for folder, folders, _ in walk():
        if os.access(folder, os.W_OK):
            found.add(folder)
            folders[:] = []
    return sorted(found)


#: case FS-20 medium nothing runs from /tmp, /dev/shm, /run or /var/tmp
#: expect /tmp EACCES /dev/shm EACCES, noexec everywhere
def fs_20():
    answers = []
    for place in ("/tmp", "/dev/shm"):
        program = place + "/fs20"
        with open(program, "w") as file:
            file.write("#!/bin/sh\nexit 0\n")
        os.chmod(program, 0o755)
        child = os.fork()
        if child == 0:
            code = err(lambda: os.execv(program, [program]))
            os._exit(getattr(errno, code, 255) if code != "ok" else 0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        answers.append("%s %s" % (place, errno.errorcode.get(code, "ran: %d" % code)))
        os.unlink(program)
    loose = [place for place in ("/tmp", "/run", "/var/tmp", "/dev/shm")
             if not os.statvfs(place).f_flag & os.ST_NOEXEC]
    return [", ".join([" ".join(answers), "exec on " + " ".join(loose) if loose else "noexec everywhere"])]


#: case FS-21 high the policy's small and shared memory file systems have their size
#: expect /run 65536 /var/tmp 65536 /dev/shm 67108864
#: needs tmp,shm
def fs_21():
    answers = []
    for place in ("/run", "/var/tmp", "/dev/shm"):
        info = os.statvfs(place)
        answers += [place, info.f_blocks * info.f_frsize]
    return answers


#: case FS-22 medium with tmp_exec programs and libraries run from /tmp, and from there only
#: expect /tmp ran 0, a library of /tmp: loaded, noexec on /run /var/tmp /dev/shm, flags nosuid nodev
#: policy tmp_exec=true
def fs_22():
    program, library = "/tmp/fs22", "/tmp/fs22.so"
    with open(program, "w") as file:
        file.write("#!/bin/sh\nexit 0\n")
    os.chmod(program, 0o755)
    code = subprocess.run([program]).returncode
    with open("/proc/self/maps") as maps:
        libc = next(line.split()[-1] for line in maps if "libc.so" in line or "musl" in line or "libc-" in line)
    with open(libc, "rb") as source, open(library, "wb") as copy:
        copy.write(source.read())
    with open(library, "rb") as file, mmap.mmap(file.fileno(), 4096, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC):
        loaded = "loaded"
    flags = os.statvfs("/tmp").f_flag
    closed = [place for place in ("/run", "/var/tmp", "/dev/shm") if os.statvfs(place).f_flag & os.ST_NOEXEC]
    return ["/tmp ran %d, a library of /tmp: %s, noexec on %s, flags%s%s" % (
        code, loaded, " ".join(closed), " nosuid" if flags & os.ST_NOSUID else "", " nodev" if flags & os.ST_NODEV else "")]


#: case FS-23 high the files of names are the same on every engine, and cannot be written
#: expect hosts 100644 closed '127.0.0.1\tlocalhost sandbox\n', hostname 100644 closed 'sandbox\n', resolv.conf 100644 closed '# There is no network.\n', mtab /proc/mounts
def fs_23():
    answers = []
    for name in ("hosts", "hostname", "resolv.conf"):
        path = "/etc/" + name
        with open(path) as file:
            closed = err(lambda path=path: open(path, "r+")) in ("EACCES", "EROFS")
            answers.append("%s %o %s %r" % (name, os.stat(path).st_mode, "closed" if closed else "open", file.read()))
    return [", ".join(answers + ["mtab " + os.readlink("/etc/mtab")])]


#: case FS-24 high every file below /etc is the same on every engine (with one image; --compare compares the digest)
#: match [1-9][0-9]+ [0-9a-f]{64}
def fs_24():
    import hashlib
    rows = []
    for folder, folders, files in os.walk("/etc"):
        for path in (os.path.join(folder, name) for name in folders + files):
            info = os.lstat(path)
            content = os.readlink(path) if stat.S_ISLNK(info.st_mode) else ""
            if stat.S_ISREG(info.st_mode):
                try:
                    with open(path, "rb") as file:
                        content = hashlib.sha256(file.read()).hexdigest()
                except OSError as error:
                    content = errno.errorcode[error.errno]
            # Not the owner: a rootless engine maps few.
            rows.append("%s %o %s" % (path, info.st_mode, content))
    return len(rows), hashlib.sha256("\n".join(sorted(rows)).encode()).hexdigest()
