/* SPDX-License-Identifier: MIT */
/* The tools: their names, arguments and results, and what a model is told about them. */
#include "mcp/tools.h"

#include "common/json.h"
#include "common/strictjson.h"

#include <math.h>
#include <string.h>

#define NAME_PATTERN "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
#define COUNT_MAX (INT64_C(1) << 53)

enum kind { TEXT, NAME, SECONDS, COUNT, FLAG, CHOICE };

struct argument {
    const char *name;
    enum kind kind;
    gboolean needed;
    const char *description;
    const char *const *choices;
};

struct mcp_tool {
    const char *name, *title;
    char *(*describe)(const struct mcp_setup *setup);
    const struct argument *arguments;
    const char *output; /* its schema, as JSON */
    gboolean only_reads;
    gboolean makes; /* the session, where it is new */
    void (*work)(struct mcp_work *work);
};

static const char session_words[] =
    "A session to use instead of the default one. execute_python, run_command and write_file make it when it is new. "
    "It outlives this server, until it is closed or has been idle for long; the default one does not.";
static const char named_words[] =
    "The session: the session_id of a result, or a name of one's own. execute_python, run_command and write_file make "
    "it when it is new, and without session_id make one each time, whose id is in the result. It lives until it is "
    "closed or has been idle for long.";
static const char *const encodings[] = {"text", "base64", NULL};

#define SESSION {"session_id", NAME, FALSE, session_words, NULL}
#define TIMEOUT {"timeout_s", SECONDS, FALSE, "Stop after this many seconds, if that is sooner than the limit.", NULL}
#define END {NULL, TEXT, FALSE, NULL, NULL}

static const struct argument execute_arguments[] = {
    {"code", TEXT, TRUE, "Python source. Its last expression's value comes back, as at a prompt.", NULL},
    SESSION,
    TIMEOUT,
    END};
static const struct argument command_arguments[] = {
    {"command", TEXT, TRUE, "A line for /bin/sh.", NULL},
    {"cwd", TEXT, FALSE, "Where it runs: absolute, or below /sandbox, which is the default.", NULL},
    {"stdin", TEXT, FALSE, "Its standard input; empty by default.", NULL},
    SESSION,
    TIMEOUT,
    END};
static const struct argument list_arguments[] = {
    {"path", TEXT, FALSE, "A directory below /sandbox; all of it by default.", NULL}, SESSION, END};
static const struct argument read_arguments[] = {
    {"path", TEXT, TRUE, "A file below /sandbox.", NULL},
    {"offset", COUNT, FALSE, "The byte to begin with; 0 by default. `next_offset` of the result goes on.", NULL},
    {"limit", COUNT, FALSE, "Bytes at most; 20000 by default, which is also the most.", NULL},
    {"encoding", CHOICE, FALSE, "text (default), or base64 for the bytes of any file.", encodings},
    SESSION,
    END};
static const struct argument write_arguments[] = {
    {"path", TEXT, TRUE, "A file below /sandbox; it is replaced, and directories above it are made.", NULL},
    {"content", TEXT, TRUE, "All of its content.", NULL},
    {"encoding", CHOICE, FALSE, "What `content` is: text (default), or base64 of the bytes.", encodings},
    SESSION,
    END};
static const struct argument session_arguments[] = {SESSION, END};
static const struct argument close_arguments[] = {
    {"delete_files", FLAG, FALSE, "Delete the session's files, too; false by default.", NULL}, SESSION, END};

/* --- results ------------------------------------------------------------------- */

#define OBJECT(required, properties)                                                                                   \
    "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[" required "],\"properties\":{" properties "}}"
#define STRING "{\"type\":\"string\"}"
#define STRING_OR_NULL "{\"type\":[\"string\",\"null\"]}"
#define NUMBER "{\"type\":\"integer\"}"
#define NUMBER_OR_NULL "{\"type\":[\"integer\",\"null\"]}"
#define BOOL "{\"type\":\"boolean\"}"
#define STRINGS "{\"type\":\"array\",\"items\":" STRING "}"
#define ID "\"session_id\":{\"type\":\"string\",\"pattern\":\"" NAME_PATTERN "\"}"

