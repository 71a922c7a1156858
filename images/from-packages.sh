#!/bin/sh
# SPDX-License-Identifier: MIT
# Build the root file system of the sandbox image from distribution packages,
# without any registry.
#
#   from-packages.sh [--suite NAME] [--mirror URI] OUT.tar
#   from-packages.sh --packages   the packages that go into the image
#   from-packages.sh --config     the image configuration, one instruction a line
#   from-packages.sh --finish     the last step, run inside the new root
#   from-packages.sh [--suite NAME] [--mirror URI] --sources
#                                 the apt sources that the image is made from
#
# Works as root, or unprivileged through user namespaces (newuidmap and a
# subuid range). The mirror and its keyring are those the host's own apt uses
# for Debian; elsewhere mmdebstrap's default mirror and debian-archive-keyring.
# Dockerfile.sandbox uses --packages, --config's values and --finish as well,
# so both ways give the same image.
set -eu
umask 022

packages='python3-minimal python3 python-is-python3 python3-pip
python3-numpy python3-pandas python3-matplotlib python3-scipy python3-sklearn
python3-seaborn python3-sympy python3-networkx python3-pil
python3-openpyxl python3-lxml python3-bs4 python3-requests
python3-jinja2 python3-tabulate python3-tqdm
fonts-wqy-microhei'

# The reference BLAS on purpose: a threaded one starts threads at import, and a
# process with threads cannot be forked safely, nor stay within a small pid limit.
packages="$packages libblas3 liblapack3"

die() {
	echo "from-packages: $*" >&2
	exit 1
}

config() {
	cat <<-'END'
	ENV PATH=/usr/local/bin:/usr/bin:/bin
	ENV LANG=C.UTF-8
	ENV MPLBACKEND=Agg
	USER 1000:1000
	WORKDIR /sandbox
	CMD ["python3"]
	END
}

