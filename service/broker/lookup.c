/* SPDX-License-Identifier: MIT */
/* What an editor asks about code that does not run: the body of such a request becomes a control operation of the session. */
#include "broker/lookup.h"

#include "common/json.h"
#include "shared/settings.h"

#include <dsandbox/dsandbox.h>
#include <string.h>

#define CODE_MAX 32768 /* bytes; an operation has 64 KiB, and in JSON what is in code may need more room */

static gboolean invalid(GError **error, const char *message)
{
    g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, message);
    return FALSE;
}

static gboolean read_cursor(struct json_object *body, gint64 *cursor, GError **error)
{
    struct json_object *value = json_member(body, "cursor");
    *cursor = json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : -1;
    return (*cursor >= 0 && *cursor <= CODE_MAX) ||
           invalid(error, "'cursor' must be a number: how many characters of the code are before it");
}

static char *read_operation(struct json_object *body, const char *op, GError **error)
{
    static const char *const names[] = {"code", "cursor", "detail", NULL};
    const char *code = NULL;
    gint64 cursor = 0;
    gboolean detail = FALSE;
    if (!body_only(body, "this request", names, error) || !body_text(body, "code", &code, error) ||
        !body_bool(body, "detail", &detail, error) || !read_cursor(body, &cursor, error))
        return NULL;
    if (code == NULL || strlen(code) > CODE_MAX) {
        invalid(error, code == NULL ? "'code' is missing" : "'code' can have 32 KiB at most: send what is around the cursor");
        return NULL;
    }
    g_autofree char *place = g_strdup_printf("%" G_GINT64_FORMAT, cursor);
    struct json_object *object = json_object_new_object();
    json_add(object, "op", op);
    json_add(object, "code", code);
    json_add(object, "cursor", place);
    json_add(object, "detail", detail ? "1" : "0");
    return json_take_text(object);
}

char *lookup_operation(struct request *request, const char *op)
{
    GError *error = NULL;
    struct json_object *body = request_json(request, &error);
    char *text = body != NULL ? read_operation(body, op, &error) : NULL;
    json_object_put(body);
    if (text == NULL)
        request_fail(request, error);
    return text;
}
