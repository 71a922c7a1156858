/* SPDX-License-Identifier: MIT */
/* What holds in this container, read from the kernel before anything else runs in it. */
#include "init/init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define VOLUME "/sandbox"

bool find_python(char *path, size_t size)
{
    /* Places that code of an earlier execution may have written to. */
    static const char *const untrusted[] = {"/sandbox", "/tmp", "/var/tmp", "/run", "/dev", "/proc"};
    const char *dirs = getenv("PATH");

    if (!dirs || !*dirs)
        dirs = "/usr/local/bin:/usr/bin:/bin";
    while (*dirs) {
        size_t n = strcspn(dirs, ":");
        bool trusted = n > 0 && dirs[0] == '/';
        for (size_t i = 0; trusted && i < sizeof untrusted / sizeof *untrusted; i++) {
            size_t len = strlen(untrusted[i]);
            trusted = n < len || strncmp(dirs, untrusted[i], len) != 0 || (n > len && dirs[len] != '/');
        }
        if (trusted && (size_t) snprintf(path, size, "%.*s/python3", (int) n, dirs) < size && access(path, X_OK) == 0)
            return true;
        dirs += n + (dirs[n] == ':');
    }
    return false;
}

/* The value of a line of /proc/self/status, without its name. */
static bool status_line(const char *status, const char *name, const char **value, size_t *n)
{
    size_t len = strlen(name);

    for (const char *line = status; line && *line; line = strchr(line, '\n'), line += line != NULL) {
        if (strncmp(line, name, len) != 0 || line[len] != ':')
            continue;
        *value = line + len + 1;
        *value += strspn(*value, " \t");
        *n = strcspn(*value, "\n");
        return true;
    }
    return false;
}

static void number_list(struct buf *out, const char *status, const char *name)
{
    const char *v;
    size_t n;
    bool first = true;

    buf_add(out, "[", 1);
    if (status_line(status, name, &v, &n)) {
        for (const char *end = v + n; v < end;) {
            char *next;
            unsigned long long number = strtoull(v, &next, 10);
            if (next == v || next > end)
                break;
            buf_printf(out, "%s%llu", first ? "" : ",", number);
            first = false;
            v = next;
        }
    }
    buf_add(out, "]", 1);
}

static void identity(struct buf *out)
{
    static const char *const caps[][2] = {
        {"inh", "CapInh"}, {"prm", "CapPrm"}, {"eff", "CapEff"}, {"bnd", "CapBnd"}, {"amb", "CapAmb"}};
    char status[8 * 1024];
    const char *v;
    size_t n;

    /* A status that cannot be read leaves empty lists, which the host refuses. */
    if (read_file("/proc/self/status", status, sizeof status) < 0)
        status[0] = '\0';
    buf_printf(out, ",\"uid\":");
    number_list(out, status, "Uid");
    buf_printf(out, ",\"gid\":");
    number_list(out, status, "Gid");
    buf_printf(out, ",\"groups\":");
    number_list(out, status, "Groups");
    buf_printf(out, ",\"caps\":{");
    bool first = true;
    for (size_t i = 0; i < sizeof caps / sizeof *caps; i++) {
        if (!status_line(status, caps[i][1], &v, &n))
            continue;
        buf_printf(out, "%s\"%s\":", first ? "" : ",", caps[i][0]);
        json_string(out, v, n);
        first = false;
    }
    buf_printf(out, "}");
    if (status_line(status, "NoNewPrivs", &v, &n))
        buf_printf(out, ",\"no_new_privs\":%d", atoi(v));
    bool marker = false;
#ifdef SYS_lookup_dcookie
    /* Only our profile answers this removed call with EXDEV: see seccomp.json. */
    marker = syscall(SYS_lookup_dcookie, (uint64_t) 0, NULL, (size_t) 0) == -1 && errno == EXDEV;
#endif
    buf_printf(out, ",\"seccomp\":{");
    if (status_line(status, "Seccomp", &v, &n))
        buf_printf(out, "\"mode\":%d,", atoi(v));
    buf_printf(out, "\"marker\":%s}", marker ? "true" : "false");
}