/* What code and commands have in common. */
#define RAN_REQUIRED                                                                                                   \
    "\"session_id\",\"status\",\"exit_code\",\"message\",\"stdout\",\"stdout_truncated\",\"stderr\",\"stderr_"         \
    "truncated\","                                                                                                     \
    "\"files\",\"wall_ms\",\"memory_peak_bytes\""
#define RAN                                                                                                            \
    ID ",\"status\":{\"enum\":[\"ok\",\"error\",\"timeout\",\"oom\",\"signal\",\"output_limit\",\"disk_limit\","       \
       "\"cancelled\",\"lost\",\"refused\"]},\"exit_code\":" NUMBER_OR_NULL ",\"message\":" STRING_OR_NULL             \
       ",\"stdout\":" STRING ",\"stdout_truncated\":" BOOL ",\"stderr\":" STRING ",\"stderr_truncated\":" BOOL         \
       ",\"files\":" OBJECT("\"created\",\"modified\",\"deleted\",\"truncated\"",                                      \
                            "\"created\":" STRINGS ",\"modified\":" STRINGS ",\"deleted\":" STRINGS                    \
                            ",\"truncated\":" BOOL) ",\"wall_ms\":" NUMBER_OR_NULL                                     \
                                                    ",\"memory_peak_bytes\":" NUMBER_OR_NULL

static const char execute_output[] =
    OBJECT(RAN_REQUIRED ",\"results\",\"figures\",\"error\",\"variables\"",
           RAN ",\"results\":" STRINGS ",\"figures\":" NUMBER ",\"error\":{\"anyOf\":[{\"type\":\"null\"}," OBJECT(
               "\"name\",\"value\",\"traceback\"",
               "\"name\":" STRING ",\"value\":" STRING
               ",\"traceback\":" STRING) "]},\"variables\":{\"enum\":[\"kept\",\"rolled_back\",\"lost\",null]}");
static const char command_output[] = OBJECT(RAN_REQUIRED, RAN);
static const char list_output[] = OBJECT(
    "\"session_id\",\"files\",\"truncated\"",
    ID ",\"files\":{\"type\":\"array\",\"items\":" OBJECT(
        "\"path\",\"type\",\"size\"",
        "\"path\":" STRING
        ",\"type\":{\"enum\":[\"file\",\"directory\",\"link\",\"other\"]},\"size\":" NUMBER) "},\"truncated\":" BOOL);
static const char read_output[] =
    OBJECT("\"session_id\",\"path\",\"size\",\"offset\",\"next_offset\",\"text\",\"base64\"",
           ID ",\"path\":" STRING ",\"size\":" NUMBER ",\"offset\":" NUMBER ",\"next_offset\":" NUMBER_OR_NULL
              ",\"text\":" STRING_OR_NULL ",\"base64\":" STRING_OR_NULL);
static const char write_output[] =
    OBJECT("\"session_id\",\"path\",\"size\"", ID ",\"path\":" STRING ",\"size\":" NUMBER);
static const char variables_output[] =
    OBJECT("\"session_id\",\"variables\",\"truncated\"", ID
           ",\"variables\":{\"type\":\"array\",\"items\":" OBJECT("\"name\",\"type\",\"repr\"",
                                                                  "\"name\":" STRING ",\"type\":" STRING
                                                                  ",\"repr\":" STRING_OR_NULL) "},\"truncated\":" BOOL);
static const char reset_output[] = OBJECT("\"session_id\",\"reset\"", ID ",\"reset\":" BOOL);
static const char close_output[] =
    OBJECT("\"session_id\",\"closed\",\"files_deleted\"", ID ",\"closed\":" BOOL ",\"files_deleted\":" BOOL);

/* Without a default one, a session has to be named where there must be one. */
static gboolean is_needed(const struct mcp_tool *tool, const struct argument *argument, const struct mcp_setup *setup)
{
    return argument->needed || (argument->kind == NAME && setup->session == NULL && !tool->makes);
}

