#!/bin/sh
# SPDX-License-Identifier: MIT
# Private container engines for the tests: nobody's own engine is touched.
#
#   rig.sh up       start what is not running, make and import the sandbox image
#   rig.sh env      print the shell assignments that lead to the running engines
#   rig.sh image    make the tar of the sandbox image if it is missing, and print its path
#   rig.sh dir      print where the rig keeps what lasts
#   rig.sh down     end the engines; the image cache stays, the next `up` is fast
#   rig.sh down --purge   and delete everything the rig made
#   rig.sh kill ENGINE [SIGNAL]   a signal (KILL) for one engine, as an accident would send it
#   rig.sh start ENGINE           start it again; unlike `up`, containers that are there stay
#
# Three engines: rootful dockerd, rootful Podman, rootless Podman. One that
# cannot run here is reported as `SKIP name: reason`; the others still start.
# The last lines of `up` name those that did not come up, and why. It ends with 1
# when none runs, or one that is named in DSB_RIG_MUST_RUN ("docker podman rootless")
# does not, with 3 when one that DSB_RIG_ONLY names does not, and else with 0.
#
#   DSB_RIG_DIR    state that lasts (images), on an ordinary file system; rigs with different ones live side by side
#   DSB_RIG_IMAGES directory of the image cache (DSB_RIG_DIR/image), which several rigs may share
#   DSB_RIG_ONLY   start only these: "docker podman rootless"
#   DSB_RIG_SUITE  Debian suite of the sandbox image (stable)
#   DSB_RIG_DOCKER_SETTINGS  further members of daemon.json, each with its comma, and
#   DSB_RIG_PODMAN_SETTINGS  lines for [containers] of containers.conf: what an administrator may have set
#
# What lives as long as the engines do (sockets, pids, logs) is in a short path
# under /tmp that is derived from DSB_RIG_DIR; Podman's database remembers it.
set -u
umask 022

top=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
image=dsandbox-sandbox:latest
test_user=dsbtest
test_home=/var/lib/$test_user

say() { echo "rig: $*" >&2; }
die() {
	say "$*"
	exit 1
}

# --- where things are -------------------------------------------------------

# A directory whose file system can carry overlay upper directories.
default_state() {
	for d in "${XDG_CACHE_HOME:-${HOME:-/root}/.cache}" /var/cache /var/tmp; do
		mkdir -p "$d" 2>/dev/null || continue
		case $(stat -f -c %T "$d") in
		ext2/ext3 | ext4 | xfs | btrfs) ;;
		*) continue ;;
		esac
		echo "$d/dsandbox-rig"
		return
	done
	echo /var/tmp/dsandbox-rig
}

