/* SPDX-License-Identifier: MIT */
/* The prompt with line editing and history. */
#include "prompt.h"

#include "input.h"

#include <errno.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#define HISTORY_LINES 2000
#define TAB_SPACES "    "
#define END_KEY 4 /* Ctrl-D */

struct prompt {
    EditLine *editor;
    History *past;
    char *path;
    const char *text;
    enum prompt_end end; /* why there is no line */
    mbstate_t state;
};

static volatile sig_atomic_t resized;

static void on_resize(int number)
{
    (void) number;
    resized = 1;
}

static struct prompt *prompt_of(EditLine *editor)
{
    void *prompt = NULL;
    el_get(editor, EL_CLIENTDATA, &prompt);
    return prompt;
}

static char *prompt_text(EditLine *editor) { return (char *) prompt_of(editor)->text; }

/* One character of the terminal. libedit's own reading would go on after a signal. */
static int read_character(EditLine *editor, wchar_t *into)
{
    struct prompt *prompt = prompt_of(editor);
    for (;;) {
        char byte;
        if (resized) {
            resized = 0;
            el_resize(editor);
        }
        if (!cli_ready(STDIN_FILENO, POLLIN) || cli_cancel_signal() != 0) {
            prompt->end = cli_cancel_signal() == SIGINT ? PROMPT_INTERRUPT : PROMPT_END;
            return 0;
        }
        ssize_t n = read(STDIN_FILENO, &byte, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return 0;
        /* Ctrl-D that was typed before the terminal was ours comes as this. */
        if (byte == '\0')
            byte = END_KEY;
        size_t size = mbrtowc(into, &byte, 1, &prompt->state);
        if (size == (size_t) -2)
            continue;
        if (size == (size_t) -1) {
            memset(&prompt->state, 0, sizeof prompt->state);
            *into = L'?';
        }
        return 1;
    }
}

static unsigned char insert_tab(EditLine *editor, wint_t key)
{
    (void) key;
    return el_insertstr(editor, TAB_SPACES) < 0 ? CC_ERROR : CC_REFRESH;
}

struct prompt *prompt_new(const char *history_path)
{
    const struct sigaction action = {.sa_handler = on_resize};
    struct prompt *prompt = g_new0(struct prompt, 1);
    HistEvent event;
    /* Typed text is UTF-8, whatever a bare environment says. */
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        setlocale(LC_CTYPE, "C.UTF-8");
    prompt->path = g_strdup(history_path);
    prompt->past = history_init();
    history(prompt->past, &event, H_SETSIZE, HISTORY_LINES);
    history(prompt->past, &event, H_LOAD, history_path);
    prompt->editor = el_init("dsandbox", stdin, stdout, stderr);
    el_set(prompt->editor, EL_CLIENTDATA, prompt);
    el_set(prompt->editor, EL_PROMPT, prompt_text);
    el_set(prompt->editor, EL_EDITOR, "emacs");
    el_set(prompt->editor, EL_SIGNAL, 0);
    el_set(prompt->editor, EL_HIST, history, prompt->past);
    el_set(prompt->editor, EL_GETCFN, read_character);
    el_wset(prompt->editor, EL_ADDFN, L"insert-tab", L"insert spaces", insert_tab); /* el_set would leak */
    el_set(prompt->editor, EL_BIND, "\t", "insert-tab", NULL);
    el_set(prompt->editor, EL_BIND, "^R", "em-inc-search-prev", NULL);
    sigaction(SIGWINCH, &action, NULL);
    return prompt;
}

void prompt_free(struct prompt *prompt)
{
    HistEvent event;
    mode_t mask = umask(077);
    if (history(prompt->past, &event, H_SAVE, prompt->path) < 0)
        g_printerr("dsandbox: the history was not saved to %s: %s\n", prompt->path, g_strerror(errno));
    umask(mask);
    el_end(prompt->editor);
    history_end(prompt->past);
    g_free(prompt->path);
    g_free(prompt);
}

enum prompt_end prompt_read(struct prompt *prompt, const char *text, char **line)
{
    int n = 0;
    prompt->text = text;
    prompt->end = PROMPT_END;
    memset(&prompt->state, 0, sizeof prompt->state);
    /* el_gets shows the prompt before it takes the terminal: keys that came between were echoed, not edited. */
    el_set(prompt->editor, EL_PREP_TERM, 1);
    const char *read = el_gets(prompt->editor, &n);
    if (read == NULL || n <= 0) {
        fputs(prompt->end == PROMPT_INTERRUPT ? "^C\n" : "\n", stdout);
        fflush(stdout);
        return prompt->end;
    }
    *line = g_strndup(read, strcspn(read, "\n"));
    return PROMPT_LINE;
}

void prompt_remember(struct prompt *prompt, const char *line)
{
    HistEvent event;
    if (source_is_empty(line))
        return;
    /* The same line again is not a second one. */
    if (history(prompt->past, &event, H_FIRST) >= 0 && strcmp(event.str, line) == 0)
        return;
    history(prompt->past, &event, H_ENTER, line);
}
