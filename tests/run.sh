#!/bin/sh
# SPDX-License-Identifier: MIT
# All tests, from nothing: installs what is missing, builds, starts private engines, runs, stops them.
#
#   sh tests/run.sh [SET-UP...]     default: docker-api docker-cli podman podman-rootless
#
#   DSB_TEST_BUILD      build directory (build-test)
#   DSB_TEST_MUST_RUN   set-ups that may not be skipped, "docker-api podman"
#   DSB_TEST_ONLY       steps to run, as below at only=
#   DSB_TEST_SESSIONS   sessions at once in tests/service (50), and DSB_TEST_EXECUTIONS of all of them (1000)
#   DSB_TEST_FUZZ       seconds for each fuzz target (60)
#   DSB_RIG_DIR         where tests/rig keeps its image cache
#
# The last line is "N passed, N failed, N skipped"; the exit status is 0 only if nothing failed and something passed.
# What a step printed is in BUILD/test-logs/. Three lanes run beside each other: Docker's set-ups; what needs no engine and
# Podman's set-ups; and, behind them, compilers, the guest with cgroup v2 and the fuzzing.
set -u
umask 022
cd "$(dirname "$0")/.." || exit 1

top=$PWD
build=${DSB_TEST_BUILD:-build-test}
only=${DSB_TEST_ONLY:-unit install cli service python conformance power faults compilers vm fuzz}
must=${DSB_TEST_MUST_RUN:-}
rig=tests/rig/rig.sh
setups=${*:-docker-api docker-cli podman podman-rootless}
passed=0 failed=0 skipped=0
child='' lanes='' stop_rig='' ended='' work=''
logs=$build/test-logs

for s in $setups $must; do
	case $s in
	docker-api | docker-cli | podman | podman-rootless) ;;
	*)
		echo "tests/run.sh: unknown set-up '$s' (docker-api docker-cli podman podman-rootless)" >&2
		exit 2
		;;
	esac
done

has() { # word list...
	word=$1
	shift
	case " $* " in *" $word "*) return 0 ;; esac
	return 1
}

# A step that is one test.
pass() {
	echo "   passed $took"
	passed=$((passed + 1))
}

fail() {
	echo "FAIL $*"
	failed=$((failed + 1))
}

skip() { # set-up reason...
	if has "$1" "$must"; then
		fail "$*: skipped, and DSB_TEST_MUST_RUN names it"
	else
		echo "SKIP $*"
		skipped=$((skipped + 1))
	fi
}

# --- end --------------------------------------------------------------------

terminate() { # pid tenths-of-a-second
	kill -TERM "$1" 2>/dev/null
	n=0
	while kill -0 "$1" 2>/dev/null && [ $n -lt "$2" ]; do
		n=$((n + 1))
		sleep 0.1
	done
}

# End what runs: a step is the leader of a process group of its own (timeout makes one), a lane ends its own step.
end_children() {
	for l in $lanes; do terminate "${l%%:*}" 300; done
	lanes=''
	[ -n "$child" ] || return 0
	terminate "$child" 50
	kill -KILL -- "-$child" 2>/dev/null
	child=''
}

finish() {
	[ -z "$ended" ] || return 0
	ended=1
	end_children
	if [ -n "$stop_rig" ]; then
		echo "== stop the engines"
		timeout -s KILL 180 sh $rig down >"$logs/rig-down.log" 2>&1 || fail "tests/rig/rig.sh down, see $logs/rig-down.log"
	fi
	[ -z "$work" ] || rm -rf --one-file-system "$work"
	echo "$passed passed, $failed failed, $skipped skipped"
	[ $failed -eq 0 ] && [ $passed -gt 0 ]
}

interrupted() {
	trap '' INT TERM HUP
	fail "interrupted"
	finish
	exit "$1"
}
trap 'finish; exit $?' EXIT
trap 'interrupted 130' INT
trap 'interrupted 143' TERM
trap 'interrupted 129' HUP

# --- steps ------------------------------------------------------------------

