#!/bin/sh
# SPDX-License-Identifier: MIT
# The plugin in Rust as its author will use it: built out of the tree, compared with the C headers, loaded, and asked
# what of the conformance suite holds for what it claims.
#
#   sh examples/plugin-rust/check.sh [PREFIX]     PREFIX: an installed dsandbox; default: installs one, and removes it
#   sh examples/plugin-rust/check.sh --missing    says what is missing to run it, and nothing where nothing is
#
# The last line is "N passed, N failed, N skipped"; the exit status is 0 only if nothing failed.
set -u
here=$(cd "$(dirname "$0")" && pwd) || exit 1
top=$(cd "$here/../.." && pwd) || exit 1

missing() {
	command -v cargo >/dev/null || {
		echo "cargo is not installed"
		return
	}
	version=$(cargo --version | sed -n 's/^cargo 1\.\([0-9]*\)\..*$/\1/p')
	[ "${version:-0}" -ge 82 ] || echo "$(cargo --version) is older than 1.82"
}
[ "${1:-}" != --missing ] || {
	missing
	exit
}

# shellcheck source=plugins/template/check-lib.sh
. "$top/plugins/template/check-lib.sh"
reason=$(missing)
[ -z "$reason" ] || {
	echo "$reason" >"$work/out"
	fail "what it needs is missing"
	exit
}
use "${1:-}"

echo "== build the plugin out of the tree"
mkdir "$work/source"
cp -R "$here/Cargo.toml" "$here/Cargo.lock" "$here/layout.rs" "$here/src" "$work/source/"
CARGO_TARGET_DIR=$work/target
export CARGO_TARGET_DIR
need "building the plugin" sh -c 'cd "$1" && cargo build --offline --locked --release --lib --example layout' sh "$work/source"
plugin=$work/libdsandbox-namespaces.so
cp "$CARGO_TARGET_DIR/release/libdsandbox_namespaces.so" "$plugin"

echo "== its mirrors of the headers"
"$CARGO_TARGET_DIR/release/examples/layout" >"$work/rust.layout"
{
	echo '#include <dsandbox/plugin.h>'
	echo '#include <stdio.h>'
	echo 'int main(void) {'
	sed -n 's/^size \([a-z_]*\) .*$/printf("size \1 %zu\\n", sizeof(struct \1));/p
		s/^offset \([a-z_]*\) \([a-z_]*\) .*$/printf("offset \1 \2 %zu\\n", offsetof(struct \1, \2));/p
		s/^value \([A-Z_]*\) .*$/printf("value \1 %llu\\n", (unsigned long long) \1);/p
		s/^text \([A-Z_]*\) .*$/printf("text \1 %s\\n", \1);/p' "$work/rust.layout"
	echo 'return 0; }'
} >"$work/layout.c"
# shellcheck disable=SC2046
need "compiling the layout in C" cc -o "$work/layout" "$work/layout.c" $(pkg-config --cflags dsandbox-plugin)
"$work/layout" >"$work/c.layout"
run 0 "the same $(wc -l <"$work/c.layout") lines" sh -c 'diff "$1" "$2" && echo "the same $(wc -l <"$2") lines"' sh \
	"$work/c.layout" "$work/rust.layout"
structures=$(cat "$top"/include/dsandbox/plugin.h "$top"/include/dsandbox/spec.h "$top"/include/dsandbox/observed.h |
	sed -n 's/^struct \(dsb_[a-z_]*\) {$/size \1 /p' | sort)
run 0 'all structures' sh -c 'test "$(sed -n "s/^\(size dsb_[a-z_]* \).*$/\1/p" "$1" | sort)" = "$2" && echo all structures' sh \
	"$work/rust.layout" "$structures"
run 0 'dsb_plugin_entry alone' sh -c 'test "$(nm -D --defined-only "$1" | cut -d " " -f 3)" = dsb_plugin_entry && echo dsb_plugin_entry alone' sh "$plugin"

