// SPDX-License-Identifier: MIT
//! Why an operation failed: a code and words, and both written into the caller's error.
use crate::abi::*;
use std::ffi::c_char;
use std::fmt::Display;

pub struct Failure {
    pub code: u32,
    pub text: String,
}

pub type Outcome<T> = Result<T, Failure>;

pub fn fail<T>(code: u32, text: impl Into<String>) -> Outcome<T> {
    Err(Failure { code, text: text.into() })
}

pub trait OrFail<T> {
    /// "WHAT: why", with the code that fits.
    fn or_fail(self, what: impl Display) -> Outcome<T>;
}

impl<T> OrFail<T> for std::io::Result<T> {
    fn or_fail(self, what: impl Display) -> Outcome<T> {
        self.map_err(|error| Failure { code: code_of(&error), text: format!("{what}: {error}") })
    }
}

fn code_of(error: &std::io::Error) -> u32 {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => DSB_ERROR_DENIED,
        std::io::ErrorKind::NotFound => DSB_ERROR_NOT_FOUND,
        _ => DSB_ERROR_FAILED,
    }
}

/// As much of the text as the array holds, cut between characters, and a NUL.
pub fn put_text(array: &mut [c_char], text: &str) {
    let mut length = text.len().min(array.len() - 1);
    while !text.is_char_boundary(length) {
        length -= 1;
    }
    for (to, from) in array.iter_mut().zip(&text.as_bytes()[..length]) {
        *to = if *from == 0 { b'?' as c_char } else { *from as c_char };
    }
    array[length] = 0;
}

impl Failure {
    pub fn put(&self, error: &mut dsb_plugin_error) {
        error.code = self.code;
        put_text(&mut error.text, if self.text.is_empty() { "it failed" } else { &self.text });
    }
}
