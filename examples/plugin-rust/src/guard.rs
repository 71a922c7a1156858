// SPDX-License-Identifier: MIT
//! No panic goes across the interface: it would be undefined there, or end the caller's process. It becomes an error of
//! the operation that it was in; so the crate unwinds instead of aborting. The message of a panic goes nowhere, since the
//! terminal is the caller's.
use crate::abi::*;
use crate::failure::{Failure, Outcome};
use std::ffi::c_int;
use std::panic::{catch_unwind, set_hook, AssertUnwindSafe};
use std::sync::Once;

pub const BUG: &str = "the plugin namespaces has a bug: it panicked; please report it with the output of dsandbox -v";

/// None: it panicked.
pub fn value<T>(run: impl FnOnce() -> T) -> Option<T> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| set_hook(Box::new(|_| {}))); // of this library's own `std`
    catch_unwind(AssertUnwindSafe(run)).ok()
}

/// What an operation returns: 1, or 0 and the error.
///
/// # Safety
/// `error` is the caller's, or NULL.
pub unsafe fn operation(error: *mut dsb_plugin_error, run: impl FnOnce() -> Outcome<()>) -> c_int {
    let result = value(run).unwrap_or_else(|| Err(Failure { code: DSB_ERROR_FAILED, text: BUG.to_owned() }));
    if let (Err(failure), Some(error)) = (&result, error.as_mut()) {
        failure.put(error);
    }
    result.is_ok().into()
}
