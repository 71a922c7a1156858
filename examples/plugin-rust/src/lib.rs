// SPDX-License-Identifier: MIT
//! A backend for dsandbox in Rust, without an engine: containers from the kernel's namespaces alone. This file has the
//! operations as C calls them; each reads its arguments, and nothing below it sees a pointer of the caller's.
mod abi;
mod child;
mod container;
mod engine;
mod failure;
mod guard;
mod observe;
mod plan;
mod spec;
mod state;
mod stream;
mod sys;
mod wait;

use abi::*;
use engine::Engine;
use failure::{fail, put_text, Outcome};
use std::ffi::{c_char, c_int, c_void, CString};
use std::path::Path;

unsafe fn engine<'a>(backend: *mut c_void) -> Outcome<&'a mut Engine> {
    match backend.cast::<Engine>().as_mut() {
        Some(engine) => Ok(engine),
        None => fail(DSB_ERROR_INVALID, "the backend is not open"),
    }
}

unsafe fn result<'a, T>(out: *mut T) -> Outcome<&'a mut T> {
    match out.as_mut() {
        Some(out) => Ok(out),
        None => fail(DSB_ERROR_INVALID, "there is no place for the result"),
    }
}

unsafe fn optional(what: &str, text: *const c_char) -> Outcome<Option<String>> {
    if text.is_null() {
        return Ok(None);
    }
    spec::text(what, text).map(Some)
}

unsafe extern "C" fn open(
    params: *const dsb_open_params, backend: *mut *mut c_void, error: *mut dsb_plugin_error,
) -> c_int {
    guard::operation(error, || {
        let (Some(params), Some(backend)) = (params.as_ref(), backend.as_mut()) else {
            return fail(DSB_ERROR_INVALID, "the parameters are missing");
        };
        let endpoint = optional("the endpoint", params.endpoint)?;
        let runtime_dir = spec::text("the runtime directory", params.runtime_dir)?;
        let engine = Engine::open(endpoint, Path::new(&runtime_dir), params.call_timeout_ms, params.cancel_fd)?;
        *backend = Box::into_raw(Box::new(engine)).cast();
        Ok(())
    })
}

unsafe extern "C" fn close(backend: *mut c_void) {
    guard::value(|| drop(Box::from_raw(backend.cast::<Engine>())));
}

unsafe extern "C" fn describe(backend: *mut c_void, info: *mut dsb_engine_info, error: *mut dsb_plugin_error) -> c_int {
    guard::operation(error, || {
        let (engine, info) = (engine(backend)?, result(info)?);
        engine.check()?;
        let (release, images) = (engine::kernel_release()?, engine.images().to_string_lossy());
        put_text(&mut info.product, "namespaces");
        put_text(&mut info.version, &release);
        put_text(&mut info.endpoint, &images);
        put_text(&mut info.data_root, &images);
        info.rootless = (sys::effective_ids().0 != 0).into();
        info.local = 1;
        Ok(()) // no control groups: limits_available stays empty
    })
}

unsafe extern "C" fn prepare(
    backend: *mut c_void, image: *const c_char, info: *mut dsb_image_info, error: *mut dsb_plugin_error,
) -> c_int {
    guard::operation(error, || {
        let (engine, info) = (engine(backend)?, result(info)?);
        let name = spec::text("the image", image)?;
        engine.image(&name)?;
        put_text(&mut info.id, &name);
        Ok(())
    })
}

unsafe extern "C" fn create(
    backend: *mut c_void, spec: *const dsb_spec, created: *mut dsb_created, error: *mut dsb_plugin_error,
) -> c_int {
    guard::operation(error, || {
        let (engine, created) = (engine(backend)?, result(created)?);
        let spec = spec::read(spec)?;
        engine.create(&spec)?;
        put_text(&mut created.id, &spec.name);
        Ok(())
    })
}

unsafe extern "C" fn inspect(
    backend: *mut c_void, id: *const c_char, spec: *const dsb_spec, observed: *mut dsb_observed,
    error: *mut dsb_plugin_error,
) -> c_int {
    guard::operation(error, || {
        let (engine, observed) = (engine(backend)?, result(observed)?);
        engine.inspect(&spec::text("the id", id)?, &spec::read(spec)?, observed)
    })
}

unsafe extern "C" fn start(
    backend: *mut c_void, id: *const c_char, stream: *mut dsb_stream, error: *mut dsb_plugin_error,
) -> c_int {
    guard::operation(error, || {
        let (engine, stream) = (engine(backend)?, result(stream)?);
        stream::give(engine.start(&spec::text("the id", id)?)?, stream);
        Ok(())
    })
}

unsafe extern "C" fn destroy(backend: *mut c_void, id: *const c_char, error: *mut dsb_plugin_error) -> c_int {
    guard::operation(error, || engine(backend)?.destroy(&spec::text("the id", id)?))
}

unsafe extern "C" fn list(
    backend: *mut c_void, owner: *const c_char, each: dsb_each_fn, data: *mut c_void, error: *mut dsb_plugin_error,
) -> c_int {
    guard::operation(error, || {
        let owner = optional("the owner", owner)?;
        for (id, record) in engine(backend)?.list(owner.as_deref())? {
            let [id, owner, session] =
                [id, record.owner, record.session].map(|text| CString::new(text).unwrap_or_default());
            let item = dsb_listed {
                struct_size: size_of::<dsb_listed>() as u32,
                id: id.as_ptr(),
                owner: owner.as_ptr(),
                session: session.as_ptr(),
                deadline: record.deadline,
                running: record.running.into(),
            };
            if each(data, &raw const item) == 0 {
                break;
            }
        }
        Ok(())
    })
}

static PLUGIN: dsb_plugin = dsb_plugin {
    magic: DSB_PLUGIN_MAGIC,
    abi_major: DSB_PLUGIN_ABI_MAJOR,
    abi_minor: DSB_PLUGIN_ABI_MINOR,
    struct_size: size_of::<dsb_plugin>() as u32,
    thread_model: DSB_THREADS_SERIAL,
    enforces: ENFORCES,
    name: c"namespaces".as_ptr(),
    version: c"0.1.0".as_ptr(),
    description: c"the kernel's namespaces, without an engine".as_ptr(),
    open,
    close,
    describe,
    create,
    inspect,
    start,
    destroy,
    list,
    prepare: Some(prepare),
    image_make: None,
};

#[no_mangle]
pub extern "C" fn dsb_plugin_entry() -> *const dsb_plugin {
    &raw const PLUGIN
}