# step NAME SECONDS COMMAND...: run with a hard end, output to a log; shows the log's end when it fails.
step() {
	name=$1 seconds=$2
	shift 2
	log=$logs/$name.log
	echo "== $name"
	began=$(date +%s)
	# Background and wait, so that a signal is answered at once. INT would be ignored in the background.
	timeout -s KILL "$seconds" env --default-signal=INT,QUIT "$@" >"$log" 2>&1 </dev/null &
	child=$!
	wait $child
	rc=$?
	child='' took="in $(($(date +%s) - began)) s"
	[ $rc -ne 137 ] || echo "killed, or no end within $seconds s" >>"$log"
	[ $rc -eq 0 ] || tail -n "${DSB_TEST_TAIL:-60}" "$log" | sed 's/^/   | /'
	return $rc
}

# suite NAME SECONDS COMMAND...: a step whose log ends with "N passed, N failed, N skipped".
suite() {
	step "$@"
	rc=$?
	log=$logs/$1.log
	grep -E '^ *(SKIP|\.\.\. skipped)|[.]{3} skipped' "$log" | sed 's/^/   /' | sort | uniq -c | sort -rn | head -n 40
	line=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$log" | tail -n 1)
	if [ -z "$line" ]; then
		fail "$1: no summary (exit status $rc), see $log"
		return
	fi
	echo "   $line $took"
	# shellcheck disable=SC2086
	set -- "$1" $line
	passed=$((passed + $2))
	failed=$((failed + $4))
	skipped=$((skipped + $6))
	if [ $rc -ne 0 ] && [ "$4" -eq 0 ]; then
		fail "$1: exit status $rc, see $log"
	elif [ "$2" -eq 0 ] && [ "$4" -eq 0 ]; then
		fail "$1: nothing passed"
	fi
}

# A lane is this script once more, beside this one: a session of its own, and a part of the steps.
start_lane() { # name command...
	name=$1
	shift
	DSB_TEST_LANE=$name setsid "$@" >"$logs/lane-$name.log" 2>&1 </dev/null &
	lanes="$lanes $!:$name"
}

# What needs much processor time and none of the rig's engines runs behind the rest (nice).
start_beside() {
	beside=''
	for s in compilers vm fuzz; do
		if has $s "$only"; then beside="$beside $s"; fi
	done
	[ -n "$beside" ] || return 0
	# Where the kernel shares by session (autogroup), nice alone would not tell it from the engines.
	# shellcheck disable=SC2016
	DSB_TEST_ONLY=$beside start_lane beside sh -c 'echo 15 >/proc/self/autogroup
		exec nice -n 15 sh tests/run.sh'
}

