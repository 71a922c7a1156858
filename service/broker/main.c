/* SPDX-License-Identifier: MIT */
/* dsandbox-serve: from its options to its end. What it is for is in service.h. */
#include "broker/adopt.h"
#include "broker/audit.h"
#include "broker/files.h"
#include "broker/front.h"
#include "broker/gc.h"
#include "broker/idempotency.h"
#include "broker/listen.h"
#include "broker/process.h"
#include "broker/queue.h"
#include "broker/record.h"
#include "broker/route.h"
#include "broker/session.h"
#include "broker/thread_pool.h"
#include "broker/upgrade.h"
#include "broker/warm.h"
#include "client/socket_path.h"
#include "common/names.h"
#include "common/owner.h"
#include "common/times.h"
#include "common/trust.h"

#include <glib-unix.h>
#include <locale.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define STOP_SECONDS 20
#define LAST_WORD_MS 1000 /* for who has connected just before the end */
#define POOL_THREADS 4
#define LARGE_BLOCK (256 << 10)

void service_log(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *line = g_strdup_vprintf(format, args);
    va_end(args);
    g_autofree char *time = iso_time(g_get_real_time());
    fprintf(stderr, "%s dsandbox serve[%d]: %s\n", time, (int) getpid(), line);
}

char *iso_time(gint64 real_us)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(real_us / G_USEC_PER_SEC);
    if (time == NULL)
        return g_strdup("1970-01-01T00:00:00.000Z");
    g_autofree char *seconds = g_date_time_format(time, "%Y-%m-%dT%H:%M:%S");
    gint64 ms = real_us / 1000 % 1000;
    return g_strdup_printf("%s.%03dZ", seconds, (int) (ms < 0 ? 0 : ms));
}

/* --- the end ----------------------------------------------------------------- */

static gboolean on_idle_time(gpointer data)
{
    struct service *service = data;
    gint64 until = service->last_used + (gint64) service->options.idle_seconds * G_USEC_PER_SEC;
    gint64 left = MAX(until, idempotency_until()) - g_get_monotonic_time();
    if (service->options.stay || g_hash_table_size(service->sessions) > 0 || service->requests > 0 || service->stopping)
        return G_SOURCE_REMOVE;
    if (left <= 0)
        service_stop(service, "the service was idle", FALSE);
    else
        event_source_timeout(&service->idle, (guint) (left / 1000) + 1, on_idle_time, service);
    return G_SOURCE_REMOVE;
}

void service_touch(struct service *service)
{
    service->last_used = g_get_monotonic_time();
    if (!event_source_is_set(&service->idle) && !service->stopping && g_hash_table_size(service->sessions) == 0 &&
        service->requests == 0)
        event_source_timeout(&service->idle, service->options.idle_seconds * 1000 + 1, on_idle_time, service);
}

void service_check_stop(struct service *service)
{
    if (service->stopping && g_hash_table_size(service->sessions) == 0 && service->threads == 0 &&
        service->requests == 0 && service->processes.length <= service->background &&
        (g_get_monotonic_time() >= service->patience || !listener_expects(service->listener)))
        g_main_loop_quit(service->loop);
}

static gboolean on_stop_late(gpointer data)
{
    struct service *service = data;
    service_log("not everything has ended after %d s; leaving", STOP_SECONDS);
    g_main_loop_quit(service->loop);
    return G_SOURCE_REMOVE;
}

static gboolean on_stop_check(gpointer data)
{
    struct service *service = data;
    if (g_get_monotonic_time() < service->patience)
        event_source_timeout(&service->stop_check, LAST_WORD_MS, on_stop_check, service);
    service_check_stop(service);
    return G_SOURCE_REMOVE;
}

/* What there is of sessions is the next service's, where it can be. */
static void hand_over_all(struct service *service, const char *why)
{
    g_autoptr(GList) sessions = g_hash_table_get_values(service->sessions);
    for (GList *item = sessions; item != NULL; item = item->next) {
        struct session *session = item->data;
        g_autofree char *lost = g_strdup(session->lost);
        if (!session_hand_over(session, why))
            session_end(session, lost != NULL ? lost : why, NULL);
    }
}

static void end_all(struct service *service, const char *why)
{
    g_autofree char *reason = g_strdup_printf("%s, and ended its sessions", why);
    g_autoptr(GList) sessions = g_hash_table_get_values(service->sessions);
    for (GList *item = sessions; item != NULL; item = item->next)
        session_end(item->data, reason, NULL);
}

