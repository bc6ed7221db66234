//! Placeholder of the first commit; see Cargo.toml.
