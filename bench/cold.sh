#!/bin/sh
# SPDX-License-Identifier: MIT
# Cold start, side by side: starts the private engines of tests/rig, measures, stops them if they were not up.
#   sh bench/cold.sh [OPTIONS of bench/cold.py]
set -u
cd "$(dirname "$0")/.." || exit 1
program=${DSB_BENCH_PROGRAM:-build/cli/dsandbox}
[ -x "$program" ] || { echo "bench/cold.sh: no $program; build first, or set DSB_BENCH_PROGRAM" >&2; exit 1; }
rig=tests/rig/rig.sh
work=$(mktemp -d /tmp/dsb-bench.XXXXXX) || exit 1
stop=''
finish() {
	[ -z "$stop" ] || sh $rig down
	rm -rf --one-file-system "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM
case $(sh $rig env 2>/dev/null) in
*_HOST=*) ;;
*) stop=1 && DSB_RIG_ONLY="docker podman" sh $rig up >&2 || [ $? -eq 3 ] || exit 1 ;;
esac
eval "$(sh $rig env)"
python3 "bench/${DSB_BENCH:-cold}.py" --program "$program" --base-dir "$work/base" \
	${DSB_RIG_DOCKER_HOST:+--docker "$DSB_RIG_DOCKER_HOST"} \
	${DSB_RIG_PODMAN_SOCKET:+--podman "$DSB_RIG_PODMAN_SOCKET" --podman-run "${DSB_RIG_PODMAN_RUN:-}"} "$@"
