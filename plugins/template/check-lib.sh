# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# For a plugin's check.sh, which reads it with `.`: counts what passed and failed, and says it at the end. The caller has
# set -u; $top is the source of dsandbox, and not needed where a PREFIX is given.
umask 022
passed=0 failed=0 skipped=0
work=$(mktemp -d /tmp/dsb-plugin.XXXXXX) && chmod 0755 "$work" || exit 1

finish() {
	trap '' EXIT INT TERM HUP
	rm -rf --one-file-system "$work"
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
	exit
}
trap finish EXIT
trap 'failed=$((failed + 1)); echo "FAIL interrupted"; finish' INT TERM HUP

ok() {
	passed=$((passed + 1))
}
fail() {
	echo "FAIL $*"
	failed=$((failed + 1))
	sed 's/^/   | /' "$work/out" | tail -n 30
}

# run STATUS TEXT COMMAND...: the command ends with STATUS, and its output has TEXT.
run() {
	status=$1 text=$2
	shift 2
	timeout -s KILL 300 "$@" >"$work/out" 2>&1 </dev/null
	rc=$?
	if [ $rc -ne "$status" ]; then
		fail "$*: exit status $rc instead of $status"
	elif ! grep -qF -e "$text" "$work/out"; then
		fail "$*: no '$text' in its output"
	else
		grep -F -e "$text" "$work/out" | head -n 1 | sed 's/^ */   /'
		ok
	fi
}

need() { # what COMMAND...: nothing goes on without it
	what=$1
	shift
	timeout -s KILL 900 "$@" >"$work/out" 2>&1 </dev/null && return
	fail "$what"
	exit
}

# use PREFIX: the dsandbox that is installed there; "": one that is installed for this check, from $top.
use() {
	prefix=$1
	if [ -z "$prefix" ]; then
		echo "== install dsandbox"
		prefix=$work/prefix
		need "setting up dsandbox" meson setup --prefix="$prefix" -Dtests=disabled "$work/dsandbox" "$top"
		need "installing dsandbox" meson install -C "$work/dsandbox"
	fi
	pc=$(find "$prefix" -name dsandbox-plugin.pc | head -n 1)
	need "no dsandbox-plugin.pc under $prefix" test -n "$pc"
	PKG_CONFIG_PATH=$(dirname "$pc")
	export PKG_CONFIG_PATH
}
