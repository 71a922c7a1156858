// SPDX-License-Identifier: MIT
//! The C library's functions and the kernel's numbers that this needs and `std` has not. Thin: `io::Error` for errno,
//! nothing allocated, so that the child of `clone` may use all of it.
use std::ffi::{c_char, c_int, c_long, c_uint, c_ulong, c_void, CStr};
use std::io::{Error, Result};

pub const CLONE_ALL: u64 = NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET;
const NEWNS: u64 = 0x0002_0000;
const NEWCGROUP: u64 = 0x0200_0000;
const NEWUTS: u64 = 0x0400_0000;
const NEWIPC: u64 = 0x0800_0000;
const NEWUSER: u64 = 0x1000_0000;
const NEWPID: u64 = 0x2000_0000;
const NEWNET: u64 = 0x4000_0000;

pub const SIGKILL: c_int = 9;
const SIGCHLD: u64 = 17;

pub const RDONLY: u64 = 1; // MOUNT_ATTR_*
pub const NOSUID: u64 = 2;
pub const NODEV: u64 = 4;
pub const NOEXEC: u64 = 8;

const AT_FDCWD: c_int = -100;
const AT_EMPTY_PATH: c_uint = 0x1000;
const OPEN_TREE_CLONE: c_uint = 1;
const O_CLOEXEC: c_uint = 0o2_000_000;
const MOVE_MOUNT_F_EMPTY_PATH: c_uint = 4;
const MS_REC_PRIVATE: c_ulong = 0x4000 | 0x4_0000;
const MNT_DETACH: c_int = 2;

#[cfg(target_arch = "x86_64")]
mod nr {
    use std::ffi::c_long;
    pub const CLONE: c_long = 56;
    pub const SETGROUPS: c_long = 116;
    pub const SETRESUID: c_long = 117;
    pub const SETRESGID: c_long = 119;
    pub const CAPSET: c_long = 126;
    pub const PIVOT_ROOT: c_long = 155;
}

#[cfg(target_arch = "aarch64")]
mod nr {
    use std::ffi::c_long;
    pub const CLONE: c_long = 220;
    pub const SETGROUPS: c_long = 159;
    pub const SETRESUID: c_long = 147;
    pub const SETRESGID: c_long = 149;
    pub const CAPSET: c_long = 91;
    pub const PIVOT_ROOT: c_long = 41;
}

/// The same on every processor.
mod common {
    use std::ffi::c_long;
    pub const PIDFD_SEND_SIGNAL: c_long = 424;
    pub const OPEN_TREE: c_long = 428;
    pub const MOVE_MOUNT: c_long = 429;
    pub const FSOPEN: c_long = 430;
    pub const FSCONFIG: c_long = 431;
    pub const FSMOUNT: c_long = 432;
    pub const PIDFD_OPEN: c_long = 434;
    pub const CLOSE_RANGE: c_long = 436;
    pub const MOUNT_SETATTR: c_long = 442;
}

#[repr(C)]
pub struct PollFd {
    pub fd: c_int,
    pub events: i16,
    pub revents: i16,
}
pub const POLLIN: i16 = 1;

#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

mod c {
    use super::*;
    extern "C" {
        pub fn syscall(number: c_long, ...) -> c_long;
        pub fn poll(fds: *mut PollFd, n: c_ulong, timeout: c_int) -> c_int;
        pub fn recv(fd: c_int, buffer: *mut c_void, size: usize, flags: c_int) -> isize;
        pub fn send(fd: c_int, buffer: *const c_void, size: usize, flags: c_int) -> isize;
        pub fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
        pub fn pthread_sigmask(how: c_int, set: *const u64, before: *mut u64) -> c_int;
        pub fn geteuid() -> u32;
        pub fn getegid() -> u32;
        pub fn mount(
            source: *const c_char, target: *const c_char, fstype: *const c_char, flags: c_ulong, data: *const c_void,
        ) -> c_int;
        pub fn umount2(target: *const c_char, flags: c_int) -> c_int;
    }
}

