#!/bin/sh
# SPDX-License-Identifier: MIT
# The conformance suite on every engine that can be had here; writes doc/matrix.md. Root, Debian, 10 GB, half an hour.
#
#   sh tests/matrix.sh [LEG...]
#
# Legs: host (the engines of this machine, and gVisor, from tests/rig/rig.sh), bookworm, trixie, sid (a release's Docker
# and Podman, rootful and rootless, runc and crun, in a chroot on this machine's kernel), vm (tests/rig/vm.sh). With some
# legs only, the others' rows are kept from the last run.
#
#   DSB_TEST_BUILD   build directory (build-test)
#   DSB_MATRIX_DIR   where trees and reports are kept (beside the rig's images)
#
# Exit status 0: every leg ran. What failed in a leg is in the table: that is what it is for.
set -u
umask 022
cd "$(dirname "$0")/.." || exit 1

build=${DSB_TEST_BUILD:-build-test}
legs=${*:-host bookworm trixie sid vm}
rig=tests/rig/rig.sh
state=$(sh $rig dir)
dir=${DSB_MATRIX_DIR:-$state/matrix}
failed=0 stop_rig=''

die() {
	echo "matrix: $*" >&2
	exit 1
}

finish() {
	[ -z "$stop_rig" ] || timeout -s KILL 180 sh $rig down
	[ -z "${root:-}" ] || rm -rf --one-file-system "$root"
}
trap finish EXIT
trap 'exit 129' HUP INT TERM

# leg NAME OS ROOT RUNTIME: a row's directory, and what the report does not say itself. LOG is what it says when it fails.
leg() {
	out=$dir/reports/$1
	rm -rf "$out"
	mkdir -p "$out"
	printf '%s\n' "$2" >"$out/os"
	printf '%s\n' "$3" >"$out/root"
	printf '%s\n' "$4" >"$out/runtime"
	echo "== $1 ($(date +%T))"
}

broken() {
	failed=1
	echo "   did not run: $*"
	echo "$*" >"$out/broken"
}

summary='
import json, sys
for name in sys.argv[1:]:
    report = json.load(open(name, encoding="utf-8"))
    print("  ", report["setup"], report["summary"])
    for row in report["cases"]:
        if row["verdict"] == "fail":
            print("   FAIL", row["id"], row["title"] + ":", row["observed"])'

# --- this machine -----------------------------------------------------------

# host_leg NAME BACKEND ENDPOINT ROOT RUNTIME [AS]; gVisor is asked for by the policy, the others are the default.
host_leg() {
	name=$1 backend=$2 endpoint=$3 as=${6:-env} setting=''
	leg "host-$name" "$(. /etc/os-release && echo "$PRETTY_NAME")" "$4" "$5"
	[ -n "$endpoint" ] || {
		broken "its engine does not run"
		return
	}
	case $5 in runsc*) setting=gvisor ;; esac
	base=$("$as" mktemp -d /tmp/dsb-matrix.XXXXXX)
	allow=$(python3 tests/rig/unenforced.py "$as" "$prefix/bin/dsandbox" --backend "$backend" --host "$endpoint" run \
		--base-dir "$base" ${setting:+--runtime $setting} 2>>"$out/log")
	rc=$?
	rm -rf --one-file-system "$base"
	[ $rc -eq 0 ] || {
		broken "$(tail -n 1 "$out/log")"
		return
	}
	echo "$allow" >"$out/$backend.allow"
	timeout -s KILL 1500 "$as" "$prefix/bin/dsandbox" conformance --backend "$backend" --host "$endpoint" --json \
		--setup "$name" --waivers "$prefix/waivers.json" ${allow:+--allow-unenforced "$allow"} \
		${setting:+--set "runtime=$setting"} >"$out/$backend.json" 2>>"$out/log"
	python3 -c "$summary" "$out/$backend.json" || broken "no report: $(tail -n 1 "$out/log")"
}

version_of() { # program
	"$1" --version 2>/dev/null | head -n 1 | sed 's/ version / /; s/+.*//'
}

