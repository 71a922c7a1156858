/* SPDX-License-Identifier: MIT */
/* The prompt of a build without line editing. */
#include "prompt.h"

#include "input.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Without libedit: the terminal's own line editing, no history. */
struct prompt {
    GString *ahead; /* what was read and is not a line yet */
};

struct prompt *prompt_new(const char *history)
{
    (void) history;
    struct prompt *prompt = g_new0(struct prompt, 1);
    prompt->ahead = g_string_new(NULL);
    return prompt;
}

void prompt_free(struct prompt *prompt)
{
    g_string_free(prompt->ahead, TRUE);
    g_free(prompt);
}

void prompt_remember(struct prompt *prompt, const char *line)
{
    (void) prompt;
    (void) line;
}

static enum prompt_end give_up(struct prompt *prompt)
{
    gboolean interrupt = cli_cancel_signal() == SIGINT;
    g_string_truncate(prompt->ahead, 0);
    putchar('\n');
    fflush(stdout);
    return interrupt ? PROMPT_INTERRUPT : PROMPT_END;
}

enum prompt_end prompt_read(struct prompt *prompt, const char *text, char **line)
{
    const char *newline;
    char buffer[4096];
    fputs(text, stdout);
    fflush(stdout);
    while ((newline = memchr(prompt->ahead->str, '\n', prompt->ahead->len)) == NULL) {
        if (!cli_ready(STDIN_FILENO, POLLIN) || cli_cancel_signal() != 0)
            return give_up(prompt);
        ssize_t n = read(STDIN_FILENO, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return give_up(prompt);
        g_string_append_len(prompt->ahead, buffer, n);
    }
    gsize size = (gsize) (newline - prompt->ahead->str);
    *line = g_strndup(prompt->ahead->str, size);
    g_string_erase(prompt->ahead, 0, (gssize) size + 1);
    return PROMPT_LINE;
}
