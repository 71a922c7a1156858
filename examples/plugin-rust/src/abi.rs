// SPDX-License-Identifier: MIT
//! Mirrors of <dsandbox/plugin.h>, <dsandbox/spec.h>, <dsandbox/observed.h> and <dsandbox/codes.h>. check.sh compares
//! all of it with the headers.
#![allow(non_camel_case_types)]

use std::ffi::{c_char, c_int, c_void};

/// Structures with the same layout as in C, and their fields' names for `layout.rs`.
macro_rules! mirrors {
    ($($name:ident { $($field:ident: $type:ty,)* })*) => {
        $(#[repr(C)] pub struct $name { $(pub $field: $type,)* })*

        #[allow(dead_code)]
        pub fn layout(mut each: impl FnMut(&str, &str, usize)) {
            $(each(stringify!($name), "", size_of::<$name>());
              $(each(stringify!($name), stringify!($field), std::mem::offset_of!($name, $field));)*)*
        }
    };
}

/// Numbers with a name, the same for `layout.rs`.
macro_rules! constants {
    ($($name:ident: $type:ty = $value:expr;)*) => {
        $(pub const $name: $type = $value;)*

        #[allow(dead_code)]
        pub fn values(mut each: impl FnMut(&str, u64)) {
            $(each(stringify!($name), $name as u64);)*
        }
    };
}

constants! {
    DSB_PLUGIN_MAGIC: u32 = 0x4453_4250;
    DSB_PLUGIN_ABI_MAJOR: u16 = 3;
    DSB_PLUGIN_ABI_MINOR: u16 = 0;
    DSB_PLUGIN_ERROR_TEXT: usize = 4096;
    DSB_THREADS_SERIAL: u32 = 1;

    DSB_ERROR_FAILED: u32 = 0;
    DSB_ERROR_INVALID: u32 = 1;
    DSB_ERROR_NOT_FOUND: u32 = 2;
    DSB_ERROR_UNAVAILABLE: u32 = 3;
    DSB_ERROR_DENIED: u32 = 4;
    DSB_ERROR_REFUSED: u32 = 5;
    DSB_ERROR_TIMEOUT: u32 = 8;
    DSB_ERROR_CANCELLED: u32 = 9;
    DSB_ERROR_LOST: u32 = 11;
    DSB_ERROR_LIMIT: u32 = 12;
    DSB_ERROR_UNSUPPORTED: u32 = 13;
    DSB_ERROR_CONFLICT: u32 = 14;
    DSB_ERROR_WOULD_BLOCK: u32 = 15;

    DSB_CONTROL_VOLUME: u32 = 0;
    DSB_CONTROL_DISK: u32 = 1;
    DSB_CONTROL_TMP: u32 = 2;
    DSB_CONTROL_SHM: u32 = 3;
    DSB_CONTROL_NOFILE: u32 = 8;
    DSB_CONTROL_CORE: u32 = 9;
    DSB_CONTROL_FSIZE: u32 = 10;
    DSB_CONTROL_TIME: u32 = 11;
    DSB_CONTROL_OUTPUT: u32 = 12;
    DSB_CONTROL_NETWORK: u32 = 13;
    DSB_CONTROL_USER: u32 = 14;
    DSB_CONTROL_ROOTFS: u32 = 15;
    DSB_CONTROL_CAPABILITIES: u32 = 16;
    DSB_CONTROL_NO_NEW_PRIVS: u32 = 17;
    DSB_CONTROL_NAMESPACES: u32 = 19;
    DSB_CONTROL_DEVICES: u32 = 20;

    DSB_NETWORK_NONE: u32 = 0;
    DSB_NETWORK_FULL: u32 = 1;
    DSB_UNLIMITED: u64 = u64::MAX;
}

mirrors! {
    dsb_plugin_error {
        struct_size: u32,
        code: u32,
        text: [c_char; DSB_PLUGIN_ERROR_TEXT],
    }
    dsb_open_params {
        struct_size: u32,
        endpoint: *const c_char,
        runtime_dir: *const c_char,
        call_timeout_ms: u32,
        log: Option<unsafe extern "C" fn(*mut c_void, *const c_char)>,
        log_data: *mut c_void,
        cancel_fd: c_int,
    }
    dsb_engine_info {
        struct_size: u32,
        product: [c_char; 32],
        version: [c_char; 64],
        api: [c_char; 32],
        endpoint: [c_char; 256],
        rootless: c_int,
        cgroup_version: u32,
        limits_available: u64,
        runtime: [c_char; 64],
        local: c_int,
        data_root: [c_char; 256],
        maps_users: c_int,
        removes_ended: c_int,
    }
    dsb_created {
        struct_size: u32,
        id: [c_char; 128],
    }
    dsb_image_info {
        struct_size: u32,
        id: [c_char; 128],
        n_volumes: u64,
    }
    dsb_stream {
        struct_size: u32,
        state: *mut c_void,
        read_fd: c_int,
        write_fd: c_int,
        read: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, usize, *mut dsb_plugin_error) -> i64>,
        write: Option<unsafe extern "C" fn(*mut c_void, *const c_void, usize, *mut dsb_plugin_error) -> i64>,
        diagnostic: Option<unsafe extern "C" fn(*mut c_void) -> *const c_char>,
        close: Option<unsafe extern "C" fn(*mut c_void)>,
    }
    dsb_listed {
        struct_size: u32,
        id: *const c_char,
        owner: *const c_char,
        session: *const c_char,
        deadline: i64,
        running: c_int,
    }
    dsb_image_source {
        struct_size: u32,
        tarball: *const c_char,
        dockerfile: *const c_char,
        context: *const c_char,
        name: *const c_char,
    }
    dsb_bind {
        struct_size: u32,
        source: *const c_char,
        target: *const c_char,
        read_only: c_int,
    }
    dsb_pair {
        struct_size: u32,
        name: *const c_char,
        value: *const c_char,
    }
    dsb_spec {
        struct_size: u32,
        required: u64,
        name: *const c_char,
        image: *const c_char,
        labels: *const *const dsb_pair,
        n_labels: usize,
        argv: *const *const c_char,
        env: *const *const dsb_pair,
        n_env: usize,
        workdir: *const c_char,
        hostname: *const c_char,
        binds: *const *const dsb_bind,
        n_binds: usize,
        tmp_bytes: u64,
        small_tmp_bytes: u64,
        shm_bytes: u64,
        memory_bytes: u64,
        swap_bytes: u64,
        cpu_quota_us: u64,
        cpu_period_us: u64,
        pids: u64,
        nofile: u64,
        core: u64,
        fsize: u64,
        network: u32,
        uid: u32,
        gid: u32,
        keep_id: c_int,
        rootfs_read_only: c_int,
        no_new_privs: c_int,
        seccomp_json: *const c_char,
        seccomp_path: *const c_char,
        runtime: *const c_char,
        life_seconds: u64,
        tmp_exec: c_int,
    }
    dsb_observed {
        struct_size: u32,
        known: u64,
        volume_present: c_int,
        guest_read_only: c_int,
        foreign_mounts: u32,
        volume_dev: u64,
        volume_ino: u64,
        tmp_bytes: u64,
        small_tmp_bytes: u64,
        shm_bytes: u64,
        memory_bytes: u64,
        swap_bytes: u64,
        cpu_quota_us: u64,
        cpu_period_us: u64,
        pids: u64,
        nofile: u64,
        core: u64,
        fsize: u64,
        network: u32,
        uid: u32,
        gid: u32,
        extra_groups: u32,
        rootfs_read_only: c_int,
        capabilities: u64,
        no_new_privs: c_int,
        seccomp_ours: c_int,
        shared_namespaces: u32,
        privileged: c_int,
        extra_devices: u32,
        runtime: [c_char; 64],
        tmp_exec: c_int,
    }
    dsb_plugin {
        magic: u32,
        abi_major: u16,
        abi_minor: u16,
        struct_size: u32,
        thread_model: u32,
        enforces: u64,
        name: *const c_char,
        version: *const c_char,
        description: *const c_char,
        open: unsafe extern "C" fn(*const dsb_open_params, *mut *mut c_void, *mut dsb_plugin_error) -> c_int,
        close: unsafe extern "C" fn(*mut c_void),
        describe: unsafe extern "C" fn(*mut c_void, *mut dsb_engine_info, *mut dsb_plugin_error) -> c_int,
        create: unsafe extern "C" fn(*mut c_void, *const dsb_spec, *mut dsb_created, *mut dsb_plugin_error) -> c_int,
        inspect: unsafe extern "C" fn(
            *mut c_void, *const c_char, *const dsb_spec, *mut dsb_observed, *mut dsb_plugin_error) -> c_int,
        start: unsafe extern "C" fn(*mut c_void, *const c_char, *mut dsb_stream, *mut dsb_plugin_error) -> c_int,
        destroy: unsafe extern "C" fn(*mut c_void, *const c_char, *mut dsb_plugin_error) -> c_int,
        list: unsafe extern "C" fn(
            *mut c_void, *const c_char, dsb_each_fn, *mut c_void, *mut dsb_plugin_error) -> c_int,
        prepare: Option<
            unsafe extern "C" fn(*mut c_void, *const c_char, *mut dsb_image_info, *mut dsb_plugin_error) -> c_int>,
        image_make: Option<unsafe extern "C" fn(*mut c_void, *const dsb_image_source, *mut dsb_plugin_error) -> c_int>,
    }
}