host() {
	# the rootless user must be able to read it
	prefix=$(mktemp -d /tmp/dsb-matrix.XXXXXX) && chmod 0755 "$prefix" || return
	root=$prefix
	timeout -s KILL 600 meson setup "$prefix/build" --prefix="$prefix" -Dtests=disabled >"$dir/host.log" 2>&1 &&
		timeout -s KILL 900 meson install -C "$prefix/build" >>"$dir/host.log" 2>&1 || die "the build, see $dir/host.log"
	rm -rf "$prefix/build"
	cp conformance/waivers.json "$prefix/"
	case $(timeout -s KILL 60 sh $rig env 2>/dev/null) in
	*_HOST=* | *_SOCKET=*) ;;
	*) stop_rig=1 ;;
	esac
	timeout -s KILL 2400 sh $rig up >>"$dir/host.log" 2>&1 || die "tests/rig/rig.sh up, see $dir/host.log"
	eval "$(sh $rig env)"
	podman_runtime=$(timeout -s KILL 20 podman --remote --url "${DSB_RIG_PODMAN_SOCKET:-}" info \
		--format '{{.Host.OCIRuntime.Name}}' 2>/dev/null)
	podman_runtime=$(version_of "${podman_runtime:-runc}")
	host_leg docker-api docker-api "${DSB_RIG_DOCKER_HOST:-}" rootful "$(version_of runc)"
	host_leg docker-cli docker-cli "${DSB_RIG_DOCKER_HOST:-}" rootful "$(version_of runc)"
	host_leg podman podman "${DSB_RIG_PODMAN_SOCKET:-}" rootful "$podman_runtime"
	host_leg podman-rootless podman "${DSB_RIG_ROOTLESS_SOCKET:-}" rootless \
		"$podman_runtime" "${DSB_RIG_ROOTLESS_RUN:-}"
	host_leg docker-gvisor docker-api "${DSB_RIG_DOCKER_HOST:-}" rootful "$(version_of runsc)"
	rm -rf "$prefix"
	root=''
}

# --- releases ---------------------------------------------------------------

release() { # suite
	packages="podman crun runc conmon uidmap slirp4netns passt netavark catatonit docker.io iptables iproute2 procps
		python3-minimal python3 curl ca-certificates libglib2.0-0 libjson-c5 libcurl4 libsoup-3.0-0 libedit2 libseccomp2"
	[ "$1" = bookworm ] || packages="$packages docker-cli"
	tar=$(sh $rig image) || die "no sandbox image"
	mkdir -p "$dir/trees"
	root=$dir/trees/$1
	rm -rf --one-file-system "$root" "$root.tar"
	echo "== $1: the tree ($(date +%T))"
	# shellcheck disable=SC2086
	timeout -s KILL 900 sh tests/rig/debian.sh "$1" "$root.tar" $packages >"$dir/$1.log" 2>&1 ||
		die "mmdebstrap $1 failed, see $dir/$1.log"
	mkdir -p "$root/dev"
	tar -C "$root" -xf "$root.tar" && rm "$root.tar" || die "cannot unpack $root.tar"
	mkdir -p "$root/dev"
	DESTDIR=$root timeout -s KILL 300 meson install -C "$build" --no-rebuild --quiet --strip >>"$dir/$1.log" 2>&1 ||
		die "meson install failed, see $dir/$1.log"
	os="$(. "$root/etc/os-release" && echo "$PRETTY_NAME") chroot"
	for engine in docker podman rootless; do
		for runtime in runc crun; do
			leg "$1-$engine-$runtime" "$os" "$(if [ $engine = rootless ]; then echo rootless; else echo rootful; fi)" $runtime
			cp conformance/waivers.json "$out/"
			ln "$tar" "$out/image.tar" 2>/dev/null || cp "$tar" "$out/image.tar"
			images/from-packages.sh --config | sed "s/'/'\\\\''/g; s/^/--change '/; s/\$/'/" | tr '\n' ' ' >"$out/changes"
			timeout -s KILL 3300 sh tests/rig/release.sh "$root" $engine $runtime "$out" >"$out/last" 2>&1 ||
				broken "$(tail -n 1 "$out/last")"
			rm -f "$out/image.tar"
			sed -i 's/ version / /; s/+.*//' "$out/runtime"
			for report in "$out"/docker-*.json "$out"/podman*.json; do
				[ ! -s "$report" ] || python3 -c "$summary" "$report"
			done
		done
	done
	rm -rf --one-file-system "$root"
	root=''
}