void service_stop(struct service *service, const char *why, gboolean hand_over)
{
    if (service->stopping)
        return;
    service->stopping = TRUE;
    service_log("ending: %s", why);
    transfers_end(NULL);
    service->patience = g_get_monotonic_time() + LAST_WORD_MS * INT64_C(1000);
    listener_ending(service->listener);
    front_stop(service);
    adopt_end(service);
    processes_stop(service);
    warm_pool_stop(service->warm);
    if (hand_over)
        hand_over_all(service, why);
    else
        end_all(service, why);
    g_autoptr(GList) jobs = g_hash_table_get_values(service->jobs);
    for (GList *item = jobs; item != NULL; item = item->next)
        if (((struct job *) item->data)->kind == JOB_RUN)
            job_interrupt(item->data);
    event_source_timeout(&service->stop_late, STOP_SECONDS * 1000, on_stop_late, service);
    event_source_set(&service->stop_check, g_idle_source_new(), on_stop_check, service);
}

/* One that stays waits for its turn, and asks again. */
static void on_question(struct service *service)
{
    if (service->options.plain && !service->stopping && !service_is_busy(service, 0))
        service_stop(service, "another service takes its place", TRUE);
}

static gboolean on_signal(struct service *service, gboolean hand_over)
{
    if (service->stopping) {
        service_log("asked to end twice: leaving at once");
        processes_clear(service);
        _exit(1);
    }
    service_stop(service, "the service was told to end", hand_over);
    return G_SOURCE_CONTINUE;
}

static gboolean on_signal_fd(gint fd, GIOCondition condition, gpointer service)
{
    struct signalfd_siginfo info;
    (void) condition;
    if (read(fd, &info, sizeof info) != sizeof info)
        return G_SOURCE_CONTINUE;
    if (info.ssi_signo == SIGUSR1)
        on_question(service);
    else
        on_signal(service, info.ssi_signo == SIGTERM);
    return G_SOURCE_CONTINUE;
}

/*
 * SIGTERM: whoever manages services asks with it: for an end, or for the one of another version. SIGINT and SIGHUP: whoever
 * sits at a terminal ends all that was started there. SIGUSR1: service_socket.c, of another service. GLib's own way makes a thread, or aborts where there is none.
 */
static gboolean take_signals(struct service *service, GError **error)
{
    static const int kinds[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    sigset_t set;
    sigemptyset(&set);
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++) {
        signal(kinds[i], SIG_DFL); /* what is ignored does not come this way, either */
        sigaddset(&set, kinds[i]);
    }
    pthread_sigmask(SIG_BLOCK, &set, NULL); /* before there are threads, which inherit it */
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "signalfd: %s", g_strerror(errno));
        return FALSE;
    }
    event_source_set(&service->signals, g_unix_fd_source_new(fd, G_IO_IN), G_SOURCE_FUNC(on_signal_fd), service);
    return TRUE;
}

/* --- HTTP -------------------------------------------------------------------- */

static void on_request(SoupServer *server, SoupServerMessage *message, const char *path, GHashTable *query,
                       gpointer service)
{
    (void) server;
    (void) path;
    (void) query;
    route(service, message);
}

/* --- the start --------------------------------------------------------------- */

static gboolean parse_seconds(const char *option, const char *text, guint *seconds, GError **error)
{
    double ms = 0;
    if (time_read(text, &ms) && ms >= 1000 && ms <= 7 * 86400000.0) {
        *seconds = (guint) (ms / 1000);
        return TRUE;
    }
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s: '%s' is not a time from 1s to 168h", option, text);
    return FALSE;
}

