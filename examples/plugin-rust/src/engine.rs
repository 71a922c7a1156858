// SPDX-License-Identifier: MIT
//! The engine: a directory of images, the records of all containers, and those that this process has made.
use crate::abi::*;
use crate::container::Container;
use crate::failure::{fail, Failure, OrFail, Outcome};
use crate::observe::Look;
use crate::plan;
use crate::spec::Spec;
use crate::state::{is_id, Record, Records};
use crate::sys;
use crate::wait::Clock;
use std::collections::HashMap;
use std::ffi::c_int;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const DEFAULT_CALL: Duration = Duration::from_secs(60);
/// `destroy` comes to its end even where calls are shorter.
const LEAST_DESTROY: Duration = Duration::from_secs(5);

pub struct Engine {
    images: PathBuf,
    records: Records,
    scratch: PathBuf,
    call: Duration,
    cancel_fd: c_int,
    made: HashMap<String, Container>,
}

/// Whoever can write there can put anything into a sandbox.
fn check_directory(path: &Path, code: u32) -> Outcome<()> {
    let about =
        std::fs::metadata(path).map_err(|error| Failure { code, text: format!("{}: {error}", path.display()) })?;
    if !about.is_dir() {
        return fail(code, format!("{} is not a directory", path.display()));
    }
    let owner = about.uid();
    if (owner != 0 && owner != sys::effective_ids().0) || about.mode() & 0o022 != 0 {
        let text = format!("others can write in {}: chown it to root or you, and chmod go-w", path.display());
        return fail(DSB_ERROR_DENIED, text);
    }
    Ok(())
}

impl Engine {
    pub fn open(endpoint: Option<String>, runtime_dir: &Path, call_ms: u32, cancel_fd: c_int) -> Outcome<Engine> {
        let call = if call_ms > 0 { Duration::from_millis(call_ms.into()) } else { DEFAULT_CALL };
        Clock::new(call, cancel_fd).check()?;
        let Some(images) = endpoint else {
            return fail(
                DSB_ERROR_UNAVAILABLE,
                "name the directory that has the images' directories: --host /DIRECTORY",
            );
        };
        if !images.starts_with('/') {
            return fail(DSB_ERROR_UNAVAILABLE, format!("{images} is no absolute path of a directory with images"));
        }
        check_directory(Path::new(&images), DSB_ERROR_UNAVAILABLE)?;
        let records = Records::open(runtime_dir)?;
        let scratch = records.scratch()?;
        Ok(Engine { images: images.into(), records, scratch, call, cancel_fd, made: HashMap::new() })
    }

    fn clock(&self) -> Clock {
        Clock::new(self.call, self.cancel_fd)
    }

    pub fn images(&self) -> &Path {
        &self.images
    }

    pub fn check(&self) -> Outcome<()> {
        self.clock().check()
    }

    /// A directory below the one of all images, by a name that does not lead out of it.
    pub fn image(&self, name: &str) -> Outcome<PathBuf> {
        self.check()?;
        let inside = !name.is_empty() && name.split('/').all(|part| !matches!(part, "" | "." | ".."));
        let path = self.images.join(name);
        if !inside || name.len() >= 128 {
            return fail(DSB_ERROR_NOT_FOUND, format!("{name} is no name of an image here"));
        }
        if !path.exists() {
            let text = format!("there is no image {name}: unpack its root file system into {}", path.display());
            return fail(DSB_ERROR_NOT_FOUND, text);
        }
        check_directory(&path, DSB_ERROR_NOT_FOUND)?;
        Ok(path)
    }

