/* SPDX-License-Identifier: MIT */
#include "fake_pid1.h"

#include "init/init.h"
#include "run/command.h"
#include "run/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <json-c/json.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BIG (3 << 20)

struct fake_pid1 {
    char *path, *workdir;
    int listener;
    gint connection; /* atomic; -1: none */
    gint accepted, closed; /* atomic; connections so far */
    gint manner;
    GThread *thread;
    GMutex mutex;
    GString *configs;
    /* of the connection */
    struct dsb_wire wire;
    struct dsb_byte_stream stream;
    uint32_t execution, late_control;
    gboolean waiting, counting, ended;
    gsize input; /* bytes of standard input so far */
};

static gssize done_or_error(gssize n, GError **error)
{
    if (n < 0)
        g_set_error_literal(error, DSB_ERROR, errno == EAGAIN ? DSB_ERROR_WOULD_BLOCK : DSB_ERROR_LOST,
                            g_strerror(errno));
    return n;
}

static gssize fake_read(void *state, void *buffer, gsize size, GError **error)
{
    return done_or_error(recv(GPOINTER_TO_INT(state), buffer, size, MSG_DONTWAIT), error);
}

static gssize fake_write(void *state, const void *buffer, gsize size, GError **error)
{
    return done_or_error(send(GPOINTER_TO_INT(state), buffer, size, MSG_NOSIGNAL), error);
}

static void say(struct fake_pid1 *fake, enum dsb_frame_type type, uint32_t execution, const char *text)
{
    dsb_wire_queue(&fake->wire, type, execution, text, strlen(text));
}

static json_object *ids(int64_t id, unsigned n)
{
    json_object *array = json_object_new_array();
    while (n-- > 0)
        json_object_array_add(array, json_object_new_int64(id));
    return array;
}

static void say_hello(struct fake_pid1 *fake)
{
    static const char *const names[] = {"pid", "ipc", "uts", "net", "mnt", "cgroup", "user"};
    struct stat st = {0};
    g_autofree char *path = g_build_filename(g_getenv("DSB_TEST_DATA"), "hello-docker.json", NULL);
    json_object *hello = json_object_from_file(path);
    json_object *volume = json_object_new_object(), *namespaces = json_object_new_object();
    stat(fake->workdir, &st);
    json_object_object_add(hello, "uid", ids(st.st_uid, 4));
    json_object_object_add(hello, "gid", ids(st.st_gid, 4));
    json_object_object_add(hello, "groups", ids(st.st_gid, 1));
    json_object_object_add(volume, "dev", json_object_new_uint64(st.st_dev));
    json_object_object_add(volume, "ino", json_object_new_uint64(st.st_ino + (g_atomic_int_get(&fake->manner) == FAKE_PID1_LIES ? 1 : 0)));
    json_object_object_add(volume, "use", json_object_new_string(""));
    json_object_object_add(volume, "file", json_object_new_string(".dsandbox-0123456789abcdef"));
    g_autofree char *used = g_build_filename(fake->workdir, ".dsandbox-0123456789abcdef", NULL);
    g_file_set_contents_full(used, "", 0, G_FILE_SET_CONTENTS_NONE, 0600, NULL);
    if (chown(used, st.st_uid, st.st_gid) < 0)
        g_error("chown: %s", g_strerror(errno));
    if (g_atomic_int_get(&fake->manner) == FAKE_PID1_LEAVES)
        g_unlink(used);
    json_object_object_add(hello, "volume", volume);
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        json_object_object_add(namespaces, names[i], json_object_new_int((int) i + 1));
    json_object_object_add(hello, "namespaces", namespaces);
    say(fake, DSB_FRAME_HELLO, 0, json_object_to_json_string(hello));
    json_object_put(hello);
}

static void answer(struct fake_pid1 *fake, const char *status, const char *state)
{
    g_autofree char *done =
        g_strdup_printf("{\"status\":\"%s\",\"exit_code\":%d,\"signal\":%d,\"wall_ms\":1,\"cpu_ms\":1%s%s%s}", status,
                        g_str_equal(status, "exited") ? 0 : -1, g_str_equal(status, "signal") ? 11 : 0,
                        *state != '\0' ? ",\"state\":{" : "", state, *state != '\0' ? ",\"point\":\"taken\"}" : "");
    say(fake, DSB_FRAME_DONE, fake->execution, done);
    if (fake->late_control != 0)
        say(fake, DSB_FRAME_ANSWER, fake->late_control, "{\"late\":true}");
    fake->late_control = 0;
}

static const char *const kept = "\"outcome\":\"kept\",\"reason\":null,\"to\":null";

