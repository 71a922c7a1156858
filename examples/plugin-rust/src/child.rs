// SPDX-License-Identifier: MIT
//! The child between `clone` and `execve`: from a plan to process 1. System calls only; see `sys::clone`.
use crate::plan::{Mount, Plan, Source, PROC};
use crate::sys::{self, check};
use std::ffi::{c_char, c_int, c_long, c_uint, c_ulong, CStr};
use std::io::{Error, ErrorKind, Result};

/// What went wrong, as it is told to the parent: a word of four bytes, the mount or item it was about, errno.
pub type Report = [u8; 12];
pub const READY: &[u8; 4] = b"redy";

const O_RDWR: c_int = 2;
const O_WRONLY: c_int = 1;
const O_CREAT: c_int = 0o100;
const O_DIRECTORY: c_int = 0o200_000;
const O_CLOEXEC: c_int = 0o2_000_000;
const O_NOFOLLOW: c_int = if cfg!(target_arch = "aarch64") { 0o100_000 } else { 0o400_000 };

mod c {
    use super::*;
    #[repr(C)]
    pub struct RLimit {
        pub soft: u64,
        pub hard: u64,
    }
    extern "C" {
        pub fn setsid() -> c_int;
        pub fn umask(mask: c_uint) -> c_uint;
        pub fn chdir(path: *const c_char) -> c_int;
        pub fn fchdir(fd: c_int) -> c_int;
        pub fn mkdir(path: *const c_char, mode: c_uint) -> c_int;
        pub fn unlink(path: *const c_char) -> c_int;
        pub fn symlink(target: *const c_char, path: *const c_char) -> c_int;
        pub fn open(path: *const c_char, flags: c_int, ...) -> c_int;
        pub fn close(fd: c_int) -> c_int;
        pub fn write(fd: c_int, buffer: *const u8, size: usize) -> isize;
        pub fn dup3(from: c_int, to: c_int, flags: c_int) -> c_int;
        pub fn dup2(from: c_int, to: c_int) -> c_int;
        pub fn sethostname(name: *const c_char, size: usize) -> c_int;
        pub fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
        pub fn ioctl(fd: c_int, request: c_ulong, ...) -> c_int;
        pub fn prctl(option: c_int, ...) -> c_int;
        pub fn prlimit64(pid: c_int, resource: c_uint, new: *const RLimit, old: *mut RLimit) -> c_int;
        pub fn signal(number: c_int, action: usize) -> usize;
        pub fn sigprocmask(how: c_int, set: *const u64, old: *mut u64) -> c_int;
        pub fn execve(path: *const c_char, argv: *const *const c_char, env: *const *const c_char) -> c_int;
        pub fn _exit(status: c_int) -> !;
    }
}

/// Of a step that failed.
struct Problem {
    word: &'static [u8; 4],
    item: usize,
    error: Error,
}

