/* SPDX-License-Identifier: MIT */
/* The memory plugin behind the gate, and a spec that it takes. */
#ifndef DSB_TEST_GATE_FIXTURE_H
#define DSB_TEST_GATE_FIXTURE_H

#include "plugin/gate.h"
#include "spec_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <dsandbox/admin.h>

static const char *const argv[] = {"/opt/dsandbox/dsb-init", NULL};
static const struct dsb_bind *const binds[] = {BIND("/tmp", "/sandbox", FALSE), BIND("/usr", "/opt/dsandbox", TRUE)};
static const struct dsb_pair *const labels[] = {PAIR(DSB_LABEL_OWNER, "me"), PAIR(DSB_LABEL_SESSION, "s"),
                                                PAIR(DSB_LABEL_DEADLINE, "7")};

static inline struct dsb_spec good_spec(void)
{
    return (struct dsb_spec){
        .struct_size = sizeof(struct dsb_spec),
        .required = DSB_CONTROLS_ALL,
        .name = "dsb-test",
        .image = "sha256:0123",
        .labels = labels,
        .n_labels = G_N_ELEMENTS(labels),
        .argv = argv,
        .workdir = "/sandbox",
        .hostname = "sandbox",
        .binds = binds,
        .n_binds = G_N_ELEMENTS(binds),
        .uid = 1000,
        .gid = 1000,
        .memory_bytes = 1 << 20,
    };
}

/** The memory plugin, loaded afresh: tests replace its operations. */
static inline struct dsb_loaded *load_memory(void)
{
    struct dsb_loaded *loaded = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_build_filename(g_getenv("DSB_TEST_PLUGINS"), "libdsandbox-memory.so", NULL);
    if (!dsb_loader_open(NULL, path, &loaded, &error))
        fail_msg("%s", error->message);
    return loaded;
}

static inline struct dsb_backend *open_loaded(struct dsb_loaded *loaded)
{
    struct dsb_open_params params = {.struct_size = sizeof params};
    struct dsb_backend *backend = NULL;
    assert_true(dsb_backend_open(loaded, &params, &backend, NULL));
    dsb_loaded_free(loaded);
    return backend;
}

static inline struct dsb_backend *open_memory(void) { return open_loaded(load_memory()); }

static inline void assert_code(GError **error, int code, const char *word)
{
    assert_non_null(*error);
    if (!g_error_matches(*error, DSB_ERROR, code) || strstr((*error)->message, word) == NULL)
        fail_msg("code %d instead of %d, or no \"%s\" in: %s", (*error)->code, code, word, (*error)->message);
    g_clear_error(error);
}

#endif
