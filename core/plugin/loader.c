/* SPDX-License-Identifier: MIT */
/* From a file to a plugin that can be called: owner, mode, symbol, version, size and name are checked. */
#include "plugin/loader.h"

#include "common/fd.h"
#include "common/trust.h"
#include "plugin/call_hook.h"
#include "plugin/installation.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "libdsandbox-"
#define SUFFIX ".so"
#define NAME_MAX_LENGTH 32
#define NAME_RULE "it must match [a-z0-9-]{1,32}, not begin with a dash, and not be \"auto\""
#define STRUCT_SIZE_MAX 4096
#define MAX_LISTED 1000
#define MAX_SEGMENTS 64

#if defined(__x86_64__)
#define OUR_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OUR_MACHINE EM_AARCH64
#else
#error "dsandbox supports x86-64 and aarch64"
#endif

/** Where the mandatory operations end: what every plugin has. */
#define MANDATORY_END (offsetof(struct dsb_plugin, list) + sizeof(((struct dsb_plugin *) NULL)->list))

static gboolean fail(GError **error, const char *path, const char *format, ...) G_GNUC_PRINTF(3, 4);

/** Sets DSB_ERROR_PLUGIN "plugin PATH: ..." and returns FALSE. */
static gboolean fail(GError **error, const char *path, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, DSB_ERROR, DSB_ERROR_PLUGIN, "plugin %s: %s", path, text);
    return FALSE;
}

gboolean dsb_loader_name_ok(const char *name)
{
    if (name == NULL || *name == '\0' || strlen(name) > NAME_MAX_LENGTH)
        return FALSE;
    /* "auto" is a choice among all, and what begins with a dash is an option. */
    if (*name == '-' || g_str_equal(name, "auto"))
        return FALSE;
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(name);
}

static int compare_names(gconstpointer a, gconstpointer b) { return strcmp(*(char *const *) a, *(char *const *) b); }

GPtrArray *dsb_loader_list(void)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir = g_dir_open(dsb_plugin_dir(), 0, NULL);
    if (dir == NULL)
        return names;
    for (const char *file = g_dir_read_name(dir); file != NULL && names->len < MAX_LISTED;
         file = g_dir_read_name(dir)) {
        gsize length = strlen(file);
        if (!g_str_has_prefix(file, PREFIX) || !g_str_has_suffix(file, SUFFIX) ||
            length <= strlen(PREFIX) + strlen(SUFFIX))
            continue;
        g_autofree char *name = g_strndup(file + strlen(PREFIX), length - strlen(PREFIX) - strlen(SUFFIX));
        if (dsb_loader_name_ok(name))
            g_ptr_array_add(names, g_steal_pointer(&name));
    }
    g_ptr_array_sort(names, compare_names);
    return names;
}

static gboolean fail_unknown(const char *name, GError **error)
{
    g_autoptr(GPtrArray) names = dsb_loader_list();
    g_autoptr(GString) known = g_string_new(NULL);
    for (guint i = 0; i < names->len; i++)
        g_string_append_printf(known, "%s%s", i > 0 ? ", " : "", (const char *) names->pdata[i]);
    if (names->len == 0)
        g_set_error(error, DSB_ERROR, DSB_ERROR_NOT_FOUND,
                    "no backend plugin \"%s\": there are no plugins in %s; is dsandbox installed completely?", name,
                    dsb_plugin_dir());
    else
        g_set_error(error, DSB_ERROR, DSB_ERROR_NOT_FOUND, "no backend plugin \"%s\"; in %s there are: %s", name,
                    dsb_plugin_dir(), known->str);
    return FALSE;
}

/** Whether the owner and the mode of one path component keep others from replacing what is in it. */
static gboolean check_trust(const char *path, const char *component, const struct stat *st, GError **error)
{
    if (dsb_is_trusted(st))
        return TRUE;
    if (st->st_uid != 0 && st->st_uid != geteuid())
        return fail(error, path, "%s belongs to uid %u; it must belong to root or to you (uid %u)", component,
                    (unsigned) st->st_uid, (unsigned) geteuid());
    return fail(error, path, "%s is writable by others (mode %04o); use chmod go-w", component,
                (unsigned) st->st_mode & 07777);
}

