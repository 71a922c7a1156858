/* SPDX-License-Identifier: MIT */
/* What the host wants: the payload of config, exec and control, taken apart. Pure; what is not just so is refused. */
#include "init/init.h"

#include <string.h>

#define TIME_MAX_MS (INT64_C(366) * 24 * 3600 * 1000)
#define CONTROL_MAX_MS (INT64_C(600) * 1000)
#define REPORT_LEAST ((int64_t) (2 * MIB))
#define REPORT_MOST ((int64_t) (15 * MIB)) /* a frame has 16 */

/* What a frame of one type may have. */
struct form {
    uint32_t flags;
    bool text, name, arguments;
    struct {
        const char *name;
        int64_t least, most;
    } numbers[DSB_COMMAND_NUMBERS];
};

static const struct form config_form = {
    .flags = DSB_CONFIG_SESSION | DSB_CONFIG_CHECKPOINT | DSB_CONFIG_CHECKPOINT_IDLE | DSB_CONFIG_WAITS | DSB_CONFIG_PROGRAM,
    .arguments = true,
    .numbers = {[DSB_CONFIG_IDLE_MS] = {"idle_ms", 1, TIME_MAX_MS},
                [DSB_CONFIG_LIFE_MS] = {"life_ms", 1, TIME_MAX_MS},
                [DSB_CONFIG_RESULTS_LIMIT] = {"results_limit", REPORT_LEAST, REPORT_MOST},
                [DSB_CONFIG_MEMORY] = {"memory", 0, INT64_MAX}},
};
static const struct form exec_form = {
    .flags = DSB_EXEC_OUTPUT_KILL | DSB_EXEC_OUTPUT_KEEP | DSB_EXEC_PROGRAM | DSB_EXEC_TERMINAL | DSB_EXEC_CALLS_STOP_CLOCK,
    .text = true,
    .name = true,
    .arguments = true,
    .numbers = {[DSB_EXEC_TIMEOUT_MS] = {"timeout_ms", 1, TIME_MAX_MS},
                [DSB_EXEC_GRACE_MS] = {"grace_ms", 0, TIME_MAX_MS},
                [DSB_EXEC_OUTPUT_LIMIT] = {"output_limit", 0, INT64_MAX},
                [DSB_EXEC_WINDOW] = {"window", 0, UINT32_MAX}},
};
static const struct form control_form = {
    .name = true,
    .numbers = {[DSB_CONTROL_TIMEOUT_MS] = {"timeout_ms", 1, CONTROL_MAX_MS}},
};

static bool take_part(struct part *rest, struct part *part)
{
    if (rest->n < 4)
        return false;
    size_t n = get_number(rest->at, 4);
    if (n > rest->n - 4)
        return false;
    *part = (struct part){rest->at + 4, n};
    rest->at += 4 + n;
    rest->n -= 4 + n;
    return true;
}

/* Text that becomes a C string: an argument, or what the environment has. */
static bool take_word(struct part *rest, struct part *word)
{
    return take_part(rest, word) && !memchr(word->at, '\0', word->n);
}

static const char *read_numbers(struct command *c, const struct form *form, const unsigned char *at)
{
    for (int i = 0; i < DSB_COMMAND_NUMBERS; i++) {
        uint64_t n = get_number(at + (size_t) i * 8, 8);
        if (n > (uint64_t) form->numbers[i].most || n < (uint64_t) form->numbers[i].least)
            return form->numbers[i].name ? form->numbers[i].name : "a number that does not belong here";
        c->numbers[i] = (int64_t) n;
    }
    return NULL;
}

static const char *read_parts(struct command *c, const struct form *form, struct part rest)
{
    struct part word, value;

    if (!take_part(&rest, &c->text) || !take_word(&rest, &c->name))
        return "its text or name";
    if ((c->text.n > 0 && !form->text) || (c->name.n > 0 && !form->name) || (c->arguments > 0 && !form->arguments))
        return "a part that does not belong here";
    if (c->name.n > DSB_COMMAND_NAME)
        return "its name is too long";
    c->rest = rest;
    for (uint32_t i = 0; i < c->arguments; i++)
        if (!take_word(&rest, &word))
            return "its arguments";
    for (uint32_t i = 0; i < c->variables; i++)
        if (!take_word(&rest, &word) || word.n == 0 || memchr(word.at, '=', word.n) || !take_word(&rest, &value))
            return "its variables";
    return rest.n > 0 ? "bytes after its last part" : NULL;
}

/* What says that there is no code. */
static const char *read_flags(const struct command *c, enum dsb_frame_type type)
{
    bool config = type == DSB_FRAME_CONFIG, exec = type == DSB_FRAME_EXEC;

    if (config && (c->flags & DSB_CONFIG_CHECKPOINT_IDLE) && !(c->flags & DSB_CONFIG_CHECKPOINT))
        return "flags that do not go together";
    if (config && (c->flags & DSB_CONFIG_PROGRAM) && (c->flags != DSB_CONFIG_PROGRAM || c->arguments > 0))
        return "flags that do not go together";
    if (exec && (c->flags & DSB_EXEC_TERMINAL) && !(c->flags & DSB_EXEC_PROGRAM))
        return "flags that do not go together";
    if (exec && (c->flags & DSB_EXEC_CALLS_STOP_CLOCK) && (c->flags & DSB_EXEC_PROGRAM))
        return "flags that do not go together";
    return exec && (c->flags & DSB_EXEC_PROGRAM) && c->arguments == 0 ? "there is no program" : NULL;
}

const char *command_read(struct command *c, enum dsb_frame_type type, const unsigned char *data, size_t n)
{
    const struct form *form = type == DSB_FRAME_CONFIG ? &config_form : type == DSB_FRAME_EXEC ? &exec_form : &control_form;

    *c = (struct command){0};
    if (n < 4 || get_number(data, 4) != DSB_PROTOCOL)
        return "not version " DSB_PROTOCOL_TEXT " of the protocol: the program outside and the guest files have to be of one "
               "version";
    if (n < DSB_COMMAND_HEAD)
        return "too short";
    c->flags = (uint32_t) get_number(data + 4, 4);
    c->arguments = (uint32_t) get_number(data + 8, 4);
    c->variables = (uint32_t) get_number(data + 12, 4);
    if (c->flags & ~form->flags)
        return "unknown flags";
    if (c->arguments > DSB_COMMAND_ARGUMENTS || c->variables > DSB_COMMAND_VARIABLES)
        return "too many arguments or variables";
    const char *wrong = read_flags(c, type);
    if (!wrong)
        wrong = read_numbers(c, form, data + 16);
    if (!wrong)
        wrong = read_parts(c, form, (struct part){data + DSB_COMMAND_HEAD, n - DSB_COMMAND_HEAD});
    if (!wrong && type == DSB_FRAME_EXEC && (c->flags & DSB_EXEC_PROGRAM) && c->text.n > 0)
        return "a program and code";
    if (!wrong && type == DSB_FRAME_EXEC && (c->numbers[DSB_EXEC_WINDOW] > 0) != ((c->flags & DSB_EXEC_TERMINAL) > 0))
        return "a window without a terminal, or the other way round";
    return wrong;
}

struct part part_next(struct part *rest)
{
    struct part part = {0};

    take_part(rest, &part);
    return part;
}

bool part_is(const struct part *part, const char *word)
{
    return part->n == strlen(word) && memcmp(part->at, word, part->n) == 0;
}
