#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
The system call profile without an engine: every name has a reason, is recorded or says why not, and is what the sweep
of the conformance suite expects; nothing that the engines' own default refuses is allowed; doc/seccomp.md is current.

    check.py [--write]     --write: make the tables of doc/seccomp.md anew
"""
import json
import os
import sys
import types

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
DOC = os.path.join(TOP, "doc/seccomp.md")
MARK = "<!-- From here on made by tests/seccomp/check.py --write. -->\n"
ALLOW, ERRNO = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"
UNRECORDED = "not recorded: "
LIMIT = 346
ERRORS = {1: "EPERM", 18: "EXDEV", 38: "ENOSYS", 95: "EOPNOTSUPP"}


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as file:
        return file.read()


def words(path):
    return set(" ".join(line for line in read(path).splitlines() if not line.startswith("#")).split())


def sweep():
    """The definitions of the sweep's file."""
    module = types.ModuleType("sweep")
    exec(read("conformance/cases/common.py") + "\nFACTS = {}\n" + read("conformance/cases/sweep.py"), vars(module))
    return module


def recorded():
    table = {}
    for line in read("tests/seccomp/recorded.txt").splitlines():
        if not line.startswith("#"):
            name, _, users = line.partition(":")
            table[name] = users.split()
    return table


class Profile:
    def __init__(self):
        profile = json.loads(read("guest/seccomp.json"))
        self.rules = profile.pop("syscalls")
        self.rest = profile
        self.groups = [rule for rule in self.rules if "args" not in rule]
        self.arguments = [rule for rule in self.rules if "args" in rule]
        self.allowed = {name for rule in self.rules if rule["action"] == ALLOW for name in rule["names"]}
        self.refused = {name: rule["errnoRet"] for rule in self.rules if rule["action"] == ERRNO for name in rule["names"]}


def form(profile):
    yield profile.rest == {"defaultAction": ERRNO, "defaultErrnoRet": 1, "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"]}, \
        "the head differs: refuse with EPERM, x86-64 and aarch64 and nothing else"
    seen = set()
    for rule in profile.rules:
        names = rule["names"]
        yield bool(rule.get("comment")), "no reason for %s" % names
        yield names == sorted(set(names)), "not sorted, or twice: %s" % names
        yield set(rule) == {"names", "action", "comment"} | ({"errnoRet"} if rule["action"] == ERRNO else set()) \
            | ({"args"} if "args" in rule else set()) and rule["action"] in (ALLOW, ERRNO), "form of the rule for %s" % names
    for rule in profile.groups:
        yield not seen & set(rule["names"]), "in two groups: %s" % sorted(seen & set(rule["names"]))
        seen |= set(rule["names"])
    by_argument = {name for rule in profile.arguments for name in rule["names"]}
    yield not seen & by_argument, "with and without arguments: %s" % sorted(seen & by_argument)
    for rule in profile.arguments:
        # The kernel looks at the lower half of an int, a filter at the whole: only an allowing comparison fails closed.
        yield rule["action"] == ALLOW, "a refusal that looks at arguments: %s" % rule
        for argument in rule["args"]:
            yield argument["op"] in ("SCMP_CMP_EQ", "SCMP_CMP_MASKED_EQ"), "comparison in %s" % rule
        if rule["names"] == ["ioctl"]:
            yield len(rule["args"]) == 1 and rule["args"][0]["index"] == 1 and rule["args"][0]["value"] == 0xffffffff, "%s" % rule
    yield len(profile.allowed) <= LIMIT, "%d names, more than %d" % (len(profile.allowed), LIMIT)


