/* SPDX-License-Identifier: MIT */
/*
 * The contract of a plugin, operation by operation, as <dsandbox/plugin.h> states it: what can be checked without a
 * kernel behind it, so also on an engine in memory. What holds inside a container only the other groups can tell.
 */
#include "conformance.h"

#include <dsandbox/plugin.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>

#define OWNER "dsandbox-contract"
#define LIVES 40
#define MEMORY_LIVES 200
#define HANG_SECONDS 120
#define END_MS 15000

/* What a case works with; the backend is opened anew for each. */
struct contract {
    const struct dsb_plugin *plugin;
    const struct dsb_run_options *options;
    struct dsb_open_params params;
    void *backend;
    char *image, *volume, *seccomp;
    unsigned count;
};

/* A spec and what it points to. */
struct wish {
    char *name;
    struct dsb_pair labels[3];
    struct dsb_bind binds[2];
    struct dsb_spec spec;
};

static const char profile[] = "{\"defaultAction\":\"SCMP_ACT_ALLOW\"}";

static void wish_init(struct contract *c, struct wish *wish)
{
    static const char *const argv[] = {"/bin/sleep", "60", NULL};
    wish->name = g_strdup_printf("dsb-contract-%d-%u", (int) getpid(), ++c->count);
    wish->labels[0] = (struct dsb_pair){DSB_LABEL_OWNER, OWNER};
    wish->labels[1] = (struct dsb_pair){DSB_LABEL_SESSION, "s1"};
    wish->labels[2] = (struct dsb_pair){DSB_LABEL_DEADLINE, "4102444800"};
    wish->binds[0] = (struct dsb_bind){c->volume, "/sandbox", FALSE};
    wish->binds[1] = (struct dsb_bind){c->volume, "/opt/dsandbox", TRUE};
    wish->spec = (struct dsb_spec){.struct_size = sizeof wish->spec,
                                   .required = c->plugin->enforces,
                                   .name = wish->name,
                                   .image = c->image,
                                   .labels = wish->labels,
                                   .n_labels = 3,
                                   .argv = argv,
                                   .workdir = "/sandbox",
                                   .hostname = "sandbox",
                                   .binds = wish->binds,
                                   .n_binds = 2,
                                   .tmp_bytes = 64 << 20,
                                   .small_tmp_bytes = 64 << 10,
                                   .shm_bytes = 64 << 20,
                                   .memory_bytes = 256 << 20,
                                   .cpu_quota_us = 100000,
                                   .cpu_period_us = 100000,
                                   .pids = 64,
                                   .nofile = 512,
                                   .fsize = 1 << 20,
                                   .network = DSB_NETWORK_NONE,
                                   .uid = 1000,
                                   .gid = 1000,
                                   .rootfs_read_only = TRUE,
                                   .no_new_privs = TRUE,
                                   .seccomp_json = profile,
                                   .seccomp_path = c->seccomp};
}

static void wish_clear(struct wish *wish) { g_free(wish->name); }
typedef struct wish wish;
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(wish, wish_clear)

/* "OP: message", or what is wrong with the message itself (g_free). */
static char *said(const char *op, const GError *error)
{
    if (error == NULL)
        return g_strdup_printf("%s: it failed and set no error", op);
    return g_strdup_printf("%s: %s%s", op, error->domain == DSB_ERROR ? "" : "(not in DSB_ERROR) ", error->message);
}

static char *create(struct contract *c, const struct wish *wish, char **id)
{
    g_autoptr(GError) error = NULL;
    if (!c->plugin->create(c->backend, &wish->spec, id, &error))
        return said("create", error);
    return *id != NULL && **id != '\0' ? NULL : g_strdup("create: it succeeded and gave no id");
}

static char *call(const char *op, gboolean (*function)(void *, const char *, GError **), void *backend, const char *id)
{
    g_autoptr(GError) error = NULL;
    return function(backend, id, &error) ? NULL : said(op, error);
}

/* The containers of `owner`, as "ID (session S, running)", comma-separated; "" for none. */
static char *listed(struct contract *c, const char *owner)
{
    g_autoptr(GError) error = NULL;
    GPtrArray *list = NULL;
    if (!c->plugin->list(c->backend, owner, &list, &error))
        return said("list", error);
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint i = 0; i < list->len; i++) {
        const struct dsb_leftover *one = list->pdata[i];
        g_string_append_printf(text, "%s%s (session %s%s)", i > 0 ? ", " : "", one->id, one->session,
                               one->running ? ", running" : "");
    }
    g_ptr_array_set_free_func(list, g_free);
    g_ptr_array_unref(list);
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static char *left_behind(struct contract *c, const char *after)
{
    g_autofree char *rest = listed(c, OWNER);
    return *rest == '\0' ? NULL : g_strdup_printf("leaked containers: after %s there is still %s", after, rest);
}

