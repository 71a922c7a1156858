/* SPDX-License-Identifier: MIT */
/* What the service and the process of a session say to each other: all of it comes over, and nothing else is taken. */
#include "shared/order.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static int ends[2];

static int pair(void **state)
{
    (void) state;
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends);
}

static int unpair(void **state)
{
    (void) state;
    close(ends[0]);
    close(ends[1]);
    return 0;
}

/* In a packet, and in a file. */
static void every_size(void **state)
{
    (void) state;
    const guint sizes[] = {0, 1, 98303, 98304, 98305, 1u << 20, 20u << 20};
    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(GByteArray) pack = g_byte_array_new();
        struct frame frame;
        int pipes[2];
        assert_int_equal(pipe(pipes), 0);
        g_byte_array_set_size(pack, sizes[i]);
        if (sizes[i] > 0)
            memset(pack->data, 'x', sizes[i]);
        assert_true(frame_send(ends[0], FRAME_ORDER, pack, pipes, 2));
        assert_int_equal(frame_receive(ends[1], &frame), 1);
        assert_int_equal(frame.type, FRAME_ORDER);
        assert_int_equal(frame.size, sizes[i]);
        if (sizes[i] > 0)
            assert_memory_equal(frame.bytes, pack->data, sizes[i]);
        close(pipes[1]);
        assert_int_equal(write(frame.fds[1], "y", 1), 1);
        char got = 0;
        assert_int_equal(read(frame.fds[0], &got, 1), 1);
        assert_int_equal(got, 'y');
        close(pipes[0]);
        frame_clear(&frame);
        assert_int_equal(frame.fds[0], -1);
    }
    struct frame none;
    assert_int_equal(frame_receive(ends[1], &none), -1);
    assert_int_equal(errno, EAGAIN);
}

/* Heads that lie. */
static void no_frames(void **state)
{
    (void) state;
    const struct {
        guint32 type, in_file;
        guint64 size;
    } heads[] = {{3, 0, 1}, {3, 1, 0}, {3, 2, 0}, {3, 0, G_MAXUINT64}, {3, 0, 17}};
    for (gsize i = 0; i < G_N_ELEMENTS(heads); i++) {
        struct frame frame;
        assert_int_equal(send(ends[0], &heads[i], sizeof heads[i], 0), sizeof heads[i]);
        assert_int_equal(frame_receive(ends[1], &frame), -1);
        assert_int_equal(errno, EPROTO);
    }
    struct frame frame;
    assert_int_equal(send(ends[0], heads, 5, 0), 5);
    assert_int_equal(frame_receive(ends[1], &frame), -1);
    assert_int_equal(errno, EPROTO);
}

static struct frame frame_of(const GByteArray *pack, gsize size)
{
    return (struct frame){.type = FRAME_OUTCOME, .bytes = pack->data, .size = size, .fds = FRAME_NO_FDS};
}

/* A frame that was cut anywhere, or goes on, is none. */
static void cut_outcomes(void **state)
{
    (void) state;
    g_autoptr(GByteArray) pack = g_byte_array_new();
    struct outcome sent = {.error = g_error_new_literal(g_quark_from_static_string("x"), 7, "why"),
                           .text = text_new("{\"a\":1}"),
                           .status = "lost",
                           .summary = {.wall_ms = -1, .usage = g_strdup("{}"), .error_name = g_strdup("E")},
                           .alive = TRUE,
                           .ended = g_strdup("gone")};
    struct outcome got;
    sent.facts[FACT_ENGINE] = g_strdup("null");
    int file = -1;
    assert_true(outcome_pack(&sent, pack, &file));
    assert_int_equal(file, -1);
    for (guint size = 0; size < pack->len; size++) {
        struct frame frame = frame_of(pack, size);
        assert_false(outcome_unpack(&frame, &got));
    }
    struct frame whole = frame_of(pack, pack->len);
    assert_true(outcome_unpack(&whole, &got));
    assert_string_equal(got.error->message, "why");
    assert_string_equal(text_memory(got.text), text_memory(sent.text));
    assert_string_equal(got.status, "lost");
    assert_int_equal(got.summary.wall_ms, -1);
    assert_string_equal(got.facts[FACT_ENGINE], "null");
    assert_true(got.alive && !got.opened);
    outcome_clear(&got);
    g_byte_array_append(pack, (const guint8 *) "z", 1);
    struct frame longer = frame_of(pack, pack->len);
    assert_false(outcome_unpack(&longer, &got));
    outcome_clear(&sent);
}

