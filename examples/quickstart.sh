#!/bin/sh
# SPDX-License-Identifier: MIT
# From a bare machine to the first program in a sandbox: sh examples/quickstart.sh
#
# Installs what is missing, builds into build/, and runs examples/hello.py in a sandbox. A Docker or Podman of your own
# that answers is used, and gets one image added. Otherwise a private Docker daemon is started for this run only.
set -u
umask 022
cd "$(dirname "$0")/.." || exit 1

rig=tests/rig/rig.sh
image='dsandbox-sandbox:latest'
log=build/quickstart.log
backend='' private=''

say() { echo "==> $*"; }
die() {
	echo "quickstart: $*" >&2
	exit 1
}
quiet() { # message command...: output to the log, its end shown on failure
	message=$1
	shift
	"$@" >>"$log" 2>&1 </dev/null && return
	tail -n 20 "$log" | sed 's/^/    /' >&2
	die "$message; all of the output is in $log"
}
finish() {
	trap '' INT TERM HUP
	[ -z "$private" ] || timeout --foreground -s KILL 120 sh $rig down >>"$log" 2>&1
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

can_build() {
	for c in cc meson ninja pkg-config; do
		command -v $c >/dev/null || return 1
	done
	pkg-config --exists 'glib-2.0 >= 2.74' 'json-c >= 0.16' 'libcurl >= 7.88' 'libarchive >= 3.6'
}

# An engine of the user's own that answers and can hold limits.
find_engine() {
	if command -v docker >/dev/null && timeout -s KILL 15 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; then
		backend=docker-api
	elif command -v podman >/dev/null; then
		case $(timeout -s KILL 30 podman info --format '{{.Host.Security.Rootless}} {{.Host.CgroupsVersion}} {{.Host.CgroupControllers}}' 2>/dev/null) in
		"false "* | *memory*pids* | *pids*memory*) backend=podman ;;
		esac
	fi
	[ -n "$backend" ]
}

has_image() {
	case $backend in
	podman) timeout -s KILL 60 podman image exists $image ;;
	*) timeout -s KILL 60 docker image inspect $image >/dev/null 2>&1 ;;
	esac
}

# What makes the image from packages, and starts a private engine.
image_tools() {
	for c in mmdebstrap gpg curl; do
		command -v $c >/dev/null && continue
		say "installing the packages for making the image"
		quiet "could not install them (root or sudo is needed)" sh tests/rig/install.sh image
		return
	done
}

# --- tools, program, engine -------------------------------------------------

mkdir -p build && : >"$log" || die "cannot write to build/"
if ! can_build; then
	say "installing the packages for building"
	quiet "could not install them (root or sudo is needed)" sh tests/rig/install.sh build
fi

say "building into build/"
[ -e build/build.ninja ] || quiet "meson setup failed" meson setup build --buildtype=release
quiet "the build failed" meson compile -C build
dsandbox=$PWD/build/cli/dsandbox

if ! find_engine && ! command -v dockerd >/dev/null; then
	say "no container engine here: installing one"
	quiet "could not install one (root or sudo is needed)" sh tests/rig/install.sh engine
	find_engine
fi
if [ -n "$backend" ]; then
	say "using the $backend backend with the engine that runs here"
	if ! has_image; then
		say "making the image $image (a few minutes, once)"
		if ! timeout --foreground -s KILL 1200 "$dsandbox" --backend "$backend" image build >>"$log" 2>&1 </dev/null; then
			say "that needs an image registry; making it from distribution packages instead"
			image_tools
			quiet "could not make the image" timeout --foreground -s KILL 1800 "$dsandbox" --backend "$backend" image build --from-packages
		fi
	fi
else
	image_tools
	say "starting a private Docker daemon (the first time it also makes the image: a few minutes)"
	case $(timeout -s KILL 60 sh $rig env 2>/dev/null) in
	*DSB_RIG_DOCKER_HOST=*) ;;
	*) private=1 ;;
	esac
	quiet "could not start it" env DSB_RIG_ONLY=docker timeout --foreground -s KILL 2400 sh $rig up
	eval "$(timeout -s KILL 60 sh $rig env)"
	[ -n "${DSB_RIG_DOCKER_HOST:-}" ] || die "the private Docker daemon does not answer, see $log"
	export DOCKER_HOST="$DSB_RIG_DOCKER_HOST"
	backend=docker-api
fi

# --- the sandbox ------------------------------------------------------------

say "dsandbox --backend $backend run examples/hello.py"
timeout --foreground -s KILL 180 "$dsandbox" --backend "$backend" run examples/hello.py
status=$?
[ $status -eq 0 ] || die "the run ended with status $status; try '$dsandbox doctor'"

if [ -n "$private" ]; then
	say "done. The private daemon ends now; its data stays for the next run ($rig down --purge deletes it)."
	say "With an engine of your own: build/cli/dsandbox run -c 'print(1)'"
else
	say "done. Next: build/cli/dsandbox run -c 'print(1)'"
fi
exit 0
