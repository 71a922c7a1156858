/* SPDX-License-Identifier: MIT */
/* The options of all verbs in one table, and the command line by it. */
#include "command_line.h"

#include "nearest.h"

#include <string.h>

static struct cli parsed;
static GPtrArray *set_list; /* of the keys: struct cli's `set` */

static const struct option ours[] = {
    {"code", 'c', OPTION_CODE, &parsed.code, "CODE", "run this code", FALSE, NULL},
    {"session", 's', OPTION_TEXT, &parsed.session, "ID", "in this session, whose variables and files stay", FALSE, NULL},
    {"in", 0, OPTION_TEXTS, &parsed.in, "SRC[:DEST]", "a read-only copy of this file or directory in /sandbox",
     FALSE, "files of a session: dsandbox cp SRC SESSION:PATH, and back"},
    {"out", 0, OPTION_TEXT, &parsed.out, "DIR", "what the code made in /sandbox comes here",
     FALSE, "files of a session: dsandbox cp SESSION:PATH DEST"},
    {"figures", 0, OPTION_TEXT, &parsed.figures, "DIR", "its pictures as files", FALSE, NULL},
    {"env", 'e', OPTION_TEXTS, &parsed.env, "K=V", "environment variable for the code", FALSE, NULL},
    {"stdin", 0, OPTION_TEXT, &parsed.stdin_file, "FILE", "standard input of the code (-: ours)", FALSE, NULL},
    {"interactive", 'i', OPTION_FLAG, &parsed.interactive, NULL, "the code reads our standard input", FALSE, NULL},
    {"cwd", 0, OPTION_TEXT, &parsed.cwd, "DIR", "where a command begins (/sandbox)", FALSE, NULL},
    {"tty", 't', OPTION_FLAG, &parsed.tty, NULL, "a command has our terminal (-it: with our keys)", FALSE, NULL},
    {"no-wait", 0, OPTION_FLAG, &parsed.no_wait, NULL, "fail when the session is busy", FALSE, NULL},
    {"no-service", 0, OPTION_FLAG, &parsed.no_service, NULL, "do not use the per-user service", FALSE, "it needs the service"},
    {"exist-ok", 0, OPTION_FLAG, &parsed.exist_ok, NULL, "one that is there will do", FALSE, NULL},
    {"all", 'a', OPTION_FLAG, &parsed.all, NULL, "all of them", FALSE, NULL},
    {"files", 0, OPTION_FLAG, &parsed.files, NULL, "their files, too", FALSE, NULL},
    {"label", 'l', OPTION_TEXTS, &parsed.labels, "K=V", "label of a session; ls, rm: only those with it", FALSE, NULL},
    {"recursive", 'r', OPTION_FLAG, &parsed.recursive, NULL, "directories with what is in them", FALSE, NULL},
    {"from-packages", 0, OPTION_FLAG, &parsed.from_packages, NULL, "from the distribution's packages", FALSE, NULL},
    {"tag", 0, OPTION_TEXT, &parsed.tag, "NAME", "its name (" DSB_DEFAULT_IMAGE "); -t", FALSE, NULL},
    {"file", 'f', OPTION_TEXT, &parsed.file, "FILE", "Dockerfile or root tarball", FALSE, NULL},
    {"dry-run", 'n', OPTION_FLAG, &parsed.dry_run, NULL, "only say what would go", FALSE, NULL},
    {"backend", 'b', OPTION_TEXT, &parsed.backend, "NAME", "docker-api, docker-cli, podman, oci or auto (auto)", FALSE, NULL},
    {"plugin", 0, OPTION_TEXT, &parsed.plugin, "PATH", "backend from this plugin file", FALSE, NULL},
    {"host", 'H', OPTION_TEXT, &parsed.host, "URL", "engine's address: unix:///…, tcp://…", FALSE, NULL},
    {"engine-timeout", 0, OPTION_TEXT, &parsed.engine_timeout, "SECONDS", "deadline of one engine call (60)", FALSE, NULL},
    {"base-dir", 0, OPTION_TEXT, &parsed.base_dir, "DIR", "where session directories are (/tmp/sandboxes)", FALSE, NULL},
    {"image", 0, OPTION_TEXT, &parsed.image, "REF", "image (" DSB_DEFAULT_IMAGE ")", FALSE, NULL},
    {"checkpoint", 0, OPTION_TEXT, &parsed.checkpoint, "WHEN", "copies of the variables: idle, always, off (idle)", FALSE, NULL},
    {"policy", 0, OPTION_TEXT, &parsed.policy_file, "FILE", "policy file", FALSE, NULL},
    {"allow-unenforced", 0, OPTION_TEXT, &parsed.allow, "NAMES", "controls that may be missing", FALSE, NULL},
    {"output", 'o', OPTION_TEXT, &parsed.format, "FORMAT", "table or json; history: py or ipynb, too", TRUE, NULL},
    {"json", 0, OPTION_FLAG, &parsed.json, NULL, "one JSON object on standard output", TRUE, NULL},
    {"verbose", 'v', OPTION_FLAG, &parsed.verbose, NULL, "say what is done and why", TRUE, NULL},
    {"help", 'h', OPTION_FLAG, &parsed.help, NULL, "this text", TRUE, NULL},
    {"version", 'V', OPTION_FLAG, &parsed.version, NULL, "the version", TRUE, NULL},
};

