#!/bin/sh
# SPDX-License-Identifier: MIT
# The conformance suite on the engine of another Debian release, from its tree, on this machine's kernel. Needs root.
#
#   release.sh TREE ENGINE RUNTIME OUT
#
# TREE is a root file system with the engine and with dsandbox installed in it. ENGINE: docker, podman, rootless. OUT
# gets BACKEND.json (the report), BACKEND.allow (controls that this set-up cannot hold, as the program says), log, image
# is OUT/image.tar. Mounts, processes, network and host name are those of namespaces that end with this command.
set -eu
umask 022
image=dsandbox-sandbox:latest
user=ci uid=1000

die() {
	echo "release: $*" >&2
	exit 1
}

# --- the outer half ---------------------------------------------------------

enter() {
	[ $# = 4 ] || die "usage: release.sh TREE ENGINE RUNTIME OUT"
	cp "$0" "$1/release.sh"
	cp "$(dirname "$0")/unenforced.py" "$1/"
	# shellcheck disable=SC2016
	exec unshare --mount --propagation private --net --uts --ipc --pid --fork --kill-child sh -ec '
		root=$1 out=$4
		hostname release
		ip link set lo up
		mount --bind "$root" "$root"
		mount --rbind /dev "$root/dev"
		mount -t proc proc "$root/proc"
		mount --rbind /sys "$root/sys"
		# crun refuses the additional hierarchy of hybrid hosts
		! mountpoint -q "$root/sys/fs/cgroup/unified" || umount "$root/sys/fs/cgroup/unified"
		mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
		mount -t tmpfs -o mode=755 tmpfs "$root/run"
		mkdir -p "$root/out" "$root/.old"
		mount --bind "$out" "$root/out"
		cd "$root"
		pivot_root . .old
		umount -l /.old
		cd /
		exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/root \
			PODMAN_IGNORE_CGROUPSV1_WARNING=1 sh /release.sh --inside "$2" "$3"' sh "$@"
}

# --- the inner half ---------------------------------------------------------

await() { # socket pid
	n=0
	until curl -sf --max-time 10 --unix-socket "$1" http://d/_ping >/dev/null 2>&1; do
		n=$((n + 1))
		kill -0 "$2" 2>/dev/null || die "the engine ended at start: $(tail -n 1 /out/log)"
		[ $n -lt 600 ] || die "the engine does not answer: $(tail -n 1 /out/log)"
		sleep 0.1
	done
}

as_user="setpriv --reuid $uid --regid $uid --init-groups env HOME=/home/$user USER=$user XDG_RUNTIME_DIR=/run/user/$uid"

podman_config() { # directory graphroot runroot
	mkdir -p "$1"
	# As in rig.sh: a root without CAP_SYS_RESOURCE cannot raise the limits of processes.
	cat >"$1/containers.conf" <<-END
	[containers]
	default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
	log_driver = "k8s-file"
	[engine]
	cgroup_manager = "cgroupfs"
	events_logger = "file"
	runtime = "$runtime"
	END
	printf '[storage]\ndriver = "overlay"\ngraphroot = "%s"\nrunroot = "%s"\n' "$2" "$3" >"$1/storage.conf"
	[ -e /etc/containers/policy.json ] ||
		echo '{"default":[{"type":"insecureAcceptAnything"}]}' >/etc/containers/policy.json
}

import() { # program...
	"$@" image inspect $image >/dev/null 2>&1 ||
		eval "timeout -s KILL 600 \"\$@\" import $(cat /out/changes) /out/image.tar $image" >>/out/log 2>&1 ||
		die "the image cannot be imported: $(tail -n 1 /out/log)"
}

suite() { # name backend endpoint [runner]
	name=$1 backend=$2 endpoint=$3
	shift 3
	[ $# -gt 0 ] || set -- env
	runtime_setting=
	[ "$engine" != docker ] || [ "$runtime" = runc ] || runtime_setting=$runtime
	python3 /unenforced.py "$@" dsandbox --backend "$backend" --host "$endpoint" run --base-dir "$("$@" mktemp -d)" \
		${runtime_setting:+--runtime "$runtime_setting"} >"/out/$name.allow" 2>>/out/log || die "$(tail -n 1 /out/log)"
	allow=$(cat "/out/$name.allow")
	timeout -s KILL 1500 "$@" dsandbox conformance --backend "$backend" --host "$endpoint" --json \
		--setup "$name" --waivers /out/waivers.json ${allow:+--allow-unenforced "$allow"} \
		${runtime_setting:+--set "runtime=$runtime_setting"} >"/out/$name.json" 2>>/out/log ||
		echo "release: $name: exit status $?" >>/out/log
}

inside() {
	engine=$1 runtime=$2
	: >/out/log
	ldconfig
	command -v "$runtime" >/dev/null || die "no $runtime here"
	"$runtime" --version | head -n 1 >/out/runtime
	case $engine in
	docker)
		mkdir -p /etc/docker
		echo "{\"runtimes\": {\"crun\": {\"path\": \"/usr/bin/crun\"}}, \"bridge\": \"none\", \"iptables\": false,
			\"ip6tables\": false, \"storage-driver\": \"overlay2\"}" >/etc/docker/daemon.json
		dockerd -H unix:///run/docker.sock >>/out/log 2>&1 &
		await /run/docker.sock $!
		import docker -H unix:///run/docker.sock
		suite docker-api docker-api unix:///run/docker.sock
		suite docker-cli docker-cli unix:///run/docker.sock
		;;
	podman)
		podman_config /etc/containers /var/lib/containers/storage /run/containers/storage
		podman system service --time 0 unix:///run/podman.sock >>/out/log 2>&1 &
		await /run/podman.sock $!
		import podman --remote --url unix:///run/podman.sock
		suite podman podman unix:///run/podman.sock
		;;
	rootless)
		# shellcheck disable=SC2086
		id $user >/dev/null 2>&1 || useradd -m -u $uid -s /bin/bash $user
		install -d -m 0700 -o $uid -g $uid /run/user/$uid
		install -d -m 0700 /etc/containers
		podman_config /home/$user/.config/containers /home/$user/storage /run/user/$uid/containers
		chmod 0755 /etc/containers
		chown -R $user: /home/$user
		$as_user podman system service --time 0 unix:///run/user/$uid/podman.sock >>/out/log 2>&1 &
		await /run/user/$uid/podman.sock $!
		import $as_user podman --remote --url unix:///run/user/$uid/podman.sock
		# the first container with keep-id copies the image, once
		$as_user timeout -s KILL 300 podman run --rm --network none --userns keep-id:uid=1000,gid=1000 $image true \
			>>/out/log 2>&1 || die "keep-id does not work: $(tail -n 1 /out/log)"
		suite podman-rootless podman unix:///run/user/$uid/podman.sock $as_user
		;;
	*) die "unknown engine '$engine'" ;;
	esac
}

if [ "${1:-}" = --inside ]; then
	shift
	inside "$@"
else
	enter "$@"
fi