/* ---- the cases: NULL when it holds, else what is wrong, or why it cannot be told (g_free) ---- */

#define UNTOLD "cannot be told: "

static char *describes(struct contract *c)
{
    struct dsb_engine_info info = {.struct_size = sizeof info};
    g_autoptr(GError) error = NULL;
    if (!c->plugin->describe(c->backend, &info, &error))
        return said("describe", error);
    if (info.product[0] == '\0' || memchr(info.product, '\0', sizeof info.product) == NULL ||
        memchr(info.version, '\0', sizeof info.version) == NULL ||
        memchr(info.endpoint, '\0', sizeof info.endpoint) == NULL)
        return g_strdup("describe: product is empty, or a text does not end");
    return info.cgroup_version <= 2 ? NULL : g_strdup_printf("describe: cgroup_version is %u", info.cgroup_version);
}

static char *misses_an_image(struct contract *c)
{
    struct dsb_image_info info = {.struct_size = sizeof info}, before = info;
    g_autoptr(GError) error = NULL;
    if (c->plugin->prepare == NULL)
        return g_strdup(UNTOLD "the plugin has no prepare");
    if (c->plugin->prepare(c->backend, "missing-dsandbox-contract:none", FALSE, &info, &error))
        return g_strdup("prepare: it found an image that cannot be there");
    if (memcmp(&info, &before, sizeof info) != 0)
        return g_strdup("prepare: it failed and changed *info");
    return g_error_matches(error, DSB_ERROR, DSB_ERROR_NOT_FOUND) ? NULL : said("prepare (NOT_FOUND expected)", error);
}

static char *creates_and_lists(struct contract *c)
{
    g_auto(wish) wish = {0};
    wish_init(c, &wish);
    g_autofree char *id = NULL;
    g_autofree char *wrong = create(c, &wish, &id);
    if (wrong != NULL)
        return g_steal_pointer(&wrong);
    g_autofree char *ours = listed(c, OWNER);
    g_autofree char *theirs = listed(c, "dsandbox-contract-other");
    g_autofree char *all = listed(c, NULL);
    g_autofree char *expected = g_strdup_printf("%s (session s1)", id);
    g_autofree char *gone = call("destroy", c->plugin->destroy, c->backend, id);
    if (strcmp(ours, expected) != 0)
        return g_strdup_printf("list: '%s' where '%s' was created and not started", ours, expected);
    if (*theirs != '\0' || strstr(all, expected) == NULL)
        return g_strdup_printf("list: another owner has '%s', all owners have '%s'", theirs, all);
    return g_steal_pointer(&gone);
}

static char *keeps_names_apart(struct contract *c)
{
    g_auto(wish) wish = {0};
    wish_init(c, &wish);
    g_autofree char *id = NULL;
    char *second = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree char *wrong = create(c, &wish, &id);
    if (wrong != NULL)
        return g_steal_pointer(&wrong);
    gboolean again = c->plugin->create(c->backend, &wish.spec, &second, &error);
    g_autofree char *gone = call("destroy", c->plugin->destroy, c->backend, id);
    if (again || second != NULL)
        return g_strdup("create: it made a second container of one name, or failed and changed *id");
    if (!g_error_matches(error, DSB_ERROR, DSB_ERROR_CONFLICT))
        return said("create (CONFLICT expected)", error);
    return g_steal_pointer(&gone);
}

static char *refuses_the_unknown(struct contract *c)
{
    g_auto(wish) wish = {0};
    wish_init(c, &wish);
    wish.spec.required |= UINT64_C(1) << 63;
    g_autofree char *id = NULL;
    g_autoptr(GError) error = NULL;
    if (c->plugin->create(c->backend, &wish.spec, &id, &error)) {
        g_autofree G_GNUC_UNUSED char *gone = call("destroy", c->plugin->destroy, c->backend, id);
        return g_strdup("create: it succeeded although a control is required that nobody knows");
    }
    return error != NULL ? left_behind(c, "a create that failed") : said("create", error);
}

