/* SPDX-License-Identifier: MIT */
#include "broker/warm.h"

#include "broker/dispatch.h"
#include "broker/gc.h"
#include "common/json.h"
#include "shared/deadlines.h"

#include <stdio.h>
#include <string.h>

#define KINDS_MAX 32
#define USES_MAX 64           /* that are remembered of a kind */
#define USES_SPAN_MS 300000   /* for so long */
#define MAKE_MS 1000          /* what making one takes, before that is known; at least so much is counted on */
#define FILL_MS 50            /* a short run goes first */
#define ROUND_MS 10000        /* kinds that were asked for in the same time do not take each other's places */
#define TICK_MS 5000
#define AGE_MS 1800000        /* it is replaced then; pid 1 would end it after an hour */
#define AGAIN_MS 1000         /* after a failure, twice as long after each further one */
#define AGAIN_MAX_MS 300000
#define RELEASE_MS 60000      /* to be removed */
#define MEMORY_RESERVE 8      /* so much of the machine's memory stays free: an eighth */

struct kind;

/** One sandbox. */
struct warm {
    struct kind *kind;
    struct process *process;
    gboolean ready;
    gint64 since; /* monotonic: its start, then when it was ready */
};

/** What can be given to the same requests. */
struct kind {
    struct warm_pool *pool;
    char *key;
    struct settings *settings;
    gboolean one_shot;
    GQueue warms;          /* struct warm, those that are ready first, the oldest of them at the head */
    gint64 uses[USES_MAX]; /* monotonic times, a ring */
    guint n_uses;          /* all in all */
    guint share;           /* of the pool: so many are to wait */
    gint64 make_us;        /* what making one takes, smoothed */
    guint failures;        /* in a row */
    gint64 not_before;     /* monotonic */
    char *problem;         /* of the last failure */
    char *image, *backend; /* JSON: the facts of the last one */
    guint64 claimed, missed;
};

struct warm_pool {
    struct service *service;
    guint size, starting_max;
    guint64 idle_us;
    GQueue kinds;
    struct event_source fill, tick;
    gint64 fill_at; /* monotonic, while `fill` is set */
    gboolean stopped;
    guint64 made, failed, ended, claimed, missed;
};

static gint64 now(void) { return g_get_monotonic_time(); }

/* --- kinds ---------------------------------------------------------------------- */

/* What the sandbox is made with, and nothing of whom it is for. */
static struct json_object *pool_body(const struct settings *settings)
{
    static const char *const names[] = {"backend",      "plugin",       "host",      "image",          "base_dir",
                                        "policy",       "set",          "mount",     "idle_timeout",   "life_time",
                                        "checkpoint",   "allow_unenforced", "engine_timeout"};
    struct json_object *body = json_object_new_object();
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        struct json_object *value = json_member(settings->body, names[i]);
        if (value != NULL)
            json_object_object_add(body, names[i], json_object_get(value));
    }
    return body;
}

static const char *text_or(const char *text, const char *otherwise) { return text != NULL ? text : otherwise; }

/* Two with the same key get the same sandbox, but for what the policy's hash does not say: the rest is all here. */
static char *key_of(const struct settings *settings, gboolean one_shot)
{
    g_autofree char *allow = settings->allow != NULL ? g_strjoinv(",", settings->allow) : g_strdup("");
    return g_strdup_printf("%s\n%s\n%s\n%s\n%s\n%s\n%s\n%u\n%s", settings->sha256, text_or(settings->backend, ""),
                           text_or(settings->plugin, ""), text_or(settings->host, ""),
                           text_or(settings->image, DSB_DEFAULT_IMAGE),
                           text_or(settings->base_dir, dsb_default_base_dir()), allow, settings->engine_timeout_ms,
                           one_shot ? "run" : dsb_checkpoint_name(settings->checkpoint));
}

static struct kind *find(const struct warm_pool *pool, const char *key)
{
    for (GList *item = pool->kinds.head; item != NULL; item = item->next)
        if (strcmp(((struct kind *) item->data)->key, key) == 0)
            return item->data;
    return NULL;
}

static gint64 last_use(const struct kind *kind) { return kind->uses[(kind->n_uses - 1) % USES_MAX]; }

static guint remembered(const struct kind *kind) { return MIN(kind->n_uses, USES_MAX); }

