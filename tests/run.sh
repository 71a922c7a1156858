#!/bin/sh
# SPDX-License-Identifier: MIT
# All tests, from nothing: installs what is missing, builds, starts private engines, runs, stops them.
#
#   sh tests/run.sh [SET-UP...]     default: docker-api docker-cli podman podman-rootless oci
#
#   DSB_TEST_BUILD      build directory (build-test)
#   DSB_TEST_MUST_RUN   set-ups that may not be skipped, "docker-api podman"
#   DSB_TEST_ONLY       steps to run, as below at only=
#   DSB_TEST_EVERYWHERE all that needs an engine on each set-up, not only where the answer can differ (asks in setups.sh)
#   DSB_TEST_SESSIONS   sessions at once in tests/service (50), and DSB_TEST_EXECUTIONS of all of them (1000)
#   DSB_TEST_FUZZ       for each fuzz target: seconds, or runs with an x behind (20000x)
#   DSB_TEST_GALLERY_EVERY   every Nth program of matplotlib's gallery (20)
#   DSB_TEST_MIXTURE    seconds of random faults and honest executions in tests/edges (45)
#   DSB_TEST_SCHEDULE   seconds of random use of the service under each sanitizer (90)
#   DSB_TEST_SOAK       seconds of hostile executions, deaths and cancels against one service in tests/redteam (60)
#   DSB_TEST_JUNIT      a file for all of the results, as JUnit
#   DSB_RIG_DIR         where tests/rig keeps its image cache
#
# The last line is "N passed, N failed, N skipped"; the exit status is 0 only if nothing failed and something passed.
# Before it stands where the time went, and what failed. What a step printed is in BUILD/test-logs/. Four lanes run beside each other:
# Docker's set-ups; what needs no engine and Podman's set-ups; what kills and stops its engines, which are its own; and,
# behind them, compilers, the guest with cgroup v2 and the fuzzing. What needs no engine is one `meson test --setup
# whole`, in this build and once more with sanitizers.
set -u
umask 022
cd "$(dirname "$0")/.." || exit 1

top=$PWD
build=${DSB_TEST_BUILD:-build-test}
only=${DSB_TEST_ONLY:-unit install cli service python frameworks conformance power redteam edges fidelity faults compilers vm fuzz}
must=${DSB_TEST_MUST_RUN:-}
schedule=${DSB_TEST_SCHEDULE:-90}
rig=tests/rig/rig.sh
setups=${*:-docker-api docker-cli podman podman-rootless oci}
passed=0 failed=0 skipped=0
child='' lanes='' stop_rig='' ended='' work=''
lane_name=${DSB_TEST_LANE:-main}
logs=$build/test-logs

for s in $setups $must; do
	case $s in
	docker-api | docker-cli | podman | podman-rootless | oci) ;;
	*)
		echo "tests/run.sh: unknown set-up '$s' (docker-api docker-cli podman podman-rootless oci)" >&2
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

# For tests/rig/junit.py: what became of a step.
verdict() { # passed|failed|skipped|suite|meson step-or-text numbers...
	(IFS='	' && echo "$*") >>"$logs/verdicts"
}

# A step that is one test.
pass() {
	echo "   passed $took"
	passed=$((passed + 1))
	verdict passed "$name"
}

fail() {
	echo "FAIL $*"
	failed=$((failed + 1))
	verdict failed "$*"
}

