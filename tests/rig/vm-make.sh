#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes the machine of vm.sh: the disk of a Debian 13 guest with rootless Podman and rootless Docker. Needs root.
#
#   vm-make.sh DIR IMAGE.tar [all]    DIR must not exist; what happened is in DIR.log
#
# `all`: with images for rootful Podman and Docker as well, for tests/matrix.sh.
#
# The guest is made from Debian packages, but for its kernel, which is this machine's linux.uml. The sandbox image is
# imported, and its copy for keep-id made, in a chroot of the guest's tree. Then the guest boots once, for a try.
set -eu
umask 022

rig=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$rig/../.." && pwd)
dir=$1 tar=$2 all=${3:-}
log=$dir.log part=$dir.part
root=$part/root
image=dsandbox-sandbox:latest
user=ci uid=1000
packages="systemd systemd-sysv udev dbus dbus-user-session libpam-systemd kmod iproute2
	podman crun conmon uidmap slirp4netns passt netavark catatonit procps python3-minimal python3
	libglib2.0-0t64 libjson-c5 libcurl4t64 libsoup-3.0-0 libedit2 libseccomp2
	docker.io docker-cli rootlesskit runc iptables nfs-kernel-server"
[ -z "$all" ] || packages="$packages curl"

began=$(date +%s)
say() { echo "vm: $* ($(($(date +%s) - began)) s)" >&2; }
die() {
	echo "vm: $*" >&2
	exit 125
}

# --- the tree ---------------------------------------------------------------

in_tree() { # command...: in the tree, as root
	chroot "$root" "$@" 2>>"$log"
}

# As root with mounts, processes and a run-time directory that only this command sees. Podman's database remembers its
# paths: they are those of the booted machine.
engine_in_tree() {
	# shellcheck disable=SC2016
	unshare --mount --propagation private --net --pid --fork --kill-child sh -ec '
		root=$1 uid=$2 image=$3
		shift 3
		mount --bind "$root" "$root"
		mount --rbind /dev "$root/dev"
		mount -t proc proc "$root/proc"
		mount --rbind /sys "$root/sys"
		# crun refuses the additional hierarchy of hybrid hosts
		! mountpoint -q "$root/sys/fs/cgroup/unified" || umount "$root/sys/fs/cgroup/unified"
		mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
		mount -t tmpfs tmpfs "$root/run"
		mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
		install -d -m 0700 -o "$uid" -g "$uid" "$root/run/user/$uid"
		: >"$root/tmp/image.tar"
		mount --bind "$image" "$root/tmp/image.tar"
		cd "$root"
		mkdir -p .old
		pivot_root . .old
		umount -l /.old
		cd /
		exec env -i PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin PODMAN_IGNORE_CGROUPSV1_WARNING=1 "$@"' \
		sh "$root" $uid "$tar" "$@"
}

as_user_in_tree() {
	engine_in_tree setpriv --reuid $uid --regid $uid --clear-groups env HOME=/home/$user USER=$user \
		XDG_RUNTIME_DIR=/run/user/$uid "$@"
}

# Docker takes the image. The functions that run there, and what starts the daemon.
docker_import() { # as_user_in_tree|engine_in_tree daemon...
	in=$1
	shift
	# shellcheck disable=SC2016
	eval "$in sh -ec '
		host=\$1 daemon=\$2
		shift 2
		\$daemon >/dev/null 2>&1 &
		pid=\$!
		n=0
		until docker -H \$host images -q >/dev/null 2>&1; do
			n=\$((n + 1))
			[ \$n -lt 300 ]
			sleep 0.1
		done
		docker -H \$host import \"\$@\"
		kill \$pid
		wait \$pid || :' sh \"$1\" \"$2\" $(changes) /tmp/image.tar $image" >>"$log" 2>&1 ||
		die "Docker did not take the image: $(tail -n 1 "$log")"
}

