# SPDX-License-Identifier: MIT
# What tests/run.sh, which reads this file, runs on each set-up, and how a suite is told which one it is.
# shellcheck shell=sh disable=SC2154

# Variables that describe set-up $1 to a suite.
define() {
	DSB_TEST_SETUP=$1 DSB_TEST_AS='' DSB_TEST_PROGRAM=$program
	DSB_TEST_WORK=$work/$1 DSB_TEST_IMAGE=${DSB_RIG_IMAGE:-dsandbox-sandbox:latest}
	case $1 in
	docker-*) DSB_TEST_BACKEND=$1 DSB_TEST_ENDPOINT=${DSB_RIG_DOCKER_HOST:-} ;;
	oci) DSB_TEST_BACKEND=oci DSB_TEST_ENDPOINT=${DSB_RIG_OCI_IMAGES:-} ;;
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
	for s in docker-api docker-cli podman podman-rootless podman-rootless-v2 oci; do
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

# What the set-up oci has in place of an engine: a runtime, and the rig's image as a directory.
make_oci() {
	[ "$(id -u)" = 0 ] && command -v runc >/dev/null || return 0
	DSB_RIG_OCI_IMAGES=$work/oci-data/dsandbox/images # not in a set-up's work directory, which suites clear
	export DSB_RIG_OCI_IMAGES
	# shellcheck disable=SC2016
	step oci-image 1200 env "XDG_RUNTIME_DIR=$work" sh -c '"$1" --backend oci --host "$2" image build --file "$(sh tests/rig/rig.sh image)"' sh \
		"$program" "$DSB_RIG_OCI_IMAGES" || unset DSB_RIG_OCI_IMAGES
}

engine_of() { # set-up
	case $1 in
	docker-*) echo docker ;;
	podman | oci) echo "$1" ;;
	*) echo rootless ;;
	esac
}

# With what the main lane installs, which may not be there yet.
embed() { # set-up
	n=0
	while [ "$lane_name" != main ] && [ ! -e "$installed/made" ] && [ $n -lt 600 ]; do
		n=$((n + 1))
		sleep 1
	done
	as_user "embed-$1" 600 sh "$copy/tests/embed/check.sh" "$installed"
}

# What is asked where: how an engine is spoken to, on each set-up; what an engine makes of a container, once for each engine
# (docker-cli speaks to docker-api's); what goes on between our own processes, once with an engine of root's and once rootless;
# what goes on inside the interpreter and in other programs of ours, once. DSB_TEST_EVERYWHERE asks all of it on each set-up.
asks() { # engine|ours|once set-up
	[ -z "${DSB_TEST_EVERYWHERE:-}" ] || return 0
	# runc makes of a container what it makes of Docker's: beside engines it is asked what its own bundle decides, and the program.
	if [ "$1 $2" = "engine oci" ] && [ "${together# }" != oci ]; then return 1; fi
	for first in $together; do
		case $1 in
		engine) [ "$(engine_of "$first")" != "$(engine_of "$2")" ] || break ;;
		ours) [ "$first" = podman-rootless ] && [ "$2" != podman-rootless ] || break ;;
		once) break ;;
		esac
	done
	[ "$first" = "$2" ] || { [ "$1" = ours ] && [ "$2" = podman-rootless ]; }
}

# The tests of a directory; those that say so on one set-up only.
all_of() { # directory set-up
	once=0
	if asks once "$2"; then once=1; fi
	DSB_TEST_ONCE=$once suite "$1-$2" 1800 python3 tests/rig/all.py "tests/$1"
}

# What goes on between our own processes, on one of two; the official clients on both. They come from registries the first time.
mcp_steps() { # set-up
	stdio='' http=''
	case $1 in docker-api | podman) ;; *) return ;; esac
	if [ -z "${DSB_TEST_EVERYWHERE:-}" ] && has docker-api "$together" && has podman "$together"; then
		case $1 in
		docker-api) http='-k HttpOfficial' ;;
		*) stdio='-k Official' ;;
		esac
	fi
	# shellcheck disable=SC2086
	suite "mcp-$1" 1800 python3 tests/mcp/test_mcp.py $stdio
	# shellcheck disable=SC2086
	suite "mcp-http-$1" 1800 python3 tests/mcp/test_mcp_http.py $http
}

