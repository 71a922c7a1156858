/* SPDX-License-Identifier: MIT */
/*
 * What an engine said of itself, kept for some time in the private runtime directory. A stale answer can make a
 * container fail or be refused; it cannot weaken one, since every control is measured again inside.
 */
#include "engine/engine.h"

#include "common/json.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FACTS_MAX (1024 * 1024)
#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define UNIFIED_CONTROLLERS "/sys/fs/cgroup/unified/cgroup.controllers"

char *dsbe_cache_path(const char *directory, const char *who)
{
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, who, -1);
    g_autofree char *name = g_strdup_printf("facts-%.16s.json", digest);
    return g_build_filename(directory, name, NULL);
}

json_object *dsbe_cache_recall(const char *path, const char *key, guint seconds)
{
    struct stat file;
    gsize size = 0;
    if (lstat(path, &file) != 0 || !S_ISREG(file.st_mode) || file.st_uid != geteuid())
        return NULL;
    gint64 age = g_get_real_time() / G_USEC_PER_SEC - file.st_mtime;
    if (age < 0 || age > seconds)
        return NULL;
    g_autofree char *text = dsbe_read_file(path, FACTS_MAX, &size, NULL);
    g_autoptr(json_object) root = text ? dsbe_json_parse(text, size, NULL) : NULL;
    if (!root || strcmp(key, dsbe_json_string(root, "key", "")) != 0)
        return NULL;
    return json_object_get(dsbe_json_at(root, "facts"));
}

gboolean dsbe_cache_remember(const char *path, const char *key, json_object *facts, GError **error)
{
    g_autoptr(json_object) root = json_object_new_object();
    json_add(root, "key", key);
    dsbe_put(root, "facts", json_object_get(facts));
    return g_file_set_contents_full(path, json_text(root), -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, error);
}

static char *make_key(const struct dsbe_client *client)
{
    g_autofree char *boot = NULL;
    if (!g_file_get_contents(BOOT_ID, &boot, NULL, NULL))
        return NULL;
    const struct dsb_engine_info *info = &client->facts.info;
    return g_strjoin(" ", info->product, info->version, info->endpoint, g_strstrip(boot),
                     client->state ? client->state : "", NULL);
}

static char *make_path(const struct dsbe_client *client)
{
    if (!client->dialect->facts_seconds || !client->runtime_dir)
        return NULL;
    return dsbe_cache_path(client->runtime_dir, client->facts.info.endpoint);
}

json_object *dsbe_facts_recall(struct dsbe_client *client)
{
    g_autofree char *path = make_path(client);
    g_autofree char *key = make_key(client);
    return path && key ? dsbe_cache_recall(path, key, client->dialect->facts_seconds) : NULL;
}

/* What a user's part of the control groups lacks can be given to it any time. */
static gboolean may_change(const struct dsb_engine_info *info)
{
    const uint64_t all = DSB_BIT(DSB_CONTROL_MEMORY) | DSB_BIT(DSB_CONTROL_CPU) | DSB_BIT(DSB_CONTROL_PIDS);
    return info->rootless && info->cgroup_version == 2 && (info->limits_available & all) != all;
}

void dsbe_facts_remember(struct dsbe_client *client, json_object *root)
{
    if (may_change(&client->facts.info))
        return;
    g_autofree char *path = make_path(client);
    g_autofree char *key = make_key(client);
    if (path && key)
        (void) dsbe_cache_remember(path, key, root, NULL);
}

const char *dsbe_podman_runtime(const struct dsb_engine_info *info)
{
    /* crun refuses hybrid cgroups as soon as one controller is on the unified side. */
    g_autofree char *controllers = NULL;
    if (!info->local || info->cgroup_version != 1 || strcmp(info->runtime, "crun") != 0 ||
        !g_file_get_contents(UNIFIED_CONTROLLERS, &controllers, NULL, NULL) || !*g_strstrip(controllers))
        return "";
    static const char *const places[] = {"/usr/bin/runc", "/usr/sbin/runc", "/usr/local/bin/runc",
                                         "/usr/local/sbin/runc"};
    for (gsize i = 0; i < G_N_ELEMENTS(places); i++)
        if (g_file_test(places[i], G_FILE_TEST_IS_EXECUTABLE))
            return "runc";
    return "";
}