/* --- what a model is told -------------------------------------------------------- */

static void append_network(GString *text, const struct mcp_setup *setup)
{
    if (strcmp(setup->network, "none") == 0)
        g_string_append(text, " There is no network, so nothing can be downloaded or installed.");
    else
        g_string_append_printf(text, " Network: %s.", setup->network);
}

/* Where a session is found again. */
static void append_sessions(GString *text, const struct mcp_setup *setup)
{
    if (setup->session == NULL)
        g_string_append_printf(text,
                               " The result has a session_id: give it in later calls, or they are about another, new "
                               "session. One that is idle for %s ends.",
                               setup->idle);
}

static void append_limits(GString *text, const struct mcp_setup *setup)
{
    g_string_append_printf(text, " Limits: %s for one call, %s of memory, %s processor%s, %s of files.", setup->timeout,
                           setup->memory, setup->cpus, strcmp(setup->cpus, "1") == 0 ? "" : "s", setup->disk);
    append_network(text, setup);
    if (strcmp(setup->binds, "[]") != 0)
        g_string_append(text, " Directories of the host are mounted.");
    if (setup->unenforced != NULL)
        g_string_append_printf(text, " Not every engine has all limits in force here: %s may be missing.",
                               setup->unenforced);
}

static char *describe_execute(const struct mcp_setup *setup)
{
    GString *text =
        g_string_new("Run Python code in a sandbox, which is a container. Variables and imports stay from call to "
                     "call, and so do files in /sandbox, its working directory. "
                     "What it prints, the value of its last expression and every matplotlib figure come back.");
    append_sessions(text, setup);
    append_limits(text, setup);
    g_string_append_printf(text, " Packages are those of the image %s.", setup->image);
    if (strcmp(setup->preload, "none") != 0)
        g_string_append_printf(text, " Already imported, so that importing costs nothing: %s.", setup->preload);
    g_string_append(text,
                    " Variables survive an exception; where a call is stopped, its result says what became of them.");
    return g_string_free(text, FALSE);
}

static char *describe_command(const struct mcp_setup *setup)
{
    GString *text = g_string_new("Run a shell command in the same sandbox, beside the Python session and its files in "
                                 "/sandbox. It ends with all that it has started.");
    append_limits(text, setup);
    return g_string_free(text, FALSE);
}

static char *describe_list(const struct mcp_setup *setup)
{
    (void) setup;
    return g_strdup("List the session's files: all that is below a directory of /sandbox, 500 at most.");
}

static char *describe_read(const struct mcp_setup *setup)
{
    (void) setup;
    return g_strdup("Read a file of the session. PNG, JPEG, GIF and WebP come back as a picture.");
}

static char *describe_write(const struct mcp_setup *setup)
{
    return g_strdup_printf("Write a file into the session's /sandbox, where code finds it. All files together: %s.",
                           setup->disk);
}

static char *describe_variables(const struct mcp_setup *setup)
{
    (void) setup;
    return g_strdup("List the session's Python variables with type and a short form of the value.");
}

static char *describe_reset(const struct mcp_setup *setup)
{
    (void) setup;
    return g_strdup("Start the session's Python anew: variables and imports go, files stay.");
}

static char *describe_close(const struct mcp_setup *setup)
{
    (void) setup;
    return g_strdup(
        "End a session that is not needed any more, with its container and variables. Its files stay unless "
        "delete_files says otherwise.");
}

char *mcp_instructions(const struct mcp_setup *setup)
{
    GString *text = g_string_new("Runs Python code and shell commands in a sandbox. ");
    g_string_append(text, setup->session != NULL
                              ? "One session is there by default and keeps variables and files in /sandbox from call to "
                                "call; session_id names others."
                              : "A session keeps variables and files in /sandbox from call to call.");
    append_sessions(text, setup);
    append_limits(text, setup);
    return g_string_free(text, FALSE);
}

