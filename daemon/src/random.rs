//! The only randomness of the product: the operating system's. Cores get seeds from here.

/// `N` random bytes. A machine without a source of randomness can't keep a secret, so there the process ends.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0u8; N];
    if let Err(error) = getrandom::fill(&mut out) {
        tracing::error!(%error, "the operating system gives no random numbers; nothing can be kept secret, stopping");
        std::process::abort();
    }
    out
}
