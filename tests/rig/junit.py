#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
The whole of a run of tests/run.sh as one JUnit file: a suite for each step, a case for each test.

    junit.py LOGS FILE PASSED FAILED SKIPPED      the numbers are those of the run, and the file must have the same
    junit.py LOGS                                 prints what failed, and why

LOGS/verdicts says what became of the steps, LOGS/times how long they took; the cases are in the steps' own logs, as
runner.py and `meson test` write them. What a log does not name is a case with a number.
"""
import os
import re
import sys
import xml.etree.ElementTree as xml

import mesonlog

KINDS = ("passed", "failed", "skipped")
ATTRIBUTES = {"testsuites": {"name", "tests", "failures", "errors", "skipped", "time"},
              "testsuite": {"name", "tests", "failures", "errors", "skipped", "time"},
              "testcase": {"classname", "name", "time"}, "failure": {"message"}, "skipped": {"message"}}
CHILDREN = {"testsuites": {"testsuite"}, "testsuite": {"testcase"}, "testcase": {"failure", "skipped"},
            "failure": set(), "skipped": set()}


def problems(root):
    """What is wrong with a JUnit tree; the form is that of the plugin of Jenkins, without what we never write."""
    found = [] if root.tag == "testsuites" else [f"the root is {root.tag}"]
    for node in root.iter():
        if node.tag not in ATTRIBUTES:
            found.append(f"there is no element {node.tag}")
            continue
        if set(node.attrib) != ATTRIBUTES[node.tag]:
            found.append(f"{node.tag} has the attributes {sorted(node.attrib)}")
        found += [f"{child.tag} in {node.tag}" for child in node if child.tag not in CHILDREN[node.tag]]
        found += [f"{node.tag} has {key}={node.get(key)!r}" for key in ("tests", "failures", "errors", "skipped")
                  if key in ATTRIBUTES[node.tag] and not re.fullmatch(r"\d+", node.get(key, ""))]
        if "time" in ATTRIBUTES[node.tag] and not re.fullmatch(r"\d+\.\d{3}", node.get("time", "")):
            found.append(f"{node.tag} has time={node.get('time')!r}")
        if node.tag == "testcase" and (len(node) > 1 or not node.get("name")):
            found.append(f"testcase {node.get('name')!r} has no name, or more than one end")
        if node.tag in ("testsuites", "testsuite"):
            for key, path in (("tests", ".//testcase"), ("failures", ".//failure"), ("skipped", ".//skipped")):
                there = str(len(node.findall(path)))
                if node.get(key) != there:
                    found.append(f"{node.tag} {node.get('name')} has {key}={node.get(key)}, and {there} of them")
    return found


def clean(text):
    """Without what XML cannot have."""
    return re.sub("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", text)


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def numbered(step, counts, cases, output):
    """The cases, and those that are counted and have no name."""
    said = re.findall(r"^ *FAIL\b.*", output, re.M)
    for kind in KINDS:
        for number in range(sum(case[0] == kind for case in cases), counts.get(kind, 0)):
            text = said.pop(0) if kind == "failed" and said else ""
            cases.append((kind, step, f"{kind} {number + 1}", 0.0, text))
    return cases


def named(step, output, counts):
    """(kind, class, name, seconds, text) of each case that the output has a line for."""
    cases = [(kind, *name.rpartition(".")[::2], float(seconds),
              mesonlog.why(output, name.rpartition(".")[2]) if kind == "failed" else "")
             for kind, seconds, name in re.findall(r"^case (passed|failed|skipped) ([\d.]+) (\S+)$", output, re.M)]
    return numbered(step, counts, cases, output)


def of_meson(step, path):
    cases = []
    for name, kind, seconds, output, counts in mesonlog.tests(path):
        if sum(counts.values()) == 1 and not re.search(r"^case ", output, re.M):
            cases.append((kind, step, name, seconds, mesonlog.why(output, "") if kind == "failed" else ""))
        else:
            cases += named(f"{step}.{name}", output, counts)
    return cases


def suites(logs):
    """{step: cases}, in the order in which they ended."""
    found = {}
    for line in read(os.path.join(logs, "verdicts")).splitlines():
        kind, text, *numbers = line.split("\t")
        step = re.match(r"[^\s:,]*", text).group() or "run"
        log = read(os.path.join(logs, f"{step}.log"))
        if kind == "suite":
            cases = named(step, log, dict(zip(KINDS, map(int, numbers))))
        elif kind == "meson":
            cases = of_meson(step, os.path.join(logs, f"{step}.testlog.json"))
        else:
            cases = [(kind, step, text, 0.0, mesonlog.why(log, "") if kind == "failed" else "")]
        found.setdefault(step, []).extend(cases)
    return found


def tree(logs):
    times = {}
    for line in read(os.path.join(logs, "times")).splitlines():
        seconds, _, step = line.split(" ", 2)
        times[step] = times.get(step, 0) + float(seconds)
    root = xml.Element("testsuites")
    everything = []
    for step, cases in suites(logs).items():
        suite = xml.SubElement(root, "testsuite")
        everything += cases
        head(suite, step, cases, times.get(step, 0))
        for kind, place, name, seconds, text in cases:
            names = {"classname": clean(place or step), "name": clean(name)}
            case = xml.SubElement(suite, "testcase", **names, time=f"{seconds:.3f}")
            if kind != "passed":
                end = xml.SubElement(case, "failure" if kind == "failed" else "skipped", message=f"see {step}.log")
                end.text = clean(text)
    head(root, "dsandbox", everything, sum(times.values()))
    return root


def head(node, name, cases, seconds):
    kinds = [case[0] for case in cases]
    for key, value in (("name", name), ("tests", len(kinds)), ("failures", kinds.count("failed")), ("errors", 0),
                       ("skipped", kinds.count("skipped")), ("time", f"{seconds:.3f}")):
        node.set(key, str(value))


def failures(logs):
    """For the end of a run's output, which may be all that somebody sees of it: the last lines of each failure."""
    for step, cases in suites(logs).items():
        for kind, place, name, _, text in cases:
            if kind == "failed":
                print(f"FAIL {step}: {name if place == step else f'{place}.{name}'}")
                print("".join(f"   | {line[:300]}\n" for line in text.rstrip().splitlines()[-12:]), end="")


def main(logs, path, *numbers):
    root = tree(logs)
    xml.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
    wrong = problems(xml.parse(path).getroot())
    count = {"failed": int(root.get("failures")), "skipped": int(root.get("skipped"))}
    count["passed"] = int(root.get("tests")) - count["failed"] - count["skipped"]
    if [count[kind] for kind in KINDS] != [int(number) for number in numbers]:
        wrong.append(f"it has {count}, and the run had {', '.join(numbers)}")
    for line in wrong:
        print(f"junit.py: {path}: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    if len(sys.argv) not in (2, 6):
        sys.exit("junit.py: LOGS [FILE PASSED FAILED SKIPPED]")
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) == 6 else failures(sys.argv[1]))