/* Our options, then the policy's keys that are options. An option is called as its key, but with dashes. */
static GArray *make_options(void)
{
    GArray *all = g_array_new(TRUE, TRUE, sizeof(struct option));
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    g_autoptr(GPtrArray) rows = dsb_policy_rows(policy);
    g_array_append_vals(all, ours, G_N_ELEMENTS(ours));
    for (guint i = 0; i < rows->len; i++) {
        const struct dsb_policy_row *row = rows->pdata[i];
        if (!row->option)
            continue;
        const struct option key = {
            .name = g_strdelimit(g_strdup(row->key), "_", '-'),
            .kind = OPTION_KEY,
            .argument = g_strdup(row->argument),
            .help = g_strdup_printf("%s (%s)", row->help, row->value),
        };
        g_array_append_val(all, key);
    }
    return all;
}

const struct option *command_line_options(gsize *n)
{
    static GArray *all;
    if (all == NULL)
        all = make_options();
    *n = all->len;
    return (const struct option *) (const void *) all->data;
}

const struct option *command_line_option(const char *name)
{
    gsize n;
    const struct option *all = command_line_options(&n);
    for (gsize i = 0; i < n; i++)
        if (strcmp(all[i].name, name) == 0 || (name[0] == all[i].letter && name[0] != '\0' && name[1] == '\0'))
            return &all[i];
    return NULL;
}

gboolean command_line_has(const struct option *option)
{
    switch (option->kind) {
    case OPTION_FLAG:
        return *(const gboolean *) option->value;
    case OPTION_TEXT:
    case OPTION_CODE:
        return *(char *const *) option->value != NULL;
    case OPTION_TEXTS:
        return *(char **const *) option->value != NULL;
    case OPTION_KEY:
        break;
    }
    g_autofree char *key = g_strdelimit(g_strdup(option->name), "-", '_');
    return cli_is_set(&parsed, key);
}

/* --- operands, before anything is parsed ---------------------------------------- */

const struct option *command_line_wants(const char *argument)
{
    const struct option *option = NULL;
    if (argument[0] != '-')
        return NULL;
    if (argument[1] == '-')
        option = command_line_option(argument + 2);
    for (const char *letter = argument + 1; argument[1] != '-' && *letter != '\0' && option == NULL; letter++) {
        const struct option *one = command_line_option((const char[]){*letter, '\0'});
        if (one == NULL || (one->argument != NULL && letter[1] != '\0'))
            return NULL;
        option = one->argument != NULL ? one : NULL;
    }
    return option != NULL && option->argument != NULL ? option : NULL;
}

int command_line_operand(char **argv, int from)
{
    for (int i = MAX(from, 1); argv[i] != NULL && strcmp(argv[i], "--") != 0; i++) {
        if (argv[i][0] != '-' || argv[i][1] == '\0')
            return i;
        if (command_line_wants(argv[i]) != NULL && argv[++i] == NULL)
            return 0;
    }
    return 0;
}

/* -t is short for --tag there, and for --tty elsewhere, as those who know other programs have it in their fingers. */
static gboolean builds_image(char **argv)
{
    int verb = command_line_operand(argv, 1), second = verb > 0 ? command_line_operand(argv, verb + 1) : 0;
    return second > 0 && strcmp(argv[verb], "image") == 0 && strcmp(argv[second], "build") == 0;
}

gboolean command_line_asks_for_json(char **argv)
{
    static const char *const words[] = {"--json", "--output=json", "-ojson", "-o=json", NULL};
    for (char **arg = argv; *arg != NULL && strcmp(*arg, "--") != 0; arg++)
        if (g_strv_contains(words, *arg) ||
            ((strcmp(*arg, "-o") == 0 || strcmp(*arg, "--output") == 0) && g_strcmp0(arg[1], "json") == 0))
            return TRUE;
    return FALSE;
}

/* --- parsing -------------------------------------------------------------------- */

static gboolean on_key(const char *name, const char *value, gpointer data, GError **error)
{
    (void) data;
    (void) error;
    g_ptr_array_add(set_list, g_strdelimit(g_strdup(name + 2), "-", '_'));
    g_ptr_array_add(set_list, g_strdup(value));
    g_ptr_array_add(set_list, g_strdup(name));
    return TRUE;
}

static gboolean on_code(const char *name, const char *value, gpointer data, GError **error)
{
    (void) name;
    (void) data;
    if (parsed.code != NULL) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "-c is given twice");
        return FALSE;
    }
    parsed.code = g_strdup(value);
    return TRUE;
}

