/* SPDX-License-Identifier: MIT */
/* The pure parts of the program: when typed source is complete, tar files, text for a terminal. */
#include "common/words.h"
#include "prompt.h"
#include "table.h"
#include "untar.h"

#include <dsandbox/error.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static void test_options_for_members(void **state)
{
    static const struct {
        const char *said, *shown;
    } rows[] = {
        {"choose another base_dir", "choose another --base-dir"},
        {"or allow_unenforced=memory,swap", "or --allow-unenforced=memory,swap"},
        {"takes too long (engine_timeout_ms gives it more)", "takes too long (--engine-timeout gives it more)"},
        {"(its endpoint unix:///PATH, or another backend; see", "(--host unix:///PATH, or another --backend; see"},
        {"start it, or give an endpoint", "start it, or give --host"},
        {"not Docker: use backend podman", "not Docker: use --backend podman"},
        {"podman has it (backend podman)", "podman has it (--backend podman)"},
        {"the backend does not translate tmp", "the backend does not translate tmp"},
        {"my_base_dir", "my_base_dir"},
    };
    (void) state;
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *shown = option_words(rows[i].said);
        assert_string_equal(shown, rows[i].shown);
    }
    assert_null(option_words(NULL));
}

static void test_source(void **state)
{
    static const struct {
        const char *source;
        gboolean more;
    } rows[] = {
        {"", FALSE},
        {"x = 1", FALSE},
        {"f(1,", TRUE},
        {"f(1,\n  2)", FALSE},
        {"f(1,\n\n", TRUE},
        {"x = [1, # ]", TRUE},
        {"x = '['", FALSE},
        {"x = '\\'['", FALSE},
        {"x = 'not closed", FALSE},
        {"x = '''one\n\n", TRUE},
        {"x = '''one\ntwo'''", FALSE},
        {"x = \"\"\"a\\\"\"\"", TRUE},
        {"x = ''", FALSE},
        {"x = 1 + \\", TRUE},
        {"x = 1 + \\\n2", FALSE},
        {"if x:", TRUE},
        {"if x: pass", TRUE},
        {"if x: pass\n", FALSE},
        {"if x:\n    y\n", FALSE},
        {"if x:\n    y", TRUE},
        {"for i in x:  # all", TRUE},
        {"@wraps", TRUE},
        {"iffy = 1", FALSE},
        {"definition", FALSE},
        {"match = 1", FALSE},
        {"match.group()", FALSE},
        {"match x:", TRUE},
        {"async def f():", TRUE},
        {")", FALSE},
        {"\\", TRUE},
        {"'\\", FALSE},
    };
    (void) state;
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        if (source_wants_more(rows[i].source) != rows[i].more)
            fail_msg("source_wants_more(\"%s\") is %d", rows[i].source, !rows[i].more);
    assert_true(source_is_empty(" \n# a\n\t"));
    assert_false(source_is_empty(" # a\nb"));
}

static void assert_clean(const char *text, const char *keep, const char *expected)
{
    g_autofree char *clean = clean_text(text, strlen(text), keep);
    assert_string_equal(clean, expected);
}

static void test_clean(void **state)
{
    (void) state;
    assert_clean("plain ü 漢", "", "plain ü 漢");
    assert_clean("a\nb\tc", "", "a\\nb\\tc");
    assert_clean("a\nb\tc", "\n\t", "a\nb\tc");
    assert_clean("\x1b[2J\x07\x7f", "\n\t", "\\x1b[2J\\x07\\x7f");
    assert_clean("\xc2\x9b", "", "\\x9b"); /* CSI as one character */
    assert_clean("\xe2\x80\xae", "", "\\u202e");
    assert_clean("\xff\xc3", "", "\\xff\\xc3");
    g_autofree char *zero = clean_text("a\0b", 3, "\n");
    assert_string_equal(zero, "a\\x00b");
}

