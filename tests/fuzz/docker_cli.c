/* SPDX-License-Identifier: MIT */
/*
 * What the docker program prints. The first byte is the question, the second the exit status and whether the program
 * is Podman's; what follows is the output of the calls, divided by NUL. Nothing is started (meson.build wraps it).
 */
#include "docker-cli/docker_cli.h"
#include "engine/engine.h"
#include "fuzz.h"
#include "spec.h"

#include <string.h>

static struct fuzz_input answers;
static int status;

gboolean __wrap_dsbc_capture(char *const *argv, char *const *env, guint timeout_ms, int cancel_fd,
                             struct dsbe_output *output, GError **error);

gboolean __wrap_dsbc_capture(char *const *argv, char *const *env, guint timeout_ms, int cancel_fd,
                             struct dsbe_output *output, GError **error)
{
    (void) argv;
    (void) env;
    (void) timeout_ms;
    (void) cancel_fd;
    (void) error;
    g_autofree char *text = fuzz_text(&answers);
    output->text = g_string_new(status == 0 ? text : "");
    output->errors = g_string_new(status == 0 ? "" : text);
    output->status = status;
    return TRUE;
}

static gboolean facts(struct dsbc_cli *cli, GError **error)
{
    (void) cli;
    g_autofree char *info = fuzz_text(&answers);
    g_autofree char *version = fuzz_text(&answers);
    struct dsbc_facts found = {.info.struct_size = sizeof found.info};
    return dsbc_parse_facts(info, *version != '\0' ? version : NULL, &found, error);
}

static gboolean identify(struct dsbc_cli *cli, GError **error)
{
    struct dsb_engine_info info = {.struct_size = sizeof info};
    cli->identified = FALSE;
    return dsbc_operations.describe(cli, &info, error);
}

static gboolean prepare(struct dsbc_cli *cli, GError **error)
{
    struct dsb_image_info info = {.struct_size = sizeof info};
    return dsbc_operations.prepare(cli, "image", &info, error);
}

static gboolean create(struct dsbc_cli *cli, GError **error)
{
    g_autofree char *id = NULL;
    return dsbc_operations.create(cli, &fuzz_resolved()->spec, &id, error);
}

static gboolean inspect(struct dsbc_cli *cli, GError **error)
{
    struct dsb_observed seen = {.struct_size = sizeof seen};
    return dsbc_operations.inspect(cli, "abc", &fuzz_resolved()->spec, &seen, error);
}

static int take_listed(void *data, const struct dsb_listed *item)
{
    (void) data;
    PROMISE(*item->id != '\0' && item->owner != NULL && item->session != NULL && item->deadline >= 0);
    return 1;
}

static gboolean list(struct dsbc_cli *cli, GError **error)
{
    return dsbc_operations.list(cli, "me", take_listed, NULL, error);
}

static gboolean end(struct dsbc_cli *cli, GError **error)
{
    return dsbc_operations.destroy(cli, "abc", error);
}

/* Without white space it is the same JSON. */
static gboolean compact(struct dsbc_cli *cli, GError **error)
{
    (void) cli;
    (void) error;
    g_autofree char *text = fuzz_text(&answers);
    g_autofree char *made = dsbc_compact_json(text);
    struct json_tokener *tokener = json_tokener_new();
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    g_autoptr(json_object) before = json_tokener_parse_ex(tokener, text, (int) strlen(text) + 1);
    json_tokener_free(tokener);
    /* Single quotes are strict enough for json-c. A profile is an object. */
    if (!json_object_is_type(before, json_type_object) || strchr(text, '\'') != NULL)
        return TRUE;
    g_autoptr(json_object) after = dsbe_json_parse(made, strlen(made), NULL);
    PROMISE(json_object_equal(before, after));
    return TRUE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static gboolean (*const questions[])(struct dsbc_cli *, GError **) = {facts,   identify, prepare, create,
                                                                          inspect, list,     end,     compact};
    answers = (struct fuzz_input){data, size};
    uint8_t what = fuzz_byte(&answers), how = fuzz_byte(&answers);
    status = how & 1 ? 125 : 0;
    char program[] = "/usr/bin/docker", address[] = "tcp://127.0.0.1:1";
    struct dsbc_cli cli = {.program = program, .endpoint = address, .cancel_fd = -1, .identified = TRUE};
    cli.facts = (struct dsbc_facts){.podman = (how & 2) != 0, .info.struct_size = sizeof cli.facts.info};
    g_mutex_init(&cli.lock);
    g_autoptr(GError) error = NULL;
    gboolean ok = questions[what % G_N_ELEMENTS(questions)](&cli, &error);
    PROMISE_ERROR(ok, error);
    g_mutex_clear(&cli.lock);
    return 0;
}
