#!/bin/sh
# SPDX-License-Identifier: MIT
# The root file system of a Debian release with some packages, as a tar. Needs root.
#
#   debian.sh SUITE OUT.tar PACKAGE...
#
# Mirror and settings are those of the host's own apt, as for the sandbox image.
set -eu
umask 022
[ $# -ge 3 ] || {
	echo "usage: debian.sh SUITE OUT.tar PACKAGE..." >&2
	exit 2
}
suite=$1 out=$2
shift 2

src=$(sh "$(dirname "$0")/../../images/from-packages.sh" --suite "$suite" --sources)
include=$(echo "$@" | tr ' ' ,)
set -- --variant=minbase --include="$include" --format=tar --skip=output/dev \
	--aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Retries "3"' \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt=force-unsafe-io
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