skip() { # set-up reason...
	if has "$1" "$must"; then
		fail "$*: skipped, and DSB_TEST_MUST_RUN names it"
	else
		echo "SKIP $*"
		skipped=$((skipped + 1))
		verdict skipped "$*"
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

# Where the time went: each lane, and the steps that took longest. Lanes run beside each other.
where_time_went() {
	[ -s "$logs/times" ] || return 0
	echo "== where the time went, in seconds"
	awk '{ lane[$2] += $1; n[$2]++ } END { for (l in lane) printf "   %6d lane %s, %d steps\n", lane[l], l, n[l] }' "$logs/times" | sort -rn
	awk '{ kind = $3; sub(/-(docker-api|docker-cli|podman|podman-rootless|oci)$/, "", kind); s[kind] += $1; n[kind]++ }
		END { for (k in s) printf "   %6d %s (%d)\n", s[k], k, n[k] }' "$logs/times" | sort -rn | head -n 25
}

# Sessions outlive their service, and both a step that was cut off.
end_sessions() {
	for exe in /proc/[0-9]*/exe; do
		pid=${exe#/proc/} pid=${pid%/exe}
		case $(readlink "$exe") in
		"$top"/build*/service/dsandbox-* | "${work:-/nonexistent}"/*) echo "left by a step, and ended: $(tr '\0' ' ' </proc/"$pid"/cmdline)" && kill -KILL "$pid" ;;
		esac
	done 2>/dev/null
}

finish() {
	[ -z "$ended" ] || return 0
	ended=1
	end_children
	[ "$lane_name" != main ] || end_sessions
	if [ -n "$stop_rig" ]; then
		echo "== stop the engines"
		timeout -s KILL 180 sh $rig down >"$logs/rig-down-$lane_name.log" 2>&1 || fail "tests/rig/rig.sh down, see $logs/rig-down-$lane_name.log"
	fi
	[ -z "$work" ] || rm -rf --one-file-system "$work"
	[ "$lane_name" != main ] || where_time_went
	if [ "$lane_name" = main ] && [ -n "${DSB_TEST_JUNIT:-}" ]; then
		python3 tests/rig/junit.py "$logs" "$DSB_TEST_JUNIT" "$passed" "$failed" "$skipped" || fail "junit: see above"
	fi
	if [ "$lane_name" = main ] && [ $failed -gt 0 ] && [ -s "$logs/verdicts" ]; then
		echo "== what failed"
		python3 tests/rig/junit.py "$logs"
	fi
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
	name=$1 seconds=$(($2 * slow))
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
	echo "$(($(date +%s) - began)) $lane_name $name" >>"$logs/times"
	[ $rc -ne 137 ] || echo "killed, or no end within $seconds s" >>"$log"
	[ $rc -eq 0 ] || grep -av '^case [a-z]* [0-9.]* ' "$log" | tail -n "${DSB_TEST_TAIL:-60}" | sed 's/^/   | /'
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
	verdict suite "$1" "$2" "$4" "$6"
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
	DSB_TEST_ONLY=$beside start_lane beside sh -c 'echo 5 >/proc/self/autogroup
		exec nice -n 5 sh tests/run.sh'
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

# meson_tests NAME SECONDS BUILD ARGUMENT...: what needs no engine, by `meson test`.
meson_tests() {
	made=$3/meson-logs/testlog-whole.json dir=$3
	testlog=$logs/$1.testlog.json
	rm -f "$made" "$testlog"
	test_step=$1 seconds=$2
	shift 3
	DSB_TEST_TAIL=0 step "$test_step" "$seconds" meson test -C "$dir" --no-rebuild --setup whole "$@"
	rc=$?
	cp "$made" "$testlog" 2>/dev/null
	counts=$(python3 tests/rig/mesonlog.py "$testlog") || {
		fail "$test_step: no test log (exit status $rc), see $logs/$test_step.log"
		return
	}
	# shellcheck disable=SC2086
	set -- $counts
	echo "   $1 passed, $2 failed, $3 skipped $took"
	verdict meson "$test_step"
	passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
	[ $rc -eq 0 ] || [ "$2" -gt 0 ] || fail "$test_step: exit status $rc, see $logs/$test_step.log"
	[ "$1" -gt 0 ] || [ "$2" -gt 0 ] || fail "$test_step: nothing passed"
}

# The other compiler with warnings as errors, and everything that needs no engine once more under its sanitizers: in the
# build that the fuzzing uses.
compilers() {
	DSB_FUZZ_BUILD=${DSB_FUZZ_BUILD:-build-fuzz}
	export DSB_FUZZ_BUILD
	# shellcheck disable=SC2016
	step clang 1200 sh -eu -c 'sh tests/fuzz/build.sh "$1" && meson compile -C "$1"' sh "$DSB_FUZZ_BUILD" && pass ||
		fail "clang, see $logs/clang.log"
	# Not again: what runs none of our C, the package, which is Python, and the guest, whose process 1 is not instrumented.
	DSB_TEST_SCHEDULE="$schedule" ASAN_OPTIONS=detect_stack_use_after_return=1 \
		meson_tests sanitizers 2400 "$DSB_FUZZ_BUILD" --no-suite python --no-suite guest --no-suite static --timeout-multiplier $((4 * slow))
	# shellcheck disable=SC2016
	step threads 1200 sh -eu -c '
		meson setup "$1/threads" -Dtests=enabled -Db_sanitize=thread
		# of all that there is only what is asked here
		meson compile -C "$1/threads" dsandbox:executable dsandbox-serve dsandbox-session guest-files client-tool \
			test-session test-session_embedded test-stepping dsandbox-memory dsandbox-fault
		# GLib gives memory of its own from thread to thread, which is not seen either
		G_SLICE=always-malloc TSAN_OPTIONS=suppressions=$2/tests/service/tsan.supp meson test -C "$1/threads" --no-rebuild --print-errorlogs \
			--timeout-multiplier $((4 * $3)) session session_embedded stepping' sh "$work" "$top" "$slow" && pass || fail "threads, see $logs/threads.log"
	DSB_TEST_PROGRAM=$work/threads/cli/dsandbox DSB_TEST_WORK=$work/sanitized
	export DSB_TEST_PROGRAM DSB_TEST_WORK
	mkdir -p "$DSB_TEST_WORK"
	suite service-threads 900 env TSAN_OPTIONS="suppressions=$top/tests/service/tsan.supp" DSB_TEST_SCHEDULE="$schedule" \
		python3 tests/service/test_service.py -k schedule -k transfers -k again
	rm -rf --one-file-system "$work/threads"
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
		LD_LIBRARY_PATH=$(pkg-config --variable=libdir dsandbox) "$1/embed"
		touch "$prefix/made"' sh "$work" && pass || fail "install"
}

# shellcheck source=tests/rig/setups.sh
. tests/rig/setups.sh

# --- with an engine ---------------------------------------------------------

# The engines of these set-ups, and where they are.
start_rig() { # set-up...
	rig_only=''
	for s; do
		e=$(engine_of "$s")
		[ "$e" = oci ] || has "$e" "$rig_only" || rig_only="$rig_only $e"
	done
	[ -n "$rig_only" ] || return 0
	step "$rig_step" 2400 env DSB_RIG_ONLY="${rig_only# }" sh $rig up
	case $? in
	0 | 3) ;; # what does not run here is skipped, below
	*) fail "tests/rig/rig.sh up" ;;
	esac
	grep '^SKIP' "$logs/$rig_step.log"
	timeout -s KILL 60 sh $rig env >"$work/env" 2>/dev/null
	set -a
	# shellcheck disable=SC1091
	. "$work/env"
	set +a
}

# What kills and stops its engines, beside the others; rootless Podman, whose user there is once, is not among them.
start_edges() {
	beside=''
	for s in edges faults; do
		if has $s "$only"; then beside="$beside $s"; fi
	done
	rootful=''
	for s in $setups; do
		[ "$s" = podman-rootless ] || [ "$s" = oci ] || rootful="$rootful $s"
	done
	[ -n "$beside" ] && [ -n "$rootful" ] || return 0
	state=$(sh $rig dir) || {
		fail "tests/rig/rig.sh dir: edges and faults do not run"
		return
	}
	# shellcheck disable=SC2086
	DSB_TEST_ONLY=$beside DSB_RIG_DIR=$state/edges DSB_RIG_IMAGES=${DSB_RIG_IMAGES:-$state/image} start_lane edges sh tests/run.sh $rootful
}

# --- prepare ----------------------------------------------------------------

mkdir -p "$logs" || exit 1
[ "$lane_name" != main ] || { : >"$logs/times" && : >"$logs/verdicts"; }
# Hard ends are for what hangs: on a busy machine they come later.
slow=$(python3 tests/rig/speed.py) || exit 1
slow=${slow%.*}
work=$(mktemp -d /tmp/dsb-test.XXXXXX) && chmod 0755 "$work" || exit 1
installed=$work/installed
if [ "${DSB_TEST_LANE:-}" = beside ]; then
	program=$(cd "$build" && pwd)/cli/dsandbox
	if has vm "$only" && ! command -v linux.uml >/dev/null; then
		skip podman-rootless "vm: linux.uml is not here (Debian's package user-mode-linux)"
	elif has vm "$only"; then
		DSB_VM_SECONDS=$((1200 * slow))
		export DSB_VM_SECONDS
		suite vm 2400 sh tests/rig/vm.sh test "$build" "$logs/conformance-podman-rootless-v2.json"
		suite vm-guest 1500 sh tests/rig/vm.sh root "$build" "python3 src/tests/rig/guest.py"
		suite vm-edges 900 sh tests/rig/vm.sh edges "$build" -k Killed -k Mixture
	fi
	if has compilers "$only"; then compilers; fi
	if has fuzz "$only"; then suite fuzz 2400 sh tests/fuzz/run.sh "${DSB_TEST_FUZZ:-20000x}"; fi
	exit
elif [ "$lane_name" = edges ]; then
	program=$(cd "$build" && pwd)/cli/dsandbox
	stop_rig=1 rig_step=rig-edges together=$(echo " $setups " | sed 's/ docker-cli / /') # which has no edges
	# shellcheck disable=SC2086
	start_rig $setups
	for s in $setups; do
		define "$s" || skip "$s" "its engine does not run: $(grep '^SKIP' "$logs/$rig_step.log" | tr '\n' ';')"
	done
	for steps in edges_steps fault_steps; do
		# shellcheck disable=SC2086
		engine_steps $steps $setups
	done
	exit
elif [ "$lane_name" != main ]; then
	program=$(cd "$build" && pwd)/cli/dsandbox
	copy=$DSB_TEST_COPY installed=$DSB_TEST_INSTALLED together=$DSB_TEST_TOGETHER
	# shellcheck disable=SC2086
	engine_steps setup_steps $setups
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

here='' together=''
if has cli "$only" || has service "$only" || has python "$only" || has conformance "$only" || has power "$only" ||
	has redteam "$only" || has edges "$only" || has fidelity "$only" || has faults "$only"; then
	# Engines that ran before are somebody else's: they are used, not stopped.
	case $(timeout -s KILL 60 sh $rig env 2>/dev/null) in
	*_HOST=* | *_SOCKET=*) echo "the rig's engines run already: they stay up at the end" ;;
	*) stop_rig=1 ;;
	esac
	rig_step=rig
	# shellcheck disable=SC2086
	start_rig $setups
	if has oci "$setups"; then make_oci; fi
	start_edges
	readable_copy || fail "copy: no build that the rootless user can read"
	# Docker's set-ups in a lane, Podman's here: each is alone with its engine.
	lane=''
	for s in $setups; do
		if ! define "$s"; then
			skip "$s" "its engine does not run: $(grep '^SKIP' "$logs/rig.log" 2>/dev/null | tr '\n' ';')"
			continue
		fi
		together="$together $s"
		case $(engine_of "$s") in
		docker) lane="$lane $s" ;;
		*) here="$here $s" ;;
		esac
	done
	# shellcheck disable=SC2086
	[ -z "$lane" ] || DSB_TEST_COPY=$copy DSB_TEST_INSTALLED=$installed DSB_TEST_TOGETHER=$together start_lane docker sh tests/run.sh $lane
fi

# --- without an engine ------------------------------------------------------

unset DSB_TEST_SETUP DSB_TEST_ENDPOINT DSB_TEST_BACKEND DSB_TEST_AS DSB_TEST_WORK
# The step `unit` has all that is in no other one, whatever its suite is.
suites='' others=''
for s in cli service python; do
	if has $s "$only"; then suites="$suites --suite $s"; else others="$others --no-suite $s"; fi
done
if has unit "$only"; then suites=${others:- }; fi
# shellcheck disable=SC2086
[ -z "$suites" ] || meson_tests no-engine 1800 "$build" $suites --timeout-multiplier "$slow"
DSB_TEST_PROGRAM=$program DSB_TEST_WORK=$work/none
export DSB_TEST_PROGRAM DSB_TEST_WORK
mkdir -p "$DSB_TEST_WORK"
if has python "$only"; then suite python-typing 600 python3 tests/python/test_typing.py; fi
if has install "$only"; then
	installation
	suite embed 300 sh tests/embed/check.sh "$work/installed"
	suite template 600 sh plugins/template/check.sh "$work/installed"
	without=$(sh examples/plugin-rust/check.sh --missing)
	if [ -z "$without" ]; then
		suite plugin-rust 600 sh examples/plugin-rust/check.sh "$work/installed"
	else
		skip plugin-rust "$without"
	fi
fi

# --- on Podman, and the end of the lanes ------------------------------------

# shellcheck disable=SC2086
engine_steps setup_steps $here
if [ -n "$stop_rig" ] && has podman-rootless "$here"; then
	engine_steps edges_steps podman-rootless
	engine_steps fault_steps podman-rootless
fi
end_lanes
compare
exit
