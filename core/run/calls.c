/* SPDX-License-Identifier: MIT */
/* The calls of one execution, from the code's wish to the caller's answer. */
#include "run/calls.h"

#include "common/json.h"
#include "common/strictjson.h"
#include "run/pid1.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define TOOLS_MAX 64
#define CALLS_MAX 10000
#define ANSWER_MAX (15u << 20)
#define WAITING_MAX (64u << 20) /* bytes of answers that the code has not taken */
#define ON_THE_WAY (1u << 20)   /* one that is larger goes alone: pid 1 has it in memory that is the sandbox's */
#define DEPTH 32
#define DIGITS_EXACT 18
#define HEAD 5 /* of a return: u32 number, u8 whether it is an error */

struct answer {
    uint32_t number;
    gboolean failed;
    GBytes *json;
};

/* Where answers arrive, from any thread; it lives as long as anybody may have one. */
struct mailbox {
    gatomicrefcount users;
    GMutex lock;
    gboolean closed;
    GQueue answers; /* struct answer */
    int fd;
};

struct dsb_call {
    struct mailbox *mailbox;
    uint32_t number;
    char *tool, *arguments;
};

/* One that pid 1 has not told the end of, or whose answer the caller still owes. */
struct open_call {
    guint row; /* of the result; beyond the last one: none */
    gint64 began, deadline;
    gboolean owed;     /* by the caller */
    gboolean said;     /* the code has been told something, or is about to be */
    gboolean returned; /* pid 1 has told its end */
    gsize on_the_way;  /* bytes of the answer */
};

struct dsb_calls {
    struct mailbox *mailbox;
    char **names;
    struct dsb_result *result;
    gint64 limit_us;
    gboolean stops_clock;
    uint32_t last;     /* number of a call */
    GHashTable *open;  /* number -> struct open_call */
    GQueue due;        /* struct answer, for the code */
    guint owed;        /* calls that the caller has */
    gsize due_bytes, on_the_way;
    guint unreturned;
    gint64 since, until, stopped; /* there are some of these; no longer than that; how long there were before */
};

/* --- the mailbox --------------------------------------------------------------- */

static void answer_free(struct answer *answer)
{
    g_bytes_unref(answer->json);
    g_free(answer);
}

static void mailbox_unref(struct mailbox *mailbox)
{
    struct answer *answer;
    if (!g_atomic_ref_count_dec(&mailbox->users))
        return;
    while ((answer = g_queue_pop_head(&mailbox->answers)) != NULL)
        answer_free(answer);
    g_mutex_clear(&mailbox->lock);
    close(mailbox->fd);
    g_free(mailbox);
}

static struct mailbox *mailbox_new(GError **error)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED, "nothing was run: %s", dsb_errno_text(errno));
        return NULL;
    }
    struct mailbox *mailbox = g_new0(struct mailbox, 1);
    g_atomic_ref_count_init(&mailbox->users);
    g_mutex_init(&mailbox->lock);
    mailbox->fd = fd;
    return mailbox;
}

static void post(struct mailbox *mailbox, struct answer *answer)
{
    g_mutex_lock(&mailbox->lock);
    gboolean closed = mailbox->closed;
    if (!closed)
        g_queue_push_tail(&mailbox->answers, answer);
    g_mutex_unlock(&mailbox->lock);
    if (closed)
        answer_free(answer);
    else
        eventfd_write(mailbox->fd, 1);
}

static struct answer *fetch(struct mailbox *mailbox)
{
    g_mutex_lock(&mailbox->lock);
    struct answer *answer = g_queue_pop_head(&mailbox->answers);
    g_mutex_unlock(&mailbox->lock);
    return answer;
}

/* --- what the caller says ------------------------------------------------------- */

static struct answer *error_answer(uint32_t number, const char *type, const char *message)
{
    struct answer *answer = g_new(struct answer, 1);
    struct json_object *object = json_object_new_object();
    json_add(object, "type", type);
    json_add(object, "message", message);
    const char *text = json_text(object);
    *answer = (struct answer){number, TRUE, g_bytes_new(text, strlen(text))};
    json_object_put(object);
    return answer;
}

