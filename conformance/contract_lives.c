/* SPDX-License-Identifier: MIT */
/* What whole lives of a backend, from open to close, leave behind; and what the library makes of the plugin's statements. */
#include "contract.h"

#include <fcntl.h>
#include <malloc.h>
#include <string.h>
#include <unistd.h>

#define LIVES 40
#define MEMORY_LIVES 200

/* A link of /proc/self/fd to what is closed: the one of the reading itself. */
static gboolean is_closed(void *number, void *target, void *data)
{
    (void) data;
    return *(const char *) target != '\0' && fcntl((int) g_ascii_strtoll(number, NULL, 10), F_GETFD) < 0;
}

/* The numbers in a directory of /proc, and where they lead if they are links. */
static GHashTable *numbers_in(const char *dir_name)
{
    GDir *dir = g_dir_open(dir_name, 0, NULL);
    GHashTable *set = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    for (const char *name = NULL; dir != NULL && (name = g_dir_read_name(dir)) != NULL;) {
        g_autofree char *path = g_build_filename(dir_name, name, NULL);
        char *target = g_file_read_link(path, NULL);
        g_hash_table_replace(set, g_strdup(name), target != NULL ? target : g_strdup(""));
    }
    g_clear_pointer(&dir, g_dir_close);
    g_hash_table_foreach_remove(set, is_closed, NULL);
    return set;
}

/* "leaked WHAT: N more after … (5 -> socket:[1], …)", or NULL. */
static char *more_than(GHashTable *before, const char *dir_name, const char *what)
{
    g_autoptr(GHashTable) after = numbers_in(dir_name);
    g_autoptr(GString) names = g_string_new(NULL);
    GHashTableIter iter;
    void *key = NULL, *target = NULL;
    unsigned more = 0;
    g_hash_table_iter_init(&iter, after);
    while (g_hash_table_iter_next(&iter, &key, &target)) {
        if (g_hash_table_contains(before, key))
            continue;
        if (more++ < 5)
            g_string_append_printf(names, "%s%s%s%s", names->len > 0 ? ", " : "", (char *) key,
                                   *(char *) target != '\0' ? " -> " : "", (char *) target);
    }
    return more == 0 ? NULL
                     : g_strdup_printf("leaked %s: %u more after %d lives (%s%s)", what, more, LIVES, names->str,
                                       more > 5 ? ", ..." : "");
}

static char *children(void)
{
    g_autofree char *path = g_strdup_printf("/proc/self/task/%d/children", (int) getpid());
    char *text = NULL;
    return g_file_get_contents(path, &text, NULL, NULL) ? g_strstrip(text) : g_strdup("");
}

/* From open to close. */
char *contract_live(struct contract *c)
{
    g_autoptr(GError) error = NULL;
    struct contract one = *c;
    if (!call_open(&one, &one.backend, &error))
        return said("open", error);
    char *wrong = describes(&one);
    if (wrong == NULL)
        wrong = starts_and_destroys(&one);
    if (wrong == NULL)
        wrong = left_behind(&one, "destroy");
    call_close(&one, one.backend);
    c->count = one.count;
    c->changed = one.changed;
    return wrong;
}

static char *lives(struct contract *c, unsigned n)
{
    char *wrong = NULL;
    for (unsigned i = 0; i < n && wrong == NULL; i++)
        wrong = contract_live(c);
    return wrong;
}

char *leaves_nothing(struct contract *c)
{
    char *wrong = lives(c, 2); /* what is made once and kept is no leak */
    if (wrong != NULL)
        return wrong;
    g_autoptr(GHashTable) descriptors = numbers_in("/proc/self/fd");
    g_autoptr(GHashTable) threads = numbers_in("/proc/self/task");
    g_autofree char *before = children();
    wrong = lives(c, LIVES);
    if (wrong == NULL)
        wrong = more_than(descriptors, "/proc/self/fd", "descriptors");
    if (wrong == NULL)
        wrong = more_than(threads, "/proc/self/task", "threads");
    g_autofree char *after = children();
    if (wrong == NULL && strlen(after) > strlen(before))
        wrong = g_strdup_printf("leaked processes: %s", after);
    return wrong;
}

struct lives_task {
    struct contract *c;
    unsigned n;
};

static void *run_lives(void *data)
{
    const struct lives_task *task = data;
    return lives(task->c, task->n);
}

/* In a thread: the memory that malloc keeps for a thread's next calls counts as used, and is given back with it. */
static char *lives_apart(struct contract *c, unsigned n)
{
    struct lives_task task = {c, n};
    return g_thread_join(g_thread_new("lives", run_lives, &task));
}

/* Only where a life is short: an engine's own work would drown it. */
char *leaves_no_memory(struct contract *c)
{
    gint64 begin = g_get_monotonic_time();
    char *wrong = lives_apart(c, 20);
    if (wrong == NULL && g_get_monotonic_time() - begin > G_USEC_PER_SEC)
        wrong = g_strdup(UNTOLD "a life takes too long here");
    if (wrong != NULL)
        return wrong;
    gsize before = mallinfo2().uordblks;
    wrong = lives_apart(c, MEMORY_LIVES);
    gsize after = mallinfo2().uordblks;
    if (wrong == NULL && after > before && (after - before) / MEMORY_LIVES >= 16)
        wrong =
            g_strdup_printf("leaked memory: %" G_GSIZE_FORMAT " bytes in each life", (after - before) / MEMORY_LIVES);
    return wrong;
}

/* Through the library: every control that the engine states to be weaker than the policy. */
char *states_no_weaker(struct contract *c)
{
    GHashTableIter iter;
    void *operation = NULL, *where = NULL;
    g_hash_table_iter_init(&iter, c->given_up);
    if (g_hash_table_iter_next(&iter, &operation, &where))
        return contract_given_up(operation, where); /* the library calls them all */
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    const struct dsb_request request = {.struct_size = sizeof request,
                                        .init = DSB_INIT,
                                        .code = "pass",
                                        .code_size = 4,
                                        .stdin_fd = DSB_FD_NONE};
    g_autoptr(dsb_result) result = dsb_run(policy, c->options, &request);
    g_autofree char *text = dsb_result_json(result, FALSE);
    json_object *root = json_tokener_parse(text), *about = NULL, *rows = NULL;
    g_autoptr(GString) weak = g_string_new(NULL);
    if (json_object_object_get_ex(root, "policy", &about))
        json_object_object_get_ex(about, "controls", &rows);
    for (gsize i = 0; json_object_is_type(rows, json_type_array) && i < json_object_array_length(rows); i++) {
        static const char *const keys[] = {"verdict", "name", "asked", "measured"};
        const char *value[G_N_ELEMENTS(keys)];
        for (gsize k = 0; k < G_N_ELEMENTS(keys); k++)
            value[k] = json_object_get_string(json_object_object_get(json_object_array_get_idx(rows, i), keys[k]));
        if (g_strcmp0(value[0], "refused") == 0)
            g_string_append_printf(weak, "%s%s (asked: %s, there is: %s)", weak->len > 0 ? ", " : "", value[1],
                                   value[2] != NULL ? value[2] : "-", value[3] != NULL ? value[3] : "-");
    }
    json_object_put(root);
    return dsb_result_status(result) != DSB_STATUS_REFUSED
               ? NULL
               : g_strdup_printf("leaks into the sandbox, and is refused: %s",
                                 weak->len > 0 ? weak->str : dsb_result_failure(result)->message);
}
