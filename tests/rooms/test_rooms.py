#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The #include lines of all parts and rooms follow the arrows below, and nothing else.

A part is a folder of the source with an interface of its own; some have rooms. Tests may include what they test.
"""
import os
import re
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# part: the parts that it may include, besides itself.
PARTS = {
    "include": set(),
    "common": {"include"},
    "core": {"include", "common"},
    "backends": {"include", "common"},
    "client": {"include", "common"},
    "service": {"include", "common", "client", "mcp"},
    "mcp": {"include", "common", "client"},
    "cli": {"include", "common", "client", "mcp"},
    "conformance": {"include", "common"},
    "plugins": {"include"},
    "bench": {"include"},
    "guest": {"common"},
}
# part: room: the rooms of the same part that it may include, besides itself. The room before an arrow comes first.
ROOMS = {
    "core": {
        "policy": set(),
        "attest": {"policy"},
        "plugin": {"policy", "attest"},
        "hostdir": {"policy"},
        "run": {"policy", "attest", "plugin", "hostdir"},
        "admin": {"policy", "attest", "plugin", "hostdir", "run"},
    },
    "backends": {"engine": set(), "docker-api": {"engine"}, "docker-cli": {"engine"}, "podman": {"engine"},
                 "oci": {"engine"}},
    "service": {"shared": set(), "broker": {"shared"}, "session": {"shared"}, "front": {"shared"}},
    "guest": {"init": set(), "python": set()},
}
# Included with the name of the part, by others and by themselves.
NAMED = ("common", "client", "mcp")


def place(path):
    """(part, room) of a file; the room is None in a part without rooms."""
    part, *rest = path.split("/")
    return part, rest[0] if part in ROOMS and len(rest) > 1 else None


def target(path, name, files):
    """The file that `#include "name"` means, by the one rule: a path from the part's top, or from that of common and client."""
    part = path.split("/")[0]
    named = name.split("/")[0] in NAMED
    found = name if named else None if part in NAMED else part + "/" + name
    return found if found in files else None


def problems(files):
    """What is wrong in `files`, path: text. The paths are from the top of the source."""
    for path, text in sorted(files.items()):
        part, room = place(path)
        if part not in PARTS:
            yield f"{path}: {part}/ is no part; add it to PARTS with what it may include"
            continue
        if part in ROOMS and room not in ROOMS[part]:
            yield f"{path}: belongs into a room of {part}/; a new one goes into ROOMS with what it may include"
            continue
        for kind, name in re.findall(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', text, re.M):
            if kind == "<":
                if name.startswith("dsandbox/") and part != "include" and "include" not in PARTS[part]:
                    yield f"{path}: {part}/ may not include <{name}>"
                continue
            goal = target(path, name, files)
            if goal is None:
                yield f'{path}: "{name}" is not a path from the top of {part}/, or of {" or ".join(NAMED)}'
                continue
            other, there = place(goal)
            if other != part and other not in PARTS[part]:
                yield f'{path}: {part}/ may not include "{name}"'
            elif other == part and there != room and there not in ROOMS[part][room]:
                yield f'{path}: {part}/{room}/ may not include "{name}"'


def circles(arrows):
    """Names that can be reached from themselves."""
    for start in arrows:
        seen, ahead = set(), list(arrows[start])
        while ahead:
            name = ahead.pop()
            if name not in seen:
                seen.add(name)
                ahead += arrows[name]
        if start in seen:
            yield start


def source():
    files = {}
    for part in sorted(set(PARTS) | {name for name in os.listdir(TOP) if os.path.isfile(os.path.join(TOP, name, "meson.build"))}):
        if part in ("tests", "doc", "images", "examples") or os.path.exists(os.path.join(TOP, part, "build.ninja")):
            continue  # tests may include anything; the others have no C
        for folder, _, names in os.walk(os.path.join(TOP, part)):
            for name in names:
                if name.endswith((".c", ".h")):
                    path = os.path.join(folder, name)
                    with open(path, encoding="utf-8") as file:
                        files[os.path.relpath(path, TOP)] = file.read()
    return files


class Rooms(unittest.TestCase):
    def test_includes_follow_the_arrows(self):
        files = source()
        self.assertGreater(len(files), 200)
        self.assertEqual(list(problems(files)), [])

    def test_arrows_point_one_way(self):
        self.assertEqual(list(circles(PARTS)), [])
        for rooms in ROOMS.values():
            self.assertEqual(list(circles(rooms)), [])

    def test_every_room_is_there(self):
        places = {place(path) for path in source()}
        self.assertEqual(sorted(set(PARTS) - {part for part, _ in places}), [])
        self.assertEqual(sorted((part, room) for part in ROOMS for room in ROOMS[part] if (part, room) not in places), [])

    def red(self, path, include, words, **more):
        """That a file with this line is reported, and the same file without it is not."""
        files = {"core/policy/fields.h": "", "core/run/wire.h": "", "common/owner.h": "", "client/client.h": "", "cli/cli.h": "",
                 "backends/engine/engine.h": "", "backends/podman/endpoint.h": "", "service/broker/job.h": "", **more}
        self.assertEqual(list(problems({**files, path: ""})), [])
        self.assertEqual([words in text and text.startswith(path + ":") for text in problems({**files, path: include})], [True])

    def test_rules_can_fail(self):
        for part in ("cli", "conformance", "bench", "plugins"):
            self.red(part + "/x.c", '#include "policy/fields.h"\n', "is not a path")
            self.red(part + "/x.c", '#include "core/policy/fields.h"\n', "is not a path")
            self.red(part + "/x.c", '#include "../core/policy/fields.h"\n', "is not a path")
        for path in ("service/broker/x.c", "service/session/x.c", "backends/podman/x.c", "backends/engine/x.c", "guest/init/x.c"):
            self.red(path, '#include "policy/fields.h"\n', "is not a path")
            self.red(path, ' # include "../../core/policy/fields.h"\n', "is not a path")
        self.red("core/policy/x.c", '#include "run/wire.h"\n', "core/policy/ may not include")
        self.red("core/hostdir/x.c", '#include "run/wire.h"\n', "core/hostdir/ may not include")
        self.red("core/run/x.c", '#include "wire.h"\n', "is not a path")
        self.red("core/run/x.c", '#include "client/client.h"\n', "core/ may not include")
        self.red("backends/engine/x.c", '#include "podman/endpoint.h"\n', "backends/engine/ may not include")
        self.red("backends/podman/x.c", '#include "client/client.h"\n', "backends/ may not include")
        self.red("common/x.c", '#include "engine/engine.h"\n', "is not a path")
        self.red("plugins/x.c", '#include "common/owner.h"\n', "plugins/ may not include")
        self.red("service/session/x.c", '#include "broker/job.h"\n', "service/session/ may not include")
        self.red("common/x.c", '#include "client/client.h"\n', "common/ may not include")
        self.red("common/x.c", '#include "owner.h"\n', "is not a path")
        self.red("guest/init/x.c", "#include <dsandbox/spec.h>\n", "guest/ may not include")
        self.assertIn("is no part", "".join(problems({"other/x.c": ""})))
        self.assertIn("belongs into a room", "".join(problems({"core/x.c": ""})))
        self.assertIn("belongs into a room", "".join(problems({"core/other/x.c": ""})))
        self.assertEqual(sorted(circles({"a": {"b"}, "b": {"a"}, "c": {"a"}})), ["a", "b"])


if __name__ == "__main__":
    unittest.main()
