/* SPDX-License-Identifier: MIT */
/* What the program reads, the code and its input, and where output goes. */
#include "input.h"

#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The library has a limit of its own, for the code and what goes with it. */
#define CODE_MAX (4u << 20)

static int output_error;

gboolean cli_ready(int fd, short events)
{
    struct pollfd fds[] = {{fd, events, 0}, {cli_cancel_fd(), POLLIN, 0}};
    while (poll(fds, G_N_ELEMENTS(fds), -1) < 0 && errno == EINTR)
        continue;
    return fds[0].revents != 0;
}

void cli_write_output(void *data, int stream, const void *bytes, gsize size)
{
    (void) data;
    const char *from = bytes;
    terminal_shows();
    /* PIPE_BUF bytes at a time: a ready pipe takes so many at once, and a signal is answered between them. */
    while (size > 0 && output_error == 0 && cli_ready(stream, POLLOUT)) {
        ssize_t n = write(stream, from, MIN(size, PIPE_BUF));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            output_error = errno;
            /* Nobody reads any more: stop the code as a shell's pipe would. */
            cli_cancel(SIGPIPE);
            return;
        }
        from += n;
        size -= (gsize) n;
    }
}

int cli_output_error(void) { return output_error; }

gssize cli_read_piece(int fd, const char *name, void *into, gsize size, GError **error)
{
    for (;;) {
        if (!cli_ready(fd, POLLIN)) {
            g_set_error(error, DSB_ERROR, DSB_ERROR_CANCELLED, "stopped while reading %s", name);
            return -1;
        }
        ssize_t n = read(fd, into, size);
        if (n >= 0)
            return n;
        if (errno != EINTR) {
            g_set_error(error, DSB_ERROR, dsb_errno_code(errno, DSB_ERROR_INVALID), "cannot read %s: %s", name,
                        g_strerror(errno));
            return -1;
        }
    }
}

gboolean cli_read_all(int fd, const char *name, gsize max, const char *hint, GByteArray *into, GError **error)
{
    guint8 buffer[64 << 10];
    for (;;) {
        gssize n = cli_read_piece(fd, name, buffer, sizeof buffer, error);
        if (n <= 0)
            return n == 0;
        if (into->len + (gsize) n > max) {
            g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s has more than %zu MiB%s", name, max >> 20, hint);
            return FALSE;
        }
        g_byte_array_append(into, buffer, (guint) n);
    }
}

/* "/dev/stdin", and "/dev/fd/63" of a shell's <(command): the descriptor's number. -1: another path. */
static int descriptor_of(const char *path)
{
    static const char *const dirs[] = {"/dev/fd/", "/proc/self/fd/"};
    guint64 number = 0;
    if (strcmp(path, "/dev/stdin") == 0)
        return STDIN_FILENO;
    for (gsize i = 0; i < G_N_ELEMENTS(dirs); i++)
        if (g_str_has_prefix(path, dirs[i]) &&
            g_ascii_string_to_unsigned(path + strlen(dirs[i]), 10, 0, G_MAXINT, &number, NULL))
            return (int) number;
    return -1;
}

int cli_open_input(const char *path, GError **error)
{
    struct stat st;
    /* Not opened anew: a pipe whose writer has left already would wait for another. */
    int ours = descriptor_of(path);
    int fd = ours >= 0 ? fcntl(ours, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        g_set_error(error, DSB_ERROR, dsb_errno_code(errno, DSB_ERROR_INVALID), "cannot open %s: %s", path,
                    dsb_errno_text(errno));
        return -1;
    }
    if (ours >= 0 || (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)))
        return fd;
    close(fd);
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "%s is not a regular file (use - for standard input)", path);
    return -1;
}

gboolean cli_reads_our_input(const struct cli *cli)
{
    return cli->interactive ||
           (cli->stdin_file != NULL && (strcmp(cli->stdin_file, "-") == 0 || descriptor_of(cli->stdin_file) == 0));
}

gboolean cli_read_code(const struct cli *cli, const char *operand, GByteArray *code, const char **name, GError **error)
{
    static const char hint[] = " of code; put data into files of a --session";
    if (cli->code != NULL) {
        *name = "<string>";
        g_byte_array_append(code, (const guint8 *) cli->code, (guint) strlen(cli->code));
        return TRUE;
    }
    gboolean ours = operand == NULL || strcmp(operand, "-") == 0;
    if ((ours || descriptor_of(operand) == STDIN_FILENO) && cli_reads_our_input(cli)) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID,
                            "standard input cannot be both the code and its input: give the code as a file or with -c");
        return FALSE;
    }
    if (ours) {
        *name = "<stdin>";
        if (isatty(STDIN_FILENO))
            g_printerr("dsandbox: reading the program from the terminal; end it with Ctrl-D\n");
        if (!cli_read_all(STDIN_FILENO, "standard input", CODE_MAX, hint, code, error))
            return FALSE;
        cli_decode(code);
        if (operand != NULL || code->len > 0)
            return TRUE;
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID,
                            "there is no code: nothing on standard input, no FILE and no -c CODE (an empty program on "
                            "standard input is meant with -)");
        return FALSE;
    }
    *name = operand;
    int fd = cli_open_input(operand, error);
    if (fd < 0)
        return FALSE;
    gboolean ok = cli_read_all(fd, operand, CODE_MAX, hint, code, error);
    close(fd);
    if (ok)
        cli_decode(code);
    return ok;
}

int cli_open_stdin(const struct cli *cli, GError **error)
{
    if (cli->interactive && cli->stdin_file != NULL && strcmp(cli->stdin_file, "-") != 0) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "-i and --stdin exclude each other");
        return -1;
    }
    if (cli_reads_our_input(cli))
        return fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    return cli->stdin_file != NULL ? cli_open_input(cli->stdin_file, error) : -1;
}
