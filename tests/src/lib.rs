//! Promises between rooms. The rules that hold the house together are in `tests/tidy.rs`; whole programs, real browsers and
//! real sound servers in `e2e/`; a second reader of the wire format in `interop/`.
