/* SPDX-License-Identifier: MIT */
/*
 * The contract of a plugin, operation by operation, as <dsandbox/plugin.h> states it: what can be checked without a
 * kernel behind it, so also on an engine in memory. What holds inside a container only the other groups can tell.
 */
#include "contract.h"

#include "common/plugin_types.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define END_MS 60000

/* A spec and what it points to. */
struct wish {
    char *name, *deadline;
    struct dsb_pair labels[3];
    struct dsb_bind binds[2];
    const struct dsb_pair *label_list[3];
    const struct dsb_bind *bind_list[2];
    struct dsb_spec spec;
};

static void wish_init(struct contract *c, struct wish *wish)
{
    static const char *const argv[] = {"/bin/sleep", "60", NULL};
    wish->name = g_strdup_printf("dsb-contract-%d-%u", (int) getpid(), ++c->count);
    wish->deadline = g_strdup_printf("%" G_GINT64_FORMAT, c->deadline);
    wish->labels[0] = (struct dsb_pair){sizeof(struct dsb_pair), DSB_LABEL_OWNER, c->owner};
    wish->labels[1] = (struct dsb_pair){sizeof(struct dsb_pair), DSB_LABEL_SESSION, "s1"};
    wish->labels[2] = (struct dsb_pair){sizeof(struct dsb_pair), DSB_LABEL_DEADLINE, wish->deadline};
    wish->binds[0] = (struct dsb_bind){sizeof(struct dsb_bind), c->volume, "/sandbox", FALSE};
    wish->binds[1] = (struct dsb_bind){sizeof(struct dsb_bind), c->volume, "/opt/dsandbox", TRUE};
    for (gsize i = 0; i < G_N_ELEMENTS(wish->labels); i++)
        wish->label_list[i] = &wish->labels[i];
    for (gsize i = 0; i < G_N_ELEMENTS(wish->binds); i++)
        wish->bind_list[i] = &wish->binds[i];
    wish->spec = (struct dsb_spec){.struct_size = sizeof wish->spec,
                                   .required = c->plugin->enforces,
                                   .name = wish->name,
                                   .image = c->image,
                                   .labels = wish->label_list,
                                   .n_labels = 3,
                                   .argv = argv,
                                   .workdir = "/sandbox",
                                   .hostname = "sandbox",
                                   .binds = wish->bind_list,
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
                                   .seccomp_json = contract_profile,
                                   .seccomp_path = c->seccomp};
}

static void wish_clear(struct wish *wish)
{
    g_free(wish->name);
    g_free(wish->deadline);
}

typedef struct wish wish;
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(wish, wish_clear)

/* "OP: message", or what is wrong with the message itself (g_free). */
char *said(const char *op, const GError *error)
{
    if (error == NULL)
        return g_strdup_printf("%s: it failed and set no error", op);
    gboolean exists = error->code >= DSB_ERROR_FAILED && error->code <= DSB_ERROR_WOULD_BLOCK;
    return g_strdup_printf("%s: %s%s", op, exists ? "" : "(a code that does not exist) ", error->message);
}

static char *create(struct contract *c, const struct wish *wish, char **id)
{
    g_autoptr(GError) error = NULL;
    if (!call_create(c, &wish->spec, id, &error))
        return said("create", error);
    return *id != NULL && **id != '\0' ? NULL : g_strdup("create: it succeeded and gave no id");
}

static char *destroyed(struct contract *c, const char *id)
{
    g_autoptr(GError) error = NULL;
    return call_destroy(c, id, &error) ? NULL : said("destroy", error);
}

/* The containers of `owner` (NULL: of all); NULL: *wrong (g_free) says why. */
static GPtrArray *containers_of(struct contract *c, const char *owner, char **wrong)
{
    g_autoptr(GError) error = NULL;
    GPtrArray *list = NULL;
    if (!call_list(c, owner, &list, &error)) {
        *wrong = said("list", error);
        return NULL;
    }
    if (list->len == 0 || list->pdata[list->len - 1] != NULL)
        return list;
    *wrong = g_strdup("list: an item is not complete");
    g_ptr_array_unref(list);
    return NULL;
}

