/* SPDX-License-Identifier: MIT */
/* Calls of tools, which only the client of the service has: they wait here for the answer. */
#include "session/calls.h"

void calls_end(struct session_process *process, const char *why)
{
    pthread_mutex_lock(&process->calling);
    g_autoptr(GHashTable) calls = g_steal_pointer(&process->calls);
    pthread_mutex_unlock(&process->calling);
    GHashTableIter iter;
    gpointer call;
    if (calls == NULL)
        return;
    g_hash_table_iter_init(&iter, calls);
    while (g_hash_table_iter_next(&iter, NULL, &call))
        dsb_call_raise(call, NULL, why);
}

static gboolean is_alone(struct session_process *process)
{
    pthread_mutex_lock(&process->sending);
    gboolean alone = process->fd < 0;
    pthread_mutex_unlock(&process->sending);
    return alone;
}

void calls_take(void *data, dsb_call *call)
{
    const struct task *task = data;
    struct session_process *process = task->process;
    uint32_t number = dsb_call_number(call);
    /* The arguments are an object as text: its members are those of the event. */
    g_autofree char *event = g_strdup_printf("{\"call\":%u,\"tool\":\"%s\",%s", number, dsb_call_tool(call),
                                             dsb_call_arguments(call) + 1);
    g_autoptr(GByteArray) pack = g_byte_array_new();
    pack_number(pack, number);
    pack_text(pack, event);
    pthread_mutex_lock(&process->calling);
    if (process->calls == NULL)
        process->calls = g_hash_table_new(NULL, NULL);
    g_hash_table_insert(process->calls, GUINT_TO_POINTER(number), call);
    pthread_mutex_unlock(&process->calling);
    tell_service(process, FRAME_CALL, pack);
    if (is_alone(process))
        calls_end(process, "there is no service any more that could call it");
}

gboolean calls_return(struct session_process *process, const struct frame *frame)
{
    struct call_return answer;
    gpointer key, call = NULL;
    if (!call_return_unpack(frame, &answer))
        return FALSE;
    pthread_mutex_lock(&process->calling);
    if (process->calls != NULL)
        g_hash_table_steal_extended(process->calls, GUINT_TO_POINTER(answer.call), &key, &call);
    pthread_mutex_unlock(&process->calling);
    if (call != NULL && answer.value != NULL)
        dsb_call_return(call, answer.value, answer.size);
    else if (call != NULL)
        dsb_call_raise(call, answer.type, answer.message);
    g_free(answer.type);
    g_free(answer.message);
    return TRUE;
}