/* The order is the one in which clients get them. */
static const struct mcp_tool tools[] = {
    {"execute_python", "Run Python", describe_execute, execute_arguments, execute_output, FALSE, TRUE, tool_execute_python},
    {"run_command", "Run a command", describe_command, command_arguments, command_output, FALSE, TRUE, tool_run_command},
    {"list_files", "List files", describe_list, list_arguments, list_output, TRUE, FALSE, tool_list_files},
    {"read_file", "Read a file", describe_read, read_arguments, read_output, TRUE, FALSE, tool_read_file},
    {"write_file", "Write a file", describe_write, write_arguments, write_output, FALSE, TRUE, tool_write_file},
    {"get_variables", "List variables", describe_variables, session_arguments, variables_output, TRUE, FALSE,
     tool_get_variables},
    {"reset_session", "Reset a session", describe_reset, session_arguments, reset_output, FALSE, FALSE, tool_reset_session},
    {"close_session", "Close a session", describe_close, close_arguments, close_output, FALSE, FALSE, tool_close_session},
};

const struct mcp_tool *mcp_tool_find(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(tools); i++)
        if (strcmp(name, tools[i].name) == 0)
            return &tools[i];
    return NULL;
}

void (*mcp_tool_work(const struct mcp_tool *tool))(struct mcp_work *work) { return tool->work; }

/* --- arguments ------------------------------------------------------------------- */

static gboolean is_choice(const char *const *choices, const char *text) { return g_strv_contains(choices, text); }

static gboolean is_name(const char *text, gsize size)
{
    gboolean good = size >= 1 && size <= 64 && g_ascii_isalnum(text[0]);
    for (gsize i = 0; good && i < size; i++)
        good = g_ascii_isalnum(text[i]) || (text[i] != '\0' && strchr("_.-", text[i]) != NULL);
    return good;
}

/* What it must be; NULL: that is what it is. */
static const char *check_value(const struct argument *argument, const struct mcp_setup *setup,
                               struct json_object *value)
{
    gboolean text = json_object_is_type(value, json_type_string), whole = json_object_is_type(value, json_type_int);
    double number = whole || json_object_is_type(value, json_type_double) ? json_object_get_double(value) : NAN;
    switch (argument->kind) {
    case TEXT:
        return text ? NULL : "a text";
    case NAME:
        return text && is_name(json_object_get_string(value), (gsize) json_object_get_string_len(value))
                   ? NULL
                   : "a name of 1 to 64 letters, digits and _.-, the first a letter or digit";
    case SECONDS:
        return number >= 0.01 && number <= setup->timeout_seconds
                   ? NULL
                   : "a number of seconds from 0.01 to the limit of one call";
    case COUNT:
        return whole && number >= 0 && number <= COUNT_MAX ? NULL : "a whole number, 0 or more";
    case FLAG:
        return json_object_is_type(value, json_type_boolean) ? NULL : "true or false";
    case CHOICE:
    default:
        return text && is_choice(argument->choices, json_object_get_string(value)) ? NULL : "\"text\" or \"base64\"";
    }
}

static const struct argument *find_argument(const struct mcp_tool *tool, const char *name)
{
    for (const struct argument *argument = tool->arguments; argument->name != NULL; argument++)
        if (strcmp(argument->name, name) == 0)
            return argument;
    return NULL;
}

static char *names_of(const struct mcp_tool *tool)
{
    GString *names = g_string_new(NULL);
    for (const struct argument *argument = tool->arguments; argument->name != NULL; argument++)
        g_string_append_printf(names, "%s%s", names->len > 0 ? ", " : "", argument->name);
    return g_string_free(names, FALSE);
}