trait At<T> {
    fn at(self, word: &'static [u8; 4], item: usize) -> std::result::Result<T, Problem>;
}

impl<T> At<T> for Result<T> {
    fn at(self, word: &'static [u8; 4], item: usize) -> std::result::Result<T, Problem> {
        self.map_err(|error| Problem { word, item, error })
    }
}

fn int(result: c_int) -> Result<c_int> {
    check(c_long::from(result)).map(|n| n as c_int)
}

fn tell(control: c_int, word: &[u8; 4], item: usize, errno: i32) {
    let mut report: Report = [0; 12];
    report[..4].copy_from_slice(word);
    report[4..8].copy_from_slice(&(item as u32).to_ne_bytes());
    report[8..].copy_from_slice(&errno.to_ne_bytes());
    let _ = unsafe { sys::send(control, report.as_ptr().cast(), report.len()) };
}

/// The whole life of the child up to process 1. `control` and `stream` are its ends of two sockets.
pub fn run(plan: &Plan, control: c_int, stream: c_int) -> ! {
    /// A panic would unwind into a copy of the host's program.
    struct Last;
    impl Drop for Last {
        fn drop(&mut self) {
            unsafe { c::_exit(125) }
        }
    }
    let _last = Last;
    if let Err(problem) = build(plan, control, stream) {
        tell(3, problem.word, problem.item, problem.error.raw_os_error().unwrap_or(0));
    }
    unsafe { c::_exit(125) }
}

/// Descriptors 3 and 4 become the two sockets, and nothing else of the host's stays open.
fn keep_two(control: c_int, stream: c_int) -> Result<c_int> {
    unsafe {
        let above = control.max(stream).max(4) + 1;
        int(c::dup3(control, above, O_CLOEXEC))?;
        int(c::dup3(stream, above + 1, O_CLOEXEC))?;
        int(c::dup3(above, 3, O_CLOEXEC))?;
        int(c::dup3(above + 1, 4, O_CLOEXEC))?;
    }
    sys::close_range(5, c_uint::MAX).map(|_| 0)
}

/// The host's handlers and ignored signals are not the sandbox's.
fn reset_signals() -> Result<c_int> {
    unsafe {
        for number in 1..=64 {
            c::signal(number, 0);
        }
        let none = [0u64; 16]; // a sigset_t
        int(c::sigprocmask(2, none.as_ptr(), std::ptr::null_mut()))
    }
}

/// FALSE: the parent has gone, or given up.
fn parent_says_go() -> bool {
    matches!(sys::receive_byte(3), Ok(1))
}

fn build(plan: &Plan, control: c_int, stream: c_int) -> std::result::Result<(), Problem> {
    if let Err(error) = keep_two(control, stream) {
        tell(control, b"desc", 0, error.raw_os_error().unwrap_or(0));
        unsafe { c::_exit(125) }
    }
    reset_signals().at(b"sign", 0)?;
    unsafe {
        c::setsid();
        c::umask(0o022);
    }
    if !parent_says_go() {
        return Ok(()); // the ids are not mapped
    }
    sys::make_mounts_private().at(b"priv", 0)?;
    enter_root(plan)?;
    fill_root(plan)?;
    name_and_loopback(plan).at(b"name", 0)?;
    give_up_rights(plan)?;
    tell(3, READY, 0, 0);
    if !parent_says_go() {
        return Ok(());
    }
    unsafe {
        c::execve(plan.argv[0], plan.argv.as_ptr(), plan.env.as_ptr());
    }
    Err(Error::last_os_error()).at(b"exec", 0)
}

// ---- the file system ----

/// A mount that is nowhere yet, with its flags.
fn detached(mount: &Mount) -> Result<c_int> {
    let copy = |path: &CStr| {
        let fd = sys::open_tree(path)?;
        sys::restrict_mount(fd, mount.attributes)?;
        Ok(fd)
    };
    match &mount.source {
        Source::Bind(path) => copy(path),
        Source::Itself => copy(&mount.target),
        Source::New { kind, options } => {
            let context = sys::fsopen(kind)?;
            for (key, value) in options {
                sys::fsconfig(context, key, value)?;
            }
            let fd = sys::fsmount(context, mount.attributes)?;
            unsafe { c::close(context) };
            Ok(fd)
        }
    }
}

/// The image below a layer in memory, in which there is a place for each mount; it is the root from then on. The other
/// mounts are made before, since the host's files are out of reach afterwards, and hung up after it, so that no link in
/// the image leads out of it.
fn enter_root(plan: &Plan) -> std::result::Result<(), Problem> {
    let scratch = detached(&plan.scratch).at(b"scra", 0)?;
    let image = detached(&plan.image).at(b"imag", 0)?;
    sys::move_mount(scratch, &plan.scratch.target).at(b"scra", 1)?;
    unsafe {
        int(c::chdir(plan.scratch.target.as_ptr())).at(b"scra", 2)?;
        for directory in [c"lower", c"upper", c"work", c"root"] {
            int(c::mkdir(directory.as_ptr(), 0o755)).at(b"scra", 3)?;
        }
    }
    sys::move_mount(image, c"lower").at(b"imag", 1)?;
    let root = detached(&plan.root).at(b"over", 0)?;
    sys::move_mount(root, c"root").at(b"over", 1)?;
    for (i, mount) in plan.mounts.iter().enumerate() {
        if matches!(mount.source, Source::Itself) {
            continue;
        }
        match detached(mount) {
            Ok(fd) => place(fd, i).at(b"make", i)?,
            Err(_) if mount.optional => {}
            Err(error) => return Err(error).at(b"make", i),
        }
    }
    unsafe {
        let old = int(c::open(c"/".as_ptr(), O_DIRECTORY | O_CLOEXEC)).at(b"pivo", 0)?;
        int(c::chdir(c"root".as_ptr())).at(b"pivo", 1)?;
        sys::pivot_here().at(b"pivo", 2)?;
        int(c::fchdir(old)).at(b"pivo", 3)?;
        sys::drop_old_root().at(b"pivo", 4)?;
        c::close(old);
        int(c::chdir(c"/".as_ptr())).at(b"pivo", 5)?;
    }
    Ok(())
}

/// The mounts' descriptors, in the order of the plan since there is no room for a list here: far above those that the
/// kernel gives out meanwhile.
const FIRST: c_int = 100;

fn place(fd: c_int, i: usize) -> Result<()> {
    unsafe {
        int(c::dup3(fd, FIRST + i as c_int, O_CLOEXEC))?;
        c::close(fd);
    }
    Ok(())
}

/// A place to mount on: what is missing is made, in memory. Where that does not work, the mount will tell.
fn make_place(mount: &Mount) {
    unsafe {
        for parent in &mount.parents {
            c::mkdir(parent.as_ptr(), 0o755);
        }
        if mount.directory {
            c::mkdir(mount.target.as_ptr(), 0o755);
            return;
        }
        let flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC;
        let mut fd = c::open(mount.target.as_ptr(), flags, 0o644 as c_uint);
        if fd < 0 && c::unlink(mount.target.as_ptr()) == 0 {
            fd = c::open(mount.target.as_ptr(), flags, 0o644 as c_uint); // it was a link
        }
        if fd >= 0 {
            c::close(fd);
        }
    }
}

/// Hangs up one of the mounts.
fn hang_up(mount: &Mount, i: usize) -> Result<()> {
    if let Source::Itself = mount.source {
        place(detached(mount)?, i)?;
    }
    sys::move_mount(FIRST + i as c_int, &mount.target)?;
    if mount.target.to_bytes() == PROC.as_bytes() {
        return write_file(c"/proc/sys/user/max_user_namespaces", b"0");
    }
    Ok(())
}

fn fill_root(plan: &Plan) -> std::result::Result<(), Problem> {
    for (i, mount) in plan.mounts.iter().enumerate() {
        if mount.make_place {
            make_place(mount);
        }
        match hang_up(mount, i) {
            Err(error) if !mount.optional => return Err(error).at(b"hang", i),
            _ => {}
        }
    }
    sys::close_range(FIRST as c_uint, c_uint::MAX).at(b"hang", plan.mounts.len())?;
    for (target, path) in &plan.links {
        match int(unsafe { c::symlink(target.as_ptr(), path.as_ptr()) }) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error).at(b"devs", 0),
            _ => {}
        }
    }
    sys::restrict_at(c"/dev", sys::RDONLY).at(b"devs", 1)?;
    if plan.read_only {
        sys::restrict_at(c"/", sys::RDONLY).at(b"over", 2)?;
    }
    Ok(())
}

