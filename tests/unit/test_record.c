/* SPDX-License-Identifier: MIT */
/* The records of sessions: which of them are somebody's past, how long, and whose they are. */
#include "broker_fake.h"

#include "broker/record.h"
#include "common/owner.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utime.h>

#define DAY 86400

static char *directory(void) { return g_build_filename(fake.directory, "sessions", NULL); }

/* A file in the directory of records, so many seconds old. */
static char *put(const char *name, const char *text, glong age)
{
    g_autofree char *dir = directory();
    char *path = g_build_filename(dir, name, NULL);
    struct utimbuf times = {time(NULL) - age, time(NULL) - age};
    g_mkdir_with_parents(dir, 0700);
    assert_true(g_file_set_contents(path, text, -1, NULL));
    assert_int_equal(utime(path, &times), 0);
    return path;
}

static void put_ended(const char *id, glong age)
{
    g_autofree char *name = g_strconcat(id, ".json", NULL);
    g_autofree char *text = g_strdup_printf(
        "{\"id\":\"%s\",\"owner\":\"x\",\"ended\":\"why\",\"image\":\"sha256:1\",\"create\":{\"image\":\"i\"}}", id);
    g_free(put(name, text, age));
}

static guint files(void)
{
    guint n = 0;
    g_autofree char *dir = directory();
    g_autoptr(GDir) open = g_dir_open(dir, 0, NULL);
    while (open != NULL && g_dir_read_name(open) != NULL)
        n++;
    return n;
}

/* What a service writes, the next one reads. */
static void written_and_read(void **state)
{
    struct session *session = fake_session("a");
    (void) state;
    session->facts[FACT_IMAGE] = g_strdup("sha256:1");
    record_write(session);
    g_autofree char *dir = directory();
    g_autoptr(GDir) open = g_dir_open(dir, 0, NULL);
    g_autofree char *path = g_build_filename(dir, g_dir_read_name(open), NULL);
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    session_drop(session);
    records_load(&fake.service); /* "nobody" is no label of a living service */
    struct record *record = record_take(&fake.service, "a");
    assert_non_null(record);
    assert_string_equal(record->id, "a");
    assert_string_equal(record->image, "sha256:1");
    assert_string_equal(record->path, path);
    assert_non_null(strstr(record->reason, "the service ended"));
    assert_true(json_object_is_type(record->create, json_type_object));
    record_free(record);
    record_free(NULL);
    assert_null(record_take(&fake.service, "a"));
    assert_int_equal(files(), 1); /* the file stays until the next one is written */
}

static void of_a_living_service(void **state)
{
    g_autofree char *label = dsb_owner_label();
    (void) state;
    records_load(&fake.service);
    fake.service.owner = label;
    struct session *session = fake_session("a");
    record_write(session);
    session_drop(session);
    records_load(&fake.service);
    assert_null(record_take(&fake.service, "a"));
    assert_int_equal(files(), 1);
}

/* It ended by itself: it is remembered, and forgotten when somebody deletes it. Deleted: nothing is left. */
static void ended_and_forgotten(void **state)
{
    (void) state;
    records_load(&fake.service);
    struct session *session = fake_session("a");
    record_write(session);
    session->end_reason = g_strdup("the session ended after 5m without use");
    record_end(session, NULL);
    session_drop(session);
    assert_int_equal(files(), 1);
    assert_true(g_hash_table_contains(fake.service.past, "a"));
    session = fake_session("a"); /* it comes back, and knows what it lost */
    assert_string_equal(session->lost, "the session ended after 5m without use");
    assert_false(g_hash_table_contains(fake.service.past, "a"));
    record_end(session, NULL); /* deleted */
    session_drop(session);
    assert_int_equal(files(), 0);
    put_ended("b", 0);
    records_load(&fake.service);
    assert_true(record_forget(&fake.service, "b"));
    assert_int_equal(files(), 0);
    assert_false(record_forget(&fake.service, "b"));
}