/* Asked with the spec of another container, the facts must stay those of the first. */
static char *states_what_is(struct contract *c)
{
    g_auto(wish) small = {0};
    g_auto(wish) large = {0};
    wish_init(c, &small);
    wish_init(c, &large);
    large.spec.memory_bytes *= 2;
    large.spec.pids *= 2;
    g_autofree char *id = NULL;
    g_autofree char *wrong = create(c, &small, &id);
    if (wrong != NULL)
        return g_steal_pointer(&wrong);
    struct dsb_observed facts = {.struct_size = sizeof facts}, none = facts;
    g_autoptr(GError) error = NULL;
    gboolean ok = c->plugin->inspect(c->backend, id, &large.spec, &facts, &error);
    gboolean found = c->plugin->inspect(c->backend, "dsb-contract-nobody", &large.spec, &none, NULL);
    g_autofree char *gone = call("destroy", c->plugin->destroy, c->backend, id);
    if (!ok)
        return said("inspect", error);
    if (found || none.known != 0)
        return g_strdup("inspect: it knows a container that is not there");
    gboolean memory = (facts.known & DSB_BIT(DSB_CONTROL_MEMORY)) != 0;
    gboolean pids = (facts.known & DSB_BIT(DSB_CONTROL_PIDS)) != 0;
    if ((memory && facts.memory_bytes == large.spec.memory_bytes) || (pids && facts.pids == large.spec.pids))
        return g_strdup("inspect: it states what it was given to compare with, not what the container has");
    return g_steal_pointer(&gone);
}

static char *check_stream(const struct dsb_stream *stream)
{
    if (stream->read == NULL || stream->write == NULL || stream->close == NULL || stream->read_fd < 0 ||
        stream->write_fd < 0)
        return g_strdup("start: the stream is not complete");
    if ((fcntl(stream->read_fd, F_GETFD) & FD_CLOEXEC) == 0 || (fcntl(stream->write_fd, F_GETFD) & FD_CLOEXEC) == 0)
        return g_strdup("leaked descriptors: the stream's are inherited by every program that is started (O_CLOEXEC)");
    return NULL;
}

/* Until the stream ends, or the time is over. */
static gboolean ends(const struct dsb_stream *stream)
{
    gint64 deadline = g_get_monotonic_time() + END_MS * 1000;
    while (g_get_monotonic_time() < deadline) {
        char buffer[4096];
        g_autoptr(GError) error = NULL;
        gssize n = stream->read(stream->state, buffer, sizeof buffer, &error);
        if (n == 0 || (n < 0 && !g_error_matches(error, DSB_ERROR, DSB_ERROR_WOULD_BLOCK)))
            return TRUE;
        struct pollfd fd = {stream->read_fd, POLLIN, 0};
        if (n < 0)
            poll(&fd, 1, 100);
    }
    return FALSE;
}

/* `start` may return a little before the engine has done it. */
static gboolean runs(struct contract *c)
{
    gint64 deadline = g_get_monotonic_time() + END_MS * 1000;
    while (g_get_monotonic_time() < deadline) {
        g_autofree char *text = listed(c, OWNER);
        if (strstr(text, ", running)") != NULL)
            return TRUE;
        g_usleep(50000);
    }
    return FALSE;
}

static char *start_and_kill(struct contract *c, const char *id)
{
    struct dsb_stream stream = {.struct_size = sizeof stream};
    g_autoptr(GError) error = NULL;
    if (!c->plugin->start(c->backend, id, &stream, &error))
        return said("start", error);
    char *wrong = check_stream(&stream);
    if (wrong == NULL && !runs(c))
        wrong = g_strdup("start: list does not say that it runs");
    if (wrong == NULL)
        wrong = call("kill", c->plugin->kill, c->backend, id);
    if (wrong == NULL && !ends(&stream))
        wrong = g_strdup("kill: the stream did not end after it");
    if (stream.close != NULL)
        stream.close(stream.state);
    return wrong;
}

static char *starts_and_kills(struct contract *c)
{
    g_auto(wish) wish = {0};
    wish_init(c, &wish);
    g_autofree char *id = NULL;
    char *wrong = create(c, &wish, &id);
    if (wrong == NULL)
        wrong = start_and_kill(c, id);
    g_autofree char *gone = id != NULL ? call("destroy", c->plugin->destroy, c->backend, id) : NULL;
    return wrong != NULL ? wrong : g_steal_pointer(&gone);
}

