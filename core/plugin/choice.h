/* SPDX-License-Identifier: MIT */
#ifndef DSB_PLUGIN_CHOICE_H
#define DSB_PLUGIN_CHOICE_H

#include "plugin/gate.h"
#include "plugin/loader.h"

#include <dsandbox/run.h>

/** A loaded plugin with an opened engine and its facts. */
struct dsb_engine {
    struct dsb_loaded *loaded;
    struct dsb_backend *backend;
    struct dsb_engine_info info;
    struct dsb_open_params params;
    char *runtime_dir, *endpoint;
    int cancel_fd; /**< a copy of the options' */
    const struct dsb_run_options *listener;
};

/**
 * Open the backend that the options name; "auto" (or NULL) is the first of dsb_engine_names that answers and can hold
 * the limits that are wanted, or the first that answers. Says on the log which and why.
 */
struct dsb_engine *dsb_engine_open(const struct dsb_run_options *options, GError **error);

/** One backend by name (NULL: whatever the options' plugin file is called). */
struct dsb_engine *dsb_engine_open_one(const char *name, const struct dsb_run_options *options, GError **error);
/** The names that "auto" tries, in order. */
const char *const *dsb_engine_names(void);
/** One that is taken only where it is named, and may have left something all the same. */
const char *dsb_engine_named_only(void);
/** The options ask for one backend, not for "auto". */
gboolean dsb_engine_is_named(const struct dsb_run_options *options);

typedef struct dsb_engine *(*dsb_engine_opener)(const char *name, const struct dsb_run_options *options,
                                                GError **error);
/** What "auto" does. UNAVAILABLE: none answers; the message has each one's reason. */
struct dsb_engine *dsb_engine_pick(const char *const *names, dsb_engine_opener open,
                                   const struct dsb_run_options *options, GError **error);

/** Whose log gets the engine's diagnostics from now on; NULL: nobody's. At first it is that of dsb_engine_open. */
void dsb_engine_listen(struct dsb_engine *engine, const struct dsb_run_options *options);
void dsb_engine_close(struct dsb_engine *engine);
/** "memory,swap", or NULL: it can hold all that is wanted (g_free). */
char *dsb_engine_missing_limits(const struct dsb_engine *engine, const struct dsb_run_options *options);
/** dsb_backend_prepare; where the image is not there, the message says which other engine has it. */
gboolean dsb_engine_prepare(struct dsb_engine *engine, const struct dsb_run_options *options, const char *image,
                            struct dsb_image_info *info, GError **error);
/** REFUSED for an engine on another host: it could not mount the session directory. */
gboolean dsb_engine_check_local(const struct dsb_engine *engine, GError **error);

void dsb_say(const struct dsb_run_options *options, const char *format, ...) G_GNUC_PRINTF(2, 3);

#endif