/* mountinfo writes space, tab, newline and backslash as octal. */
static size_t unescape(char *text)
{
    char *to = text;

    for (const char *from = text; *from; to++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' && from[3] >= '0' &&
            from[3] <= '7') {
            *to = (char) ((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
    return (size_t) (to - text);
}

static void mount_text(struct buf *out, const char *key, char *value)
{
    buf_printf(out, "%s\"%s\":", strcmp(key, "target") == 0 ? "" : ",", key);
    json_string(out, value, unescape(value));
}

/* "36 35 98:0 /root /target options [optional...] - fstype source super_options" */
static bool one_mount(struct buf *out, char *line)
{
    char *save = NULL, *field[6];
    char *tail = strstr(line, " - ");

    if (!tail)
        return false;
    *tail = '\0';
    for (int i = 0; i < 6; i++)
        if (!(field[i] = strtok_r(i ? NULL : line, " ", &save)))
            return false;
    char *fstype = strtok_r(tail + 3, " ", &save);
    char *source = strtok_r(NULL, " ", &save);
    char *super = strtok_r(NULL, " ", &save);
    if (!fstype || !source)
        return false;
    buf_printf(out, "{");
    mount_text(out, "target", field[4]);
    mount_text(out, "fstype", fstype);
    mount_text(out, "options", field[5]);
    mount_text(out, "super_options", super ? super : (char[]){""});
    struct stat st;
    if (stat(field[4], &st) == 0)
        buf_printf(out, ",\"dev\":%" PRIu64 ",\"ino\":%" PRIu64, (uint64_t) st.st_dev, (uint64_t) st.st_ino);
    struct statvfs fs;
    if (strcmp(fstype, "tmpfs") == 0 && statvfs(field[4], &fs) == 0)
        buf_printf(out, ",\"size\":%" PRIu64 ",\"inodes\":%" PRIu64, (uint64_t) fs.f_blocks * fs.f_frsize,
                   (uint64_t) fs.f_files);
    buf_printf(out, "}");
    return true;
}

static void mounts(struct buf *out)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t size = 0;
    bool first = true;

    buf_printf(out, ",\"mounts\":[");
    while (f && getline(&line, &size, f) > 0 && buf_len(out) < 512 * KIB) {
        line[strcspn(line, "\n")] = '\0';
        size_t before = out->end;
        if (!first)
            buf_add(out, ",", 1);
        if (one_mount(out, line))
            first = false;
        else
            out->end = before;
    }
    buf_printf(out, "]");
    free(line);
    if (f)
        fclose(f);
}

static void interfaces(struct buf *out)
{
    FILE *f = fopen("/proc/self/net/dev", "re");
    int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char line[512];
    bool first = true;

    /* Without the file the member is absent: an empty list would be a claim. */
    if (f)
        buf_printf(out, ",\"interfaces\":[");
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (!colon)
            continue;
        *colon = '\0';
        char *name = line + strspn(line, " ");
        struct ifreq request = {0};
        snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
        buf_printf(out, "%s{\"name\":", first ? "" : ",");
        json_string(out, name, strlen(name));
        if (sock >= 0 && ioctl(sock, SIOCGIFFLAGS, &request) == 0)
            buf_printf(out, ",\"up\":%s", request.ifr_flags & IFF_UP ? "true" : "false");
        buf_printf(out, "}");
        first = false;
    }
    if (f) {
        buf_printf(out, "]");
        fclose(f);
    }
    if (sock >= 0)
        close(sock);
}

/* All that the kernel has, whichever of them the policy is about. */
static void rlimits(struct buf *out)
{
    static const struct {
        const char *name;
        int resource;
    } all[] = {{"nofile", RLIMIT_NOFILE},   {"core", RLIMIT_CORE},         {"fsize", RLIMIT_FSIZE},
               {"as", RLIMIT_AS},           {"cpu", RLIMIT_CPU},           {"data", RLIMIT_DATA},
               {"memlock", RLIMIT_MEMLOCK}, {"msgqueue", RLIMIT_MSGQUEUE}, {"nice", RLIMIT_NICE},
               {"nproc", RLIMIT_NPROC},     {"rtprio", RLIMIT_RTPRIO},     {"rttime", RLIMIT_RTTIME},
               {"sigpending", RLIMIT_SIGPENDING}, {"stack", RLIMIT_STACK}};
    struct rlimit r;
    bool first = true;

    buf_printf(out, ",\"rlimits\":{");
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (getrlimit((__rlimit_resource_t) all[i].resource, &r) < 0)
            continue;
        buf_printf(out, "%s\"%s\":[%" PRId64 ",%" PRId64 "]", first ? "" : ",", all[i].name,
                   r.rlim_cur == RLIM_INFINITY ? -1 : (int64_t) r.rlim_cur,
                   r.rlim_max == RLIM_INFINITY ? -1 : (int64_t) r.rlim_max);
        first = false;
    }
    buf_printf(out, "}");
}

