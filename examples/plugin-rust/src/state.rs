// SPDX-License-Identifier: MIT
//! What is known of a container after the process that made it: a small file, and in it a process by number and start.
use crate::abi::*;
use crate::failure::{fail, OrFail, Outcome};
use crate::sys;
use crate::wait::Clock;
use std::ffi::c_int;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const MAX_FILE: u64 = 16 * 1024;
const MAX_LABEL: usize = 4096;
const MAX_CONTAINERS: usize = 100_000;

/// A process that cannot be mistaken for a later one of the same number.
#[derive(Clone, PartialEq)]
pub struct Process {
    pub pid: c_int,
    start: String,
    boot: String,
}

#[derive(Clone)]
pub struct Record {
    pub owner: String,
    pub session: String,
    pub deadline: i64,
    pub running: bool,
    pub process: Option<Process>,
}

/// At most `limit` bytes of a file.
pub fn read_file(path: impl AsRef<Path>, limit: u64) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(limit).read_to_string(&mut text)?;
    Ok(text)
}

/// What names something here and in a path.
pub fn is_id(id: &str) -> bool {
    id.len() < 128
        && id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

impl Process {
    pub fn of(pid: c_int) -> Option<Process> {
        Process::with_state(pid).map(|(process, _)| process)
    }

    /// And its state, as in /proc/PID/stat: "Z", it has ended, and its parent has not looked yet.
    fn with_state(pid: c_int) -> Option<(Process, String)> {
        let stat = read_file(format!("/proc/{pid}/stat"), 4096).ok()?;
        let mut words = stat.rsplit_once(')')?.1.split_whitespace();
        let state = words.next()?.to_owned();
        let start = words.nth(18)?.to_owned();
        let boot = read_file("/proc/sys/kernel/random/boot_id", 128).ok()?.trim().to_owned();
        Some((Process { pid, start, boot }, state))
    }

    fn is_there(&self) -> bool {
        Process::of(self.pid).as_ref() == Some(self)
    }

    fn is_alive(&self) -> bool {
        Process::with_state(self.pid).is_some_and(|(process, state)| process == *self && state != "Z")
    }

    /// Kill it, and with it all of its namespace, and wait until they are gone.
    pub fn end(&self, clock: &Clock) -> Outcome<()> {
        let Ok(fd) = sys::pidfd_open(self.pid) else {
            return Ok(()); // gone
        };
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        if !self.is_there() {
            return Ok(()); // another one by now
        }
        match sys::pidfd_kill(fd.as_raw_fd()) {
            Err(error) if error.raw_os_error() != Some(3) => return Err(error).or_fail("its process cannot be killed"),
            _ => {} // ESRCH: gone
        }
        clock.readable(fd.as_raw_fd(), "the end of its process")?;
        sys::reap(self.pid);
        Ok(())
    }
}

impl Record {
    fn text(&self) -> String {
        let process = match &self.process {
            Some(process) => format!("process {} {} {}\n", process.pid, process.start, process.boot),
            None => String::new(),
        };
        format!(
            "owner {}\nsession {}\ndeadline {}\nrunning {}\n{process}",
            self.owner,
            self.session,
            self.deadline,
            i32::from(self.running)
        )
    }

    /// What a line lacks is as if it were not there.
    fn parse(text: &str) -> Record {
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        let process = value("process").and_then(|line| {
            let mut words = line.split(' ');
            let pid = words.next()?.parse().ok().filter(|pid| *pid > 1)?;
            Some(Process { pid, start: words.next()?.to_owned(), boot: words.next()?.to_owned() })
        });
        Record {
            owner: value("owner").unwrap_or_default().to_owned(),
            session: value("session").unwrap_or_default().to_owned(),
            deadline: value("deadline").and_then(|number| number.parse().ok()).unwrap_or(0),
            running: value("running") == Some("1"),
            process,
        }
    }

    /// Such a container is as good as removed. One without a process is being made, or was left so.
    pub fn has_ended(&self) -> bool {
        self.process.as_ref().is_some_and(|process| !process.is_alive())
    }
}

/// The directory of all records, ours alone.
pub struct Records {
    directory: PathBuf,
}

impl Records {
    pub fn open(runtime_dir: &Path) -> Outcome<Records> {
        let directory = runtime_dir.join("namespaces");
        match fs::DirBuilder::new().mode(0o700).create(&directory) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error).or_fail(directory.display()),
            _ => {}
        }
        let about = fs::symlink_metadata(&directory).or_fail(directory.display())?;
        if !about.is_dir() || about.uid() != sys::effective_ids().0 || about.mode() & 0o077 != 0 {
            let text = format!("{} is not a private directory of yours; remove it", directory.display());
            return fail(DSB_ERROR_DENIED, text);
        }
        Ok(Records { directory })
    }

    /// A place to mount on, in namespaces where it is seen by nobody else.
    pub fn scratch(&self) -> Outcome<PathBuf> {
        let path = self.directory.join(".mount");
        match fs::create_dir(&path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error).or_fail(path.display()),
            _ => Ok(path),
        }
    }

    fn write(&self, path: &Path, record: &Record) -> Outcome<()> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        match file {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                fail(DSB_ERROR_CONFLICT, "there is a container of that name already")
            }
            file => file.and_then(|mut file| file.write_all(record.text().as_bytes())).or_fail(path.display()),
        }
    }

    /// Takes the name: CONFLICT.
    pub fn add(&self, id: &str, record: &Record) -> Outcome<()> {
        for label in [&record.owner, &record.session] {
            if label.len() > MAX_LABEL || label.chars().any(char::is_control) {
                return fail(
                    DSB_ERROR_INVALID,
                    format!("a label has more than {MAX_LABEL} bytes, or a control character"),
                );
            }
        }
        self.write(&self.directory.join(id), record)
    }

    pub fn change(&self, id: &str, record: &Record) -> Outcome<()> {
        let fresh = self.directory.join(format!(".{id}"));
        let _ = fs::remove_file(&fresh); // of one that was killed here
        self.write(&fresh, record)?;
        fs::rename(&fresh, self.directory.join(id)).or_fail("the container's record")
    }

    /// None: there is no such container.
    pub fn get(&self, id: &str) -> Outcome<Option<Record>> {
        if !is_id(id) {
            return Ok(None);
        }
        match read_file(self.directory.join(id), MAX_FILE) {
            Ok(text) => Ok(Some(Record::parse(&text))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).or_fail("the container's record"),
        }
    }

    pub fn remove(&self, id: &str) -> Outcome<()> {
        let _ = fs::remove_file(self.directory.join(format!(".{id}")));
        match fs::remove_file(self.directory.join(id)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).or_fail("the container's record"),
            _ => Ok(()),
        }
    }

    pub fn all(&self) -> Outcome<Vec<(String, Record)>> {
        let mut list = Vec::new();
        for entry in fs::read_dir(&self.directory).or_fail(self.directory.display())? {
            let name = entry.or_fail(self.directory.display())?.file_name();
            let Some(id) = name.to_str().filter(|name| is_id(name)) else {
                continue;
            };
            if let Some(record) = self.get(id)? {
                list.push((id.to_owned(), record));
            }
            if list.len() > MAX_CONTAINERS {
                return fail(DSB_ERROR_LIMIT, format!("there are more than {MAX_CONTAINERS} containers"));
            }
        }
        Ok(list)
    }
}
