/* SPDX-License-Identifier: MIT */
/*
 * The host side: secrets that must not be seen inside, listeners that must not be reached, and the session
 * directory afterwards. That directory is hostile content: names are looked at one level deep, never followed.
 */
#include "conformance.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pwd.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <glib/gstdio.h>

#define TREE_DEPTH 6

struct conf_host {
    char *base_dir, *canary, *canary_file, *abstract, *tag;
    gboolean own_base;
    GPtrArray *sessions;
    int port, listeners[3]; /* IPv4, IPv6 (or -1), abstract */
};

const char *conf_host_base_dir(const struct conf_host *host) { return host->base_dir; }

const char *conf_host_canary(const struct conf_host *host) { return host->canary; }

static gboolean system_error(GError **error, const char *what)
{
    g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "%s: %s", what, g_strerror(errno));
    return FALSE;
}

static int listen_at(int family, const void *address, socklen_t size)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (bind(fd, address, size) == 0 && listen(fd, 8) == 0)
        return fd;
    close(fd);
    return -1;
}

static gboolean listen_inet(struct conf_host *host, GError **error)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof v4;
    host->listeners[0] = listen_at(AF_INET, &v4, size);
    if (host->listeners[0] < 0 || getsockname(host->listeners[0], (struct sockaddr *) &v4, &size) != 0)
        return system_error(error, "listening on the loopback interface");
    host->port = ntohs(v4.sin_port);
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback, .sin6_port = v4.sin_port};
    host->listeners[1] = listen_at(AF_INET6, &v6, sizeof v6);
    return TRUE;
}

static gboolean listen_abstract(struct conf_host *host, GError **error)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    gsize length = strlen(host->abstract);
    memcpy(local.sun_path + 1, host->abstract, length);
    socklen_t size = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + 1 + length);
    host->listeners[2] = listen_at(AF_UNIX, &local, size);
    return host->listeners[2] >= 0 || system_error(error, "listening on an abstract socket");
}

/* A listener that cannot be reached from the host proves nothing about the sandbox. */
static gboolean listeners_work(const struct conf_host *host, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(host->listeners); i++) {
        struct sockaddr_storage address;
        socklen_t size = sizeof address;
        if (host->listeners[i] < 0)
            continue;
        if (getsockname(host->listeners[i], (struct sockaddr *) &address, &size) != 0)
            return system_error(error, "control connection");
        int client = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int ok = client >= 0 ? connect(client, (struct sockaddr *) &address, size) : -1;
        int server = ok == 0 ? accept4(host->listeners[i], NULL, NULL, SOCK_CLOEXEC) : -1;
        if (client >= 0)
            close(client);
        if (server < 0)
            return system_error(error, "control connection");
        close(server);
    }
    return TRUE;
}

/* A segment that whoever shares the host's IPC namespace sees. It goes with this process, however that ends. */
static gboolean plant_segment(GError **error)
{
    int segment = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    if (segment < 0 || shmat(segment, NULL, SHM_RDONLY) == (void *) -1)
        return system_error(error, "a System V segment");
    return shmctl(segment, IPC_RMID, NULL) == 0 || system_error(error, "a System V segment");
}

/* The canary in the environment and in a file; variables that a careless child process would obey. */
static gboolean plant(struct conf_host *host, GError **error)
{
    static const char *const names[] = {
        "DSBX_CANARY", "AWS_SECRET_ACCESS_KEY", "PYTHONSTARTUP", "PYTHONPATH", "HTTP_PROXY", "https_proxy"};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        g_setenv(names[i], host->canary, TRUE);
    host->canary_file = g_build_filename(g_get_tmp_dir(), host->tag, NULL);
    return g_file_set_contents_full(host->canary_file, host->canary, -1, G_FILE_SET_CONTENTS_NONE, 0644, error);
}