static char *ends_twice(struct contract *c)
{
    g_auto(wish) wish = {0};
    wish_init(c, &wish);
    g_autofree char *id = NULL;
    char *wrong = create(c, &wish, &id);
    for (int i = 0; i < 2 && wrong == NULL; i++)
        wrong = call("kill", c->plugin->kill, c->backend, id);
    for (int i = 0; i < 2 && wrong == NULL; i++)
        wrong = call("destroy", c->plugin->destroy, c->backend, id);
    if (wrong == NULL)
        wrong = call("kill", c->plugin->kill, c->backend, id);
    return wrong;
}

/* By id and by name, running. */
static char *removes_what_runs(struct contract *c)
{
    char *wrong = NULL;
    for (int by_name = 0; by_name < 2 && wrong == NULL; by_name++) {
        g_auto(wish) wish = {0};
        wish_init(c, &wish);
        g_autofree char *id = NULL;
        struct dsb_stream stream = {.struct_size = sizeof stream};
        g_autoptr(GError) error = NULL;
        wrong = create(c, &wish, &id);
        if (wrong != NULL)
            return wrong;
        gboolean started = c->plugin->start(c->backend, id, &stream, &error);
        g_autofree char *gone = call("destroy", c->plugin->destroy, c->backend, by_name ? wish.name : id);
        if (started)
            stream.close(stream.state);
        wrong = !started ? said("start", error) : gone != NULL ? g_steal_pointer(&gone) : left_behind(c, "destroy");
    }
    return wrong;
}

/* ---- what is left of whole lives ---- */

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
static char *live(struct contract *c)
{
    g_autoptr(GError) error = NULL;
    struct contract one = *c;
    if (!c->plugin->open(&c->params, &one.backend, &error))
        return said("open", error);
    char *wrong = describes(&one);
    if (wrong == NULL)
        wrong = starts_and_kills(&one);
    if (wrong == NULL)
        wrong = left_behind(&one, "destroy");
    c->plugin->close(one.backend);
    c->count = one.count;
    return wrong;
}

static char *lives(struct contract *c, unsigned n)
{
    char *wrong = NULL;
    for (unsigned i = 0; i < n && wrong == NULL; i++)
        wrong = live(c);
    return wrong;
}

static char *leaves_nothing(struct contract *c)
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

/* Only where a life is short: an engine's own work would drown it. */
static char *leaves_no_memory(struct contract *c)
{
    gint64 begin = g_get_monotonic_time();
    char *wrong = lives(c, 20);
    if (wrong == NULL && g_get_monotonic_time() - begin > G_USEC_PER_SEC)
        wrong = g_strdup(UNTOLD "a life takes too long here");
    if (wrong != NULL)
        return wrong;
    gsize before = mallinfo2().uordblks;
    wrong = lives(c, MEMORY_LIVES);
    gsize after = mallinfo2().uordblks;
    if (wrong == NULL && after > before && (after - before) / MEMORY_LIVES >= 16)
        wrong =
            g_strdup_printf("leaked memory: %" G_GSIZE_FORMAT " bytes in each life", (after - before) / MEMORY_LIVES);
    return wrong;
}

