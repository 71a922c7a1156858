#!/bin/sh
# SPDX-License-Identifier: MIT
# An embedder's first hour: the examples, built with what is installed under PREFIX and nothing else, run code on the
# engine of DSB_TEST_BACKEND and DSB_TEST_ENDPOINT, or are refused where controls are in DSB_TEST_ALLOW. Ends with
# "N passed, N failed, N skipped".
#   check.sh PREFIX
set -u
prefix=$1 passed=0 failed=0
top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name dsandbox.pc | head -n 1)")
export PKG_CONFIG_PATH
LD_LIBRARY_PATH=$(pkg-config --variable=libdir dsandbox)
export LD_LIBRARY_PATH
DSB_BACKEND=${DSB_TEST_BACKEND:-} DSB_HOST=${DSB_TEST_ENDPOINT:-} DSB_IMAGE=${DSB_TEST_IMAGE:-dsandbox-sandbox:latest}
DSB_BASE_DIR=$work/base
export DSB_BACKEND DSB_HOST DSB_IMAGE DSB_BASE_DIR

ok() { # name status
	if [ "$2" -eq 0 ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAIL $1"
		sed 's/^/   | /' "$work/log"
	fi
}

is() { # name expected-status expected-output command...
	name=$1 status=$2 expected=$3
	shift 3
	"$@" >"$work/out" 2>"$work/log"
	got=$?
	cat "$work/out" >>"$work/log"
	echo "exit status $got" >>"$work/log"
	[ $got -eq "$status" ] && [ "$(cat "$work/out")" = "$expected" ]
	ok "$name" $?
}

meet="import os, time
open('here', 'w').close()
while not os.path.exists('go'): time.sleep(0.05)"

let_meet() {
	turns=0
	until [ -e "$DSB_BASE_DIR/first/here" ] && [ -e "$DSB_BASE_DIR/second/here" ]; do
		turns=$((turns + 1))
		if [ $turns -gt 600 ]; then return; fi
		sleep 0.1
	done
	touch "$DSB_BASE_DIR/first/go" "$DSB_BASE_DIR/second/go"
}

# C and C++, each version that the headers promise.
for how in "cc -xc -std=c11" "cc -xc -std=c17" "c++ -xc++ -std=c++17"; do
	for name in embed embed-session embed-loop; do
		# shellcheck disable=SC2046,SC2086
		$how -Wall -Wextra -Wpedantic -Werror -o "$work/$name" "$top/examples/$name.c" \
			$(pkg-config --cflags --libs dsandbox) >"$work/log" 2>&1
		ok "$how $name.c" $?
	done
	if [ -z "$DSB_BACKEND" ]; then continue; fi
	if [ -n "${DSB_TEST_ALLOW:-}" ]; then # controls that the engine cannot hold here: nothing runs
		is "$how: refused" 126 "" "$work/embed"
		is "$how: a session is refused" 126 "" "$work/embed-session" "print('hi')"
		grep -q "the policy cannot be enforced: .* cannot limit $DSB_TEST_ALLOW here" "$work/log"
		ok "$how: with the controls" $?
		continue
	fi
	is "$how: prints" 0 42 "$work/embed"
	is "$how: the code's own exit status" 3 "" "$work/embed" "import sys; sys.exit(3)"
	is "$how: an exception" 1 "" "$work/embed" "1 / 0"
	grep -q "^ZeroDivisionError: division by zero" "$work/log"
	ok "$how: an exception's text" $?
	case $DSB_BACKEND in # that start a program: how it ended cannot be known
	docker-cli) program=docker ;;
	oci) program=runc ;;
	*) program='' ;;
	esac
	if [ -n "$program" ]; then
		is "$how: SIGCHLD is ignored" 125 "" env --ignore-signal=CHLD "$work/embed"
		grep -q "how the $program program .* ended is not known: this program ignores SIGCHLD" "$work/log"
		ok "$how: it says so" $?
	else
		is "$how: SIGCHLD is ignored" 0 42 env --ignore-signal=CHLD "$work/embed"
	fi
	is "$how: a session" 0 "$(printf "hi\n42")" "$work/embed-session" "x = 41; print('hi')" "x + 1"
	# Both wait until both are there: one after the other they would not come to an end.
	rm -rf "$DSB_BASE_DIR/first" "$DSB_BASE_DIR/second"
	let_meet &
	is "$how: two sessions at once" 0 "$(printf "first: ok\nsecond: ok")" "$work/embed-loop" "$meet" "$meet"
	wait
done

# A program with functions of its own that have names of json-c's.
cc -rdynamic -o "$work/embed-json" "$top/examples/embed.c" "$top/tests/embed/json_names.c" \
	$(pkg-config --cflags --libs dsandbox) >"$work/log" 2>&1
ok "cc embed.c json_names.c" $?
if [ -n "$DSB_BACKEND" ] && [ -z "${DSB_TEST_ALLOW:-}" ]; then
	is "names of json-c's: prints" 0 42 "$work/embed-json"
fi

# Another language, which sees the library through its headers alone: for two engines, since it takes long to build.
case $DSB_BACKEND in docker-api | podman)
	if [ -z "${DSB_TEST_ALLOW:-}" ]; then
		GOCACHE=$work/go GOPATH=$work/gopath GOTOOLCHAIN=local CGO_ENABLED=1 \
			go build -o "$work/embed-go" "$top/examples/embed.go" >"$work/log" 2>&1
		ok "go build embed.go" $?
		is "Go: prints" 0 42 "$work/embed-go"
		is "Go: the code's own exit status" 3 "" "$work/embed-go" "import sys; sys.exit(3)"
		is "Go: an exception" 1 "" "$work/embed-go" "1 / 0"
		grep -q "^ZeroDivisionError: division by zero" "$work/log"
		ok "Go: an exception's text" $?
		DSB_BACKEND=nonesuch is "Go: a failure" 125 "" "$work/embed-go"
		grep -q "^nothing ran: no backend plugin \"nonesuch\"" "$work/log"
		ok "Go: a failure's text" $?
		chmod -R u+w "$work/gopath" 2>/dev/null # where modules are read-only
	fi
	;;
esac
echo "$passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ]
