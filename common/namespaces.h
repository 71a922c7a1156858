/* SPDX-License-Identifier: MIT */
#ifndef DSB_COMMON_NAMESPACES_H
#define DSB_COMMON_NAMESPACES_H

/** The namespaces that a sandbox has for itself, as /proc/PID/ns calls them, in the order of enum dsb_namespace. */
#define DSB_NAMESPACE_NAMES "pid", "ipc", "uts", "net", "mnt", "cgroup"
#define DSB_N_NAMESPACES 6

#endif