static gboolean fail_open(const char *path, const char *component, int code, GError **error)
{
    if (code == ENOENT || code == ENOTDIR) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_NOT_FOUND, "no plugin file %s", path);
        return FALSE;
    }
    if (code == ELOOP)
        return fail(error, path, "%s is a symbolic link; give the real path", component);
    if (code == EACCES || code == EPERM) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_DENIED, "plugin %s: cannot open %s: %s", path, component,
                    g_strerror(code));
        return FALSE;
    }
    g_set_error(error, DSB_ERROR, dsb_errno_code(code, DSB_ERROR_PLUGIN), "plugin %s: cannot open %s: %s", path,
                component, dsb_errno_text(code));
    return FALSE;
}

/** Walks from / to the file without following links, checking each directory on the way. */
static gboolean open_trusted(const char *path, dsb_fd *out, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(path + 1, "/", -1);
    g_autoptr(GString) walked = g_string_new("/");
    g_auto(dsb_fd) dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (guint i = 0; parts[i] != NULL; i++) {
        gboolean last = parts[i + 1] == NULL;
        struct stat st;
        if (dir < 0 || fstat(dir, &st) != 0)
            return fail_open(path, walked->str, errno, error);
        if (S_ISLNK(st.st_mode))
            return fail_open(path, walked->str, ELOOP, error);
        if (!S_ISDIR(st.st_mode))
            return fail_open(path, walked->str, ENOTDIR, error);
        if (!check_trust(path, walked->str, &st, error))
            return FALSE;
        if (*parts[i] == '\0' && !last)
            continue;
        if (*parts[i] == '\0' || g_str_equal(parts[i], ".") || g_str_equal(parts[i], ".."))
            return fail(error, path, "the path must not have \".\", \"..\" or a \"/\" at its end");
        g_string_append_printf(walked, "%s%s", walked->len > 1 ? "/" : "", parts[i]);
        int flags = last ? O_RDONLY | O_NONBLOCK | O_NOCTTY : O_PATH;
        g_auto(dsb_fd) next = openat(dir, parts[i], flags | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0)
            return fail_open(path, walked->str, errno, error);
        dsb_fd_clear(&dir);
        dir = next;
        next = -1;
    }
    *out = dir;
    dir = -1;
    return TRUE;
}

/** Refuses what is no shared object for this machine, and truncated ones, on which dlopen may crash. */
static gboolean check_elf(const char *path, int fd, const struct stat *st, GError **error)
{
    Elf64_Ehdr header;
    if (pread(fd, &header, sizeof header, 0) != (ssize_t) sizeof header || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
        return fail(error, path, "is not a shared object (no ELF header)");
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
        header.e_machine != OUR_MACHINE)
        return fail(error, path, "is a shared object for another machine");
    if (header.e_type != ET_DYN || header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum == 0 ||
        header.e_phnum > MAX_SEGMENTS)
        return fail(error, path, "is not a shared object (bad ELF header)");
    for (guint i = 0; i < header.e_phnum; i++) {
        Elf64_Phdr segment;
        guint64 at = header.e_phoff + (guint64) i * sizeof segment;
        if (at > G_MAXINT64 || pread(fd, &segment, sizeof segment, (off_t) at) != (ssize_t) sizeof segment)
            return fail(error, path, "is truncated");
        guint64 size = (guint64) st->st_size;
        if (segment.p_type == PT_LOAD && (segment.p_offset > size || segment.p_filesz > size - segment.p_offset))
            return fail(error, path, "is truncated");
    }
    return TRUE;
}

static gboolean open_file(const char *path, dsb_fd *out, GError **error)
{
    g_auto(dsb_fd) fd = -1;
    if (!open_trusted(path, &fd, error))
        return FALSE;
    struct stat st;
    if (fstat(fd, &st) != 0)
        return fail_open(path, path, errno, error);
    if (!S_ISREG(st.st_mode))
        return fail(error, path, "is not a regular file");
    if (!check_trust(path, path, &st, error) || !check_elf(path, fd, &st, error))
        return FALSE;
    *out = fd;
    fd = -1;
    return TRUE;
}

