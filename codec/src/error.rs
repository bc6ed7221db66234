//! What can go wrong with sound and pictures, as far as a caller can act on it.

/// Why samples, pictures or packets were refused.
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
    /// A video frame is none, too large, or what it needs is missing.
    #[error("a broken video frame")]
    BadFrame,
    /// libvpx refused; its words.
    #[error("libvpx: {0}")]
    Vpx(String),
    /// A picture in a file or from a device is not what its format says; in words.
    #[error("{0}")]
    BadPicture(String),
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
