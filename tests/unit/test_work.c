/* SPDX-License-Identifier: MIT */
/*
 * The processor time of the host for what others wrote: the worst input of the largest size that is taken costs no more
 * than ten times a usual one of the same size. Ratios of processor time within one process, the best of some rounds.
 */
#include "attest/hello.h"
#include "broker/httprequest.h"
#include "client/http.h"
#include "common/strictjson.h"
#include "engine/engine.h"
#include "hostdir/scan.h"
#include "run/calls.h"
#include "run/file_changes.h"
#include "run/pid1.h"
#include "run/user_report.h"
#include "scratch.h"
#include "untar.h"

#include "../fuzz/spec.h"

#include <dsandbox/files.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <cmocka.h>

/* What allocates most is many times slower under a sanitizer, whatever is parsed. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RATIO 30
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define RATIO 30
#endif
#ifndef RATIO
#define RATIO 10
#endif
#define ROUNDS 3
#define KEY_PAIRS 14
#define KEYS (1u << KEY_PAIRS)

typedef void (*parser)(const char *text, gsize size);

static double cpu_seconds(void)
{
    struct timespec at;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return (double) at.tv_sec + (double) at.tv_nsec / 1e9;
}

/* One round, long enough to be measured. */
static double round_of(parser parse, const GString *text)
{
    double began = cpu_seconds();
    unsigned n = 0;
    do
        parse(text->str, text->len);
    while (++n < 1000 && cpu_seconds() - began < 0.02);
    return (cpu_seconds() - began) / n;
}

static double cost(parser parse, const GString *text)
{
    double best = round_of(parse, text);
    for (int i = 1; i < ROUNDS; i++)
        best = MIN(best, round_of(parse, text));
    return best;
}

/* What is usual; one round of it at first. */
struct usual {
    parser parse;
    const GString *texts[2]; /* the one that costs more counts; the second may be NULL */
    double seconds;
    gboolean exact;
};

static struct usual usual_of(parser parse, const GString *text, const GString *other)
{
    struct usual usual = {.parse = parse, .texts = {text, other}};
    usual.seconds = round_of(parse, text);
    if (other != NULL)
        usual.seconds = MAX(usual.seconds, round_of(parse, other));
    return usual;
}

/*
 * One good round is enough: what disturbs only adds. Unless it adds more than twice as much, one round of the usual is as
 * good as many where the other one is far from the limit.
 */
static void assert_ratio(const char *what, struct usual *usual, parser parse, const GString *text)
{
    double best = round_of(parse, text);
    if (best * 3 <= RATIO * usual->seconds)
        return;
    if (!usual->exact) {
        usual->seconds = cost(usual->parse, usual->texts[0]);
        if (usual->texts[1] != NULL)
            usual->seconds = MAX(usual->seconds, cost(usual->parse, usual->texts[1]));
        usual->exact = TRUE;
    }
    for (int i = 1; i < ROUNDS && best > RATIO * usual->seconds; i++)
        best = MIN(best, round_of(parse, text));
    if (best > RATIO * usual->seconds)
        fail_msg("%s: %.1f ms, usual are %.1f ms", what, best * 1e3, usual->seconds * 1e3);
}

/* Keys of 28 characters. Colliding: "ab" and "bA" are the same to a hash that multiplies by 33 and adds. */
static void add_key(GString *to, unsigned n, gboolean colliding)
{
    if (!colliding) {
        g_string_append_printf(to, "%028u", n);
        return;
    }
    for (unsigned bit = 0; bit < KEY_PAIRS; bit++)
        g_string_append(to, (n >> bit & 1) != 0 ? "bA" : "ab");
}

/* Of what the rest of a text is. */
enum filling { LETTERS, SPACES, ESCAPES, DIGITS, NESTED, BACKSLASHES, N_FILLINGS };

