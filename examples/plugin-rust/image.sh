#!/bin/sh
# SPDX-License-Identifier: MIT
# A small image to try the plugin with: this host's /usr/bin/python3, its standard library and what both need, as a directory.
#
#   sh examples/plugin-rust/image.sh DIRECTORY
#
# A whole one is that of dsandbox: images/from-packages.sh image.tar, unpacked with `tar -xpf image.tar -C DIRECTORY`.
set -eu
umask 022
image=$1
[ ! -e "$image" ] || {
	echo "image.sh: $image is there already" >&2
	exit 1
}
python=$(readlink -f /usr/bin/python3) # the distribution's, not one of a user's
library=$("$python" -I -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
programs='/bin/sh /bin/sleep /usr/bin/env'
mkdir -p "$image/bin" "$image/etc" "$image/srv" "$image/usr/bin" "$image/var"

cp "$python" "$image/usr/bin/python3"
for program in $programs; do cp -L "$program" "$image$program"; done
mkdir -p "$image$library"
tar -C "$library" --exclude=__pycache__ --exclude=dist-packages --exclude=site-packages --exclude=test \
	--exclude=config-* --exclude=idlelib --exclude=tkinter --exclude=ensurepip -cf - . | tar -C "$image$library" -xf -

# The dynamic loader and all shared libraries, by the names that they are looked up by.
# shellcheck disable=SC2086
ldd "$python" $programs "$library"/lib-dynload/*.so 2>/dev/null |
	sed -n 's/^.*=> \(\/[^ ]*\) (.*$/\1/p; s/^[[:space:]]*\(\/[^ ]*ld-[^ ]*\) (.*$/\1/p' | sort -u |
	while read -r file; do
		mkdir -p "$image$(dirname "$file")"
		cp -L "$file" "$image$file"
	done
printf 'root:x:0:0:root:/root:/bin/sh\nsandbox:x:1000:1000:sandbox:/sandbox:/bin/sh\n' >"$image/etc/passwd"
printf 'root:x:0:\nsandbox:x:1000:\n' >"$image/etc/group"
for name in bash.bashrc debian_version environment host.conf issue ld.so.conf nsswitch.conf os-release profile shells; do
	[ ! -e "/etc/$name" ] || cp -L "/etc/$name" "$image/etc/$name"
done
chmod -R go-w "$image"