/**
 * A name for the descriptor that dlopen has never seen. dlopen finds loaded objects by name first, so
 * with plain /proc/self/fd/N a second plugin on a reused number would get the code of the first one.
 */
static char *unique_fd_path(int fd)
{
    static guint counter;
    guint serial = (guint) g_atomic_int_add((int *) &counter, 1);
    g_autoptr(GString) path = g_string_new("/proc/self");
    for (; serial != 0; serial >>= 1)
        g_string_append(path, (serial & 1) != 0 ? "/." : "/");
    g_string_append_printf(path, "/fd/%d", fd);
    return g_string_free(g_steal_pointer(&path), FALSE);
}

/** Whether a descriptor of this size ends between two members: else the last one would be cut in half. */
static gboolean is_whole(gsize size)
{
    static const gsize starts[] = {offsetof(struct dsb_plugin, prepare), offsetof(struct dsb_plugin, image_make),
                                   sizeof(struct dsb_plugin)};
    for (gsize i = 0; i < G_N_ELEMENTS(starts); i++)
        if (size == starts[i])
            return TRUE;
    return size > sizeof(struct dsb_plugin) && size % sizeof(void *) == 0;
}

/** The members that may be read before struct_size is known to be right. */
static gboolean check_versions(const char *path, const struct dsb_plugin *plugin, GError **error)
{
    if (plugin->magic != DSB_PLUGIN_MAGIC)
        return fail(error, path, "is not a dsandbox plugin (magic %08x, expected %08x)", plugin->magic,
                    DSB_PLUGIN_MAGIC);
    if (plugin->abi_major != DSB_PLUGIN_ABI_MAJOR)
        return fail(error, path, "was built for plugin ABI %u, this dsandbox has %u; %s", plugin->abi_major,
                    DSB_PLUGIN_ABI_MAJOR,
                    plugin->abi_major > DSB_PLUGIN_ABI_MAJOR
                        ? "update dsandbox"
                        : "change the plugin as dsandbox-plugin(7) says under Versions, and rebuild it");
    if (plugin->abi_minor > DSB_PLUGIN_ABI_MINOR)
        return fail(error, path, "needs plugin ABI %u.%u, this dsandbox has %u.%u; update dsandbox", plugin->abi_major,
                    plugin->abi_minor, DSB_PLUGIN_ABI_MAJOR, DSB_PLUGIN_ABI_MINOR);
    if (plugin->struct_size < MANDATORY_END || plugin->struct_size > STRUCT_SIZE_MAX)
        return fail(error, path, "struct_size is %u, must be %zu to %u; use DSB_PLUGIN_HEADER", plugin->struct_size,
                    MANDATORY_END, STRUCT_SIZE_MAX);
    if (!is_whole(plugin->struct_size))
        return fail(error, path, "struct_size is %u, which ends inside a member; use DSB_PLUGIN_HEADER",
                    plugin->struct_size);
    return TRUE;
}

static gboolean check_operations(const char *path, const struct dsb_plugin *plugin, GError **error)
{
    const struct {
        const char *name;
        gboolean present;
    } mandatory[] = {
        {"open", plugin->open != NULL},         {"close", plugin->close != NULL},
        {"describe", plugin->describe != NULL}, {"create", plugin->create != NULL},
        {"inspect", plugin->inspect != NULL},   {"start", plugin->start != NULL},
        {"destroy", plugin->destroy != NULL},   {"list", plugin->list != NULL},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(mandatory); i++) {
        if (!mandatory[i].present)
            return fail(error, path, "lacks the mandatory operation \"%s\"", mandatory[i].name);
    }
    return TRUE;
}

