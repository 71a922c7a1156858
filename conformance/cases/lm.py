# SPDX-License-Identifier: MIT
# Group LM: limits. Those of the cgroup are read where the kernel keeps them, and run into as well. A probe that has to
# be ended says so first; should it go on, its second answer takes the place of the first.
import resource

_CGROUP = "/sys/fs/cgroup"
_NONE = 0x7ffffffffffff000  # version 1 says "no limit" with a number


def _limit(controller, first, second):
    """A limit of our group on version 1 (controller, file) or 2 (file); None: no limit."""
    if os.path.exists(_CGROUP + "/cgroup.controllers"):
        folder, name, row = _CGROUP, second, "0::"
    else:
        folder, name, row = _CGROUP + "/" + controller, first, ":%s:" % controller
    with open("/proc/self/cgroup") as groups:
        own = [line.rstrip("\n").split(":", 2) for line in groups]
    path = [place for number, names, place in own if (row == "0::" and number == "0" and not names) or
            controller in names.split(",")]
    # Without a namespace of its own, the group is below the mount under its full name.
    below = "%s%s/%s" % (folder, path[0] if path else "", name)
    with open(below if os.path.exists(below) else "%s/%s" % (folder, name)) as file:
        text = file.read().split()[0]
    return None if text == "max" or int(text) < 0 or int(text) >= _NONE else int(text)


def _slots(count):
    """Children, until there are no more to be had or `count` of them: the number and how it ended."""
    children, answer = [], "no limit"
    for _ in range(count):
        try:
            child = os.fork()
        except BlockingIOError:
            answer = "EAGAIN"
            break
        if child == 0:
            time.sleep(30)
            os._exit(0)
        children.append(child)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return len(children), answer


#: case LM-01 critical the memory limit is the policy's
#: expect 536870912
#: needs memory
def lm_01():
    return _limit("memory", "memory.limit_in_bytes", "memory.max") or "no limit"


#: case LM-02 high swap beyond memory is the policy's
#: expect 0
#: needs memory,swap
def lm_02():
    if os.path.exists(_CGROUP + "/cgroup.controllers"):
        swap = _limit("", "", "memory.swap.max")
        return "no limit" if swap is None else swap
    both = _limit("memory", "memory.memsw.limit_in_bytes", "")
    return "no limit" if both is None else both - _limit("memory", "memory.limit_in_bytes", "")


#: case LM-03 critical who takes more memory than there is, ends
#: expect ended
#: own
#: policy memory=96MiB
#: needs memory
#: host absent lm03
def lm_03():
    _say("LM-03", "ended")
    kept = []
    for _ in range(64):
        kept.append(b"x" * (4 << 20))
    open("/sandbox/lm03", "w").close()
    return "took %d MiB" % (4 * len(kept))


#: case LM-04 high the processor time is the policy's
#: expect 100000 of 100000
#: needs cpu
def lm_04():
    if os.path.exists(_CGROUP + "/cgroup.controllers"):
        with open(_CGROUP + "/cpu.max") as file:
            quota, period = file.read().split()
    else:
        quota = _limit("cpu", "cpu.cfs_quota_us", "") or "no limit"
        period = _limit("cpu", "cpu.cfs_period_us", "")
    return quota, "of", period


#: case LM-05 critical the number of processes and threads is the policy's
#: expect 128
#: needs pids
def lm_05():
    return _limit("pids", "pids.max", "pids.max") or "no limit"


#: case LM-06 critical there are no more processes than the policy has
#: expect EAGAIN, below the limit
#: own
#: policy pids=24
#: needs pids
def lm_06():
    count, answer = _slots(64)
    return "%s, %s" % (answer, "below the limit" if count < 24 else "%d" % count)


#: case LM-07 high no file grows beyond the policy's size
#: expect 1048576 EFBIG 1048576
#: own
#: policy fsize=1MiB
#: needs fsize
def lm_07():
    path = "/sandbox/lm07"
    answer = err(lambda: os.pwrite(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), b"x", 1 << 20))
    err(lambda: os.pwrite(os.open(path, os.O_WRONLY), b"x" * (2 << 20), 0))
    return resource.getrlimit(resource.RLIMIT_FSIZE)[1], answer, os.stat(path).st_size


def _goes_on(case, seconds):
    """Answers "ended", and takes that back when nobody has ended it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _say(case, "ended")
    time.sleep(seconds * TEMPO)
    open("/sandbox/" + case.replace("-", "").lower(), "w").close()
    return "went on"


#: case LM-08 critical code ends at the policy's time
#: expect ended
#: own
#: policy timeout=2s
#: slow timeout=20s
#: host absent lm08
def lm_08():
    return _goes_on("LM-08", 6)


#: case LM-09 high code that will not be interrupted is killed after the policy's grace
#: expect ended
#: own
#: policy timeout=2s
#: policy grace=200ms
#: slow timeout=20s
#: host absent lm09
def lm_09():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _say("LM-09", "ended")
    end = time.monotonic() + 6 * TEMPO
    while time.monotonic() < end:
        time.sleep(0.1)
    open("/sandbox/lm09", "w").close()
    return "went on"


#: case LM-10 high a sandbox ends with its life time
#: expect ended
#: own
#: policy life_time=6s
#: slow life_time=60s
#: slow timeout=300s
#: host absent lm10
def lm_10():
    return _goes_on("LM-10", 12)


#: case LM-11 high no more output is kept than the policy says
#: expect cut
#: own
#: policy output_limit=16KiB
#: host present lm11
def lm_11():
    _say("LM-11", "cut")
    os.write(1, b"x" * (64 << 10) + b"\n")
    open("/sandbox/lm11", "w").close()
    return "more was kept"


#: case LM-12 medium too much output ends the code where the policy says so
#: expect ended
#: own
#: policy output_limit=16KiB
#: policy output_overflow=kill
#: host absent lm12
def lm_12():
    _say("LM-12", "ended")
    for _ in range(20):
        os.write(1, b"x" * (16 << 10) + b"\n")
        time.sleep(0.1)
    open("/sandbox/lm12", "w").close()
    return "went on"


#: case LM-13 high code that fills the session directory ends
#: expect ended
#: own
#: policy disk=2MiB
#: host absent lm13
def lm_13():
    _say("LM-13", "ended")
    time.sleep(0.3)
    for number in range(16):
        with open("/sandbox/lm13-%d" % number, "wb") as file:
            file.write(b"x" * (1 << 20))
    time.sleep(4)
    open("/sandbox/lm13", "w").close()
    return "went on"


#: case LM-14 high code that makes too many files ends
#: expect ended
#: own
#: policy disk_inodes=100
#: host absent lm14
def lm_14():
    _say("LM-14", "ended")
    time.sleep(0.3)
    for number in range(400):
        open("/sandbox/lm14-%d" % number, "w").close()
    time.sleep(4)
    open("/sandbox/lm14", "w").close()
    return "went on"


#: case LM-15 medium the names of our control groups are those of a namespace of its own
#: expect none
def lm_15():
    with open("/proc/self/cgroup") as groups:
        places = {line.rstrip("\n").split(":", 2)[2] for line in groups}
    return sorted(place for place in places if place != "/") or "none"
