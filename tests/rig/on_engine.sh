#!/bin/sh
# SPDX-License-Identifier: MIT
# One suite on the engine that the environment describes; without one it is skipped, and says why.
if [ -z "${DSB_TEST_SETUP:-}" ]; then
	echo "SKIP: no engine: set DSB_TEST_SETUP, DSB_TEST_BACKEND and DSB_TEST_ENDPOINT as tests/cli/cli_harness.py says," \
		"or run sh tests/run.sh"
	exit 77
fi
exec python3 "$@"