static gboolean check_descriptor(const char *path, const char *asked, const struct dsb_plugin *plugin, GError **error)
{
    if (!check_operations(path, plugin, error))
        return FALSE;
    if (!dsb_loader_name_ok(plugin->name))
        return fail(error, path, "has no valid name; " NAME_RULE);
    if (asked != NULL && !g_str_equal(plugin->name, asked))
        return fail(error, path, "calls itself \"%s\", but \"%s\" was asked for", plugin->name, asked);
    if (plugin->version == NULL || plugin->description == NULL)
        return fail(error, path, "has no %s", plugin->version == NULL ? "version" : "description");
    if (plugin->thread_model != DSB_THREADS_SERIAL && plugin->thread_model != DSB_THREADS_PARALLEL)
        return fail(error, path, "thread_model is %u; use DSB_THREADS_SERIAL or DSB_THREADS_PARALLEL",
                    plugin->thread_model);
    return TRUE;
}

static gboolean check_name(const char *name, const char *path, GError **error)
{
    if (name == NULL && path == NULL) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "neither the name nor the path of a plugin is given");
        return FALSE;
    }
    if (name != NULL && !dsb_loader_name_ok(name)) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID,
                    "\"%s\" is no backend name; " NAME_RULE " (a file is given as plugin_path)", name);
        return FALSE;
    }
    if (path != NULL && *path != '/') {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "\"%s\" is no plugin path; it must be absolute", path);
        return FALSE;
    }
    return TRUE;
}

/** Runs the entry point of the open file and fills `loaded`. */
static gboolean load(const char *name, const char *path, int fd, struct dsb_loaded *loaded, GError **error)
{
    g_autofree char *fd_path = unique_fd_path(fd);
    loaded->path = g_strdup(path);
    dsb_call_begin(path, "load", dsb_call_limit_ms("load", 0));
    loaded->handle = dlopen(fd_path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    dsb_call_end();
    if (loaded->handle == NULL) {
        const char *text = dlerror();
        gsize skip = text != NULL && g_str_has_prefix(text, fd_path) ? strlen(fd_path) : 0;
        return fail(error, path, "cannot be loaded%s%s", skip > 0 ? "" : ": ",
                    text != NULL ? text + skip : "unknown reason");
    }
    dsb_plugin_entry_fn entry = NULL;
    *(void **) &entry = dlsym(loaded->handle, DSB_PLUGIN_ENTRY);
    if (entry == NULL)
        return fail(error, path, "does not export %s", DSB_PLUGIN_ENTRY);
    dsb_call_begin(path, "load", dsb_call_limit_ms("load", 0));
    const struct dsb_plugin *plugin = entry();
    dsb_call_end();
    if (plugin == NULL)
        return fail(error, path, "%s returned NULL", DSB_PLUGIN_ENTRY);
    if (!check_versions(path, plugin, error))
        return FALSE;
    memcpy(&loaded->plugin, plugin, MIN(plugin->struct_size, sizeof loaded->plugin));
    if (!check_descriptor(path, name, &loaded->plugin, error))
        return FALSE;
    loaded->plugin.struct_size = (uint32_t) sizeof loaded->plugin;
    loaded->plugin.enforces &= DSB_CONTROLS_ALL;
    return TRUE;
}

gboolean dsb_loader_open(const char *name, const char *path, struct dsb_loaded **out, GError **error)
{
    g_return_val_if_fail(out != NULL, FALSE);

    if (!check_name(name, path, error))
        return FALSE;
    g_autofree char *file = NULL;
    if (path == NULL)
        file = g_strdup_printf("%s/%s%s%s", dsb_plugin_dir(), PREFIX, name, SUFFIX);
    else
        file = g_strdup(path);

    g_auto(dsb_fd) fd = -1;
    g_autoptr(GError) local = NULL;
    if (!open_file(file, &fd, &local)) {
        if (path == NULL && g_error_matches(local, DSB_ERROR, DSB_ERROR_NOT_FOUND))
            return fail_unknown(name, error);
        g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
    }
    struct dsb_loaded *loaded = g_new0(struct dsb_loaded, 1);
    if (!load(name, file, fd, loaded, error)) {
        dsb_loaded_free(loaded);
        return FALSE;
    }
    *out = loaded;
    return TRUE;
}

void dsb_loaded_free(struct dsb_loaded *loaded)
{
    if (loaded == NULL)
        return;
    if (loaded->handle != NULL)
        dlclose(loaded->handle);
    g_free(loaded->path);
    g_free(loaded);
}
