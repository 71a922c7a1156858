/* SPDX-License-Identifier: MIT */
/*
 * The layout that compiled plugins rely on. A change here breaks them: append members instead, and raise the minor
 * version; a change of what stands here needs a new major version.
 */
#include <dsandbox/plugin.h>
#include <stddef.h>

#define SIZE(type, bytes) _Static_assert(sizeof(struct type) == (bytes), #type)
#define MEMBER(type, member, offset) _Static_assert(offsetof(struct type, member) == (offset), #type "." #member)

#if defined(__LP64__)
SIZE(dsb_bind, 24);
MEMBER(dsb_bind, source, 0);
MEMBER(dsb_bind, target, 8);
MEMBER(dsb_bind, read_only, 16);
SIZE(dsb_pair, 16);
MEMBER(dsb_pair, name, 0);
MEMBER(dsb_pair, value, 8);
SIZE(dsb_spec, 256);
MEMBER(dsb_spec, struct_size, 0);
MEMBER(dsb_spec, required, 8);
MEMBER(dsb_spec, name, 16);
MEMBER(dsb_spec, image, 24);
MEMBER(dsb_spec, labels, 32);
MEMBER(dsb_spec, n_labels, 40);
MEMBER(dsb_spec, argv, 48);
MEMBER(dsb_spec, env, 56);
MEMBER(dsb_spec, n_env, 64);
MEMBER(dsb_spec, workdir, 72);
MEMBER(dsb_spec, hostname, 80);
MEMBER(dsb_spec, binds, 88);
MEMBER(dsb_spec, n_binds, 96);
MEMBER(dsb_spec, tmp_bytes, 104);
MEMBER(dsb_spec, small_tmp_bytes, 112);
MEMBER(dsb_spec, shm_bytes, 120);
MEMBER(dsb_spec, memory_bytes, 128);
MEMBER(dsb_spec, swap_bytes, 136);
MEMBER(dsb_spec, cpu_quota_us, 144);
MEMBER(dsb_spec, cpu_period_us, 152);
MEMBER(dsb_spec, pids, 160);
MEMBER(dsb_spec, nofile, 168);
MEMBER(dsb_spec, core, 176);
MEMBER(dsb_spec, fsize, 184);
MEMBER(dsb_spec, network, 192);
MEMBER(dsb_spec, uid, 196);
MEMBER(dsb_spec, gid, 200);
MEMBER(dsb_spec, keep_id, 204);
MEMBER(dsb_spec, rootfs_read_only, 208);
MEMBER(dsb_spec, no_new_privs, 212);
MEMBER(dsb_spec, seccomp_json, 216);
MEMBER(dsb_spec, seccomp_path, 224);
MEMBER(dsb_spec, runtime, 232);
MEMBER(dsb_spec, life_seconds, 240);
MEMBER(dsb_spec, tmp_exec, 248);
SIZE(dsb_observed, 256);
MEMBER(dsb_observed, struct_size, 0);
MEMBER(dsb_observed, known, 8);
MEMBER(dsb_observed, volume_present, 16);
MEMBER(dsb_observed, guest_read_only, 20);
MEMBER(dsb_observed, foreign_mounts, 24);
MEMBER(dsb_observed, volume_dev, 32);
MEMBER(dsb_observed, volume_ino, 40);
MEMBER(dsb_observed, tmp_bytes, 48);
MEMBER(dsb_observed, small_tmp_bytes, 56);
MEMBER(dsb_observed, shm_bytes, 64);
MEMBER(dsb_observed, memory_bytes, 72);
MEMBER(dsb_observed, swap_bytes, 80);
MEMBER(dsb_observed, cpu_quota_us, 88);
MEMBER(dsb_observed, cpu_period_us, 96);
MEMBER(dsb_observed, pids, 104);
MEMBER(dsb_observed, nofile, 112);
MEMBER(dsb_observed, core, 120);
MEMBER(dsb_observed, fsize, 128);
MEMBER(dsb_observed, network, 136);
MEMBER(dsb_observed, uid, 140);
MEMBER(dsb_observed, gid, 144);
MEMBER(dsb_observed, extra_groups, 148);
MEMBER(dsb_observed, rootfs_read_only, 152);
MEMBER(dsb_observed, capabilities, 160);
MEMBER(dsb_observed, no_new_privs, 168);
MEMBER(dsb_observed, seccomp_ours, 172);
MEMBER(dsb_observed, shared_namespaces, 176);
MEMBER(dsb_observed, privileged, 180);
MEMBER(dsb_observed, extra_devices, 184);
MEMBER(dsb_observed, tmp_exec, 252);
MEMBER(dsb_observed, runtime, 188);
SIZE(dsb_open_params, 56);
MEMBER(dsb_open_params, struct_size, 0);
MEMBER(dsb_open_params, endpoint, 8);
MEMBER(dsb_open_params, runtime_dir, 16);
MEMBER(dsb_open_params, call_timeout_ms, 24);
MEMBER(dsb_open_params, log, 32);
MEMBER(dsb_open_params, log_data, 40);
MEMBER(dsb_open_params, cancel_fd, 48);
SIZE(dsb_engine_info, 736);
MEMBER(dsb_engine_info, struct_size, 0);
MEMBER(dsb_engine_info, product, 4);
MEMBER(dsb_engine_info, version, 36);
MEMBER(dsb_engine_info, api, 100);
MEMBER(dsb_engine_info, endpoint, 132);
MEMBER(dsb_engine_info, rootless, 388);
MEMBER(dsb_engine_info, cgroup_version, 392);
MEMBER(dsb_engine_info, limits_available, 400);
MEMBER(dsb_engine_info, runtime, 408);
MEMBER(dsb_engine_info, local, 472);
MEMBER(dsb_engine_info, data_root, 476);
MEMBER(dsb_engine_info, maps_users, 732);
SIZE(dsb_plugin_error, 4104);
MEMBER(dsb_plugin_error, struct_size, 0);
MEMBER(dsb_plugin_error, code, 4);
MEMBER(dsb_plugin_error, text, 8);
SIZE(dsb_created, 132);
MEMBER(dsb_created, struct_size, 0);
MEMBER(dsb_created, id, 4);
SIZE(dsb_image_info, 144);
MEMBER(dsb_image_info, struct_size, 0);
MEMBER(dsb_image_info, id, 4);
MEMBER(dsb_image_info, n_volumes, 136);
SIZE(dsb_stream, 56);
MEMBER(dsb_stream, struct_size, 0);
MEMBER(dsb_stream, state, 8);
MEMBER(dsb_stream, read_fd, 16);
MEMBER(dsb_stream, write_fd, 20);
MEMBER(dsb_stream, read, 24);
MEMBER(dsb_stream, write, 32);
MEMBER(dsb_stream, diagnostic, 40);
MEMBER(dsb_stream, close, 48);
SIZE(dsb_listed, 48);
MEMBER(dsb_listed, struct_size, 0);
MEMBER(dsb_listed, id, 8);
MEMBER(dsb_listed, owner, 16);
MEMBER(dsb_listed, session, 24);
MEMBER(dsb_listed, deadline, 32);
MEMBER(dsb_listed, running, 40);
SIZE(dsb_image_source, 40);
MEMBER(dsb_image_source, struct_size, 0);
MEMBER(dsb_image_source, tarball, 8);
MEMBER(dsb_image_source, dockerfile, 16);
MEMBER(dsb_image_source, context, 24);
MEMBER(dsb_image_source, name, 32);
SIZE(dsb_plugin, 128);
MEMBER(dsb_plugin, magic, 0);
MEMBER(dsb_plugin, abi_major, 4);
MEMBER(dsb_plugin, abi_minor, 6);
MEMBER(dsb_plugin, struct_size, 8);
MEMBER(dsb_plugin, thread_model, 12);
MEMBER(dsb_plugin, enforces, 16);
MEMBER(dsb_plugin, name, 24);
MEMBER(dsb_plugin, version, 32);
MEMBER(dsb_plugin, description, 40);
MEMBER(dsb_plugin, open, 48);
MEMBER(dsb_plugin, close, 56);
MEMBER(dsb_plugin, describe, 64);
MEMBER(dsb_plugin, create, 72);
MEMBER(dsb_plugin, inspect, 80);
MEMBER(dsb_plugin, start, 88);
MEMBER(dsb_plugin, destroy, 96);
MEMBER(dsb_plugin, list, 104);
MEMBER(dsb_plugin, prepare, 112);
MEMBER(dsb_plugin, image_make, 120);
#endif

_Static_assert(DSB_PLUGIN_ABI_MAJOR == 3, "a new major version: write its layout here");
_Static_assert(DSB_CONTROL_VOLUME == 0 && DSB_CONTROL_RUNTIME == 21 && DSB_N_CONTROLS == 22, "bits of the controls");
_Static_assert(DSB_ERROR_FAILED == 0 && DSB_ERROR_WOULD_BLOCK == 15, "error codes");
_Static_assert(DSB_NETWORK_NONE == 0 && DSB_NETWORK_FULL == 1, "network");

int main(void) { return 0; }
