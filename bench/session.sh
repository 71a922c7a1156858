#!/bin/sh
# SPDX-License-Identifier: MIT
# Executions in a live session, side by side: starts the private Docker of tests/rig, measures, stops what it started.
#   sh bench/session.sh [OPTIONS of bench/session.py]
# The comparison partner is Jupyter, from the packages python3-ipykernel and python3-jupyter-client.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${DSB_BENCH_BUILD:-build}
[ -x "$build/bench/dsandbox-bench-session" ] || { echo "bench/session.sh: no $build; build first, or set DSB_BENCH_BUILD" >&2; exit 1; }
rig=tests/rig/rig.sh
work=$(mktemp -d /tmp/dsb-bench.XXXXXX) || exit 1
stop=''
finish() {
	# the service writes its process id into its version
	XDG_RUNTIME_DIR=$work/run python3 -c '
import http.client, json, os, signal, socket, sys
c = http.client.HTTPConnection("x")
c.sock = socket.socket(socket.AF_UNIX)
try:
    c.sock.connect(sys.argv[1])
    c.request("GET", "/v1/version")
    os.kill(json.loads(c.getresponse().read())["pid"], signal.SIGINT)
except OSError:
    pass' "$work/run/dsandbox/api.sock"
	[ -z "$stop" ] || sh $rig down
	sleep 1
	rm -rf --one-file-system "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM
mkdir -m 0700 "$work/run" "$work/state"
case $(sh $rig env 2>/dev/null) in
*DOCKER_HOST=*) ;;
*) stop=1 && DSB_RIG_ONLY=docker sh $rig up >&2 || exit 1 ;;
esac
eval "$(sh $rig env)"
# Debian's interpreter has Debian's Jupyter.
python=/usr/bin/python3
[ -x $python ] || python=python3
XDG_RUNTIME_DIR=$work/run XDG_STATE_HOME=$work/state $python "bench/${DSB_BENCH:-session}.py" --build "$build" \
	--endpoint "$DSB_RIG_DOCKER_HOST" --base-dir "$work/base" "$@"
