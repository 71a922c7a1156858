#!/bin/sh
# SPDX-License-Identifier: MIT
# Everything that is measured, side by side in one run: starts the private engines of tests/rig, installs what ours is
# compared with into a directory of its own, measures, and stops what it started.
#   sh bench/run.sh [--quick] [--only GROUP,…] [--json FILE] [--markdown FILE] [--pictures DIR]
# DSB_BENCH_BUILD is the build directory (build).
set -u
cd "$(dirname "$0")/.." || exit 1
die() {
	echo "bench/run.sh: $*" >&2
	exit 1
}
build=${DSB_BENCH_BUILD:-build}
[ -x "$build/bench/dsandbox-bench-session" ] || die "no build in '$build'; build first, or set DSB_BENCH_BUILD"
rig=tests/rig/rig.sh
work=$(mktemp -d /tmp/dsb-bench.XXXXXX) && chmod 755 "$work" && mkdir -m 0700 "$work/run" "$work/state" || exit 1
stop=''
finish() {
	[ -z "$stop" ] || sh $rig down
	rm -rf --one-file-system "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM
packages=$(sh $rig dir)/bench
if ! cmp -s bench/requirements.txt "$packages/installed"; then
	rm -rf "$packages"
	mkdir -p "$(dirname "$packages")"
	python3 -m venv "$packages" && "$packages/bin/pip" install -q -r bench/requirements.txt ||
		die "cannot install bench/requirements.txt (on Debian and Ubuntu it takes the package python3-venv)"
	cp bench/requirements.txt "$packages/installed"
fi
case $(sh $rig env 2>/dev/null) in
*_HOST=* | *_SOCKET=*) ;;
*) stop=1 && DSB_RIG_ONLY="docker podman" sh $rig up >&2 || [ $? -eq 3 ] || exit 1 ;;
esac
eval "$(sh $rig env)"
oci=''
if [ "$(id -u)" = 0 ] && command -v runc >/dev/null; then
	oci=$work/oci
	XDG_RUNTIME_DIR=$work/run "$build/cli/dsandbox" --backend oci --host "$oci" image build --file "$(sh $rig image)" >&2 || exit 1
fi
PATH=$packages/bin:$PATH XDG_RUNTIME_DIR=$work/run XDG_STATE_HOME=$work/state "$packages/bin/python" bench/run.py \
	--build "$build" --base-dir "$work/base" --image "$DSB_RIG_IMAGE" ${DSB_RIG_DOCKER_HOST:+--docker "$DSB_RIG_DOCKER_HOST"} \
	${DSB_RIG_PODMAN_SOCKET:+--podman "$DSB_RIG_PODMAN_SOCKET" --podman-run "$DSB_RIG_PODMAN_RUN"} ${oci:+--oci "$oci"} "$@"
