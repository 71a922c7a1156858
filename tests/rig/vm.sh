#!/bin/sh
# SPDX-License-Identifier: MIT
# A Debian 13 machine (systemd, cgroup v2, crun, rootless Podman with real limits) under User Mode Linux, for the tests: it
# needs no KVM, and is several times faster than an emulated processor.
#
#   vm.sh build                      make the machine, if that is not done yet
#   vm.sh run BUILD COMMAND          what BUILD (a build directory of dsandbox) installs is in the guest;
#                                    COMMAND runs there as the user, in a shell; its output and status are ours;
#                                    tests/ is in src/tests, but for what needs a build directory
#   vm.sh root BUILD COMMAND         the same as root
#   vm.sh test BUILD REPORT.json     the conformance suite there; the last line is "N passed, N failed, N skipped"
#   vm.sh edges BUILD [-k PATTERN]   those of tests/edges that can be otherwise for a rootless engine; last line as well
#   vm.sh purge                      delete it
#
# vm-make.sh makes the guest; each run boots it, and starts from the same disk. The guest's packages are as new as the cache;
# `purge` renews them.
#
#   DSB_VM_DIR     where the machine is kept (beside the rig's images)
#   DSB_VM_ALL     not empty: with rootful Podman, runc and Docker as well, for tests/matrix.sh
#   DSB_VM_SECONDS hard end of a run
#   DSB_VM_IMAGE   tar of the sandbox image (the rig's, made when it is missing)
set -eu
umask 022

rig=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$rig/../.." && pwd)
user=ci uid=1000

say() { echo "vm: $*" >&2; }
die() {
	say "$*"
	exit 125
}

usage() {
	die "usage: vm.sh build | run BUILD COMMAND | root BUILD COMMAND | test BUILD REPORT.json | edges BUILD [-k PATTERN] | purge"
}

[ "$(id -u)" = 0 ] || die "needs root"
for c in linux.uml mmdebstrap mke2fs setpriv unshare; do
	command -v $c >/dev/null || die "'$c' is not installed (tests/rig/install.sh vm)"
done
cache=${DSB_VM_DIR:-$(sh "$rig/rig.sh" dir)/vm}

# --- build ------------------------------------------------------------------

key() {
	{
		cat "$rig/vm-make.sh" "$rig/vm.py" "$rig/debian.sh" "$top/images/from-packages.sh"
		linux.uml --version
		echo "${DSB_VM_ALL:+all}"
	} | sha256sum | cut -c1-32
}

build() {
	mkdir -p "$cache"
	exec 9>"$cache/lock"
	flock -w 1500 9 || die "another one has been building for 25 minutes"
	dir=$cache/$(key)
	[ ! -s "$dir/root.img" ] || return 0
	tar=${DSB_VM_IMAGE:-$(sh "$rig/rig.sh" image 9>&-)}
	[ -s "$tar" ] || die "no sandbox image"
	# only the newest is kept
	find "$cache" -mindepth 1 -maxdepth 1 ! -name lock -exec rm -rf --one-file-system {} +
	sh "$rig/vm-make.sh" "$dir" "$tar" ${DSB_VM_ALL:+all} 9>&-
}

# --- run --------------------------------------------------------------------

run() { # build-directory seconds command [run|root]
	build
	flock -u 9
	work=$(mktemp -d /tmp/dsb-vm-files.XXXXXX)
	trap 'rm -rf "$work"' EXIT
	trap 'exit 129' HUP INT TERM
	DESTDIR=$work/tree meson install -C "$1" --no-rebuild --quiet --strip >"$work/log" 2>&1 || {
		cat "$work/log" >&2
		die "meson install failed"
	}
	mkdir -p "$work/tree/home/$user/src"
	tar -C "$top" -cf - tests/cli tests/edges tests/rig tests/service bindings/python doc/openapi.json doc/result.schema.json | tar -C "$work/tree/home/$user/src" -xf -
	chmod -R go-w "$work/tree"
	tar -C "$work/tree" --owner=0 --group=0 -cf "$work/files.tar" .
	timeout -s KILL $(($2 + 30)) python3 "$rig/vm.py" "$dir" "$2" "$work/files.tar" \
		"ldconfig; as-user systemctl --user start podman.socket podman.service; cd /home/$user; exec $([ "${4:-run}" = root ] && echo env HOME=/root || echo as-user) sh -c $(quote "$3")" &
	machine=$! # in a process group of its own: a signal for us is passed on
	trap 'kill "$machine"; exit 129' HUP INT TERM
	wait "$machine"
}

quote() {
	printf "'%s'" "$(printf %s "$1" | sed "s/'/'\\\\''/g")"
}

case ${1:-} in
build) build ;;
run | root)
	[ $# = 3 ] || usage
	run "$2" "${DSB_VM_SECONDS:-900}" "$3" "$1"
	;;
test)
	[ $# = 3 ] || usage
	set +e
	# A machine that does not come up says nothing about the project: once more then. A report counts as it is.
	for attempt in 1 2; do
		(
			set -e
			run "$2" "${DSB_VM_SECONDS:-1200}" "exec dsandbox conformance --backend podman --json --setup podman-rootless-v2 \
			--engine-timeout 600 --host unix:///run/user/$uid/podman/podman.sock"
		) >"$3"
		status=$?
		python3 -c 'import json, sys; json.load(open(sys.argv[1]))' "$3" 2>/dev/null && break
		say "attempt $attempt: no report, status $status"
	done
	set -e
	python3 "$top/tests/conformance/summary.py" "$3" || [ $status != 0 ] || status=1
	exit $status
	;;
edges)
	[ $# -ge 2 ] || usage
	build=$2
	shift 2
	run "$build" "${DSB_VM_SECONDS:-900}" "cd src && exec env DSB_TEST_ROOTLESS=1 DSB_TEST_MIXTURE=20 \
		DSB_TEST_SETUP=podman-rootless-v2 DSB_TEST_BACKEND=podman DSB_TEST_ENDPOINT=unix:///run/user/$uid/podman/podman.sock \
		DSB_TEST_PROGRAM=/usr/local/bin/dsandbox python3 tests/rig/all.py tests/edges $*"
	;;
purge) rm -rf --one-file-system "$cache" ;;
*) usage ;;
esac
