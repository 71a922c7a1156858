#!/bin/sh
# SPDX-License-Identifier: MIT
# The attacks alone: builds, starts private engines that do not run yet, attacks, and the last line as tests/run.sh.
#
#   sh tests/redteam/run.sh [SET-UP...]     set-ups and variables as in tests/run.sh
cd "$(dirname "$0")/../.." || exit 1
DSB_TEST_ONLY=redteam exec sh tests/run.sh "$@"