/* The same as "ID (session S, running)", comma-separated; "" for none. */
static char *listed(struct contract *c, const char *owner)
{
    char *wrong = NULL;
    g_autoptr(GPtrArray) list = containers_of(c, owner, &wrong);
    if (list == NULL)
        return wrong;
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint i = 0; i < list->len; i++) {
        const struct dsb_leftover *one = list->pdata[i];
        g_string_append_printf(text, "%s%s (session %s%s)", i > 0 ? ", " : "", one->id, one->session,
                               one->running ? ", running" : "");
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

/* Of a suite that was killed, or whose plugin could not remove it. */
static gboolean is_forgotten(const struct dsb_leftover *one)
{
    gint64 now = g_get_real_time() / G_USEC_PER_SEC;
    return strncmp(one->owner, CONTRACT_OWNER, strlen(CONTRACT_OWNER)) == 0 && one->deadline > 0 && one->deadline < now;
}

char *remove_left(struct contract *c, const char *owner)
{
    char *wrong = NULL;
    g_autoptr(GPtrArray) list = containers_of(c, owner, &wrong);
    for (guint i = 0; list != NULL && i < list->len; i++) {
        const struct dsb_leftover *one = list->pdata[i];
        if (owner == NULL && !is_forgotten(one))
            continue;
        char *failed = destroyed(c, one->id);
        if (wrong == NULL)
            wrong = failed;
        else
            g_free(failed);
    }
    return wrong != NULL || owner == NULL ? wrong : left_behind(c, "destroy");
}

char *left_behind(struct contract *c, const char *after)
{
    g_autofree char *rest = listed(c, c->owner);
    return *rest == '\0' ? NULL : g_strdup_printf("leaked containers: after %s there is still %s", after, rest);
}

/* ---- the cases: NULL when it holds, else what is wrong, or why it cannot be told (g_free) ---- */

char *describes(struct contract *c)
{
    struct dsb_engine_info info = {.struct_size = sizeof info};
    g_autoptr(GError) error = NULL;
    if (!call_describe(c, &info, &error))
        return said("describe", error);
    if (info.product[0] == '\0' || memchr(info.product, '\0', sizeof info.product) == NULL ||
        memchr(info.version, '\0', sizeof info.version) == NULL ||
        memchr(info.endpoint, '\0', sizeof info.endpoint) == NULL)
        return g_strdup("describe: product is empty, or a text does not end");
    return info.cgroup_version <= 2 ? NULL : g_strdup_printf("describe: cgroup_version is %u", info.cgroup_version);
}

char *misses_an_image(struct contract *c)
{
    struct dsb_image_info info = {.struct_size = sizeof info}, before = info;
    g_autoptr(GError) error = NULL;
    if (c->plugin->prepare == NULL)
        return g_strdup(UNTOLD "the plugin has no prepare");
    if (call_prepare(c, "missing-dsandbox-contract:none", &info, &error))
        return g_strdup("prepare: it found an image that cannot be there");
    if (memcmp(&info, &before, sizeof info) != 0)
        return g_strdup("prepare: it failed and changed *info");
    return g_error_matches(error, DSB_ERROR, DSB_ERROR_NOT_FOUND) ? NULL : said("prepare (NOT_FOUND expected)", error);
}

char *creates_and_lists(struct contract *c)
{
    g_auto(wish) wish = {0};
    wish_init(c, &wish);
    g_autofree char *id = NULL;
    g_autofree char *wrong = create(c, &wish, &id);
    if (wrong != NULL)
        return g_steal_pointer(&wrong);
    g_autofree char *ours = listed(c, c->owner);
    g_autofree char *theirs = listed(c, "dsandbox-nobody");
    g_autofree char *all = listed(c, NULL);
    g_autofree char *expected = g_strdup_printf("%s (session s1)", id);
    g_autofree char *gone = destroyed(c, id);
    if (strcmp(ours, expected) != 0)
        return g_strdup_printf("list: '%s' where '%s' was created and not started", ours, expected);
    if (*theirs != '\0' || strstr(all, expected) == NULL)
        return g_strdup_printf("list: another owner has '%s', all owners have '%s'", theirs, all);
    return g_steal_pointer(&gone);
}

char *keeps_names_apart(struct contract *c)
{
    g_auto(wish) wish = {0};
    wish_init(c, &wish);
    g_autofree char *id = NULL;
    char *second = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree char *wrong = create(c, &wish, &id);
    if (wrong != NULL)
        return g_steal_pointer(&wrong);
    gboolean again = call_create(c, &wish.spec, &second, &error);
    g_autofree char *gone = destroyed(c, id);
    if (again || second != NULL)
        return g_strdup("create: it made a second container of one name, or failed and changed what it gives");
    if (!g_error_matches(error, DSB_ERROR, DSB_ERROR_CONFLICT))
        return said("create (CONFLICT expected)", error);
    return g_steal_pointer(&gone);
}

char *refuses_the_unknown(struct contract *c)
{
    g_auto(wish) wish = {0};
    wish_init(c, &wish);
    wish.spec.required |= UINT64_C(1) << 63;
    g_autofree char *id = NULL;
    g_autoptr(GError) error = NULL;
    if (call_create(c, &wish.spec, &id, &error)) {
        g_autofree G_GNUC_UNUSED char *gone = destroyed(c, id);
        return g_strdup("create: it succeeded although a control is required that nobody knows");
    }
    return error != NULL ? left_behind(c, "a create that failed") : said("create", error);
}

/* Asked with the spec of another container, the facts must stay those of the first. */
char *states_what_is(struct contract *c)
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
    gboolean ok = call_inspect(c, id, &large.spec, &facts, &error);
    gboolean found = call_inspect(c, "dsb-contract-nobody", &large.spec, &none, NULL);
    g_autofree char *gone = destroyed(c, id);
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
static gboolean ends(struct contract *c, const struct dsb_stream *stream)
{
    gint64 deadline = g_get_monotonic_time() + END_MS * 1000;
    while (g_get_monotonic_time() < deadline) {
        char buffer[4096];
        g_autoptr(GError) error = NULL;
        gssize n = call_read(c, stream, buffer, sizeof buffer, &error);
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
        g_autofree char *text = listed(c, c->owner);
        if (strstr(text, ", running)") != NULL)
            return TRUE;
        g_usleep(50000);
    }
    return FALSE;
}

static char *start_and_destroy(struct contract *c, const char *id)
{
    struct dsb_stream stream = {.struct_size = sizeof stream};
    g_autoptr(GError) error = NULL;
    if (!call_start(c, id, &stream, &error))
        return said("start", error);
    char *wrong = check_stream(&stream);
    if (wrong == NULL && !runs(c))
        wrong = g_strdup("start: list does not say that it runs");
    if (wrong == NULL)
        wrong = destroyed(c, id);
    if (wrong == NULL && !ends(c, &stream))
        wrong = g_strdup("destroy: the stream did not end after it");
    if (stream.close != NULL)
        call_stream_close(c, &stream);
    return wrong;
}

char *starts_and_destroys(struct contract *c)
{
    g_auto(wish) wish = {0};
    wish_init(c, &wish);
    g_autofree char *id = NULL;
    char *wrong = create(c, &wish, &id);
    if (wrong == NULL)
        wrong = start_and_destroy(c, id);
    g_autofree char *gone = id != NULL ? destroyed(c, id) : NULL;
    return wrong != NULL ? wrong : g_steal_pointer(&gone);
}

char *ends_twice(struct contract *c)
{
    g_auto(wish) wish = {0};
    wish_init(c, &wish);
    g_autofree char *id = NULL;
    char *wrong = create(c, &wish, &id);
    for (int i = 0; i < 3 && wrong == NULL; i++)
        wrong = destroyed(c, id);
    return wrong;
}

/* By id and by name, running. */
char *removes_what_runs(struct contract *c)
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
        gboolean started = call_start(c, id, &stream, &error);
        g_autofree char *gone = destroyed(c, by_name ? wish.name : id);
        if (started)
            call_stream_close(c, &stream);
        wrong = !started ? said("start", error) : gone != NULL ? g_steal_pointer(&gone) : left_behind(c, "destroy");
    }
    return wrong;
}