/// The result, or errno.
pub fn check(result: c_long) -> Result<c_long> {
    if result < 0 {
        Err(Error::last_os_error())
    } else {
        Ok(result)
    }
}

pub fn effective_ids() -> (u32, u32) {
    unsafe { (c::geteuid(), c::getegid()) }
}

/// In the child 0: a copy of this process with namespaces of its own. It has one thread, and locks of other threads
/// may be held in it for ever: only system calls, no allocation.
///
/// # Safety
/// The child must not return into code that does more than that.
unsafe fn clone(flags: u64) -> Result<c_int> {
    let none: *mut c_void = std::ptr::null_mut();
    check(c::syscall(nr::CLONE, flags | SIGCHLD, none, none, none, none)).map(|pid| pid as c_int)
}

/// `clone` with all signals held back: a handler of the host's must not run in the child, which lets them through when it
/// has none any more.
///
/// # Safety
/// As of `clone`.
pub unsafe fn clone_quietly(flags: u64) -> Result<c_int> {
    const SIG_BLOCK: c_int = 0;
    const SIG_SETMASK: c_int = 2;
    let (all, mut before) = ([u64::MAX; 16], [0u64; 16]); // each a sigset_t
    c::pthread_sigmask(SIG_BLOCK, all.as_ptr(), before.as_mut_ptr());
    let made = clone(flags);
    if !matches!(made, Ok(0)) {
        c::pthread_sigmask(SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
    }
    made
}

/// -1: without an end. Err(Interrupted) is possible.
pub fn poll(fds: &mut [PollFd], timeout_ms: c_int) -> Result<c_long> {
    check(unsafe { c::poll(fds.as_mut_ptr(), fds.len() as c_ulong, timeout_ms) }.into())
}

/// Without blocking.
///
/// # Safety
/// `buffer` has room for `size` bytes.
pub unsafe fn receive(fd: c_int, buffer: *mut c_void, size: usize) -> Result<usize> {
    const MSG_DONTWAIT: c_int = 0x40;
    check(c::recv(fd, buffer, size, MSG_DONTWAIT) as c_long).map(|n| n as usize)
}

/// Without blocking, and without SIGPIPE.
///
/// # Safety
/// `buffer` has `size` bytes.
pub unsafe fn send(fd: c_int, buffer: *const c_void, size: usize) -> Result<usize> {
    const MSG_DONTWAIT_NOSIGNAL: c_int = 0x4040;
    check(c::send(fd, buffer, size, MSG_DONTWAIT_NOSIGNAL) as c_long).map(|n| n as usize)
}

/// Blocks, in the child only. 0: the other end is closed.
pub fn receive_byte(fd: c_int) -> Result<usize> {
    let mut byte = 0u8;
    check(unsafe { c::recv(fd, (&raw mut byte).cast(), 1, 0) } as c_long).map(|n| n as usize)
}

/// Gone, or never ours: both are well.
pub fn reap(pid: c_int) {
    const WNOHANG: c_int = 1;
    unsafe { c::waitpid(pid, std::ptr::null_mut(), WNOHANG) };
}

pub fn pidfd_open(pid: c_int) -> Result<c_int> {
    check(unsafe { c::syscall(common::PIDFD_OPEN, pid, 0) }).map(|fd| fd as c_int)
}

pub fn pidfd_kill(fd: c_int) -> Result<c_long> {
    check(unsafe { c::syscall(common::PIDFD_SEND_SIGNAL, fd, SIGKILL, std::ptr::null::<c_void>(), 0) })
}

pub fn close_on_exec_from(first: c_uint) -> Result<c_long> {
    const CLOSE_RANGE_CLOEXEC: c_uint = 4;
    check(unsafe { c::syscall(common::CLOSE_RANGE, first, c_uint::MAX, CLOSE_RANGE_CLOEXEC) })
}

pub fn close_range(first: c_uint, last: c_uint) -> Result<c_long> {
    check(unsafe { c::syscall(common::CLOSE_RANGE, first, last, 0) })
}

// ---- mounts ----

pub fn make_mounts_private() -> Result<c_long> {
    let none = std::ptr::null();
    check(unsafe { c::mount(none, c"/".as_ptr(), none, MS_REC_PRIVATE, none.cast()) }.into())
}

/// What is at `path`, as a mount that is nowhere yet.
pub fn open_tree(path: &CStr) -> Result<c_int> {
    let flags = OPEN_TREE_CLONE | O_CLOEXEC;
    check(unsafe { c::syscall(common::OPEN_TREE, AT_FDCWD, path.as_ptr(), flags) }).map(|fd| fd as c_int)
}

pub fn fsopen(kind: &CStr) -> Result<c_int> {
    check(unsafe { c::syscall(common::FSOPEN, kind.as_ptr(), 1) }).map(|fd| fd as c_int)
}

/// `value` empty: a flag.
pub fn fsconfig(fd: c_int, key: &CStr, value: &CStr) -> Result<c_long> {
    const FLAG: c_uint = 0;
    const STRING: c_uint = 1;
    let (command, value) = if value.is_empty() { (FLAG, std::ptr::null()) } else { (STRING, value.as_ptr()) };
    check(unsafe { c::syscall(common::FSCONFIG, fd, command, key.as_ptr(), value, 0) })
}

/// The file system of `fsopen`, as a mount that is nowhere yet.
pub fn fsmount(fd: c_int, attributes: u64) -> Result<c_int> {
    const CREATE: c_uint = 6;
    let none: *const c_char = std::ptr::null();
    check(unsafe { c::syscall(common::FSCONFIG, fd, CREATE, none, none, 0) })?;
    check(unsafe { c::syscall(common::FSMOUNT, fd, 1, attributes as c_uint) }).map(|fd| fd as c_int)
}

pub fn move_mount(fd: c_int, target: &CStr) -> Result<c_long> {
    let flags = MOVE_MOUNT_F_EMPTY_PATH;
    check(unsafe { c::syscall(common::MOVE_MOUNT, fd, c"".as_ptr(), AT_FDCWD, target.as_ptr(), flags) })
}

fn set_attributes(fd: c_int, path: &CStr, flags: c_uint, set: u64) -> Result<c_long> {
    let attr = MountAttr { set, clear: 0, propagation: 0, userns_fd: 0 };
    check(unsafe {
        c::syscall(common::MOUNT_SETATTR, fd, path.as_ptr(), flags, &raw const attr, size_of::<MountAttr>())
    })
}

pub fn restrict_mount(fd: c_int, set: u64) -> Result<c_long> {
    set_attributes(fd, c"", AT_EMPTY_PATH, set)
}

pub fn restrict_at(path: &CStr, set: u64) -> Result<c_long> {
    set_attributes(AT_FDCWD, path, 0, set)
}

/// The working directory becomes the root; the old one lies on it until `drop_old_root`.
pub fn pivot_here() -> Result<c_long> {
    check(unsafe { c::syscall(nr::PIVOT_ROOT, c".".as_ptr(), c".".as_ptr()) })
}

pub fn drop_old_root() -> Result<c_long> {
    check(unsafe { c::umount2(c".".as_ptr(), MNT_DETACH) }.into())
}

// ---- who a process is: the system calls themselves, since the C library's would go to all threads it knows of ----

pub fn become_user(uid: u32, gid: u32) -> Result<c_long> {
    unsafe {
        check(c::syscall(nr::SETGROUPS, 0, std::ptr::null::<u32>()))?;
        check(c::syscall(nr::SETRESGID, gid, gid, gid))?;
        check(c::syscall(nr::SETRESUID, uid, uid, uid))
    }
}

pub fn drop_capabilities() -> Result<c_long> {
    const VERSION_3: u32 = 0x2008_0522;
    let header: [u32; 2] = [VERSION_3, 0];
    let none = [0u32; 6];
    check(unsafe { c::syscall(nr::CAPSET, header.as_ptr(), none.as_ptr()) })
}