static void test_lines(void **state)
{
    static const struct {
        const char *text, *line;
        gsize max;
    } rows[] = {
        {NULL, "", 5},
        {"12345", "12345", 5},
        {"123456", "12345…", 5},
        {"a\nb", "a\\nb", 5},
        {"aaaa\n", "aaaa\\…", 5}, /* an escape takes its room */
        {"äöü", "äöü", 6},
        {"aäöü", "aä…", 4},
        {"\x1b\x1b\x1b", "\\x1b\\…", 5},
    };
    (void) state;
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *line = clean_line(rows[i].text, rows[i].max);
        assert_string_equal(line, rows[i].line);
    }
}

static void test_sizes(void **state)
{
    static const struct {
        gint64 bytes;
        const char *text;
    } rows[] = {{0, "0 B"},           {1023, "1023 B"},       {1024, "1.0 KiB"},         {1536, "1.5 KiB"},
                {1048575, "1.0 MiB"}, {5LL << 30, "5.0 GiB"}, {G_MAXINT64, "8192.0 PiB"}};
    (void) state;
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text = size_text(rows[i].bytes);
        assert_string_equal(text, rows[i].text);
    }
}

static int memory_file(const void *bytes, gsize size)
{
    int fd = memfd_create("tar", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), (ssize_t) size);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

static GByteArray *read_back(int fd)
{
    GByteArray *all = g_byte_array_new();
    guint8 buffer[4096];
    ssize_t n;
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    while ((n = read(fd, buffer, sizeof buffer)) > 0)
        g_byte_array_append(all, buffer, (guint) n);
    return all;
}

static GByteArray *archive(const char *long_name)
{
    int fd = memory_file("", 0);
    assert_true(tar_add(fd, "dir/", TAR_DIRECTORY, 1, NULL, 0, NULL));
    assert_true(tar_add(fd, "dir/file", TAR_FILE, 1, "content", 7, NULL));
    assert_true(tar_add(fd, long_name, TAR_FILE, 1, "", 0, NULL));
    assert_true(tar_finish(fd, NULL));
    GByteArray *all = read_back(fd);
    close(fd);
    return all;
}

static gboolean content_of(struct tar_reader *reader, GByteArray *into)
{
    guint8 piece[5];
    gssize n;
    while ((n = tar_read(reader, piece, sizeof piece, NULL)) > 0)
        g_byte_array_append(into, piece, (guint) n);
    return n == 0;
}

static void test_tar(void **state)
{
    (void) state;
    g_autofree char *long_name = g_strnfill(300, 'x');
    g_autoptr(GByteArray) all = archive(long_name);
    g_autoptr(GByteArray) content = g_byte_array_new();
    struct tar_reader reader = {.fd = memory_file(all->data, all->len), .origin = "test"};
    gboolean end = FALSE;
    assert_true(tar_next(&reader, &end, NULL));
    assert_string_equal(reader.name, "dir/");
    assert_int_equal(reader.type, TAR_DIRECTORY);
    assert_true(tar_next(&reader, &end, NULL));
    assert_true(content_of(&reader, content));
    assert_int_equal(content->len, 7);
    assert_memory_equal(content->data, "content", 7);
    assert_true(tar_next(&reader, &end, NULL));
    assert_string_equal(reader.name, long_name);
    assert_false(end);
    assert_true(tar_next(&reader, &end, NULL));
    assert_true(end);
    tar_clear(&reader);
    close(reader.fd);
}

/* More than eleven octal digits have room for. */
static void test_tar_large(void **state)
{
    (void) state;
    guint64 size = G_GUINT64_CONSTANT(1) << 35;
    int fd = memory_file("", 0);
    gboolean end = FALSE;
    assert_true(tar_begin(fd, "large", TAR_FILE, 1, size, NULL));
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    struct tar_reader reader = {.fd = fd, .origin = "test"};
    assert_true(tar_next(&reader, &end, NULL) && !end);
    assert_true(reader.size == size);
    tar_clear(&reader);
    close(fd);
}