static gboolean read_options(int *argc, char ***argv, struct options *options, GError **error)
{
    g_autofree char *idle = NULL, *pool_idle = NULL, *mcp = NULL;
    int pool = 0, max_sessions = 64, max_running = (int) g_get_num_processors() * 4;
    const GOptionEntry entries[] = {
        {"socket", 0, 0, G_OPTION_ARG_FILENAME, &options->socket, "unix socket ($XDG_RUNTIME_DIR/dsandbox/api.sock)",
         "PATH"},
        {"idle", 0, 0, G_OPTION_ARG_STRING, &idle, "leave after this long without a session and a request (300s)",
         "TIME"},
        {"stay", 0, 0, G_OPTION_ARG_NONE, &options->stay, "for who starts it again: wait for the socket, do not leave when idle",
         NULL},
        {"max-sessions", 0, 0, G_OPTION_ARG_INT, &max_sessions, "sessions at once (64)", "N"},
        {"max-running", 0, 0, G_OPTION_ARG_INT, &max_running, "executions at once (4 for each CPU)", "N"},
        {"pool", 0, 0, G_OPTION_ARG_INT, &pool, "sandboxes that wait ready for what was asked for lately, at most (0)", "N"},
        {"pool-idle", 0, 0, G_OPTION_ARG_STRING, &pool_idle, "end those that nobody asked for in this time (5m)", "TIME"},
        {"listen", 0, 0, G_OPTION_ARG_STRING, &options->listen, "listen on TCP too; needs --token-file",
         "ADDRESS:PORT"},
        {"mcp", 0, 0, G_OPTION_ARG_FILENAME, &mcp, "what sessions of /mcp are made with: the JSON of POST /v1/sessions", "FILE"},
        {"token-file", 0, 0, G_OPTION_ARG_FILENAME, &options->token_file, "secret that TCP clients show", "FILE"},
        {"tls-cert", 0, 0, G_OPTION_ARG_FILENAME, &options->tls_cert, "certificate for TLS on TCP, PEM", "FILE"},
        {"tls-key", 0, 0, G_OPTION_ARG_FILENAME, &options->tls_key, "its key, where it is not in the same file",
         "FILE"},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    options->plain = *argc == 1 || (*argc == 3 && strcmp((*argv)[1], "--socket") == 0);
    options->idle_seconds = options->pool_idle_seconds = 300;
    options->state_dir = socket_state_dir();
    g_set_prgname("dsandbox serve");
    g_option_context_set_summary(context, "The per-user service: sessions over HTTP. See dsandbox(1).");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, argc, argv, error) ||
        (idle != NULL && !parse_seconds("--idle", idle, &options->idle_seconds, error)) ||
        (pool_idle != NULL && !parse_seconds("--pool-idle", pool_idle, &options->pool_idle_seconds, error)) ||
        (options->mcp_settings = front_read_settings(mcp, error)) == NULL)
        return FALSE;
    if (*argc > 1) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "unexpected operand '%s'", (*argv)[1]);
        return FALSE;
    }
    if (max_sessions < 1 || max_sessions > 1000 || max_running < 1 || max_running > 1000 || pool < 0 || pool > 100) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID,
                            pool < 0 || pool > 100 ? "--pool: from 0 to 100" : "--max-sessions and --max-running: from 1 to 1000");
        return FALSE;
    }
    options->max_sessions = (guint) max_sessions;
    options->max_running = (guint) max_running;
    options->pool = (guint) pool;
    if (options->socket == NULL)
        options->socket = socket_default_path();
    if (options->listen != NULL ||
        (options->token_file == NULL && options->tls_cert == NULL && options->tls_key == NULL))
        return TRUE;
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "--token-file, --tls-cert and --tls-key are for --listen");
    return FALSE;
}

static gboolean make_state_dir(const char *path, GError **error)
{
    struct stat st;
    if (g_mkdir_with_parents(path, 0700) == 0 && lstat(path, &st) == 0 && dsb_is_own_dir(&st))
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_DENIED,
                "the state directory %s is not a directory of yours that only you can write; set XDG_STATE_HOME", path);
    return FALSE;
}

/*
 * What a large result took is given back. Left alone, the allocator learns from large blocks to keep as much for later,
 * once for each thread that it remembers.
 */
static void keep_little_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK);
    mallopt(M_TRIM_THRESHOLD, 2 * LARGE_BLOCK);
}

/*
 * Who starts the service may have set limits for one command; it is there for all that come later. What cannot be raised
 * and is too little is said now, and not by one session after another.
 */
static gboolean raise_limits(GError **error)
{
    static const struct {
        int kind;
        rlim_t most, least;
        const char *what, *how;
    } kinds[] = {{RLIMIT_NOFILE, 8192, 64, "too many open files", "ulimit -n"},
                 {RLIMIT_FSIZE, RLIM_INFINITY, 64 << 20, "file too large", "ulimit -f"},
                 {RLIMIT_AS, RLIM_INFINITY, 512 << 20, "address space", "ulimit -v"},
                 {RLIMIT_DATA, RLIM_INFINITY, 512 << 20, "cannot allocate memory", "ulimit -d"},
                 {RLIMIT_CPU, RLIM_INFINITY, 600, "processor time", "ulimit -t"}};
    struct rlimit limit;
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (getrlimit(kinds[i].kind, &limit) < 0 || limit.rlim_cur >= kinds[i].most)
            continue;
        limit.rlim_cur = MIN(limit.rlim_max, kinds[i].most);
        setrlimit(kinds[i].kind, &limit);
        if (limit.rlim_cur >= kinds[i].least)
            continue;
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED,
                    "%s: a service needs %llu and may have %llu here, which cannot be raised (%s)", kinds[i].what,
                    (unsigned long long) kinds[i].least, (unsigned long long) limit.rlim_cur, kinds[i].how);
        return FALSE;
    }
    return TRUE;
}

static gboolean starting = TRUE;

