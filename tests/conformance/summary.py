#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""summary.py REPORT.json: what did not pass, and a last line "N passed, N failed, N skipped"; status 1 unless all is well."""
import json
import sys

WORDS = {"fail": "FAIL", "skipped": "SKIP", "waived": "SKIP (waived)"}


def main(path):
    try:
        with open(path, encoding="utf-8") as file:
            report = json.load(file)
    except ValueError:
        print("FAIL no report\n0 passed, 1 failed, 0 skipped")
        return 1
    for row in report["cases"]:
        if row["verdict"] != "pass":
            print(WORDS[row["verdict"]], row["id"], row["severity"], row["title"] + ":", row["reason"] or "")
        if row["verdict"] in ("fail", "waived"):
            print("     expected:", row["expected"], "\n     observed:", row["observed"])
    count = report["summary"]
    print(count["pass"], "passed,", count["fail"], "failed,", count["skipped"] + count["waived"], "skipped")
    return int(count["fail"] != 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