static void fill(GString *to, gsize size, enum filling filling)
{
    static const char *const pieces[] = {"x", " ", "\\u0041", "1", "[[[]]],", "\\\\"};
    g_string_append(to, filling == SPACES || filling == DIGITS ? "" : filling == NESTED ? "[" : "\"");
    while (to->len + 64 < size)
        g_string_append(to, pieces[filling]);
    g_string_append(to, filling == SPACES || filling == DIGITS ? "1" : filling == NESTED ? "1]" : "\"");
}

/* {"KEY": [{members}, …], "filling": …} of `size` bytes, with at most `items` members. */
static GString *json_text(const char *key, gsize size, unsigned items, gboolean colliding, enum filling filling)
{
    GString *text = g_string_new(NULL);
    g_string_append_printf(text, "{\"%s\":[", key);
    for (unsigned n = 0; n < items && text->len + 256 < size;) {
        g_string_append_c(text, n > 0 ? ',' : ' ');
        for (unsigned k = 0; k < KEYS - 1 && n < items && text->len + 256 < size; k++, n++) {
            g_string_append(text, k > 0 ? ",\"" : "{\"");
            add_key(text, k, colliding);
            g_string_append(text, "\":1");
        }
        g_string_append_c(text, '}');
    }
    g_string_append(text, "],\"filling\":");
    fill(text, size, filling);
    g_string_append_c(text, '}');
    return text;
}

static void check_json(const char *what, parser parse, const char *key, gsize size)
{
    static const char *const names[] = {"letters", "spaces", "escapes", "digits", "nested", "backslashes"};
    const unsigned items = DSB_JSON_ITEMS - 1000;
    g_autoptr(GString) letters = json_text(key, size, items, FALSE, LETTERS);
    /* Many small values cost more than long texts of the same size, however they are parsed. */
    g_autoptr(GString) lists = g_string_new("{\"x\":[1");
    while (lists->len + 64 < size && lists->len < 6 * (gsize) items)
        g_string_append(lists, ",[1,2]");
    g_string_append(lists, "]}");
    struct usual usual = usual_of(parse, letters, lists);
    for (int filling = 0; filling < N_FILLINGS; filling++) {
        gboolean colliding = filling == LETTERS;
        g_autofree char *name = g_strdup_printf("%s, %s", what, colliding ? "colliding keys" : names[filling]);
        g_autoptr(GString) text = json_text(key, size, colliding ? items : 10, TRUE, (enum filling) filling);
        assert_ratio(name, &usual, parse, text);
    }
}

static void parse_report(const char *text, gsize size) { json_object_put(dsb_user_report_parse(text, size)); }

static void parse_answer(const char *text, gsize size)
{
    const struct dsb_frame frame = {DSB_FRAME_ANSWER, 1, (const uint8_t *) text, size};
    json_object_put(dsb_pid1_control(&frame, NULL));
}

static void on_call(void *data, dsb_call *call)
{
    (void) data;
    dsb_call_return(call, NULL, 0);
}

/* The arguments of a tool. */
static void parse_call(const char *text, gsize size)
{
    static const char *const names[] = {"t", NULL};
    static const struct dsb_run_options options = {.call = on_call};
    const struct dsb_request request = {.tools = names};
    const guint32 number = GUINT32_TO_LE(1), bytes = GUINT32_TO_LE((guint32) size);
    g_autoptr(dsb_result) result = dsb_result_new();
    g_autoptr(GByteArray) payload = g_byte_array_new();
    struct dsb_calls *calls = dsb_calls_new(&request, result, NULL);
    g_byte_array_append(payload, (const guint8 *) &number, sizeof number);
    g_byte_array_append(payload, (const guint8 *) "\1", 1); /* of the name */
    g_byte_array_append(payload, (const guint8 *) &bytes, sizeof bytes);
    g_byte_array_append(payload, (const guint8 *) "t", 1);
    g_byte_array_append(payload, (const guint8 *) text, (guint) size);
    const struct dsb_frame frame = {DSB_FRAME_CALL, 1, payload->data, payload->len};
    assert_true(dsb_calls_take(calls, &frame, &options, NULL));
    dsb_calls_end(calls);
}

