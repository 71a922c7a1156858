/* SPDX-License-Identifier: MIT */
/* What pid 1 is told to do, byte for byte: the host writes it so, and pid 1 reads it so and takes nothing else. */
#include "init/init.h"
#include "run/command.h"
#include "run/execution.h"
#include "spec_parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char code[] = "import os, sys\nprint(sys.argv, os.environ, sep=\"\\n\")\n";

/* tests/golden/command-NAME.hex: bytes in hex, # to the end of a line is for the reader. */
static GByteArray *golden(const char *name)
{
    g_autofree char *path = g_strdup_printf("%s/../golden/command-%s.hex", g_getenv("DSB_TEST_DATA"), name);
    g_autofree char *text = NULL;
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    GByteArray *bytes = g_byte_array_new();
    for (const char *at = text; *at != '\0'; at++) {
        at += *at == '#' ? strcspn(at, "\n") : 0;
        if (!g_ascii_isxdigit(at[0]))
            continue;
        assert_true(g_ascii_isxdigit(at[1]));
        guint8 byte = (guint8) (g_ascii_xdigit_value(at[0]) << 4 | g_ascii_xdigit_value(at[1]));
        g_byte_array_append(bytes, &byte, 1);
        at++;
    }
    return bytes;
}

static gssize keep(void *state, const void *bytes, gsize size, GError **error)
{
    (void) error;
    g_byte_array_append(state, bytes, (guint) size);
    return (gssize) size;
}

/* One frame with what the file has. */
static void assert_frame(const GByteArray *written, enum dsb_frame_type type, guint8 execution, const char *name)
{
    g_autoptr(GByteArray) want = golden(name);
    assert_int_equal(written->len, DSB_FRAME_HEADER + want->len);
    const guint8 header[DSB_FRAME_HEADER] = {(guint8) want->len, (guint8) (want->len >> 8), 0, 0, (guint8) type, execution};
    assert_memory_equal(written->data, header, sizeof header);
    assert_memory_equal(written->data + DSB_FRAME_HEADER, want->data, want->len);
}

static void the_configuration_is_written_so(void **state)
{
    (void) state;
    const struct dsb_pair *const env[] = {PAIR("LANG", "C.UTF-8")};
    struct dsb_resolved limits = {.idle_ms = 900000, .life_ms = 86400000, .results_limit = 8u << 20};
    limits.spec.memory_bytes = 512u << 20;
    limits.spec.env = env;
    limits.spec.n_env = 1;
    char *preload[] = {(char *) "wave", NULL};
    limits.preload = preload;
    g_autoptr(GByteArray) written = g_byte_array_new();
    struct dsb_byte_stream stream = {.state = written, .write = keep};
    struct dsb_wire wire;
    dsb_wire_init(&wire, &stream);
    dsb_exec_configure(&wire, &limits, TRUE, DSB_CHECKPOINT_OFF, FALSE);
    assert_true(dsb_wire_flush(&wire, NULL));
    dsb_wire_clear(&wire);
    assert_frame(written, DSB_FRAME_CONFIG, 0, "config");
}

static gssize nothing_more(void *state, void *bytes, gsize size, GError **error)
{
    (void) state;
    (void) bytes;
    (void) size;
    (void) error;
    return 0;
}

/* As the only execution of a run. */
static GByteArray *written_for(const struct dsb_request *request, const struct dsb_resolved *limits)
{
    const struct dsb_run_options options = {.struct_size = sizeof options, .cancel_fd = -1};
    GByteArray *written = g_byte_array_new();
    struct dsb_byte_stream stream = {
        .state = written, .read_fd = -1, .write_fd = -1, .read = nothing_more, .write = keep};
    g_autoptr(dsb_result) result = dsb_result_new();
    struct dsb_wire wire;
    dsb_wire_init(&wire, &stream);
    struct dsb_exec exec = {.wire = &wire,
                            .limits = limits,
                            .dir_fd = -1,
                            .number = 7,
                            .timeout_ms = 30000,
                            .disk_bytes = UINT64_MAX,
                            .disk_inodes = UINT64_MAX,
                            .options = &options,
                            .result = result};
    g_autoptr(GError) error = NULL;
    assert_true(dsb_exec_begin(&exec, request, &error));
    assert_false(dsb_exec_turn(&exec, TRUE, &error)); /* nobody answers */
    assert_true(exec.over && exec.broken);
    assert_true(g_error_matches(error, DSB_ERROR, DSB_ERROR_LOST));
    dsb_wire_clear(&wire);
    /* Behind it the end of its standard input. */
    static const guint8 end[DSB_FRAME_HEADER] = {0, 0, 0, 0, DSB_FRAME_STDIN, 7};
    assert_true(written->len > sizeof end);
    assert_memory_equal(written->data + written->len - sizeof end, end, sizeof end);
    g_byte_array_set_size(written, written->len - (guint) sizeof end);
    return written;
}

