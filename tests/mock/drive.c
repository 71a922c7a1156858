/* SPDX-License-Identifier: MIT */
/* Every operation once on a real engine, for record.py: drive PLUGIN ENDPOINT WORK SESSION GUEST rootful|rootless */
#include "driver.h"

#include <stdio.h>
#include <string.h>

/* A hello frame has u32 length, u8 type, u32 execution; its text is longer than this. */
#define HELLO_LEAST 200

static gboolean all(struct driver *driver, GError **error)
{
    static const enum driver_op order[] = {OP_OPEN,  OP_PREPARE, OP_CREATE, OP_INSPECT, OP_START,
                                           OP_LIST,    OP_DESTROY, OP_IMPORT};
    driver->stream_wanted = HELLO_LEAST;
    for (gsize i = 0; i < G_N_ELEMENTS(order); i++) {
        if (!driver_do(driver, order[i], error)) {
            g_prefix_error(error, "%s: ", driver_steps[order[i]].name);
            return FALSE;
        }
    }
    return TRUE;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    if (argc != 7)
        g_error("usage: drive PLUGIN ENDPOINT WORK SESSION GUEST rootful|rootless");
    struct driver *driver = driver_new(argv[1], argv[2], argv[3], argv[4], argv[5], strcmp(argv[6], "rootless") == 0);
    gboolean good = all(driver, &error);
    if (!good)
        fprintf(stderr, "drive: %s\n", error->message);
    if (!good && driver->backend && driver->id)
        driver_do(driver, OP_DESTROY, NULL);
    driver_free(driver);
    return good ? 0 : 1;
}
