//! Cameras, screens and sinks by name: what `--camera`, `--screen`, `--video-out` and the device menus say.

use std::path::PathBuf;

use ahoy_base::VideoSize;

/// What gives pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SourceName {
    /// The first that is there.
    Default,
    /// A real one, by its id.
    Real(String),
    /// No picture.
    Null,
    /// A y4m file in real time, from its first picture when capture starts.
    File {
        /// Which.
        path: PathBuf,
        /// Whether it begins again at its end.
        repeat: bool,
    },
    /// A moving picture with a counter.
    TestCard {
        /// Its pixels.
        size: VideoSize,
        /// Pictures a second.
        rate: u8,
    },
    /// The page captures.
    Browser,
}

impl SourceName {
    /// Understands a name; anything that is no virtual device is taken for the id of a real one.
    pub(super) fn parse(name: &str) -> SourceName {
        if let Some(path) = name.strip_prefix("file:") {
            let (path, repeat) = path.strip_suffix("?loop").map_or((path, false), |path| (path, true));
            return SourceName::File { path: path.into(), repeat };
        }
        if let Some((size, rate)) = name.strip_prefix("testcard:").and_then(card) {
            return SourceName::TestCard { size, rate };
        }
        match name {
            "" | "default" => SourceName::Default,
            "null" => SourceName::Null,
            "browser" => SourceName::Browser,
            id => SourceName::Real(id.to_owned()),
        }
    }
}

/// Where received tracks are written, if anywhere.
pub(super) fn record_folder(name: &str) -> Option<PathBuf> {
    name.strip_prefix("record:").map(PathBuf::from)
}

/// `1280x720@30`; also `1280x720`, at 30.
fn card(text: &str) -> Option<(VideoSize, u8)> {
    let (size, rate) = text.split_once('@').unwrap_or((text, "30"));
    let (width, height) = size.split_once('x')?;
    let (width, height, rate) = (width.parse().ok()?, height.parse().ok()?, rate.parse().ok()?);
    let fits = (MIN_CARD..=MAX_CARD).contains(&width) && (MIN_CARD..=MAX_CARD).contains(&height);
    (fits && (1..=120).contains(&rate)).then_some((VideoSize { width, height }, rate))
}

/// A barcode of twenty cells needs two pixels each.
const MIN_CARD: u16 = 40;
/// 4K.
const MAX_CARD: u16 = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_contract_is_understood() {
        let file = |path: &str, repeat| SourceName::File { path: path.into(), repeat };
        let card = |width, height, rate| SourceName::TestCard { size: VideoSize { width, height }, rate };
        for (name, source) in [
            ("", SourceName::Default),
            ("default", SourceName::Default),
            ("null", SourceName::Null),
            ("browser", SourceName::Browser),
            ("file:/a b.y4m", file("/a b.y4m", false)),
            ("file:/a.y4m?loop", file("/a.y4m", true)),
            ("testcard:1280x720@30", card(1_280, 720, 30)),
            ("testcard:320x180", card(320, 180, 30)),
            ("testcard:0x0@30", SourceName::Real("testcard:0x0@30".into())),
            ("testcard:640x360@0", SourceName::Real("testcard:640x360@0".into())),
            ("v4l2:usb-0000:00:14.0-1", SourceName::Real("v4l2:usb-0000:00:14.0-1".into())),
        ] {
            assert_eq!(SourceName::parse(name), source, "{name}");
        }
        assert_eq!(record_folder("record:/r"), Some("/r".into()));
        assert_eq!(record_folder("null"), None);
    }
}
