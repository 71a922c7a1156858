/* SPDX-License-Identifier: MIT */
/* A whole conversation with pid 1: hello, streams, the user's report, done; then the result that is printed. */
#include "run/execution.h"
#include "fuzz.h"
#include "spec.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>

struct fake {
    struct fuzz_input input;
    gsize step;
    gboolean blocked;
};

static gssize fake_read(void *state, void *buffer, gsize size, GError **error)
{
    struct fake *fake = state;
    fake->blocked = !fake->blocked;
    if (fake->blocked) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_WOULD_BLOCK, "later");
        return -1;
    }
    gsize n = MIN(MIN(fake->step, size), fake->input.size);
    for (gsize i = 0; i < n; i++)
        ((uint8_t *) buffer)[i] = fuzz_byte(&fake->input);
    return (gssize) n;
}

static gssize fake_write(void *state, const void *buffer, gsize size, GError **error)
{
    (void) state;
    (void) buffer;
    (void) error;
    return (gssize) size;
}

static void take(void *data, int stream, const void *bytes, gsize size)
{
    (void) data;
    (void) bytes;
    PROMISE((stream == 1 || stream == 2) && size > 0);
}

static void talk(struct dsb_wire *wire, gboolean session, int dir_fd, struct dsb_result *result)
{
    const struct dsb_run_options options = {
        .struct_size = sizeof options, .init = DSB_INIT, .cancel_fd = DSB_FD_NONE, .output = take};
    const struct dsb_request request = {.struct_size = sizeof request,
                                        .init = DSB_INIT,
                                        .code = "pass",
                                        .code_size = 4,
                                        .stdin_fd = DSB_FD_NONE};
    struct dsb_exec exec = {.wire = wire,
                            .limits = fuzz_resolved(),
                            .dir_fd = dir_fd,
                            .number = 1,
                            .session = session,
                            .timeout_ms = 1000,
                            .disk_bytes = UINT64_MAX,
                            .disk_inodes = UINT64_MAX,
                            .options = &options,
                            .result = result};
    g_autofree char *hello = NULL;
    GError *error = NULL;
    gboolean ok = dsb_exec_hello(wire, -1, g_get_monotonic_time() + 10 * G_USEC_PER_SEC, &hello, &error);
    PROMISE(ok == (error == NULL));
    if (ok) {
        dsb_exec_configure(wire, fuzz_resolved(), session, DSB_CHECKPOINT_IDLE, FALSE);
        ok = dsb_exec_begin(&exec, &request, &error);
        while (ok && !exec.over)
            ok = dsb_exec_turn(&exec, TRUE, &error);
        PROMISE(ok == (error == NULL));
    }
    if (!ok)
        dsb_result_fail(result, error);
}

/* Whatever was said, what we print is JSON. */
static void check_printed(struct dsb_result *result)
{
    for (int pretty = 0; pretty < 2; pretty++) {
        g_autofree char *text = dsb_result_json(result, pretty);
        PROMISE(g_utf8_validate(text, -1, NULL));
        struct json_tokener *tokener = json_tokener_new_ex(64);
        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
        struct json_object *root = json_tokener_parse_ex(tokener, text, (int) strlen(text));
        PROMISE(json_tokener_get_error(tokener) == json_tokener_success);
        json_tokener_free(tokener);
        json_object_put(root);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int always_ready = -1, dir_fd = -1;
    if (dir_fd < 0) {
        g_autofree char *dir = g_dir_make_tmp(NULL, NULL);
        dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        always_ready = open("/dev/zero", O_RDWR | O_CLOEXEC);
        g_rmdir(dir); /* an open directory without a name is enough */
    }
    struct fake fake = {.input = {data, size}};
    uint8_t how = fuzz_byte(&fake.input);
    fake.step = 1 + (gsize) how * 16;
    struct dsb_byte_stream stream = {.state = &fake,
                                        .read_fd = always_ready,
                                        .write_fd = always_ready,
                                        .read = fake_read,
                                        .write = fake_write};
    struct dsb_wire wire;
    dsb_wire_init(&wire, &stream);
    g_autoptr(dsb_result) result = dsb_result_new();
    talk(&wire, how & 1, dir_fd, result);
    check_printed(result);
    dsb_wire_clear(&wire);
    return 0;
}
