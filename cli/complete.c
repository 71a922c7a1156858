/* SPDX-License-Identifier: MIT */
/*
 * `__complete WORD...`: what the last of these words of a command line may become, for the completion of shells
 * (cli/completion/). A line for each word: the whole word, a tab, what it means; ":files" where names of files fit.
 */
#include "session.h"
#include "verbs.h"
#include "common/ids.h"

#include <stdio.h>
#include <string.h>

struct completion {
    const char *before; /* the part of the last word that every candidate keeps: "--backend=" */
    const char *start;  /* and what a candidate begins with behind it */
};

static void offer(const struct completion *to, const char *candidate, const char *after, const char *help)
{
    if (g_str_has_prefix(candidate, to->start))
        printf("%s%s%s\t%s\n", to->before, candidate, after, help);
}

/* --- values --------------------------------------------------------------------- */

/* No service, no sessions: none is started to say so. */
static void offer_sessions(const struct completion *to, const char *after)
{
    g_autoptr(dsb_client) client = dsb_client_connect(DSB_CLIENT_TRY, -1, NULL);
    struct json_object *answer = client != NULL ? remote_call(client, "GET", "/v1/sessions", NULL, NULL) : NULL;
    struct json_object *rows = json_member(answer, "sessions");
    for (size_t i = 0; i < json_length(rows); i++) {
        struct json_object *row = json_object_array_get_idx(rows, i);
        const char *id = json_string(row, "id");
        if (id != NULL && dsb_session_id_valid(id))
            offer(to, id, after, "session");
    }
    json_object_put(answer);
}

static void offer_backends(const struct completion *to)
{
    g_autoptr(GPtrArray) names = dsb_backend_names();
    for (guint i = 0; i < names->len; i++)
        offer(to, names->pdata[i], "", "backend");
}

static void offer_words(const struct completion *to, const char *words, const char *between)
{
    g_auto(GStrv) all = g_strsplit(words, between, -1);
    for (char **word = all; *word != NULL; word++)
        offer(to, *word, "", "");
}

static void offer_values(const struct completion *to, const struct option *option)
{
    static const char *const files[] = {"FILE", "DIR", "PATH", "SRC[:DEST]", NULL};
    if (strcmp(option->name, "backend") == 0) {
        offer_backends(to);
        offer(to, "auto", "", "the first that can hold the policy");
    } else if (strcmp(option->name, "session") == 0) {
        offer_sessions(to, "");
    } else if (strcmp(option->name, "checkpoint") == 0) {
        offer_words(to, "idle always off", " ");
    } else if (strcmp(option->name, "output") == 0) {
        offer_words(to, "table json py ipynb", " ");
    } else if (strchr(option->argument, '|') != NULL) {
        offer_words(to, option->argument, "|");
    } else if (g_strv_contains(files, option->argument)) {
        puts(":files");
    }
}

/* --- options and operands ------------------------------------------------------- */

static void offer_options(const struct completion *to, const struct verb *verb)
{
    gsize n;
    const struct option *all = command_line_options(&n);
    for (gsize i = 0; i < n; i++) {
        g_autofree char *word = g_strconcat("--", all[i].name, NULL);
        if (verb_takes(verb, &all[i]))
            offer(to, word, all[i].argument != NULL ? "=" : "", all[i].help);
    }
}

/* The words that may follow these of a verb: "ls" after "session". */
static void offer_verbs(const struct completion *to, const char *first)
{
    gsize n;
    const struct verb *all = verbs(&n);
    const char *last = "";
    for (gsize i = 0; i < n; i++) {
        const char *space = strchr(all[i].name, ' ');
        gsize length = strcspn(all[i].name, " ");
        g_autofree char *word = g_strndup(all[i].name, length);
        if (first != NULL && verb_is_in(&all[i], first) && space != NULL)
            offer(to, space + 1, "", all[i].help);
        else if (first == NULL && strncmp(last, all[i].name, length) != 0)
            offer(to, word, "", space != NULL ? "" : all[i].help);
        last = all[i].name;
    }
}

/* `at`: how many operands are there already. */
static void offer_operand(const struct completion *to, const struct verb *verb, guint at)
{
    g_auto(GStrv) names = g_strsplit(verb->operands, " ", -1);
    const char *name = names[MIN(at, MAX(g_strv_length(names), 1) - 1)];
    if (name == NULL || (at >= g_strv_length(names) && !g_str_has_suffix(name, "...")))
        return;
    if (strcmp(verb->name, "cp") == 0)
        offer_sessions(to, ":");
    else if (strcmp(verb->name, "backend show") == 0)
        offer_backends(to);
    else if (g_str_has_prefix(name, "ID") || strcmp(name, "NEW") == 0)
        offer_sessions(to, "");
    if (strcmp(verb->name, "cp") == 0 || strstr(name, "FILE") != NULL)
        puts(":files");
}

/* The words of the verb and its operands, of arguments that begin with the program's name (g_ptr_array_unref). */
static GPtrArray *operands_of(char **argv)
{
    GPtrArray *operands = g_ptr_array_new();
    for (int i = command_line_operand(argv, 1); i > 0; i = command_line_operand(argv, i + 1))
        g_ptr_array_add(operands, argv[i]);
    g_ptr_array_add(operands, NULL);
    return operands;
}

static void complete(char **argv, guint n)
{
    char *last = argv[n - 1];
    argv[n - 1] = NULL;
    const char *equals = g_str_has_prefix(last, "--") ? strchr(last, '=') : NULL;
    g_autofree char *before = equals != NULL ? g_strndup(last, (gsize) (equals + 1 - last)) : g_strdup("");
    const struct completion to = {before, equals != NULL ? equals + 1 : last};
    g_autofree char *name = equals != NULL ? g_strndup(last + 2, (gsize) (equals - last - 2)) : NULL;
    const struct option *option = name != NULL ? command_line_option(name) : n > 2 ? command_line_wants(argv[n - 2]) : NULL;
    g_autoptr(GPtrArray) words = operands_of(argv);
    const struct verb *verb = verb_of((char **) words->pdata, NULL);
    guint known = verb != NULL && words->pdata[0] != NULL ? strchr(verb->name, ' ') != NULL ? 2 : 1 : 0;
    if (g_strv_contains((const char *const *) argv, "--"))
        puts(":files");
    else if (option != NULL && option->argument != NULL)
        offer_values(&to, option);
    else if (name != NULL)
        return; /* the value of no option that we have */
    else if (*last == '-' && verb != NULL)
        offer_options(&to, verb);
    else if (*last != '-' && known > 0)
        offer_operand(&to, verb, words->len - 1 - known);
    else if (*last != '-' && words->len <= 2)
        offer_verbs(&to, words->pdata[0]);
}

gboolean cli_complete(char **argv)
{
    guint n = g_strv_length(argv);
    if (n < 3 || strcmp(argv[1], "__complete") != 0)
        return FALSE;
    complete(argv + 1, n - 1); /* "__complete" stands where the program's name would */
    return TRUE;
}
