/* SPDX-License-Identifier: MIT */
/* One call of the program, and what its complaints mean. */
#include "docker-cli/docker_cli.h"

#include <string.h>

#define MESSAGE_MAX 600

GPtrArray *dsbc_argv(const struct dsbc_cli *cli)
{
    GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);
    dsbc_add(argv, "%s", cli->program);
    if (cli->host != NULL)
        dsbc_add(argv, "--host=%s", cli->host);
    return argv;
}

enum dsb_error_code dsbc_classify(const char *text, const char **advice)
{
    static const struct {
        const char *word; /* lower case */
        enum dsb_error_code code;
        const char *advice;
        gboolean before_engine; /* not when the engine tells it of somebody else, of a registry */
    } table[] = {
        {"x509:", DSB_ERROR_DENIED,
         "give the authority that signed the engine's certificate as ca.pem in DOCKER_CERT_PATH, and the host by a "
         "name that is in the certificate",
         TRUE},
        {"remote error: tls", DSB_ERROR_DENIED,
         "the engine wants a client certificate that it knows: cert.pem and key.pem in DOCKER_CERT_PATH", TRUE},
        {"http request to an https server", DSB_ERROR_UNAVAILABLE, "set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH"},
        {"http response to https client", DSB_ERROR_UNAVAILABLE,
         "the engine does not speak TLS there: unset DOCKER_TLS_VERIFY, or check the address in DOCKER_HOST"},
        {"permission denied while trying to connect", DSB_ERROR_DENIED,
         "your user may not use the Docker socket: add it to the group \"docker\" and log in again, or use rootless "
         "Podman (backend podman)"},
        {"connect: permission denied", DSB_ERROR_DENIED,
         "your user may not use the Docker socket: add it to the group \"docker\" and log in again, or use rootless "
         "Podman (backend podman)"},
        {"cannot connect to the docker daemon", DSB_ERROR_UNAVAILABLE,
         "start it (systemctl start docker), or give its address with DOCKER_HOST or an endpoint"},
        {"error during connect", DSB_ERROR_UNAVAILABLE, "check DOCKER_HOST, the endpoint or the Docker context"},
        {"failed to connect to the docker api", DSB_ERROR_UNAVAILABLE,
         "start it (systemctl start docker), or give its address with DOCKER_HOST or an endpoint"},
        {"unable to resolve docker endpoint", DSB_ERROR_UNAVAILABLE, "check the Docker context"},
        {"no such image", DSB_ERROR_NOT_FOUND, "make or pull the image first"},
        {"unable to find image", DSB_ERROR_NOT_FOUND, "make or pull the image first"},
        {"image not known", DSB_ERROR_NOT_FOUND, "make or pull the image first"},
        {"pull access denied", DSB_ERROR_NOT_FOUND, "check the name, or log in to the registry"},
        {"manifest unknown", DSB_ERROR_NOT_FOUND, "check the name"},
        {"no such container", DSB_ERROR_NOT_FOUND, ""},
        {"no such object", DSB_ERROR_NOT_FOUND, ""},
        {"no container with", DSB_ERROR_NOT_FOUND, ""},
        {"is already in use", DSB_ERROR_CONFLICT, ""},
        {"client version", DSB_ERROR_UNSUPPORTED, "client and engine do not fit together: update the older one"},
        {"requires api version", DSB_ERROR_UNSUPPORTED, "update the engine"},
        {"unknown flag", DSB_ERROR_UNSUPPORTED, "the client is too old: Docker 20.10 or newer is needed"},
        {"unknown runtime", DSB_ERROR_INVALID, "the engine does not have this runtime"},
        {"unknown or invalid runtime", DSB_ERROR_INVALID, "the engine does not have this runtime"},
        {"no such file or directory\": unknown", DSB_ERROR_NOT_FOUND, ""},
    };
    g_autofree char *lower = g_ascii_strdown(text, -1);
    for (gsize i = 0; i < G_N_ELEMENTS(table); i++) {
        if (strstr(lower, table[i].word) == NULL ||
            (table[i].before_engine && strstr(lower, "error response from daemon") != NULL))
            continue;
        *advice = table[i].advice;
        return table[i].code;
    }
    *advice = "";
    return DSB_ERROR_FAILED;
}