import_all() {
	eval "engine_in_tree podman import -q $(changes) /tmp/image.tar $image" >>"$log" 2>&1 ||
		die "rootful Podman did not take the image: $(tail -n 1 "$log")"
	mkdir -p "$root/etc/docker"
	echo '{"bridge": "none", "iptables": false, "ip6tables": false, "storage-driver": "overlay2",
		"runtimes": {"crun": {"path": "/usr/bin/crun"}}}' \
		>"$root/etc/docker/daemon.json"
	docker_import engine_in_tree unix:///run/docker.sock dockerd
	in_tree usermod -aG docker $user
}

files() {
	echo dsandbox-vm >"$root/etc/hostname"
	echo '127.0.0.1 localhost dsandbox-vm' >"$root/etc/hosts"
	: >"$root/etc/fstab"
	head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$root/etc/machine-id"
	in_tree useradd -m -u $uid -s /bin/bash $user
	grep -q "^$user:" "$root/etc/subuid" || die "useradd gave no subordinate ids"
	mkdir -p "$root/var/lib/systemd/linger"
	: >"$root/var/lib/systemd/linger/$user"
	# The service stays: without this it ends after five idle seconds and starts anew, slowly.
	mkdir -p "$root/home/$user/.config/containers"
	printf '[engine]\nservice_timeout = 0\n' >"$root/home/$user/.config/containers/containers.conf"
	in_tree chown -R $user: /home/$user/.config

	cat >"$root/usr/local/sbin/agent" <<-'END'
	#!/usr/bin/python3
	# Commands come over the port, a JSON string a line; output goes back in frames, at the end the status.
	import json, os, selectors, subprocess, tty
	port = os.open("/dev/ttyS0", os.O_RDWR | os.O_NOCTTY)
	tty.setraw(port)
	def send(data):
	    while data:
	        data = data[os.write(port, data):]
	send(b"READY 0\n")
	line = b""
	while True:
	    got = os.read(port, 4096)
	    if not got:
	        raise SystemExit("the port is closed")
	    line += got
	    if not line.endswith(b"\n"):
	        continue
	    p = subprocess.Popen(["/bin/sh", "-c", json.loads(line)], stdin=subprocess.DEVNULL,
	                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
	    line = b""
	    with selectors.DefaultSelector() as both:
	        both.register(p.stdout, selectors.EVENT_READ, b"O")
	        both.register(p.stderr, selectors.EVENT_READ, b"E")
	        while both.get_map():
	            for key, _ in both.select():
	                data = os.read(key.fd, 65536)
	                if data:
	                    send(b"%s %d\n" % (key.data, len(data)) + data)
	                else:
	                    both.unregister(key.fileobj)
	    status = p.wait()
	    send(b"X %d\n" % (status if status >= 0 else 128 - status))
	END
	# Becomes the user as a login of his would.
	cat >"$root/usr/local/sbin/as-user" <<-END
	#!/bin/sh
	cd /home/$user
	exec setpriv --reuid $user --regid $user --init-groups env -i HOME=/home/$user USER=$user LOGNAME=$user \\
		LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin XDG_RUNTIME_DIR=/run/user/$uid \\
		DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/$uid/bus "\$@"
	END
	# Debian has no dockerd-rootless.sh. A network of its own would need a device that a chroot may not have; without one
	# the daemon answers everything but /version.
	mkdir -p "$root/home/$user/.config/docker"
	echo '{"bridge": "none", "iptables": false, "ip6tables": false, "ip-forward": false, "storage-driver": "overlay2"}' \
		>"$root/home/$user/.config/docker/daemon.json"
	in_tree chown -R $user: /home/$user/.config
	cat >"$root/usr/local/bin/rootless-docker" <<-'END'
	#!/bin/sh
	if [ -z "${ROOTLESSKIT_STATE_DIR:-}" ]; then
		exec rootlesskit --state-dir="$XDG_RUNTIME_DIR/rootlesskit" --net=host --copy-up=/etc --copy-up=/run \
			--propagation=rslave "$0"
	fi
	# links to the real ones, which are root's
	rm -f /run/docker /run/containerd /run/xtables.lock
	exec dockerd --rootless --config-file "$HOME/.config/docker/daemon.json" --host "unix://$XDG_RUNTIME_DIR/docker.sock"
	END
	chmod 0755 "$root/usr/local/sbin/agent" "$root/usr/local/sbin/as-user" "$root/usr/local/bin/rootless-docker"
	cat >"$root/etc/systemd/system/agent.service" <<-END
	[Unit]
	After=user@$uid.service dbus.service
	Wants=user@$uid.service
	[Service]
	ExecStart=/usr/local/sbin/agent
	[Install]
	WantedBy=multi-user.target
	END
	in_tree systemctl -q enable agent.service
	in_tree systemctl -q disable docker.service docker.socket containerd.service nfs-server.service nfs-client.target \
		rpcbind.service rpcbind.socket
	# What a machine without hardware, network and time of its own only waits for.
	in_tree systemctl -q mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
		e2scrub_reap.service fstrim.timer systemd-timesyncd.service getty.target getty@tty1.service \
		serial-getty@ttyS0.service systemd-networkd.service systemd-pstore.service podman-auto-update.timer \
		podman-auto-update.service podman-restart.service podman-clean-transient.service podman.service podman.socket \
		systemd-hwdb-update.service systemd-update-done.service systemd-journal-catalog-update.service ldconfig.service \
		systemd-binfmt.service systemd-firstboot.service systemd-random-seed.service modprobe@drm.service \
		systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger.service \
		systemd-udev-load-credentials.service netavark-dhcp-proxy.service netavark-dhcp-proxy.socket
}

# The configuration of the image as --change arguments, for eval.
changes() {
	"$top/images/from-packages.sh" --config | sed "s/'/'\\\\''/g; s/^/--change '/; s/\$/'/" | tr '\n' ' '
}

try="set -e
for s in \$(systemctl list-units --failed --plain --no-legend | cut -d' ' -f1); do echo \"failed unit: \$s\" >&2; done
as-user systemctl --user start podman.socket podman.service
as-user podman info --format '{{.Version.Version}} {{.Host.CgroupsVersion}} {{.Host.CgroupManager}} {{.Host.CgroupControllers}} {{.Host.OCIRuntime.Name}}' >&2
as-user podman --remote run --rm --network none --userns keep-id:uid=1000,gid=1000 --memory 256m --pids-limit 30 $image python3 -c 'print(1)'"
[ -z "$all" ] || try="systemctl start docker.service; docker version --format '{{.Server.Version}}' >&2; $try"

# --- make -------------------------------------------------------------------

: >"$log"
rm -rf --one-file-system "$part"
mkdir -p "$root"
say "making the guest from packages"
# shellcheck disable=SC2086
sh "$rig/debian.sh" trixie "$part/root.tar" $packages >>"$log" 2>&1 || die "mmdebstrap failed, see $log"
tar -C "$root" -xf "$part/root.tar"
rm "$part/root.tar"
mkdir -p "$root/dev"
in_tree dpkg-query -W >"$part/packages"
mkdir -p "$root/usr/lib/modules"
cp -a /usr/lib/uml/modules/* "$root/usr/lib/modules/"
files
say "importing the sandbox image"
eval "as_user_in_tree podman import -q $(changes) /tmp/image.tar $image" >>"$log" 2>&1 ||
	die "Podman did not take the image: $(tail -n 1 "$log")"
as_user_in_tree podman run --rm --network none --userns keep-id:uid=1000,gid=1000 $image true >>"$log" 2>&1 ||
	die "keep-id does not work in the tree: $(tail -n 1 "$log")"
docker_import as_user_in_tree unix:///run/user/$uid/docker.sock rootless-docker
[ -z "$all" ] || import_all
rmdir "$root/.old"
rm -rf "${root:?}/boot" "$root/var/cache/apt" "$root/var/lib/apt/lists"
say "making the disk"
mke2fs -q -t ext4 -O ^has_journal,^resize_inode -E lazy_itable_init=1 -m 0 -d "$root" -F "$part/root.img" 8G >>"$log" 2>&1
rm -rf --one-file-system "$root"
say "booting"
tar -cf "$part/none.tar" -T /dev/null
timeout -s KILL 400 python3 "$rig/vm.py" "$part" 380 "$part/none.tar" "$try" >>"$log" 2>&1 || die "the guest does not start, see $log"
rm "$part/none.tar"
mv "$part" "$dir"
say "ready"
