/* SPDX-License-Identifier: MIT */
/* The program: from its arguments to the verb that does the work. */
#include "verbs.h"

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

static struct cli cli = {0};

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
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s '%s'; see 'dsandbox %s --help'",
                n < least ? "an operand is missing after" : "unexpected operand", from->args[MIN(n, most + 1) - 1],
                verb_of(from->args, NULL)->name);
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

static int print_help(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *help = verb_help(cli.args, &error);
    return help != NULL ? print_text("help", help, "") : cli_fail(&cli, error);
}

int cli_version(const struct cli *from)
{
    (void) from;
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

static int dispatch(void)
{
    g_autoptr(GError) error = NULL;
    if (!check_format(&error) || !check_memory(&error))
        return cli_fail(&cli, error);
    if (cli.help)
        return print_help();
    if (cli.version)
        return cli_version(&cli);
    char *repl[] = {(char *) "repl", NULL};
    const struct verb *verb = verb_of(cli.args == NULL && is_alone() ? repl : cli.args, &error);
    if (verb == NULL || !verb_check(verb, &cli, &error) || !make_absolute(&cli.base_dir, "--base-dir", &error))
        return cli_fail(&cli, error);
    return verb->run(&cli);
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
    if (cli_complete(argv))
        return cli_end_output(0);
    g_autoptr(GError) error = NULL;
    int status;
    if (command_line_parse(&cli, argv, &error)) {
        status = dispatch();
    } else {
        cli.json = command_line_asks_for_json(argv);
        status = cli_fail(&cli, error);
    }
    return cli_end_output(status);
}
