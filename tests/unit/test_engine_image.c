/* SPDX-License-Identifier: MIT */
/* What an engine gets to make an image of: a Dockerfile without a context goes alone in a tar. */
#include "engine/engine.h"
#include "untar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define FIRST_LINE "FROM scratch\n"

static GByteArray *sent;
static char *path;

gboolean __wrap_dsbe_http_call(struct dsbe_http *http, const struct dsbe_request *request,
                               struct dsbe_response *response, GError **error);

gboolean __wrap_dsbe_http_call(struct dsbe_http *http, const struct dsbe_request *request,
                               struct dsbe_response *response, GError **error)
{
    (void) http;
    assert_false(request->upload);
    assert_string_equal(request->content_type, "application/x-tar");
    path = g_strdup(request->path);
    g_byte_array_append(sent, (const guint8 *) request->body, (guint) request->body_size);
    response->status = 200;
    response->body = g_string_new(NULL);
    return request->line(request->line_data, "{\"stream\":\"Step 1\"}", 19, error);
}

/* The one entry of a whole archive, which `text` is the content of; two empty blocks end it. */
static void assert_entry(const GByteArray *archive, const char *name, const char *text)
{
    struct tar_reader reader = {.fd = memfd_create("sent", MFD_CLOEXEC), .origin = "sent"};
    gboolean end = FALSE;
    static const guint8 zeros[2 * TAR_BLOCK];
    gsize blocks = 1 + (strlen(text) + TAR_BLOCK - 1) / TAR_BLOCK + 2;
    assert_int_equal(archive->len, blocks * TAR_BLOCK);
    assert_memory_equal(archive->data + archive->len - sizeof zeros, zeros, sizeof zeros);
    assert_int_equal(write(reader.fd, archive->data, archive->len), archive->len);
    assert_int_equal(lseek(reader.fd, 0, SEEK_SET), 0);
    assert_true(tar_next(&reader, &end, NULL) && !end);
    assert_string_equal(reader.name, name);
    assert_int_equal(reader.type, TAR_FILE);
    assert_int_equal(reader.size, strlen(text));
    g_autofree char *content = g_malloc0(reader.size + 1);
    assert_int_equal(tar_read(&reader, content, reader.size, NULL), reader.size);
    assert_string_equal(content, text);
    assert_true(tar_next(&reader, &end, NULL) && end);
    tar_clear(&reader);
    close(reader.fd);
}

static gboolean make(const struct dsbe_dialect *dialect, const char *dockerfile, GError **error)
{
    const struct dsb_open_params params = {.struct_size = sizeof params, .cancel_fd = -1};
    g_autoptr(dsbe_client) client =
        dsbe_client_new(dialect, dsbe_endpoint_parse("unix:///nothing/here", FALSE, NULL), &params);
    const struct dsb_image_source source = {.struct_size = sizeof source, .dockerfile = dockerfile, .name = "x:y"};
    client->prefix = g_strdup("/v1.40");
    return dsbe_op_image_make(client, &source, error);
}

static void dockerfile_alone(void **state)
{
    (void) state;
    static const struct dsbe_dialect *const dialects[] = {&dsbe_docker, &dsbe_libpod};
    g_autoptr(GString) text = g_string_new(FIRST_LINE);
    g_autofree char *file = g_strdup("/tmp/dsb-dockerfile-XXXXXX");
    close(g_mkstemp(file));
    /* With and without room behind it in the last block. */
    for (unsigned n = 0; n < 2 * G_N_ELEMENTS(dialects); n++) {
        sent = g_byte_array_new();
        g_string_truncate(text, strlen(FIRST_LINE));
        for (unsigned size = n % 2 == 0 ? TAR_BLOCK : 0; text->len < size;)
            g_string_append_c(text, '#');
        assert_true(g_file_set_contents(file, text->str, (gssize) text->len, NULL));
        assert_true(make(dialects[n / 2], file, NULL));
        assert_true(g_str_has_suffix(path, "&t=x:y"));
        assert_entry(sent, "Dockerfile", text->str);
        g_byte_array_unref(sent);
        g_clear_pointer(&path, g_free);
    }
    unlink(file);
    g_autoptr(GError) error = NULL;
    assert_false(make(&dsbe_docker, file, &error));
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_NOT_FOUND));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dockerfile_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
