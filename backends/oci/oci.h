/* SPDX-License-Identifier: MIT */
/*
 * Backend without a daemon: each container is a bundle of ours, made by `runc`. All that is known of a container
 * is in a directory of its own in the runtime directory, so any process of the user finds it, whoever was killed.
 */
#ifndef DSBO_OCI_H
#define DSBO_OCI_H

#include "engine/engine.h"
#include "engine/program.h"

G_BEGIN_DECLS

/** Controls that dsbo_bundle translates, one by one: a new one is refused until it stands here. */
#define DSBO_ENFORCES                                                                                                  \
    (DSB_CONTROLS_LIMITS | DSB_BIT(DSB_CONTROL_VOLUME) | DSB_BIT(DSB_CONTROL_TMP) | DSB_BIT(DSB_CONTROL_SHM) |            \
     DSB_BIT(DSB_CONTROL_NOFILE) | DSB_BIT(DSB_CONTROL_CORE) | DSB_BIT(DSB_CONTROL_FSIZE) |                             \
     DSB_BIT(DSB_CONTROL_NETWORK) | DSB_BIT(DSB_CONTROL_USER) | DSB_BIT(DSB_CONTROL_ROOTFS) |                           \
     DSB_BIT(DSB_CONTROL_CAPABILITIES) | DSB_BIT(DSB_CONTROL_NO_NEW_PRIVS) | DSB_BIT(DSB_CONTROL_SECCOMP) |             \
     DSB_BIT(DSB_CONTROL_NAMESPACES) | DSB_BIT(DSB_CONTROL_DEVICES) | DSB_BIT(DSB_CONTROL_RUNTIME))

/** One opened backend. */
struct dsbo {
    char *images;      /**< the directory of the images */
    char *containers;  /**< a directory for each container */
    char *runtime_dir; /**< the caller's */
    char *program;     /**< the runtime that is used by default, absolute */
    GStrv env;         /**< of the runtime */
    guint timeout_ms;
    int cancel_fd; /**< -1: none */
    void (*log)(void *log_data, const char *line);
    void *log_data;
    struct dsb_engine_info info;
    GMutex lock;
    GHashTable *waiting; /**< id -> struct dsbe_pipes, of what was created and not started */
};

/* --- host.c ------------------------------------------------------------------------------------- */

/** Finds the runtime, and what it can limit here. UNAVAILABLE with advice. */
gboolean dsbo_host_identify(struct dsbo *oci, GError **error);
/** The program of a runtime by name (new), NULL: the default. INVALID: it is not one that can be driven. */
char *dsbo_host_runtime(const struct dsbo *oci, const char *name, GError **error);

/* --- images.c ----------------------------------------------------------------------------------- */

/** One image. */
struct dsbo_image {
    char *id;     /**< `sha256:` and 64 digits */
    char *rootfs; /**< its directory */
    GStrv env;    /**< NAME=VALUE, what the image says of itself */
};
/** By name, `name:tag`, or id. NOT_FOUND; DENIED: others could change it. */
gboolean dsbo_image_find(const char *images, const char *name, struct dsbo_image *image, GError **error);
void dsbo_image_clear(struct dsbo_image *image);
typedef struct dsbo_image dsbo_image;
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(dsbo_image, dsbo_image_clear)
/** Makes the directory of images; DENIED: others can change what is in it. */
gboolean dsbo_images_ready(const char *images, GError **error);
/** Names an image that is there, by the digits of its digest. */
gboolean dsbo_image_name(const char *images, const char *hex, const char *name, GError **error);
/**
 * Makes `images`/`fresh`, which has a directory `rootfs`, an image by these digits, and names it. One that is there
 * already stays as it is, and `fresh` too.
 */
gboolean dsbo_image_keep(const char *images, const char *fresh, const char *hex, const char *name, const char *const *env,
                         GError **error);

/* --- unpack.c ----------------------------------------------------------------------------------- */

/**
 * An image from an archive: a root file system, what `docker save` writes, or an OCI image layout.
 */
gboolean dsbo_unpack(const char *images, const char *archive, const char *name, int cancel_fd, GError **error);

/* --- bundle.c: translation, pure ---------------------------------------------------------------- */

