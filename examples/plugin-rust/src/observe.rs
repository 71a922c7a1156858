// SPDX-License-Identifier: MIT
//! What the kernel says about a container's first process, read from its directory in /proc. Nothing is taken from the
//! spec but which mounts are expected. What cannot be read stays unknown.
use crate::abi::*;
use crate::plan::DEVICES;
use crate::spec::Spec;
use crate::state::read_file;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

const MAX_FILE: u64 = 1 << 20;
const MAX_DEVICES: u32 = 1024;

pub struct Look {
    directory: PathBuf,
}

/// The value of a line "KEY: VALUE".
fn line<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim)
}

fn numbers(text: &str) -> Option<Vec<u32>> {
    text.split_whitespace().map(|word| word.parse().ok()).collect()
}

/// All the same, or the first that is not `first`.
fn one_of_all(ids: &[u32]) -> Option<u32> {
    let first = *ids.first()?;
    Some(ids.iter().copied().find(|id| *id != first).unwrap_or(first))
}

impl Look {
    pub fn at(pid: i32) -> Look {
        Look { directory: PathBuf::from(format!("/proc/{pid}")) }
    }

    fn text(&self, name: &str) -> Option<String> {
        read_file(self.directory.join(name), MAX_FILE).ok()
    }

    pub fn all(&self, spec: &Spec, out: &mut dsb_observed) {
        let mut known = 0;
        let mut note = |fact: Option<()>, control: u32| known |= if fact.is_some() { bit(control) } else { 0 };
        let status = self.text("status").unwrap_or_default();
        note(self.user(&status, out), DSB_CONTROL_USER);
        note(capabilities(&status, out), DSB_CONTROL_CAPABILITIES);
        note(no_new_privs(&status, out), DSB_CONTROL_NO_NEW_PRIVS);
        note(self.namespaces(out), DSB_CONTROL_NAMESPACES);
        note(self.network(out), DSB_CONTROL_NETWORK);
        note(self.devices(out), DSB_CONTROL_DEVICES);
        let limits = self.text("limits").unwrap_or_default();
        note(limit(&limits, "Max open files", &mut out.nofile), DSB_CONTROL_NOFILE);
        note(limit(&limits, "Max core file size", &mut out.core), DSB_CONTROL_CORE);
        note(limit(&limits, "Max file size", &mut out.fsize), DSB_CONTROL_FSIZE);
        let mounts = self.mounts(spec, out);
        for control in [DSB_CONTROL_VOLUME, DSB_CONTROL_TMP, DSB_CONTROL_SHM, DSB_CONTROL_ROOTFS] {
            note(mounts, control);
        }
        out.known = known;
    }

    /// As it is inside: the host's id by the table of its namespace.
    fn inside(&self, table: &str, id: u32) -> Option<u32> {
        self.text(table)?.lines().find_map(|line| {
            let row = numbers(line)?;
            let [first, host, count] = row[..] else {
                return None;
            };
            let distance = id.checked_sub(host).filter(|distance| *distance < count)?;
            first.checked_add(distance)
        })
    }

    fn user(&self, status: &str, out: &mut dsb_observed) -> Option<()> {
        out.uid = self.inside("uid_map", one_of_all(&numbers(line(status, "Uid")?)?)?)?;
        let gid = one_of_all(&numbers(line(status, "Gid")?)?)?;
        out.gid = self.inside("gid_map", gid)?;
        out.extra_groups = numbers(line(status, "Groups")?)?.iter().filter(|group| **group != gid).count() as u32;
        Some(())
    }

    fn namespaces(&self, out: &mut dsb_observed) -> Option<()> {
        for (i, name) in ["pid", "ipc", "uts", "net", "mnt", "cgroup"].iter().enumerate() {
            let theirs = std::fs::read_link(self.directory.join("ns").join(name)).ok()?;
            let ours = std::fs::read_link(Path::new("/proc/self/ns").join(name)).ok()?;
            out.shared_namespaces |= u32::from(theirs == ours) << i;
        }
        Some(())
    }

    /// An interface beside the loopback counts unless it is down: the kernel makes idle tunnels' ends by itself.
    fn network(&self, out: &mut dsb_observed) -> Option<()> {
        out.network = DSB_NETWORK_NONE;
        for line in self.text("net/dev")?.lines().skip(2) {
            let name = line.split_once(':')?.0.trim();
            let flags = self.text(&format!("root/sys/class/net/{name}/flags"));
            let flags = flags.and_then(|text| u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok());
            if name != "lo" && flags.is_none_or(|flags| flags & 1 != 0) {
                out.network = DSB_NETWORK_FULL;
            }
        }
        Some(())
    }

    fn devices(&self, out: &mut dsb_observed) -> Option<()> {
        let extra = extra_devices(&self.directory.join("root/dev"), 0)?;
        out.extra_devices = extra;
        out.privileged = 0;
        Some(())
    }