/** The complaint on one line, without the hint at usage. */
static char *one_line(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    g_auto(GStrv) lines = g_strsplit_set(valid, "\r\n", -1);
    g_autoptr(GString) line = g_string_new(NULL);
    for (guint i = 0; lines[i] != NULL && line->len < MESSAGE_MAX; i++) {
        g_strstrip(lines[i]);
        if (*lines[i] == '\0' || g_str_has_prefix(lines[i], "See '") || g_str_has_prefix(lines[i], "Run '") ||
            g_str_has_prefix(lines[i], "Emulate Docker CLI"))
            continue;
        g_string_append_printf(line, "%s%s", line->len > 0 ? "; " : "", lines[i]);
    }
    if (line->len > MESSAGE_MAX) {
        const char *cut = g_utf8_find_prev_char(line->str, line->str + MESSAGE_MAX);
        g_string_truncate(line, cut != NULL ? (gsize) (cut - line->str) : 0);
        g_string_append(line, "...");
    }
    for (char *c = line->str; *c != '\0'; c++) {
        if (g_ascii_iscntrl(*c))
            *c = ' ';
    }
    return g_string_free(g_steal_pointer(&line), FALSE);
}

void dsbc_set_error(const struct dsbc_cli *cli, const char *what, const char *text, GError **error)
{
    const char *advice = "";
    enum dsb_error_code code = dsbc_classify(text, &advice);
    g_autofree char *line = one_line(text);
    g_autofree char *base = g_path_get_basename(cli->program);
    g_set_error(error, DSB_ERROR, (int) code, "%s: %s: %s%s%s%s", what, base, *line != '\0' ? line : "it failed",
                *advice != '\0' ? " (" : "", advice, *advice != '\0' ? ")" : "");
}

gboolean dsbc_call(const struct dsbc_cli *cli, GPtrArray *argv_taken, const char *what, struct dsbe_output *output,
                   GError **error)
{
    g_autoptr(GPtrArray) argv = argv_taken;
    g_ptr_array_add(argv, NULL);
    gboolean long_call = output->line != NULL;
    guint timeout_ms = long_call ? 0 : output->timeout_ms > 0 ? output->timeout_ms : cli->timeout_ms;
    if (!dsbe_capture((char *const *) argv->pdata, long_call ? cli->user_env : cli->env, timeout_ms,
                      output->always ? -1 : cli->cancel_fd, output, error)) {
        g_prefix_error(error, "%s: %s: ", what, cli->program);
        return FALSE;
    }
    if (output->status == 0)
        return TRUE;
    dsbc_set_error(cli, what, output->errors->str, error);
    return FALSE;
}

gboolean dsbc_stream_open(const struct dsbc_cli *cli, GPtrArray *argv_taken, struct dsb_byte_stream *out,
                          GError **error)
{
    g_autoptr(GPtrArray) argv = argv_taken;
    dsb_fd theirs[3] = {-1, -1, -1};
    struct dsbe_child child;
    g_ptr_array_add(argv, NULL);
    struct dsbe_pipes *pipes = dsbe_pipes_new(theirs, error);
    if (pipes == NULL)
        return FALSE;
    gboolean ok = dsbe_spawn((char *const *) argv->pdata, cli->env, theirs[0], theirs[1], theirs[2], -1, &child, error);
    for (int i = 0; i < 3; i++)
        dsb_fd_clear(&theirs[i]);
    if (!ok) {
        dsbe_pipes_free(pipes);
        return FALSE;
    }
    dsbe_pipes_take(pipes, &child);
    dsbe_pipes_give(pipes, out);
    return TRUE;
}
