/* SPDX-License-Identifier: MIT */
#ifndef DSB_PLUGIN_LOADER_H
#define DSB_PLUGIN_LOADER_H

#include <dsandbox/error.h>
#include <dsandbox/plugin.h>

/** A plugin that passed every load check. */
struct dsb_loaded {
    struct dsb_plugin plugin; /**< our own copy; members that the plugin does not have are zero */
    char *path;               /**< the file it came from */
    void *handle;             /**< of dlopen; the code itself is never unmapped */
};

/**
 * Loads a backend plugin: by name from dsb_plugin_dir(), or from the absolute path of its file.
 * One of `name` and `path` may be NULL; when both are given the file must also carry that name.
 * Nothing of the environment is consulted. The file and each directory above it must belong to root
 * or to the effective user and must not be writable by others (a sticky directory may be).
 * *out is new (dsb_loaded_free).
 * Errors: INVALID for a bad name or a relative path, NOT_FOUND when there is no such file (the message
 * lists what is there), PLUGIN for each check that fails.
 */
gboolean dsb_loader_open(const char *name, const char *path, struct dsb_loaded **out, GError **error);

/** Frees `loaded` (may be NULL). Backends opened from it stay valid. */
void dsb_loaded_free(struct dsb_loaded *loaded);

/** Sorted names of the plugins in dsb_plugin_dir(); nothing is loaded. Elements char * (owned). */
GPtrArray *dsb_loader_list(void);

/** Whether `name` is a plugin name: [a-z0-9-]{1,32}. */
gboolean dsb_loader_name_ok(const char *name);

#endif
