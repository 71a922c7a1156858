/* SPDX-License-Identifier: MIT */
/* The verbs in one table: which options and operands each one takes. */
#include "verbs.h"

#include "nearest.h"
#include "session.h"

#include <string.h>
#include <unistd.h>

#define OPERANDS_MANY 1000

#define ENGINE "backend plugin host engine-timeout "
#define PLACE ENGINE "base-dir "
#define SANDBOX PLACE "image policy allow-unenforced label checkpoint " OPTIONS_KEYS " "
#define EXECUTION "code figures env stdin interactive cwd tty no-wait "

static const struct verb table[] = {
    {"run", "[FILE | - | -c CODE] [-- ARG...]", "run Python code in a fresh sandbox; -- CMD ARG...: a program",
     EXECUTION SANDBOX "session in out no-service", cli_run, 0, OPERANDS_MANY},
    {"repl", "", "a Python prompt in a sandbox", SANDBOX "session interactive env", cli_repl, 0, 0},
    {"exec", "ID [FILE | - | -c CODE] [-- ARG...]", "run code in a session; -- CMD ARG...: a program", EXECUTION SANDBOX,
     cli_exec, 0, OPERANDS_MANY},
    {"session new", "[ID]", "make a session", SANDBOX "session exist-ok", session_new, 0, 1},
    {"session ls", "", "list the sessions", "label", session_ls, 0, 0},
    {"session show", "ID", "what a session is, and its policy", "", session_call, 1, 1},
    {"session vars", "ID", "the variables of a session", "", session_call, 1, 1},
    {"session files", "ID [DIR]", "the files of a session", "", session_call, 1, 2},
    {"session history", "ID", "what ran in a session (-o py, -o ipynb: as a program)", "", session_call, 1, 1},
    {"session interrupt", "ID", "stop what runs in a session", "", session_call, 1, 1},
    {"session reset", "ID", "a fresh interpreter; its files stay", "", session_call, 1, 1},
    {"session save", "ID", "variables to a file in the session", "", session_call, 1, 1},
    {"session restore", "ID", "variables from that file", "", session_call, 1, 1},
    {"session branch", "ID NEW", "another session with its settings, files and variables", "", session_branch, 2, 2},
    {"session export", "ID [FILE]", "the files of a session as a tar file", "", session_export, 1, 2},
    {"session import", "ID [FILE]", "a tar file into a session", SANDBOX, session_import, 1, 2},
    {"session rm", "ID...", "end sessions", "all label files", session_rm, 0, OPERANDS_MANY},
    {"cp", "SRC ID:PATH", "copy files into a session; ID:PATH DEST: out of it", "recursive", cli_cp, 2, 2},
    {"backend ls", "", "container backends and whether their engine answers", ENGINE "no-service", cli_backend, 0, 0},
    {"backend show", "NAME", "one backend, with all that its engine says", ENGINE "no-service", cli_backend, 0, 1},
    {"policy show", "", "the effective policy and where each value comes from", "policy " OPTIONS_KEYS, cli_policy_verb, 0, 0},
    {"policy check", "FILE", "whether a policy file is right, and what it makes", "", cli_policy_verb, 1, 1},
    {"pool ls", "", "the sandboxes that wait ready in the service", "", cli_pool, 0, 0},
    {"image build", "", "make the sandbox image", ENGINE "no-service from-packages tag file", cli_image, 0, 0},
    {"doctor", "", "check this machine", PLACE "image allow-unenforced no-service", cli_doctor, 0, 0},
    {"gc", "", "remove what dead runs left", PLACE "no-service dry-run", cli_gc, 0, 0},
    {"mcp", "", "sessions for a model: an MCP server", SANDBOX "session", cli_mcp, 0, 0},
    {"serve", "", "the per-user service", NULL, NULL, 0, 0},
    {"conformance", "", "prove that a backend keeps the policy", NULL, NULL, 0, 0},
    {"version", "", "the version", "", cli_version, 0, 0},
};

const struct verb *verbs(gsize *n)
{
    *n = G_N_ELEMENTS(table);
    return table;
}

/* --- which one ------------------------------------------------------------------ */

gboolean verb_is_in(const struct verb *verb, const char *word)
{
    gsize length = strlen(word);
    return strncmp(verb->name, word, length) == 0 && (verb->name[length] == ' ' || verb->name[length] == '\0');
}

