/* SPDX-License-Identifier: MIT */
/* Which runtime there is, and what this host's control groups can limit. */
#include "oci/oci.h"

#include "common/json.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define CGROUPS "/sys/fs/cgroup"
#define FILE_MAX (64 * 1024)
#define CACHE_SECONDS 86400
#define MAGIC_CGROUP2 0x63677270
/* Where distributions put them, besides a user's PATH. */
#define MORE_PATH ":/usr/local/sbin:/usr/sbin:/sbin"

#define RUNTIME "runc"

static gboolean is_there(const char *path) { return access(path, F_OK) == 0; }

static char *find(void)
{
    g_autofree char *places = g_strconcat(dsbe_path_list(), MORE_PATH, NULL);
    return dsbe_find_program(RUNTIME, places);
}

char *dsbo_host_runtime(const struct dsbo *oci, const char *name, GError **error)
{
    if (name == NULL || strcmp(name, RUNTIME) == 0)
        return g_strdup(oci->program);
    g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "the runtime \"%s\" is not " RUNTIME ", which this backend drives", name);
    return NULL;
}

/* ---- limits ---- */

static uint64_t limits_of_one(void)
{
    uint64_t limits = 0;
    if (access(CGROUPS "/memory", W_OK) == 0 && is_there(CGROUPS "/memory/memory.limit_in_bytes"))
        limits |= DSB_BIT(DSB_CONTROL_MEMORY);
    if ((limits & DSB_BIT(DSB_CONTROL_MEMORY)) != 0 && is_there(CGROUPS "/memory/memory.memsw.limit_in_bytes"))
        limits |= DSB_BIT(DSB_CONTROL_SWAP);
    if (access(CGROUPS "/cpu", W_OK) == 0 && is_there(CGROUPS "/cpu/cpu.cfs_quota_us"))
        limits |= DSB_BIT(DSB_CONTROL_CPU);
    if (access(CGROUPS "/pids", W_OK) == 0 && is_there(CGROUPS "/pids/cgroup.procs"))
        limits |= DSB_BIT(DSB_CONTROL_PIDS);
    return limits;
}

static uint64_t limits_of_two(void)
{
    static const struct {
        const char *controller;
        uint64_t bits;
    } table[] = {
        {"memory", DSB_BIT(DSB_CONTROL_MEMORY) | DSB_BIT(DSB_CONTROL_SWAP)}, /* without swap accounting it is measured */
        {"cpu", DSB_BIT(DSB_CONTROL_CPU)},
        {"pids", DSB_BIT(DSB_CONTROL_PIDS)},
    };
    gsize size = 0;
    uint64_t limits = 0;
    g_autofree char *text = dsbe_read_file(CGROUPS "/cgroup.controllers", FILE_MAX, &size, NULL);
    g_auto(GStrv) words = g_strsplit_set(text != NULL ? text : "", " \n", 64);
    for (gsize i = 0; i < G_N_ELEMENTS(table) && access(CGROUPS, W_OK) == 0; i++)
        if (g_strv_contains((const char *const *) words, table[i].controller))
            limits |= table[i].bits;
    return limits;
}

static void look_at_groups(struct dsb_engine_info *info)
{
    struct statfs fs;
    gboolean two = statfs(CGROUPS, &fs) == 0 && (unsigned long) fs.f_type == MAGIC_CGROUP2;
    info->cgroup_version = two ? 2 : is_there(CGROUPS "/memory") ? 1 : 0;
    info->limits_available = two ? limits_of_two() : limits_of_one();
}

/* ---- the runtime ---- */

/* "runc version 1.1.5+ds1": starting it only to be told so is remembered for as long as it is the same file. */
static char *version_of(struct dsbo *oci)
{
    struct stat st;
    g_autoptr(json_object) facts = NULL;
    g_autofree char *cache = dsbe_cache_path(oci->containers, oci->program);
    if (stat(oci->program, &st) != 0)
        return g_strdup("");
    g_autofree char *key = g_strdup_printf("%ju:%ju:%jd.%09ld", (uintmax_t) st.st_dev, (uintmax_t) st.st_ino,
                                           (intmax_t) st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
    facts = dsbe_cache_recall(cache, key, CACHE_SECONDS);
    if (facts != NULL)
        return g_strdup(dsbe_json_string(facts, "version", ""));
    char *const argv[] = {oci->program, (char *) "--version", NULL};
    g_auto(dsbe_output) output = {0};
    if (!dsbe_capture(argv, oci->env, oci->timeout_ms, oci->cancel_fd, &output, NULL) || output.status != 0)
        return g_strdup("");
    char *end = strchr(output.text->str, '\n');
    if (end != NULL)
        *end = '\0';
    const char *word = strrchr(output.text->str, ' ');
    char *version = dsbe_one_line(word != NULL ? word + 1 : "", word != NULL ? strlen(word + 1) : 0);
    facts = json_object_new_object();
    json_add(facts, "version", version);
    dsbe_cache_remember(cache, key, facts, NULL);
    return version;
}

gboolean dsbo_host_identify(struct dsbo *oci, GError **error)
{
    struct dsb_engine_info *info = &oci->info;
    oci->program = find();
    if (oci->program == NULL) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE,
                            "there is no runtime: install " RUNTIME " (in a directory that only root can write)");
        return FALSE;
    }
    if (geteuid() != 0) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_UNAVAILABLE,
                            "this backend works for root only: use rootless Podman (backend podman)");
        return FALSE;
    }
    g_autofree char *name = g_path_get_basename(oci->program);
    g_autofree char *version = version_of(oci);
    g_strlcpy(info->product, name, sizeof info->product);
    g_strlcpy(info->version, version, sizeof info->version);
    g_strlcpy(info->api, "1.0.2", sizeof info->api);
    g_strlcpy(info->endpoint, oci->images, sizeof info->endpoint);
    g_strlcpy(info->runtime, name, sizeof info->runtime);
    g_strlcpy(info->data_root, oci->images, sizeof info->data_root);
    info->local = TRUE;
    look_at_groups(info);
    return TRUE;
}