static void parse_hello(const char *text, gsize size)
{
    const struct dsb_host_facts host = {0};
    struct dsb_observed observed = {.struct_size = sizeof observed};
    dsb_hello_parse(text, size, &fuzz_resolved()->spec, &host, &observed, NULL);
}

static void parse_policy(const char *text, gsize size)
{
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    dsb_policy_load(policy, text, size, "x.json", NULL);
}

static void parse_engine(const char *text, gsize size) { json_object_put(dsbe_json_parse(text, size, NULL)); }

static void json_is_linear(void **state)
{
    (void) state;
    check_json("report", parse_report, "displays", DSB_FRAME_MAX);
    check_json("control answer", parse_answer, "restored", DSB_FRAME_MAX / 8); /* the same parser */
    check_json("tool call", parse_call, "args", DSB_CALL_ARGUMENTS);
    check_json("hello", parse_hello, "mounts", 256 << 10);
    check_json("policy", parse_policy, "binds", 1 << 20);
    check_json("engine", parse_engine, "Mounts", DSBE_BODY_MAX / 2);
}

/* One key too many is none, before any table is made of them. */
static void members_are_counted(void **state)
{
    (void) state;
    for (int more = 0; more < 2; more++) {
        g_autoptr(GString) text = g_string_new("{\"result\":{\"application/json\":{");
        for (unsigned i = 0; i < DSB_JSON_MEMBERS + (unsigned) more; i++)
            g_string_append_printf(text, "%s\"%u\":1", i > 0 ? "," : "", i);
        g_string_append(text, "}},\"count\":1}");
        struct json_object *report = dsb_user_report_parse(text->str, text->len);
        assert_int_equal(json_object_array_length(json_object_object_get(report, "omitted")), more);
        assert_int_equal(json_object_object_get(report, "result") == NULL, more);
        json_object_put(report);
    }
}

static gboolean no_body(void *data, const guint8 *bytes, gsize size)
{
    (void) data;
    (void) bytes;
    (void) size;
    return TRUE;
}

static void parse_client(const char *text, gsize size)
{
    struct http_answer answer = {.head = g_byte_array_new(), .keep = TRUE, .body = no_body};
    http_feed(&answer, (const guint8 *) text, size, NULL);
    g_byte_array_unref(answer.head);
}

/* In pieces, as it may come. */
static void parse_request(const char *text, gsize size)
{
    gsize used = 1;
    struct httprequest *request = httprequest_new();
    for (gsize at = 0; at < size && used > 0; at += used)
        if (!httprequest_feed(request, (const guint8 *) text + at, MIN(size - at, 64), &used, NULL))
            break;
    httprequest_free(request);
}

static void parse_head(const char *text, gsize size)
{
    struct dsbe_head head;
    dsbe_head_parse(text, size, &head);
}

/* Of lines such as `line`, up to 60 KiB, behind a first line. */
static GString *head_of(const char *first, const char *line, const char *end)
{
    GString *head = g_string_new(first);
    while (head->len + strlen(line) + 8 < 60 << 10)
        g_string_append(head, line);
    g_string_append(head, end);
    return head;
}

static void heads_are_linear(void **state)
{
    (void) state;
    static const char *const lines[] = {"a:\r\n", "Content-Length: 1\r\n", "x: \r \r \r \r \r\n", "aaaaaaaaaaaaaaaa",
                                        "a:                ", "\r\r\r\r"};
    static const char status[] = "HTTP/1.1 200 OK\r\n";
    static const struct {
        const char *name, *first;
        unsigned value; /* bytes of the usual one: the service takes a hundred fields */
        parser parse;
    } parsers[] = {{"client head", status, 12, parse_client},
                   {"engine head", status, 12, parse_head},
                   {"request head", "GET /v1/version HTTP/1.1\r\n", 700, parse_request}};
    for (gsize p = 0; p < G_N_ELEMENTS(parsers); p++) {
        g_autofree char *value = g_strnfill(parsers[p].value, 'v'), *line = g_strconcat("X-Header: ", value, "\r\n", NULL);
        g_autoptr(GString) some = head_of(parsers[p].first, line, "\r\n");
        struct usual usual = usual_of(parsers[p].parse, some, NULL);
        for (gsize i = 0; i < G_N_ELEMENTS(lines) * 2; i++) {
            g_autoptr(GString) head = head_of(parsers[p].first, lines[i / 2], i % 2 ? "\r\n\r\n" : "");
            assert_ratio(parsers[p].name, &usual, parsers[p].parse, head);
        }
    }
}

