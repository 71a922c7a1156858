/* SPDX-License-Identifier: MIT */
/* What --help prints, from the tables of verbs and options. */
#include "verbs.h"

#include <string.h>

#define COLUMN 28
#define WIDTH 80

static const char usage_text[] =
    "Usage: dsandbox VERB [OPTIONS] [OPERANDS]\n"
    "       dsandbox [OPTIONS] < PROGRAM      as 'run'\n"
    "       dsandbox                          on a terminal: as 'repl'\n"
    "\n"
    "Runs code that nobody trusts in a container, under a policy that is measured inside before the code starts.\n"
    "\n";

/* One line; a long `left` has one for itself. */
static void add_row(GString *text, const char *left, const char *right)
{
    gboolean is_long = strlen(left) + 2 > COLUMN;
    g_string_append_printf(text, is_long ? "%s\n%*s%s\n" : "%s%*s%s\n", left, COLUMN - (is_long ? 0 : (int) strlen(left)), "",
                           right);
}

static void add_verb(GString *text, const struct verb *verb)
{
    g_autofree char *left = g_strdup_printf("  %s%s%s", verb->name, *verb->operands != '\0' ? " " : "", verb->operands);
    add_row(text, left, verb->help);
}

static void add_option(GString *text, const struct option *option)
{
    g_autofree char *left =
        g_strdup_printf("  %s--%s%s%s", option->letter != 0 ? (char[]){'-', option->letter, ',', ' ', '\0'} : "", option->name,
                        option->argument != NULL ? "=" : "", option->argument != NULL ? option->argument : "");
    add_row(text, left, option->help);
}

/* `verb` NULL: those of every verb alone. */
static void add_options(GString *text, const struct verb *verb)
{
    gsize n;
    const struct option *all = command_line_options(&n);
    for (gsize i = 0; i < n; i++)
        if (all[i].kind != OPTION_KEY && (verb != NULL ? verb_takes(verb, &all[i]) : all[i].every_verb))
            add_option(text, &all[i]);
}

/* With what they mean where the policy is the matter, and close together elsewhere. */
static void add_keys(GString *text, gboolean explained)
{
    gsize n, column = 0;
    const struct option *all = command_line_options(&n);
    g_string_append(text, explained ? "\nKeys of the policy, and their defaults:\n"
                                    : "\nKeys of the policy ('dsandbox policy show --help' says what they mean):");
    for (gsize i = 0; i < n; i++) {
        if (all[i].kind != OPTION_KEY)
            continue;
        if (explained) {
            add_option(text, &all[i]);
            continue;
        }
        g_autofree char *key = g_strdup_printf(" --%s=%s", all[i].name, all[i].argument);
        column = column == 0 || column + strlen(key) > WIDTH ? 0 : column;
        g_string_append_printf(text, "%s%s", column == 0 ? "\n " : "", key);
        column += strlen(key);
    }
    if (!explained)
        g_string_append_c(text, '\n');
}

static char *help_of_verb(const struct verb *verb)
{
    GString *text = g_string_new(NULL);
    g_string_append_printf(text, "Usage: dsandbox %s [OPTIONS]%s%s\n\n%c%s.\n\nOptions:\n", verb->name,
                           *verb->operands != '\0' ? " " : "", verb->operands, g_ascii_toupper(*verb->help), verb->help + 1);
    add_options(text, verb);
    if (verb_takes(verb, command_line_option("memory")))
        add_keys(text, strcmp(verb->name, "policy show") == 0);
    return g_string_free(text, FALSE);
}

/* Those of a group, "session"; `group` NULL: all. */
static char *help_of_verbs(const char *group)
{
    gsize n;
    const struct verb *all = verbs(&n);
    GString *text = g_string_new(group == NULL ? usage_text : NULL);
    if (group != NULL)
        g_string_append_printf(text, "Usage: dsandbox %s VERB [OPTIONS] [OPERANDS]\n\n", group);
    for (gsize i = 0; i < n; i++)
        if (group == NULL || verb_is_in(&all[i], group))
            add_verb(text, &all[i]);
    g_string_append(text, "\nOptions of every verb; 'dsandbox VERB --help' has the others:\n");
    add_options(text, NULL);
    return g_string_free(text, FALSE);
}

char *verb_help(char **args, GError **error)
{
    g_autoptr(GError) local = NULL;
    if (args == NULL || args[0] == NULL)
        return help_of_verbs(NULL);
    const struct verb *verb = verb_of(args, &local);
    if (verb != NULL)
        return help_of_verb(verb);
    gsize n;
    const struct verb *all = verbs(&n);
    for (gsize i = 0; args[1] == NULL && i < n; i++)
        if (verb_is_in(&all[i], args[0]))
            return help_of_verbs(args[0]);
    g_propagate_error(error, g_steal_pointer(&local));
    return NULL;
}