static const char *second_word(const struct verb *verb)
{
    const char *space = strchr(verb->name, ' ');
    return space != NULL ? space + 1 : NULL;
}

static const struct verb *first_of(const char *word)
{
    for (gsize i = 0; i < G_N_ELEMENTS(table); i++)
        if (verb_is_in(&table[i], word))
            return &table[i];
    return NULL;
}

static const struct verb *no_verb(const char *word, GError **error)
{
    struct nearest near = nearest_to(word);
    g_autoptr(GStringChunk) firsts = g_string_chunk_new(64);
    for (gsize i = 0; i < G_N_ELEMENTS(table); i++)
        nearest_try(&near, g_string_chunk_insert_len(firsts, table[i].name, (gssize) strcspn(table[i].name, " ")));
    if (access(word, R_OK) == 0)
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "there is no verb '%s'; to run a file: dsandbox run %s", word, word);
    else if (near.best != NULL)
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "there is no verb '%s'; did you mean '%s'?", word, near.best);
    else
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "there is no verb '%s'; see 'dsandbox --help'", word);
    return NULL;
}

/* "session: use new, ls or rm, not 'x'; did you mean …?" */
static const struct verb *no_second(const char *group, const char *word, GError **error)
{
    struct nearest near = nearest_to(word != NULL ? word : "");
    g_autoptr(GString) text = g_string_new(NULL);
    for (const struct verb *verb = first_of(group); verb < table + G_N_ELEMENTS(table) && verb_is_in(verb, group); verb++) {
        g_string_append_printf(text, "%s%s", text->len > 0 ? ", " : "", second_word(verb));
        nearest_try(&near, second_word(verb));
    }
    const char *comma = g_strrstr(text->str, ", ");
    if (comma != NULL)
        g_string_insert(g_string_erase(text, comma - text->str, 2), comma - text->str, " or ");
    if (word != NULL)
        g_string_append_printf(text, ", not '%s'", word);
    if (word != NULL && near.best != NULL)
        g_string_append_printf(text, "; did you mean '%s %s'?", group, near.best);
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s: use %s", group, text->str);
    return NULL;
}

const struct verb *verb_of(char **args, GError **error)
{
    if (args == NULL || args[0] == NULL)
        return &table[0];
    const struct verb *first = first_of(args[0]);
    if (first == NULL)
        return no_verb(args[0], error);
    if (second_word(first) == NULL)
        return first;
    for (const struct verb *verb = first; verb < table + G_N_ELEMENTS(table) && verb_is_in(verb, args[0]); verb++)
        if (g_strcmp0(second_word(verb), args[1]) == 0)
            return verb;
    return no_second(args[0], args[1], error);
}

/* --- what it takes -------------------------------------------------------------- */

static gboolean has_word(const char *words, const char *word)
{
    gsize length = strlen(word);
    for (const char *at = words; at != NULL && (at = strstr(at, word)) != NULL; at += length)
        if ((at == words || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return TRUE;
    return FALSE;
}

gboolean verb_takes(const struct verb *verb, const struct option *option)
{
    return option->every_verb || has_word(verb->options, option->kind == OPTION_KEY ? OPTIONS_KEYS : option->name);
}

static gboolean refuse_option(const struct verb *verb, const struct option *option, GError **error)
{
    g_autoptr(GString) takers = g_string_new(NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(table); i++)
        if (verb_takes(&table[i], option))
            g_string_append_printf(takers, "%s%s", takers->len > 0 ? ", " : "", table[i].name);
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s does not take --%s, which is for %s%s%s%s", verb->name, option->name,
                takers->str, option->instead != NULL ? " (" : "", option->instead != NULL ? option->instead : "",
                option->instead != NULL ? ")" : "");
    return FALSE;
}

gboolean verb_check(const struct verb *verb, const struct cli *cli, GError **error)
{
    gsize n;
    const struct option *all = command_line_options(&n);
    for (gsize i = 0; i < n; i++)
        if (command_line_has(&all[i]) && !verb_takes(verb, &all[i]))
            return refuse_option(verb, &all[i], error);
    guint words = second_word(verb) != NULL ? 2 : 1;
    return cli->args == NULL || cli_operands(cli, words + verb->least, words + verb->most, error);
}
