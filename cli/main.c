/* SPDX-License-Identifier: MIT */
/* The program: its options, its verbs and their help. */
#include "cli.h"

#include "outcome.h"
#include "common/words.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <unistd.h>

#define ADDRESS_SPACE_MIN (64u << 20)

static const char usage_text[] =
    "Usage: dsandbox [OPTIONS] VERB [OPERANDS]\n"
    "\n"
    "  run [FILE | - | -c CODE] [-- ARGS]   run Python code in a fresh sandbox (no verb: from standard input)\n"
    "  run -- CMD [ARG...]                  run a program in a fresh sandbox (exec SESSION -- CMD: in a session)\n"
    "  repl                                 a Python prompt in a sandbox (no verb, on a terminal: this)\n"
    "  exec SESSION [FILE | - | -c CODE]    run code in a session, whose variables and files stay\n"
    "  session new [ID] | ls | show ID      make a session, list them, show one\n"
    "  session vars | files | history ID    what is in it and what ran in it (history -o py, -o ipynb: as a program)\n"
    "  session interrupt | reset ID         stop what runs; a fresh interpreter\n"
    "  session save | restore ID            variables to a file in the session and back\n"
    "  session branch ID NEW                another session with its settings, files and variables\n"
    "  session export | import ID [FILE]    its files as a tar file and back\n"
    "  session rm ID...                     end sessions (--files: delete their files, too)\n"
    "  cp SRC SESSION:PATH                  copy files into a session; the other way round: out of it\n"
    "  backend ls | backend show NAME       container backends and whether their engine answers\n"
    "  policy show | policy check FILE      the effective policy and where each value comes from\n"
    "  pool ls                              the sandboxes that wait ready in the service\n"
    "  image build                          make the sandbox image\n"
    "  doctor                               check this machine\n"
    "  gc                                   remove what dead runs left\n"
    "  mcp                                  sessions for a model: an MCP server on standard input and output\n"
    "  serve                                the per-user service (see 'dsandbox serve --help')\n"
    "  conformance                          prove that a backend keeps the policy (see 'dsandbox conformance --help')\n"
    "  version\n";

static struct cli cli = {0};
static GPtrArray *set_list;

/* An option is called as its key, but with dashes. */
static gboolean on_policy_option(const char *name, const char *value, gpointer data, GError **error)
{
    (void) data;
    (void) error;
    g_ptr_array_add(set_list, g_strdelimit(g_strdup(name + 2), "-", '_'));
    g_ptr_array_add(set_list, g_strdup(value));
    g_ptr_array_add(set_list, g_strdup(name));
    return TRUE;
}

static const char *keep(GPtrArray *texts, char *text)
{
    g_ptr_array_add(texts, text);
    return text;
}

/* The options that are policy keys. GLib keeps the entries, but not their texts, which `texts` has. */
static void add_policy_options(GOptionContext *context, GPtrArray *texts)
{
    g_autoptr(dsb_policy) policy = dsb_policy_new();
    g_autoptr(GPtrArray) rows = dsb_policy_rows(policy);
    for (guint i = 0; i < rows->len; i++) {
        const struct dsb_policy_row *row = rows->pdata[i];
        const GOptionEntry entry[] = {
            {.long_name = keep(texts, g_strdelimit(g_strdup(row->key), "_", '-')),
             .flags = G_OPTION_FLAG_FILENAME,
             .arg = G_OPTION_ARG_CALLBACK,
             .arg_data = (gpointer) (void (*)(void)) on_policy_option,
             .description = keep(texts, g_strdup_printf("%s (%s)", row->help, row->value)),
             .arg_description = keep(texts, g_strdup(row->argument))},
            G_OPTION_ENTRY_NULL,
        };
        if (row->option)
            g_option_context_add_main_entries(context, entry, NULL);
    }
}