/* The i-th use before now, 0 the last. */
static gint64 use_before(const struct kind *kind, guint i) { return kind->uses[(kind->n_uses - 1 - i) % USES_MAX]; }

/* As many as were asked for within the time that it takes to make them: at least one, for a kind that is in use. */
static guint target(const struct kind *kind)
{
    gint64 since = now() - USES_SPAN_MS * INT64_C(1000), span = MAX(2 * kind->make_us, MAKE_MS * INT64_C(1000));
    guint most = 1;
    for (guint first = 0, last = 0; last < remembered(kind) && use_before(kind, last) >= since; last++) {
        while (use_before(kind, first) - use_before(kind, last) > span)
            first++;
        most = MAX(most, last - first + 1);
    }
    return MIN(most, kind->pool->size);
}

static guint count(const struct kind *kind, gboolean ready)
{
    guint n = 0;
    for (GList *item = kind->warms.head; item != NULL; item = item->next)
        n += ((struct warm *) item->data)->ready == ready;
    return n;
}

static guint total(const struct warm_pool *pool, gboolean ready)
{
    guint n = 0;
    for (GList *item = pool->kinds.head; item != NULL; item = item->next)
        n += count(item->data, ready);
    return n;
}

static void fill_soon(struct warm_pool *pool, guint ms);

/* --- one sandbox ------------------------------------------------------------------ */

static void forget(struct warm *warm)
{
    g_queue_remove(&warm->kind->warms, warm);
    g_free(warm);
}

/* It ends in order, by itself. */
static void end(struct warm *warm)
{
    warm->kind->pool->ended++;
    process_release_within(warm->process, RELEASE_MS);
    forget(warm);
}

static void failed(struct kind *kind, const char *why)
{
    guint64 ms = (guint64) AGAIN_MS << MIN(kind->failures, 16);
    kind->pool->failed++;
    kind->failures++;
    kind->not_before = now() + (gint64) MIN(ms, AGAIN_MAX_MS) * 1000;
    if (g_strcmp0(kind->problem, why) != 0)
        service_log("no sandbox can wait ready: %s", why);
    g_free(kind->problem);
    kind->problem = g_strdup(why);
    fill_soon(kind->pool, (guint) MIN(ms, AGAIN_MAX_MS));
}

static void take_facts(struct kind *kind, struct outcome *outcome)
{
    g_free(kind->image);
    g_free(kind->backend);
    kind->image = g_steal_pointer(&outcome->facts[FACT_IMAGE]);
    kind->backend = g_steal_pointer(&outcome->facts[FACT_BACKEND]);
}

static void on_outcome(struct warm *warm, struct outcome *outcome)
{
    struct kind *kind = warm->kind;
    if (!outcome->alive) {
        g_autofree char *why = g_strdup(outcome->error != NULL ? outcome->error->message : "it is not there");
        process_release_within(warm->process, RELEASE_MS);
        forget(warm);
        failed(kind, why);
        return;
    }
    gint64 took = now() - warm->since;
    kind->make_us = kind->make_us > 0 ? (3 * kind->make_us + took) / 4 : took;
    kind->failures = 0;
    g_clear_pointer(&kind->problem, g_free);
    take_facts(kind, outcome);
    kind->pool->made++;
    warm->ready = TRUE;
    warm->since = now();
    process_expect(warm->process, PHASE_CREATE, 0);
    g_queue_remove(&kind->warms, warm);
    g_queue_insert_before(&kind->warms, g_queue_peek_nth_link(&kind->warms, count(kind, TRUE)), warm);
    fill_soon(kind->pool, 0);
}

static void on_frame(gpointer data, struct frame *frame)
{
    struct warm *warm = data;
    struct warm_pool *pool = warm->kind->pool;
    struct outcome outcome = {0};
    if (frame->type == FRAME_PHASE)
        return;
    if (frame->type == FRAME_ENDED && warm->ready) {
        service_log("a sandbox that waited has ended");
        end(warm);
        fill_soon(pool, FILL_MS);
    } else if (frame->type == FRAME_OUTCOME && !warm->ready && outcome_unpack(frame, &outcome)) {
        on_outcome(warm, &outcome);
        outcome_clear(&outcome);
    } else {
        process_fail(warm->process, "that is no frame for this moment");
    }
}

