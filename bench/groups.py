# SPDX-License-Identifier: MIT
"""What is measured. Each group gives rows: {"work", "way", numbers…, "base": the way that ratios are to}."""
import os
import time

import measure
import ways

PANDAS = "import numpy, pandas\nprint(pandas.DataFrame(numpy.eye(3)).sum().sum())"
FIGURE = ("import matplotlib; matplotlib.use('Agg')\nimport matplotlib.pyplot as plt\nplt.plot(range(100)); plt.savefig('/tmp/figure.png')\n"
          "plt.close('all'); print('drawn')")
FRESH = {"print(1)": ("print(1)", "1\n"), "pandas": (PANDAS, "3.0\n"), "figure": (FIGURE, "drawn\n")}
LOADED = "import pandas as pd\ndf = pd.DataFrame({'a': range(20000)})\nx = 0"
TABLE = "df['b'] = df['a'] * 2\ndf['b'].groupby(df['a'] % 7).sum()"
LONG = "import sys\nfor _ in range(800): sys.stdout.write('x' * 65535 + '\\n')"
SHORT = "for _ in range(500000): print('y' * 99)"
OUTPUT = {"50 MB in long lines": (LONG, 800 * 65536), "50 MB in 500 000 lines": (SHORT, 500000 * 100)}
TTI_CEILING = 10000  # milliseconds; this and the weights are those of computesdk/benchmarks, METHODOLOGY.md


def rows_of(work, times, base, **more):
    middle = {name: measure.summary(t) for name, t in times.items()}
    return [{"work": work, "way": name, "base": base, **numbers, "ratio": numbers["median"] / middle[base]["median"] if base in middle else None,
             **more} for name, numbers in middle.items()]


def right(way, code, expected):
    def call():
        got = way.run(code)
        if got != expected:
            raise ways.Wrong(f"{way.name}: {got!r} instead of {expected!r}")
    return call


def fresh_ways(settings, all_of_them=True):
    """Makers. The first of an engine is what others are compared with."""
    found = [lambda: ways.Bare(settings)] if all_of_them else []
    if settings.docker:
        client = ["docker", "--host", settings.docker]
        found.append(lambda: ways.EngineRun("docker run", client, settings))
        if all_of_them:
            found += [lambda: ways.EngineExec("docker exec", client, settings), lambda: ways.Llm(settings), lambda: ways.Llm(settings, True)]
    if settings.podman:
        found.append(lambda: ways.EngineRun("podman run", settings.podman_run, settings))
    return found + [lambda backend=backend: ways.Ours(settings, backend) for backend in settings.backends]


def base_of(settings):
    return "docker run" if settings.docker else "podman run"


