# SPDX-License-Identifier: MIT
"""Times of one call of each way in turn, so that all see the same machine; and what is made of them."""
import concurrent.futures
import contextlib
import os
import statistics
import time


def percentile(values, percent):
    """Nearest rank."""
    values = sorted(values)
    return values[max(0, -(-len(values) * percent // 100) - 1)]


def summary(times):
    """Milliseconds."""
    return {"runs": len(times), "median": statistics.median(times), "p95": percentile(times, 95), "p99": percentile(times, 99),
            "min": min(times), "max": max(times)}


def timed(call, *arguments):
    """Milliseconds, and the answer; a way that measures by itself answers with a float, which counts."""
    begin = time.monotonic()
    answer = call(*arguments)
    took = (time.monotonic() - begin) * 1000
    return (answer if isinstance(answer, float) else took), answer


def alternate(calls, runs, pause=0.0, warm=1, spread=True):
    """{name: milliseconds[]} of `runs` rounds of all calls; the first `warm` rounds do not count."""
    times = {name: [] for name in calls}
    names = list(calls)
    for turn in range(runs + warm):
        # Who comes after whom changes: what one leaves behind does not always meet the same one.
        first = turn % len(names) if spread else 0
        for name in names[first:] + names[:first]:
            if pause:
                time.sleep(pause)
            took, _ = timed(calls[name])
            if turn >= warm:
                times[name].append(took)
    return times


def at_once(call, count, workers, stagger=0.0):
    """`count` calls with so many workers: milliseconds of each that succeeded, those that failed, seconds of all."""
    def one(number):
        if stagger:
            time.sleep(max(0.0, begin + number * stagger - time.monotonic()))
        try:
            return timed(call)[0], None
        except Exception as error:  # it is counted, and shown
            return None, f"{type(error).__name__}: {error}"

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        begin = time.monotonic()
        done = list(pool.map(one, range(count)))
        seconds = time.monotonic() - begin
    return [took for took, _ in done if took is not None], [error for _, error in done if error], seconds


# --- the machine ----------------------------------------------------------------------------------------------------------


def busy():
    """Processor seconds of the whole machine so far: the engine's daemons and the containers are in it."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, irq, soft = map(int, file.readline().split()[1:8])
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")


def rest(seconds=2.0):
    """What the calls before have left to be done, such as removals, is done meanwhile."""
    time.sleep(seconds)


def processes():
    return {entry for entry in os.listdir("/proc") if entry.isdigit()}


def pss(pids):
    """{pid: bytes}: what they share is divided among those who share it."""
    found = {}
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            found[pid] = sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
    return found


def machine():
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    with open("/proc/meminfo", encoding="ascii") as file:
        memory = int(file.readline().split()[1]) // 1024
    return {"processors": os.cpu_count(), "model": models[0] if models else "unknown", "memory_mib": memory,
            "kernel": os.uname().release, "load": round(os.getloadavg()[0], 2),
            "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())}