static gboolean on_code(const char *name, const char *value, gpointer data, GError **error)
{
    (void) name;
    (void) data;
    if (cli.code != NULL) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "-c is given twice");
        return FALSE;
    }
    cli.code = g_strdup(value);
    return TRUE;
}

/* -t is short for --tag there, and for --tty elsewhere, as those who know other programs have it in their fingers. */
static gboolean builds_image(char **args)
{
    gboolean image = FALSE;
    for (char **arg = args + 1; *arg != NULL; arg++) {
        if (image && strcmp(*arg, "build") == 0)
            return TRUE;
        image |= strcmp(*arg, "image") == 0;
    }
    return FALSE;
}

static GOptionContext *make_context(gboolean image_build)
{
    /* FILENAME everywhere: bytes as they are. GLib would convert others from the locale, and fail in "C". */
    const GOptionEntry entries[] = {
        {"backend", 'b', 0, G_OPTION_ARG_FILENAME, &cli.backend, "backend: docker-api, docker-cli, podman, oci, auto",
         "NAME"},
        {"plugin", 0, 0, G_OPTION_ARG_FILENAME, &cli.plugin, "backend from this plugin file (absolute path)", "PATH"},
        {"host", 'H', 0, G_OPTION_ARG_FILENAME, &cli.host, "engine address: unix:///…, tcp://…", "URL"},
        {"code", 'c', G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, (gpointer) (void (*)(void)) on_code,
         "run this code", "CODE"},
        {"session", 's', 0, G_OPTION_ARG_FILENAME, &cli.session, "session id: keep variables and files", "ID"},
        {"base-dir", 0, 0, G_OPTION_ARG_FILENAME, &cli.base_dir, "where session directories are (/tmp/sandboxes, or your own /tmp/sandboxes-UID)",
         "DIR"},
        {"image", 0, 0, G_OPTION_ARG_FILENAME, &cli.image, "image (" DSB_DEFAULT_IMAGE ")", "REF"},
        {"env", 'e', 0, G_OPTION_ARG_FILENAME_ARRAY, &cli.env, "environment variable for the code", "K=V"},
        {"cwd", 0, 0, G_OPTION_ARG_FILENAME, &cli.cwd, "where a command begins, in the sandbox (/sandbox)", "DIR"},
        {"in", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &cli.in, "run: a read-only copy of this file or directory in /sandbox",
         "SRC[:DEST]"},
        {"out", 0, 0, G_OPTION_ARG_FILENAME, &cli.out, "run: what the code made in /sandbox comes here", "DIR"},
        {"figures", 0, 0, G_OPTION_ARG_FILENAME, &cli.figures, "run, exec: its pictures as files", "DIR"},
        {"stdin", 0, 0, G_OPTION_ARG_FILENAME, &cli.stdin_file, "standard input of the code (-: ours)", "FILE"},
        {"policy", 0, 0, G_OPTION_ARG_FILENAME, &cli.policy_file, "policy file", "FILE"},
        {"allow-unenforced", 0, 0, G_OPTION_ARG_FILENAME, &cli.allow, "controls that may be missing", "NAMES"},
        {"engine-timeout", 0, 0, G_OPTION_ARG_FILENAME, &cli.engine_timeout, "deadline of one engine call (60)",
         "SECONDS"},
        {"label", 'l', 0, G_OPTION_ARG_FILENAME_ARRAY, &cli.labels, "label of a session; ls, rm: only those with it",
         "K=V"},
        {"interactive", 'i', 0, G_OPTION_ARG_NONE, &cli.interactive, "the code reads our standard input (as --stdin -)",
         NULL},
        {"tty", image_build ? 0 : 't', 0, G_OPTION_ARG_NONE, &cli.tty,
         "a command has a terminal: ours (-it: with our keys)", NULL},
        {"no-wait", 0, 0, G_OPTION_ARG_NONE, &cli.no_wait, "fail when the session is busy, instead of waiting", NULL},
        {"checkpoint", 0, 0, G_OPTION_ARG_FILENAME, &cli.checkpoint,
         "a crash goes back to variables that are copied in quiet (idle), after each execution (always), never (off)",
         "WHEN"},
        {"no-service", 0, 0, G_OPTION_ARG_NONE, &cli.no_service, "do not use the per-user service", NULL},
        {"json", 0, 0, G_OPTION_ARG_NONE, &cli.json, "one JSON object on standard output", NULL},
        {"output", 'o', 0, G_OPTION_ARG_FILENAME, &cli.format,
         "table or json (as --json); session history: py or ipynb, too", "FORMAT"},
        {"verbose", 'v', 0, G_OPTION_ARG_NONE, &cli.verbose, "say what is done and why", NULL},
        {"exist-ok", 0, 0, G_OPTION_ARG_NONE, &cli.exist_ok, "session new: one that is there will do", NULL},
        {"all", 'a', 0, G_OPTION_ARG_NONE, &cli.all, "session rm: all of them", NULL},
        {"files", 0, 0, G_OPTION_ARG_NONE, &cli.files, "session rm: their files, too", NULL},
        {"recursive", 'r', 0, G_OPTION_ARG_NONE, &cli.recursive, "cp: directories with what is in them", NULL},
        {"from-packages", 0, 0, G_OPTION_ARG_NONE, &cli.from_packages, "image build: from the distribution's packages",
         NULL},
        {"tag", image_build ? 't' : 0, 0, G_OPTION_ARG_FILENAME, &cli.tag, "image build: name to give (-t there)",
         "NAME"},
        {"file", 'f', 0, G_OPTION_ARG_FILENAME, &cli.file, "image build: Dockerfile or root tarball", "FILE"},
        {"dry-run", 'n', 0, G_OPTION_ARG_NONE, &cli.dry_run, "gc: only say what would go", NULL},
        {"help", 'h', 0, G_OPTION_ARG_NONE, &cli.help, "this text", NULL},
        {"version", 'V', 0, G_OPTION_ARG_NONE, &cli.version, "the version", NULL},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &cli.args, NULL, NULL},
        G_OPTION_ENTRY_NULL,
    };
    GOptionContext *context = g_option_context_new("VERB [OPERANDS]");
    GPtrArray *texts = g_ptr_array_new_with_free_func(g_free);
    g_option_context_set_main_group(context, g_option_group_new("", "", "", texts, (GDestroyNotify) g_ptr_array_unref));
    g_option_context_add_main_entries(context, entries, NULL);
    add_policy_options(context, texts);
    g_option_context_set_help_enabled(context, FALSE);
    return context;
}

