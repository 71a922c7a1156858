#!/bin/sh
# SPDX-License-Identifier: MIT
# Sets a build directory up with clang, libFuzzer and the sanitizers: for tests/fuzz/run.sh, and for all other tests.
#
#   build.sh DIRECTORY
set -eu
[ ! -e "$1/build.ninja" ] || exit 0
CC=clang exec meson setup "$1" -Dfuzz=true -Dtests=enabled -Dwerror=true -Db_sanitize=address,undefined -Db_lundef=false
