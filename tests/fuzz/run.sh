#!/bin/sh
# SPDX-License-Identifier: MIT
# Look for inputs that break something: builds tests/fuzz with clang, libFuzzer, ASan and UBSan, and runs each target.
#
#   sh tests/fuzz/run.sh [SECONDS | RUNSx [TARGET...]]     default: 60 seconds each, all targets; 50000x is 50000 runs each
#
#   DSB_FUZZ_JOBS       targets at once (2)
#   DSB_FUZZ_BUILD      build directory (build-fuzz); what was learned stays in its fuzz-corpus/, findings in fuzz-found/
#   DSB_TEST_MUST_RUN   with the word "fuzz" in it, a missing clang is a failure
#
# A finding is fixed, and its input goes into tests/fuzz/corpus/TARGET/ under a name that says what it was.
# The last line is "N passed, N failed, N skipped"; the exit status is 0 only if nothing failed.
set -u
umask 022
amount=${1:-60}
[ $# -eq 0 ] || shift
case ${amount%x} in
'' | *[!0-9]* | 0*)
	echo "usage: run.sh [SECONDS | RUNSx [TARGET...]]" >&2
	exit 2
	;;
esac
case $amount in
*x) until=-runs=${amount%x} hard_end=1200 ;;
*) until=-max_total_time=$amount hard_end=$((amount + 60)) ;;
esac
cd "$(dirname "$0")/../.." || exit 1
build=${DSB_FUZZ_BUILD:-build-fuzz}
jobs=${DSB_FUZZ_JOBS:-2}
passed=0 failed=0 skipped=0 child='' running=''

finish() {
	trap '' EXIT INT TERM HUP
	# timeout leads a process group of its own
	for p in $child $running; do kill -KILL -- "-${p%%:*}" 2>/dev/null; done
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" -eq 0 ]
	exit
}
interrupted() {
	echo "FAIL interrupted"
	failed=$((failed + 1))
	finish
}
trap finish EXIT
trap interrupted INT TERM HUP

fail() {
	echo "FAIL $*"
	failed=$((failed + 1))
}

# limited SECONDS COMMAND...: with a hard end; a signal to us is answered at once.
limited() {
	limit=$1
	shift
	timeout -s KILL "$limit" env --default-signal=INT,QUIT "$@" </dev/null &
	child=$!
	wait $child
	rc=$?
	child=''
	return $rc
}

works() { # clang with libFuzzer and the sanitizers
	try=$(mktemp -d) || return 1
	echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return d == 0 && n > 0; }' >"$try/a.c"
	clang -fsanitize=fuzzer,address,undefined -o "$try/a" "$try/a.c" 2>/dev/null && "$try/a" -runs=1 2>/dev/null
	rc=$?
	rm -rf "$try"
	return $rc
}

all=$(find tests/fuzz/corpus -mindepth 1 -maxdepth 1 -type d | sed 's:.*/::' | sort)
targets=${*:-$all}
if ! works; then
	reason="clang with libFuzzer is not here (sh tests/rig/install.sh check)"
	case " ${DSB_TEST_MUST_RUN:-} " in
	*' fuzz '*) fail "fuzz: $reason" ;;
	*)
		echo "SKIP fuzz: $reason"
		# shellcheck disable=SC2086
		skipped=$(echo $targets | wc -w)
		;;
	esac
	exit
fi

mkdir -p "$build" || exit 1
log=$build/fuzz.log
limited 600 sh tests/fuzz/build.sh "$build" >"$log" 2>&1
limited 3600 meson compile -C "$build" fuzzers >>"$log" 2>&1 || {
	tail -n 40 "$log" | sed 's/^/   | /'
	fail "the build"
	exit
}

export G_DEBUG=fatal-criticals ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1
mkdir -p "$build/fuzz-found"

begin() { # target
	mkdir -p "$build/fuzz-corpus/$1"
	timeout -s KILL "$hard_end" env --default-signal=INT,QUIT nice "$build/tests/fuzz/fuzz-$1" \
		"$until" -timeout=30 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 \
		-artifact_prefix="$build/fuzz-found/$1-" "$build/fuzz-corpus/$1" "tests/fuzz/corpus/$1" \
		>"$build/fuzz-$1.log" 2>&1 </dev/null &
	running="$running $!:$1"
}

# The oldest one that runs: wait for its end, and say what it found.
end_first() {
	# shellcheck disable=SC2086
	set -- $running
	first=$1
	wait "${first%%:*}"
	rc=$?
	shift
	running=$*
	t=${first#*:}
	log=$build/fuzz-$t.log
	if [ $rc -eq 0 ]; then
		passed=$((passed + 1))
		echo "$t: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") runs," \
			"$(grep -o 'cov: [0-9]*' "$log" | tail -n 1)"
		return
	fi
	grep -E 'broken promise|CRITICAL|ERROR|runtime error|SUMMARY|^ +#[0-9]+ .* [a-z_]+\.c:|Test unit written' "$log" |
		head -n 20 | sed 's/^/   | /'
	fail "$t, see $log"
}

for t in $targets; do
	begin "$t"
	# shellcheck disable=SC2086
	[ "$(echo $running | wc -w)" -lt "$jobs" ] || end_first
done
while [ -n "$running" ]; do end_first; done
exit