/* Until the engine has removed what ended; as long as `destroy` itself may take. */
static char *is_removed(struct contract *c)
{
    gint64 deadline = g_get_monotonic_time() + (gint64) contract_limit_ms(c->options, "destroy") * 1000;
    for (;;) {
        char *left = left_behind(c, "its own end, and describe says that the engine removes what has ended,");
        if (left == NULL || g_get_monotonic_time() > deadline)
            return left;
        g_free(left);
        g_usleep(50000);
    }
}

/* A run that was answered leaves its container so. */
char *removes_ended(struct contract *c)
{
    static const char *const argv[] = {"/bin/sleep", "1", NULL};
    struct dsb_engine_info info = {.struct_size = sizeof info};
    struct dsb_stream stream = {.struct_size = sizeof stream};
    g_auto(wish) wish = {0};
    g_autofree char *id = NULL;
    g_autoptr(GError) error = NULL;
    if (!call_describe(c, &info, &error))
        return said("describe", error);
    wish_init(c, &wish);
    wish.spec.argv = argv;
    char *wrong = create(c, &wish, &id);
    if (wrong != NULL)
        return wrong;
    if (!call_start(c, id, &stream, &error))
        return said("start", error);
    call_stream_close(c, &stream);
    wrong = info.removes_ended ? is_removed(c) : destroyed(c, id);
    return wrong != NULL ? wrong : left_behind(c, "destroy");
}

/* Everything is called once; what it does otherwise is the matter of other cases. */
char *changes_nothing(struct contract *c)
{
    g_autofree char *life = contract_live(c);
    g_autofree G_GNUC_UNUSED char *image = misses_an_image(c);
    g_autofree G_GNUC_UNUSED char *facts = states_what_is(c);
    if (c->changed != NULL)
        return g_strdup(c->changed);
    return life != NULL ? g_strconcat(UNTOLD, life, NULL) : NULL;
}