end_lanes() {
	while [ -n "$lanes" ]; do
		# shellcheck disable=SC2086
		set -- $lanes
		name=${1#*:}
		wait "${1%%:*}"
		shift
		lanes=$*
		echo "== lane: $name"
		sed '$d; s/^/   /' "$logs/lane-$name.log"
		# shellcheck disable=SC2046
		set -- $(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$logs/lane-$name.log" | tail -n 1)
		if [ $# -ne 6 ]; then
			fail "$name: no summary, see $logs/lane-$name.log"
			continue
		fi
		passed=$((passed + $1)) failed=$((failed + $3)) skipped=$((skipped + $5))
	done
}

unit() {
	rm -f "$build/meson-logs/testlog.json"
	DSB_TEST_TAIL=0 step unit 900 meson test -C "$build" --no-rebuild
	rc=$?
	counts=$(python3 - "$build/meson-logs/testlog.json" <<-'END'
	import json, sys
	count = {"passed": 0, "failed": 0, "skipped": 0}
	for line in open(sys.argv[1], encoding="utf-8"):
	    test = json.loads(line)
	    kind = {"OK": "passed", "EXPECTEDFAIL": "passed", "SKIP": "skipped"}.get(test["result"], "failed")
	    count[kind] += 1
	    if kind != "passed":
	        print(f'   {"SKIP" if kind == "skipped" else "FAIL"} unit: {test["name"]}: {test["result"]}', file=sys.stderr)
	    if kind == "failed":
	        text = (test.get("stdout", "") + test.get("stderr", "")).splitlines()
	        print("\n".join("   | " + line for line in text[-40:]), file=sys.stderr)
	print(count["passed"], count["failed"], count["skipped"])
	END
	) || {
		fail "unit: no test log (exit status $rc), see $logs/unit.log"
		return
	}
	# shellcheck disable=SC2086
	set -- $counts
	echo "   $1 passed, $2 failed, $3 skipped $took"
	passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
	[ $rc -eq 0 ] || [ "$2" -gt 0 ] || fail "unit: exit status $rc, see $logs/unit.log"
	[ "$1" -gt 0 ] || [ "$2" -gt 0 ] || fail "unit: nothing passed"
}

# The other compiler, warnings as errors; and everything that needs no engine once more under the sanitizers.
compilers() {
	# shellcheck disable=SC2016
	step clang 900 sh -eu -c '
		CC=clang meson setup "$1/clang" -Dwerror=true -Dtests=enabled
		meson compile -C "$1/clang"' sh "$work" && pass || fail "clang, see $logs/clang.log"
	# shellcheck disable=SC2016
	step sanitizers 1200 sh -eu -c '
		meson setup "$1/sanitize" -Dtests=enabled -Db_sanitize=address,undefined -Dwerror=true
		meson compile -C "$1/sanitize"
		meson test -C "$1/sanitize" --no-rebuild --print-errorlogs --timeout-multiplier 4' sh "$work" &&
		pass || fail "sanitizers, see $logs/sanitizers.log"
	DSB_TEST_PROGRAM=$work/sanitize/cli/dsandbox DSB_TEST_WORK=$work/sanitized
	export DSB_TEST_PROGRAM DSB_TEST_WORK
	mkdir -p "$DSB_TEST_WORK"
	suite cli-sanitized 900 python3 tests/cli/test_cli.py
	rm -rf --one-file-system "$work/clang" "$work/sanitize"
}

# Variables that describe set-up $1 to a suite.
define() {
	DSB_TEST_SETUP=$1 DSB_TEST_AS='' DSB_TEST_PROGRAM=$program
	DSB_TEST_WORK=$work/$1 DSB_TEST_IMAGE=${DSB_RIG_IMAGE:-dsandbox-sandbox:latest}
	case $1 in
	docker-*) DSB_TEST_BACKEND=$1 DSB_TEST_ENDPOINT=${DSB_RIG_DOCKER_HOST:-} ;;
	podman) DSB_TEST_BACKEND=podman DSB_TEST_ENDPOINT=${DSB_RIG_PODMAN_SOCKET:-} ;;
	podman-rootless)
		DSB_TEST_BACKEND=podman DSB_TEST_ENDPOINT=${DSB_RIG_ROOTLESS_SOCKET:-}
		DSB_TEST_AS=${DSB_RIG_ROOTLESS_RUN:-}
		if [ "$copy" != "$top" ]; then
			DSB_TEST_PROGRAM=$copy/build/cli/dsandbox DSB_TEST_EXAMPLES=$copy/examples
			export DSB_TEST_EXAMPLES
		fi
		;;
	esac
	export DSB_TEST_SETUP DSB_TEST_BACKEND DSB_TEST_ENDPOINT DSB_TEST_AS DSB_TEST_PROGRAM DSB_TEST_WORK DSB_TEST_IMAGE
	[ -n "$DSB_TEST_ENDPOINT" ] || return 1
	mkdir -p "$DSB_TEST_WORK"
	[ -z "$DSB_TEST_AS" ] || chown "$DSB_RIG_ROOTLESS_USER:" "$DSB_TEST_WORK"
}