static void do_word(struct fake_pid1 *fake, const char *word, const char *argument, const char *exec)
{
    if (g_str_equal(word, "out"))
        say(fake, DSB_FRAME_STDOUT, fake->execution, argument);
    else if (g_str_equal(word, "echo"))
        say(fake, DSB_FRAME_STDOUT, fake->execution, exec);
    else if (g_str_equal(word, "vars"))
        say(fake, DSB_FRAME_REPORT, fake->execution,
            "{\"result\":null,\"displays\":[],\"error\":null,\"vars\":{\"created\":[{\"name\":\"x\",\"type\":\"int\"}],"
            "\"changed\":[],\"deleted\":[]},\"count\":1}");
    else if (g_str_equal(word, "file")) {
        g_autofree char *path = g_build_filename(fake->workdir, argument, NULL);
        g_file_set_contents(path, "x", 1, NULL);
    } else if (g_str_equal(word, "big")) {
        g_autofree char *path = g_build_filename(fake->workdir, argument, NULL);
        g_autofree char *much = g_strnfill(BIG, 'x');
        g_file_set_contents(path, much, BIG, NULL);
    } else if (g_str_equal(word, "gone")) {
        g_autofree char *path = g_build_filename(fake->workdir, argument, NULL);
        g_unlink(path);
    }
}

/* A command as text: flags, numbers, what parts there are. NULL: it is none. */
static char *describe(enum dsb_frame_type type, const struct dsb_frame *frame, struct command *c)
{
    const char *wrong = command_read(c, type, frame->payload, frame->size);
    if (wrong != NULL) {
        g_printerr("a bad frame of type %d: %s\n", type, wrong);
        return NULL;
    }
    GString *text = g_string_new(NULL);
    g_string_append_printf(text, "flags %u; numbers", c->flags);
    for (int i = 0; i < DSB_COMMAND_NUMBERS; i++)
        g_string_append_printf(text, " %" G_GINT64_FORMAT, c->numbers[i]);
    g_string_append_printf(text, "; %u arguments, %u variables;", c->arguments, c->variables);
    /* The parts, with their lengths as what is between them. */
    for (gsize i = DSB_COMMAND_HEAD; i < frame->size; i++)
        g_string_append_c(text, frame->payload[i] >= ' ' ? (char) frame->payload[i] : ' ');
    return g_string_free(text, FALSE);
}

static void execute(struct fake_pid1 *fake, const struct command *c, const char *exec)
{
    g_autofree char *code = g_strndup((const char *) c->text.at, c->text.n);
    g_auto(GStrv) words = g_strsplit(code, " ", -1);
    const char *last = "";
    for (guint i = 0; words[i] != NULL; i++) {
        last = words[i];
        do_word(fake, words[i], words[i + 1] != NULL ? words[i + 1] : "", exec);
    }
    fake->waiting = g_str_equal(last, "wait");
    fake->counting = g_str_equal(last, "input");
    fake->ended = g_str_equal(last, "die");
    fake->input = 0;
    if (fake->waiting || fake->counting || fake->ended || g_str_equal(last, "mute"))
        return;
    if (g_str_equal(last, "rolled"))
        answer(fake, "signal", "\"outcome\":\"rolled_back\",\"reason\":\"killed by signal 11\",\"to\":1");
    else if (g_str_equal(last, "lost"))
        answer(fake, "oom", "\"outcome\":\"lost\",\"reason\":\"no point: memory\",\"to\":null");
    else if (g_str_equal(last, "stateless"))
        answer(fake, "exited", "");
    else if (g_str_equal(last, "foreign"))
        say(fake, DSB_FRAME_STDOUT, fake->execution + 1, "not mine");
    else if (g_str_equal(last, "garbage"))
        say(fake, DSB_FRAME_DONE, fake->execution, "garbage");
    else
        answer(fake, "exited", kept);
}

static void control(struct fake_pid1 *fake, const struct dsb_frame *frame, const struct part *op)
{
    if (part_is(op, "vars"))
        say(fake, DSB_FRAME_ANSWER, frame->execution, "{\"vars\":[{\"name\":\"x\",\"type\":\"int\"}]}");
    else if (part_is(op, "bad"))
        say(fake, DSB_FRAME_ANSWER, frame->execution, "{\"error\":\"no such operation\"}");
    else if (part_is(op, "slow"))
        fake->late_control = frame->execution;
    else if (part_is(op, "exit"))
        say(fake, DSB_FRAME_ANSWER, frame->execution, "{}");
    else
        fake->ended = TRUE;
}

