/* SPDX-License-Identifier: MIT */
/*
 * The client of the service as a program, for tests/service/test_service.py.
 *
 *   client-tool start                        connect, start the service when there is none; prints its version object
 *   client-tool call METHOD PATH [JSON]      prints the answer
 *   client-tool spaces METHOD PATH SIZE       a body of so many spaces
 *   client-tool stream PATH JSON [stdin]     output to stdout and stderr, then the result on descriptor 3;
 *                                            SIGINT cancels; "stdin": our standard input goes to the code
 *
 * The socket is that of the environment. Exit status 0, or 1 with "CODE: MESSAGE" on standard error.
 */
#include "client/client.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int cancel_pipe[2];

static void on_signal(int number)
{
    (void) number;
    if (write(cancel_pipe[1], "", 1) < 0) { /* nothing to do in a handler */
    }
}

static int fail(const GError *error)
{
    fprintf(stderr, "%d: %s\n", error->code, error->message);
    return 1;
}

static void on_output(void *data, int stream, const void *bytes, gsize size)
{
    (void) data;
    if (write(stream, bytes, size) < 0)
        perror("write");
}

static int print(struct json_object *answer)
{
    puts(answer != NULL ? json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN) : "");
    json_object_put(answer);
    return 0;
}

static int stream(dsb_client *client, char **argv)
{
    g_autoptr(GError) error = NULL;
    struct dsb_client_follow follow = DSB_CLIENT_FOLLOW;
    struct json_object *body = json_tokener_parse(argv[3]), *result = NULL;
    if (pipe2(cancel_pipe, O_CLOEXEC) < 0)
        return 1;
    signal(SIGINT, on_signal);
    follow.output = on_output;
    follow.cancel_fd = cancel_pipe[0];
    follow.stdin_fd = g_strcmp0(argv[4], "stdin") == 0 ? STDIN_FILENO : -1;
    gboolean ok = dsb_client_stream(client, argv[2], body, &follow, &result, &error);
    json_object_put(body);
    if (!ok)
        return fail(error);
    const char *text = json_object_to_json_string_ext(result, JSON_C_TO_STRING_PLAIN);
    if (write(3, text, strlen(text)) < 0)
        perror("descriptor 3");
    json_object_put(result);
    return 0;
}

/* A body of so many bytes. */
static int send_spaces(dsb_client *client, char **argv)
{
    g_autoptr(GError) error = NULL;
    gsize size = (gsize) g_ascii_strtoull(argv[4], NULL, 10);
    g_autofree char *body = g_strnfill(size, ' ');
    return dsb_client_bytes(client, argv[2], argv[3], body, size, 0, NULL, &error) ? 0 : fail(error);
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    struct json_object *answer = NULL;
    const char *verb = argc > 1 ? argv[1] : "";
    signal(SIGPIPE, SIG_IGN);
    g_autoptr(dsb_client) client = dsb_client_connect(strcmp(verb, "start") == 0 ? DSB_CLIENT_START : DSB_CLIENT_TRY, -1, &error);
    if (client == NULL)
        return fail(error);
    if (strcmp(verb, "start") == 0)
        return dsb_client_call(client, "GET", "/v1/version", NULL, 0, &answer, &error) ? print(answer) : fail(error);
    if (strcmp(verb, "stream") == 0 && argc >= 4)
        return stream(client, argv);
    if (strcmp(verb, "spaces") == 0 && argc == 5)
        return send_spaces(client, argv);
    if (strcmp(verb, "call") != 0 || argc < 4)
        return 2;
    struct json_object *body = argc > 4 ? json_tokener_parse(argv[4]) : NULL;
    gboolean ok = dsb_client_call(client, argv[2], argv[3], body, 0, &answer, &error);
    json_object_put(body);
    return ok ? print(answer) : fail(error);
}
