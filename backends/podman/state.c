/* SPDX-License-Identifier: MIT */
/* A service has the ids, the settings, the control group and the environment of when it began. */
#include "podman/endpoint.h"

#include <sys/stat.h>
#include <unistd.h>

static void add_file(GString *to, const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0)
        g_string_append_printf(to, "%s %ju %ju %jd.%09ld\n", path, (uintmax_t) st.st_ino, (uintmax_t) st.st_size,
                               (intmax_t) st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

/* With the files of its directory containers.conf.d. */
static void add_settings(GString *to, const char *directory)
{
    static const char *const names[] = {"containers.conf", "containers.conf.d", "storage.conf"};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(directory, names[i], NULL);
        add_file(to, path);
    }
    g_autofree char *more = g_build_filename(directory, names[1], NULL);
    g_autoptr(GDir) dir = g_dir_open(more, 0, NULL);
    for (const char *name = NULL; dir && (name = g_dir_read_name(dir));) {
        g_autofree char *path = g_build_filename(more, name, NULL);
        add_file(to, path);
    }
}

static void add_login(GString *to)
{
    g_autofree char *bus = g_strdup_printf("/run/user/%u/bus", (guint) geteuid());
    g_autofree char *controllers = dsbe_manager_controllers();
    g_string_append(to, controllers ? controllers : "");
    add_file(to, bus);
}

char *dsb_podman_state(void)
{
    static const char *const variables[] = {"CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF"};
    g_autoptr(GString) text = g_string_new(NULL);
    g_autofree char *own = g_build_filename(g_get_user_config_dir(), "containers", NULL);
    add_file(text, "/etc/subuid");
    add_file(text, "/etc/subgid");
    add_settings(text, "/usr/share/containers");
    add_settings(text, "/etc/containers");
    add_settings(text, own);
    for (gsize i = 0; i < G_N_ELEMENTS(variables); i++)
        if (g_getenv(variables[i]))
            add_file(text, g_getenv(variables[i]));
    for (const char *const *name = dsb_podman_passed; *name; name++)
        if (g_getenv(*name))
            g_string_append_printf(text, "%s=%s\n", *name, g_getenv(*name));
    if (geteuid() != 0)
        add_login(text);
    char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text->str, -1);
    digest[8] = '\0';
    return digest;
}