def against_sweep(profile):
    module = sweep()
    known = set(module._table(module._X86_64).values()) | set(module._table(module._AARCH64).values())
    listed = profile.allowed | set(profile.refused)
    yield not known - listed, "neither allowed nor refused: %s" % sorted(known - listed)
    yield not listed - known, "no such call: %s" % sorted(listed - known)
    yield module._ALLOWED == profile.allowed, "the sweep expects others: %s" % sorted(module._ALLOWED ^ profile.allowed)
    absent = {name for name, code in profile.refused.items() if code == 38}
    expected = module._ABSENT | module._NEWER
    yield expected == absent, "the sweep expects other ENOSYS: %s" % sorted(expected ^ absent)
    odd = {name: ERRORS[code] for name, code in profile.refused.items() if code not in (1, 38)}
    yield odd == module._REFUSED, "the sweep expects %s" % module._REFUSED
    for name, expected in (("ioctl", module._REQUESTS), ("fcntl", module._FCNTL), ("prctl", module._PRCTL)):
        values = {rule["args"][0]["valueTwo"] for rule in profile.arguments if rule["names"] == [name]}
        yield values == expected, "the sweep expects others of %s: %s" % (name, sorted(map(hex, values ^ expected)))


def against_upstream(profile):
    refused = words("tests/seccomp/upstream-refuses.txt")
    yield len(refused) > 50, "upstream-refuses.txt is cut off"
    yield not refused & profile.allowed, "the engines' default refuses %s" % sorted(refused & profile.allowed)


def redundancy(profile):
    used = recorded()
    for rule in profile.rules:
        if rule["action"] == ALLOW:
            excused = rule["comment"].startswith(UNRECORDED)
            for name in rule["names"]:
                yield excused or name in used, "%s: no workload calls it, and its group does not say why it is there" % name
                yield not (excused and name in used), "%s: is recorded now, move it to its group" % name


def tables(profile):
    used = recorded()
    out = ["%d names are allowed, %d of them with some arguments only; %d are refused by name.\n" % (
        len(profile.allowed), len({n for r in profile.arguments for n in r["names"]}), len(profile.refused))]
    out.append("## Allowed\n\n| group | names | |\n|---|---|---|")
    for rule in profile.groups:
        if rule["action"] == ALLOW:
            out.append("| %s | %d | %s |" % (rule["comment"], len(rule["names"]), " ".join(rule["names"])))
    out.append("\n## Allowed with these arguments\n\n| call | when |\n|---|---|")
    rows = {}
    for rule in profile.arguments:
        rows.setdefault(" ".join(rule["names"]), []).append(rule["comment"])
    out += ["| %s | %s |" % (names, ", ".join(dict.fromkeys(comments))) for names, comments in rows.items()]
    out.append("\n## Refused by name\n\n| why | answer | names |\n|---|---|---|")
    for rule in profile.groups:
        if rule["action"] == ERRNO:
            out.append("| %s | %s | %s |" % (rule["comment"], ERRORS[rule["errnoRet"]], " ".join(rule["names"])))
    out.append("\n## Seen in\n\nWhich recordings have a call (`tests/seccomp/recorded.txt`); runc and crun: between loading the filter and `execve`.\n")
    out.append("| recording | allowed names |\n|---|---|")
    for who in sorted({user for users in used.values() for user in users}):
        out.append("| %s | %d |" % (who, sum(who in users for name, users in used.items() if name in profile.allowed)))
    return MARK + "\n" + "\n".join(out) + "\n"


def main():
    profile = Profile()
    wrong = [text for part in (form, against_sweep, against_upstream, redundancy) for good, text in part(profile) if not good]
    head, _, _ = read(DOC).partition(MARK)
    if "--write" in sys.argv[1:]:
        with open(DOC, "w", encoding="utf-8") as file:
            file.write(head + tables(profile))
    elif read(DOC) != head + tables(profile):
        wrong.append("doc/seccomp.md is not what the profile says: run tests/seccomp/check.py --write")
    for text in wrong:
        print("seccomp:", text)
    print("%d names allowed, %d refused, %d wrong" % (len(profile.allowed), len(profile.refused), len(wrong)))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
