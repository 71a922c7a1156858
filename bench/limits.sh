#!/bin/sh
# SPDX-License-Identifier: MIT
# Time limits and noisy neighbours, on the same private engines as cold.sh.
#   sh bench/limits.sh [OPTIONS of bench/limits.py]
DSB_BENCH=limits exec sh "$(dirname "$0")/cold.sh" "$@"