    fn mounts(&self, spec: &Spec, out: &mut dsb_observed) -> Option<()> {
        let text = self.text("mountinfo")?;
        let table: Vec<Row> = text.lines().map(Row::parse).collect::<Option<_>>()?;
        let at = |target: &str| table.iter().rfind(|row| row.target == target);
        let bytes = |target: &str| at(target).map_or(0, Row::tmpfs_bytes);
        out.rootfs_read_only = at("/")?.read_only.into();
        out.guest_read_only = at(&spec.binds.get(1)?.target).is_some_and(|row| row.read_only).into();
        let session = &spec.binds[0];
        let usable = at(&session.target).is_some_and(|row| !row.read_only || session.read_only);
        let all = spec.binds.iter().all(|bind| at(&bind.target).is_some());
        out.volume_present = (usable && all && self.is_same(&session.source, &session.target)).into();
        out.foreign_mounts = table.iter().filter(|row| row.is_foreign(spec)).count() as u32;
        out.tmp_bytes = bytes("/tmp");
        out.tmp_exec = at("/tmp").is_some_and(|row| !row.noexec).into();
        out.small_tmp_bytes = bytes("/run").max(bytes("/var/tmp"));
        out.shm_bytes = bytes("/dev/shm");
        Some(())
    }

    /// The very directory, not one of that name.
    fn is_same(&self, source: &str, target: &str) -> bool {
        let there = std::fs::symlink_metadata(self.directory.join("root").join(target.trim_start_matches('/')));
        match (std::fs::symlink_metadata(source), there) {
            (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
            _ => false,
        }
    }
}

fn capabilities(status: &str, out: &mut dsb_observed) -> Option<()> {
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        out.capabilities |= u64::from_str_radix(line(status, set)?, 16).ok()?;
    }
    Some(())
}

fn no_new_privs(status: &str, out: &mut dsb_observed) -> Option<()> {
    out.no_new_privs = line(status, "NoNewPrivs")?.parse().ok()?;
    Some(())
}

/// The hard one: "Max open files    1024    1024    files".
fn limit(limits: &str, name: &str, value: &mut u64) -> Option<()> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    let hard = line.split_whitespace().nth(1)?;
    *value = if hard == "unlimited" { DSB_UNLIMITED } else { hard.parse().ok()? };
    Some(())
}

/// By number: a disk that is called null is a disk.
fn is_standard(name: &str, device: u64) -> bool {
    let number = (device >> 8 & 0xfff, device & 0xff);
    let standard = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0)];
    DEVICES.iter().zip(standard).any(|(own, its)| *own == name && its == number)
}

fn extra_devices(directory: &Path, depth: u32) -> Option<u32> {
    let mut extra = 0;
    for entry in std::fs::read_dir(directory).ok()? {
        let entry = entry.ok()?;
        let about = entry.metadata().ok()?; // of the entry itself, never of where it leads
        let name = entry.file_name();
        let kind = about.file_type();
        if kind.is_dir() && depth < 4 && name != "pts" {
            extra += extra_devices(&entry.path(), depth + 1)?;
        }
        if kind.is_block_device() || (kind.is_char_device() && !is_standard(&name.to_string_lossy(), about.rdev())) {
            extra += 1;
        }
        if extra > MAX_DEVICES {
            break;
        }
    }
    Some(extra)
}

/// One line of mountinfo.
struct Row<'a> {
    target: &'a str,
    kind: &'a str,
    read_only: bool,
    noexec: bool,
    super_options: &'a str,
}

impl<'a> Row<'a> {
    /// "36 35 98:0 /root /target options [optional...] - fstype source super_options"
    fn parse(line: &'a str) -> Option<Row<'a>> {
        let (mount, system) = line.split_once(" - ")?;
        let mut system = system.split(' ');
        let (kind, super_options) = (system.next()?, system.nth(1)?);
        let mut mount = mount.split(' ').skip(4);
        let (target, options) = (mount.next()?, mount.next()?);
        let has = |option: &str| options.split(',').any(|one| one == option);
        Some(Row { target, kind, read_only: has("ro"), noexec: has("noexec"), super_options })
    }

    fn tmpfs_bytes(&self) -> u64 {
        let size = self.super_options.split(',').find_map(|option| option.strip_prefix("size="));
        let size = size.and_then(|size| size.strip_suffix('k')?.parse::<u64>().ok());
        size.and_then(|size| size.checked_mul(1024)).filter(|_| self.kind == "tmpfs").unwrap_or(DSB_UNLIMITED)
    }

    /// Neither of the spec nor of the kernel's own file systems.
    fn is_foreign(&self, spec: &Spec) -> bool {
        if let Some(bind) = spec.binds.iter().find(|bind| bind.target == self.target) {
            return bind.read_only && !self.read_only;
        }
        let kinds: &[&str] = match self.target {
            "/" => &["overlay"],
            "/proc" => &["proc"],
            "/sys" => &["sysfs"],
            "/dev" | "/dev/shm" | "/tmp" | "/run" | "/var/tmp" => &["tmpfs"],
            "/dev/pts" => &["devpts"],
            "/dev/mqueue" => &["mqueue"],
            mask if mask.starts_with("/proc/") => &["proc", "devtmpfs", "tmpfs"],
            mask if mask.starts_with("/sys/") => &["devtmpfs", "tmpfs"],
            device if device.strip_prefix("/dev/").is_some_and(|name| DEVICES.contains(&name)) => {
                &["devtmpfs", "tmpfs"]
            }
            _ => &[],
        };
        !kinds.contains(&self.kind)
    }
}
