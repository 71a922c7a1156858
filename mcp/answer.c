/* SPDX-License-Identifier: MIT */
/* What a client is shown of a result: text that fits, every figure, and what to do where something went wrong. */
#include "mcp/answer.h"

#include "common/json.h"
#include "mcp/text.h"

#include <string.h>

#define RESULTS_MAX 64             /* displayed texts */
#define FIGURES_MAX 64             /* the results of one execution have 8 MiB by default, 15 at most */
#define FIGURE_BYTES_MAX (5 << 20) /* in base64: readers refuse larger ones */
#define LINKS_MAX 10
#define PATHS_MAX 100
#define ERROR_WORD_MAX 1000

/* One piece of text and what is kept of it. */
struct piece {
    const char *text; /* the result's */
    gsize size;
    char *cut;
    gboolean over; /* there is more than that */
};

struct answer {
    struct mcp_work *work;
    struct json_object *result;
    gboolean python;
    const char *status;
    struct piece out, err, trace, behind[2]; /* `behind`: of the background of earlier executions */
    GArray *rows;                            /* of struct row: displayed objects in their order */
    gint64 figures, left_out;
    GString *message; /* what a model should know besides */
};

/* One displayed object: a figure, or text. */
struct row {
    const char *type; /* of the figure; NULL: text */
    const char *base64;
    struct piece text;
};

/* --- pieces ---------------------------------------------------------------------- */

static struct piece piece_of(struct json_object *object, const char *name)
{
    struct json_object *value = json_member(object, name);
    gboolean text = json_object_is_type(value, json_type_string);
    return (struct piece) {text ? json_object_get_string(value) : "",
                           text ? (gsize) json_object_get_string_len(value) : 0, NULL, FALSE};
}