int cli_fail(const struct cli *from, const GError *error)
{
    g_return_val_if_fail(error != NULL, DSB_EXIT_OURS); /* a fault of ours is no success */

    if (from->json) {
        g_autoptr(dsb_result) result = dsb_result_from_error(error);
        g_autofree char *text = dsb_result_json(result, FALSE);
        json_print_text(text);
    }
    /* It may name a file of a session. */
    g_autofree char *message = option_words(error->message);
    g_autofree char *clean = clean_text(message, strlen(message), "\n\t");
    g_printerr("dsandbox: %s\n", clean);
    return g_error_matches(error, DSB_ERROR, DSB_ERROR_REFUSED) ? DSB_EXIT_REFUSED : DSB_EXIT_OURS;
}

gboolean cli_operands(const struct cli *from, guint least, guint most, GError **error)
{
    guint n = from->args != NULL ? g_strv_length(from->args) : 0;
    if (n >= least && n <= most)
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s '%s'; see 'dsandbox --help'",
                n < least ? "an operand is missing after" : "unexpected operand",
                n < least ? (n > 0 ? from->args[n - 1] : "dsandbox") : from->args[most]);
    return FALSE;
}

/* -o json is --json; the others are for `session history`. */
static gboolean check_format(GError **error)
{
    gboolean history =
        cli.args != NULL && strcmp(cli.args[0], "session") == 0 && g_strcmp0(cli.args[1], "history") == 0;
    if (cli.format == NULL || strcmp(cli.format, "table") == 0)
        return TRUE;
    if (strcmp(cli.format, "json") == 0)
        return cli.json = TRUE;
    if (history && (strcmp(cli.format, "py") == 0 || strcmp(cli.format, "ipynb") == 0))
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "-o %s: it can be table or json%s", cli.format,
                history ? ", py or ipynb" : "");
    return FALSE;
}

