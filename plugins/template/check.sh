#!/bin/sh
# SPDX-License-Identifier: MIT
# The template as its author will use it: installs dsandbox under a prefix of its own, builds the template out of the
# tree against that, loads it, and looks whether mistakes and leaks are found and named.
#
#   sh plugins/template/check.sh [PREFIX]     PREFIX: an installed dsandbox; default: installs one, and removes it
#
# The last line is "N passed, N failed, N skipped"; the exit status is 0 only if nothing failed.
set -u
here=$(cd "$(dirname "$0")" && pwd) || exit 1
top=$(cd "$here/../.." && pwd) || exit 1
# shellcheck source=plugins/template/check-lib.sh
. "$here/check-lib.sh"

# build NAME OPTION...: the template, from a copy: nothing of this repository is beside it.
build() {
	name=$1
	shift
	need "building the template ($name)" meson setup "$@" "$work/$name" "$work/source"
	need "building the template ($name)" meson compile -C "$work/$name"
}

use "${1:-}"
dsandbox=$prefix/bin/dsandbox
mkdir "$work/source"
cp "$here"/*.c "$here"/meson* "$work/source/"

echo "== build the template out of the tree"
build template -Dwerror=true -Dwrong=true
plugin=$work/template/libdsandbox-template.so

echo "== it needs the headers alone"
run 0 'none' sh -c 'test -z "$(pkg-config --print-requires --print-requires-private dsandbox-plugin)" && echo none'
run 0 'alone' sh -c "readelf -d '$plugin' | grep NEEDED | grep -v 'libc\.so' || echo alone"

echo "== load it"
run 0 'engine       template 1 at memory' "$dsandbox" --plugin "$plugin" backend show template
run 0 '"usable":true' "$dsandbox" --json --plugin "$plugin" backend show
run 125 'the engine said: the template runs nothing' "$dsandbox" --plugin "$plugin" --base-dir "$work/base" run -c pass
run 125 'leave --host out' "$dsandbox" --plugin "$plugin" --host tcp://127.0.0.1:1 --base-dir "$work/base" run -c pass
run 0 ", 0 failed," "$dsandbox" conformance --plugin "$plugin" --contract

echo "== installed, it is found by its name"
DESTDIR=$work/staged need "installing the template" meson install -C "$work/template"
[ -z "${1:-}" ] && cp "$plugin" "$(pkg-config --variable=plugindir dsandbox-plugin)/" &&
	run 0 'engine       template 1 at memory' "$dsandbox" backend show template

echo "== mistakes"
wrong() { # name text
	run 125 "$2" "$dsandbox" --plugin "$work/template/libdsandbox-wrong-$1.so" --base-dir "$work/base" run -c pass
}
wrong magic 'is not a dsandbox plugin'
wrong major 'was built for plugin ABI 2, this dsandbox has 3; change the plugin as dsandbox-plugin(7) says under Versions, and rebuild it'
wrong name 'has no valid name; it must match [a-z0-9-]{1,32}'
wrong null 'dsb_plugin_entry returned NULL'
wrong operation 'lacks the mandatory operation "destroy"'
wrong symbol 'does not export dsb_plugin_entry'
run 125 'it must be absolute' "$dsandbox" --plugin libdsandbox-template.so run -c pass
chmod g+w "$plugin"
run 125 'writable by others' "$dsandbox" --plugin "$plugin" run -c pass
chmod g-w "$plugin"

echo "== leaks"
leak() { # what text
	build "leak-$1" "-Dleak=$1"
	run 1 "$2" "$dsandbox" conformance --plugin "$work/leak-$1/libdsandbox-template.so" --contract
}
leak containers 'leaked containers: after destroy there is still'
leak descriptors 'leaked descriptors: 40 more after 40 lives'
leak memory 'leaked memory:'
leak network 'leaks into the sandbox, and is refused: network (asked: none, there is: full'
leak mount 'leaks into the sandbox, and is refused: volume'
leak capabilities 'leaks into the sandbox, and is refused: capabilities'
run 126 'capabilities' "$dsandbox" --plugin "$work/leak-capabilities/libdsandbox-template.so" \
	--base-dir "$work/base" run -c pass
exit