static int archive = -1;

static void parse_tar(const char *text, gsize size)
{
    struct tar_reader reader = {.fd = archive, .origin = "x.tar"};
    gboolean end = FALSE;
    (void) text;
    (void) size;
    lseek(archive, 0, SEEK_SET);
    while (!end && tar_next(&reader, &end, NULL))
        continue;
    tar_clear(&reader);
}

/* Entries with short names, with names of the longest size, and with records by the thousand. */
static void write_archive(int kind)
{
    g_autofree char *name = g_strnfill(kind == 1 ? 4000 : 20, 'n');
    g_autoptr(GString) records = g_string_new(NULL);
    while (records->len < 60 << 10)
        g_string_append(records, "5 a=\n");
    assert_int_equal(ftruncate(archive, 0), 0);
    lseek(archive, 0, SEEK_SET);
    while (lseek(archive, 0, SEEK_CUR) < 8 << 20)
        assert_true(tar_add(archive, name, kind == 2 ? 'x' : TAR_FILE, 0, kind == 2 ? records->str : "",
                            kind == 2 ? records->len : 0, NULL));
    tar_finish(archive, NULL);
}

static void archives_are_linear(void **state)
{
    (void) state;
    archive = memfd_create("tar", MFD_CLOEXEC);
    g_autoptr(GString) none = g_string_new(NULL);
    write_archive(0);
    struct usual usual = {.seconds = cost(parse_tar, none), .exact = TRUE}; /* of what is gone when others are measured */
    write_archive(1);
    assert_ratio("tar with long names", &usual, parse_tar, none);
    write_archive(2);
    assert_ratio("tar with pax records", &usual, parse_tar, none);
    close(archive);
}

static int top = -1;

static void compare_twice(const char *text, gsize size)
{
    struct dsb_scan before, after;
    g_autoptr(dsb_result) result = dsb_result_new();
    (void) text;
    (void) size;
    dsb_scan_run(top, TRUE, 0, &before);
    dsb_scan_run(top, TRUE, 0, &after);
    before.files->len = 0; /* all are new */
    dsb_file_changes(&before, &after, 0, dsb_file_changes_end(), result);
    dsb_scan_clear(&before);
    dsb_scan_clear(&after);
}

static char *make_files(gboolean colliding)
{
    g_autoptr(GString) name = g_string_new(NULL);
    char *path = scratch_make(scratch_fast(), &top);
    for (unsigned i = 0; i < KEYS; i++) {
        g_string_truncate(name, 0);
        add_key(name, i, colliding);
        close(openat(top, name->str, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    }
    return path;
}

static void lists_of_files_are_linear(void **state)
{
    (void) state;
    g_autoptr(GString) none = g_string_new(NULL);
    char *path = make_files(FALSE);
    struct usual usual = {.seconds = cost(compare_twice, none), .exact = TRUE};
    assert_int_equal(scratch_remove(path, top), 0);
    path = make_files(TRUE);
    assert_ratio("file names", &usual, compare_twice, none);
    assert_int_equal(scratch_remove(path, top), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_is_linear),      cmocka_unit_test(members_are_counted),
        cmocka_unit_test(heads_are_linear),    cmocka_unit_test(archives_are_linear),
        cmocka_unit_test(lists_of_files_are_linear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
