//! What can go wrong with sound, as far as a caller can act on it.

/// Why samples or packets were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// A packet is none of Opus's, or broken.
    #[error("a broken Opus packet")]
    BadPacket,
    /// libopus refused; its words.
    #[error("libopus: {0}")]
    Opus(String),
    /// A rate that can't be converted.
    #[error("{0} Hz can't be converted to 48000 Hz")]
    Rate(u32),
}

impl From<opus::Error> for CodecError {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the other codes name mistakes of the caller, all alike to us"
    )]
    fn from(error: opus::Error) -> CodecError {
        match error.code() {
            opus::ErrorCode::InvalidPacket => CodecError::BadPacket,
            _ => CodecError::Opus(error.to_string()),
        }
    }
}
