#!/bin/sh
# SPDX-License-Identifier: MIT
# What others compile and link against.
#   check.sh headers INCLUDE_DIR       each public header compiles alone, as C11 pedantic and as C++
#   check.sh library FILE.so INCLUDE_DIR   exports dsb_* alone, and they are what the public headers declare
#   check.sh plugins FILE.so...         exports dsb_plugin_entry and nothing else
set -eu

exported() {
	nm -D --defined-only "$1" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort -u
}

headers() {
	flags=$(pkg-config --cflags glib-2.0)
	for header in "$1"/dsandbox/*.h; do
		name=dsandbox/${header##*/}
		# twice: the guard works
		printf '#include <%s>\n#include <%s>\nint main(void) { return 0; }\n' "$name" "$name" |
			# shellcheck disable=SC2086
			cc -std=c11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I"$1" $flags -xc - || exit 1
		printf '#include <%s>\nint main() { return 0; }\n' "$name" |
			# shellcheck disable=SC2086
			c++ -std=c++11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I"$1" $flags -xc++ - || exit 1
		echo "$name"
	done
}

library() {
	exported "$1" >"$tmp"
	test -s "$tmp"
	if grep -vE '^dsb_' "$tmp"; then
		echo "these names are exported and are not dsb_*" >&2
		exit 1
	fi
	while read -r name; do
		grep -qw "$name" "$2"/dsandbox/*.h || {
			echo "$name is exported and in no public header" >&2
			exit 1
		}
	done <"$tmp"
	# and the other way round: what a header declares can be linked
	sed -nE 's/^[A-Za-z].*[ *](dsb_[a-z0-9_]+)\(.*/\1/p' "$2"/dsandbox/dsandbox.h "$2"/dsandbox/policy.h \
		"$2"/dsandbox/session.h "$2"/dsandbox/files.h "$2"/dsandbox/result.h | grep -vE '^dsb_error_quark$' | sort -u | while read -r name; do
		grep -qx "$name" "$tmp" || {
			echo "$name is declared and not exported" >&2
			exit 1
		}
	done
	wc -l <"$tmp"
}

plugins() {
	for file in "$@"; do
		[ "$(exported "$file")" = dsb_plugin_entry ] || {
			echo "$file exports:" >&2
			exported "$file" >&2
			exit 1
		}
	done
}

what=$1
shift
tmp=$(mktemp)
trap 'rm -f "$tmp"' EXIT
case $what in
headers) headers "$@" ;;
library) library "$@" ;;
plugins) plugins "$@" ;;
*) exit 2 ;;
esac
