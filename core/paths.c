/* SPDX-License-Identifier: MIT */
#include "paths.h"

#include <dlfcn.h>
#include <dsandbox/dsandbox.h>

/* The build tree's directories count only while the library itself is the one in the build tree. */
static gboolean in_build_tree(void)
{
    Dl_info info;
    if (dladdr((const void *) dsb_version, &info) == 0 || info.dli_fname == NULL)
        return FALSE;
    g_autofree char *path = g_canonicalize_filename(info.dli_fname, NULL);
    return g_str_has_prefix(path, DSB_BUILD_DIR "/");
}

static const char *pick(const char *built, const char *installed)
{
    static int built_tree = -1;
    if (built_tree < 0)
        built_tree = in_build_tree();
    return built_tree ? built : installed;
}

const char *dsb_plugin_dir(void) { return pick(DSB_BUILD_DIR "/backends", DSB_PLUGIN_DIR); }

const char *dsb_guest_dir(void) { return pick(DSB_BUILD_DIR "/guest/payload", DSB_GUEST_DIR); }

const char *dsb_version(void) { return DSB_VERSION; }
