/* SPDX-License-Identifier: MIT */
/* The text of one policy key, as on the command line: the first byte is the key. */
#include "common/strictjson.h"
#include "fuzz.h"
#include "policy/fields.h"

#include <string.h>

/* In a file the same text means the same. */
static void check_file(const struct dsb_field *field, const char *text, gboolean good, const char *expected)
{
    g_autoptr(dsb_json) root = json_object_new_object();
    json_object_object_add(root, field->key, json_object_new_string(text));
    const char *file = json_object_to_json_string_ext(root, JSON_C_TO_STRING_PLAIN);
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    g_autoptr(GError) error = NULL;
    gboolean ok = dsb_policy_load(policy, file, strlen(file), "x", &error);
    PROMISE_ERROR(ok, error);
    PROMISE(ok == good);
    g_autofree char *canonical = dsb_policy_canonical(policy);
    PROMISE(strcmp(canonical, expected) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    const struct dsb_field *field = dsb_field((enum dsb_field_id)(fuzz_byte(&input) % DSB_N_FIELDS));
    g_autofree char *text = fuzz_text(&input);
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    g_autoptr(GError) error = NULL;
    gboolean ok = dsb_policy_set(policy, field->key, text, "x", &error);
    PROMISE_ERROR(ok, error);
    g_autofree char *canonical = dsb_policy_canonical(policy);
    if (field->type->parse_json == NULL && g_utf8_validate(text, -1, NULL))
        check_file(field, text, ok, canonical);
    if (!ok)
        return 0;
    /* What is shown can be given again. */
    g_autofree char *shown = dsb_policy_get(policy, field->key);
    PROMISE(dsb_policy_set(policy, field->key, shown, "x", NULL));
    g_autofree char *again = dsb_policy_canonical(policy);
    PROMISE(strcmp(canonical, again) == 0);
    return 0;
}