static void not_records(void **state)
{
    (void) state;
    const char *texts[] = {
        "", "{", "[]", "1", "{}", "{\"id\":\"a\",\"owner\":\"x\",\"ended\":\"y\"}",
        "{\"id\":\"../a\",\"owner\":\"x\",\"ended\":\"y\",\"create\":{}}",
        "{\"id\":\"a\",\"ended\":\"y\",\"create\":{}}",
        "{\"id\":1,\"owner\":\"x\",\"ended\":\"y\",\"create\":{}}",
        "{\"id\":\"a\",\"owner\":\"x\",\"ended\":\"y\",\"create\":[]}",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autofree char *path = put("a.json", texts[i], 0);
        records_load(&fake.service);
        assert_int_equal(g_hash_table_size(fake.service.past), 0);
        g_unlink(path);
    }
    const char *good = "{\"id\":\"a\",\"owner\":\"x\",\"ended\":\"y\",\"create\":{}}";
    g_autofree char *other = put("a.txt", good, 0);
    records_load(&fake.service);
    assert_int_equal(g_hash_table_size(fake.service.past), 0);
    g_autofree char *dir = directory();
    g_autofree char *link = g_build_filename(dir, "link.json", NULL);
    assert_int_equal(symlink(other, link), 0);
    records_load(&fake.service);
    assert_int_equal(g_hash_table_size(fake.service.past), 0);
    g_autofree char *blanks = g_strnfill(1 << 20, ' ');
    g_autofree char *large = g_strconcat(good, blanks, NULL);
    g_free(put("large.json", large, 0));
    records_load(&fake.service);
    assert_int_equal(g_hash_table_size(fake.service.past), 0);
    g_free(put("good.json", good, 0)); /* all of them would be found, but for what is wrong with them */
    records_load(&fake.service);
    assert_int_equal(g_hash_table_size(fake.service.past), 1);
}

/* The newest thousand of a week. */
static void old_ones_go(void **state)
{
    (void) state;
    put_ended("young", 7 * DAY - 60);
    put_ended("old", 7 * DAY + 60);
    records_load(&fake.service);
    assert_true(g_hash_table_contains(fake.service.past, "young"));
    assert_int_equal(g_hash_table_size(fake.service.past), 1);
    assert_int_equal(files(), 1);
    g_hash_table_remove_all(fake.service.past);
    for (glong n = 0; n < 1001; n++) {
        g_autofree char *id = g_strdup_printf("s%ld", n);
        put_ended(id, n);
    }
    records_load(&fake.service);
    assert_int_equal(g_hash_table_size(fake.service.past), 1000);
    assert_int_equal(files(), 1000);
    assert_true(g_hash_table_contains(fake.service.past, "s999"));
    assert_false(g_hash_table_contains(fake.service.past, "s1000"));
    struct session *session = fake_session("new"); /* one more, and the oldest is forgotten */
    session->end_reason = g_strdup("over");
    record_end(session, NULL);
    assert_int_equal(g_hash_table_size(fake.service.past), 1000);
    assert_int_equal(files(), 1000);
    assert_false(g_hash_table_contains(fake.service.past, "s999"));
    assert_true(g_hash_table_contains(fake.service.past, "new"));
}

/* One id in two base directories: two files, and the newer one counts. */
static void of_two_base_directories(void **state)
{
    struct json_object *body = json_tokener_parse("{\"base_dir\":\"/tmp/elsewhere\"}");
    (void) state;
    records_load(&fake.service);
    struct session *session = fake_session("a");
    record_write(session);
    session_drop(session);
    session = session_create(&fake.service, settings_read(body, "a", NULL), NULL);
    record_write(session);
    session_drop(session);
    json_object_put(body);
    assert_int_equal(files(), 2);
    records_load(&fake.service);
    assert_int_equal(g_hash_table_size(fake.service.past), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(written_and_read, fake_begin, fake_end),
        cmocka_unit_test_setup_teardown(of_a_living_service, fake_begin, fake_end),
        cmocka_unit_test_setup_teardown(ended_and_forgotten, fake_begin, fake_end),
        cmocka_unit_test_setup_teardown(not_records, fake_begin, fake_end),
        cmocka_unit_test_setup_teardown(old_ones_go, fake_begin, fake_end),
        cmocka_unit_test_setup_teardown(of_two_base_directories, fake_begin, fake_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
