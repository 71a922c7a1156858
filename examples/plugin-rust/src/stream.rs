// SPDX-License-Identifier: MIT
//! The byte stream to process 1: our end of a socket, whose other end is its standard input and output.
use crate::abi::*;
use crate::failure::{put_text, Failure};
use crate::guard;
use crate::sys;
use std::ffi::{c_char, c_void};
use std::io::{Error, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};

struct State {
    socket: OwnedFd,
}

pub fn give(socket: OwnedFd, stream: &mut dsb_stream) {
    let fd = socket.as_raw_fd();
    stream.state = Box::into_raw(Box::new(State { socket })).cast();
    stream.read_fd = fd;
    stream.write_fd = fd;
    stream.read = Some(read);
    stream.write = Some(write);
    stream.diagnostic = Some(diagnostic);
    stream.close = Some(close);
}

/// The number of bytes, or -1 and the error.
unsafe fn outcome(result: std::io::Result<usize>, error: *mut dsb_plugin_error) -> i64 {
    let problem = match result {
        Ok(n) => return n as i64,
        Err(problem) => problem,
    };
    if let Some(error) = error.as_mut() {
        if matches!(problem.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) {
            error.code = DSB_ERROR_WOULD_BLOCK;
            put_text(&mut error.text, "not now");
        } else {
            Failure { code: DSB_ERROR_LOST, text: format!("the stream of the container: {problem}") }.put(error);
        }
    }
    -1
}

fn broken() -> std::io::Result<usize> {
    Err(Error::other(guard::BUG))
}

unsafe extern "C" fn read(state: *mut c_void, buffer: *mut c_void, size: usize, error: *mut dsb_plugin_error) -> i64 {
    let result = guard::value(|| {
        let state = &*state.cast::<State>();
        match sys::receive(state.socket.as_raw_fd(), buffer, size) {
            // It was killed before it had read all: an end like another.
            Err(problem) if problem.kind() == ErrorKind::ConnectionReset => Ok(0),
            result => result,
        }
    });
    outcome(result.unwrap_or_else(broken), error)
}

unsafe extern "C" fn write(
    state: *mut c_void, buffer: *const c_void, size: usize, error: *mut dsb_plugin_error,
) -> i64 {
    let result = guard::value(|| sys::send((*state.cast::<State>()).socket.as_raw_fd(), buffer, size));
    outcome(result.unwrap_or_else(broken), error)
}

/// There is no engine that could say something beside the stream.
unsafe extern "C" fn diagnostic(_state: *mut c_void) -> *const c_char {
    c"".as_ptr()
}

unsafe extern "C" fn close(state: *mut c_void) {
    guard::value(|| drop(Box::from_raw(state.cast::<State>())));
}
