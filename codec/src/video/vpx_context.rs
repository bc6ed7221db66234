//! A libvpx codec instance: made, asked, ended.
#![expect(unsafe_code, reason = "libvpx is C; each block says why it is sound")]

use std::ffi::CStr;
use std::os::raw::c_int;

use vpx_sys::{vpx_codec_ctx_t, vpx_codec_err_t};

use crate::CodecError;

/// An initialised instance; destroyed when dropped. Boxed, so that it never moves.
pub(super) struct VpxContext(Box<vpx_codec_ctx_t>);

// SAFETY: libvpx keeps no thread-local state and ties no instance to a thread; one thread at a time uses it (`&mut self`).
unsafe impl Send for VpxContext {}

impl VpxContext {
    /// Hands zeroed memory to `init`, which calls one of libvpx's init functions on it.
    pub(super) fn new(
        init: impl FnOnce(*mut vpx_codec_ctx_t) -> vpx_codec_err_t,
    ) -> Result<VpxContext, CodecError> {
        // SAFETY: the struct is pointers, integers and enums that have a variant 0; libvpx clears it itself as well.
        let mut context: Box<vpx_codec_ctx_t> = Box::new(unsafe { std::mem::zeroed() });
        let code = init(&raw mut *context);
        if code == vpx_codec_err_t::VPX_CODEC_OK {
            Ok(VpxContext(context))
        } else {
            Err(CodecError::Vpx(words(code)))
        }
    }

    pub(super) fn pointer(&mut self) -> *mut vpx_codec_ctx_t {
        &raw mut *self.0
    }

    /// Sets the control `id`, whose argument is an integer.
    pub(super) fn set(&mut self, id: u32, value: c_int) -> Result<(), CodecError> {
        // SAFETY: the instance is initialised; callers pass controls that take an int, as vp8cx.h says.
        let code = unsafe { vpx_sys::vpx_codec_control_(&raw mut *self.0, id as c_int, value) };
        self.check(code)
    }

    /// Reads the control `id`, which writes an integer.
    pub(super) fn get(&mut self, id: u32) -> Option<c_int> {
        let mut value: c_int = 0;
        // SAFETY: the instance is initialised; callers pass controls that write an int, as vp8cx.h says.
        let code = unsafe { vpx_sys::vpx_codec_control_(&raw mut *self.0, id as c_int, &raw mut value) };
        (code == vpx_codec_err_t::VPX_CODEC_OK).then_some(value)
    }

    /// `code` as a result, with libvpx's own words.
    pub(super) fn check(&mut self, code: vpx_codec_err_t) -> Result<(), CodecError> {
        if code == vpx_codec_err_t::VPX_CODEC_OK {
            return Ok(());
        }
        // SAFETY: the instance is initialised; the text is static or lives in it, and is copied at once.
        let detail = unsafe {
            let text = vpx_sys::vpx_codec_error_detail(&raw mut *self.0);
            (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
        };
        Err(CodecError::Vpx(detail.unwrap_or_else(|| words(code))))
    }
}

impl Drop for VpxContext {
    fn drop(&mut self) {
        // SAFETY: it was initialised, and is not used after.
        let _ = unsafe { vpx_sys::vpx_codec_destroy(&raw mut *self.0) };
    }
}

fn words(code: vpx_codec_err_t) -> String {
    // SAFETY: gives a static text for every value.
    unsafe { CStr::from_ptr(vpx_sys::vpx_codec_err_to_string(code)) }.to_string_lossy().into_owned()
}
