/* SPDX-License-Identifier: MIT */
/* Writes what pid 1 is told to do: a head of numbers, then parts with their lengths. */
#include "run/command.h"

#include <string.h>

#define ARGUMENTS_AT 8
#define VARIABLES_AT 12

static void add_u32(GByteArray *command, gsize value)
{
    guint32 bytes = GUINT32_TO_LE((guint32) value);
    g_byte_array_append(command, (const guint8 *) &bytes, sizeof bytes);
}

static void add_u64(GByteArray *command, guint64 value)
{
    value = GUINT64_TO_LE(value);
    g_byte_array_append(command, (const guint8 *) &value, sizeof value);
}

static void add_part(GByteArray *command, const char *part, gsize size)
{
    add_u32(command, size);
    if (size > 0)
        g_byte_array_append(command, (const guint8 *) part, (guint) size);
}

static void count_one(GByteArray *command, gsize at)
{
    guint32 count;
    memcpy(&count, command->data + at, sizeof count);
    count = GUINT32_TO_LE(GUINT32_FROM_LE(count) + 1);
    memcpy(command->data + at, &count, sizeof count);
}

GByteArray *dsb_command_new(guint32 flags, const guint64 numbers[DSB_COMMAND_NUMBERS], const char *text, gsize size,
                            const char *name)
{
    GByteArray *command = g_byte_array_new();
    add_u32(command, DSB_PROTOCOL);
    add_u32(command, flags);
    add_u32(command, 0);
    add_u32(command, 0);
    for (gsize i = 0; i < DSB_COMMAND_NUMBERS; i++)
        add_u64(command, numbers[i]);
    add_part(command, text, size);
    add_part(command, name, name != NULL ? strlen(name) : 0);
    return command;
}

void dsb_command_add_argument(GByteArray *command, const char *argument)
{
    add_part(command, argument, strlen(argument));
    count_one(command, ARGUMENTS_AT);
}

void dsb_command_add_variable(GByteArray *command, const char *name, gsize size, const char *value)
{
    add_part(command, name, size);
    add_part(command, value, strlen(value));
    count_one(command, VARIABLES_AT);
}