static void the_code_is_written_so(void **state)
{
    (void) state;
    static const char *const argv[] = {"\xc3\xa4", "", NULL}, *const env[] = {"E=", NULL};
    const struct dsb_pair *const of_the_policy[] = {PAIR("A", "b=c")};
    struct dsb_resolved limits = {.grace_ms = 500, .output_limit = 1u << 20, .output_kill = TRUE};
    limits.spec.env = of_the_policy;
    limits.spec.n_env = 1;
    struct dsb_request request = {.struct_size = sizeof request,
                                  .code = code,
                                  .code_size = strlen(code),
                                  .filename = "main.py",
                                  .argv = argv,
                                  .env = env,
                                  .stdin_fd = -1};
    g_autoptr(GByteArray) written = written_for(&request, &limits);
    assert_frame(written, DSB_FRAME_EXEC, 7, "exec");
}

static void a_program_is_written_so(void **state)
{
    (void) state;
    static const char *const words[] = {"sh", "-c", "echo $A \xc3\xa4", NULL};
    const struct dsb_pair *const of_the_policy[] = {PAIR("A", "b=c")};
    struct dsb_resolved limits = {.grace_ms = 500, .output_limit = 1u << 20, .output_keep = TRUE};
    limits.spec.env = of_the_policy;
    limits.spec.n_env = 1;
    struct dsb_request request = {.struct_size = sizeof request, .stdin_fd = -1, .command = words, .cwd = "data"};
    g_autoptr(GByteArray) written = written_for(&request, &limits);
    assert_frame(written, DSB_FRAME_EXEC, 7, "program");
}

/* What it prints is not kept in a file, and it is over at the limit, whatever the policy says of output. */
static void a_terminal_is_written_so(void **state)
{
    (void) state;
    static const char *const words[] = {"bash", NULL};
    const struct dsb_resolved limits = {.grace_ms = 500, .output_limit = 1u << 20, .output_keep = TRUE};
    const struct dsb_request request = {.struct_size = sizeof request, .stdin_fd = -1, .command = words, .rows = 24,
                                        .columns = 80, .window_fd = -1};
    g_autoptr(GByteArray) written = written_for(&request, &limits);
    assert_frame(written, DSB_FRAME_EXEC, 7, "terminal");
}

static void a_control_operation_is_written_so(void **state)
{
    (void) state;
    const guint64 numbers[DSB_COMMAND_NUMBERS] = {5000};
    g_autoptr(GByteArray) command = dsb_command_new(0, numbers, NULL, 0, "get");
    g_autoptr(GByteArray) want = golden("control");
    dsb_command_add_variable(command, "name=", 4, "x");
    assert_int_equal(command->len, want->len);
    assert_memory_equal(command->data, want->data, want->len);
}

/* In a block of its own, so that reading on is seen. */
static const char *read_exactly(struct command *c, enum dsb_frame_type type, const guint8 *data, gsize size)
{
    g_autofree guint8 *block = g_memdup2(data, size);
    return command_read(c, type, block != NULL ? block : (const guint8 *) "", size);
}

