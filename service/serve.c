/* SPDX-License-Identifier: MIT */
#include "audit.h"
#include "listen.h"
#include "record.h"
#include "route.h"
#include "session.h"
#include "socket.h"

#include <errno.h>
#include <glib-unix.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_OURS 125
#define STOP_SECONDS 20
#define DESCRIPTORS 8192
#define CHORE_THREADS 4

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

char *random_id(const char *prefix)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
    guint8 random[26];
    if (getrandom(random, sizeof random, 0) != sizeof random)
        g_error("getrandom: %s", g_strerror(errno));
    GString *id = g_string_new(prefix);
    for (gsize i = 0; i < sizeof random; i++)
        g_string_append_c(id, alphabet[random[i] % 32]);
    return g_string_free(id, FALSE);
}

/* --- the end ----------------------------------------------------------------- */

static gboolean on_idle_time(gpointer data)
{
    struct service *service = data;
    gint64 left = service->last_used + (gint64) service->options.idle_seconds * G_USEC_PER_SEC - g_get_monotonic_time();
    service->idle_source = 0;
    if (g_hash_table_size(service->sessions) > 0 || service->requests > 0 || service->stopping)
        return G_SOURCE_REMOVE;
    if (left <= 0)
        service_stop(service, "the service was idle");
    else
        service->idle_source = g_timeout_add((guint) (left / 1000) + 1, on_idle_time, service);
    return G_SOURCE_REMOVE;
}

void service_touch(struct service *service)
{
    service->last_used = g_get_monotonic_time();
    if (service->idle_source == 0 && !service->stopping && g_hash_table_size(service->sessions) == 0 &&
        service->requests == 0)
        service->idle_source = g_timeout_add(service->options.idle_seconds * 1000 + 1, on_idle_time, service);
}

void service_check_stop(struct service *service)
{
    if (service->stopping && g_hash_table_size(service->sessions) == 0 && service->threads == 0 &&
        service->requests == 0)
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
    service_check_stop(data);
    return G_SOURCE_REMOVE;
}

void service_stop(struct service *service, const char *why)
{
    if (service->stopping)
        return;
    service->stopping = TRUE;
    service_log("ending: %s", why);
    listener_close(service->listener);
    g_autofree char *reason = g_strdup_printf("%s, and ended its sessions; files were kept", why);
    g_autoptr(GList) sessions = g_hash_table_get_values(service->sessions);
    for (GList *item = sessions; item != NULL; item = item->next)
        session_end(item->data, reason, NULL);
    g_autoptr(GList) jobs = g_hash_table_get_values(service->jobs);
    for (GList *item = jobs; item != NULL; item = item->next)
        if (((struct job *) item->data)->kind == JOB_RUN)
            job_interrupt(item->data);
    g_timeout_add_seconds(STOP_SECONDS, on_stop_late, service);
    g_idle_add(on_stop_check, service);
}

static gboolean on_signal(gpointer data)
{
    struct service *service = data;
    if (service->stopping) {
        service_log("asked to end twice: leaving at once");
        _exit(1);
    }
    service_stop(service, "the service was told to end");
    return G_SOURCE_CONTINUE;
}

/* --- HTTP -------------------------------------------------------------------- */

static void on_head(SoupServer *server, SoupServerMessage *message, const char *path, GHashTable *query, gpointer data)
{
    struct service *service = data;
    (void) server;
    (void) path;
    (void) query;
    listener_check_head(service->listener, message);
}

static gboolean answer_document(SoupServerMessage *message, const char *path)
{
    g_autoptr(GBytes) bytes = NULL;
    g_autofree char *resource = g_strconcat("/dsandbox", path, NULL);
    if (strcmp(path, "/openapi.json") != 0 && strcmp(path, "/result.schema.json") != 0)
        return FALSE;
    if (soup_server_message_get_method(message) != SOUP_METHOD_GET)
        return FALSE;
    bytes = g_resources_lookup_data(resource, G_RESOURCE_LOOKUP_FLAGS_NONE, NULL);
    if (bytes == NULL)
        return FALSE;
    gsize size = 0;
    const char *text = g_bytes_get_data(bytes, &size);
    soup_server_message_set_status(message, 200, NULL);
    soup_server_message_set_response(message, "application/json", SOUP_MEMORY_COPY, text, size);
    return TRUE;
}

static void on_document_done(SoupServerMessage *message, gpointer data)
{
    listener_answered(message);
    service_touch(data);
}

static void on_request(SoupServer *server, SoupServerMessage *message, const char *path, GHashTable *query,
                       gpointer data)
{
    (void) server;
    (void) query;
    if (answer_document(message, path))
        g_signal_connect(message, "finished", G_CALLBACK(on_document_done), data);
    else
        route(data, message);
}

/* --- the start --------------------------------------------------------------- */

static gboolean parse_seconds(const char *text, guint *seconds, GError **error)
{
    char *end = NULL;
    double number = g_ascii_strtod(text, &end);
    double factor = strcmp(end, "h") == 0 ? 3600 : strcmp(end, "m") == 0 ? 60 : 1;
    if (end != text && (*end == '\0' || strcmp(end, "s") == 0 || factor > 1) && isfinite(number) &&
        number * factor >= 1 && number * factor <= 7 * 86400) {
        *seconds = (guint) (number * factor);
        return TRUE;
    }
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "--idle: '%s' is not a time from 1s to 168h", text);
    return FALSE;
}

static char *state_directory(void)
{
    const char *xdg = g_getenv("XDG_STATE_HOME");
    if (xdg != NULL && g_path_is_absolute(xdg))
        return g_build_filename(xdg, "dsandbox", NULL);
    return g_build_filename(g_get_home_dir(), ".local", "state", "dsandbox", NULL);
}

