// SPDX-License-Identifier: MIT
//! The end of a call: its deadline, or the caller's cancel.
use crate::abi::*;
use crate::failure::{fail, OrFail, Outcome};
use crate::sys::{self, PollFd, POLLIN};
use std::ffi::c_int;
use std::time::{Duration, Instant};

pub struct Clock {
    until: Instant,
    cancel_fd: c_int,
}

impl Clock {
    /// `cancel_fd` -1: it cannot be cancelled.
    pub fn new(limit: Duration, cancel_fd: c_int) -> Self {
        Clock { until: Instant::now() + limit, cancel_fd }
    }

    /// Whether it may go on at all.
    pub fn check(&self) -> Outcome<()> {
        self.wait(-1, 0).map(|_| ())
    }

    /// Until `fd` can be read, or fails.
    pub fn readable(&self, fd: c_int, what: &str) -> Outcome<()> {
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            if self.wait(fd, left.as_millis().min(60_000) as c_int)? {
                return Ok(());
            }
            if left.is_zero() {
                return fail(DSB_ERROR_TIMEOUT, format!("{what} took longer than the time of one engine call"));
            }
        }
    }

    fn wait(&self, fd: c_int, timeout_ms: c_int) -> Outcome<bool> {
        let mut fds = [fd, self.cancel_fd].map(|fd| PollFd { fd, events: POLLIN, revents: 0 });
        match sys::poll(&mut fds, timeout_ms) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(false),
            result => result.or_fail("poll")?,
        };
        if fds[1].revents & POLLIN != 0 {
            return fail(DSB_ERROR_CANCELLED, "cancelled by the caller");
        }
        Ok(fds[0].revents != 0)
    }
}