static void on_gone(gpointer data, const char *why)
{
    struct warm *warm = data;
    struct kind *kind = warm->kind;
    gboolean ready = warm->ready;
    forget(warm);
    gc_after(kind->pool->service, kind->settings->body);
    if (ready)
        fill_soon(kind->pool, FILL_MS);
    else
        failed(kind, why);
}

static gboolean give_order(struct warm *warm, GError **error)
{
    const struct order order = {.kind = JOB_WARM, .flag = warm->kind->one_shot, .before = 0};
    g_autoptr(GByteArray) pack = g_byte_array_new();
    order_pack(&order, pack);
    process_expect(warm->process, PHASE_CREATE, deadline_create(warm->kind->settings));
    return dispatch_send_settings(warm->process, warm->kind->settings, error) &&
           process_try_send(warm->process, FRAME_ORDER, pack, NULL, 0, error);
}

static void make(struct kind *kind)
{
    static const struct process_user user = {on_frame, on_gone};
    g_autoptr(GError) error = NULL;
    struct warm *warm = g_new0(struct warm, 1);
    *warm = (struct warm){.kind = kind, .since = now()};
    warm->process = process_take(kind->pool->service, &user, warm, &error);
    g_queue_push_tail(&kind->warms, warm);
    if (warm->process != NULL && give_order(warm, &error))
        return;
    if (warm->process != NULL)
        process_release(warm->process);
    forget(warm);
    failed(kind, error->message);
}

/* --- how many ---------------------------------------------------------------------- */

/* Of /proc/meminfo, in bytes; FALSE: not known. */
static gboolean machine_memory(guint64 *all, guint64 *available)
{
    g_autofree char *text = NULL;
    unsigned long long total_kib = 0, free_kib = 0;
    if (!g_file_get_contents("/proc/meminfo", &text, NULL, NULL))
        return FALSE;
    const char *first = strstr(text, "MemTotal:"), *second = strstr(text, "MemAvailable:");
    if (first == NULL || second == NULL || sscanf(first, "MemTotal: %llu", &total_kib) != 1 ||
        sscanf(second, "MemAvailable: %llu", &free_kib) != 1)
        return FALSE;
    *all = total_kib * 1024;
    *available = free_kib * 1024;
    return TRUE;
}

/* With all the memory that its policy allows, an eighth of the machine's stays free. */
static gboolean has_room(guint64 bytes)
{
    guint64 all = 0, available = 0;
    return machine_memory(&all, &available) && available >= bytes && available - bytes >= all / MEMORY_RESERVE;
}

/* Those that were asked for last come first; of two that were asked for lately, the one that has some. */
static gint by_use(gconstpointer a, gconstpointer b, gpointer data)
{
    const struct kind *left = a, *right = b;
    const gint64 *at = data;
    gint64 left_age = (*at - last_use(left)) / (ROUND_MS * 1000), right_age = (*at - last_use(right)) / (ROUND_MS * 1000);
    gint has = (gint) MIN(right->warms.length, 1) - (gint) MIN(left->warms.length, 1);
    if (left_age != right_age)
        return left_age < right_age ? -1 : 1;
    return has != 0 ? has : last_use(left) < last_use(right) ? 1 : -1;
}

/* One for each first, then what they want. */
static void allot(struct warm_pool *pool)
{
    gint64 at = now();
    guint left = pool->size;
    g_queue_sort(&pool->kinds, by_use, &at);
    for (GList *item = pool->kinds.head; item != NULL; item = item->next) {
        struct kind *kind = item->data;
        kind->share = MIN(1, left);
        left -= kind->share;
    }
    for (GList *item = pool->kinds.head; item != NULL && left > 0; item = item->next) {
        struct kind *kind = item->data;
        guint more = MIN(target(kind) - kind->share, left);
        kind->share += more;
        left -= more;
    }
}

/* The oldest that waits; one that starts is let be. */
static gboolean end_one(struct kind *kind)
{
    struct warm *warm = g_queue_peek_head(&kind->warms);
    if (warm == NULL || !warm->ready)
        return FALSE;
    end(warm);
    return TRUE;
}

