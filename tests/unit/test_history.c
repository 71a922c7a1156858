/* SPDX-License-Identifier: MIT */
/* The history of a session: what is kept of an execution, for how many, and that another service gets the same. */
#include "broker/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

char *iso_time(gint64 real_us);
char *iso_time(gint64 real_us) { return g_strdup_printf("T%" G_GINT64_FORMAT, real_us); }

static void run(struct history *history, guint64 n, const char *code, gsize size)
{
    struct job job = {.id = (char *) "x-1"};
    job.execution.code = code;
    job.execution.code_size = size;
    job.outcome.status = "ok";
    job.outcome.began = 5;
    job.outcome.summary.wall_ms = 7;
    history_add(history, n, &job);
}

static char *text_of(const struct history *history)
{
    struct json_object *object = history_json(history);
    char *text = g_strdup(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));
    json_object_put(object);
    return text;
}

/* The member of the nth execution that is kept. */
static struct json_object *member(struct json_object *object, gsize i, const char *name)
{
    struct json_object *array = NULL, *value = NULL;
    assert_true(json_object_object_get_ex(object, "executions", &array));
    json_object_object_get_ex(json_object_array_get_idx(array, i), name, &value);
    return value;
}

static void what_is_told(void **state)
{
    struct history *history = history_new();
    struct job job = {.id = (char *) "x-2"};
    (void) state;
    g_autofree char *none = text_of(history);
    assert_string_equal(none, "{\"executions\":[],\"truncated\":false}");
    run(history, 1, "1 + 1", 5);
    job.execution.code = "1/0";
    job.execution.code_size = 3;
    job.outcome.status = "error";
    job.outcome.began = 6;
    job.outcome.summary = (struct summary){.wall_ms = -1, .error_name = (char *) "E",
                                            .error_value = (char *) "by zero"};
    history_add(history, 2, &job);
    g_autofree char *text = text_of(history);
    assert_string_equal(text, "{\"executions\":["
                              "{\"n\":1,\"id\":\"x-1\",\"code\":\"1 + 1\",\"code_truncated\":false,\"command\":false,"
                              "\"status\":\"ok\",\"started\":\"T5\",\"wall_ms\":7},"
                              "{\"n\":2,\"id\":\"x-2\",\"code\":\"1\\/0\",\"code_truncated\":false,\"command\":false,"
                              "\"status\":\"error\",\"started\":\"T6\",\"wall_ms\":null,"
                              "\"error\":{\"name\":\"E\",\"value\":\"by zero\"}}],\"truncated\":false}");
    history_free(history);
    history_free(NULL);
}

/* 64 KiB of code, and 4 KiB of an error's text; a character is not cut. */
static void long_texts_are_cut(void **state)
{
    struct history *history = history_new();
    g_autoptr(GString) code = g_string_new(NULL), value = g_string_new("x");
    (void) state;
    while (code->len < 65536)
        g_string_append_c(code, 'a');
    run(history, 1, code->str, code->len);
    g_string_truncate(code, 65535);
    g_string_append(code, "\xe2\x82\xac"); /* one character over the end */
    run(history, 2, code->str, code->len);
    while (value->len < 5000)
        g_string_append(value, "\xc3\xa4");
    struct job job = {.id = (char *) "x"};
    job.execution.code = "";
    job.outcome.status = "error";
    job.outcome.summary.error_name = (char *) "E";
    job.outcome.summary.error_value = value->str;
    history_add(history, 3, &job);
    struct json_object *object = history_json(history), *error, *text = NULL;
    assert_false(json_object_get_boolean(member(object, 0, "code_truncated")));
    assert_int_equal(json_object_get_string_len(member(object, 0, "code")), 65536);
    assert_true(json_object_get_boolean(member(object, 1, "code_truncated")));
    assert_int_equal(json_object_get_string_len(member(object, 1, "code")), 65535);
    error = member(object, 2, "error");
    assert_true(json_object_object_get_ex(error, "value", &text));
    assert_int_equal(json_object_get_string_len(text), 4095);
    assert_true(g_utf8_validate(json_object_get_string(text), -1, NULL));
    json_object_put(object);
    history_free(history);
}

static gboolean is_truncated(const struct history *history)
{
    struct json_object *object = history_json(history), *value = NULL;
    assert_true(json_object_object_get_ex(object, "truncated", &value));
    gboolean truncated = json_object_get_boolean(value);
    json_object_put(object);
    return truncated;
}

static struct history *copy;

static void unpack_one(gpointer data, const GByteArray *pack)
{
    struct unpack unpack = {pack->data, pack->len, FALSE};
    (void) data;
    assert_true(history_unpack(copy, &unpack));
}

