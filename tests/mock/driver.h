/* SPDX-License-Identifier: MIT */
/* The operations of a plugin through the core's gate, one by one, as the core would call them. */
#ifndef DSB_TEST_DRIVER_H
#define DSB_TEST_DRIVER_H

#include "plugin/gate.h"
#include "policy/resolve.h"

enum driver_op {
    OP_OPEN,
    OP_PREPARE,
    OP_CREATE,
    OP_INSPECT,
    OP_START,
    OP_DESTROY,
    OP_LIST,
    OP_IMPORT,
    N_OPS
};

/** Names, and the exchanges that each consists of (NULL-terminated). */
struct driver_step {
    const char *name;
    const char *exchanges[3];
};
extern const struct driver_step driver_steps[N_OPS];

#define DRIVER_NAME "dsb-recorded"
#define DRIVER_OWNER "1000.1.1"
#define DRIVER_IMAGE "dsandbox-sandbox:latest"
#define DRIVER_IMPORT "dsandbox-recorded:latest"
/** Stands for the id of the container in the recordings. */
#define DRIVER_ID "c0ffee0123456789c0ffee0123456789c0ffee0123456789c0ffee0123456789"

struct driver {
    struct dsb_loaded *loaded;
    struct dsb_open_params params;
    struct dsb_resolved *resolved;
    struct dsb_backend *backend; /**< NULL: not open */
    char *tarball;
    char *id;
    /* of the last operation */
    struct dsb_observed observed;
    struct dsb_image_info image;
    GPtrArray *leftovers;
    GByteArray *stream;  /**< what START read until the end, or what was wanted */
    gsize stream_wanted; /**< 0: until the end */
    char *diagnostic;
    gboolean stream_failed; /**< it ended with an error */
};

/** Does not open. `work` is a directory for what is made; session and guest directory go into the spec. */
struct driver *driver_new(const char *plugin, const char *endpoint, const char *work, const char *session,
                          const char *guest, gboolean rootless);
void driver_free(struct driver *driver);
/** OP_OPEN opens anew. */
gboolean driver_do(struct driver *driver, enum driver_op op, GError **error);

#endif
