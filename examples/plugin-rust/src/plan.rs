// SPDX-License-Identifier: MIT
//! From a spec to all that the child does, in its order and ready to be used without an allocation. Pure, but for a look
//! at what kind of file is bound.
use crate::abi::*;
use crate::child::Report;
use crate::failure::{fail, Failure, OrFail, Outcome};
use crate::spec::{Bind, Spec};
use crate::sys::{NODEV, NOEXEC, NOSUID, RDONLY};
use std::ffi::{c_char, CStr, CString};
use std::io::Error;
use std::path::Path;

pub enum Source {
    Bind(CString),
    /// The target itself once more, with attributes of its own.
    Itself,
    New {
        kind: &'static CStr,
        options: Vec<(&'static CStr, CString)>,
    },
}

pub struct Mount {
    pub source: Source,
    pub target: CString,
    pub parents: Vec<CString>,
    pub attributes: u64,
    pub directory: bool,
    /// Where it is missing it is made.
    pub make_place: bool,
    /// A mask: what is not there need not be hidden.
    pub optional: bool,
}

pub struct Plan {
    pub scratch: Mount,
    pub image: Mount,
    pub root: Mount,
    pub mounts: Vec<Mount>,
    pub links: Vec<(CString, CString)>,
    pub hostname: CString,
    pub workdir: CString,
    /// NULL-terminated, into `texts`.
    pub argv: Vec<*const c_char>,
    pub env: Vec<*const c_char>,
    pub limits: [(u32, u64); 3],
    pub read_only: bool,
    pub no_new_privs: bool,
    pub change_user: bool,
    pub uid: u32,
    pub gid: u32,
    #[allow(dead_code)] // holds what argv and env point to
    texts: Vec<CString>,
}

pub const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
const LINKS: [(&str, &str); 6] = [
    ("/proc/mounts", "/etc/mtab"),
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("pts/ptmx", "/dev/ptmx"),
];
/// Files and directories of the kernel's that tell about the host.
const MASKED_FILES: [&str; 7] = [
    "/proc/kcore",
    "/proc/keys",
    "/proc/interrupts",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/sched_debug",
    "/proc/sysrq-trigger",
];
const MASKED_DIRECTORIES: [&str; 5] =
    ["/proc/acpi", "/proc/asound", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"];
/// What settings of the kernel's are written through.
const READ_ONLY: [&str; 4] = ["/proc/sys", "/proc/bus", "/proc/fs", "/proc/irq"];
pub const PROC: &str = "/proc";
/// More is not planned: a place is a descriptor in the child.
const MAX_MOUNTS: usize = 400;

fn c_text(text: impl Into<String>) -> Outcome<CString> {
    CString::new(text.into()).or_else(|_| fail(DSB_ERROR_INVALID, "a text has a NUL in it"))
}

/// "/a/b/c": "/a", "/a/b".
fn parents_of(target: &str) -> Outcome<Vec<CString>> {
    target.match_indices('/').skip(1).map(|(end, _)| c_text(&target[..end])).collect()
}

fn mount(source: Source, target: &str, attributes: u64) -> Outcome<Mount> {
    Ok(Mount {
        source,
        target: c_text(target)?,
        parents: parents_of(target)?,
        attributes,
        directory: true,
        make_place: true,
        optional: false,
    })
}

fn new(kind: &'static CStr, options: &[(&'static CStr, String)]) -> Outcome<Source> {
    let options: Outcome<_> = options.iter().map(|(key, value)| Ok((*key, c_text(value.as_str())?))).collect();
    Ok(Source::New { kind, options: options? })
}

/// A file for each page, so that they do not cost more than the bytes do.
fn memory(target: &str, bytes: u64, mode: &str, attributes: u64) -> Outcome<Mount> {
    let files = (bytes / 4096).max(32);
    let options = [(c"size", bytes.to_string()), (c"nr_inodes", files.to_string()), (c"mode", mode.to_owned())];
    mount(new(c"tmpfs", &options)?, target, attributes | NOSUID | NODEV)
}

fn kernel(mounts: &mut Vec<Mount>) -> Outcome<()> {
    let closed = NOSUID | NODEV | NOEXEC;
    mounts.push(mount(new(c"proc", &[])?, PROC, closed)?);
    mounts.push(mount(new(c"sysfs", &[])?, "/sys", closed | RDONLY)?);
    let mut masks = Vec::new();
    for path in READ_ONLY {
        masks.push(mount(Source::Itself, path, closed | RDONLY)?);
    }
    for path in MASKED_FILES {
        masks.push(mount(Source::Bind(c"/dev/null".to_owned()), path, NOSUID | NOEXEC | RDONLY)?);
    }
    for path in MASKED_DIRECTORIES {
        masks.push(memory(path, 4096, "755", NOEXEC | RDONLY)?);
    }
    mounts.extend(masks.into_iter().map(|mask| Mount { make_place: false, optional: true, ..mask }));
    Ok(())
}

fn devices(mounts: &mut Vec<Mount>, shm_bytes: u64) -> Outcome<()> {
    let closed = NOSUID | NODEV | NOEXEC;
    mounts.push(memory("/dev", 65536, "755", NOEXEC)?);
    for name in DEVICES {
        let path = format!("/dev/{name}");
        let device = mount(Source::Bind(c_text(path.as_str())?), &path, NOSUID | NOEXEC)?;
        mounts.push(Mount { directory: false, ..device });
    }
    let modes = [(c"ptmxmode", "0666".to_owned()), (c"mode", "0620".to_owned())];
    mounts.push(mount(new(c"devpts", &modes)?, "/dev/pts", NOSUID | NOEXEC)?);
    mounts.push(mount(new(c"mqueue", &[])?, "/dev/mqueue", closed)?);
    mounts.push(memory("/dev/shm", shm_bytes, "1777", closed)?);
    Ok(())
}

