/* SPDX-License-Identifier: MIT */
/* dsb-init's own JSON: what it takes out of a text is what a full parser finds there. */
#include "guest.h"

#include "fuzz.h"

#include <json-c/json.h>
#include <string.h>

static json_object *parse(const void *text, gsize size)
{
    struct json_tokener *tokener = json_tokener_new_ex(64);
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    json_object *root = json_tokener_parse_ex(tokener, text, (int) size);
    gboolean whole = json_tokener_get_error(tokener) == json_tokener_success;
    json_tokener_free(tokener);
    if (!whole)
        g_clear_pointer(&root, json_object_put);
    return root;
}

static void check_scan(const uint8_t *data, size_t size)
{
    struct json_member want[] = {{"timeout_ms", JSON_INT, -7, false},
                                 {"output_limit", JSON_INT, -7, false},
                                 {"output_kill", JSON_BOOL, -7, false},
                                 {"op", JSON_TEXT, -7, false}};
    if (json_scan(data, size, want, G_N_ELEMENTS(want)) != NULL)
        return;
    json_object *root = parse(data, size);
    for (gsize i = 0; i < G_N_ELEMENTS(want); i++) {
        json_object *value = NULL;
        PROMISE(want[i].seen || want[i].value == -7);
        if (root == NULL)
            continue; /* only this scanner takes it: the kernel will not, and nothing runs */
        PROMISE(json_object_object_get_ex(root, want[i].key, &value) == want[i].seen);
        if (want[i].seen && want[i].kind == JSON_BOOL)
            PROMISE(json_object_get_boolean(value) == want[i].value);
        if (want[i].seen && want[i].kind == JSON_TEXT && memchr(want[i].text, '\\', want[i].length) == NULL)
            PROMISE(json_object_get_string_len(value) == (int) want[i].length &&
                    memcmp(json_object_get_string(value), want[i].text, want[i].length) == 0);
        if (want[i].seen && want[i].kind == JSON_INT)
            PROMISE(json_object_get_int64(value) == want[i].value);
    }
    json_object_put(root);
}

/* Any bytes become one JSON string. */
static void check_string(const uint8_t *data, size_t size)
{
    struct buf out = {0};
    json_string(&out, (const char *) data, size);
    PROMISE(g_utf8_validate_len((const char *) buf_head(&out), buf_len(&out), NULL));
    json_object *value = parse(buf_head(&out), buf_len(&out));
    PROMISE(json_object_is_type(value, json_type_string));
    json_object_put(value);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_scan(data, size);
    check_string(data, size);
    return 0;
}
