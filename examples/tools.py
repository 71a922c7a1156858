# SPDX-License-Identifier: MIT
"""
Tools from the host: code that a model wrote reads data that the sandbox has no way to reach, through two functions of ours.
It calls them as often as it wants, keeps what it does not need to itself, and can call nothing else.

    PYTHONPATH=bindings/python python3 examples/tools.py
"""
import argparse
import sys

from dsandbox import Error, Sandbox

ORDERS = {"ada": [120, 80], "bob": [15], "cleo": [300, 40, 60]}

# What a model could have written, which was told of customers() and orders(name).
CODE = """
spent = {}
for name in customers():
    try:
        spent[name] = sum(orders(name))
    except PermissionError as error:
        print("without", name, "-", error)
best = max(spent, key=spent.get)
print(f"{best} spent most: {spent[best]}")
"""


def customers():
    return sorted(ORDERS)


def orders(name):
    if name == "bob":
        raise PermissionError("these are not for models")
    return ORDERS[name]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-dir")
    parser.add_argument("--allow-unenforced", action="append", default=[])
    options = parser.parse_args()
    sandbox = Sandbox(memory="256MiB", base_dir=options.base_dir, allow_unenforced=options.allow_unenforced)
    result = sandbox.run(CODE, tools={"customers": customers, "orders": orders}, on_stdout=sys.stdout.write)
    if not result.ok:
        sys.exit(result.error.traceback if result.error else result.summary())
    for call in result.calls:
        print(f"{call.tool}: {call.status}")


if __name__ == "__main__":
    try:
        main()
    except Error as error:
        sys.exit(f"tools.py: {error}")
