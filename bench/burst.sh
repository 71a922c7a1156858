#!/bin/sh
# SPDX-License-Identifier: MIT
# Ten executions in a row with each kind of rollback point, on the same private Docker as session.sh.
#   sh bench/burst.sh [OPTIONS of bench/burst.py]
DSB_BENCH=burst exec sh "$(dirname "$0")/session.sh" "$@"