# Jupyter's kernel on both; the suites of agent frameworks each on one of two. Their packages come from PyPI the first time.
frameworks_steps() { # set-up
	which=''
	case $1 in docker-api | podman) ;; *) return ;; esac
	has frameworks "$only" || return
	suite "jupyter-$1" 1800 python3 "$copy/tests/python/test_jupyter.py"
	if [ -z "${DSB_TEST_EVERYWHERE:-}" ] && has docker-api "$together" && has podman "$together"; then
		case $1 in
		docker-api) which='-k pydantic_ai -k smolagents -k pyright' ;;
		*) which='-k deepagents -k inspect_ai' ;;
		esac
	fi
	# shellcheck disable=SC2086
	suite "frameworks-$1" 1800 python3 "$copy/tests/python/test_frameworks.py" $which
}

setup_steps() { # set-up
	if has cli "$only"; then
		suite "cli-$1" 1800 python3 tests/cli/test_cli.py
		suite "cli-session-$1" 900 python3 tests/cli/test_session.py
		if asks ours "$1"; then suite "probes-$1" 900 python3 tests/cli/test_probes.py; fi
		if asks engine "$1"; then
			suite "limits-$1" 600 python3 tests/cli/test_probes_limits.py
			suite "runs-$1" 900 sh tests/long/runs.sh "${DSB_TEST_LONG:-100}" 2 10
		fi
		mcp_steps "$1"
		if asks once "$1"; then suite "faults-$1" 900 python3 tests/cli/test_faults.py; fi
	fi
	if has service "$only"; then
		as_user "live-$1" 900 "${DSB_TEST_PROGRAM%/cli/dsandbox}/tests/session/dsandbox-test-session"
		if asks ours "$1"; then suite "service-$1" 1800 python3 tests/service/test_service.py; fi
	fi
	if has python "$only"; then
		if asks ours "$1"; then suite "python-package-$1" 900 python3 "$copy/tests/python/test_package.py"; fi
		if asks once "$1"; then
			for t in async dolphin; do
				suite "python-$t-$1" 900 python3 "$copy/tests/python/test_$t.py"
			done
		fi
	fi
	frameworks_steps "$1"
	if has conformance "$only"; then
		conformance "$1"
		suite "posture-$1" 600 python3 tests/conformance/test_posture.py
		if asks engine "$1"; then suite "seccomp-$1" 600 python3 tests/seccomp/test_seccomp.py; fi
		[ "$1" != docker-api ] || suite "gvisor" 300 python3 tests/cli/test_gvisor.py
	fi
	if has redteam "$only" && asks engine "$1"; then all_of redteam "$1"; fi
	if has fidelity "$only" && asks once "$1"; then
		suite "fidelity-$1" 2400 python3 tests/fidelity/test_fidelity.py
		suite "figures-$1" 2400 python3 tests/fidelity/test_figures.py
		DSB_TEST_GALLERY_EVERY=${DSB_TEST_GALLERY_EVERY:-20} suite "gallery-$1" 900 python3 tests/fidelity/gallery.py
	elif has fidelity "$only" && asks engine "$1"; then # of figures, what the engine's limit decides
		suite "figures-memory-$1" 600 python3 tests/fidelity/test_figures.py -k memory_of_a_drawing
	fi
	if has install "$only"; then embed "$1"; fi
	# Whether the suite can go red; each engine's own words are weakened.
	if has power "$only" && asks engine "$1" && { [ "$1" != podman-rootless ] || ! has podman "$together"; }; then
		as_user "mutate-$1" 1200 python3 "$copy/tests/conformance/mutate.py"
	fi
}

# On engines of this run's own only: these are stopped and killed. Rootless, what can be otherwise there.
edges_steps() { # set-up
	rootless=0
	case $1 in
	docker-api | podman) ;;
	podman-rootless) [ -n "${DSB_TEST_EVERYWHERE:-}" ] || rootless=1 ;;
	*) return ;;
	esac
	if has edges "$only"; then DSB_TEST_ROOTLESS=$rootless DSB_TEST_RIG=$top/$rig all_of edges "$1"; fi
}

fault_steps() { # set-up
	if has faults "$only"; then DSB_TEST_RIG=$top/$rig suite "engine-$1" 1200 python3 tests/cli/test_engine_faults.py; fi
}

engine_steps() { # steps set-up...
	steps=$1
	shift
	for s; do
		if define "$s"; then $steps "$s"; fi
	done
}