static void fill(struct warm_pool *pool)
{
    guint starting = total(pool, FALSE);
    allot(pool);
    for (GList *item = pool->kinds.head; item != NULL; item = item->next)
        for (struct kind *kind = item->data; kind->warms.length > kind->share && end_one(kind);)
            ;
    for (GList *item = pool->kinds.head; item != NULL; item = item->next) {
        struct kind *kind = item->data;
        gint64 wait_us = kind->not_before - now();
        guint64 memory = settings_number(kind->settings, "memory");
        while (kind->warms.length < kind->share && starting < pool->starting_max && wait_us <= 0 && has_room(memory)) {
            make(kind);
            starting++;
            wait_us = kind->not_before - now();
        }
    }
}

static gboolean on_fill(gpointer data)
{
    struct warm_pool *pool = data;
    event_source_clear(&pool->fill); /* what fails now is tried again */
    fill(pool);
    return G_SOURCE_REMOVE;
}

static void fill_soon(struct warm_pool *pool, guint ms)
{
    gint64 at = now() + ms * INT64_C(1000);
    if (pool->stopped || (event_source_is_set(&pool->fill) && pool->fill_at <= at))
        return;
    pool->fill_at = at;
    event_source_timeout(&pool->fill, ms, on_fill, pool);
}

static void kind_free(struct kind *kind)
{
    g_queue_remove(&kind->pool->kinds, kind);
    settings_free(kind->settings);
    g_free(kind->key);
    g_free(kind->problem);
    g_free(kind->image);
    g_free(kind->backend);
    g_free(kind);
}

/* FALSE: one of them is being made still. */
static gboolean end_kind(struct kind *kind)
{
    while (end_one(kind))
        ;
    if (kind->warms.length > 0)
        return FALSE;
    kind_free(kind);
    return TRUE;
}

static gboolean on_tick(gpointer data)
{
    struct warm_pool *pool = data;
    for (GList *item = pool->kinds.head, *next; item != NULL; item = next) {
        struct kind *kind = item->data;
        next = item->next;
        const struct warm *oldest = g_queue_peek_head(&kind->warms);
        if (now() - last_use(kind) >= (gint64) pool->idle_us) {
            end_kind(kind);
            continue;
        }
        if (oldest != NULL && oldest->ready && (now() - oldest->since >= AGE_MS * INT64_C(1000) || !has_room(0)))
            end_one(kind);
    }
    if (pool->kinds.length > 0)
        event_source_timeout(&pool->tick, TICK_MS, on_tick, pool);
    fill_soon(pool, FILL_MS);
    return G_SOURCE_REMOVE;
}

/* --- who asks ----------------------------------------------------------------------- */

/* NULL: it cannot be one, or there are too many. */
static struct kind *kind_new(struct warm_pool *pool, const struct settings *settings, gboolean one_shot, const char *key)
{
    g_autoptr(GError) error = NULL;
    if (g_strcmp0(json_text(json_member(settings->values, "same_path")), "true") == 0)
        return NULL; /* the path would not be the session's */
    for (GList *item = pool->kinds.tail; pool->kinds.length >= KINDS_MAX && item != NULL; item = item->prev)
        if (end_kind(item->data))
            break;
    if (pool->kinds.length >= KINDS_MAX)
        return NULL;
    struct json_object *body = pool_body(settings);
    struct settings *own = settings_read(body, NULL, &error);
    json_object_put(body);
    if (own == NULL || strcmp(own->sha256, settings->sha256) != 0) {
        service_log("the pool cannot make what was asked for: %s", error != NULL ? error->message : "another policy");
        settings_free(own);
        return NULL;
    }
    struct kind *kind = g_new0(struct kind, 1);
    *kind = (struct kind){.pool = pool, .key = g_strdup(key), .settings = own, .one_shot = one_shot};
    g_queue_push_tail(&pool->kinds, kind);
    return kind;
}

static void note_use(struct kind *kind) { kind->uses[kind->n_uses++ % USES_MAX] = now(); }

/* The oldest that waits and has not ended; what it says of that may be unread still. */
static struct process *give(struct kind *kind)
{
    for (GList *item = kind->warms.head, *next; item != NULL; item = next) {
        struct warm *warm = item->data;
        struct process *process = warm->process;
        next = item->next;
        process_await(process, 0);
        if (g_queue_find(&kind->warms, warm) == NULL || !warm->ready || !process_lives(process))
            continue;
        forget(warm);
        return process;
    }
    return NULL;
}