static void hear(struct fake_pid1 *fake, const struct dsb_frame *frame)
{
    struct command c;
    gboolean is_command =
        frame->type == DSB_FRAME_CONFIG || frame->type == DSB_FRAME_EXEC || frame->type == DSB_FRAME_CONTROL;
    g_autofree char *text = is_command ? describe((enum dsb_frame_type) frame->type, frame, &c) : NULL;
    fake->ended |= is_command && text == NULL;
    if (fake->ended)
        return;
    if (frame->type == DSB_FRAME_CONFIG) {
        g_mutex_lock(&fake->mutex);
        g_string_append_printf(fake->configs, "%s\n", text);
        g_mutex_unlock(&fake->mutex);
        if (c.flags & DSB_CONFIG_SESSION)
            say(fake, DSB_FRAME_READY, 0, "{}");
    } else if (frame->type == DSB_FRAME_EXEC) {
        fake->execution = frame->execution;
        execute(fake, &c, text);
    } else if (frame->type == DSB_FRAME_CONTROL) {
        control(fake, frame, &c.name);
    } else if (frame->type == DSB_FRAME_STDIN && fake->counting) {
        g_autofree char *size = g_strdup_printf("%" G_GSIZE_FORMAT, fake->input);
        fake->input += frame->size;
        fake->counting = frame->size > 0;
        if (!fake->counting) {
            say(fake, DSB_FRAME_STDOUT, fake->execution, size);
            answer(fake, "exited", kept);
        }
    } else if (frame->type == DSB_FRAME_CANCEL && fake->waiting) {
        g_autofree char *how = g_strndup((const char *) frame->payload, frame->size);
        fake->waiting = FALSE;
        say(fake, DSB_FRAME_STDOUT, fake->execution, how);
        answer(fake, "cancelled", kept);
    }
}

static void serve(struct fake_pid1 *fake, int fd)
{
    struct dsb_frame frame;
    fake->stream = (struct dsb_byte_stream){.state = GINT_TO_POINTER(fd), .read = fake_read, .write = fake_write};
    fake->ended = fake->waiting = fake->counting = FALSE;
    fake->late_control = 0;
    dsb_wire_init(&fake->wire, &fake->stream);
    say_hello(fake);
    if (g_atomic_int_get(&fake->manner) == FAKE_PID1_LEAVES) {
        dsb_wire_flush(&fake->wire, NULL);
        g_usleep(50 * 1000);
        fake->ended = TRUE;
    }
    while (!fake->ended && !fake->wire.eof) {
        struct pollfd poll_fd = {fd, POLLIN, 0};
        if (!dsb_wire_flush(&fake->wire, NULL) || poll(&poll_fd, 1, 60000) <= 0 || !dsb_wire_fill(&fake->wire, NULL))
            break;
        while (!fake->ended && dsb_wire_next(&fake->wire, &frame, NULL))
            hear(fake, &frame);
    }
    dsb_wire_flush(&fake->wire, NULL);
    dsb_wire_clear(&fake->wire);
}

/*
 * Above 2, which a test may have closed meanwhile: the real pid 1 is another process. accept() takes its number when it
 * begins to wait, and a wait can begin at any moment of the test.
 */
static int accept_high(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0 || fd > 2)
        return fd;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    close(fd);
    return high;
}

static gpointer run(gpointer data)
{
    struct fake_pid1 *fake = data;
    int fd;
    while ((fd = accept_high(fake->listener)) >= 0) {
        g_atomic_int_inc(&fake->accepted);
        g_atomic_int_set(&fake->connection, fd);
        serve(fake, fd);
        g_atomic_int_set(&fake->connection, -1);
        close(fd);
        g_atomic_int_inc(&fake->closed);
    }
    return NULL;
}

struct fake_pid1 *fake_pid1_start(const char *path, const char *workdir)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct fake_pid1 *fake = g_new0(struct fake_pid1, 1);
    fake->path = g_strdup(path);
    fake->workdir = g_strdup(workdir);
    fake->configs = g_string_new(NULL);
    fake->connection = -1;
    g_mutex_init(&fake->mutex);
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    fake->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fake->listener, (const struct sockaddr *) &address, sizeof address) < 0 || listen(fake->listener, 8) < 0)
        g_error("%s: %s", path, g_strerror(errno));
    fake->thread = g_thread_new("pid1", run, fake);
    return fake;
}

void fake_pid1_behave(struct fake_pid1 *fake, enum fake_pid1_manner manner) { g_atomic_int_set(&fake->manner, manner); }

void fake_pid1_kill(struct fake_pid1 *fake)
{
    int fd = g_atomic_int_get(&fake->connection);
    if (fd >= 0)
        shutdown(fd, SHUT_RDWR);
}

void fake_pid1_await_end(struct fake_pid1 *fake)
{
    gint64 give_up = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    while (g_atomic_int_get(&fake->closed) < g_atomic_int_get(&fake->accepted)) {
        if (g_get_monotonic_time() > give_up)
            g_error("the connection to the fake pid 1 is still open");
        g_usleep(1000);
    }
}

char *fake_pid1_configs(struct fake_pid1 *fake)
{
    g_mutex_lock(&fake->mutex);
    char *text = g_strdup(fake->configs->str);
    g_mutex_unlock(&fake->mutex);
    return text;
}

void fake_pid1_stop(struct fake_pid1 *fake)
{
    shutdown(fake->listener, SHUT_RDWR);
    fake_pid1_kill(fake);
    g_thread_join(fake->thread);
    close(fake->listener);
    unlink(fake->path);
    g_mutex_clear(&fake->mutex);
    g_string_free(fake->configs, TRUE);
    g_free(fake->path);
    g_free(fake->workdir);
    g_free(fake);
}
