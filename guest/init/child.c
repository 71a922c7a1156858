/* SPDX-License-Identifier: MIT */
/* A program in the place of code: we start it ourselves, with the code's rights; no interpreter has a part in it. */
#include "init/state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define USUAL_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define NAME_SHOWN 200 /* of a name in a message */
/* As a shell has them. */
#define CANNOT_RUN 126
#define NOT_FOUND 127

/* What execve(2) wants: both lists end with NULL, and their texts are in `text`. */
struct words {
    char *text, **argv, **env;
    const char *directory;
};

static void *room(size_t n)
{
    void *memory = malloc(n ? n : 1);

    if (!memory)
        _exit(71);
    return memory;
}

/* --- the words, taken out of the frame --- */

static char *put_part(char **at, const struct part *part, char end)
{
    char *begin = *at;

    if (part->n > 0)
        memcpy(begin, part->at, part->n);
    begin[part->n] = end;
    *at = begin + part->n + 1;
    return begin;
}

/* "NAME=VALUE"; of two with one name the later one counts. */
static void put_variables(struct words *w, size_t *n, char **at, const struct command *c)
{
    struct part rest = c->rest, name, value;

    for (uint32_t i = 0; i < c->arguments; i++)
        part_next(&rest);
    for (uint32_t i = 0; i < c->variables; i++) {
        name = part_next(&rest);
        value = part_next(&rest);
        char *pair = put_part(at, &name, '=');
        put_part(at, &value, '\0');
        size_t k = 0;
        while (k < *n && strncmp(w->env[k], pair, name.n + 1) != 0)
            k++;
        w->env[k] = pair;
        *n += k == *n;
    }
}

static void make_words(struct words *w, const struct command *c)
{
    static char usual_term[] = "TERM=xterm";
    struct command session = {0};
    struct part rest = c->rest;
    size_t n = 0;

    if (g.session.on)
        command_read(&session, DSB_FRAME_CONFIG, buf_head(&g.session.config), buf_len(&g.session.config));
    /* A part has four bytes of length there, and one for its end here. */
    char *at = w->text = room(c->name.n + 1 + c->rest.n + session.rest.n);
    w->argv = room((c->arguments + 1) * sizeof *w->argv);
    w->env = room((session.variables + c->variables + 2) * sizeof *w->env);
    w->directory = put_part(&at, &c->name, '\0');
    for (uint32_t i = 0; i < c->arguments; i++) {
        struct part argument = part_next(&rest);
        w->argv[i] = put_part(&at, &argument, '\0');
    }
    w->argv[c->arguments] = NULL;
    if (g.child.terminal)
        w->env[n++] = usual_term;
    put_variables(w, &n, &at, &session);
    put_variables(w, &n, &at, c);
    w->env[n] = NULL;
}

static void free_words(struct words *w)
{
    free(w->text);
    free(w->argv);
    free(w->env);
}

/* --- in the child --- */

static const char *search_path(char **env)
{
    for (; *env; env++)
        if (strncmp(*env, "PATH=", 5) == 0)
            return *env + 5;
    return USUAL_PATH;
}

/* As execvp(3), but nothing is looked for in the working directory, and no shell runs what the kernel does not. */
static int run_on_path(const struct words *w)
{
    char file[PATH_MAX];
    int why = ENOENT;
    const char *path = search_path(w->env);

    while (*path) {
        size_t n = strcspn(path, ":");
        int size = n > 0 ? snprintf(file, sizeof file, "%.*s/%s", (int) n, path, w->argv[0]) : -1;
        if (size > 0 && (size_t) size < sizeof file) {
            execve(file, w->argv, w->env);
            if (errno == EACCES)
                why = EACCES;
            else if (errno != ENOENT && errno != ENOTDIR)
                return errno;
        }
        path += n + (path[n] == ':');
    }
    return why;
}

static _Noreturn void cannot(const char *what, const char *name, int why, int status)
{
    dprintf(STDERR_FILENO, "dsandbox: %s%.*s: %s\n", what, NAME_SHOWN, name, strerror(why));
    _exit(status);
}

/* When memory is short it goes before the interpreter, which has the variables. */
static void expose(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, "1000", 4) < 0)
        return; /* then all have the same score; the descriptor is closed with all others */
}

static _Noreturn void run(const struct words *w, const int theirs[3])
{
    process_begin();
    expose();
    if (g.child.terminal)
        terminal_take();
    for (int fd = 0; fd < 3; fd++)
        if (dup2(theirs[fd], fd) != fd)
            _exit(CANNOT_RUN);
    close_from(3);
    if ((chdir("/sandbox") < 0 && chdir("/") < 0) || (w->directory[0] && chdir(w->directory) < 0))
        cannot("cannot change to the directory ", w->directory, errno, CANNOT_RUN);
    if (strchr(w->argv[0], '/'))
        execve(w->argv[0], w->argv, w->env);
    else
        errno = run_on_path(w);
    cannot("cannot run ", w->argv[0], errno, errno == ENOENT || errno == ENOTDIR ? NOT_FOUND : CANNOT_RUN);
}

/* --- here --- */

/* Returns what could not be done, NULL: nothing; errno. There is a standard error then, too. */
static const char *open_streams(int theirs[3])
{
    bool terminal = g.child.terminal && terminal_open();
    int why = errno;

    if (terminal) {
        theirs[0] = theirs[1] = theirs[2] = g.child.tty;
        return NULL;
    }
    g.stdin_fd = make_pipe(&theirs[0], 1);
    g.stdout_.fd = make_pipe(&theirs[1], 0);
    g.stderr_.fd = make_pipe(&theirs[2], 0);
    errno = why;
    return g.child.terminal ? "make a terminal" : NULL;
}

void child_start(void)
{
    struct words words;
    struct command c;
    int theirs[3];

    command_read(&c, DSB_FRAME_EXEC, buf_head(&g.code), buf_len(&g.code));
    make_words(&words, &c);
    const char *lacking = open_streams(theirs);
    g.child.pid = lacking ? -1 : fork();
    if (g.child.pid == 0)
        run(&words, theirs);
    if (g.child.pid < 0) { /* no room for a process: that is the session's doing, and no end of it */
        dprintf(theirs[2], "dsandbox: cannot %s: %s\n", lacking ? lacking : "start a process", strerror(errno));
        child_ended(CANNOT_RUN << 8);
    }
    for (int i = 0; i < 3 && theirs[i] != g.child.tty; i++)
        close(theirs[i]);
    free_words(&words);
    buf_free(&g.code);
}

void child_ended(int status)
{
    g.child.pid = 0;
    g.child.dead = true;
    g.child.status = status;
}

/* It leads a group of its own, which it cannot leave; but that is made after the fork. */
void child_signal(int signal)
{
    if (g.child.pid > 1 && kill(-g.child.pid, signal) < 0)
        kill(g.child.pid, signal);
}