char *mcp_tool_check(const struct mcp_tool *tool, const struct mcp_setup *setup, struct json_object *arguments)
{
    if (arguments != NULL) {
        json_object_object_foreach (arguments, name, value) {
            const struct argument *argument = find_argument(tool, name);
            const char *must = argument != NULL ? check_value(argument, setup, value) : NULL;
            g_autofree char *shown = dsb_quoted(name);
            if (argument == NULL) {
                g_autofree char *names = names_of(tool);
                return g_strdup_printf("%s has no argument %s; it has %s", tool->name, shown, names);
            }
            if (must != NULL && argument->kind == SECONDS)
                return g_strdup_printf("%s must be %s, which is %s", name, must, setup->timeout);
            if (must != NULL)
                return g_strdup_printf("%s must be %s", name, must);
        }
    }
    for (const struct argument *argument = tool->arguments; argument->name != NULL; argument++)
        if (is_needed(tool, argument, setup) && !json_object_object_get_ex(arguments, argument->name, NULL))
            return g_strdup_printf("%s needs the argument %s", tool->name, argument->name);
    return NULL;
}

/* --- the list -------------------------------------------------------------------- */

static struct json_object *schema_of(const struct argument *argument, const struct mcp_setup *setup)
{
    static const char *const types[] = {[TEXT] = "string",   [NAME] = "string",  [SECONDS] = "number",
                                        [COUNT] = "integer", [FLAG] = "boolean", [CHOICE] = "string"};
    struct json_object *schema = json_object_new_object();
    json_add(schema, "type", types[argument->kind]);
    gboolean named = argument->kind == NAME && setup->session == NULL;
    json_add(schema, "description", named ? named_words : argument->description);
    if (argument->kind == NAME)
        json_add(schema, "pattern", NAME_PATTERN);
    if (argument->kind == SECONDS) {
        json_object_object_add(schema, "minimum", json_object_new_double_s(0.01, "0.01"));
        json_object_object_add(schema, "maximum", json_object_new_double(setup->timeout_seconds));
    }
    if (argument->kind == COUNT) {
        json_add_int(schema, "minimum", 0);
        json_add_int(schema, "maximum", COUNT_MAX);
    }
    if (argument->kind == CHOICE) {
        struct json_object *choices = json_object_new_array();
        for (const char *const *choice = argument->choices; *choice != NULL; choice++)
            json_object_array_add(choices, json_object_new_string(*choice));
        json_object_object_add(schema, "enum", choices);
    }
    return schema;
}

static struct json_object *input_of(const struct mcp_tool *tool, const struct mcp_setup *setup)
{
    struct json_object *schema = json_object_new_object(), *properties = json_object_new_object();
    struct json_object *needed = json_object_new_array();
    for (const struct argument *argument = tool->arguments; argument->name != NULL; argument++) {
        json_object_object_add(properties, argument->name, schema_of(argument, setup));
        if (is_needed(tool, argument, setup))
            json_object_array_add(needed, json_object_new_string(argument->name));
    }
    json_add(schema, "type", "object");
    json_object_object_add(schema, "properties", properties);
    json_object_object_add(schema, "required", needed);
    json_add_bool(schema, "additionalProperties", FALSE);
    return schema;
}

static struct json_object *tool_object(const struct mcp_tool *tool, const struct mcp_setup *setup)
{
    struct json_object *object = json_object_new_object(), *hints = json_object_new_object();
    g_autofree char *description = tool->describe(setup);
    json_add(object, "name", tool->name);
    json_add(object, "title", tool->title);
    json_add(object, "description", description);
    json_object_object_add(object, "inputSchema", input_of(tool, setup));
    json_add_raw(object, "outputSchema", tool->output);
    json_add_bool(hints, "readOnlyHint", tool->only_reads);
    json_add_bool(hints, "destructiveHint", !tool->only_reads);
    json_add_bool(hints, "openWorldHint", !tool->only_reads && strcmp(setup->network, "none") != 0);
    json_object_object_add(object, "annotations", hints);
    return object;
}

struct json_object *mcp_tools_list(const struct mcp_setup *setup)
{
    struct json_object *result = json_object_new_object(), *list = json_object_new_array();
    for (gsize i = 0; i < G_N_ELEMENTS(tools); i++)
        json_object_array_add(list, tool_object(&tools[i], setup));
    json_object_object_add(result, "tools", list);
    return result;
}