# What runs inside the new root, after the packages are configured.
finish() {
	[ -e /usr/bin/python3 ] || die "--finish is for the inside of the image"

	grep -q '^sandbox:' /etc/passwd || {
		echo 'sandbox:x:1000:1000:sandbox:/sandbox:/bin/sh' >>/etc/passwd
		echo 'sandbox:x:1000:' >>/etc/group
		[ ! -e /etc/shadow ] || echo 'sandbox:!:19000::::::' >>/etc/shadow
	}
	mkdir -p /sandbox
	chown 1000:1000 /sandbox
	chmod 0755 /sandbox
	chmod 1777 /tmp /var/tmp
	# The users of the image are not the code's business. $USER says who it is.
	chmod 0700 /root /home
	chmod 0640 /etc/passwd

	# Nothing here is managed by a package manager any more: pip may install where the user can write.
	rm -f /usr/lib/python3*/EXTERNALLY-MANAGED
	# Text that the first font has no glyphs for takes them from the second, also after style.use("default").
	sed -i 's/^#\(font.family: *sans-serif\)$/\1, WenQuanYi Micro Hei/' \
		/etc/matplotlibrc /usr/share/matplotlib/mpl-data/matplotlibrc
	grep -q '^font.family:.*Micro Hei$' /etc/matplotlibrc || die "matplotlib's fonts are not as expected"

	# Nothing at run time reads these.
	rm -rf /usr/share/doc /usr/share/man /usr/share/info /usr/share/locale \
		/usr/share/lintian /usr/share/bug /usr/share/doc-base \
		/usr/share/menu /usr/share/icons /usr/share/pixmaps \
		/usr/share/applications /usr/share/javascript /usr/share/unicode \
		/usr/share/bash-completion /usr/share/gcc /usr/share/gdb \
		/usr/include /etc/apt /var/lib/apt /var/cache/apt \
		/var/cache/debconf /var/lib/dpkg/*-old /root/.cache
	find /var/log -type f -delete
	find /usr/lib -xdev -name '*.a' -type f -delete
	find /usr/lib/python3/dist-packages -type f \
		\( -name '*.c' -o -name '*.cpp' -o -name '*.pyx' -o -name '*.tp' \) -delete
	find /usr/lib/python3/dist-packages/sympy -type d -name benchmarks -prune \
		-exec rm -rf {} +
	# numpy.testing, which ordinary imports reach, needs modules beside the tests
	find /usr/lib/python3/dist-packages -type d -name tests \
		! -path '*/numpy/*' -prune -exec rm -rf {} +
	find /usr/lib/python3/dist-packages/numpy -path '*/tests/*' \
		-name 'test_*' -type f -delete
	find / -xdev \( -path /proc -o -path /sys -o -path /dev \) -prune -o \
		-perm /6000 ! -type l -exec chmod ug-s {} +

	# A font list made now saves every sandbox a scan of the font directories.
	# The imports prove that what was removed is not missed.
	MPLCONFIGDIR=/var/cache/matplotlib
	export MPLCONFIGDIR
	mkdir -p "$MPLCONFIGDIR"
	MPLBACKEND=Agg PYTHONDONTWRITEBYTECODE=1 python3 -c '
import importlib.metadata, io, warnings
warnings.simplefilter("error", UserWarning)
import bs4, jinja2, lxml.html, networkx, openpyxl, pip, requests, seaborn, sympy, tabulate, tqdm
import matplotlib.pyplot as plt, numpy.testing, pandas as pd
import scipy.stats, scipy.optimize, scipy.signal, scipy.sparse.linalg
import sklearn.cluster, sklearn.datasets, sklearn.ensemble, sklearn.linear_model
frame = pd.DataFrame({"a": [1, 2, 3]})
frame.plot(title="\u5b57\u3042\ud55c")
plt.savefig(io.BytesIO(), format="png")
frame.to_html(), frame.describe()
for name in ("numpy pandas matplotlib scipy scikit-learn seaborn sympy networkx pillow openpyxl lxml beautifulsoup4 "
             "requests jinja2 tabulate tqdm pip").split():
    print("from-packages:", name, importlib.metadata.version(name))
'
	chmod -R a+rX "$MPLCONFIGDIR"
	find /tmp /var/tmp -mindepth 1 -delete
}

# The mirror of the host's first apt source with label $1, or nothing.
host_mirror() {
	command -v apt-get >/dev/null || return 0
	apt-get indextargets --format '$(LABEL)|$(REPO_URI)' \
		'Created-By: Packages' 2>/dev/null |
		sed -n "s,^$1|\(.*[^/]\)/*\$,\1,p" | head -n 1
}

# The host's value of Acquire::$1, or nothing.
apt_setting() {
	command -v apt-config >/dev/null || return 0
	apt-config dump --format '%v%n' "Acquire::$1"
}

# The apt sources for suite $1 and mirror $2 (may be empty): one-line entries,
# or nothing when mmdebstrap's own default is to be used.
sources() {
	uri=${2:-$(host_mirror Debian)}
	[ -n "$uri" ] || return 0
	opt=
	for key in pgp gpg; do
		key=/usr/share/keyrings/debian-archive-keyring.$key
		[ ! -r "$key" ] || opt="[signed-by=$key] "
	done
	echo "deb $opt$uri $1 main"
	case $1 in
	unstable | sid | experimental) return 0 ;;
	esac
	[ -z "$2" ] || return 0
	echo "deb $opt$uri $1-updates main"
	uri=$(host_mirror Debian-Security)
	[ -z "$uri" ] || echo "deb $opt$uri $1-security main"
}

build() {
	command -v mmdebstrap >/dev/null ||
		die "mmdebstrap is missing (package mmdebstrap)"
	src=$(sources "$suite" "$mirror")
	include=$(echo $packages | tr ' ' ,)
	DSB_FINISH=$(cat "$self")
	export DSB_FINISH
	unset SOURCE_DATE_EPOCH # would make byte-code look out of date

	part=$out.part.$$
	trap 'rm -f "$part"' EXIT
	trap 'exit 1' HUP INT TERM
	set -- --variant=essential --include="$include" --format=tar \
		--aptopt='APT::Install-Recommends "false"' \
		--aptopt='Acquire::Retries "3"' \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/usr/include/*' \
		--customize-hook='printf "%s\n" "$DSB_FINISH" | chroot "$1" /bin/sh -s -- --finish >&2' \
		--customize-hook='rm -f "$1"/etc/resolv.conf "$1"/etc/hostname "$1"/etc/dpkg/dpkg.cfg.d/99mmdebstrap' \
		--skip=cleanup/apt --skip=cleanup/mmdebstrap --skip=output/dev
	# A host that reads an archive's snapshot says so in its own configuration.
	[ "$(apt_setting Check-Valid-Until)" != false ] ||
		set -- "$@" --aptopt='Acquire::Check-Valid-Until "false"'
	[ "$(apt_setting Check-Date)" != false ] ||
		set -- "$@" --aptopt='Acquire::Check-Date "false"'
	# To standard output, so that unprivileged mode needs no rights on OUT.
	if [ -n "$src" ]; then
		echo "$src" | mmdebstrap "$@" "$suite" - - >"$part"
	else
		mmdebstrap "$@" "$suite" - >"$part" </dev/null
	fi
	mv "$part" "$out"
}

suite=stable
mirror=
self=$0
while [ $# -gt 0 ]; do
	case $1 in
	--packages)
		echo $packages
		exit
		;;
	--config)
		config
		exit
		;;
	--finish)
		finish
		exit
		;;
	--sources)
		sources "$suite" "$mirror"
		exit
		;;
	--suite)
		suite=${2:?}
		shift 2
		;;
	--mirror)
		mirror=${2:?}
		shift 2
		;;
	-*) die "unknown option '$1'" ;;
	*) break ;;
	esac
done
[ $# = 1 ] || die "usage: from-packages.sh [--suite NAME] [--mirror URI] OUT.tar"
out=$1
build
