# SPDX-License-Identifier: MIT
"""The numbers as text, as JSON, as the tables of doc/performance.md, and as pictures."""
import collections
import os

COLUMNS = (("median", "median ms", "{:.2f}"), ("p95", "p95", "{:.1f}"), ("p99", "p99", "{:.1f}"), ("ratio", "ratio", "{:.3f}"),
           ("runs", "runs", "{}"), ("success", "success", "{:.0%}"), ("per_second", "each s", "{:.1f}"), ("cpu_ms", "CPU ms", "{:.0f}"),
           ("score", "score", "{:.1f}"), ("mib", "MiB", "{:.1f}"), ("first_tenth", "first tenth ms", "{:.1f}"),
           ("last_tenth", "last tenth ms", "{:.1f}"), ("processes_left", "processes left", "{}"))
OURS = ("dsandbox", "HTTP", "program", "C interface", "session ")
TITLES = {
    "fresh": "A fresh sandbox for each run", "pool": "Sandboxes that wait ready", "session": "Executions in a live session",
    "checkpoints": "Rollback points", "output": "A lot of output", "memory": "Memory at rest", "load": "Many runs", "tti": "Time to interactive", "sessions": "Many sessions",
    "limits": "Limits"}


def by_work(rows):
    works = collections.OrderedDict()
    for row in rows:
        works.setdefault(row["work"], []).append(row)
    return works


def table(rows):
    """Header and lines, as text; only the columns that have something."""
    columns = [column for column in COLUMNS if any(row.get(column[0]) is not None for row in rows)]
    lines = [["way", *(title for _, title, _ in columns)]]
    for row in rows:
        lines.append([row["way"], *(form.format(row[key]) if row.get(key) is not None else "" for key, _, form in columns)])
    return lines


def text(result):
    out = []
    for group, rows in result["groups"].items():
        out.append(f"\n=== {TITLES[group]}")
        for work, some in by_work(rows).items():
            base = next((row["base"] for row in some if row.get("base")), "")
            lines = table(some)
            widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
            out.append(f"\n{work}" + (f"   (ratio to: {base})" if base else ""))
            for line in lines:
                out.append("  " + line[0].ljust(widths[0]) + "".join(cell.rjust(width + 2) for cell, width in zip(line[1:], widths[1:])))
            out += [f"  {row['way']}: {failure}" for row in some for failure in row.get("failures", ())]
    return "\n".join(out)


def markdown(result):
    machine = result["machine"]
    out = [f"{machine['date']}, {machine['processors']} processors ({machine['model']}), {machine['memory_mib']} MiB, Linux "
           f"{machine['kernel']}, load {machine['load']} at the beginning; `{result['command']}`.", ""]
    for group, rows in result["groups"].items():
        out += [f"### {TITLES[group]}", ""]
        for work, some in by_work(rows).items():
            base = next((row["base"] for row in some if row.get("base")), "")
            lines = table(some)
            out += [f"**{work}**" + (f", ratio to {base}" if base else ""), "", "| " + " | ".join(lines[0]) + " |",
                    "|---" + "|---:" * (len(lines[0]) - 1) + "|", *("| " + " | ".join(line) + " |" for line in lines[1:]), ""]
    return "\n".join(out)


def is_ours(name):
    return name.startswith(OURS)


def pictures(result, directory):
    """
    A bar for each way; its thin line goes to the 95th percentile. Ours are the dark ones. Where the longest is more than
    thirty times the shortest there are points on a logarithmic scale instead: such a scale has no begin for a bar.
    """
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    os.makedirs(directory, exist_ok=True)
    made = []
    for group, rows in result["groups"].items():
        works = [(work, some) for work, some in by_work(rows).items() if any(row.get("median") or row.get("mib") for row in some)]
        if not works:
            continue
        heights = [len(some) + 1.2 for _, some in works]
        figure, axes = pyplot.subplots(len(works), 1, figsize=(9, 0.34 * sum(heights) + 0.8), squeeze=False, height_ratios=heights,
                                       layout="constrained")
        for axis, (work, some) in zip(axes[:, 0], works):
            key, unit = ("mib", "MiB") if any(row.get("mib") for row in some) else ("median", "ms")
            some = sorted((row for row in some if row.get(key)), key=lambda row: row[key], reverse=True)
            values = [row[key] for row in some]
            colours = ["#1f4e79" if is_ours(row["way"]) else "#b4bfc9" for row in some]
            ends = [max(row[key], row.get("p95") or 0) if key == "median" else row[key] for row in some]
            wide = max(values) > 30 * min(values)
            if wide:
                axis.scatter(values, range(len(some)), color=colours, s=60, zorder=3)
                axis.set_yticks(range(len(some)), [row["way"] for row in some])
                axis.set_xscale("log")
                axis.set_xlim(min(values) / 1.6, max(ends) * 2)
                axis.xaxis.set_major_formatter("{x:,.10g}")
                axis.grid(axis="x", which="major", color="#e4e8ec", zorder=0)
            else:
                axis.barh([row["way"] for row in some], values, color=colours, height=0.7)
                axis.set_xlim(0, max(ends) * 1.12)
            for i, (value, end) in enumerate(zip(values, ends)):
                axis.plot([value, end], [i, i], color="#777777", linewidth=1, zorder=2)
                axis.annotate(f"{value:,.3g}" if value < 1000 else f"{value:,.0f}", (end, i), xytext=(7 if wide else 4, 0),
                              textcoords="offset points", va="center", fontsize=8)
            axis.set_title(f"{work}, {unit}", fontsize=9, loc="left")
            axis.tick_params(labelsize=8, which="both")
            axis.spines[["top", "right", "left"]].set_visible(False)
        figure.suptitle(TITLES[group], fontsize=11, x=0.01, ha="left", fontweight="bold")
        for kind in ("svg", "png"):
            path = os.path.join(directory, f"{group}.{kind}")
            figure.savefig(path, dpi=110)
            made.append(path)
        pyplot.close(figure)
    return made