/* `dsandbox` and nothing to run, on a terminal. */
static gboolean is_alone(void)
{
    return cli.code == NULL && cli.program_args == NULL && cli.stdin_file == NULL && !cli.tty && !cli.json &&
           !cli.no_service && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
}

/* The service has another working directory. */
static gboolean make_absolute(char **path, const char *option, GError **error)
{
    if (*path == NULL)
        return TRUE;
    if (**path == '\0') {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s: is empty", option);
        return FALSE;
    }
    g_autofree char *given = *path;
    *path = g_canonicalize_filename(given, NULL);
    return TRUE;
}

/* One text, or with --json an object with it as its member. */
static int print_text(const char *name, const char *text, const char *before)
{
    if (!cli.json) {
        printf("%s%s", before, text);
        return 0;
    }
    struct json_object *object = json_object_new_object();
    json_add(object, name, text);
    json_print(object);
    json_object_put(object);
    return 0;
}

static int print_help(GOptionContext *context)
{
    g_autofree char *help = g_option_context_get_help(context, TRUE, NULL);
    const char *options = strstr(help, "\n\n");
    g_autofree char *text = g_strconcat(usage_text, options != NULL ? options + 1 : "", NULL);
    return print_text("help", text, "");
}

static int print_version(void)
{
    int status = print_text("version", dsb_version(), "dsandbox ");
    if (!cli.json)
        putchar('\n');
    return status;
}

/* Libraries crash on a failed allocation, so it is not tried where they cannot have what they need. */
static gboolean check_memory(GError **error)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur >= ADDRESS_SPACE_MIN)
        return TRUE;
    g_set_error(error, DSB_ERROR, DSB_ERROR_FAILED,
                "this process may have an address space of %" G_GUINT64_FORMAT " KiB only, and dsandbox needs %u: raise "
                "its limit (ulimit -v)",
                (guint64) limit.rlim_cur / 1024, ADDRESS_SPACE_MIN / 1024);
    return FALSE;
}

static int dispatch(GOptionContext *context)
{
    g_autoptr(GError) error = NULL;
    static const struct {
        const char *verb;
        int (*run)(const struct cli *);
    } verbs[] = {{"run", cli_run},     {"exec", cli_exec},       {"repl", cli_repl},
                 {"cp", cli_cp},       {"session", cli_session}, {"backend", cli_backend},
                 {"image", cli_image}, {"doctor", cli_doctor},   {"policy", cli_policy_verb},
                 {"gc", cli_gc},       {"pool", cli_pool},        {"mcp", cli_mcp}};
    if (!check_format(&error) || !check_memory(&error) || !make_absolute(&cli.base_dir, "--base-dir", &error))
        return cli_fail(&cli, error);
    if (cli.help)
        return print_help(context);
    const char *verb = cli.args != NULL ? cli.args[0] : NULL;
    gboolean version = g_strcmp0(verb, "version") == 0;
    if (version && !cli_operands(&cli, 1, 1, &error))
        return cli_fail(&cli, error);
    if (cli.version || version)
        return print_version();
    if (verb == NULL)
        return is_alone() ? cli_repl(&cli) : cli_run(&cli);
    for (gsize i = 0; i < G_N_ELEMENTS(verbs); i++)
        if (strcmp(verb, verbs[i].verb) == 0)
            return verbs[i].run(&cli);
    g_set_error(&error, DSB_ERROR, DSB_ERROR_INVALID, "there is no verb '%s'; to run a file: dsandbox run %s", verb,
                verb);
    return cli_fail(&cli, error);
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
    const char *verb = cli.args != NULL ? cli.args[0] : NULL;
    if (verb == NULL || cli.program_args == NULL || strcmp(verb, "run") == 0 || strcmp(verb, "exec") == 0)
        return;
    g_autoptr(GStrvBuilder) all = g_strv_builder_new();
    g_strv_builder_addv(all, (const char **) cli.args);
    g_strv_builder_addv(all, (const char **) cli.program_args);
    g_strfreev(cli.args);
    g_clear_pointer(&cli.program_args, g_strfreev);
    cli.args = g_strv_builder_end(all);
}