/* NULL: what is wrong with it, as something to raise. */
static struct answer *value_answer(uint32_t number, const char *json, gsize size)
{
    g_autoptr(GError) error = NULL;
    if (size > ANSWER_MAX) {
        g_autofree char *text = g_strdup_printf("the answer takes %" G_GSIZE_FORMAT " bytes, and %u are possible", size,
                                                ANSWER_MAX);
        return error_answer(number, "ToolError", text);
    }
    g_autoptr(GString) whole = g_string_sized_new(size + 16);
    g_string_append(whole, "{\"result\":");
    g_string_append_len(whole, json, (gssize) size);
    g_string_append_c(whole, '}');
    g_autoptr(dsb_json) object =
        dsb_json_parse_request(whole->str, whole->len, DEPTH + 1, "the answer", DSB_ERROR_INVALID, &error);
    if (object == NULL || json_object_object_length(object) != 1)
        return error_answer(number, "ToolError", error != NULL ? error->message : "the answer is not one JSON value");
    struct answer *answer = g_new(struct answer, 1);
    *answer = (struct answer){number, FALSE, g_string_free_to_bytes(g_steal_pointer(&whole))};
    return answer;
}

static void call_done(struct dsb_call *call, struct answer *answer)
{
    post(call->mailbox, answer);
    mailbox_unref(call->mailbox);
    g_free(call->tool);
    g_free(call->arguments);
    g_free(call);
}

void dsb_call_return(dsb_call *call, const char *json, gsize size)
{
    if (call != NULL)
        call_done(call, value_answer(call->number, json != NULL ? json : "null", json != NULL ? size : strlen("null")));
}

void dsb_call_raise(dsb_call *call, const char *type, const char *message)
{
    if (call == NULL)
        return;
    g_autofree char *kind = g_utf8_make_valid(type != NULL ? type : "ToolError", -1);
    g_autofree char *text = g_utf8_make_valid(message != NULL ? message : "", -1);
    if (strlen(text) > DSB_CALL_ARGUMENTS)
        *g_utf8_find_prev_char(text, text + DSB_CALL_ARGUMENTS) = '\0';
    call_done(call, error_answer(call->number, kind, text));
}

const char *dsb_call_tool(const dsb_call *call) { return call != NULL ? call->tool : NULL; }
const char *dsb_call_arguments(const dsb_call *call) { return call != NULL ? call->arguments : NULL; }
uint32_t dsb_call_number(const dsb_call *call) { return call != NULL ? call->number : 0; }

/* --- names ---------------------------------------------------------------------- */

static gboolean is_name(const char *name, gsize size)
{
    static const char *const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
    if (size == 0 || size > DSB_TOOL_NAME || g_ascii_isdigit(name[0]))
        return FALSE;
    for (gsize i = 0; i < size; i++)
        if (name[i] == '\0' || strchr(letters, name[i]) == NULL)
            return FALSE;
    return TRUE;
}

gboolean dsb_calls_check(const struct dsb_request *request, GError **error)
{
    const char *const *tools = request->tools;
    for (guint i = 0; tools != NULL && tools[i] != NULL; i++) {
        gboolean again = i >= TOOLS_MAX;
        for (guint k = 0; k < i && !again; k++)
            again = strcmp(tools[k], tools[i]) == 0;
        if (!again && is_name(tools[i], strlen(tools[i])))
            continue;
        g_autofree char *quoted = dsb_quoted(tools[i]);
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID,
                    "tool %s: there may be %d tools, each with a name of its own of 1 to %d letters, digits and _, not "
                    "starting with a digit",
                    quoted, TOOLS_MAX, DSB_TOOL_NAME);
        return FALSE;
    }
    return TRUE;
}

/* --- the execution's ------------------------------------------------------------ */