static void test_tar_in_part(void **state)
{
    (void) state;
    g_autoptr(GByteArray) all = archive("x");
    char piece[4];
    struct tar_reader reader = {.fd = memory_file(all->data, all->len), .origin = "test"};
    gboolean end = FALSE;
    assert_true(tar_next(&reader, &end, NULL) && tar_next(&reader, &end, NULL));
    assert_int_equal(tar_read(&reader, piece, sizeof piece, NULL), sizeof piece);
    assert_true(tar_next(&reader, &end, NULL)); /* it goes on with the next */
    assert_string_equal(reader.name, "x");
    tar_clear(&reader);
    close(reader.fd);
}

/* Any bytes at all: an end or an error, and nothing else. */
static void read_any(const guint8 *bytes, gsize size)
{
    struct tar_reader reader = {.fd = memory_file(bytes, size), .origin = "test"};
    g_autoptr(GError) error = NULL;
    gboolean end = FALSE;
    for (int i = 0; i < 100 && !end && tar_next(&reader, &end, &error); i++) {
        g_autoptr(GByteArray) content = g_byte_array_new();
        if (!end && i % 2 == 0 && !content_of(&reader, content))
            break;
    }
    tar_clear(&reader);
    close(reader.fd);
}

static void mend_sum(guint8 *block)
{
    guint sum = 8 * ' ';
    for (guint i = 0; i < 512; i++)
        sum += i >= 148 && i < 156 ? 0 : block[i];
    g_snprintf((char *) block + 148, 8, "%06o", sum);
}

static void test_tar_spoilt(void **state)
{
    static const guint8 values[] = {0, 0xff, '7', 'x', 'L', 0x80};
    (void) state;
    g_autofree char *long_name = g_strnfill(200, 'x');
    g_autoptr(GByteArray) all = archive(long_name);
    for (guint at = 0; at < all->len; at += at % 512 < 160 ? 1 : 37)
        for (gsize v = 0; v < G_N_ELEMENTS(values); v++) {
            g_autofree guint8 *copy = g_memdup2(all->data, all->len);
            copy[at] = values[v];
            mend_sum(copy + at / 512 * 512);
            read_any(copy, all->len);
        }
    for (guint size = 0; size < all->len; size += 61)
        read_any(all->data, size);
}

static void test_pax(void **state)
{
    static const char *const records[] = {
        "18 path=pax/name1\n", "99 path=x\n", "path=x\n",   "0 path=x\n", "5 a=\n",
        "12 size=-5\n\n",      "-1 path=x\n", "9 path=x\n", "\n",         "10 size=3\n"};
    (void) state;
    for (gsize i = 0; i < G_N_ELEMENTS(records); i++) {
        int fd = memory_file("", 0);
        assert_true(tar_add(fd, "header", 'x', 0, records[i], strlen(records[i]), NULL));
        assert_true(tar_add(fd, "plain", TAR_FILE, 0, "abc", 3, NULL));
        assert_true(tar_finish(fd, NULL));
        g_autoptr(GByteArray) all = read_back(fd);
        close(fd);
        read_any(all->data, all->len);
        struct tar_reader reader = {.fd = memory_file(all->data, all->len), .origin = "test"};
        gboolean end = FALSE;
        if (i == 0) {
            assert_true(tar_next(&reader, &end, NULL));
            assert_string_equal(reader.name, "pax/name1");
        }
        tar_clear(&reader);
        close(reader.fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_source),
        cmocka_unit_test(test_options_for_members), cmocka_unit_test(test_clean),
        cmocka_unit_test(test_lines),     cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_tar),    cmocka_unit_test(test_tar_in_part), cmocka_unit_test(test_tar_large), cmocka_unit_test(test_tar_spoilt),
        cmocka_unit_test(test_pax),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
