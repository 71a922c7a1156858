# SPDX-License-Identifier: MIT
"""What code shows, at and around every limit, on its way from the sandbox to the answer: it comes, or it does not."""
from harness import SessionCase

# A report is nested this deep at most (core/run/user_report.c): report, displays, bundle, and what is left for a value.
REPORT_DEPTH = 32
MEMBERS = 16384  # of one object, common/strictjson.h
SHOW = """
class Show:
    def __init__(self, value): self.value = value
    def _repr_json_(self): return self.value
def deep(n, leaf=None):
    return deep(n - 1, [leaf] if n % 2 else {"k": leaf}) if n else leaf
"""


class Reports(SessionCase):
    def shown(self, code):
        """The values that arrive, the same way in a session, as events and in a one-shot run."""
        self.ok(SHOW)
        pid = self.service.pid
        session = self.ok(code)
        stream = self.api.stream(self.path("/execute"), {"code": code}).all()
        run = self.api.post("/v1/run", {"code": SHOW + code, **self.create})
        values = [[bundle.get("application/json") for bundle in result["results"] if "application/json" in bundle]
                  for result in (session, stream.result, run)]
        self.assertEqual([r["status"] for r in (session, stream.result, run)], ["ok"] * 3)
        self.assertEqual(values[0], values[1])
        self.assertEqual(values[0], values[2])
        self.assertEqual(self.service.pid, pid, "the same service as before")
        return values[0]

    def test_every_depth_at_the_limit(self):
        for depth in range(REPORT_DEPTH - 6, REPORT_DEPTH + 4):
            with self.subTest(depth=depth):
                # The last value stands one level less deep in the report than what is displayed.
                for code, room in (("display(%s)", REPORT_DEPTH - 4), ("%s", REPORT_DEPTH - 3)):
                    values = self.shown(code % f"Show(deep({depth}, 'leaf'))")
                    self.assertEqual(len(values), depth <= room, "all that the limit allows, and no more")
                    for value in values:
                        for _ in range(depth):
                            value = value["k"] if isinstance(value, dict) else value[0]
                        self.assertEqual(value, "leaf")

    def test_widths(self):
        for width in (1, 1000, MEMBERS, MEMBERS + 1, 65536):
            with self.subTest(width=width):
                self.assertEqual(self.shown(f"display(Show([0] * {width}))"), [[0] * width])
                members = self.shown(f"display(Show({{str(i): i for i in range({width})}}))")
                self.assertEqual(members, [{str(i): i for i in range(width)}] if width <= MEMBERS else [])

    def test_sizes(self):
        for size in (0, 1, 65535, 65536, 1 << 20):
            with self.subTest(size=size):
                self.assertEqual(self.shown(f"display(Show('\\0' + 'é' * {size // 2}))"), ["\0" + "é" * (size // 2)])


CASES = (Reports,)