def fresh(settings):
    """Code in a sandbox of its own, whole processes; llm-sandbox as calls."""
    rows = []
    with ways.opened(fresh_ways(settings)) as found:
        slow = [way for way in found if way.name == "llm-sandbox"]  # its stop waits 10 seconds
        for work, (code, expected) in FRESH.items():
            times = measure.alternate({way.name: right(way, code, expected) for way in found if way not in slow}, settings.runs)
            for way in slow:
                times.update(measure.alternate({way.name: right(way, code, expected)}, max(1, settings.runs // 8), warm=0))
            rows += rows_of(work, times, base_of(settings))
    return rows


def pool(settings):
    """Runs that find a sandbox waiting, with the modules imported; beside new ones. No sandbox is being made meanwhile."""
    rows = []
    for work, preload in (("print(1)", ""), ("pandas", "numpy,pandas")):
        makers = fresh_ways(settings, all_of_them=False)
        makers += [lambda backend=backend, preload=preload: ways.Pooled(settings, backend, preload) for backend in settings.backends]
        with ways.opened(makers) as found:
            pooled = [way for way in found if isinstance(way, ways.Pooled)]

            def quiet(call, pooled=pooled):
                for way in pooled:
                    way.await_ready()
                return measure.timed(call)[0]

            calls = {way.name: right(way, *FRESH[work]) for way in found}
            times = measure.alternate({name: lambda call=call: quiet(call) for name, call in calls.items()}, settings.runs)
            for way in pooled:
                if (state := way.state())["missed"] != 1 or state["claimed"] != settings.runs:  # the first one does not count
                    raise ways.Wrong(f"{way.name}: {state}")
        rows += rows_of(work, times, base_of(settings))
    return rows


def session_ways(settings, tag):
    found = [lambda: ways.Jupyter(settings)]
    for backend in settings.backends:
        found += [lambda backend=backend: ways.Http(settings, backend, f"{tag}-http-{backend}"),
                  lambda backend=backend: ways.Ours(settings, backend, f"{tag}-program-{backend}"),
                  lambda backend=backend: ways.Capi(settings, backend, f"{tag}-c-{backend}")]
    if settings.docker:
        found += [lambda: ways.EngineExec("docker exec", ["docker", "--host", settings.docker], settings), lambda: ways.LlmSession(settings)]
    return found


def executed(way, code, times=1):
    """Once, or so many in a row; with the way's own clock where it has one."""
    def call():
        took = [way.execute(code) for _ in range(times)]
        return sum(took) if all(isinstance(each, float) for each in took) else None
    return call


def session(settings):
    """Executions in a live session. `docker exec` and llm-sandbox keep no variables: theirs is the same code without."""
    rows = []
    for tag, begin, named in (("bare", "x = 0", "x += 1"), ("loaded", LOADED, "x += 1, pandas loaded")):
        with ways.opened(session_ways(settings, tag)) as found:
            keeping = [way for way in found if way.keeps]
            for way in keeping:
                way.execute(begin)

            def compare(work, code, some=keeping, times=1, runs=settings.runs, pause=0.05):
                calls = {way.name: executed(way, code, times) for way in some}
                return rows_of(work, measure.alternate(calls, runs, pause), "Jupyter kernel")

            rows += compare(named, "x += 1", found, runs=settings.runs * 4)
            rows += compare(f"ten in a row: {named}", "x += 1", times=10, pause=0.2)
            if tag == "loaded":
                rows += compare("a table computed", TABLE)
                rows += compare("a figure", FIGURE.replace("; print('drawn')", ""))
    return rows


def checkpoints(settings):
    """Ten executions with pandas in a row, for each kind of rollback point."""
    backend = settings.backends[0]
    makers = [lambda kind=kind: ways.Http(settings, backend, f"point-{kind}", kind, checkpoint=kind) for kind in ("always", "idle", "off")]
    with ways.opened(makers) as found:
        for way in found:
            way.execute(LOADED)
        return rows_of("ten tables in a row", measure.alternate({way.name: executed(way, TABLE, 10) for way in found}, settings.runs, 0.5),
                       "always")


def output(settings):
    """How long a lot of output takes until its reader has all of it."""
    rows = []
    limit = ("--output-limit", "64MiB", "--timeout", f"{ways.LIMIT}s")
    makers = [lambda: ways.Jupyter(settings)]
    for backend in settings.backends:
        makers += [lambda backend=backend: ways.Ours(settings, backend, more=limit),
                   lambda backend=backend: ways.Http(settings, backend, f"output-{backend}", set={"output_limit": "64MiB", "timeout": f"{ways.LIMIT}s"})]
    if settings.docker:
        makers.append(lambda: ways.EngineRun("docker run", ["docker", "--host", settings.docker], settings))

    def counted(way, code, expected):
        def call():
            got = len(way.run(code)) if hasattr(way, "run") else way.execute(code)
            if got != expected:
                raise ways.Wrong(f"{way.name}: {got} bytes instead of {expected}")
        return call

    with ways.opened(makers) as found:
        for work, (code, expected) in OUTPUT.items():
            calls = {way.name: counted(way, code, expected) for way in found}
            rows += rows_of(work, measure.alternate(calls, max(3, settings.runs // 3)), "Jupyter kernel")
    return rows


def load_row(work, way, base, times, failures, seconds, **more):
    count = len(times) + len(failures)
    return {"work": work, "way": way.name, "base": base, **(measure.summary(times) if times else {"runs": 0}),
            "success": len(times) / count, "per_second": len(times) / seconds, "failures": sorted(set(failures))[:3], **more}


def load(settings):
    """Many at once, and many one after another with what they cost in processor time of the whole machine."""
    with ways.opened(fresh_ways(settings, all_of_them=False)) as found:
        return load_of(settings, found, base_of(settings))


def load_of(settings, found, base):
    rows = []
    for work in ("print(1)", "pandas"):
        for way in found:
            call = right(way, *FRESH[work])
            call()
            measure.rest()
            before = measure.busy()
            done = measure.at_once(call, settings.sustained, 1)
            measure.rest()
            rows.append(load_row(f"{settings.sustained} times {work}, one after another", way, base, *done,
                                 cpu_ms=(measure.busy() - before) * 1000 / settings.sustained))
    for way in found:
        call = right(way, *FRESH["print(1)"])
        for workers in settings.at_once:
            rows.append(load_row(f"print(1), {workers} at once", way, base, *measure.at_once(call, max(20, workers), workers),
                                 at_once=workers))
            measure.rest(1)
        for count in settings.bursts:
            rows.append(load_row(f"burst of {count}", way, base, *measure.at_once(call, count, count)))
            measure.rest(3)
    medians = {row["work"]: row.get("median") for row in rows if row["way"] == base}
    for row in rows:
        row["ratio"] = row["median"] / medians[row["work"]] if row.get("median") and medians.get(row["work"]) else None
    return rows


def tti(settings):
    """
    Time to interactive, as computesdk/benchmarks has it: until a fresh sandbox has done its first command; one after
    another, 200 ms apart, and all at once. Theirs has a network between; this has none.
    """
    rows = []
    count = settings.tti
    for make in fresh_ways(settings, all_of_them=False):
        way = make()
        call = right(way, *FRESH["print(1)"])
        for mode, workers, stagger in (("sequential", 1, 0.0), ("staggered", count, 0.2), ("burst", count, 0.0)):
            times, failures, seconds = measure.at_once(call, count, workers, stagger)
            kept = sorted(times)[len(times) * 5 // 100 : len(times) - len(times) * 5 // 100]
            row = load_row(f"time to interactive, {mode}", way, "", kept or times, [], seconds)
            row["success"] = len(times) / count
            row["failures"] = sorted(set(failures))[:3]
            row["score"] = row["success"] * sum(weight * 100 * max(0.0, 1 - row[key] / TTI_CEILING)
                                                for key, weight in (("median", 0.6), ("p95", 0.25), ("p99", 0.15))) if kept else 0.0
            rows.append(row)
            measure.rest(3)
    return rows


def memory(settings):
    """What an idle one holds: all processes that come and go with it, shared pages divided (PSS). Other work beside it counts, too."""
    rows = []
    count = 3

    def row(work, name, make):
        measure.rest(1)
        before = measure.processes()
        with ways.opened([lambda number=number: make(number) for number in range(count)]):
            measure.rest(1)
            there = measure.pss(measure.processes() - before)
        measure.rest(3)
        each = sum(size for pid, size in there.items() if not os.path.exists(f"/proc/{pid}")) / count
        rows.append({"work": work, "way": name, "base": "", "runs": count, "mib": each / 1024 / 1024})

    def jupyter(code):
        way = ways.Jupyter(settings)
        way.execute(code)
        return way

    def http(backend, tag, number, code):
        way = ways.Http(settings, backend, f"memory-{tag}-{backend}-{number}")
        way.execute(code)
        return way

    for tag, code in (("bare", "x = 0"), ("pandas", LOADED)):
        work = f"an idle session, {tag}"
        row(work, "Jupyter kernel", lambda number, code=code: jupyter(code))
        for backend in settings.backends:
            row(work, f"session {backend}", lambda number, code=code, tag=tag, backend=backend: http(backend, tag, number, code))
    if settings.docker:
        row("an idle container", "docker run", lambda number: ways.EngineExec("", ["docker", "--host", settings.docker], settings))
    return rows


def sessions(settings):
    """Many sessions one after another: made, used, ended. The first tenth beside the last shows what stays behind."""
    rows = []
    backend = settings.backends[0]
    times, begin, held = [], time.monotonic(), measure.processes()
    for number in range(settings.sessions):
        way = ways.Http(settings, backend, f"one-of-many-{number}")

        def whole(way=way):
            way.execute("x = 1")
            way.close()
        times.append(measure.timed(whole)[0])
    seconds = time.monotonic() - begin
    measure.rest(3)
    tenth = max(1, len(times) // 10)
    rows.append({"work": f"{settings.sessions} sessions, one after another", "way": f"HTTP {backend}", "base": "", **measure.summary(times),
                 "success": 1.0, "per_second": len(times) / seconds, "first_tenth": measure.summary(times[:tenth])["median"],
                 "last_tenth": measure.summary(times[-tenth:])["median"], "processes_left": len(measure.processes() - held)})
    return rows


def limits(settings):
    """How far a run goes beyond its time limit, and what print(1) takes beside a sandbox that uses all of its share."""
    rows = []
    second = 1000
    for backend in settings.backends:
        way = ways.Ours(settings, backend)
        over = []
        for _ in range(settings.runs):
            usage = way.result("while True: pass", "timeout", "--timeout", "1s")["usage"]
            if usage["wall_ms"] < second:
                raise ways.Wrong(f"{backend}: ended {second - usage['wall_ms']} ms too early")
            over.append(usage["wall_ms"] - second)
        rows.append({"work": "beyond a time limit of 1 s", "way": way.name, "base": "", **measure.summary(over)})
        call = right(way, *FRESH["print(1)"])
        times = {"alone": [], "beside a busy one": []}
        for _ in range(max(1, settings.runs // 5)):
            times["alone"] += measure.alternate({"": call}, 5, warm=0)[""]
            with way.busy():
                times["beside a busy one"] += measure.alternate({"": call}, 5, warm=0)[""]
        rows += rows_of(f"print(1), {way.name}", times, "alone")
    return rows


ALL = {group.__name__: group for group in (fresh, pool, session, checkpoints, output, memory, load, tti, sessions, limits)}