/* FILENAME everywhere: bytes as they are. GLib would convert others from the locale, and fail in "C". */
static GOptionEntry entry_of(const struct option *option, gboolean image_build)
{
    GOptionEntry entry = {.long_name = option->name, .short_name = option->letter, .arg_data = option->value};
    if (image_build && (option->value == &parsed.tag || option->value == &parsed.tty))
        entry.short_name = option->value == &parsed.tag ? 't' : 0;
    switch (option->kind) {
    case OPTION_FLAG:
        entry.arg = G_OPTION_ARG_NONE;
        break;
    case OPTION_TEXT:
        entry.arg = G_OPTION_ARG_FILENAME;
        break;
    case OPTION_TEXTS:
        entry.arg = G_OPTION_ARG_FILENAME_ARRAY;
        break;
    case OPTION_CODE:
    case OPTION_KEY:
        entry.arg = G_OPTION_ARG_CALLBACK;
        entry.flags = G_OPTION_FLAG_FILENAME;
        entry.arg_data = (gpointer) (void (*)(void)) (option->kind == OPTION_KEY ? on_key : on_code);
        break;
    }
    return entry;
}

static GOptionContext *make_context(gboolean image_build)
{
    gsize n;
    const struct option *all = command_line_options(&n);
    g_autoptr(GArray) entries = g_array_new(TRUE, TRUE, sizeof(GOptionEntry));
    for (gsize i = 0; i < n; i++) {
        const GOptionEntry entry = entry_of(&all[i], image_build);
        g_array_append_val(entries, entry);
    }
    const GOptionEntry rest = {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &parsed.args, NULL, NULL};
    g_array_append_val(entries, rest);
    GOptionContext *context = g_option_context_new(NULL);
    g_option_context_add_main_entries(context, (const GOptionEntry *) (const void *) entries->data, NULL);
    g_option_context_set_help_enabled(context, FALSE);
    return context;
}

/* "--" is ours to handle: what follows it is no option, whatever it looks like. */
static char **split_program_args(char **argv)
{
    for (char **arg = argv + 1; *arg != NULL; arg++)
        if (strcmp(*arg, "--") == 0) {
            char **rest = g_strdupv(arg + 1);
            for (char **old = arg; *old != NULL; old++)
                g_clear_pointer(old, g_free);
            return rest;
        }
    return NULL;
}

/* Verbs that run no code have none to give arguments to: what follows "--" are their operands. */
static void join_operands(void)
{
    const char *verb = parsed.args != NULL ? parsed.args[0] : NULL;
    if (verb == NULL || parsed.program_args == NULL || strcmp(verb, "run") == 0 || strcmp(verb, "exec") == 0)
        return;
    g_autoptr(GStrvBuilder) all = g_strv_builder_new();
    g_strv_builder_addv(all, (const char **) parsed.args);
    g_strv_builder_addv(all, (const char **) parsed.program_args);
    g_strfreev(parsed.args);
    g_clear_pointer(&parsed.program_args, g_strfreev);
    parsed.args = g_strv_builder_end(all);
}

/* A long option that nobody has, and the one that may have been meant. */
static gboolean refuse_unknown(char **argv, GError **error)
{
    gsize n;
    const struct option *all = command_line_options(&n);
    for (char **arg = argv + 1; *arg != NULL; arg++) {
        g_autofree char *name = g_str_has_prefix(*arg, "--") ? g_strndup(*arg + 2, strcspn(*arg + 2, "=")) : NULL;
        arg += command_line_wants(*arg) != NULL && arg[1] != NULL;
        if (name == NULL || command_line_option(name) != NULL)
            continue;
        struct nearest near = nearest_to(name);
        for (gsize i = 0; i < n; i++)
            nearest_try(&near, all[i].name);
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "bad option: there is no --%.100s%s%s%s", name,
                    near.best != NULL ? "; did you mean --" : "", near.best != NULL ? near.best : "",
                    near.best != NULL ? "?" : "; see 'dsandbox --help'");
        return FALSE;
    }
    return TRUE;
}

gboolean command_line_parse(struct cli *cli, char **argv, GError **error)
{
    g_autoptr(GError) local = NULL;
    g_auto(GStrv) args = g_strdupv(argv);
    set_list = g_ptr_array_new();
    parsed.program_args = split_program_args(args);
    g_autoptr(GOptionContext) context = make_context(builds_image(args));
    g_auto(GStrv) rest = g_strdupv(args);
    if (!g_option_context_parse_strv(context, &rest, &local)) {
        if (!g_error_matches(local, G_OPTION_ERROR, G_OPTION_ERROR_UNKNOWN_OPTION) || refuse_unknown(args, error))
            g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "bad option: %s; see 'dsandbox --help'", local->message);
        return FALSE;
    }
    g_ptr_array_add(set_list, NULL);
    parsed.set = (char **) set_list->pdata;
    join_operands();
    *cli = parsed;
    return TRUE;
}
