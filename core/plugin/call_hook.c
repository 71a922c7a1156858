/* SPDX-License-Identifier: MIT */
/*
 * Around each call of a plugin's code: who waits is told which it is and what it may take, and exit() in it is no
 * success.
 */
#include "plugin/call_hook.h"

#include "common/names.h"

#include <dsandbox/admin.h>
#include <stdlib.h>
#include <unistd.h>

static _Thread_local const char *plugin_at_work;
static dsb_call_hook hook;
static void *hook_data;

void dsb_set_call_hook(dsb_call_hook told, void *data)
{
    hook = told;
    hook_data = data;
}

static void on_exit_of_process(void)
{
    if (plugin_at_work == NULL)
        return;
    g_printerr("dsandbox: plugin %s ended the program: it called exit()\n", plugin_at_work);
    _exit(DSB_EXIT_OURS);
}

void dsb_call_begin(const char *plugin, const char *operation, guint64 at_most_ms)
{
    static gsize once;
    if (g_once_init_enter(&once)) {
        atexit(on_exit_of_process);
        g_once_init_leave(&once, 1);
    }
    plugin_at_work = plugin;
    if (hook != NULL)
        hook(hook_data, plugin, operation, at_most_ms);
}

void dsb_call_end(void)
{
    if (hook != NULL)
        hook(hook_data, plugin_at_work, NULL, 0);
    plugin_at_work = NULL;
}