/* GLib ends a process that is short of what it cannot do without: while ours starts, as every other reason would. */
static GLogWriterOutput on_glib_log(GLogLevelFlags level, const GLogField *fields, gsize n, gpointer data)
{
    for (gsize i = 0; starting && (level & G_LOG_LEVEL_ERROR) != 0 && i < n; i++)
        if (strcmp(fields[i].key, "MESSAGE") == 0) {
            fprintf(stderr, "dsandbox: the service cannot start: %s\n", (const char *) fields[i].value);
            _exit(DSB_EXIT_OURS);
        }
    return g_log_writer_default(level, fields, n, data);
}

static void free_record(gpointer record) { record_free(record); }

static gboolean start(struct service *service, GError **error)
{
    g_autoptr(GError) no_thread = NULL;
    if (!make_state_dir(service->options.state_dir, error))
        return FALSE;
    service->loop = g_main_loop_new(NULL, FALSE);
    service->sessions = g_hash_table_new(g_str_hash, g_str_equal);
    service->past = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_record);
    service->jobs = g_hash_table_new(g_str_hash, g_str_equal);
    service->owner = dsb_owner_label();
    if (service->owner == NULL) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "the service cannot tell itself from others: %s",
                    dsb_errno_text(errno));
        return FALSE;
    }
    service->started = iso_time(g_get_real_time());
    service->server = soup_server_new("raw-paths", TRUE, "server-header", "dsandbox", NULL);
    soup_server_add_handler(service->server, NULL, on_request, service, NULL);
    service->listener = listener_new(service, error);
    if (service->listener == NULL)
        return FALSE;
    service->warm = warm_pool_new(service);
    service->audit = audit_open(service->options.state_dir);
    /* All its threads now: one that is short of them later would leave requests without an answer. */
    service->thread_pool = g_thread_pool_new(thread_pool_run, NULL, POOL_THREADS, TRUE, &no_thread);
    if (no_thread != NULL) { /* and yet there is a pool, with those that could be made */
        g_thread_pool_free(g_steal_pointer(&service->thread_pool), TRUE, TRUE);
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "too few processes: a service needs %d threads: %s (ulimit -u)",
                    POOL_THREADS, no_thread->message);
        return FALSE;
    }
    records_load(service);
    adopt_all(service);
    gc_at_start(service);
    processes_prepare(service);
    service_touch(service);
    return TRUE;
}

static void clear(struct service *service)
{
    event_source_clear(&service->idle);
    event_source_clear(&service->stop_late);
    event_source_clear(&service->stop_check);
    event_source_clear(&service->signals);
    if (service->server != NULL)
        soup_server_disconnect(service->server);
    adopt_end(service);
    front_clear(service);
    g_clear_pointer(&service->warm, warm_pool_free);
    processes_clear(service);
    event_source_clear(&service->forget);
    g_queue_clear(&service->dead);
    g_clear_object(&service->server);
    listener_free(service->listener);
    idempotency_clear();
    audit_free(service->audit);
    g_clear_pointer(&service->sessions, g_hash_table_unref);
    g_clear_pointer(&service->past, g_hash_table_unref);
    g_clear_pointer(&service->jobs, g_hash_table_unref);
    g_clear_pointer(&service->loop, g_main_loop_unref);
    g_free(service->owner);
    g_free(service->started);
    g_free(service->options.socket);
    g_free(service->options.state_dir);
    g_free(service->options.listen);
    g_free(service->options.token_file);
    g_free(service->options.tls_cert);
    g_free(service->options.tls_key);
    g_free(service->options.mcp_settings);
}

int main(int argc, char **argv)
{
    struct service service = {0};
    g_autoptr(GError) error = NULL;
    setlocale(LC_ALL, "");
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a write beyond `ulimit -f` is an error to report */
    keep_little_memory();
    g_log_set_writer_func(on_glib_log, NULL, NULL);
    if (!raise_limits(&error) || !upgrade_begin(&error) || !read_options(&argc, &argv, &service.options, &error) ||
        !take_signals(&service, &error) || !start(&service, &error)) {
        gboolean told = g_error_matches(error, DSB_ERROR, DSB_ERROR_CANCELLED);
        fprintf(stderr, "dsandbox: %s\n", error->message);
        clear(&service);
        return told ? 0 : DSB_EXIT_OURS;
    }
    starting = FALSE;
    service_log("version %s, socket %s", dsb_version(), service.options.socket);
    g_main_loop_run(service.loop);
    gboolean all = g_hash_table_size(service.sessions) == 0 && service.threads == 0 && service.requests == 0;
    if (!all || service.background > 0) {
        /* Something is in the middle of its work. Containers end with the connection of their processes. */
        processes_clear(&service);
        fflush(stderr);
        _exit(all ? service.status : 1);
    }
    g_thread_pool_free(service.thread_pool, FALSE, TRUE);
    clear(&service);
    service_log("ended");
    return service.status;
}