static void namespaces(struct buf *out)
{
    static const char *const names[] = {"pid", "ipc", "uts", "net", "mnt", "cgroup", "user"};
    char path[64];
    struct stat st;
    bool first = true;

    buf_printf(out, ",\"namespaces\":{");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "/proc/self/ns/%s", names[i]);
        if (stat(path, &st) < 0)
            continue;
        buf_printf(out, "%s\"%s\":%" PRIu64, first ? "" : ",", names[i], (uint64_t) st.st_ino);
        first = false;
    }
    buf_printf(out, "}");
}

static void devices_in(struct buf *out, const char *dir, int depth, int *count)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    struct stat st;
    char path[512];

    while (d && *count < 1024 && (e = readdir(d))) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if ((size_t) snprintf(path, sizeof path, "%s/%s", dir, e->d_name) >= sizeof path || lstat(path, &st) < 0)
            continue;
        if (S_ISDIR(st.st_mode) && depth < 4 && strcmp(path, "/dev/pts") != 0)
            devices_in(out, path, depth + 1, count);
        if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
            continue;
        const char *name = path + strlen("/dev/");
        buf_printf(out, "%s{\"name\":", (*count)++ > 0 ? "," : "");
        json_string(out, name, strlen(name));
        buf_printf(out, ",\"type\":\"%c\",\"major\":%u,\"minor\":%u}", S_ISCHR(st.st_mode) ? 'c' : 'b',
                   major(st.st_rdev), minor(st.st_rdev));
    }
    if (d)
        closedir(d);
}

void facts_write(struct buf *out, const struct cgroup *cg, const char *python)
{
    char host[256] = "";
    struct stat st;
    int count = 0;

    buf_printf(out, "{\"protocol\":" DSB_PROTOCOL_TEXT ",\"version\":\"" DSB_VERSION "\",\"pid\":%d", (int) getpid());
    identity(out);
    buf_printf(out, ",\"cgroup\":");
    cgroup_facts(cg, out);
    mounts(out);
    interfaces(out);
    rlimits(out);
    if (stat(VOLUME, &st) == 0) {
        buf_printf(out, ",\"volume\":{\"dev\":%" PRIu64 ",\"ino\":%" PRIu64, (uint64_t) st.st_dev,
                   (uint64_t) st.st_ino);
        volume_use(out);
        buf_printf(out, "}");
    }
    namespaces(out);
    buf_printf(out, ",\"devices\":[");
    devices_in(out, "/dev", 0, &count);
    buf_printf(out, "],\"hostname\":");
    gethostname(host, sizeof host - 1);
    json_string(out, host, strlen(host));
    buf_printf(out, ",\"python\":");
    json_string(out, python, strlen(python));
    buf_printf(out, "}");
}