/* Of options that could not be parsed: the failure is an object, too. */
static gboolean asks_for_json(char **args)
{
    static const char *const words[] = {"--json", "--output=json", "-ojson", "-o=json", NULL};
    for (char **arg = args; *arg != NULL; arg++)
        if (g_strv_contains(words, *arg) ||
            ((strcmp(*arg, "-o") == 0 || strcmp(*arg, "--output") == 0) && g_strcmp0(arg[1], "json") == 0))
            return TRUE;
    return FALSE;
}

/*
 * Started without them, our first descriptors would take their numbers, and get the code's output. Standard output
 * cannot be written then: what should have gone there is not lost in silence.
 */
static void open_standard_descriptors(void)
{
    int fd;
    do {
        fd = open("/dev/null", fcntl(STDIN_FILENO, F_GETFD) >= 0 && fcntl(STDOUT_FILENO, F_GETFD) < 0 ? O_RDONLY : O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
}

/* Whom nobody reads any more ends as by SIGPIPE, without a word. */
int cli_end_output(int status)
{
    gboolean failed = ferror(stdout) != 0;
    if (failed)
        putchar('\n'); /* its reason is not known any more: the next write has the same */
    errno = 0;
    if (fflush(stdout) == 0 && !failed)
        return status;
    if (errno == EPIPE)
        return status != 0 ? status : DSB_EXIT_SIGNAL + SIGPIPE;
    g_printerr("dsandbox: cannot write the output: %s\n", errno != 0 ? g_strerror(errno) : "a part is lost");
    return DSB_EXIT_OURS;
}

int main(int argc G_GNUC_UNUSED, char **argv)
{
    open_standard_descriptors();
    setlocale(LC_ALL, "");
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a write beyond `ulimit -f` is an error to report */
    signal(SIGCHLD, SIG_DFL); /* ignored by who started us, our children would end without a status */
    g_set_prgname("dsandbox");
    if (getauxval(AT_SECURE) != 0) {
        g_printerr(
            "dsandbox: it must not be set-user-id, set-group-id or have capabilities: it does what its user may do, "
            "and trusts that user's environment\n");
        return DSB_EXIT_OURS;
    }
    if (cli_helper(argv))
        return DSB_EXIT_OURS;
    set_list = g_ptr_array_new();
    g_auto(GStrv) args = g_strdupv(argv);
    cli.program_args = split_program_args(args);
    gboolean json = asks_for_json(args);
    GOptionContext *context = make_context(builds_image(args));
    g_autoptr(GError) error = NULL;
    int status;
    if (g_option_context_parse_strv(context, &args, &error)) {
        g_ptr_array_add(set_list, NULL);
        cli.set = (char **) set_list->pdata;
        join_operands();
        status = dispatch(context);
    } else {
        cli.json = json;
        g_autoptr(GError) bad = NULL;
        g_set_error(&bad, DSB_ERROR, DSB_ERROR_INVALID, "bad option: %s; see 'dsandbox --help'", error->message);
        status = cli_fail(&cli, bad);
    }
    g_option_context_free(context);
    return cli_end_output(status);
}