/* What goes to a model goes into its conversation for good: bytes that are no picture would break that. */
static const char *figure_type(const char *base64)
{
    guchar head[24];
    gint state = 0;
    guint save = 0;
    gsize size = strlen(base64),
          stray = strspn(base64, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    if (size > FIGURE_BYTES_MAX || size < 32 || size % 4 != 0 || stray + 2 < size ||
        strspn(base64 + stray, "=") != size - stray)
        return NULL;
    gsize n = g_base64_decode_step(base64, 32, head, &state, &save);
    return mcp_image_type(head, n);
}

static void add_row(struct answer *answer, struct json_object *bundle)
{
    static const char *const images[] = {"image/png", "image/jpeg", "image/gif", "image/webp"};
    static const char *const texts[] = {"text/plain", "text/markdown", "text/html", "image/svg+xml"};
    struct row row = {0};
    for (gsize i = 0; row.base64 == NULL && i < G_N_ELEMENTS(images); i++)
        row.base64 = json_string(bundle, images[i]);
    row.type = row.base64 != NULL ? figure_type(row.base64) : NULL;
    for (gsize i = 0; row.type == NULL && row.text.size == 0 && i < G_N_ELEMENTS(texts); i++)
        row.text = piece_of(bundle, texts[i]);
    gboolean room =
        row.type != NULL ? answer->figures < FIGURES_MAX : answer->rows->len - answer->figures < RESULTS_MAX;
    if (!room || (row.type == NULL && row.text.size == 0)) {
        answer->left_out++;
        return;
    }
    if (row.type != NULL)
        answer->figures++;
    else if (row.base64 != NULL)
        answer->left_out++; /* its text is there, the picture is not */
    g_array_append_val(answer->rows, row);
}

static void cut_all(struct answer *answer)
{
    g_autoptr(GArray) pieces = g_array_new(FALSE, FALSE, sizeof(struct piece *));
    g_autoptr(GArray) sizes = g_array_new(FALSE, FALSE, sizeof(gsize));
    struct piece *fixed[] = {&answer->out, &answer->err, &answer->trace, &answer->behind[0], &answer->behind[1]};
    g_array_append_vals(pieces, fixed, G_N_ELEMENTS(fixed));
    for (guint i = 0; i < answer->rows->len; i++) {
        struct piece *text = &g_array_index(answer->rows, struct row, i).text;
        g_array_append_val(pieces, text);
    }
    for (guint i = 0; i < pieces->len; i++)
        g_array_append_val(sizes, g_array_index(pieces, struct piece *, i)->size);
    gsize most = mcp_share((const gsize *) (const void *) sizes->data, sizes->len, MCP_TEXT_MAX);
    for (guint i = 0; i < pieces->len; i++) {
        struct piece *piece = g_array_index(pieces, struct piece *, i);
        piece->cut = mcp_cut(piece->text != NULL ? piece->text : "", piece->size, most);
        piece->over = piece->size > most;
    }
}

static gboolean is_cut(const struct answer *answer, const struct piece *piece, const char *truncated)
{
    return piece->over || json_object_get_boolean(json_member(answer->result, truncated));
}

/* --- what a model should know ------------------------------------------------------- */

static const char *asked(struct json_object *result, const char *control)
{
    struct json_object *controls = json_member(json_member(result, "policy"), "controls");
    for (gsize i = 0; i < json_length(controls); i++) {
        struct json_object *row = json_object_array_get_idx(controls, i);
        if (g_strcmp0(json_string(row, "name"), control) == 0)
            return json_string(row, "asked");
    }
    return NULL;
}

/* "variables kept", as the middle of a sentence. */
static void say_state(struct answer *answer)
{
    struct json_object *state = json_member(answer->result, "state");
    const char *outcome = json_string(state, "outcome"), *reason = json_string(state, "reason");
    g_autofree char *why =
        reason != NULL ? mcp_cut(reason, strlen(reason), ERROR_WORD_MAX) : g_strdup("the reason is not known");
    if (g_strcmp0(outcome, "kept") == 0)
        g_string_append(answer->message,
                        answer->python ? "variables kept" : "the session's variables are as they were");
    else if (g_strcmp0(outcome, "rolled_back") == 0 && json_int(state, "to") == 0)
        g_string_append_printf(answer->message, "variables are gone, back to a fresh interpreter (%s)", why);
    else if (g_strcmp0(outcome, "rolled_back") == 0)
        g_string_append_printf(answer->message,
                               "variables rolled back to the end of execution %" G_GINT64_FORMAT " (%s)",
                               json_int(state, "to"), why);
    else
        g_string_append_printf(answer->message, "variables lost (%s); files in /sandbox are there", why);
}

static gboolean printed(const struct answer *answer) { return answer->out.size > 0 || answer->err.size > 0; }

/* How it ended, where that is not how it should. */
static void say_status(struct answer *answer)
{
    GString *message = answer->message;
    struct json_object *result = answer->result;
    const char *failure = json_string(json_member(result, "failure"), "message"),
               *reason = json_string(result, "reason");
    const char *memory = asked(result, "memory"), *status = answer->status;
    g_autofree char *limit = reason != NULL ? mcp_cut(reason, strlen(reason), ERROR_WORD_MAX)
                                            : g_strdup("more in /sandbox than it may have");
    if (failure != NULL) {
        g_autofree char *said = mcp_cut(failure, strlen(failure), 2 * ERROR_WORD_MAX);
        g_string_append_printf(message, "%s: %s", strcmp(status, "lost") == 0 ? "Lost" : "Not run", said);
        return;
    }
    if (strcmp(status, "timeout") == 0)
        g_string_append_printf(message, "Stopped after %.10g s; ",
                               work_number(answer->work, "timeout_s", answer->work->setup->timeout_seconds));
    else if (strcmp(status, "oom") == 0)
        g_string_append_printf(message, "Stopped: out of memory, the limit is %s; ",
                               memory != NULL ? memory : "reached");
    else if (strcmp(status, "output_limit") == 0)
        g_string_append(message, "Stopped: it printed more than it may; ");
    else if (strcmp(status, "disk_limit") == 0)
        g_string_append_printf(message, "Limit on files: %s; ", limit);
    else if (strcmp(status, "signal") == 0)
        g_string_append_printf(message, "Ended by signal %" G_GINT64_FORMAT " (%s); ", json_int(result, "signal"),
                               g_strsignal((int) json_int(result, "signal")));
    else if (strcmp(status, "cancelled") == 0)
        g_string_append(message, "Cancelled; ");
    else if (strcmp(status, "lost") == 0)
        g_string_append(message, "The sandbox was lost; ");
    else {
        if (strcmp(status, "error") == 0 && json_member(result, "error") == NULL)
            g_string_append_printf(message, "Exit status %" G_GINT64_FORMAT ".", json_int(result, "exit_code"));
        return;
    }
    say_state(answer);
    if (strcmp(status, "timeout") == 0)
        g_string_append(message, printed(answer) ? "; printed so far: see above." : "; nothing was printed so far.");
    else
        g_string_append_c(message, '.');
}

static void add_sentence(struct answer *answer, const char *text)
{
    if (answer->message->len > 0)
        g_string_append_c(answer->message, '\n');
    g_string_append(answer->message, text);
}

/* An execution that went well may still find that variables of before are gone. */
static void say_rest(struct answer *answer)
{
    struct json_object *state = json_member(answer->result, "state"),
                       *omitted = json_member(answer->result, "results_omitted");
    const char *outcome = json_string(state, "outcome");
    gboolean said = strchr(answer->message->str, ';') != NULL;
    if (!said && outcome != NULL && strcmp(outcome, "kept") != 0) {
        add_sentence(answer, "Of the session: ");
        say_state(answer);
        g_string_append_c(answer->message, '.');
    }
    if (answer->left_out > 0) {
        g_autofree char *text =
            g_strdup_printf("%" G_GINT64_FORMAT " of the displayed objects are not shown here: too many, too "
                            "large, or no picture that can be shown.",
                            answer->left_out);
        add_sentence(answer, text);
    }
    for (gsize i = 0; i < MIN(json_length(omitted), 8); i++) {
        struct json_object *row = json_object_array_get_idx(omitted, i);
        const char *reason = json_string(row, "reason");
        g_autofree char *why =
            mcp_cut(reason != NULL ? reason : "?", reason != NULL ? strlen(reason) : 1, ERROR_WORD_MAX);
        g_autofree char *text =
            g_strdup_printf("%" G_GINT64_FORMAT " displayed objects are missing: %s.", json_int(row, "count"), why);
        add_sentence(answer, text);
    }
}

/* --- content ---------------------------------------------------------------------- */

static void show_stream(struct answer *answer, const struct piece *piece, const char *title)
{
    g_autofree char *text =
        piece->size > 0 && title != NULL ? g_strconcat(title, piece->cut, NULL) : g_strdup(piece->cut);
    work_text(answer->work, text);
}

static void show_rows(struct answer *answer)
{
    for (guint i = 0; i < answer->rows->len; i++) {
        const struct row *row = &g_array_index(answer->rows, struct row, i);
        if (row->type != NULL)
            work_image(answer->work, row->base64, row->type);
        else
            work_text(answer->work, row->text.cut);
    }
}

static void drop_kept(void *data)
{
    struct mcp_kept *kept = data;
    g_free(kept->uri);
    g_bytes_unref(kept->bytes);
    g_free(kept);
}

/* The whole of what was cut: the session's file where it has one, else what the result has, kept for resources/read. */
static void link_stream(struct answer *answer, const struct piece *piece, const char *name)
{
    g_autofree char *truncated = g_strconcat(name, "_truncated", NULL), *in_file = g_strconcat(name, "_file", NULL);
    const char *file = json_string(answer->result, in_file), *id = json_string(answer->result, "id");
    if (!is_cut(answer, piece, truncated))
        return;
    if (file != NULL) {
        work_link_file(answer->work, file, -1);
        return;
    }
    if (id == NULL || !piece->over)
        return;
    struct mcp_kept *kept = g_new0(struct mcp_kept, 1);
    kept->uri = dsb_client_path("dsandbox://output/%s/%s", id, name);
    kept->bytes = g_bytes_new(piece->text, piece->size);
    if (answer->work->kept == NULL)
        answer->work->kept = g_ptr_array_new_with_free_func(drop_kept);
    g_ptr_array_add(answer->work->kept, kept);
    work_link(answer->work, kept->uri, name, "text/plain", (gint64) piece->size);
}

/* The bytes of a name. */
static char *path_of(struct json_object *row)
{
    const char *base64 = json_string(row, "path_base64"), *path = json_string(row, "path");
    gsize size = 0;
    if (base64 == NULL)
        return g_strdup(path != NULL ? path : "");
    g_autofree guchar *bytes = g_base64_decode(base64, &size);
    return g_strndup((const char *) bytes, size);
}

static guint link_files(struct answer *answer, const char *which, guint linked)
{
    struct json_object *rows = json_member(json_member(answer->result, "files"), which);
    for (gsize i = 0; i < json_length(rows) && linked < LINKS_MAX; i++, linked++) {
        struct json_object *row = json_object_array_get_idx(rows, i);
        g_autofree char *path = path_of(row);
        work_link_file(answer->work, path, json_int(row, "size"));
    }
    return linked;
}

/* --- structured ---------------------------------------------------------------------- */

static gboolean add_paths(struct json_object *to, struct json_object *files, const char *which)
{
    struct json_object *rows = json_member(files, which), *paths = json_object_new_array();
    for (gsize i = 0; i < MIN(json_length(rows), PATHS_MAX); i++) {
        const char *path = json_string(json_object_array_get_idx(rows, i), "path");
        json_object_array_add(paths, json_object_new_string(path != NULL ? path : ""));
    }
    json_object_object_add(to, which, paths);
    return json_length(rows) > PATHS_MAX;
}

static struct json_object *files_of(struct json_object *result)
{
    struct json_object *from = json_member(result, "files"), *to = json_object_new_object();
    gboolean cut = json_object_get_boolean(json_member(from, "truncated"));
    cut |= add_paths(to, from, "created");
    cut |= add_paths(to, from, "modified");
    cut |= add_paths(to, from, "deleted");
    json_add_bool(to, "truncated", cut);
    return to;
}

static void add_number(struct json_object *to, const char *name, struct json_object *from, const char *member)
{
    struct json_object *value = json_member(from, member);
    json_object_object_add(to, name, json_object_is_type(value, json_type_int) ? json_object_get(value) : NULL);
}

static struct json_object *error_of(const struct answer *answer)
{
    struct json_object *from = json_member(answer->result, "error"), *to = NULL;
    const char *name = json_string(from, "name"), *value = json_string(from, "value");
    if (from == NULL)
        return NULL;
    g_autofree char *short_name = mcp_cut(name != NULL ? name : "", name != NULL ? strlen(name) : 0, ERROR_WORD_MAX);
    g_autofree char *short_value =
        mcp_cut(value != NULL ? value : "", value != NULL ? strlen(value) : 0, ERROR_WORD_MAX);
    to = json_object_new_object();
    json_add(to, "name", short_name);
    json_add(to, "value", short_value);
    json_add(to, "traceback", answer->trace.cut);
    return to;
}

static void add_python(const struct answer *answer, struct json_object *to)
{
    struct json_object *texts = json_object_new_array();
    for (guint i = 0; i < answer->rows->len; i++) {
        const struct row *row = &g_array_index(answer->rows, struct row, i);
        if (row->type == NULL)
            json_object_array_add(texts, json_object_new_string(row->text.cut));
    }
    json_object_object_add(to, "results", texts);
    json_add_int(to, "figures", answer->figures);
    json_object_object_add(to, "error", error_of(answer));
    json_add(to, "variables", json_string(json_member(answer->result, "state"), "outcome"));
}

static struct json_object *structured_of(const struct answer *answer)
{
    struct json_object *to = json_object_new_object(), *usage = json_member(answer->result, "usage");
    json_add(to, "session_id", answer->work->shown);
    json_add(to, "status", answer->status);
    add_number(to, "exit_code", answer->result, "exit_code");
    json_add(to, "message", answer->message->len > 0 ? answer->message->str : NULL);
    json_add(to, "stdout", answer->out.cut);
    json_add_bool(to, "stdout_truncated", is_cut(answer, &answer->out, "stdout_truncated"));
    json_add(to, "stderr", answer->err.cut);
    json_add_bool(to, "stderr_truncated", is_cut(answer, &answer->err, "stderr_truncated"));
    json_object_object_add(to, "files", files_of(answer->result));
    add_number(to, "wall_ms", usage, "wall_ms");
    add_number(to, "memory_peak_bytes", usage, "memory_peak_bytes");
    if (answer->python)
        add_python(answer, to);
    return to;
}

/* --- all of it ------------------------------------------------------------------------ */

/* A command that ran to its own end did what a command does, whatever its exit status says. */
static gboolean is_error(const struct answer *answer)
{
    if (strcmp(answer->status, "ok") == 0)
        return FALSE;
    return answer->python || strcmp(answer->status, "error") != 0 || json_member(answer->result, "failure") != NULL;
}

static void row_clear(void *data)
{
    struct row *row = data;
    g_free(row->text.cut);
}

/* The traceback; where there is none, the exception. */
static struct piece trace_of(struct json_object *result)
{
    struct json_object *error = json_member(result, "error");
    struct piece trace = piece_of(error, "traceback");
    return trace.size > 0 ? trace : piece_of(error, "value");
}

/* The code prints its traceback, too: once is enough. */
static void drop_trace(struct piece *err, const struct piece *trace)
{
    if (trace->size > 0 && err->size >= trace->size &&
        memcmp(err->text + err->size - trace->size, trace->text, trace->size) == 0)
        err->size -= trace->size;
}

void answer_result(struct mcp_work *work, struct json_object *result, gboolean python)
{
    struct json_object *rows = json_member(result, "results");
    const char *status = json_string(result, "status");
    struct answer answer = {
        .work = work,
        .result = result,
        .python = python,
        .status = status != NULL ? status : "lost",
        .out = piece_of(result, "stdout"),
        .err = piece_of(result, "stderr"),
        .trace = trace_of(result),
        .behind = {piece_of(json_member(result, "background"), "stdout"),
                   piece_of(json_member(result, "background"), "stderr")},
        .rows = g_array_new(FALSE, FALSE, sizeof(struct row)),
        .message = g_string_new(NULL),
    };
    g_array_set_clear_func(answer.rows, row_clear);
    for (gsize i = 0; i < json_length(rows); i++)
        add_row(&answer, json_object_array_get_idx(rows, i));
    drop_trace(&answer.err, &answer.trace);
    cut_all(&answer);
    say_status(&answer);
    say_rest(&answer);
    show_stream(&answer, &answer.behind[0], "[from the background of earlier calls]\n");
    show_stream(&answer, &answer.behind[1], "[from the background of earlier calls, stderr]\n");
    show_stream(&answer, &answer.out, NULL);
    show_stream(&answer, &answer.err, "[stderr]\n");
    show_rows(&answer);
    work_text(work, answer.trace.cut);
    work_text(work, answer.message->str);
    link_stream(&answer, &answer.out, "stdout");
    link_stream(&answer, &answer.err, "stderr");
    link_files(&answer, "modified", link_files(&answer, "created", 0));
    work->structured = structured_of(&answer);
    work->is_error = is_error(&answer);
    if (work->content == NULL)
        work_text(work, "(no output)");
    g_array_unref(answer.rows);
    char *const cuts[] = {answer.out.cut, answer.err.cut, answer.trace.cut, answer.behind[0].cut, answer.behind[1].cut};
    for (gsize i = 0; i < G_N_ELEMENTS(cuts); i++)
        g_free(cuts[i]);
    g_string_free(answer.message, TRUE);
}