struct process *warm_pool_take(struct warm_pool *pool, const struct settings *settings, gboolean one_shot)
{
    if (pool->size == 0 || pool->stopped)
        return NULL;
    g_autofree char *key = key_of(settings, one_shot);
    struct kind *kind = find(pool, key);
    if (kind == NULL)
        kind = kind_new(pool, settings, one_shot, key);
    if (kind == NULL)
        return NULL;
    note_use(kind);
    struct process *process = give(kind);
    if (process != NULL) {
        kind->claimed++;
        pool->claimed++;
    } else {
        kind->missed++;
        pool->missed++;
    }
    if (!event_source_is_set(&pool->tick))
        event_source_timeout(&pool->tick, TICK_MS, on_tick, pool);
    fill_soon(pool, FILL_MS);
    return process;
}

/* --- what is to be seen --------------------------------------------------------------- */

static void add_json(struct json_object *object, const char *name, const char *json)
{
    json_object_object_add(object, name, json != NULL ? json_tokener_parse(json) : NULL);
}

static struct json_object *kind_json(const struct kind *kind)
{
    struct json_object *object = json_object_new_object();
    gint64 age_us = now() - last_use(kind);
    g_autofree char *used = iso_time(g_get_real_time() - age_us);
    json_add(object, "policy", kind->settings->sha256);
    json_object_object_add(object, "preload", json_object_get(json_member(kind->settings->values, "preload")));
    json_add(object, "for", kind->one_shot ? "run" : "session");
    json_add(object, "image", text_or(kind->settings->image, DSB_DEFAULT_IMAGE));
    add_json(object, "made_of", kind->image);
    add_json(object, "backend", kind->backend);
    json_add_int(object, "wanted", kind->share);
    json_add_int(object, "waiting", count(kind, TRUE));
    json_add_int(object, "starting", count(kind, FALSE));
    json_add_int(object, "claimed", (gint64) kind->claimed);
    json_add_int(object, "missed", (gint64) kind->missed);
    json_add_int(object, "start_ms", kind->make_us / 1000);
    json_add(object, "used", used);
    json_add(object, "problem", kind->problem);
    return object;
}

struct json_object *warm_pool_json(const struct warm_pool *pool)
{
    struct json_object *object = json_object_new_object(), *kinds = json_object_new_array();
    json_add_int(object, "size", pool->size);
    json_add_int(object, "waiting", total(pool, TRUE));
    json_add_int(object, "starting", total(pool, FALSE));
    json_add_int(object, "made", (gint64) pool->made);
    json_add_int(object, "claimed", (gint64) pool->claimed);
    json_add_int(object, "missed", (gint64) pool->missed);
    json_add_int(object, "ended", (gint64) pool->ended);
    json_add_int(object, "failed", (gint64) pool->failed);
    for (GList *item = pool->kinds.head; item != NULL; item = item->next)
        json_object_array_add(kinds, kind_json(item->data));
    json_object_object_add(object, "kinds", kinds);
    return object;
}

/* --- begin and end ---------------------------------------------------------------------- */

struct warm_pool *warm_pool_new(struct service *service)
{
    struct warm_pool *pool = g_new0(struct warm_pool, 1);
    pool->service = service;
    pool->size = service->options.pool;
    pool->idle_us = service->options.pool_idle_seconds * G_USEC_PER_SEC;
    pool->starting_max = CLAMP(g_get_num_processors() / 2, 1, 4);
    return pool;
}

void warm_pool_stop(struct warm_pool *pool)
{
    pool->stopped = TRUE;
    event_source_clear(&pool->fill);
    event_source_clear(&pool->tick);
    for (GList *item = pool->kinds.head; item != NULL; item = item->next)
        for (struct kind *kind = item->data; kind->warms.length > 0;)
            end(g_queue_peek_head(&kind->warms));
}

void warm_pool_free(struct warm_pool *pool)
{
    if (pool == NULL)
        return;
    warm_pool_stop(pool);
    while (pool->kinds.length > 0)
        kind_free(g_queue_peek_head(&pool->kinds));
    g_free(pool);
}