struct conf_host *conf_host_new(const char *base_dir, GError **error)
{
    if (base_dir != NULL && *base_dir == '\0') {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "--base-dir: is empty");
        return NULL;
    }
    g_autoptr(conf_host) host = g_new0(struct conf_host, 1);
    for (gsize i = 0; i < G_N_ELEMENTS(host->listeners); i++)
        host->listeners[i] = -1;
    g_autofree char *random = g_uuid_string_random();
    g_autofree char *hex = g_strdup_printf("%.8s%.4s", random, random + 9);
    host->sessions = g_ptr_array_new_with_free_func(g_free);
    host->tag = g_strdup_printf("dsbx-%s", hex);
    host->canary = g_strdup_printf("DSBXCANARY-%s", random);
    host->abstract = g_strdup_printf("dsbx-canary-%s", hex);
    host->own_base = base_dir == NULL;
    host->base_dir = base_dir != NULL ? g_canonicalize_filename(base_dir, NULL) : g_dir_make_tmp("dsbx-base-XXXXXX", error);
    if (host->base_dir == NULL || !listen_inet(host, error) || !listen_abstract(host, error) ||
        !listeners_work(host, error) || !plant_segment(error) || !plant(host, error))
        return NULL;
    return g_steal_pointer(&host);
}

/* Remove what is below `parent`/`name`, a few levels deep, following nothing. */
static void remove_tree(int parent, const char *name, unsigned depth)
{
    if (unlinkat(parent, name, 0) == 0 || depth == 0)
        return;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    g_autoptr(GDir) folder = g_dir_open(path, 0, NULL);
    for (const char *entry = folder != NULL ? g_dir_read_name(folder) : NULL; entry != NULL;
         entry = g_dir_read_name(folder))
        remove_tree(fd, entry, depth - 1);
    close(fd);
    unlinkat(parent, name, AT_REMOVEDIR);
}

void conf_remove_tree(const char *path) { remove_tree(AT_FDCWD, path, TREE_DEPTH); }