pub type dsb_each_fn = unsafe extern "C" fn(*mut c_void, *const dsb_listed) -> c_int;

pub const DSB_LABEL_OWNER: &str = "dsandbox.owner";
pub const DSB_LABEL_SESSION: &str = "dsandbox.session";
pub const DSB_LABEL_DEADLINE: &str = "dsandbox.deadline";

pub const fn bit(control: u32) -> u64 {
    1 << control
}

/// What the core enforces itself.
pub const CORE: u64 = bit(DSB_CONTROL_DISK) | bit(DSB_CONTROL_TIME) | bit(DSB_CONTROL_OUTPUT);

/// What `create` translates: no limits of control groups, and no system call profile.
pub const ENFORCES: u64 = bit(DSB_CONTROL_VOLUME)
    | bit(DSB_CONTROL_TMP)
    | bit(DSB_CONTROL_SHM)
    | bit(DSB_CONTROL_NOFILE)
    | bit(DSB_CONTROL_CORE)
    | bit(DSB_CONTROL_FSIZE)
    | bit(DSB_CONTROL_NETWORK)
    | bit(DSB_CONTROL_USER)
    | bit(DSB_CONTROL_ROOTFS)
    | bit(DSB_CONTROL_CAPABILITIES)
    | bit(DSB_CONTROL_NO_NEW_PRIVS)
    | bit(DSB_CONTROL_NAMESPACES)
    | bit(DSB_CONTROL_DEVICES);

/// All pointers in it are to constants.
unsafe impl Sync for dsb_plugin {}
