# SPDX-License-Identifier: MIT
# Group US: users, capabilities, namespaces.
import resource
import subprocess
import threading

_NEW = {"user": 0x10000000, "mnt": 0x20000, "net": 0x40000000, "uts": 0x4000000, "ipc": 0x8000000,
        "pid": 0x20000000, "cgroup": 0x2000000, "time": 0x80}
_SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


#: case US-01 critical one user and one group, neither of them root, in all places
#: expect one user, one group, no others
def us_01():
    users, groups = set(os.getresuid()), set(os.getresgid())
    others = set(os.getgroups()) - groups
    status_users = set(status()["Uid"].split())
    return ", ".join(("one user" if len(users) == 1 and 0 not in users and len(status_users) == 1
                      else "users %s" % sorted(users),
                      "one group" if len(groups) == 1 and 0 not in groups else "groups %s" % sorted(groups),
                      "others %s" % sorted(others) if others else "no others"))


#: case US-02 critical no capability in any of the five sets
#: expect 0 0 0 0 0
def us_02():
    facts = status()
    return ["%x" % int(facts[name], 16) for name in _SETS]


#: case US-03 critical no new privileges, and a system call filter
#: expect 1 2
def us_03():
    facts = status()
    return facts["NoNewPrivs"], facts["Seccomp"]


#: case US-04 high all threads are held in the same way
#: expect 1
def us_04():
    seen = []

    def look():
        facts = status("/proc/thread-self/status")
        seen.append(tuple(facts[name] for name in _SETS + ("NoNewPrivs", "Seccomp", "Uid", "Gid")))
    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    look()
    return len(set(seen)) if len(seen) == 5 else "only %d" % len(seen)


#: case US-05 critical fork and exec give nothing back
#: expect 0 1 2
def us_05():
    code = ("f=dict(l.split(':',1) for l in open('/proc/self/status'))\n"
            "print('%x'%int(f['CapEff'],16),f['NoNewPrivs'].strip(),f['Seccomp'].strip())")
    return subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True).stdout.decode().strip()


#: case US-06 critical no way to become root
#: expect EPERM EPERM EPERM EPERM
def us_06():
    return (err(lambda: os.setuid(0)), err(lambda: os.setgid(0)), err(lambda: os.setgroups([0])),
            err(lambda: os.setresuid(0, 0, 0)))


#: case US-07 critical set-user-id programs give nothing
#: expect none
def us_07():
    won = []
    for program in ("/usr/bin/su", "/usr/bin/sudo", "/bin/su"):
        if not os.path.exists(program):
            continue
        done = subprocess.run([program, "-c", "id -u"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, timeout=10)
        if done.returncode == 0:
            won.append(program)
    return won or "none"


#: case US-08 high the image has no set-user-id, set-group-id or capability file
#: expect none
def us_08():
    found = []
    for folder, _, files in walk("sandbox", "dev"):
        for name in files:
            path = os.path.join(folder, name)
            try:
                mode = os.lstat(path).st_mode
                if stat.S_ISREG(mode) and (mode & 0o6000 or "security.capability" in
                                           os.listxattr(path, follow_symlinks=False)):
                    found.append(path)
            except OSError:
                continue
    return found[:20] or "none"


#: case US-09 critical no new user namespace by unshare
#: expect EPERM
def us_09():
    return call("unshare", _NEW["user"])


#: case US-10 critical no new user namespace by clone
#: expect EPERM
def us_10():
    ourselves = os.getpid()
    answer = call("clone", _NEW["user"] | signal.SIGCHLD, 0, 0, 0, 0)
    if os.getpid() != ourselves:
        os._exit(0)
    return answer


#: case US-11 critical no other new namespace either
#: expect EPERM EPERM EPERM EPERM EPERM EPERM EPERM
def us_11():
    return [call("unshare", flag) for name, flag in _NEW.items() if name != "user"]


#: case US-12 critical no namespace can be entered
#: expect EACCES EPERM
def us_12():
    return (err(lambda: os.open("/proc/1/ns/mnt", os.O_RDONLY)),
            call("setns", os.open("/proc/self/ns/mnt", os.O_RDONLY), 0))


#: case US-13 medium the user is mapped, and the map cannot be changed
#: expect mapped none
def us_13():
    with open("/proc/self/uid_map") as table:
        rows = [[int(word) for word in line.split()] for line in table]
    mapped = any(first <= os.getuid() < first + count for first, _, count in rows)
    names = ("uid_map", "gid_map")
    return ("mapped" if mapped else "not mapped",
            attempts({name: lambda name=name: os.write(os.open("/proc/self/" + name, os.O_WRONLY), b"0 0 1")
                      for name in names}, ("EPERM", "EACCES", "EROFS")))


#: case US-14 high no change of root
#: expect EPERM
def us_14():
    return err(lambda: os.chroot("/tmp"))


#: case US-15 high process 1 can neither be traced nor read
#: expect EPERM EACCES EACCES EACCES
def us_15():
    # PTRACE_SEIZE: should it ever work, it stops nothing.
    return (call("ptrace", 0x4206, 1, 0, 0), err(lambda: open("/proc/1/mem", "r+b")),
            err(lambda: open("/proc/1/maps").read()), err(lambda: open("/proc/1/environ", "rb").read()))


#: case US-16 high priority and limits cannot be raised
#: expect EPERM ValueError EPERM
def us_16():
    return (err(lambda: os.nice(-5)), err(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (99999, 99999))),
            err(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))))


#: case US-17 high the limits of files, core dumps and file size are the policy's
#: expect 1024 1024 0 0 finite
#: needs nofile,core,fsize
def us_17():
    size = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    return (resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_CORE),
            "infinite" if size == resource.RLIM_INFINITY else "finite")
