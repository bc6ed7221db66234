//! The page, as files inside the binary: `static/` and nothing else.
//!
//! In release builds the bytes are part of the program; in debug builds they are read from the source tree at each
//! request, so that a change of the page shows after a reload.

use std::borrow::Cow;

/// The folder `static/`.
#[derive(rust_embed::RustEmbed)]
#[folder = "static/"]
struct Files;

/// One file of the page.
pub struct Asset {
    /// The content.
    pub bytes: Cow<'static, [u8]>,
    /// The value of the header `Content-Type`, with its character set where it has one.
    pub content_type: &'static str,
    /// SHA-256 of the content in hexadecimal, fit for a strong `ETag` (without its quotes).
    pub hash: String,
}

/// The file at a path of the page, without the leading slash: `""` and `"index.html"` are the page itself.
/// `None` when there is no such file; a path never leaves `static/`.
pub fn get(path: &str) -> Option<Asset> {
    let path = if path.is_empty() { "index.html" } else { path };
    // In debug builds the folder is read from disk: refuse what could climb out of it before anything is opened.
    if path.split(['/', '\\']).any(|part| part.is_empty() || part.starts_with('.')) {
        return None;
    }
    let file = Files::get(path)?;
    let hash = file.metadata.sha256_hash().iter().map(|byte| format!("{byte:02x}")).collect();
    Some(Asset { bytes: file.data, content_type: content_type(path), hash })
}

/// Every path [`get`] knows, in no particular order.
pub fn paths() -> impl Iterator<Item = Cow<'static, str>> {
    Files::iter()
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_inside() {
        let page = get("").map(|asset| (asset.content_type, asset.hash.len(), asset.bytes.is_empty()));
        assert_eq!(page, Some(("text/html; charset=utf-8", 64, false)));
    }

    #[test]
    fn every_file_has_a_known_type() {
        let unknown: Vec<_> =
            paths().filter(|path| content_type(path) == "application/octet-stream").collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn a_path_never_leaves_the_folder() {
        for path in [
            "../Cargo.toml",
            "app/../../Cargo.toml",
            "/index.html",
            "app//main.js",
            ".hidden",
            "..\\Cargo.toml",
        ] {
            assert!(get(path).is_none(), "{path}");
        }
    }
}
