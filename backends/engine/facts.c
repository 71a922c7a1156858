/* SPDX-License-Identifier: MIT */
/*
 * What `/info` said, kept for some minutes in the private runtime directory. A stale answer can make a
 * container fail or be refused; it cannot weaken one, since every control is measured again inside.
 */
#include "engine.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FACTS_MAX (1024 * 1024)
#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define UNIFIED_CONTROLLERS "/sys/fs/cgroup/unified/cgroup.controllers"

static char *make_key(const struct dsbe_client *client)
{
    g_autofree char *boot = NULL;
    if (!g_file_get_contents(BOOT_ID, &boot, NULL, NULL))
        return NULL;
    const struct dsb_engine_info *info = &client->facts.info;
    return g_strjoin(" ", info->product, info->version, info->endpoint, g_strstrip(boot), NULL);
}

static char *make_path(const struct dsbe_client *client)
{
    if (!client->dialect->facts_seconds || !client->runtime_dir)
        return NULL;
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, client->facts.info.endpoint, -1);
    digest[16] = '\0';
    g_autofree char *name = g_strconcat("facts-", digest, ".json", NULL);
    return g_build_filename(client->runtime_dir, name, NULL);
}

json_object *dsbe_facts_recall(struct dsbe_client *client)
{
    g_autofree char *path = make_path(client);
    struct stat file;
    if (!path || lstat(path, &file) != 0 || !S_ISREG(file.st_mode) || file.st_uid != geteuid() ||
        file.st_size > FACTS_MAX)
        return NULL;
    gint64 age = g_get_real_time() / G_USEC_PER_SEC - file.st_mtime;
    if (age < 0 || age > client->dialect->facts_seconds)
        return NULL;
    gsize size = 0;
    g_autofree char *text = dsbe_read_file(path, FACTS_MAX, &size, NULL);
    if (!text)
        return NULL;
    g_autoptr(json_object) file_root = dsbe_json_parse(text, size, NULL);
    g_autofree char *key = make_key(client);
    json_object *facts = dsbe_json_at(file_root, "facts");
    if (!key || strcmp(key, dsbe_json_string(file_root, "key", "")) != 0)
        return NULL;
    return json_object_get(facts);
}

void dsbe_facts_remember(struct dsbe_client *client, json_object *root)
{
    g_autofree char *path = make_path(client);
    g_autofree char *key = make_key(client);
    if (!path || !key)
        return;
    g_autoptr(json_object) file_root = json_object_new_object();
    dsbe_put_string(file_root, "key", key);
    dsbe_put(file_root, "facts", json_object_get(root));
    g_autofree char *text = dsbe_json_text(file_root);
    (void) g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, NULL);
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
