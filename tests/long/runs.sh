#!/bin/sh
# SPDX-License-Identifier: MIT
# Many one-shot runs on one engine, each with its own nonce: a lost or wrong result is counted and shown. Then runs that
# are killed with SIGKILL, and `dsandbox gc`. Afterwards nothing may be left: containers, mounts, processes, files.
#
#   sh tests/long/runs.sh [RUNS [AT-ONCE [KILLED]]]     default: 10000 runs, 2 at once, 80 killed
#
# The set-up is described as for tests/cli (DSB_TEST_SETUP, DSB_TEST_BACKEND, DSB_TEST_ENDPOINT, DSB_TEST_AS,
# DSB_TEST_PROGRAM); `sh tests/rig/rig.sh up` starts engines. Not part of tests/run.sh, which does 100.
# The last line is "N passed, N failed, N skipped"; the exit status is 0 only if nothing failed.
set -u
cd "$(dirname "$0")/../.." || exit 1
[ -n "${DSB_TEST_SETUP:-}" ] || {
	echo "usage: DSB_TEST_SETUP=… DSB_TEST_BACKEND=… DSB_TEST_ENDPOINT=… runs.sh [RUNS [AT-ONCE [KILLED]]]" >&2
	exit 2
}
exec python3 tests/long/runs.py "${1:-10000}" "${2:-2}" "${3:-80}"
