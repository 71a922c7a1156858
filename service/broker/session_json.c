/* SPDX-License-Identifier: MIT */
/* What the API shows of a session. */
#include "broker/session.h"

#include "common/json.h"

#include <string.h>

const char *session_image(const struct session *session)
{
    return session->facts[FACT_IMAGE] != NULL ? session->facts[FACT_IMAGE] : session->image;
}

struct json_object *session_json(const struct session *session)
{
    const struct settings *settings = session->settings;
    struct json_object *object = json_object_new_object();
    g_autofree char *created = iso_time(session->created);
    g_autofree char *used = iso_time(session->used);
    json_add(object, "id", session->id);
    json_add(object, "state", session_state(session));
    for (int i = FACT_BACKEND; i <= FACT_WORKDIR; i++)
        json_add_raw(object, fact_names[i], session->facts[i]);
    if (session->facts[FACT_BACKEND] == NULL)
        json_add(object, "backend", settings->backend);
    json_add_raw(object, "container", session->open ? session->facts[FACT_CONTAINER] : NULL);
    json_add(object, "base_dir", settings->base_dir != NULL ? settings->base_dir : dsb_default_base_dir());
    json_object_object_add(object, "labels", json_object_get(settings->labels));
    json_add(object, "created", created);
    json_add(object, "used", used);
    json_add_int(object, "executions", (gint64) session->executions);
    json_add_int(object, "queued", session->waiting.length);
    if (session->facts[FACT_POLICY] != NULL) {
        json_add_raw(object, "policy", session->facts[FACT_POLICY]);
    } else {
        struct json_object *policy = json_object_new_object();
        json_add(policy, "sha256", settings->sha256);
        json_object_object_add(policy, "controls", json_object_new_array());
        json_object_object_add(object, "policy", policy);
    }
    json_add(object, "lost", session->lost);
    json_object_object_add(object, "changed",
                           session->changes != NULL ? json_object_get(session->changes) : json_object_new_array());
    return object;
}

gboolean session_has_labels(const struct session *session, GPtrArray *selectors)
{
    for (guint i = 0; i < selectors->len; i++) {
        const char *selector = selectors->pdata[i];
        const char *equals = strchr(selector, '=');
        g_autofree char *key = g_strndup(selector, equals != NULL ? (gsize) (equals - selector) : strlen(selector));
        struct json_object *value = NULL;
        if (!json_object_object_get_ex(session->settings->labels, key, &value) ||
            (equals != NULL && strcmp(json_object_get_string(value), equals + 1) != 0))
            return FALSE;
    }
    return TRUE;
}
