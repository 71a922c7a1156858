/* SPDX-License-Identifier: MIT */
/* Tables for a terminal. */
#include "table.h"

#include "common/words.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COLUMNS_MAX 10
#define NARROW 12

struct table {
    guint n;
    gboolean right[COLUMNS_MAX];
    GPtrArray *rows; /* GStrv */
};

static guint width_of_char(gunichar c) { return g_unichar_iszerowidth(c) ? 0 : g_unichar_iswide(c) ? 2 : 1; }

static guint width_of(const char *text)
{
    guint width = 0;
    for (; *text != '\0'; text = g_utf8_next_char(text))
        width += width_of_char(g_utf8_get_char(text));
    return width;
}

struct table *table_new(const char *title, ...)
{
    struct table *table = g_new0(struct table, 1);
    const char *cells[COLUMNS_MAX] = {NULL};
    va_list args;
    table->rows = g_ptr_array_new_with_free_func((GDestroyNotify) g_strfreev);
    va_start(args, title);
    for (; title != NULL && table->n < COLUMNS_MAX; title = va_arg(args, const char *))
        cells[table->n++] = title;
    va_end(args);
    table_add(table, cells);
    return table;
}

void table_align_right(struct table *table, guint column) { table->right[column] = TRUE; }

void table_add(struct table *table, const char *const *cells)
{
    char **row = g_new0(char *, table->n + 1);
    for (guint i = 0; i < table->n; i++)
        row[i] = cells[i] != NULL && cells[i][0] != '\0' ? clean_text(cells[i], strlen(cells[i]), "") : g_strdup("-");
    g_ptr_array_add(table->rows, row);
}

static guint terminal_width(void)
{
    struct winsize size;
    if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return G_MAXUINT;
    return size.ws_col;
}

static void print_cut(const char *text, guint room)
{
    guint left = room;
    if (width_of(text) <= room) {
        fputs(text, stdout);
        return;
    }
    for (; *text != '\0'; text = g_utf8_next_char(text)) {
        guint width = width_of_char(g_utf8_get_char(text));
        if (width + 1 > left)
            break;
        left -= width;
        fwrite(text, 1, (gsize) (g_utf8_next_char(text) - text), stdout);
    }
    fputs("…", stdout);
}

static void print_row(const struct table *table, char **row, const guint *widths, guint terminal)
{
    guint used = 0;
    for (guint i = 0; i + 1 < table->n; i++) {
        int gap = (int) (widths[i] - width_of(row[i]));
        if (table->right[i])
            printf("%*s%s  ", gap, "", row[i]);
        else
            printf("%s%*s  ", row[i], gap, "");
        used += widths[i] + 2;
    }
    print_cut(row[table->n - 1], terminal > used + NARROW ? terminal - used : NARROW);
    putchar('\n');
}

void table_print(struct table *table, const char *nothing)
{
    guint widths[COLUMNS_MAX] = {0};
    guint terminal = terminal_width();
    for (guint r = 0; r < table->rows->len; r++)
        for (guint i = 0; i < table->n; i++)
            widths[i] = MAX(widths[i], width_of(((char **) table->rows->pdata[r])[i]));
    if (table->rows->len == 1)
        puts(nothing);
    for (guint r = 0; table->rows->len > 1 && r < table->rows->len; r++)
        print_row(table, table->rows->pdata[r], widths, terminal);
    g_ptr_array_unref(table->rows);
    g_free(table);
}

char *ago_text(const char *iso)
{
    g_autoptr(GDateTime) then = iso != NULL ? g_date_time_new_from_iso8601(iso, NULL) : NULL;
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    if (then == NULL)
        return g_strdup("-");
    gint64 seconds = MAX(g_date_time_difference(now, then), 0) / G_USEC_PER_SEC;
    if (seconds < 100)
        return g_strdup_printf("%d s ago", (int) seconds);
    if (seconds < 100 * 60)
        return g_strdup_printf("%d min ago", (int) (seconds / 60));
    if (seconds < 48 * 3600)
        return g_strdup_printf("%d h ago", (int) (seconds / 3600));
    return g_strdup_printf("%d days ago", (int) (seconds / 86400));
}

char *local_text(const char *iso)
{
    g_autoptr(GDateTime) time = iso != NULL ? g_date_time_new_from_iso8601(iso, NULL) : NULL;
    g_autoptr(GDateTime) local = time != NULL ? g_date_time_to_local(time) : NULL;
    if (local == NULL)
        return g_strdup("-");
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    gboolean today = g_date_time_get_year(now) == g_date_time_get_year(local) &&
                     g_date_time_get_day_of_year(now) == g_date_time_get_day_of_year(local);
    return g_date_time_format(local, today ? "%H:%M:%S" : "%Y-%m-%d %H:%M");
}

char *size_text(gint64 bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
    double amount = (double) bytes / 1024;
    gsize unit = 0;
    if (bytes < 1024)
        return g_strdup_printf("%d B", (int) bytes);
    for (; amount >= 1023.95 && unit + 1 < G_N_ELEMENTS(units); unit++)
        amount /= 1024;
    return g_strdup_printf("%.1f %s", amount, units[unit]);
}
