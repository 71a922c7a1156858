#!/bin/sh
# SPDX-License-Identifier: MIT
# A long search, for a night or a week: each target in turn for a while, again and again. What was learned stays in
# BUILD/fuzz-corpus/ and is minimised after each round; what was found stays in BUILD/fuzz-found/.
#
#   sh tests/fuzz/long.sh HOURS [TARGET...]     default targets: all
#
#   DSB_FUZZ_TURN   seconds of one turn of a target (600)
#   and DSB_FUZZ_BUILD, DSB_FUZZ_JOBS as for run.sh
#
# The exit status is 0 only if no round found anything. A round that found something does not end the search.
set -u
hours=${1:-}
case $hours in
'' | *[!0-9]* | 0*)
	echo "usage: long.sh HOURS [TARGET...]" >&2
	exit 2
	;;
esac
shift
cd "$(dirname "$0")/../.." || exit 1
build=${DSB_FUZZ_BUILD:-build-fuzz}
turn=${DSB_FUZZ_TURN:-600}
end=$(($(date +%s) + hours * 3600))
targets=${*:-$(find tests/fuzz/corpus -mindepth 1 -maxdepth 1 -type d | sed 's:.*/::' | sort)}
found=0

minimise() { # target: fewer files that reach the same
	old=$build/fuzz-corpus/$1 new=$build/fuzz-corpus/$1.new
	rm -rf "$new" && mkdir "$new" || return
	if timeout -s KILL 1200 nice "$build/tests/fuzz/fuzz-$1" -merge=1 -timeout=10 -rss_limit_mb=2048 \
		-artifact_prefix="$build/fuzz-found/$1-" "$new" "tests/fuzz/corpus/$1" "$old" >"$build/fuzz-$1-merge.log" 2>&1; then
		rm -rf "$old" && mv "$new" "$old"
	else
		rm -rf "$new"
		echo "$1: the corpus was not minimised, see $build/fuzz-$1-merge.log"
	fi
}

while :; do
	left=$((end - $(date +%s)))
	[ $left -gt 0 ] || break
	[ $left -gt "$turn" ] || turn=$left
	# shellcheck disable=SC2086
	sh tests/fuzz/run.sh "$turn" $targets || found=1
	for t in $targets; do minimise "$t"; done
	date '+%F %T: a round is over'
done
exit $found
