#!/bin/sh
# SPDX-License-Identifier: MIT
# Fidelity alone: builds, starts private engines that do not run yet, compares, and the last line as tests/run.sh.
#
#   sh tests/fidelity/run.sh [SET-UP...]     set-ups and variables as in tests/run.sh
cd "$(dirname "$0")/../.." || exit 1
DSB_TEST_ONLY=fidelity exec sh tests/run.sh "$@"