/* A large text is a file beside the frame; what does not fit together is no outcome, and leaves nothing behind. */
static void large_text(void **state)
{
    (void) state;
    g_autoptr(GByteArray) pack = g_byte_array_new();
    g_autofree char *bytes = g_strnfill(2 << 20, 'x');
    struct outcome sent = {.text = text_new(bytes), .status = "ok"}, got;
    char end[4] = {0};
    int file = -1;
    assert_true(outcome_pack(&sent, pack, &file));
    assert_true(file >= 0 && pack->len < 1000);
    struct frame without = frame_of(pack, pack->len);
    assert_false(outcome_unpack(&without, &got));
    struct frame frame = frame_of(pack, pack->len);
    frame.fds[0] = file;
    assert_true(outcome_unpack(&frame, &got));
    assert_int_equal(frame.fds[0], -1);
    assert_null(text_memory(got.text));
    assert_int_equal(text_size(got.text), 2 << 20);
    assert_true(text_read(got.text, (2 << 20) - 3, end, 3));
    assert_string_equal(end, "xxx");
    assert_false(text_read(got.text, (2 << 20) - 3, end, 4));
    outcome_clear(&got);
    assert_int_equal(fcntl(file, F_GETFD), -1);
    outcome_clear(&sent);

    g_autoptr(GByteArray) small = g_byte_array_new();
    const struct outcome little = {.status = "ok"};
    assert_true(outcome_pack(&little, small, &file));
    struct frame with = frame_of(small, small->len);
    with.fds[0] = text_file("x", 1);
    assert_false(outcome_unpack(&with, &got));
    frame_clear(&(struct frame){.fds = {with.fds[0], -1}});
}

/* Shorter than its sender said: what is there is not handed on. */
static void cut_text(void **state)
{
    (void) state;
    char bytes[4];
    struct text *text = text_in_file(text_file("abc", 3), 5), *second = text_ref(text);
    text_unref(text);
    assert_true(text_read(second, 0, bytes, 3));
    assert_false(text_read(second, 0, bytes, 4));
    assert_false(text_read(second, 6, bytes, 0));
    text_clear(&second);
    assert_null(second);
}

/* JSON that would end a line of the audit log, or an event, is refused with all that came with it. */
static void control_characters(void **state)
{
    (void) state;
    const char *const texts[] = {"{\n}", "", "\"\x1b\"", "{}\r"};
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GByteArray) pack = g_byte_array_new();
        const struct outcome sent = {.summary = {.usage = (char *) texts[i]}};
        struct outcome got;
        int file = -1;
        assert_true(outcome_pack(&sent, pack, &file));
        struct frame frame = frame_of(pack, pack->len);
        assert_false(outcome_unpack(&frame, &got));
    }
}

/* What is too long for its field ends with a whole character. */
static void long_words(void **state)
{
    (void) state;
    for (gsize shift = 0; shift < 4; shift++) {
        g_autoptr(GByteArray) pack = g_byte_array_new();
        GString *words = g_string_new(NULL);
        for (gsize i = 0; i < shift; i++)
            g_string_append_c(words, 'a');
        for (int i = 0; i < 3000; i++)
            g_string_append(words, "\xf0\x9f\x90\x8d");
        const struct outcome sent = {.summary = {.error_value = words->str}};
        struct outcome got;
        int file = -1;
        assert_true(outcome_pack(&sent, pack, &file));
        struct frame frame = frame_of(pack, pack->len);
        assert_true(outcome_unpack(&frame, &got));
        assert_true(g_utf8_validate(got.summary.error_value, -1, NULL));
        assert_true(strlen(got.summary.error_value) > 4000);
        outcome_clear(&got);
        g_string_free(words, TRUE);
    }
}

static void orders(void **state)
{
    (void) state;
    g_autoptr(GByteArray) pack = g_byte_array_new();
    char *argv[] = {(char *) "a", (char *) "", NULL}, *command[] = {(char *) "ls", NULL};
    const struct order sent = {.kind = JOB_EXECUTE, .id = (char *) "x-1", .before = 7, .events = TRUE, .argv = argv,
                               .command = command, .cwd = (char *) "/tmp", .rows = 24, .columns = 80,
                               .code = "a\0b", .code_size = 3, .timeout_ms = 5};
    struct order got;
    order_pack(&sent, pack);
    for (guint size = 0; size < pack->len; size++) {
        struct frame frame = frame_of(pack, size);
        assert_false(order_unpack(&frame, &got));
    }
    struct frame frame = frame_of(pack, pack->len);
    assert_true(order_unpack(&frame, &got));
    assert_int_equal(got.code_size, 3);
    assert_memory_equal(got.code, "a\0b", 3);
    assert_int_equal(g_strv_length(got.argv), 2);
    assert_string_equal(got.command[0], "ls");
    assert_string_equal(got.cwd, "/tmp");
    assert_true(got.rows == 24 && got.columns == 80);
    assert_null(got.env);
    assert_null(got.lost);
    assert_true(got.before == 7 && got.timeout_ms == 5 && got.events && !got.flag);
    order_clear(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_size, pair, unpair),
        cmocka_unit_test_setup_teardown(no_frames, pair, unpair),
        cmocka_unit_test(cut_outcomes),
        cmocka_unit_test(large_text),
        cmocka_unit_test(cut_text),
        cmocka_unit_test(control_characters),
        cmocka_unit_test(long_words),
        cmocka_unit_test(orders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
