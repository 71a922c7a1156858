/* SPDX-License-Identifier: MIT */
/* What pid 1 writes as a JSON string is one, whatever bytes it was made of. */
#include "init/init.h"

#include "fuzz.h"

#include <json-c/json.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf out = {0};
    json_string(&out, (const char *) data, size);
    PROMISE(g_utf8_validate_len((const char *) buf_head(&out), buf_len(&out), NULL));
    struct json_tokener *tokener = json_tokener_new_ex(64);
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    json_object *value = json_tokener_parse_ex(tokener, (const char *) buf_head(&out), (int) buf_len(&out));
    PROMISE(json_tokener_get_error(tokener) == json_tokener_success && json_object_is_type(value, json_type_string));
    json_tokener_free(tokener);
    json_object_put(value);
    buf_free(&out);
    return 0;
}
