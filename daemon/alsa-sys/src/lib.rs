//! The part of alsa-sys 0.4.0 that `alsa` and `cpal` use, with each function looked up in libasound.so.2 when it is first
//! called. Without that library every call fails as ALSA itself would: `-ENOSYS`, a null pointer, zero.
//!
//! Why: the published crate links libasound, so that a program does not even start without it, and does not build without
//! its headers (docs/decisions/0020-alsa-at-run-time.md). Types and signatures are upstream's, unchanged: `generate.py`.

#![allow(non_camel_case_types, non_snake_case, non_upper_case_globals)]
#![allow(missing_docs, unreachable_pub)]
#![allow(unsafe_code)]
#![allow(clippy::all, clippy::pedantic, clippy::restriction)]

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_ulong, c_ushort, c_void};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use libc::{pollfd, timespec};

pub const SND_PCM_NONBLOCK: c_int = 0x1;
pub const SND_PCM_ASYNC: c_int = 0x2;
pub const SND_SEQ_OPEN_OUTPUT: i32 = 1;
pub const SND_SEQ_OPEN_INPUT: i32 = 2;
pub const SND_SEQ_OPEN_DUPLEX: i32 = SND_SEQ_OPEN_OUTPUT | SND_SEQ_OPEN_INPUT;
pub const SND_SEQ_NONBLOCK: i32 = 0x0001;
pub const SND_SEQ_ADDRESS_BROADCAST: u8 = 255;
pub const SND_SEQ_ADDRESS_SUBSCRIBERS: u8 = 254;
pub const SND_SEQ_ADDRESS_UNKNOWN: u8 = 253;
pub const SND_SEQ_QUEUE_DIRECT: u8 = 253;
pub const SND_SEQ_TIME_MODE_MASK: u8 = 1 << 1;
pub const SND_SEQ_TIME_STAMP_MASK: u8 = 1 << 0;
pub const SND_SEQ_TIME_MODE_REL: u8 = 1 << 1;
pub const SND_SEQ_TIME_STAMP_REAL: u8 = 1 << 0;
pub const SND_SEQ_TIME_STAMP_TICK: u8 = 0 << 0;
pub const SND_SEQ_TIME_MODE_ABS: u8 = 0 << 1;
pub const SND_SEQ_CLIENT_SYSTEM: u8 = 0;
pub const SND_SEQ_PORT_SYSTEM_TIMER: u8 = 0;
pub const SND_SEQ_PORT_SYSTEM_ANNOUNCE: u8 = 1;
pub const SND_SEQ_PRIORITY_HIGH: u8 = 1 << 4;
pub const SND_SEQ_EVENT_LENGTH_FIXED: u8 = 0 << 2;
pub const SND_SEQ_EVENT_LENGTH_MASK: u8 = 3 << 2;
pub const SND_SEQ_EVENT_LENGTH_VARIABLE: u8 = 1 << 2;
pub const SND_SEQ_EVENT_LENGTH_VARUSR: u8 = 2 << 2;

/// Whether this machine has the library.
pub fn is_there() -> bool {
    !library().is_null()
}

fn library() -> *mut c_void {
    static LIBRARY: OnceLock<usize> = OnceLock::new();
    // SAFETY: the name ends with a zero; the library is never closed.
    *LIBRARY.get_or_init(|| unsafe { libc::dlopen(c"libasound.so.2".as_ptr(), libc::RTLD_NOW) } as usize) as *mut c_void
}

/// A function, looked up once. Looking it up twice at once gives the same answer twice.
struct Symbol {
    name: &'static CStr,
    at: AtomicPtr<c_void>,
}

impl Symbol {
    const fn new(name: &'static CStr) -> Symbol {
        Symbol { name, at: AtomicPtr::new(ptr::null_mut()) }
    }

    fn get(&self) -> *mut c_void {
        let known = self.at.load(Ordering::Acquire);
        if !known.is_null() || library().is_null() {
            return known;
        }
        // SAFETY: an open library and a name that ends with a zero.
        let found = unsafe { libc::dlsym(library(), self.name.as_ptr()) };
        self.at.store(found, Ordering::Release);
        found
    }
}

/// What a call gives where the library, or this function of it, is missing.
trait Missing {
    fn missing() -> Self;
}

macro_rules! missing {
    ($($type:ty = $value:expr),* $(,)?) => { $(impl Missing for $type { fn missing() -> Self { $value } })* };
}

missing! {
    () = (), c_int = -libc::ENOSYS, c_long = -(libc::ENOSYS as c_long), isize = -(libc::ENOSYS as isize),
    c_uint = 0, c_ulong = 0, usize = 0, u8 = 0, c_ushort = 0, snd_local_error_handler_t = None,
    *const c_char = c"this machine has no libasound".as_ptr(),
    *const c_void = ptr::null(),
    *const snd_seq_addr = ptr::null(),
    *const snd_seq_real_time = ptr::null(),
    *const snd_seq_timestamp = ptr::null(),
}

impl<T> Missing for *mut T {
    fn missing() -> Self {
        ptr::null_mut()
    }
}

macro_rules! functions {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => { $(
        /// # Safety
        /// As the function of the same name in ALSA's documentation.
        pub unsafe fn $name($($argument: $type),*) -> $result {
            static SYMBOL: Symbol = Symbol::new(
                match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                    Ok(name) => name,
                    Err(_) => c"",
                },
            );
            let at = SYMBOL.get();
            if at.is_null() {
                return Missing::missing();
            }
            // SAFETY: the symbol has this signature by upstream's bindings; the caller keeps the function's own rules.
            unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn($($type),*) -> $result>(at)($($argument),*) }
        }
    )* };
}

include!("bindings.rs");
