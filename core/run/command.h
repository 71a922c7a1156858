/* SPDX-License-Identifier: MIT */
#ifndef DSB_RUN_COMMAND_H
#define DSB_RUN_COMMAND_H

#include "attest/hello.h"
#include "common/pid1_protocol.h"

/**
 * What pid 1 is told to do: the payload of config, exec and control. A head of numbers, then parts that begin with
 * their length; guest/PROTOCOL.md is the contract, guest/init/command.c the reader.
 */
/** A command with its numbers, a text of any bytes and a name; what it does not have is 0, NULL (g_byte_array_unref). */
GByteArray *dsb_command_new(guint32 flags, const guint64 numbers[DSB_COMMAND_NUMBERS], const char *text, gsize size,
                            const char *name);
/** All arguments before the first variable. */
void dsb_command_add_argument(GByteArray *command, const char *argument);
/** Of two with one name the later one counts. `name` has `size` bytes, none of them '='. */
void dsb_command_add_variable(GByteArray *command, const char *name, gsize size, const char *value);

/** The bytes that a part of this size takes. */
static inline gsize dsb_command_part(gsize size) { return sizeof(guint32) + size; }

#endif
