/* SPDX-License-Identifier: MIT */
/*
 * What user code reports and what it says of variables that came back, the whole way: taken apart, put into the
 * service's answer, sent, and read by the program.
 */
#include "client/internal.h"
#include "common/objects.h"
#include "common/strictjson.h"
#include "fuzz.h"
#include "run/result.h"
#include "run/user_report.h"
#include "session/outcome.h"

#include <string.h>

/* The last texts of a conversation are forged as freely as the report. */
static struct json_object *restored(const char *text)
{
    struct json_object *answer = dsb_json_parse_foreign(text, strlen(text), 32);
    struct json_object *taken = outcome_restored(answer);
    json_object_put(answer);
    return taken;
}

static gsize shown(struct json_object *result)
{
    struct json_object *results = NULL;
    PROMISE(json_object_object_get_ex(result, "results", &results));
    return json_object_array_length(results);
}

/* From the process of the session to the service: whatever the sandbox said, the service takes it. */
static void pass_on(const struct outcome *outcome, struct outcome *passed)
{
    g_autoptr(GByteArray) pack = g_byte_array_new();
    int file = -1;
    PROMISE(outcome_pack(outcome, pack, &file));
    struct frame frame = {.type = FRAME_OUTCOME, .bytes = pack->data, .size = pack->len, .fds = {file, -1}};
    PROMISE(outcome_unpack(&frame, passed));
    gsize size = text_size(outcome->text);
    g_autofree char *text = g_malloc0(size + 1);
    PROMISE(text_size(passed->text) == size && text_read(passed->text, 0, text, size));
    PROMISE(strcmp(text_memory(outcome->text), text) == 0 && outcome->status == passed->status);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    struct outcome outcome = {0}, passed = {0};
    guint64 before = fuzz_byte(&input);
    g_autofree char *saved = fuzz_text(&input);
    g_autoptr(dsb_result) result = dsb_result_new();
    result->report = dsb_user_report_parse((const char *) input.data, input.size);
    result->state.outcome = before > 0 ? DSB_OUTCOME_KEPT : DSB_OUTCOME_NONE;
    struct json_object *back = restored(saved);
    outcome_take(&outcome, result, "x-1", before, NULL, back);

    /* One line, as events want it; and the program reads what the sandbox was allowed to say. */
    PROMISE(outcome.text != NULL && outcome.status != NULL);
    const char *text = text_memory(outcome.text);
    PROMISE(strchr(text, '\n') == NULL && g_utf8_validate(text, -1, NULL));
    pass_on(&outcome, &passed);
    struct json_object *ours = dsb_result_object(result), *read = client_parse(text, text_size(outcome.text));
    PROMISE(json_object_is_type(read, json_type_object) && shown(read) == shown(ours));
    json_object_put(ours);
    json_object_put(read);
    json_object_put(back);
    outcome_clear(&outcome);
    outcome_clear(&passed);
    return 0;
}
