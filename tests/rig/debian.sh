#!/bin/sh
# SPDX-License-Identifier: MIT
# The root file system of a Debian release with some packages, as a tar. Needs root.
#
#   debian.sh SUITE OUT.tar PACKAGE...
#
# Mirror and settings are those of the host's own apt.
set -eu
umask 022
[ $# -ge 3 ] || {
	echo "usage: debian.sh SUITE OUT.tar PACKAGE..." >&2
	exit 2
}
suite=$1 out=$2
shift 2

# The mirror of the host's first apt source with label $1, or nothing.
mirror() {
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(LABEL)|$(REPO_URI)' 'Created-By: Packages' |
		sed -n "s,^$1|\(.*[^/]\)/*\$,\1,p" | head -n 1
}

sources() {
	uri=$(mirror Debian)
	[ -n "$uri" ] || return 0
	key=
	for k in pgp gpg; do
		k=/usr/share/keyrings/debian-archive-keyring.$k
		[ ! -r "$k" ] || key="[signed-by=$k] "
	done
	echo "deb $key$uri $suite main"
	case $suite in sid | unstable) return 0 ;; esac
	echo "deb $key$uri $suite-updates main"
	uri=$(mirror Debian-Security)
	[ -z "$uri" ] || echo "deb $key$uri $suite-security main"
}

src=$(sources)
include=$(echo "$@" | tr ' ' ,)
set -- --variant=minbase --include="$include" --format=tar --skip=output/dev \
	--aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Retries "3"' \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*'
# A host that reads a snapshot of the archive says so in its own configuration; unstable's index expires in days.
for check in Check-Valid-Until Check-Date; do
	[ "$(apt-config dump --format '%v%n' Acquire::$check)" != false ] || set -- "$@" --aptopt="Acquire::$check \"false\""
done

part=$out.part.$$
trap 'rm -f "$part"' EXIT
trap 'exit 1' HUP INT TERM
if [ -n "$src" ]; then
	echo "$src" | mmdebstrap "$@" "$suite" - - >"$part"
else
	mmdebstrap "$@" "$suite" - >"$part" </dev/null
fi
mv "$part" "$out"
