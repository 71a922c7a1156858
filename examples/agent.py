# SPDX-License-Identifier: MIT
"""
An agent's inner loop with the Python package: run a step, tell the model what happened, go on with the same variables.
The "model" here is a list of steps, the second of which is wrong.

    PYTHONPATH=bindings/python python3 examples/agent.py
"""
import argparse
import sys

from dsandbox import Error, Result, Sandbox

STEPS = [
    "data = [18, 21, 25, 18]\nprint('loaded', len(data), 'values')",
    "print('mean', maen(data))",
    "from statistics import mean\nprint('mean', mean(data))",
    "with open('/sandbox/report.txt', 'w') as out:\n    out.write(f'mean {mean(data)}\\n')",
    "while True: pass",
    "len(data)",
]


def feedback(result: Result) -> str:
    """What a model should read about its code, beyond the output that was streamed."""
    if result.error is not None:
        return result.error.traceback
    parts = [] if result.ok else [result.summary()]
    parts += [f"value: {result.value}"] if result.value is not None else []
    parts += [f"wrote {file.path}" for file in result.files.created]
    if result.state is not None and not result.state.kept:
        parts.append(f"variables: {result.state.outcome}, {result.state.reason}")
    return "\n".join(parts) or "done"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-dir")
    parser.add_argument("--allow-unenforced", action="append", default=[])
    options = parser.parse_args()
    sandbox = Sandbox(memory="256MiB", base_dir=options.base_dir, allow_unenforced=options.allow_unenforced, timeout=2)
    with sandbox.session() as session:
        for number, code in enumerate(STEPS, 1):
            print(f"--- step {number}: {code.splitlines()[-1]}")
            print(feedback(session.run(code, on_stdout=sys.stdout.write)))
        print("--- the report:", session.files.read_text("report.txt"), end="")


if __name__ == "__main__":
    try:
        main()
    except Error as error:
        sys.exit(f"agent.py: {error}")
