# SPDX-License-Identifier: MIT
# Group LK: leaked descriptors, environment, secrets.


#: case LK-01 critical only the three standard descriptors are open at the start
#: expect 0 1 2 and nothing
#: own
def lk_01():
    # A path that is read does not open anything that stays open.
    numbers = [number for number in range(4096) if err(lambda: os.fstat(number)) == "ok"]
    kinds = [os.readlink("/proc/self/fd/%d" % number).split(":")[0] for number in numbers[3:]]
    return numbers[:3], "and", kinds or "nothing"


#: case LK-02 critical no directory is open
#: expect none
#: own
def lk_02():
    found = []
    for number in range(4096):
        if err(lambda: os.fstat(number)) == "ok" and stat.S_ISDIR(os.fstat(number).st_mode):
            found.append(os.readlink("/proc/self/fd/%d" % number))
    return found or "none"


#: case LK-03 critical the descriptors of process 1 cannot be listed
#: expect EACCES
def lk_03():
    return err(lambda: os.listdir("/proc/1/fd"))


#: case LK-04 critical the environment is the policy's list
#: expect HOME LANG LOGNAME MKL_NUM_THREADS MPLBACKEND MPLCONFIGDIR OMP_NUM_THREADS OPENBLAS_NUM_THREADS PATH PYTHONDONTWRITEBYTECODE TMPDIR USER
#: own
def lk_04():
    return sorted(os.environ)


#: case LK-05 critical no secret of the host is in any file, environment, argument or mount table
#: expect /tmp/control
def lk_05():
    needle = b"DSBX" + b"CANARY-"
    with open("/tmp/control", "wb") as control:
        control.write(needle)
    found = []

    def look(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        data = os.read(descriptor, 1 << 20)
        os.close(descriptor)
        if needle in data:
            found.append(path)
    for folder, _, files in walk("usr", "dev"):
        for name in files:
            err(lambda: look(os.path.join(folder, name)))
    for number in [name for name in os.listdir("/proc") if name.isdigit()]:
        for name in ("environ", "cmdline", "mountinfo", "cgroup"):
            err(lambda: look("/proc/%s/%s" % (number, name)))
    return sorted(found)


#: case LK-06 high neither configuration nor sockets of the host's tools are there
#: expect none
def lk_06():
    paths = ("/etc/dsandbox", "/run/docker.sock", "/var/run/docker.sock", "/run/podman/podman.sock",
             "/run/containerd/containerd.sock", "/root/.docker", "/root/.config", "/run/user")
    found = [path for path in paths if err(lambda: os.stat(path)) not in ("ENOENT", "EACCES")]
    # The engines' marker files are known; they must be empty of names from the host.
    for path in ("/.dockerenv", "/run/.containerenv"):
        if err(lambda: open(path).read()) == "ok":
            found += ["%s:%s" % (path, word) for word in FACTS["host_words"] if word in open(path).read()]
    return found or "none"


#: case LK-07 medium the code cannot change what the next run executes
#: expect none
def lk_07():
    paths = {globals().get("__file__") or "", sys.executable, os.path.realpath(sys.executable), "/opt/dsandbox"}
    paths.update(sys.path)
    guest = [os.path.join("/opt/dsandbox", name) for name in os.listdir("/opt/dsandbox")]
    writable = [path for path in sorted(paths) + guest
                if path.startswith("/") and not path.startswith(("/sandbox", "/tmp/")) and os.access(path, os.W_OK)]
    left = [name for name in os.listdir("/sandbox") if name.endswith(".py")]
    return writable + left or "none"