/* A command, as a shell would read it, for this service and the next one. */
static void commands_are_lines(void **state)
{
    static const char *const words[] = {"ls", "-l", "a b", "", "it's", "\xc3\xa4", "./x=1", NULL};
    struct history *history = history_new(), *next = history_new();
    struct job job = {.id = (char *) "x-1", .outcome.status = "ok"};
    (void) state;
    job.execution.command = (char **) (gpointer) words;
    history_add(history, 1, &job);
    g_autofree char *large = g_strnfill(70000, 'a');
    char *many[] = {(char *) "echo", large, large, NULL};
    job.execution.command = many;
    history_add(history, 2, &job);
    struct json_object *object = history_json(history);
    assert_string_equal(json_object_get_string(member(object, 0, "code")), "ls -l 'a b' '' 'it'\\''s' '\xc3\xa4' ./x=1");
    assert_true(json_object_get_boolean(member(object, 0, "command")));
    assert_true(json_object_get_boolean(member(object, 1, "code_truncated")));
    assert_int_equal(json_object_get_string_len(member(object, 1, "code")), 65536);
    json_object_put(object);
    g_autofree char *told = text_of(history);
    copy = next;
    history_pack_each(history, unpack_one, NULL);
    g_autofree char *again = text_of(next);
    assert_string_equal(told, again);
    history_free(history);
    history_free(next);
}

static void the_oldest_go(void **state)
{
    struct history *history = history_new();
    g_autofree char *code = g_strnfill(60000, 'a');
    (void) state;
    for (guint64 n = 1; n <= 1000; n++)
        run(history, n, "1", 1);
    assert_false(is_truncated(history));
    run(history, 1001, "1", 1);
    assert_true(is_truncated(history));
    assert_int_equal(history_length(history), 1000);
    struct json_object *object = history_json(history);
    assert_int_equal(json_object_get_int64(member(object, 0, "n")), 2);
    assert_int_equal(json_object_get_int64(member(object, 999, "n")), 1001);
    json_object_put(object);
    copy = history_new();
    history_pack_each(history, unpack_one, NULL);
    assert_true(is_truncated(copy));
    history_free(copy);
    for (guint64 n = 1; n <= 200; n++)
        run(history, n, code, 60000);
    guint length = history_length(history);
    assert_in_range(length, 130, 139); /* 8 MiB of it */
    object = history_json(history);
    assert_int_equal(json_object_get_int64(member(object, length - 1, "n")), 200);
    json_object_put(object);
    history_free(history);
}

static void another_service_gets_the_same(void **state)
{
    struct history *history = history_new();
    struct job job = {.id = (char *) "x-9"};
    (void) state;
    copy = history_new();
    g_autoptr(GByteArray) none = g_byte_array_new();
    history_pack_last(history, none);
    assert_int_equal(none->len, 0);
    run(history, 1, "print('\xc3\xa4')", 11);
    job.execution.code = "1/0";
    job.execution.code_size = 3;
    job.outcome.status = "error";
    job.outcome.summary = (struct summary){.wall_ms = -1, .error_name = (char *) "E", .error_value = (char *) "v"};
    history_add(history, 2, &job);
    history_pack_each(history, unpack_one, NULL);
    g_autofree char *before = text_of(history), *after = text_of(copy);
    assert_string_equal(before, after);
    g_autoptr(GByteArray) last = g_byte_array_new();
    history_pack_last(history, last);
    unpack_one(NULL, last);
    assert_int_equal(history_length(copy), 3);
    history_free(copy);
    history_free(history);
}

/* Whatever is missing, or too much: it is no entry, and nothing is added. */
static void no_entries(void **state)
{
    struct history *history = history_new();
    g_autoptr(GByteArray) pack = g_byte_array_new();
    (void) state;
    run(history, 1, "1", 1);
    history_pack_last(history, pack);
    for (guint size = 0; size < pack->len; size++) {
        struct unpack unpack = {pack->data, size, FALSE};
        assert_false(history_unpack(history, &unpack));
    }
    g_byte_array_append(pack, (const guint8 *) "", 1);
    struct unpack more = {pack->data, pack->len, FALSE};
    assert_false(history_unpack(history, &more));
    assert_int_equal(history_length(history), 1);
    g_autofree char *text = g_strnfill((64 << 10) + 1, 'x');
    g_autoptr(GByteArray) large = g_byte_array_new();
    pack_number(large, 1);
    pack_text(large, "x-1");
    pack_text(large, text);
    pack_number(large, 0);
    pack_text(large, "ok");
    pack_number(large, 0);
    pack_number(large, 0);
    pack_text(large, NULL);
    pack_text(large, NULL);
    struct unpack unpack = {large->data, large->len, FALSE};
    assert_false(history_unpack(history, &unpack));
    assert_int_equal(history_length(history), 1);
    history_free(history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_are_lines),
        cmocka_unit_test(what_is_told),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(the_oldest_go),
        cmocka_unit_test(another_service_gets_the_same),
        cmocka_unit_test(no_entries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
