#!/bin/sh
# SPDX-License-Identifier: MIT
# The edges alone: builds, starts private engines that do not run yet, makes faults, and the last line as tests/run.sh.
#
#   sh tests/edges/run.sh [SET-UP...]     default: docker-api podman podman-rootless; variables as in tests/run.sh
cd "$(dirname "$0")/../.." || exit 1
[ $# -gt 0 ] || set -- docker-api podman podman-rootless
DSB_TEST_ONLY=edges exec sh tests/run.sh "$@"