fn write_file(path: &CStr, text: &[u8]) -> Result<()> {
    unsafe {
        let fd = int(c::open(path.as_ptr(), O_WRONLY | O_CLOEXEC))?;
        let result = check(c::write(fd, text.as_ptr(), text.len()) as c_long);
        c::close(fd);
        result.map(|_| ())
    }
}

// ---- the rest ----

fn name_and_loopback(plan: &Plan) -> Result<()> {
    const SIOCSIFFLAGS: c_ulong = 0x8914;
    const IFF_UP: u8 = 1;
    let mut request = [0u8; 40]; // struct ifreq: 16 bytes of name, then the flags
    request[..2].copy_from_slice(b"lo");
    request[16..18].copy_from_slice(&u16::from(IFF_UP).to_ne_bytes());
    unsafe {
        int(c::sethostname(plan.hostname.as_ptr(), plan.hostname.to_bytes().len()))?;
        let socket = int(c::socket(2, 2 | O_CLOEXEC, 0))?; // AF_INET, SOCK_DGRAM
        let result = int(c::ioctl(socket, SIOCSIFFLAGS, request.as_ptr()));
        c::close(socket);
        result.map(|_| ())
    }
}

fn give_up_rights(plan: &Plan) -> std::result::Result<(), Problem> {
    const PR_CAPBSET_DROP: c_int = 24;
    const PR_SET_NO_NEW_PRIVS: c_int = 38;
    const PR_CAP_AMBIENT: c_int = 47;
    const PR_CAP_AMBIENT_CLEAR_ALL: c_ulong = 4;
    const ZERO: c_ulong = 0;
    unsafe {
        int(c::chdir(plan.workdir.as_ptr())).at(b"work", 0)?; // as OCI runtimes do: whether its user can is measured
        let null = int(c::open(c"/dev/null".as_ptr(), O_RDWR | O_CLOEXEC)).at(b"null", 0)?;
        int(c::dup2(null, 2)).at(b"null", 1)?;
        int(c::dup2(4, 0)).at(b"null", 2)?;
        int(c::dup2(4, 1)).at(b"null", 3)?;
        c::close(null);
        c::close(4);
        for (i, (resource, value)) in plan.limits.iter().enumerate() {
            let both = c::RLimit { soft: *value, hard: *value };
            int(c::prlimit64(0, *resource, &raw const both, std::ptr::null_mut())).at(b"rlim", i)?;
        }
        for capability in 0..64 as c_ulong {
            if c::prctl(PR_CAPBSET_DROP, capability, ZERO, ZERO, ZERO) < 0 {
                break; // beyond the last that the kernel knows; what is left is seen by inspect
            }
        }
        int(c::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, ZERO, ZERO, ZERO)).at(b"caps", 0)?;
        if plan.change_user {
            sys::become_user(plan.uid, plan.gid).at(b"user", 0)?;
        }
        sys::drop_capabilities().at(b"caps", 1)?;
        if plan.no_new_privs {
            int(c::prctl(PR_SET_NO_NEW_PRIVS, 1 as c_ulong, ZERO, ZERO, ZERO)).at(b"caps", 2)?;
        }
        sys::close_on_exec_from(3).at(b"desc", 1)?;
    }
    Ok(())
}