fn bind(bind: &Bind) -> Outcome<Mount> {
    let attributes = NOSUID | NODEV | if bind.read_only { RDONLY } else { 0 };
    let about = std::fs::metadata(&bind.source).or_fail(&bind.source)?;
    let made = mount(Source::Bind(c_text(bind.source.as_str())?), &bind.target, attributes)?;
    Ok(Mount { directory: about.is_dir(), ..made })
}

fn all_mounts(spec: &Spec) -> Outcome<Vec<Mount>> {
    let mut mounts = Vec::new();
    kernel(&mut mounts)?;
    devices(&mut mounts, spec.shm_bytes)?;
    mounts.push(memory("/tmp", spec.tmp_bytes, "1777", if spec.tmp_exec { 0 } else { NOEXEC })?);
    mounts.push(memory("/run", spec.small_tmp_bytes, "755", NOEXEC)?);
    mounts.push(memory("/var/tmp", spec.small_tmp_bytes, "1777", NOEXEC)?);
    for one in &spec.binds {
        mounts.push(bind(one)?);
    }
    if mounts.len() > MAX_MOUNTS {
        return fail(DSB_ERROR_LIMIT, format!("{} mounts are too many: give fewer binds", mounts.len()));
    }
    Ok(mounts)
}

/// The memory that mount points are made in, and the image below it.
fn root(scratch: &Path, image: &Path) -> Outcome<[Mount; 3]> {
    let layers = [(c"lowerdir", "lower"), (c"upperdir", "upper"), (c"workdir", "work"), (c"userxattr", "")]
        .map(|(key, value)| (key, value.to_owned()));
    Ok([
        memory(&scratch.to_string_lossy(), 1 << 20, "755", NOEXEC)?,
        mount(Source::Bind(c_text(image.to_string_lossy())?), "lower", NOSUID | NODEV | RDONLY)?,
        mount(new(c"overlay", &layers)?, "root", NOSUID | NODEV)?,
    ])
}

fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
}

/// `scratch` is an empty directory, `image` that of the image, `change_user` whether root of the new user namespace is
/// there to become another one.
pub fn make(spec: &Spec, scratch: &Path, image: &Path, change_user: bool) -> Outcome<Plan> {
    const RLIMIT_FSIZE: u32 = 1;
    const RLIMIT_CORE: u32 = 4;
    const RLIMIT_NOFILE: u32 = 7;
    let links: Outcome<_> = LINKS.iter().map(|(target, path)| Ok((c_text(*target)?, c_text(*path)?))).collect();
    let [scratch, image, root] = root(scratch, image)?;
    let texts: Vec<CString> = spec.argv.iter().chain(&spec.env).cloned().collect();
    let (argv, env) = texts.split_at(spec.argv.len());
    Ok(Plan {
        scratch,
        image,
        root,
        mounts: all_mounts(spec)?,
        links: links?,
        hostname: spec.hostname.clone(),
        workdir: spec.workdir.clone(),
        argv: pointers(argv),
        env: pointers(env),
        limits: [(RLIMIT_FSIZE, spec.fsize), (RLIMIT_CORE, spec.core), (RLIMIT_NOFILE, spec.nofile)],
        read_only: spec.rootfs_read_only,
        no_new_privs: spec.no_new_privs,
        change_user,
        uid: spec.uid,
        gid: spec.gid,
        texts,
    })
}

/// A report of the child's, in words.
pub fn explain(plan: &Plan, report: &Report) -> Failure {
    let number = |at: usize| u32::from_ne_bytes([report[at], report[at + 1], report[at + 2], report[at + 3]]);
    let error = Error::from_raw_os_error(number(8) as i32);
    let target = match plan.mounts.get(number(4) as usize) {
        Some(mount) => mount.target.to_string_lossy(),
        None => "?".into(),
    };
    let program = || plan.texts[0].to_string_lossy();
    let what = match &report[..4] {
        b"desc" | b"sign" => "its process cannot be made clean".to_owned(),
        b"priv" | b"pivo" => "it cannot get a root file system of its own".to_owned(),
        b"scra" => "memory for its root file system cannot be mounted: Linux 5.12 or newer is needed".to_owned(),
        b"imag" => "the image cannot be bound; is it a directory on a file system of this host?".to_owned(),
        b"over" => {
            "the image cannot be mounted as a root (overlay; Linux 5.12 or newer is needed, and an image that is \
                    not on an overlay of an overlay itself)"
                .to_owned()
        }
        b"make" => format!("{target} cannot be made; for /proc and /sys nothing may be mounted over the host's own"),
        b"hang" => format!(
            "nothing can be mounted at {target}; is the image a whole root file system, and yours if you are not root?"
        ),
        b"devs" => "the links in /dev and /etc cannot be made".to_owned(),
        b"name" => "its host name or loopback interface cannot be set".to_owned(),
        b"null" => "its standard descriptors cannot be opened".to_owned(),
        b"rlim" => "a limit of the policy (nofile, core, fsize) is above the one that you have; lower it".to_owned(),
        b"caps" => "its capabilities cannot be dropped".to_owned(),
        b"user" => format!("it cannot become user {}:{}", plan.uid, plan.gid),
        b"work" => format!("there is no {} in it", plan.workdir.to_string_lossy()),
        b"exec" => format!("{} cannot be run in it; is the image for this processor?", program()),
        _ => "its process said something unknown".to_owned(),
    };
    Failure { code: DSB_ERROR_FAILED, text: format!("the container cannot be made: {what} ({error})") }
}