/* Through the library: every control that the engine states to be weaker than the policy. */
static char *states_no_weaker(struct contract *c)
{
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    const struct dsb_request request = {.struct_size = sizeof request, .code = "pass", .code_size = 4, .stdin_fd = -1};
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

static const struct {
    const char *id, *severity, *title;
    char *(*run)(struct contract *c);
} cases[] = {
    {"PI-01", "medium", "describe names the engine", describes},
    {"PI-02", "medium", "an image that is not there is NOT_FOUND", misses_an_image},
    {"PI-03", "high", "what is created can be found by its owner, and by no other", creates_and_lists},
    {"PI-04", "medium", "one name, one container", keeps_names_apart},
    {"PI-05", "critical", "a required control that is not known fails create", refuses_the_unknown},
    {"PI-06", "critical", "inspect states the container, not the spec", states_what_is},
    {"PI-07", "high", "start gives a stream, kill ends it", starts_and_kills},
    {"PI-08", "medium", "kill and destroy can be repeated", ends_twice},
    {"PI-09", "high", "destroy removes what runs, by id and by name", removes_what_runs},
    {"PI-10", "high", "whole lives leave no container, descriptor, thread or process", leaves_nothing},
    {"PI-11", "low", "whole lives leave no memory", leaves_no_memory},
    {"PI-12", "critical", "what the engine states is no weaker than the policy", states_no_weaker},
};

/* ---- running them ---- */

static const struct dsb_plugin *load(const char *path, GError **error)
{
    /* The library's own checks first; then the very operations, without its gate. */
    const struct dsb_run_options options = {.struct_size = sizeof options, .plugin_path = path, .cancel_fd = -1};
    g_autoptr(GPtrArray) rows = dsb_backends(&options, FALSE);
    const struct dsb_backend_row *row = rows != NULL && rows->len > 0 ? rows->pdata[0] : NULL;
    void *handle = row != NULL && row->problem == NULL ? dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) : NULL;
    dsb_plugin_entry_fn entry = NULL;
    if (handle != NULL)
        *(void **) &entry = dlsym(handle, DSB_PLUGIN_ENTRY);
    if (entry != NULL)
        return entry();
    g_set_error(error, DSB_ERROR, DSB_ERROR_PLUGIN, "%s", row != NULL && row->problem != NULL ? row->problem : path);
    return NULL;
}

static char *run_one(struct contract *c, char *(*run)(struct contract *) )
{
    g_autoptr(GError) error = NULL;
    alarm(HANG_SECONDS); /* an operation that never returns ends the program */
    if (!c->plugin->open(&c->params, &c->backend, &error))
        return said("open", error);
    char *wrong = run(c);
    c->plugin->close(c->backend);
    alarm(0);
    return wrong;
}

static struct conf_case *make_case(gsize i)
{
    struct conf_case *row = g_new0(struct conf_case, 1);
    row->id = g_strdup(cases[i].id);
    row->group = g_strdup("PI");
    row->severity = g_strdup(cases[i].severity);
    row->title = g_strdup(cases[i].title);
    row->expected = g_strdup("it holds");
    return row;
}

/* The image as the plugin itself resolves it. */
static char *find_image(struct contract *c, const char *name)
{
    struct dsb_image_info info = {.struct_size = sizeof info};
    const char *image = name != NULL ? name : "dsandbox-sandbox:latest";
    void *backend = NULL;
    if (c->plugin->prepare == NULL || !c->plugin->open(&c->params, &backend, NULL))
        return g_strdup(image);
    gboolean ok = c->plugin->prepare(backend, image, FALSE, &info, NULL);
    c->plugin->close(backend);
    return g_strdup(ok ? info.id : image);
}

gboolean conf_contract(const struct dsb_run_options *options, const char *only, GPtrArray *outcomes, GError **error)
{
    struct contract c = {.options = options, .plugin = load(options->plugin_path, error)};
    if (c.plugin == NULL)
        return FALSE;
    g_autofree char *runtime = g_build_filename(options->base_dir, "contract", NULL);
    if (g_mkdir(runtime, 0700) != 0) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "%s: %s", runtime, g_strerror(errno));
        return FALSE;
    }
    c.params = (struct dsb_open_params){.struct_size = sizeof c.params,
                                        .endpoint = options->endpoint,
                                        .runtime_dir = runtime,
                                        .call_timeout_ms = 60000,
                                        .log = options->log,
                                        .log_data = options->data,
                                        .cancel_fd = -1};
    g_autofree G_GNUC_UNUSED char *image = c.image = find_image(&c, options->image);
    c.volume = runtime;
    g_autofree char *seccomp = c.seccomp = g_build_filename(runtime, "seccomp.json", NULL);
    if (!g_file_set_contents(seccomp, profile, -1, error))
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        if (only != NULL && g_ascii_strcasecmp(only, cases[i].id) != 0)
            continue;
        struct conf_outcome *outcome = g_new0(struct conf_outcome, 1);
        outcome->which = outcome->own = make_case(i);
        outcome->observed = run_one(&c, cases[i].run);
        if (outcome->observed == NULL) {
            outcome->verdict = CONF_PASS;
            outcome->observed = g_strdup("it holds");
        } else if (g_str_has_prefix(outcome->observed, UNTOLD)) {
            outcome->verdict = CONF_SKIPPED;
            outcome->reason = g_steal_pointer(&outcome->observed);
        }
        g_ptr_array_add(outcomes, outcome);
    }
    g_unlink(seccomp);
    g_rmdir(runtime);
    return TRUE;
}