struct dsb_calls *dsb_calls_new(const struct dsb_request *request, struct dsb_result *result, GError **error)
{
    struct mailbox *mailbox = mailbox_new(error);
    if (mailbox == NULL)
        return NULL;
    struct dsb_calls *calls = g_new0(struct dsb_calls, 1);
    gint64 limit_ms = request->call_timeout_ms > 0 ? request->call_timeout_ms : DSB_CALL_TIMEOUT_MS;
    *calls = (struct dsb_calls){.mailbox = mailbox,
                                .names = g_strdupv((char **) request->tools),
                                .result = result,
                                .limit_us = limit_ms * 1000,
                                .stops_clock = request->calls_stop_clock,
                                .open = g_hash_table_new_full(NULL, NULL, NULL, g_free)};
    g_queue_init(&calls->due);
    dsb_result_begin_calls(result);
    return calls;
}

void dsb_calls_end(struct dsb_calls *calls)
{
    struct answer *answer;
    GHashTableIter iter;
    gpointer value;
    if (calls == NULL)
        return;
    g_mutex_lock(&calls->mailbox->lock);
    calls->mailbox->closed = TRUE;
    g_mutex_unlock(&calls->mailbox->lock);
    mailbox_unref(calls->mailbox);
    g_hash_table_iter_init(&iter, calls->open);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const struct open_call *call = value;
        if (!call->said)
            dsb_result_end_call(calls->result, call->row, DSB_CALL_ABANDONED, g_get_monotonic_time() - call->began, 0);
    }
    while ((answer = g_queue_pop_head(&calls->due)) != NULL)
        answer_free(answer);
    g_hash_table_unref(calls->open);
    g_strfreev(calls->names);
    g_free(calls);
}

void dsb_calls_give(const struct dsb_calls *calls, struct dsb_wire *wire, uint32_t execution)
{
    g_autofree char *names = g_strjoinv("\n", calls->names);
    dsb_wire_queue(wire, DSB_FRAME_TOOLS, execution, names, strlen(names));
}

/* Something for the code, unless it has gone, or has been told before. */
static void say(struct dsb_calls *calls, struct answer *answer, enum dsb_call_status status)
{
    struct open_call *call = g_hash_table_lookup(calls->open, GUINT_TO_POINTER(answer->number));
    gsize size = g_bytes_get_size(answer->json);
    if (call == NULL || call->said) {
        answer_free(answer);
        return;
    }
    call->said = TRUE;
    if (calls->due_bytes + size > WAITING_MAX) {
        status = DSB_CALL_REFUSED;
        uint32_t number = answer->number;
        answer_free(answer);
        answer = error_answer(number, "ToolError",
                              "there is no room for its answer: the code does not take those that wait");
        size = g_bytes_get_size(answer->json);
    }
    calls->due_bytes += size;
    g_queue_push_tail(&calls->due, answer);
    dsb_result_end_call(calls->result, call->row, status, g_get_monotonic_time() - call->began, size);
}

static void refuse(struct dsb_calls *calls, uint32_t number, const char *format, ...) G_GNUC_PRINTF(3, 4);
static void refuse(struct dsb_calls *calls, uint32_t number, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    say(calls, error_answer(number, "ToolError", text), DSB_CALL_REFUSED);
}