echo "== load it"
mkdir -m 0700 "$work/runtime" "$work/bases"
XDG_RUNTIME_DIR=$work/runtime
export XDG_RUNTIME_DIR
need "making an image" sh "$here/image.sh" "$work/images/small"
d() { # STATUS TEXT ARGUMENT...
	status=$1 text=$2
	shift 2
	run "$status" "$text" "$prefix/bin/dsandbox" --plugin "$plugin" --host "$work/images" "$@"
}
d 0 'the kernel'"'"'s namespaces, without an engine' backend show
run 125 'name the directory that has the images' "$prefix/bin/dsandbox" --plugin "$plugin" run -c pass
run 125 'No such file or directory' "$prefix/bin/dsandbox" --plugin "$plugin" --host "$work/nowhere" run -c pass
d 125 'there is no image other: unpack its root file system' --image other run -c pass
d 126 'the backend does not translate memory,swap,cpu,pids,seccomp' --image small --base-dir "$work/bases/b" run -c pass
chmod g+w "$work/images"
d 125 'others can write in' --image small run -c pass
chmod g-w "$work/images"

if ! unshare --user --map-root-user --mount --pid --net --ipc --uts --cgroup --fork --mount-proc true 2>"$work/out"; then
	echo "SKIP what needs a sandbox: this machine gives out no namespaces: $(tail -n 1 "$work/out")"
	skipped=$((skipped + 1))
	exit
fi

echo "== use it"
open=memory,swap,cpu,pids,seccomp
d 0 'hello' --image small --base-dir "$work/bases/b" --allow-unenforced "$open" run -c 'print("hello")'
d 1 'ZeroDivisionError' --image small --base-dir "$work/bases/b" --allow-unenforced "$open" run -c '1 / 0'
d 125 'there is no network here' --image small --base-dir "$work/bases/b" --allow-unenforced "$open" --network full run -c pass
d 0 ', 0 failed,' conformance --image small --allow-unenforced "$open" --contract
# The groups SC and EQ are about the system call filter alone, and so are these of the others; LM takes minutes.
filter='DV-04|FS-12|IP-06|MT-04|MT-05|US-03|US-05|US-09|US-10'
cases=$("$prefix/bin/dsandbox" conformance --list | grep -oE '^(DV|FS|IP|LK|MT|NW|PS|US)-[0-9]+' | grep -vxE "$filter" | paste -sd, -)
d 0 ', 0 failed,' conformance --image small --allow-unenforced "$open" --case "$cases"

echo "== after a crash"
records=$work/runtime/dsandbox/namespaces
timeout -s KILL 300 "$prefix/bin/dsandbox" --plugin "$plugin" --host "$work/images" --image small --base-dir "$work/bases/b" --allow-unenforced "$open" run -c 'import time; time.sleep(100)' >/dev/null 2>&1 &
began=$!
n=0
until process=$(sed -n 's/^process \([0-9]*\) .*$/\1/p' "$records"/dsb-* 2>/dev/null) && grep -qs '^running 1' "$records"/dsb-*; do
	n=$((n + 1))
	[ $n -lt 300 ] || break
	sleep 0.1
done
parent() { # of a process; 1 and nothing are no parents
	sed -n 's/^PPid:[[:space:]]*//p' "/proc/${1:-none}/status" 2>/dev/null | grep -vx '[01]'
}
host=$(parent "$process") && guard=$(parent "$host") || guard=''
echo "record '$process', its parent '$host', and the one of that '$guard'" >"$work/out"
if [ -z "$guard" ]; then
	fail "no container runs"
else
	kill -KILL "$guard" "$host" # the guard would tidy up
	wait $began
	d 0 'removed' --base-dir "$work/bases/b" gc
	# Not there, or a zombie that waits for init.
	run 0 'ended' sh -c 'case $(sed -n "s/^State:[[:space:]]*\(.\).*/\1/p" "/proc/$1/status" 2>/dev/null) in "" | Z) echo ended ;; esac' sh "$process"
fi
run 0 'nothing left' sh -c 'test -z "$(find "$1" -type f)" && echo nothing left' sh "$records"
exit