/** config.json of a container (new): all of it is the spec's. `limits` are those that can be held here. */
json_object *dsbo_bundle(const struct dsb_spec *spec, const struct dsbo_image *image, const char *rootfs, uint64_t limits,
                         const char *cgroup, GError **error);
/** Why it cannot be built here, NULL when it can. */
const char *dsbo_refusal(const struct dsb_spec *spec, const struct dsb_engine_info *info);

/* --- places.c ----------------------------------------------------------------------------------- */

/** Makes the places for binds that the image lacks in a directory of their own; `some`: there are such. */
gboolean dsbo_places_make(const char *rootfs, const char *layer_path, const struct dsb_spec *spec, gboolean *some,
                          GError **error);

/** A runtime that is started to make a container. */
struct dsbo_start {
    char *const *argv, *const *env;
    const int *theirs;         /**< its descriptors 0 to 2 */
    int held;                  /**< of dsbo_record_hold(), for as long as it lives */
    const char *layer, *image; /**< what it finds at `root`, the one over the other; layer NULL: nothing */
    const char *root;
    struct dsbe_child *child;
};
gboolean dsbo_places_spawn(const struct dsbo_start *start, GError **error);

/* --- record.c ----------------------------------------------------------------------------------- */

/** What is known of a container from its directory. */
struct dsbo_record {
    char *owner, *session;
    int64_t deadline;
    char *program; /**< its runtime, absolute */
    char *cgroup;  /**< below the root of each hierarchy */
};
void dsbo_record_clear(struct dsbo_record *record);
typedef struct dsbo_record dsbo_record;
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(dsbo_record, dsbo_record_clear)
/** The directory of a container with its record, before anything else of it is made. CONFLICT: there is one. */
gboolean dsbo_record_make(const char *containers, const char *id, const struct dsb_spec *spec, const char *program,
                          const char *cgroup, GError **error);
/**
 * A descriptor (to be closed) that holds the container for whoever has it, also a runtime whose parent was killed: `alone`
 * is to be had only when nobody else has one, until the deadline (monotonic, us) else TIMEOUT. NOT_FOUND: it is gone.
 */
int dsbo_record_hold(const char *containers, const char *id, gboolean alone, gint64 deadline, GError **error);
/** NOT_FOUND. */
gboolean dsbo_record_read(const char *containers, const char *id, struct dsbo_record *record, GError **error);
/** Names of all containers (NULL-terminated, new); NULL with *error. */
GStrv dsbo_record_names(const char *containers, GError **error);
/** Removes the directory and all that is in it. */
gboolean dsbo_record_remove(const char *containers, const char *id, GError **error);
/** DIR/ID/FILE (new). */
char *dsbo_path(const char *containers, const char *id, const char *file);

/* --- cgroup.c ----------------------------------------------------------------------------------- */

/** Whether it can be the group of one container: at least two levels, no dots. */
gboolean dsbo_cgroup_is_name(const char *cgroup);
/** Processes (pid_t) in a container's groups, in any hierarchy (new). NULL with *error: they cannot be known. */
GArray *dsbo_cgroup_processes(const char *cgroup, GError **error);
/** Kills all of them, until there is none or the deadline (monotonic, us) has come. */
gboolean dsbo_cgroup_kill(const char *cgroup, gint64 deadline, GError **error);
/** Removes them; one that has processes stays, at the deadline. FALSE with *error: there may be one yet. */
gboolean dsbo_cgroup_remove(const char *cgroup, gint64 deadline, GError **error);
/** Removes old ones below a parent that have no process: of a runtime that went on when its container was removed. */
void dsbo_cgroup_sweep(const char *parent);
/** The limits that the groups of a process have. */
void dsbo_cgroup_observe(pid_t pid, struct dsb_observed *observed);

/* --- observe.c ---------------------------------------------------------------------------------- */

/** What the kernel says of a process, in terms of the spec's mounts. */
void dsbo_observe(pid_t pid, const struct dsb_spec *spec, struct dsb_observed *observed);

/* --- mounts.c ----------------------------------------------------------------------------------- */

/** What the kernel's table of mounts says of a process. */
void dsbo_mounts_observe(pid_t pid, const struct dsb_spec *spec, struct dsb_observed *observed);

G_END_DECLS
#endif
