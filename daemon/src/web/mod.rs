//! The door for browsers: the page, its socket and its requests, on this machine alone, behind a guard.

pub(crate) mod protocol;