# --- the guest --------------------------------------------------------------

# vm_leg NAME run|root ROOT RUNTIME BACKEND [ENDPOINT]: the report comes back on standard output. A runtime that is not the
# engine's default is asked for by the policy. Without an endpoint, the backend starts its service itself, which for Podman
# is the only way to another runtime.
vm_leg() {
	leg "vm-$1" "$guest" "$3" "$4"
	setting=''
	case $1 in docker*-crun | podman*-runc) setting=$4 ;; esac
	DSB_VM_SECONDS=1500 timeout -s KILL 1600 sh tests/rig/vm.sh "$2" "$build" "set -e
		$4 --version | head -n 1 >&2
		allow=\$(python3 src/tests/rig/unenforced.py env dsandbox --backend $5 ${6:+--host $6} run --base-dir \$(mktemp -d) ${setting:+--runtime $setting})
		echo \"allow: \$allow\" >&2
		exec dsandbox conformance --backend $5 ${6:+--host $6} --json --setup ${1%-*} \
			\${allow:+--allow-unenforced \$allow} ${setting:+--set runtime=$setting}" >"$out/$5.json" 2>"$out/log"
	sed -n "s/^$4 version /$4 /p" "$out/log" | sed 's/+.*//' >"$out/runtime"
	sed -n 's/^allow: //p' "$out/log" >"$out/$5.allow"
	python3 -c "$summary" "$out/$5.json" 2>/dev/null || broken "$(tail -n 1 "$out/log")"
}

vm() {
	rm -rf "$dir"/reports/vm-*
	DSB_VM_ALL=1 DSB_VM_DIR=${DSB_VM_DIR:-$dir/vm}
	export DSB_VM_ALL DSB_VM_DIR
	timeout -s KILL 2400 sh tests/rig/vm.sh build || die "the guest cannot be made"
	# shellcheck disable=SC2016
	guest=$(timeout -s KILL 300 sh tests/rig/vm.sh run "$build" \
		'. /etc/os-release; echo "$PRETTY_NAME guest, kernel $(uname -r | cut -d- -f1 | cut -d+ -f1)"' 2>/dev/null)
	vm_leg podman-rootless-crun run rootless crun podman unix:///run/user/1000/podman/podman.sock
	vm_leg podman-rootless-runc run rootless runc podman
	vm_leg podman-crun root rootful crun podman
	vm_leg podman-runc root rootful runc podman
	for backend in docker-api docker-cli; do
		vm_leg $backend-runc run rootful runc $backend unix:///run/docker.sock
		vm_leg $backend-crun run rootful crun $backend unix:///run/docker.sock
	done
}

[ "$(id -u)" = 0 ] || die "needs root"
[ -x "$build/cli/dsandbox" ] || die "build first: meson setup $build && meson compile -C $build"
mkdir -p "$dir/reports" || exit 1
began=$(date +%s)
for one in $legs; do
	case $one in
	host) host ;;
	bookworm | trixie | sid) release "$one" ;;
	vm) vm ;;
	*) die "unknown leg '$one' (host bookworm trixie sid vm)" ;;
	esac
done
python3 tests/rig/matrix.py "$dir/reports" >doc/matrix.md.part && mv doc/matrix.md.part doc/matrix.md || die "no table"
echo "matrix: doc/matrix.md written after $((($(date +%s) - began) / 60)) minutes"
exit $failed
