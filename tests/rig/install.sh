#!/bin/sh
# SPDX-License-Identifier: MIT
# Install on Debian or Ubuntu what is missing, and nothing else.
#
#   install.sh GROUP...
#     build    compiler, meson and the libraries dsandbox is built with
#     check    what the test suite needs besides (analysers, test tools)
#     engine   Docker, enough to try dsandbox out
#     image    the image maker, and what a private Docker daemon needs
#     engines  Docker, Podman, their runtimes and the image maker: the test rig
#     vm       what makes and runs the guest of tests/rig/vm.sh
#
# apt-get runs only when dpkg says that something is missing. Engine services
# that the packages would start are not started for `engines` (the rig starts
# its own); for `engine` the Docker service is what the user wants.
set -eu

die() {
	echo "install: $*" >&2
	exit 1
}

group() {
	case $1 in
	build)
		echo build-essential meson ninja-build pkg-config \
			libglib2.0-dev libcurl4-openssl-dev libjson-c-dev libarchive-dev \
			libcmocka-dev libseccomp-dev libsoup-3.0-dev libedit-dev
		;;
	check)
		echo clang libclang-rt-dev valgrind python3 python3-venv curl openssl nodejs npm golang-go bindfs zsh fish
		;;
	engine)
		echo docker.io
		;;
	image)
		echo mmdebstrap debian-archive-keyring gpg curl util-linux iproute2 iptables
		;;
	engines)
		echo docker.io podman runc crun runsc conmon uidmap catatonit netavark slirp4netns \
			mmdebstrap debian-archive-keyring gpg curl util-linux passwd iproute2 iptables
		;;
	vm)
		echo mmdebstrap debian-archive-keyring gpg util-linux user-mode-linux e2fsprogs
		;;
	*) die "unknown group '$1' (build, check, engine, image, engines, vm)" ;;
	esac
}

installed() {
	dpkg -s "$1" 2>/dev/null | grep -q '^Status: install ok installed'
}

# Packages that newer releases split off or older ones do not have.
available() {
	apt-cache show "$1" >/dev/null 2>&1
}

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "needs root (or sudo) to install: $missing"
	fi
}

# Run apt-get install with service starts forbidden, and put things back.
install_quietly() {
	# shellcheck disable=SC2016
	as_root env DEBIAN_FRONTEND=noninteractive sh -c '
		set -e
		hook=/usr/sbin/policy-rc.d
		if [ ! -e "$hook" ] && [ ! -L "$hook" ]; then
			trap "rm -f \"$hook\"" EXIT
			trap "exit 1" HUP INT TERM
			printf "#!/bin/sh\nexit 101\n" >"$hook"
			chmod 0755 "$hook"
		fi
		apt-get install -y -qq -o Acquire::Retries=5 -o Dpkg::Use-Pty=0 --no-install-recommends "$@"' sh "$@"
}

[ $# -gt 0 ] || die "usage: install.sh GROUP... (build, check, engine, image, engines, vm)"
command -v dpkg >/dev/null && command -v apt-get >/dev/null ||
	die "this script knows Debian and Ubuntu only; see README.md for the list"

quiet=no wanted=
for g in "$@"; do
	case $g in engines | image | vm) quiet=yes ;; esac
	wanted="$wanted $(group "$g")"
done

# Programs that may have come from elsewhere.
there() {
	case $1 in
	nodejs) command -v node ;;
	golang-go) command -v go ;;
	npm) command -v npm ;;
	python3-venv) python3 -c 'import ensurepip' ;;
	*) false ;;
	esac >/dev/null 2>&1
}

missing=
for p in $wanted; do
	installed "$p" || there "$p" || missing="$missing $p"
done
# the client is a package of its own since Debian 13
case $wanted in
*docker.io*) command -v docker >/dev/null || missing="$missing docker-cli" ;;
esac
if [ -z "$missing" ]; then
	echo "install: nothing is missing"
	exit
fi

as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq -o Acquire::Retries=5
get=
for p in $missing; do
	if available "$p"; then
		get="$get $p"
	elif [ "$p" != docker-cli ]; then
		echo "install: this release has no package '$p', going on without" >&2
	fi
done
[ -n "$get" ] || exit 0
echo "install:$get"
# shellcheck disable=SC2086
if [ $quiet = yes ]; then
	install_quietly $get
else
	as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq -o Acquire::Retries=5 -o Dpkg::Use-Pty=0 --no-install-recommends $get
fi