/* A whole number that not every reader of JSON has room for, ours neither: it would come out as another one. */
static gboolean has_long_number(const char *text, gsize size)
{
    gboolean in_text = FALSE;
    gsize digits = 0;
    for (gsize i = 0; i < size; i++) {
        if (in_text && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            in_text = !in_text;
        else if (!in_text && g_ascii_isdigit(text[i]) && (digits > 0 || i == 0 || strchr(".eE+", text[i - 1]) == NULL))
            digits++;
        else if (digits > DIGITS_EXACT && strchr(".eE", text[i]) == NULL)
            return TRUE;
        else
            digits = 0;
    }
    return FALSE;
}

/* The code's own words: JSON that others can read, or none. */
static char *arguments_of(const char *text, gsize size)
{
    g_autoptr(dsb_json) object = dsb_json_parse_foreign(text, size, DEPTH);
    gboolean good = object != NULL && json_object_object_length(object) == 2 &&
                    json_object_is_type(json_member(object, "args"), json_type_array) &&
                    json_object_is_type(json_member(object, "kwargs"), json_type_object);
    return good ? g_strdup(json_text(object)) : NULL;
}

/* Takes the name. */
static void pass_on(struct dsb_calls *calls, uint32_t number, char *name, const char *text, gsize size,
                    const struct dsb_run_options *options)
{
    struct open_call *open = g_hash_table_lookup(calls->open, GUINT_TO_POINTER(number));
    g_autofree char *tool = name;
    if (!g_strv_contains((const char *const *) calls->names, tool)) {
        refuse(calls, number, "there is no tool '%s' for this execution", tool);
        return;
    }
    if (number > CALLS_MAX) {
        refuse(calls, number, "%d calls have been made, and no more are possible in one execution", CALLS_MAX);
        return;
    }
    if (calls->owed >= DSB_CALLS_AT_ONCE) {
        refuse(calls, number, "%d calls are under way, and no more are possible at once", DSB_CALLS_AT_ONCE);
        return;
    }
    if (has_long_number(text, size)) {
        refuse(calls, number, "a whole number of more than %d digits is not exact in JSON: give it as a text",
               DIGITS_EXACT);
        return;
    }
    char *arguments = arguments_of(text, size);
    if (arguments == NULL) {
        refuse(calls, number, "its arguments are no JSON of at most %d levels and %u values", DEPTH, DSB_JSON_ITEMS);
        return;
    }
    struct dsb_call *call = g_new(struct dsb_call, 1);
    *call = (struct dsb_call){calls->mailbox, number, g_steal_pointer(&tool), arguments};
    g_atomic_ref_count_inc(&calls->mailbox->users);
    open->owed = TRUE;
    calls->owed++;
    options->call(options->data, call);
}

static void clock_stops(struct dsb_calls *calls, gint64 now)
{
    if (calls->unreturned++ == 0)
        calls->since = now;
    calls->until = now + calls->limit_us;
}

/* No longer than calls can take: pid 1 may have gone. */
static gint64 stopped_now(const struct dsb_calls *calls)
{
    return calls->unreturned > 0 ? MIN(g_get_monotonic_time(), calls->until) - calls->since : 0;
}

static uint32_t get_u32(const uint8_t *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return GUINT32_FROM_LE(value);
}

gboolean dsb_calls_take(struct dsb_calls *calls, const struct dsb_frame *frame, const struct dsb_run_options *options,
                        GError **error)
{
    const uint8_t *data = frame->payload;
    if (calls == NULL || frame->size < 9)
        return dsb_pid1_broken("a call where there is none", error);
    uint32_t number = get_u32(data), size = get_u32(data + 5);
    gsize name = data[4];
    if (number != calls->last + 1 || size > DSB_CALL_ARGUMENTS || frame->size != 9 + name + size ||
        !is_name((const char *) data + 9, name))
        return dsb_pid1_broken("a bad call", error);
    calls->last = number;
    gint64 now = g_get_monotonic_time();
    struct open_call *open = g_new0(struct open_call, 1);
    char *tool = g_strndup((const char *) data + 9, name);
    *open = (struct open_call){.row = dsb_result_add_call(calls->result, tool, size), .began = now,
                               .deadline = now + calls->limit_us};
    g_hash_table_insert(calls->open, GUINT_TO_POINTER(number), open);
    clock_stops(calls, now);
    pass_on(calls, number, tool, (const char *) data + 9 + name, size, options);
    return TRUE;
}

/* --- back ----------------------------------------------------------------------- */

static void forget_due(struct dsb_calls *calls, uint32_t number)
{
    for (GList *item = calls->due.head; item != NULL; item = item->next) {
        struct answer *answer = item->data;
        if (answer->number != number)
            continue;
        calls->due_bytes -= g_bytes_get_size(answer->json);
        answer_free(answer);
        g_queue_delete_link(&calls->due, item);
        return;
    }
}

static void forget_open(struct dsb_calls *calls, uint32_t number, const struct open_call *call)
{
    if (call->returned && !call->owed)
        g_hash_table_remove(calls->open, GUINT_TO_POINTER(number));
}

gboolean dsb_calls_returned(struct dsb_calls *calls, const struct dsb_frame *frame, GError **error)
{
    uint32_t number = calls != NULL && frame->size == sizeof(uint32_t) ? get_u32(frame->payload) : 0;
    struct open_call *call = number > 0 ? g_hash_table_lookup(calls->open, GUINT_TO_POINTER(number)) : NULL;
    if (call == NULL || call->returned)
        return dsb_pid1_broken("the end of a call that there is not", error);
    call->returned = TRUE;
    if (!call->said)
        dsb_result_end_call(calls->result, call->row, DSB_CALL_ABANDONED, g_get_monotonic_time() - call->began, 0);
    else if (call->on_the_way == 0)
        forget_due(calls, number);
    call->said = TRUE;
    calls->on_the_way -= call->on_the_way;
    gint64 stopped = stopped_now(calls);
    if (--calls->unreturned == 0)
        calls->stopped += stopped;
    forget_open(calls, number, call);
    return TRUE;
}

int dsb_calls_fd(const struct dsb_calls *calls) { return calls != NULL ? calls->mailbox->fd : -1; }

static void take_answers(struct dsb_calls *calls)
{
    struct answer *answer;
    eventfd_t value;
    if (eventfd_read(calls->mailbox->fd, &value) < 0 && errno != EAGAIN)
        return;
    while ((answer = fetch(calls->mailbox)) != NULL) {
        uint32_t number = answer->number;
        struct open_call *call = g_hash_table_lookup(calls->open, GUINT_TO_POINTER(number));
        call->owed = FALSE;
        calls->owed--;
        say(calls, answer, answer->failed ? DSB_CALL_ERROR : DSB_CALL_OK);
        forget_open(calls, number, call);
    }
}

static void end_late(struct dsb_calls *calls)
{
    GHashTableIter iter;
    gpointer key, value;
    gint64 now = g_get_monotonic_time();
    g_hash_table_iter_init(&iter, calls->open);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        const struct open_call *call = value;
        if (call->said || now < call->deadline)
            continue;
        g_autofree char *text =
            g_strdup_printf("the tool did not answer within %" G_GINT64_FORMAT " ms", calls->limit_us / 1000);
        say(calls, error_answer(GPOINTER_TO_UINT(key), "TimeoutError", text), DSB_CALL_TIMEOUT);
    }
}

