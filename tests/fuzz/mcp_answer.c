/* SPDX-License-Identifier: MIT */
/* A result on its way to an MCP client: whatever code in a sandbox makes of it, the answer fits and is well-formed. */
#include "common/json.h"
#include "common/strictjson.h"
#include "fuzz.h"
#include "mcp/answer.h"
#include "mcp/text.h"

#include <string.h>

#define MARKS 12000 /* words of ours, and lines that say how much was left out */

/* The bytes of text; figures and links are what they are called. */
static gsize check_content(struct json_object *content)
{
    gsize size = 0;
    for (gsize i = 0; i < json_length(content); i++) {
        struct json_object *item = json_object_array_get_idx(content, i);
        const char *type = json_string(item, "type");
        PROMISE(type != NULL);
        if (strcmp(type, "text") == 0)
            size += strlen(json_string(item, "text"));
        else if (strcmp(type, "image") == 0)
            PROMISE(json_string(item, "data") != NULL && g_str_has_prefix(json_string(item, "mimeType"), "image/"));
        else
            PROMISE(strcmp(type, "resource_link") == 0 && g_str_has_prefix(json_string(item, "uri"), "dsandbox://"));
    }
    return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct mcp_setup setup = {.timeout = (char *) "30s", .timeout_seconds = 30};
    struct fuzz_input input = {data, size};
    gboolean python = fuzz_byte(&input) % 2 == 0;
    g_autoptr(dsb_json) result =
        dsb_json_parse_request((const char *) input.data, input.size, 32, "result", DSB_ERROR_INVALID, NULL);
    if (result == NULL)
        return 0;
    struct mcp_work work = {
        .setup = &setup, .shown = "own", .session = g_strdup("mcp-own"), .links = TRUE, .cancel_fd = -1};
    g_mutex_init(&work.lock);
    answer_result(&work, result, python);
    PROMISE(json_length(work.content) > 0 && check_content(work.content) <= MCP_TEXT_MAX + MARKS);
    const char *text = json_text(work.structured);
    g_autoptr(dsb_json) again = dsb_json_parse(text, strlen(text), 32, "structured", DSB_ERROR_INVALID, NULL);
    PROMISE(again != NULL && json_string(again, "status") != NULL);
    mcp_work_clear(&work);
    return 0;
}
