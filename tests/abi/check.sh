#!/bin/sh
# SPDX-License-Identifier: MIT
# What others compile and link against.
#   check.sh headers INCLUDE_DIR       each public header compiles alone, pedantic, as C11 and C++11, and all of them as C17
#                                      and C++17; those for plugins without GLib
#   check.sh library FILE.so INCLUDE_DIR   exports dsb_* alone, and they are what the public headers declare, or, of
#                                      the version DSANDBOX_PROGRAMS, common/objects.h
#   check.sh words FILE.so...          no message speaks of an option of the program
#   check.sh manual FILE.so PAGE       each function that it exports is in the page
#   check.sh plugins FILE.so...         exports dsb_plugin_entry and nothing else
#   check.sh broker PROGRAM            uses nothing of the library that loads a plugin or reads what a sandbox wrote
set -eu

exported() {
	nm -D --defined-only "$1" | awk '$2 != "A" && !/@DSANDBOX_PROGRAMS$/ { sub(/@.*/, "", $3); print $3 }' | sort -u
}

of_our_programs() {
	nm -D --defined-only "$1" | awk '$2 != "A" && /@DSANDBOX_PROGRAMS$/ { sub(/@.*/, "", $3); print $3 }' | sort -u
}

headers() {
	for header in "$1"/dsandbox/*.h; do
		name=dsandbox/${header##*/}
		case $name in
		*/plugin.h | */spec.h | */observed.h | */codes.h) flags= ;;
		*) flags=$(pkg-config --cflags glib-2.0) ;;
		esac
		# twice: the guard works. Alone in the older standards; all of them, each time twice, are one file for the newer ones.
		printf '#include <%s>\n#include <%s>\n' "$name" "$name" >>"$tmp"
		printf '#include <%s>\n#include <%s>\nint main(void) { return 0; }\n' "$name" "$name" |
			# shellcheck disable=SC2086
			cc -std=c11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I"$1" $flags -xc - || exit 1
		printf '#include <%s>\n#include <%s>\nint main() { return 0; }\n' "$name" "$name" |
			# shellcheck disable=SC2086
			c++ -std=c++11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I"$1" $flags -xc++ - || exit 1
		echo "$name"
	done
	flags=$(pkg-config --cflags glib-2.0)
	for standard in "cc -std=c17 -xc" "c++ -std=c++17 -xc++"; do
		# shellcheck disable=SC2086
		$standard -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I"$1" $flags - <"$tmp" || exit 1
	done
	# What begins a structure is one in all of them.
	for standard in "cc -std=c11 -xc" "cc -std=c17 -xc" "c++ -std=c++11 -xc++" "c++ -std=c++17 -xc++"; do
		# shellcheck disable=SC2086
		$standard -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I"$1" $flags - <<-END || exit 1
			#include <dsandbox/dsandbox.h>
			#if !DSB_CHECK_VERSION(0, 1, 0) || DSB_CHECK_VERSION(DSB_VERSION_MAJOR + 1, 0, 0)
			#error "versions"
			#endif
			int main(void)
			{
			    struct dsb_run_options options = DSB_RUN_OPTIONS_INIT;
			    struct dsb_request request = DSB_REQUEST_INIT;
			    return options.cancel_fd == DSB_FD_NONE && request.stdin_fd == DSB_FD_NONE && options.init == DSB_INIT;
			}
		END
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
		"$2"/dsandbox/session.h "$2"/dsandbox/files.h "$2"/dsandbox/result.h "$2"/dsandbox/run.h "$2"/dsandbox/admin.h | grep -vE '^dsb_error_quark$' | sort -u | while read -r name; do
		grep -qx "$name" "$tmp" || {
			echo "$name is declared and not exported" >&2
			exit 1
		}
	done
	wc -l <"$tmp"
	of_our_programs "$1" >"$tmp"
	test -s "$tmp"
	while read -r name; do
		if grep -qw "$name" "$2"/dsandbox/*.h || ! grep -qw "$name" "$2"/../common/objects.h; then
			echo "$name is of our own programs, and has its place in common/objects.h alone" >&2
			exit 1
		fi
	done <"$tmp"
	if grep -n json_object "$2"/dsandbox/*.h; then
		echo "public headers need no json-c" >&2
		exit 1
	fi
	# Nobody else's can take its place: what is linked in is not looked for. Where there is no static one, that cannot be.
	if [ "${DSB_TEST_STATIC_JSON:-1}" = 1 ] && nm -D --undefined-only "$1" | grep -E ' (json_|lh_|printbuf_|array_list_)'; then
		echo "these names of json-c are taken from whoever has them" >&2
		exit 1
	fi
}

# Embedders have no command line: what the library and its backends say has no option in it.
words() {
	if strings -n 6 "$@" | grep -E -- '[ (]--(base-dir|session|host|image|backend|plugin|engine-timeout|allow-unenforced)([ =),;]|$)'; then
		echo "these messages speak of options of the program" >&2
		exit 1
	fi
}

# The manual says of each function which thread may call it.
manual() {
	exported "$1" | while read -r name; do
		grep -qE "[ .]$name \\(\\)" "$2" || {
			echo "$name is not in $2" >&2
			exit 1
		}
	done
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

# Policies, what is below a session's directory, names, and results that are of its own making.
broker() {
	nm -D --undefined-only "$1" | awk '{ sub(/@.*/, "", $2); if ($2 ~ /^dsb_/) print $2 }' >"$tmp"
	test -s "$tmp"
	if grep -vxE 'dsb_(policy_[a-z0-9_]+|files?_[a-z_]+|controls?_(name|parse)|checkpoint_(name|parse)|status_name|version|default_base_dir|input_check|installation_mark|result_(from_error|object|status|free))' "$tmp"; then
		echo "these are for the processes of sessions" >&2
		exit 1
	fi
}

what=$1
shift
tmp=$(mktemp)
trap 'rm -f "$tmp"' EXIT
case $what in
headers) headers "$@" ;;
library) library "$@" ;;
words) words "$@" ;;
manual) manual "$@" ;;
plugins) plugins "$@" ;;
broker) broker "$@" ;;
*) exit 2 ;;
esac