static void send(struct dsb_calls *calls, struct dsb_wire *wire, uint32_t execution, struct answer *answer)
{
    gsize size = g_bytes_get_size(answer->json);
    g_autoptr(GByteArray) payload = g_byte_array_sized_new((guint) (HEAD + size));
    uint32_t number = GUINT32_TO_LE(answer->number);
    const guint8 failed = answer->failed ? 1 : 0;
    struct open_call *call = g_hash_table_lookup(calls->open, GUINT_TO_POINTER(answer->number));
    g_byte_array_append(payload, (const guint8 *) &number, sizeof number);
    g_byte_array_append(payload, &failed, 1);
    g_byte_array_append(payload, g_bytes_get_data(answer->json, NULL), (guint) size);
    dsb_wire_queue(wire, DSB_FRAME_RETURN, execution, payload->data, payload->len);
    call->on_the_way = size;
    calls->on_the_way += size;
    calls->due_bytes -= size;
    answer_free(answer);
}

void dsb_calls_answer(struct dsb_calls *calls, struct dsb_wire *wire, uint32_t execution)
{
    if (calls == NULL)
        return;
    take_answers(calls);
    end_late(calls);
    while (!g_queue_is_empty(&calls->due)) {
        const struct answer *next = g_queue_peek_head(&calls->due);
        if (calls->on_the_way > 0 && calls->on_the_way + g_bytes_get_size(next->json) > ON_THE_WAY)
            return;
        send(calls, wire, execution, g_queue_pop_head(&calls->due));
    }
}

gint64 dsb_calls_next(const struct dsb_calls *calls)
{
    gint64 next = G_MAXINT64;
    GHashTableIter iter;
    gpointer value;
    if (calls == NULL)
        return next;
    g_hash_table_iter_init(&iter, calls->open);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const struct open_call *call = value;
        if (!call->said)
            next = MIN(next, call->deadline);
    }
    return next;
}

gint64 dsb_calls_deadline(const struct dsb_calls *calls, gint64 deadline)
{
    return deadline + (calls != NULL && calls->stops_clock ? calls->stopped + stopped_now(calls) : 0);
}
