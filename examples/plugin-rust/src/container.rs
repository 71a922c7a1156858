// SPDX-License-Identifier: MIT
//! The parent's side of one container: from the clone to the process that waits for `start`.
use crate::abi::*;
use crate::child::{self, Report, READY};
use crate::failure::{fail, OrFail, Outcome};
use crate::plan::{explain, Plan};
use crate::spec::Spec;
use crate::state::Process;
use crate::sys;
use crate::wait::Clock;
use std::ffi::c_int;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// The kernel takes the sandbox before anything of the host.
const OOM_SCORE_ADJ: &str = "500";

pub struct Container {
    pub process: Process,
    plan: Plan,
    control: UnixStream,
    /// None: it has been started.
    stream: Option<UnixStream>,
}

const HOW_TO_ALLOW: &str = "user namespaces are needed: see the sysctls user.max_user_namespaces, \
                            kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns";

impl Container {
    /// A process in namespaces of its own, that waits for `set_up`.
    pub fn new(plan: Plan) -> Outcome<Container> {
        let (control, its_control) = UnixStream::pair().or_fail("socketpair")?;
        let (stream, its_stream) = UnixStream::pair().or_fail("socketpair")?;
        let made = unsafe { sys::clone_quietly(sys::CLONE_ALL) };
        if let Ok(0) = made {
            child::run(&plan, its_control.as_raw_fd(), its_stream.as_raw_fd());
        }
        let pid = match made {
            Ok(pid) => pid,
            Err(error) => return fail(DSB_ERROR_UNAVAILABLE, format!("no new namespaces ({error}): {HOW_TO_ALLOW}")),
        };
        let Some(process) = Process::of(pid) else {
            // It ends with its control.
            return fail(DSB_ERROR_FAILED, "the new process cannot be seen in /proc");
        };
        Ok(Container { process, plan, control, stream: Some(stream) })
    }

    /// Who it is outside, then all that the plan has.
    pub fn set_up(&mut self, spec: &Spec, clock: &Clock) -> Outcome<()> {
        map_ids(self.process.pid, spec).or_fail(format!("the container's user cannot be mapped; {HOW_TO_ALLOW}"))?;
        self.say_go()?;
        match self.report(clock, "the making of the container")? {
            Some(report) if report.starts_with(READY) => Ok(()),
            Some(report) => Err(explain(&self.plan, &report)),
            None => fail(DSB_ERROR_LOST, "the container's process ended while it was made"),
        }
    }

    /// Process 1 begins; what goes to and from it.
    pub fn start(&mut self, id: &str, clock: &Clock) -> Outcome<OwnedFd> {
        if self.stream.is_none() {
            return fail(DSB_ERROR_CONFLICT, format!("container {id} was started before"));
        }
        self.say_go()?;
        if let Some(report) = self.report(clock, "the start of the container")? {
            return Err(explain(&self.plan, &report));
        }
        match self.stream.take() {
            Some(stream) => Ok(stream.into()),
            None => fail(DSB_ERROR_CONFLICT, format!("container {id} was started before")),
        }
    }

    fn say_go(&mut self) -> Outcome<()> {
        let sent = unsafe { sys::send(self.control.as_raw_fd(), b"g".as_ptr().cast(), 1) };
        match sent {
            Ok(_) => Ok(()),
            Err(error) => fail(DSB_ERROR_LOST, format!("the container's process has ended: {error}")),
        }
    }

    /// None: the socket is closed, by `execve` or by the process's end.
    fn report(&mut self, clock: &Clock, what: &str) -> Outcome<Option<Report>> {
        let mut report: Report = [0; 12];
        clock.readable(self.control.as_raw_fd(), what)?;
        match self.control.read(&mut report) {
            Ok(0) => Ok(None),
            Ok(n) if n == report.len() => Ok(Some(report)),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(None),
            Ok(_) => fail(DSB_ERROR_LOST, "the container's process said half a word"),
            Err(error) => Err(error).or_fail("the container's process"),
        }
    }
}

/// Root maps itself for the time of the making, and the user; anybody else is that user inside.
fn map_ids(pid: c_int, spec: &Spec) -> std::io::Result<()> {
    let (uid, gid) = sys::effective_ids();
    let table = |own: u32, inside: u32| match uid {
        0 => format!("0 0 1\n{inside} {inside} 1\n"),
        _ => format!("{inside} {own} 1\n"),
    };
    // One write each: the kernel takes no more.
    let write = |name: &str, text: &str| {
        fs::OpenOptions::new().write(true).open(format!("/proc/{pid}/{name}"))?.write_all(text.as_bytes())
    };
    write("oom_score_adj", OOM_SCORE_ADJ)?;
    write("uid_map", &table(uid, spec.uid))?;
    if uid != 0 {
        write("setgroups", "deny")?;
    }
    write("gid_map", &table(gid, spec.gid))
}
