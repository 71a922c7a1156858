// SPDX-License-Identifier: MIT
//! The caller's spec, read once from its pointers into values of our own, with bounds. No pointer of it is used
//! anywhere else.
use crate::abi::*;
use crate::failure::{fail, Outcome};
use std::ffi::{c_char, CStr, CString};

const MAX_ITEMS: usize = 1024;
const MAX_TEXT: usize = 128 * 1024; // what the kernel takes as one argument

pub struct Bind {
    pub source: String,
    pub target: String,
    pub read_only: bool,
}

pub struct Spec {
    pub required: u64,
    pub name: String,
    pub image: String,
    pub labels: Vec<(String, String)>,
    pub argv: Vec<CString>,
    pub env: Vec<CString>,
    pub workdir: CString,
    pub hostname: CString,
    pub binds: Vec<Bind>,
    pub tmp_bytes: u64,
    pub small_tmp_bytes: u64,
    pub shm_bytes: u64,
    pub nofile: u64,
    pub core: u64,
    pub fsize: u64,
    pub network: u32,
    pub uid: u32,
    pub gid: u32,
    pub rootfs_read_only: bool,
    pub no_new_privs: bool,
    pub tmp_exec: bool,
}

/// # Safety
/// `text` is NULL or a C string that lives during the call.
pub unsafe fn text(what: &str, text: *const c_char) -> Outcome<String> {
    if text.is_null() {
        return fail(DSB_ERROR_INVALID, format!("{what} is missing"));
    }
    let bytes = CStr::from_ptr(text).to_bytes();
    if bytes.len() > MAX_TEXT {
        return fail(DSB_ERROR_LIMIT, format!("{what} has more than {MAX_TEXT} bytes"));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => fail(DSB_ERROR_INVALID, format!("{what} is not UTF-8")),
    }
}

unsafe fn c_text(what: &str, from: *const c_char) -> Outcome<CString> {
    Ok(CString::new(text(what, from)?).unwrap_or_default()) // there is no NUL in it
}

/// Each says its own size, which may be more than we know.
unsafe fn items<'a, T>(what: &str, first: *const *const T, n: usize) -> Outcome<Vec<&'a T>> {
    if n == 0 {
        return Ok(Vec::new());
    }
    if first.is_null() || n > MAX_ITEMS {
        return fail(DSB_ERROR_LIMIT, format!("{what} are missing, or more than {MAX_ITEMS}"));
    }
    let read = |item: &*const T| match item.as_ref() {
        Some(one) if *item.cast::<u32>() as usize >= size_of::<T>() => Ok(one),
        _ => fail(DSB_ERROR_INVALID, format!("one of the {what} is missing, or of an older dsandbox")),
    };
    std::slice::from_raw_parts(first, n).iter().map(read).collect()
}

unsafe fn pairs(what: &str, first: *const *const dsb_pair, n: usize) -> Outcome<Vec<(String, String)>> {
    items(what, first, n)?.iter().map(|pair| Ok((text(what, pair.name)?, text(what, pair.value)?))).collect()
}

unsafe fn arguments(argv: *const *const c_char) -> Outcome<Vec<CString>> {
    let mut list = Vec::new();
    if argv.is_null() {
        return fail(DSB_ERROR_INVALID, "the entry point is missing");
    }
    while !(*argv.add(list.len())).is_null() {
        if list.len() == MAX_ITEMS {
            return fail(DSB_ERROR_LIMIT, format!("there are more than {MAX_ITEMS} arguments"));
        }
        list.push(c_text("an argument", *argv.add(list.len()))?);
    }
    if list.is_empty() {
        return fail(DSB_ERROR_INVALID, "the entry point is missing");
    }
    Ok(list)
}

unsafe fn binds(spec: &dsb_spec) -> Outcome<Vec<Bind>> {
    let read = |bind: &&dsb_bind| {
        Ok(Bind {
            source: text("the source of a bind", bind.source)?,
            target: text("the target of a bind", bind.target)?,
            read_only: bind.read_only != 0,
        })
    };
    items("binds", spec.binds, spec.n_binds)?.iter().map(read).collect()
}

/// # Safety
/// `spec` is a dsb_spec of the caller, whole and unchanged during the call.
pub unsafe fn read(spec: *const dsb_spec) -> Outcome<Spec> {
    let Some(spec) = spec.as_ref() else {
        return fail(DSB_ERROR_INVALID, "the spec is missing");
    };
    if (spec.struct_size as usize) < size_of::<dsb_spec>() {
        return fail(DSB_ERROR_INVALID, "the spec is of an older dsandbox");
    }
    let join = |(name, value): (String, String)| CString::new(format!("{name}={value}")).unwrap_or_default();
    Ok(Spec {
        required: spec.required,
        name: text("the name", spec.name)?,
        image: text("the image", spec.image)?,
        labels: pairs("labels", spec.labels, spec.n_labels)?,
        argv: arguments(spec.argv)?,
        env: pairs("variables", spec.env, spec.n_env)?.into_iter().map(join).collect(),
        workdir: c_text("the working directory", spec.workdir)?,
        hostname: c_text("the host name", spec.hostname)?,
        binds: binds(spec)?,
        tmp_bytes: spec.tmp_bytes,
        small_tmp_bytes: spec.small_tmp_bytes,
        shm_bytes: spec.shm_bytes,
        nofile: spec.nofile,
        core: spec.core,
        fsize: spec.fsize,
        network: spec.network,
        uid: spec.uid,
        gid: spec.gid,
        rootfs_read_only: spec.rootfs_read_only != 0,
        no_new_privs: spec.no_new_privs != 0,
        tmp_exec: spec.tmp_exec != 0,
    })
}

impl Spec {
    /// "" for none.
    pub fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}
