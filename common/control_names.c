/* SPDX-License-Identifier: MIT */
/* The names of the controls, here alone: the library exports them, and plugins of the tests are built with this file. */
#include <dsandbox/policy.h>
#include <dsandbox/spec.h>

static const char *const names[] = {
    [DSB_CONTROL_VOLUME] = "volume",
    [DSB_CONTROL_DISK] = "disk",
    [DSB_CONTROL_TMP] = "tmp",
    [DSB_CONTROL_SHM] = "shm",
    [DSB_CONTROL_MEMORY] = "memory",
    [DSB_CONTROL_SWAP] = "swap",
    [DSB_CONTROL_CPU] = "cpu",
    [DSB_CONTROL_PIDS] = "pids",
    [DSB_CONTROL_NOFILE] = "nofile",
    [DSB_CONTROL_CORE] = "core",
    [DSB_CONTROL_FSIZE] = "fsize",
    [DSB_CONTROL_TIME] = "time",
    [DSB_CONTROL_OUTPUT] = "output",
    [DSB_CONTROL_NETWORK] = "network",
    [DSB_CONTROL_USER] = "user",
    [DSB_CONTROL_ROOTFS] = "rootfs",
    [DSB_CONTROL_CAPABILITIES] = "capabilities",
    [DSB_CONTROL_NO_NEW_PRIVS] = "no_new_privs",
    [DSB_CONTROL_SECCOMP] = "seccomp",
    [DSB_CONTROL_NAMESPACES] = "namespaces",
    [DSB_CONTROL_DEVICES] = "devices",
    [DSB_CONTROL_RUNTIME] = "runtime",
};
G_STATIC_ASSERT(G_N_ELEMENTS(names) == DSB_N_CONTROLS);

const char *dsb_control_name(unsigned control) { return control < DSB_N_CONTROLS ? names[control] : NULL; }
