/* SPDX-License-Identifier: MIT */
/* Words that people give and that end up in paths, labels and addresses; the first byte says which kind. */
#include "common/ids.h"
#include "engine/engine.h"
#include "policy/fields.h"
#include "policy/engine_names.h"
#include "fuzz.h"
#include "run/input_check.h"
#include "hostdir/workdir.h"

#include <string.h>

static void session(const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *name = NULL;
    g_autofree char *path = dsb_workdir_plan("/base", text, &name, &error);
    PROMISE_ERROR(path != NULL, error);
    PROMISE(dsb_session_id_valid(text) == (path != NULL));
    if (path == NULL)
        return;
    g_autofree char *expected = g_strconcat("/base/", text, NULL);
    g_autofree char *plain = g_canonicalize_filename(path, "/");
    PROMISE(strcmp(name, text) == 0 && strcmp(path, expected) == 0 && strcmp(plain, path) == 0);
    PROMISE(strlen(text) <= 64 && strchr(text, '/') == NULL);
}

static void base(const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *name = NULL;
    g_autofree char *path = dsb_workdir_plan(text, "s", &name, &error);
    PROMISE_ERROR(path != NULL, error);
    if (path == NULL)
        return;
    g_autofree char *plain = g_canonicalize_filename(path, "/");
    PROMISE(strcmp(plain, path) == 0 && g_str_has_suffix(path, "/s"));
}

static void mount(const char *text)
{
    if (dsb_path_problem(text) != NULL)
        return;
    g_autofree char *plain = g_canonicalize_filename(text, "/");
    PROMISE(strcmp(plain, text) == 0);
    if (dsb_target_problem(text, TRUE) == NULL)
        PROMISE(!dsb_path_below("/sandbox", text) && !dsb_path_below(text, "/proc"));
}

static void image(const char *text)
{
    g_autoptr(GError) error = NULL;
    gboolean ok = dsb_check_image_name(text, &error);
    PROMISE_ERROR(ok, error);
    PROMISE(!ok || (text[0] != '-' && strpbrk(text, " ?#%&\"'\\\n") == NULL));
}

static void variable(const char *text)
{
    const char *const env[] = {text, NULL};
    g_autoptr(GError) error = NULL;
    gboolean ok = dsb_check_env(env, &error);
    PROMISE_ERROR(ok, error);
    PROMISE(!ok || strchr(text, '=') > text);
}

static void controls(const char *text)
{
    g_autoptr(GError) error = NULL;
    uint64_t bits = 0;
    gboolean ok = dsb_controls_parse(text, &bits, &error);
    PROMISE_ERROR(ok, error);
    PROMISE((bits & ~DSB_CONTROLS_ALL) == 0);
}

static void endpoint(const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(dsbe_endpoint) made = dsbe_endpoint_parse(text, strlen(text) % 2 == 0, &error);
    PROMISE_ERROR(made != NULL, error);
    for (const char *c = made != NULL ? made->base_url : ""; *c != '\0'; c++)
        PROMISE(!g_ascii_iscntrl(*c) && *c != ' ');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const kinds[])(const char *) = {session, base, mount, image, variable, controls, endpoint};
    struct fuzz_input input = {data, size};
    uint8_t kind = fuzz_byte(&input);
    g_autofree char *text = fuzz_text(&input);
    kinds[kind % G_N_ELEMENTS(kinds)](text);
    return 0;
}