static gboolean read_options(int *argc, char ***argv, struct options *options, GError **error)
{
    g_autofree char *idle = NULL;
    int max_sessions = 64, max_running = (int) g_get_num_processors() * 4;
    const GOptionEntry entries[] = {
        {"socket", 0, 0, G_OPTION_ARG_FILENAME, &options->socket, "unix socket ($XDG_RUNTIME_DIR/dsandbox/api.sock)",
         "PATH"},
        {"idle", 0, 0, G_OPTION_ARG_STRING, &idle, "leave after this long without a session and a request (300s)",
         "TIME"},
        {"max-sessions", 0, 0, G_OPTION_ARG_INT, &max_sessions, "sessions at once (64)", "N"},
        {"max-running", 0, 0, G_OPTION_ARG_INT, &max_running, "executions at once (4 for each CPU)", "N"},
        {"listen", 0, 0, G_OPTION_ARG_STRING, &options->listen, "listen on TCP too; needs --token-file",
         "ADDRESS:PORT"},
        {"token-file", 0, 0, G_OPTION_ARG_FILENAME, &options->token_file, "secret that TCP clients show", "FILE"},
        {"tls-cert", 0, 0, G_OPTION_ARG_FILENAME, &options->tls_cert, "certificate for TLS on TCP, PEM", "FILE"},
        {"tls-key", 0, 0, G_OPTION_ARG_FILENAME, &options->tls_key, "its key, where it is not in the same file",
         "FILE"},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    options->idle_seconds = 300;
    options->state_dir = state_directory();
    g_set_prgname("dsandbox serve");
    g_option_context_set_summary(context, "The per-user service: sessions over HTTP. See dsandbox(1).");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, argc, argv, error) ||
        (idle != NULL && !parse_seconds(idle, &options->idle_seconds, error)))
        return FALSE;
    if (*argc > 1 || max_sessions < 1 || max_sessions > 1000 || max_running < 1 || max_running > 1000) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID,
                    *argc > 1 ? "unexpected operand '%s'" : "--max-sessions and --max-running: from 1 to 1000",
                    *argc > 1 ? (*argv)[1] : "");
        return FALSE;
    }
    options->max_sessions = (guint) max_sessions;
    options->max_running = (guint) max_running;
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
    if (g_mkdir_with_parents(path, 0700) == 0 && lstat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
        st.st_uid == geteuid() && (st.st_mode & 022) == 0)
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_DENIED,
                "the state directory %s is not a directory of yours that only you can write; set XDG_STATE_HOME", path);
    return FALSE;
}

static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= DESCRIPTORS)
        return;
    limit.rlim_cur = MIN(limit.rlim_max, (rlim_t) DESCRIPTORS);
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void free_record(gpointer record) { record_free(record); }

static gboolean start(struct service *service, GError **error)
{
    if (!make_state_dir(service->options.state_dir, error))
        return FALSE;
    service->loop = g_main_loop_new(NULL, FALSE);
    service->sessions = g_hash_table_new(g_str_hash, g_str_equal);
    service->past = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_record);
    service->jobs = g_hash_table_new(g_str_hash, g_str_equal);
    service->owner = owner_self();
    service->started = iso_time(g_get_real_time());
    service->server = soup_server_new("raw-paths", TRUE, "server-header", "dsandbox", NULL);
    soup_server_add_early_handler(service->server, NULL, on_head, service, NULL);
    soup_server_add_handler(service->server, NULL, on_request, service, NULL);
    service->listener = listener_new(service, error);
    if (service->listener == NULL)
        return FALSE;
    service->audit = audit_open(service->options.state_dir);
    service->runs = g_thread_pool_new(worker_run_one_shot, NULL, (int) service->options.max_running, FALSE, error);
    service->chores = g_thread_pool_new(chore_run, NULL, CHORE_THREADS, FALSE, error);
    records_load(service);
    gc_at_start(service);
    service_touch(service);
    return TRUE;
}

static void clear(struct service *service)
{
    if (service->idle_source != 0)
        g_source_remove(service->idle_source);
    if (service->server != NULL)
        soup_server_disconnect(service->server);
    g_clear_object(&service->server);
    listener_free(service->listener);
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
}

int main(int argc, char **argv)
{
    struct service service = {0};
    g_autoptr(GError) error = NULL;
    setlocale(LC_ALL, "");
    signal(SIGPIPE, SIG_IGN);
    raise_descriptors();
    if (!read_options(&argc, &argv, &service.options, &error) || !start(&service, &error)) {
        fprintf(stderr, "dsandbox: %s\n", error->message);
        clear(&service);
        return EXIT_OURS;
    }
    g_unix_signal_add(SIGTERM, on_signal, &service);
    g_unix_signal_add(SIGINT, on_signal, &service);
    g_unix_signal_add(SIGHUP, on_signal, &service);
    service_log("version %s, socket %s", dsb_version(), service.options.socket);
    g_main_loop_run(service.loop);
    gboolean all = g_hash_table_size(service.sessions) == 0 && service.threads == 0 && service.requests == 0;
    if (!all || service.background > 0) {
        /* Threads are in the middle of something: their containers end with our end of the streams. */
        fflush(stderr);
        _exit(all ? 0 : 1);
    }
    g_thread_pool_free(service.runs, FALSE, TRUE);
    g_thread_pool_free(service.chores, FALSE, TRUE);
    clear(&service);
    service_log("ended");
    return 0;
}