# The rootless user must be able to read the program. Where it cannot read this directory, a copy is built elsewhere.
readable_copy() {
	copy=$top
	[ -n "${DSB_RIG_ROOTLESS_RUN:-}" ] || return 0
	"$DSB_RIG_ROOTLESS_RUN" test -x "$program" 2>/dev/null && "$DSB_RIG_ROOTLESS_RUN" test -r "$top/examples/hello.py" && return
	copy=$work/copy
	# shellcheck disable=SC2016
	step copy 600 sh -c '
		mkdir "$1" && tar --exclude=./build* --exclude=./.git -cf - . | tar -C "$1" -xf - &&
		meson setup "$1/build" "$1" -Dtests=enabled && meson compile -C "$1/build"' sh "$copy"
}

# An installation under a prefix of its own finds its plugins, its guest files and its manual pages.
installation() {
	# shellcheck disable=SC2016
	step install 600 sh -eu -c '
		prefix=$1/installed
		meson setup "$1/build-install" --prefix="$prefix" --buildtype=release -Dtests=disabled
		meson install -C "$1/build-install"
		rm -rf "$1/build-install"
		"$prefix/bin/dsandbox" version
		"$prefix/bin/dsandbox" serve --help
		"$prefix/bin/dsandbox" backend ls >"$1/ls"
		for b in docker-api docker-cli podman; do grep "^$b " "$1/ls"; done
		test -s "$prefix/share/man/man1/dsandbox.1"
		test "$("$prefix/bin/dsandbox" conformance --list | wc -l)" -gt 100
		case $(findmnt -no OPTIONS --target "$1") in
		*nosuid*) ;;
		*)
			install -o nobody -m 4755 "$prefix/bin/dsandbox" "$prefix/bin/secure"
			! "$prefix/bin/secure" version 2>"$1/secure"
			grep "must not be set-user-id" "$1/secure"
			;;
		esac
		export PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name "*.pc" | head -n 1)")
		pkg-config --modversion dsandbox
		test -d "$(pkg-config --variable=plugindir dsandbox)"
		echo "#include <dsandbox/dsandbox.h>
		int main(void) { return dsb_version() == NULL; }" >"$1/embed.c"
		cc -o "$1/embed" "$1/embed.c" $(pkg-config --cflags --libs dsandbox)
		LD_LIBRARY_PATH=$(pkg-config --variable=libdir dsandbox) "$1/embed"' sh "$work" && pass || fail "install"
}

# Controls that the engine of this set-up cannot hold here, as the program itself says. Rootless on cgroup v1 only.
unenforced() {
	[ "$DSB_TEST_SETUP" = podman-rootless ] || return 0
	timeout -s KILL 120 "$DSB_TEST_AS" "$DSB_TEST_PROGRAM" --backend podman --host "$DSB_TEST_ENDPOINT" run --json \
		--base-dir "$DSB_TEST_WORK/probe" -c pass 2>/dev/null | python3 -c '
import json, sys
result = json.load(sys.stdin)
if result["status"] == "refused":
    print(",".join(c["name"] for c in result["policy"]["controls"] if c["verdict"] == "refused"))'
}

# A suite as the engine's user, whose wrapper clears the environment. Its work directory is NAME's.
as_user() { # name seconds command...
	name=$1 seconds=$2 mine=$DSB_TEST_WORK/${1%%-*}
	shift 2
	mkdir -p "$mine"
	[ -z "$DSB_TEST_AS" ] || chown "$DSB_RIG_ROOTLESS_USER:" "$mine"
	suite "$name" "$seconds" ${DSB_TEST_AS:+"$DSB_TEST_AS"} env DSB_TEST_SETUP="$DSB_TEST_SETUP" \
		DSB_TEST_BACKEND="$DSB_TEST_BACKEND" DSB_TEST_ENDPOINT="$DSB_TEST_ENDPOINT" DSB_TEST_IMAGE="$DSB_TEST_IMAGE" \
		DSB_TEST_PROGRAM="$DSB_TEST_PROGRAM" DSB_TEST_ALLOW="$(unenforced)" DSB_TEST_WORK="$mine" "$@"
}