    pub fn create(&mut self, spec: &Spec) -> Outcome<()> {
        let unknown = spec.required & !(ENFORCES | CORE);
        if unknown != 0 {
            return fail(
                DSB_ERROR_REFUSED,
                format!("controls are required that are not kept here (bits {unknown:#x})"),
            );
        }
        if spec.network != DSB_NETWORK_NONE {
            return fail(DSB_ERROR_UNSUPPORTED, "there is no network here: use network=none, or another backend");
        }
        if !is_id(&spec.name) || spec.uid == 0 || spec.gid == 0 || spec.binds.len() < 2 {
            return fail(DSB_ERROR_INVALID, "the name, the user or the binds of the container are not possible");
        }
        let clock = self.clock();
        let image = self.image(&spec.image)?;
        let plan = plan::make(spec, &self.scratch, &image, sys::effective_ids().0 == 0)?;
        let mut record = Record {
            owner: spec.label(DSB_LABEL_OWNER).to_owned(),
            session: spec.label(DSB_LABEL_SESSION).to_owned(),
            deadline: spec.label(DSB_LABEL_DEADLINE).parse().unwrap_or(0),
            running: false,
            process: None,
        };
        self.records.add(&spec.name, &record)?;
        let made = Container::new(plan).and_then(|mut container| {
            record.process = Some(container.process.clone());
            self.records.change(&spec.name, &record)?;
            container.set_up(spec, &clock)?;
            Ok(container)
        });
        match made {
            Ok(container) => {
                self.made.insert(spec.name.clone(), container);
                Ok(())
            }
            Err(failure) => {
                if let Err(left) = self.destroy(&spec.name) {
                    return fail(failure.code, format!("{}; and it cannot be removed: {}", failure.text, left.text));
                }
                Err(failure)
            }
        }
    }

    fn record(&self, id: &str) -> Outcome<Record> {
        match self.records.get(id)? {
            Some(record) => Ok(record),
            None => fail(DSB_ERROR_NOT_FOUND, format!("there is no container {id}")),
        }
    }

    pub fn inspect(&self, id: &str, spec: &Spec, observed: &mut dsb_observed) -> Outcome<()> {
        self.check()?;
        let record = self.record(id)?;
        match record.process {
            Some(process) => Look::at(process.pid).all(spec, observed),
            None => return fail(DSB_ERROR_LOST, format!("container {id} has no process")),
        }
        Ok(())
    }

    pub fn start(&mut self, id: &str) -> Outcome<OwnedFd> {
        let clock = self.clock();
        clock.check()?;
        let record = self.record(id)?;
        let Some(container) = self.made.get_mut(id) else {
            return fail(DSB_ERROR_CONFLICT, format!("container {id} was made by another process, and ends with it"));
        };
        let stream = container.start(id, &clock)?;
        self.records.change(id, &Record { running: true, ..record })?;
        Ok(stream)
    }

    /// Also after a cancel.
    pub fn destroy(&mut self, id: &str) -> Outcome<()> {
        let made = self.made.remove(id);
        let recorded = self.records.get(id)?.and_then(|record| record.process);
        for process in made.iter().map(|container| &container.process).chain(&recorded) {
            process.end(&Clock::new(self.call.max(LEAST_DESTROY), -1))?;
        }
        if is_id(id) {
            self.records.remove(id)?;
        }
        Ok(())
    }

    /// Also after a cancel. What ended by itself, or with the process that made it, is removed here.
    pub fn list(&self, owner: Option<&str>) -> Outcome<Vec<(String, Record)>> {
        let (ended, mut all): (Vec<_>, Vec<_>) =
            self.records.all()?.into_iter().partition(|(_, record)| record.has_ended());
        for (id, _) in ended {
            self.records.remove(&id)?;
        }
        all.retain(|(_, record)| !record.owner.is_empty() && owner.is_none_or(|owner| record.owner == owner));
        Ok(all)
    }
}

impl Drop for Engine {
    /// A container ends with the process that holds its stream: after its last answer dsandbox leaves it to the engine to
    /// remove it, and this is the engine.
    fn drop(&mut self) {
        let ids: Vec<String> = self.made.keys().cloned().collect();
        for id in ids {
            let _ = self.destroy(&id); // else `list` does it, or whoever collects what is left
        }
    }
}

/// For `describe`.
pub fn kernel_release() -> Outcome<String> {
    crate::state::read_file("/proc/sys/kernel/osrelease", 256)
        .map(|text| text.trim().to_owned())
        .or_fail("the kernel's release")
}