static void pid_1_reads_it_so(void **state)
{
    (void) state;
    struct command c;
    g_autoptr(GByteArray) config = golden("config");
    assert_null(command_read(&c, DSB_FRAME_CONFIG, config->data, config->len));
    assert_int_equal(c.flags, DSB_CONFIG_SESSION);
    assert_int_equal(c.numbers[DSB_CONFIG_IDLE_MS], 900000);
    assert_int_equal(c.numbers[DSB_CONFIG_LIFE_MS], 86400000);
    assert_int_equal(c.numbers[DSB_CONFIG_RESULTS_LIMIT], 8 << 20);
    assert_int_equal(c.numbers[DSB_CONFIG_MEMORY], 512 << 20);
    assert_int_equal(c.variables, 1);
    assert_int_equal(c.arguments, 1);
    g_autoptr(GByteArray) exec = golden("exec");
    assert_null(command_read(&c, DSB_FRAME_EXEC, exec->data, exec->len));
    assert_int_equal(c.flags, DSB_EXEC_OUTPUT_KILL);
    assert_int_equal(c.numbers[DSB_EXEC_TIMEOUT_MS], 30000);
    assert_int_equal(c.numbers[DSB_EXEC_GRACE_MS], 500);
    assert_int_equal(c.numbers[DSB_EXEC_OUTPUT_LIMIT], 1 << 20);
    assert_int_equal(c.arguments, 2);
    assert_int_equal(c.variables, 2);
    assert_true(part_is(&c.text, code));
    assert_true(part_is(&c.name, "main.py"));
    g_autoptr(GByteArray) program = golden("program");
    assert_null(command_read(&c, DSB_FRAME_EXEC, program->data, program->len));
    assert_int_equal(c.flags, DSB_EXEC_OUTPUT_KEEP | DSB_EXEC_PROGRAM);
    assert_true(part_is(&c.name, "data") && c.text.n == 0 && c.arguments == 3 && c.variables == 1);
    static const char *const words[] = {"sh", "-c", "echo $A \xc3\xa4", "A", "b=c"};
    for (gsize i = 0; i < G_N_ELEMENTS(words); i++) {
        struct part word = part_next(&c.rest);
        assert_true(part_is(&word, words[i]));
    }
    assert_int_equal(c.rest.n, 0);
    assert_false(part_is(&c.name, "main.p"));
    g_autoptr(GByteArray) terminal = golden("terminal");
    assert_null(command_read(&c, DSB_FRAME_EXEC, terminal->data, terminal->len));
    assert_int_equal(c.flags, DSB_EXEC_OUTPUT_KILL | DSB_EXEC_PROGRAM | DSB_EXEC_TERMINAL);
    assert_int_equal(c.numbers[DSB_EXEC_WINDOW], 24 << 16 | 80);
    terminal->data[4] = DSB_EXEC_PROGRAM; /* the flags */
    assert_string_equal(command_read(&c, DSB_FRAME_EXEC, terminal->data, terminal->len),
                        "a window without a terminal, or the other way round");
    terminal->data[4] = DSB_EXEC_TERMINAL;
    assert_string_equal(command_read(&c, DSB_FRAME_EXEC, terminal->data, terminal->len), "flags that do not go together");
    g_autoptr(GByteArray) control = golden("control");
    assert_null(command_read(&c, DSB_FRAME_CONTROL, control->data, control->len));
    assert_int_equal(c.numbers[DSB_CONTROL_TIMEOUT_MS], 5000);
    assert_true(part_is(&c.name, "get"));
}

/* A length that does not add up, wherever it is. */
static void pid_1_takes_no_more_and_no_less(void **state)
{
    (void) state;
    static const struct {
        const char *name;
        enum dsb_frame_type type;
    } kinds[] = {{"config", DSB_FRAME_CONFIG}, {"exec", DSB_FRAME_EXEC}, {"control", DSB_FRAME_CONTROL}};
    struct command c;
    for (gsize k = 0; k < G_N_ELEMENTS(kinds); k++) {
        g_autoptr(GByteArray) good = golden(kinds[k].name);
        guint size = good->len;
        assert_null(read_exactly(&c, kinds[k].type, good->data, size));
        for (guint n = 0; n < size; n++)
            assert_non_null(read_exactly(&c, kinds[k].type, good->data, n));
        for (guint at = 0; at < DSB_COMMAND_HEAD + 4; at++) { /* the head, and the first length */
            good->data[at] ^= 0x80;
            if (at < 16 || at % 8 == 7 || at >= DSB_COMMAND_HEAD)
                assert_non_null(read_exactly(&c, kinds[k].type, good->data, size));
            good->data[at] ^= 0x80;
        }
        g_byte_array_append(good, (const guint8 *) "", 1);
        assert_non_null(read_exactly(&c, kinds[k].type, good->data, size + 1));
    }
}

static void both_have_the_same_bounds(void **state)
{
    (void) state;
    const guint64 numbers[DSB_COMMAND_NUMBERS] = {1, 1, 1};
    g_autofree char *name = g_strnfill(DSB_COMMAND_NAME + 1, 'n');
    struct command c;
    for (guint over = 0; over < 2; over++) {
        g_autoptr(GByteArray) named = dsb_command_new(0, numbers, "", 0, name + 1 - over);
        g_autoptr(GByteArray) arguments = dsb_command_new(0, numbers, "", 0, NULL);
        g_autoptr(GByteArray) variables = dsb_command_new(0, numbers, "", 0, NULL);
        for (guint i = 0; i < DSB_COMMAND_ARGUMENTS + over; i++)
            dsb_command_add_argument(arguments, "");
        for (guint i = 0; i < DSB_COMMAND_VARIABLES + over; i++)
            dsb_command_add_variable(variables, "V", 1, "");
        const GByteArray *const all[] = {named, arguments, variables};
        for (gsize i = 0; i < G_N_ELEMENTS(all); i++)
            assert_true((command_read(&c, DSB_FRAME_EXEC, all[i]->data, all[i]->len) == NULL) == (over == 0));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_configuration_is_written_so),
        cmocka_unit_test(the_code_is_written_so),
        cmocka_unit_test(a_program_is_written_so),
        cmocka_unit_test(a_terminal_is_written_so),
        cmocka_unit_test(a_control_operation_is_written_so),
        cmocka_unit_test(pid_1_reads_it_so),
        cmocka_unit_test(pid_1_takes_no_more_and_no_less),
        cmocka_unit_test(both_have_the_same_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