state=${DSB_RIG_DIR:-$(default_state)}
case $state in
/*) ;;
*) die "DSB_RIG_DIR must be absolute, not '$state'" ;;
esac

if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || die "needs root, and there is no sudo"
	exec sudo -n env DSB_RIG_DIR="$state" DSB_RIG_IMAGES="${DSB_RIG_IMAGES:-}" DSB_RIG_ONLY="${DSB_RIG_ONLY:-}" \
		DSB_RIG_SUITE="${DSB_RIG_SUITE:-}" DSB_RIG_DOCKER_SETTINGS="${DSB_RIG_DOCKER_SETTINGS:-}" \
		DSB_RIG_PODMAN_SETTINGS="${DSB_RIG_PODMAN_SETTINGS:-}" \
		DSB_RIG_MUST_RUN="${DSB_RIG_MUST_RUN:-}" "$0" "$@"
fi
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
# what would lead a client or a service of ours elsewhere
unset DOCKER_HOST DOCKER_CONTEXT DOCKER_TLS_VERIFY CONTAINER_HOST \
	CONTAINERS_CONF CONTAINERS_STORAGE_CONF STORAGE_DRIVER STORAGE_OPTS
group=${SUDO_GID:-0} # who may use the rootful sockets, besides root

images=${DSB_RIG_IMAGES:-$state/image}
tag=$(printf %s "$state" | cksum | cut -d' ' -f1)
run=/tmp/dsb-rig.$tag
docker_sock=$run/docker/docker.sock
podman_sock=$run/podman/podman.sock
rootless_sock=$run/rootless/podman.sock
rl_home=$test_home/rig.$tag
as_user=$run/as-$test_user

# /tmp is everybody's: take the name only if it is really ours.
make_run() {
	mkdir -m 0711 "$run" 2>/dev/null
	[ -d "$run" ] && [ ! -L "$run" ] && [ "$(stat -c %u:%a "$run")" = 0:711 ] ||
		die "'$run' exists and is not ours"
	mkdir -p "$images" "$run/docker" "$run/podman" "$run/rootless"
}

# --- small tools ------------------------------------------------------------

skip() { # name reason...
	name=$1
	shift
	echo "SKIP $name: $*" >&2
	echo "$*" >"$run/$name/skip"
}

limit() { # seconds command...: a hard end, also for what ignores TERM
	timeout -s KILL "$@"
}

ping() { # socket
	limit 10 curl -sf --unix-socket "$1" http://d/_ping >/dev/null 2>&1
}

hybrid() { [ "$(stat -f -c %T /sys/fs/cgroup)" != cgroup2fs ]; }

# Is process $1 alive and does its command line name our directory?
ours() {
	[ -n "${1:-}" ] && [ -r "/proc/$1/cmdline" ] || return 1
	tr '\0' ' ' <"/proc/$1/cmdline" | grep -qF "$run/"
}

# End the recorded process of file $1: TERM, up to $2 seconds, then KILL.
end_pid() {
	p=$(cat "$1" 2>/dev/null)
	rm -f "$1"
	ours "$p" || return 0
	kill -TERM "$p" 2>/dev/null
	n=0
	while ours "$p"; do
		n=$((n + 1))
		[ $n -le $(($2 * 20)) ] || {
			say "process $p ignored TERM for $2 s, killing it"
			kill -KILL "$p" 2>/dev/null
			sleep 0.2
			break
		}
		sleep 0.05
	done
}

# Wait until socket $2 of engine $1 answers, or process $3 ends, or $4 seconds.
await() {
	n=0
	until ping "$2"; do
		n=$((n + 1))
		if ! kill -0 "$3" 2>/dev/null; then
			skip "$1" "ended at start: $(tail -n 1 "$run/$1/log" | cut -c1-300)"
			return 1
		fi
		if [ $n -gt $(($4 * 10)) ]; then
			skip "$1" "no answer in $4 s, see $run/$1/log"
			kill -KILL "$3"
			return 1
		fi
		sleep 0.1
	done
}

unmount_below() { # directory
	awk -v d="$1/" 'index($2, d) == 1 { print $2 }' /proc/self/mounts |
		sort -r | while read -r m; do
		umount -l "$m" || say "cannot unmount '$m'"
	done
}

need() { # name program...
	name=$1
	shift
	for c in "$@"; do
		command -v "$c" >/dev/null || {
			skip "$name" "'$c' is not installed (tests/rig/install.sh engines)"
			return 1
		}
	done
}

wanted() { # name
	case " ${DSB_RIG_ONLY:-docker podman rootless} " in
	*" $1 "*) return 0 ;;
	esac
	return 1
}

# --- Docker -----------------------------------------------------------------

# gVisor as a further runtime, where it is installed. With a network it would need one of its own in the host's.
gvisor() {
	command -v runsc >/dev/null || return 0
	printf '\n  "runtimes": {"gvisor": {"path": "%s", "runtimeArgs": ["--network=none"]}},' "$(command -v runsc)"
}

docker_start() {
	need docker dockerd containerd runc curl docker ip iptables unshare || return
	ping "$docker_sock" && return
	# After a kill -9 the daemon's containerd lives on and its files lie about.
	end_pid "$run/docker/pid" 20
	end_pid "$run/docker/exec/containerd/containerd.pid" 10
	rm -f "$docker_sock" "$run"/docker/exec/containerd/*.sock*
	# Its own names in containerd: dockerd uses the system's one when it runs.
	cat >"$run/docker/daemon.json" <<-END
	{
	  "data-root": "$state/docker",
	  "exec-root": "$run/docker/exec",
	  "pidfile": "$run/docker/pid",
	  "hosts": ["unix://$docker_sock"],
	  "group": "$group",
	  "ip6tables": false,$(gvisor)${DSB_RIG_DOCKER_SETTINGS:-}
	  "containerd-namespace": "dsbrig$tag",
	  "containerd-plugins-namespace": "dsbrig$tag-plugins"
	}
	END
	# A network namespace of its own: its bridge and its packet filter are nobody else's.
	# shellcheck disable=SC2016
	setsid unshare --net sh -c 'ip link set lo up && exec dockerd --config-file "$1"' sh "$run/docker/daemon.json" \
		>"$run/docker/log" 2>&1 </dev/null &
	await docker "$docker_sock" $! 60
}

docker_rm_all() {
	ids=$(limit 20 docker -H "unix://$docker_sock" ps -aq)
	# shellcheck disable=SC2086
	[ -z "$ids" ] ||
		limit 90 docker -H "unix://$docker_sock" rm -f -v $ids >/dev/null ||
		say "could not remove all containers of the rig's Docker"
}

docker_has_image() {
	[ "$(limit 20 docker -H "unix://$docker_sock" image inspect -f \
		'{{index .Config.Labels "dsandbox.recipe"}}' $image 2>/dev/null)" = "$1" ]
}

docker_import() { # tar label
	changes=$(change_args "$2")
	eval "limit 600 docker -H unix://$docker_sock import $changes \"\$1\" $image" \
		>/dev/null || return
	limit 60 docker -H "unix://$docker_sock" image prune -f >/dev/null
}

# Shims outlive a containerd that was killed, and a container whose runtime hangs, each with its processes.
docker_end_shims() {
	for f in /proc/[0-9]*/cmdline; do
		case $(tr '\0' ' ' <"$f" 2>/dev/null) in
		*containerd-shim*" -address $run/docker/exec/containerd/containerd.sock"*)
			# shellcheck disable=SC2046
			kill -KILL $(cat "${f%cmdline}"task/*/children 2>/dev/null) "$(basename "${f%/cmdline}")" 2>/dev/null
			;;
		esac
	done
}

docker_down() {
	ping "$docker_sock" && docker_rm_all
	end_pid "$run/docker/pid" 30
	end_pid "$run/docker/exec/containerd/containerd.pid" 10
	docker_end_shims
	unmount_below "$run/docker"
	unmount_below "$state/docker"
	# the data root is mounted on itself
	while mountpoint -q "$state/docker"; do umount -l "$state/docker" || break; done
}

# --- Podman, both ways ------------------------------------------------------

podman_runtime() {
	# crun refuses hybrid cgroup hosts; runc takes both
	for r in $(hybrid && echo runc crun || echo crun runc); do
		command -v $r >/dev/null && echo $r && return
	done
}

podman_conf() { # directory graphroot runroot cgroup-manager [tmp_dir]
	# Without default_ulimits Podman raises them to numbers that need
	# CAP_SYS_RESOURCE. Lock files, because the shared memory segment is one
	# for all of a user's Podmans and a first start clears it.
	cat >"$1/containers.conf" <<-END
	[containers]
	default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
	log_driver = "k8s-file"
	${DSB_RIG_PODMAN_SETTINGS:-}
	[engine]
	cgroup_manager = "$4"
	events_logger = "file"
	lock_type = "file"
	runtime = "$(podman_runtime)"
	END
	[ -z "${5:-}" ] || cat >>"$1/containers.conf" <<-END
	tmp_dir = "$5"
	[network]
	network_config_dir = "${5%/*}/networks"
	END
	cat >"$1/storage.conf" <<-END
	[storage]
	driver = "overlay"
	graphroot = "$2"
	runroot = "$3"
	END
}

podman_has_image() { # socket label
	[ "$(limit 20 podman --remote --url "unix://$1" image inspect -f \
		'{{index .Config.Labels "dsandbox.recipe"}}' "$image" 2>/dev/null)" = "$2" ]
}

podman_import() { # socket tar label
	changes=$(change_args "$3")
	eval "limit 900 podman --remote --url unix://$1 import -q $changes \"\$2\" $image" \
		>/dev/null || return
	limit 60 podman --remote --url "unix://$1" image prune -f >/dev/null
}

api_rm_all() { # socket
	limit 90 podman --remote --url "unix://$1" rm -a -f -t 0 >/dev/null ||
		say "could not remove all containers behind '$1'"
}

# --- rootful Podman ---------------------------------------------------------

# The program `podman` with the rig's configuration and store. The configuration must be in /etc/containers, where
# conmon's clean-up reads it, and crun does not accept an extra cgroup2 mount: a mount namespace.
make_podman_program() {
	cat >"$run/podman/podman" <<-END
	#!/bin/sh
	exec unshare -m --propagation slave sh -c '
		while mountpoint -q /sys/fs/cgroup/unified; do
			umount /sys/fs/cgroup/unified || exit 1
		done
		mount --bind "$run/podman/etc" /etc/containers || exit 1
		exec podman "\$@"' podman "\$@"
	END
	chmod 0755 "$run/podman/podman"
}

podman_start() {
	need podman podman conmon curl unshare || return
	[ -n "$(podman_runtime)" ] || {
		skip podman "neither runc nor crun is installed"
		return
	}
	make_podman_program
	ping "$podman_sock" && return
	end_pid "$run/podman/pid" 10
	rm -f "$podman_sock"
	p=$run/podman
	mkdir -p "$p/etc" "$p/tmp" "$p/networks" "$state/podman"
	mkdir -p /etc/containers
	# into the same directory: what a killed service left behind still reads it
	cp -a /etc/containers/. "$p/etc/"
	rm -f "$p/etc/libpod.conf"
	[ -e "$p/etc/policy.json" ] ||
		echo '{"default":[{"type":"insecureAcceptAnything"}]}' >"$p/etc/policy.json"
	podman_conf "$p/etc" "$state/podman" "$p/run" cgroupfs "$p/tmp"

	# conmon leaves a file "oom" where it is, when a container runs out of memory
	(cd "$p" && exec setsid "$p/podman" system service --time 0 "unix://$podman_sock") >"$p/log" 2>&1 </dev/null &
	pid=$!
	echo $pid >"$p/pid"
	await podman "$podman_sock" $pid 30 || return
	chgrp "$group" "$podman_sock" && chmod 0660 "$podman_sock"
}

podman_rm_all() { api_rm_all "$podman_sock"; }

podman_down() {
	ping "$podman_sock" && podman_rm_all
	end_pid "$run/podman/pid" 10
	unmount_below "$run/podman"
	unmount_below "$state/podman"
	while mountpoint -q "$state/podman/overlay"; do
		umount -l "$state/podman/overlay" || break
	done
}

# --- rootless Podman --------------------------------------------------------

# The next free block of 65536 subordinate ids in file $1.
free_subids() {
	awk -F: 'BEGIN { m = 100000 } NF >= 3 && $2 + $3 > m { m = $2 + $3 }
		END { print m "-" m + 65535 }' "$1" 2>/dev/null || echo 100000-165535
}

make_user() {
	id $test_user >/dev/null 2>&1 || {
		useradd --system --user-group --home-dir $test_home --create-home \
			--shell /bin/sh $test_user || return 1
		: >"$test_home/.made-by-rig"
	}
	touch /etc/subuid /etc/subgid
	grep -q "^$test_user:" /etc/subuid ||
		usermod --add-subuids "$(free_subids /etc/subuid)" $test_user || return 1
	grep -q "^$test_user:" /etc/subgid ||
		usermod --add-subgids "$(free_subids /etc/subgid)" $test_user
}

# A program that becomes the test user with nothing of our environment.
make_as_user() {
	cat >"$as_user" <<-END
	#!/bin/sh
	cd / || exit 1
	exec setpriv --reuid $test_user --regid $test_user --init-groups env -i \\
		HOME=$rl_home USER=$test_user LOGNAME=$test_user LANG=C.UTF-8 \\
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \\
		XDG_RUNTIME_DIR=$run/rootless/xdg $bus "\$@"
	END
	chmod 0755 "$as_user"
}

rootless_start() {
	need rootless podman conmon newuidmap setpriv curl || return
	[ -n "$(podman_runtime)" ] || {
		skip rootless "neither runc nor crun is installed"
		return
	}
	ours "$(cat "$run/rootless/pid" 2>/dev/null)" && ping "$rootless_sock" && return
	make_user || {
		skip rootless "cannot make user '$test_user'"
		return
	}
	end_rootless_service
	r=$run/rootless
	rm -f "$rootless_sock"
	uid=$(id -u $test_user)
	install -d -o $test_user -g $test_user -m 0755 "$r"
	install -d -o $test_user -g $test_user -m 0700 "$r/xdg" "$rl_home" \
		"$rl_home/.config" "$rl_home/.config/containers"
	# Limits without root need cgroup v2 and a systemd that delegates.
	bus='' manager=cgroupfs
	if ! hybrid && [ -d /run/systemd/system ]; then
		limit 20 loginctl enable-linger $test_user
		n=0
		while [ ! -S "/run/user/$uid/bus" ] && [ $n -lt 100 ]; do
			n=$((n + 1))
			sleep 0.1
		done
		if [ -S "/run/user/$uid/bus" ]; then
			bus=DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/$uid/bus
			manager=systemd
		else
			say "no user bus for '$test_user': rootless limits will not hold"
		fi
	fi
	make_as_user
	podman_conf "$rl_home/.config/containers" "$rl_home/graph" \
		"$r/xdg/containers" $manager
	chown -R $test_user:$test_user "$rl_home/.config"
	setsid "$as_user" podman system service --time 0 "unix://$rootless_sock" \
		>"$r/log" 2>&1 </dev/null &
	pid=$!
	echo $pid >"$r/pid"
	await rootless "$rootless_sock" $pid 60 || return
	# The first process only waits for one in the user namespace; where a namespace is left, it joins that itself.
	pgrep -P $pid -f -- "$rootless_sock" >"$r/inner" || :
}

rootless_rm_all() { api_rm_all "$rootless_sock"; }

end_rootless_service() {
	end_pid "$run/rootless/pid" 10
	end_pid "$run/rootless/inner" 10
}

# The first keep-id container copies and re-owns the image, once: do it now.
rootless_prewarm() {
	limit 300 "$as_user" podman run --rm --network none \
		--userns keep-id:uid=1000,gid=1000 $image true ||
		say "the keep-id warm-up failed"
}

rootless_down() {
	ping "$rootless_sock" && rootless_rm_all
	end_rootless_service
	id -u $test_user >/dev/null 2>&1 || return 0
	# Podman keeps one process per user to hold the user namespace.
	p=$(cat "$run/rootless/xdg/libpod/tmp/pause.pid" 2>/dev/null)
	if [ -n "$p" ] && [ "$(stat -c %U "/proc/$p" 2>/dev/null)" = $test_user ] &&
		grep -qaE 'catatonit|podman' "/proc/$p/cmdline"; then
		kill -KILL "$p"
		rm -f "$run/rootless/xdg/libpod/tmp/pause.pid"
	fi
	unmount_below "$run/rootless"
	unmount_below "$rl_home"
}

# --- the sandbox image -------------------------------------------------------

# shellcheck source=tests/rig/rig_image.sh
. "$top/tests/rig/rig_image.sh"

# --- verbs ------------------------------------------------------------------

show_env() {
	running docker && echo "DSB_RIG_DOCKER_HOST=unix://$docker_sock"
	if running podman; then
		echo "DSB_RIG_PODMAN_SOCKET=unix://$podman_sock"
		echo "DSB_RIG_PODMAN_RUN=$run/podman/podman"
	fi
	if running rootless; then
		echo "DSB_RIG_ROOTLESS_SOCKET=unix://$rootless_sock"
		echo "DSB_RIG_ROOTLESS_USER=$test_user"
		echo "DSB_RIG_ROOTLESS_RUN=$as_user"
	fi
	echo "DSB_RIG_IMAGE=$image"
}

lock() {
	exec 9>"$run/lock"
	flock -w 1500 9 || die "another rig command has run for 25 minutes"
}

up() {
	make_run
	lock
	for e in docker podman rootless; do
		rm -f "$run/$e/skip"
		if wanted $e; then
			running $e || new=1
			${e}_start 9>&- && [ -n "${new:-}" ] && ${e}_rm_all
			new=''
		else
			skip $e "not asked for (DSB_RIG_ONLY)"
		fi
	done
	count=0 missing=''
	for e in docker podman rootless; do
		if running $e; then
			count=$((count + 1))
		elif wanted $e; then
			missing="$missing $e"
		fi
	done
	imported=0
	if [ $count -gt 0 ]; then
		import_all 9>&- || imported=1
		show_env
	fi
	tell_missing
}

# The last word, and the exit status where it is about an engine.
tell_missing() {
	for e in $missing; do
		say "$e did not come up: $(cat "$run/$e/skip" 2>/dev/null || echo "it ended, see $run/$e/log")"
	done
	[ $count -gt 0 ] || die "no engine runs"
	for e in ${DSB_RIG_MUST_RUN:-}; do
		running "$e" || die "'$e' must run and does not"
	done
	[ $imported -eq 0 ] || die "not every engine has the image: see above"
	[ -z "$missing" ] || [ -z "${DSB_RIG_ONLY:-}" ] || exit 3
}

down() {
	if [ -d "$run" ]; then
		make_run
		lock
		docker_down
		podman_down
		rootless_down
	fi
	[ "${1:-}" = --purge ] || return 0
	rm -rf --one-file-system "$state" "$rl_home"
	rm -rf --one-file-system "$run"
	# the test user goes with the last rig, if a rig made it
	if [ -e "$test_home/.made-by-rig" ] && ! ls -d $test_home/rig.* >/dev/null 2>&1; then
		userdel -r $test_user 2>/dev/null || say "user '$test_user' stays"
	fi
}

engine() { # name
	case $1 in
	docker | podman | rootless) ;;
	*) die "no engine '$1' (docker podman rootless)" ;;
	esac
}

# The service itself; Docker's containerd, Podman's conmon and the containers go on.
kill_one() { # engine signal
	engine "$1"
	hit=0
	for f in inner pid; do
		p=$(cat "$run/$1/$f" 2>/dev/null)
		ours "$p" && kill -"$2" "$p" && hit=1
	done
	[ $hit = 1 ] || die "$1 does not run"
}

start_one() { # engine
	engine "$1"
	make_run
	lock
	rm -f "$run/$1/skip"
	"$1_start" 9>&- && running "$1"
}

case ${1:-} in
up) up ;;
env) show_env ;;
image)
	make_run
	lock
	make_tar "$(recipe_key)"
	;;
dir) echo "$state" ;;
down) down "${2:-}" ;;
kill) kill_one "${2:-}" "${3:-KILL}" ;;
start) start_one "${2:-}" ;;
*) die "usage: rig.sh up | env | image | dir | down [--purge] | kill ENGINE [SIGNAL] | start ENGINE" ;;
esac