conformance() {
	json=$logs/conformance-$1.json
	rm -f "$json"
	allow=$(unenforced)
	# shellcheck disable=SC2016
	suite "conformance-$1" 2700 sh -c 'json=$1
		shift
		"$@" >"$json"
		rc=$?
		python3 tests/conformance/summary.py "$json" || rc=1
		exit $rc' sh "$json" \
		${DSB_TEST_AS:+"$DSB_TEST_AS"} "$DSB_TEST_PROGRAM" conformance \
		--backend "$DSB_TEST_BACKEND" --host "$DSB_TEST_ENDPOINT" --image "$DSB_TEST_IMAGE" --setup "$1" ${allow:+--allow-unenforced "$allow"} --json
}

# The same questions have the same answers on every set-up, but for the waivers.
compare() {
	reports=''
	for s in docker-api docker-cli podman podman-rootless podman-rootless-v2; do
		if [ -s "$logs/conformance-$s.json" ]; then reports="$reports $logs/conformance-$s.json"; fi
	done
	# shellcheck disable=SC2086
	set -- $reports
	[ $# -ge 2 ] || return 0
	if step conformance-compare 60 "$program" conformance --html "$logs/conformance.html" --compare "$@"; then
		pass
	else
		fail "conformance-compare: set-ups answer differently, see $logs/conformance-compare.log"
	fi
}

# --- with an engine ---------------------------------------------------------

engine_of() { # set-up
	case $1 in
	docker-*) echo docker ;;
	podman) echo podman ;;
	*) echo rootless ;;
	esac
}

setup_steps() { # set-up
	if has cli "$only"; then
		suite "cli-$1" 1800 python3 tests/cli/test_cli.py
		suite "faults-$1" 900 python3 tests/cli/test_faults.py
		suite "probes-$1" 900 python3 tests/cli/test_probes.py
		suite "limits-$1" 600 python3 tests/cli/test_probes_limits.py
		suite "cli-session-$1" 900 python3 tests/cli/test_session.py
	fi
	if has service "$only"; then
		as_user "live-$1" 900 "${DSB_TEST_PROGRAM%/cli/dsandbox}/tests/session/dsandbox-test-session"
		suite "service-$1" 1800 python3 tests/service/test_service.py
	fi
	if has python "$only"; then
		for t in package dolphin; do
			suite "python-$t-$1" 900 python3 "$copy/tests/python/test_$t.py"
		done
	fi
	if has conformance "$only"; then
		conformance "$1"
		suite "posture-$1" 600 python3 tests/conformance/test_posture.py
		suite "seccomp-$1" 600 python3 tests/seccomp/test_seccomp.py
		[ "$1" != docker-api ] || suite "gvisor" 300 python3 tests/cli/test_gvisor.py
	fi
	# Whether the suite can go red.
	if has power "$only"; then as_user "mutate-$1" 1200 python3 "$copy/tests/conformance/mutate.py"; fi
	if has cli "$only"; then suite "runs-$1" 900 sh tests/long/runs.sh "${DSB_TEST_LONG:-300}" 2 10; fi
}

# Engines that are killed are this run's own, or nobody's.
fault_steps() { # set-up
	[ -n "$own_rig" ] && has faults "$only" || return 0
	DSB_TEST_RIG=$top/$rig suite "engine-$1" 1200 python3 tests/cli/test_engine_faults.py
}

engine_steps() { # set-up...
	for steps in setup_steps fault_steps; do
		for s; do
			if define "$s"; then $steps "$s"; fi
		done
	done
}

# --- prepare ----------------------------------------------------------------

mkdir -p "$logs" || exit 1
work=$(mktemp -d /tmp/dsb-test.XXXXXX) && chmod 0755 "$work" || exit 1
if [ "${DSB_TEST_LANE:-}" = beside ]; then
	program=$(cd "$build" && pwd)/cli/dsandbox
	if has vm "$only"; then
		suite vm 2400 sh tests/rig/vm.sh test "$build" "$logs/conformance-podman-rootless-v2.json"
		suite vm-clock 900 sh tests/rig/vm.sh root "$build" "python3 clock.py"
	fi
	if has compilers "$only"; then compilers; fi
	if has fuzz "$only"; then suite fuzz 2400 sh tests/fuzz/run.sh "${DSB_TEST_FUZZ:-60}"; fi
	exit
