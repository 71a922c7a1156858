# SPDX-License-Identifier: MIT
# The sandbox image of the rig: made once for each recipe, and imported into the engines. A part of rig.sh.

recipe_key() {
	{
		cat "$top/images/from-packages.sh"
		echo "${DSB_RIG_SUITE:-stable}"
	} | sha256sum | cut -c1-32
}

# The configuration of the image as quoted --change arguments, for eval.
change_args() { # label
	{
		"$top/images/from-packages.sh" --config
		echo "LABEL dsandbox.recipe=$1"
	} | sed "s/'/'\\\\''/g; s/^/--change '/; s/\$/'/" | tr '\n' ' '
}

make_tar() { # key; prints the path
	tar=$images/$1.tar
	if [ ! -s "$tar" ]; then
		say "making the sandbox image from packages (about two minutes, once)"
		limit 1200 "$top/images/from-packages.sh" \
			--suite "${DSB_RIG_SUITE:-stable}" "$tar" \
			>"$images/log" 2>&1 || {
			say "image: $(tail -n 2 "$images/log" | tr '\n' ' ')"
			return 1
		}
		find "$images" -name '*.tar*' ! -name "$1.tar" -delete
	fi
	echo "$tar"
}

import_one() { # engine tar key
	case $1 in
	docker) docker_import "$2" "$3" ;;
	podman) podman_import "$podman_sock" "$2" "$3" ;;
	rootless) podman_import "$rootless_sock" "$2" "$3" && rootless_prewarm ;;
	esac && return
	say "$1 did not take the image"
	return 1
}

# Bring the image into every running engine that lacks it, all at once.
import_all() {
	key=$(recipe_key)
	jobs=
	for e in docker podman rootless; do
		running $e || continue
		has_image $e "$key" && continue
		tar=$(make_tar "$key") || return 1
		say "importing $image into $e"
		import_one $e "$tar" "$key" &
		jobs="$jobs $!"
	done
	failed=0
	for j in $jobs; do
		wait "$j" || failed=1
	done
	return $failed
}

has_image() { # engine key
	case $1 in
	docker) docker_has_image "$2" ;;
	podman) podman_has_image "$podman_sock" "$2" ;;
	rootless) podman_has_image "$rootless_sock" "$2" ;;
	esac
}

running() { # engine
	case $1 in
	docker) ping "$docker_sock" ;;
	podman) ping "$podman_sock" ;;
	rootless) ping "$rootless_sock" ;;
	esac
}