static void remove_sessions(const struct conf_host *host)
{
    int base = open(host->base_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (base < 0)
        return;
    for (guint i = 0; i < host->sessions->len; i++)
        remove_tree(base, host->sessions->pdata[i], TREE_DEPTH);
    close(base);
    if (host->own_base)
        conf_remove_tree(host->base_dir);
}

void conf_host_free(struct conf_host *host)
{
    if (host == NULL)
        return;
    if (host->base_dir != NULL)
        remove_sessions(host);
    if (host->canary_file != NULL)
        g_unlink(host->canary_file);
    for (gsize i = 0; i < G_N_ELEMENTS(host->listeners); i++) {
        if (host->listeners[i] >= 0)
            close(host->listeners[i]);
    }
    g_ptr_array_unref(host->sessions);
    g_free(host->base_dir);
    g_free(host->canary);
    g_free(host->canary_file);
    g_free(host->abstract);
    g_free(host->tag);
    g_free(host);
}

char *conf_host_session(struct conf_host *host, const char *group)
{
    char *name = g_strdup_printf("%s-%s-%u", host->tag, group, host->sessions->len);
    g_ptr_array_add(host->sessions, g_strdup(name));
    return name;
}

/* A word of the host that would be a leak; those that every container has anyway are no evidence. */
static void add_word(json_object *list, const char *word)
{
    static const char *const common[] = {"root", "localhost", "sandbox", "nobody", "user", "127.0.0.1", "::1", NULL};
    if (word != NULL && strlen(word) > 2 && !g_strv_contains(common, word))
        json_object_array_add(list, json_object_new_string(word));
}

static json_object *host_words(void)
{
    json_object *list = json_object_new_array();
    add_word(list, g_get_host_name());
    g_autofree char *text = NULL;
    if (!g_file_get_contents("/etc/resolv.conf", &text, NULL, NULL))
        return list;
    g_auto(GStrv) lines = g_strsplit(text, "\n", 64);
    for (char **line = lines; *line != NULL; line++) {
        g_auto(GStrv) words = g_strsplit_set(*line, " \t", 16);
        if (words[0] == NULL || words[0][0] == '#' || g_str_has_prefix(words[0], "options"))
            continue;
        for (char **word = words + 1; *word != NULL; word++)
            add_word(list, *word);
    }
    return list;
}

static json_object *people(void)
{
    json_object *list = json_object_new_array();
    const struct passwd *entry = getuid() != 0 ? getpwuid(getuid()) : NULL;
    if (entry == NULL)
        return list;
    add_word(list, entry->pw_name);
    add_word(list, entry->pw_dir);
    g_auto(GStrv) names = g_strsplit(entry->pw_gecos, ",", 4);
    add_word(list, names[0]);
    return list;
}

char *conf_host_facts(const struct conf_host *host, const char *session)
{
    json_object *facts = json_object_new_object();
    json_object *paths = json_object_new_array();
    json_object *neighbours = json_object_new_array();
    json_object_array_add(paths, json_object_new_string(host->canary_file));
    for (guint i = 0; i < host->sessions->len; i++) {
        const char *name = host->sessions->pdata[i];
        if (strcmp(name, session) == 0)
            continue;
        g_autofree char *path = g_build_filename(host->base_dir, name, "secret", NULL);
        json_object_array_add(paths, json_object_new_string(path));
        json_object_array_add(neighbours, json_object_new_string(name));
    }
    json_object_object_add(facts, "canary_paths", paths);
    json_object_object_add(facts, "neighbours", neighbours);
    json_object_object_add(facts, "people", people());
    json_object_object_add(facts, "host_words", host_words());
    json_object_object_add(facts, "host_name", json_object_new_string(g_get_host_name()));
    json_object_object_add(facts, "port", json_object_new_int(host->port));
    json_object_object_add(facts, "abstract", json_object_new_string(host->abstract));
    char *text = g_strdup(json_object_to_json_string_ext(facts, JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(facts);
    return text;
}

static char *check_silent(const struct conf_host *host)
{
    for (gsize i = 0; i < G_N_ELEMENTS(host->listeners); i++) {
        int peer = host->listeners[i] >= 0 ? accept4(host->listeners[i], NULL, NULL, SOCK_CLOEXEC) : -1;
        if (peer < 0)
            continue;
        close(peer);
        return g_strdup("a listener on the host was reached");
    }
    return NULL;
}

/* The invoker's; an invoker that is root gets another user's, but never root's. */
static char *check_owner(const struct stat *info)
{
    if (getuid() == 0 ? info->st_uid != 0 : info->st_uid == getuid())
        return NULL;
    return g_strdup_printf("on the host the file belongs to user %u", (unsigned) info->st_uid);
}

static int stat_in_session(const struct conf_host *host, const char *session, const char *name, struct stat *info)
{
    g_autofree char *path = g_build_filename(host->base_dir, session, NULL);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int done = fstatat(fd, name, info, AT_SYMLINK_NOFOLLOW);
    close(fd);
    return done == 0 ? 1 : 0;
}

char *conf_host_check(struct conf_host *host, const char *session, const char *check)
{
    if (strcmp(check, "silent") == 0)
        return check_silent(host);
    g_auto(GStrv) words = g_strsplit(check, " ", 2);
    if (words[0] == NULL || words[1] == NULL || strchr(words[1], '/') != NULL)
        return g_strdup_printf("unknown host check '%s'", check);
    struct stat info;
    int found = stat_in_session(host, session, words[1], &info);
    if (found < 0)
        return g_strdup_printf("no session directory '%s/%s' on the host", host->base_dir, session);
    if (strcmp(words[0], "absent") == 0)
        return found ? g_strdup_printf("'%s' is on the host", words[1]) : NULL;
    if (!found)
        return g_strdup_printf("'%s' is not on the host", words[1]);
    if (strcmp(words[0], "owner") == 0)
        return check_owner(&info);
    return strcmp(words[0], "present") == 0 ? NULL : g_strdup_printf("unknown host check '%s'", check);
}