elif [ -n "${DSB_TEST_LANE:-}" ]; then
	program=$(cd "$build" && pwd)/cli/dsandbox
	copy=$DSB_TEST_COPY own_rig=$DSB_TEST_OWN_RIG
	# shellcheck disable=SC2086
	engine_steps $setups
	exit
fi

rm -f "$logs"/conformance-*.json
step install-packages 1500 sh tests/rig/install.sh build check engines vm || fail "install-packages: something is missing"
if [ -e "$build/build.ninja" ]; then
	step setup 300 meson setup --reconfigure "$build" -Dwerror=true -Dtests=enabled
else
	step setup 300 meson setup "$build" -Dwerror=true -Dtests=enabled
fi && step compile 1200 meson compile -C "$build" || {
	fail "the build"
	exit 1
}
program=$(cd "$build" && pwd)/cli/dsandbox

start_beside

# --- the engines ------------------------------------------------------------

here=''
if has cli "$only" || has service "$only" || has python "$only" || has conformance "$only" || has power "$only" || has faults "$only"; then
	rig_only=''
	for s in $setups; do
		e=$(engine_of "$s")
		has "$e" "$rig_only" || rig_only="$rig_only $e"
	done
	# Engines that ran before are somebody else's: they are used, not stopped.
	case $(timeout -s KILL 60 sh $rig env 2>/dev/null) in
	*_HOST=* | *_SOCKET=*) echo "the rig's engines run already: they stay up at the end" ;;
	*) stop_rig=1 ;;
	esac
	step rig 2400 env DSB_RIG_ONLY="${rig_only# }" sh $rig up || fail "tests/rig/rig.sh up"
	grep '^SKIP' "$logs/rig.log"
	timeout -s KILL 60 sh $rig env >"$work/env" 2>/dev/null
	set -a
	# shellcheck disable=SC1091
	. "$work/env"
	set +a
	readable_copy || fail "copy: no build that the rootless user can read"
	own_rig=$stop_rig
	# Docker's set-ups in a lane, Podman's here: each is alone with its engine.
	lane=''
	for s in $setups; do
		if ! define "$s"; then
			skip "$s" "its engine does not run: $(grep '^SKIP' "$logs/rig.log" | tr '\n' ';')"
		elif [ "$(engine_of "$s")" = docker ]; then
			lane="$lane $s"
		else
			here="$here $s"
		fi
	done
	# shellcheck disable=SC2086
	[ -z "$lane" ] || DSB_TEST_COPY=$copy DSB_TEST_OWN_RIG=$own_rig start_lane docker sh tests/run.sh $lane
fi

# --- without an engine ------------------------------------------------------

if has unit "$only"; then unit; fi
unset DSB_TEST_SETUP DSB_TEST_ENDPOINT DSB_TEST_BACKEND DSB_TEST_AS
DSB_TEST_PROGRAM=$program DSB_TEST_WORK=$work/none
export DSB_TEST_PROGRAM DSB_TEST_WORK
mkdir -p "$DSB_TEST_WORK"
if has cli "$only"; then
	suite cli 900 python3 tests/cli/test_cli.py
	suite cli-session 300 python3 tests/cli/test_session.py
fi
if has service "$only"; then suite service 900 python3 tests/service/test_service.py; fi
if has python "$only"; then
	for t in package dolphin; do suite "python-$t" 600 python3 tests/python/test_$t.py; done
fi
if has install "$only"; then
	installation
	suite template 600 sh plugins/template/check.sh
fi

# --- on Podman, and the end of the lanes ------------------------------------

# shellcheck disable=SC2086
engine_steps $here
end_lanes
compare
exit
