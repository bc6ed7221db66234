//! Screens, windows and areas of an X11 display: through shared memory, only when something changed, with the pointer.
//!
//! Needs no library: x11rb speaks the protocol itself.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use ahoy_base::{Moment, VideoSize};
use ahoy_codec::video::from_bgrx;
use x11rb::connection::Connection;
use x11rb::protocol::composite::ConnectionExt as _;
use x11rb::protocol::damage::{ConnectionExt as _, ReportLevel};
use x11rb::protocol::randr::ConnectionExt as _;
use x11rb::protocol::shm::ConnectionExt as _;
use x11rb::protocol::xfixes::ConnectionExt as _;
use x11rb::protocol::xproto::{
    Atom, AtomEnum, ConnectionExt as _, Drawable, ImageFormat, ImageOrder, Window,
};
use x11rb::protocol::{Event, composite};
use x11rb::rust_connection::RustConnection;

use super::source::{Captured, Deadlines, LONGEST_WAIT, Source, SourceError};
use super::{SourceKind, SourceState, VideoDevice};
use crate::clock;

/// How often the screen is looked at. What moves faster is a film, and its sound is elsewhere.
const RATE: (u32, u32) = (30, 1);
/// Ids of ours begin so.
const PREFIX: &str = "x11:";
/// Windows that are listed at most.
const MAX_WINDOWS: usize = 64;
/// Longest title that is read, in units of four bytes.
const MAX_TITLE: u32 = 64;

/// What of the display is captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Target {
    drawable: Drawable,
    x: i16,
    y: i16,
    size: VideoSize,
    /// A window, whose size may change; `None` for places of the screen.
    window: Option<Window>,
}

/// The screens and windows that can be captured; none where there is no display.
pub(super) fn list() -> Vec<VideoDevice> {
    Display::open().and_then(|display| display.list().ok()).unwrap_or_default()
}

/// An open display.
struct Display {
    connection: RustConnection,
    root: Window,
    size: VideoSize,
}

impl Display {
    fn open() -> Option<Display> {
        std::env::var_os("DISPLAY").filter(|name| !name.is_empty())?;
        let (connection, screen) = x11rb::connect(None).ok()?;
        let screen = connection.setup().roots.get(screen)?;
        let size = VideoSize { width: screen.width_in_pixels, height: screen.height_in_pixels };
        let root = screen.root;
        Some(Display { connection, root, size })
    }

    fn list(&self) -> Result<Vec<VideoDevice>, Box<dyn std::error::Error>> {
        let mut found = Vec::new();
        for monitor in self.connection.randr_get_monitors(self.root, true)?.reply()?.monitors {
            let name = self.connection.get_atom_name(monitor.name)?.reply()?.name;
            let name = String::from_utf8_lossy(&name).into_owned();
            let text = format!("Screen {name}, {} x {}", monitor.width, monitor.height);
            let place = format!("{}x{}+{}+{}", monitor.width, monitor.height, monitor.x, monitor.y);
            found.push(VideoDevice {
                id: format!("{PREFIX}area:{place}"),
                name: text,
                kind: SourceKind::Screen,
            });
        }
        if found.len() != 1 {
            let text = format!("All screens, {} x {}", self.size.width, self.size.height);
            found.insert(
                0,
                VideoDevice { id: format!("{PREFIX}screen"), name: text, kind: SourceKind::Screen },
            );
        }
        let clients = self.atom("_NET_CLIENT_LIST")?;
        let windows = self
            .connection
            .get_property(false, self.root, clients, AtomEnum::WINDOW, 0, u32::MAX)?
            .reply()?;
        for window in windows.value32().into_iter().flatten().take(MAX_WINDOWS) {
            let id = format!("{PREFIX}window:{window:#x}");
            if let Some(name) = self.title(window) {
                found.push(VideoDevice { id, name, kind: SourceKind::Window });
            }
        }
        Ok(found)
    }

    fn title(&self, window: Window) -> Option<String> {
        let read = |property: Atom, kind: Atom| {
            let reply = self
                .connection
                .get_property(false, window, property, kind, 0, MAX_TITLE)
                .ok()?
                .reply()
                .ok()?;
            let text = String::from_utf8_lossy(&reply.value).into_owned();
            (!text.is_empty()).then_some(text)
        };
        let utf8 = self.atom("UTF8_STRING").ok()?;
        read(self.atom("_NET_WM_NAME").ok()?, utf8)
            .or_else(|| read(AtomEnum::WM_NAME.into(), AtomEnum::STRING.into()))
    }

    fn atom(&self, name: &str) -> Result<Atom, Box<dyn std::error::Error>> {
        Ok(self.connection.intern_atom(false, name.as_bytes())?.reply()?.atom)
    }

    fn target(&self, id: Option<&str>) -> Option<Target> {
        let whole = Target { drawable: self.root, x: 0, y: 0, size: self.size, window: None };
        let Some(id) = id else {
            let first = self.list().ok()?.into_iter().find(|device| device.id != format!("{PREFIX}screen"));
            return first.map_or(Some(whole), |device| self.target(Some(&device.id)));
        };
        match id.strip_prefix(PREFIX)?.split_once(':') {
            None => (id == "x11:screen").then_some(whole),
            Some(("area", place)) => {
                let (x, y, size) = parse_area(place)?;
                let fits = |from: i16, length: u16, all: u16| {
                    from >= 0 && u32::from(from.unsigned_abs()) + u32::from(length) <= u32::from(all)
                };
                (fits(x, size.width, self.size.width) && fits(y, size.height, self.size.height))
                    .then_some(Target { x, y, size, ..whole })
            }
            Some(("window", number)) => {
                let window = u32::from_str_radix(number.strip_prefix("0x")?, 16).ok()?;
                let shape = self.connection.get_geometry(window).ok()?.reply().ok()?;
                let size = VideoSize { width: shape.width, height: shape.height };
                Some(Target { drawable: window, x: 0, y: 0, size, window: Some(window) })
            }
            Some(_) => None,
        }
    }
}

/// Captures from a display.
pub(super) struct ScreenSource {
    display: Display,
    target: Target,
    deadlines: Deadlines,
    memory: Option<Memory>,
    /// Something was drawn since the last picture.
    changed: bool,
    /// Whether the server tells what was drawn; else pictures are compared.
    damage: bool,
    pointer: Option<Pointer>,
    /// Pixels as they came, before the pointer is drawn.
    pixels: Vec<u8>,
}

struct Memory {
    segment: u32,
    file: File,
    bytes: usize,
}

#[derive(PartialEq, Eq)]
struct Pointer {
    x: i32,
    y: i32,
    serial: u32,
}

impl ScreenSource {
    /// Opens what `id` names; `None`: the first screen.
    pub(super) fn open(id: Option<&str>) -> Result<ScreenSource, SourceError> {
        let display = Display::open().ok_or_else(|| {
            SourceError::new(SourceState::Missing, "There is no X11 display to share a screen from.")
        })?;
        let target = display.target(id).ok_or_else(|| {
            SourceError::new(SourceState::Missing, "The chosen screen or window is not there any more.")
        })?;
        let mut source = ScreenSource {
            deadlines: Deadlines::new(clock::now(), RATE),
            display,
            target,
            memory: None,
            changed: true,
            damage: false,
            pointer: None,
            pixels: Vec::new(),
        };
        source.prepare_display().map_err(|error| {
            SourceError::new(SourceState::Missing, format!("The X11 display can't be captured: {error}."))
        })?;
        Ok(source)
    }

    fn prepare_display(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        let connection = &self.display.connection;
        let setup = connection.setup();
        let pixels = setup.pixmap_formats.iter().find(|format| format.depth == 24 || format.depth == 32);
        if setup.image_byte_order != ImageOrder::LSB_FIRST || pixels.is_none_or(|f| f.bits_per_pixel != 32) {
            return Err("its pixels are in an order that is not known here".into());
        }
        // An extension is used after its version was asked for. Without them all still works, for more processor time.
        let pointer = connection.xfixes_query_version(5, 0).is_ok_and(|cookie| cookie.reply().is_ok());
        if pointer {
            let damage = connection.damage_query_version(1, 1).is_ok_and(|cookie| cookie.reply().is_ok());
            let id = connection.generate_id()?;
            let create = connection.damage_create(id, self.target.drawable, ReportLevel::NON_EMPTY);
            self.damage = damage && create.is_ok_and(|cookie| cookie.check().is_ok());
        }
        if let Some(window) = self.target.window
            && connection.composite_query_version(0, 4).is_ok_and(|cookie| cookie.reply().is_ok())
        {
            // Keeps the window's pixels even where another covers it.
            connection.composite_redirect_window(window, composite::Redirect::AUTOMATIC)?.check()?;
            self.name_pixmap()?;
        }
        self.map_memory();
        Ok(())
    }

    fn name_pixmap(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        let Some(window) = self.target.window else { return Ok(()) };
        let pixmap = self.display.connection.generate_id()?;
        // Fails while the window is not shown: its own pixels serve then.
        let named = self.display.connection.composite_name_window_pixmap(window, pixmap)?.check().is_ok();
        self.target.drawable = if named { pixmap } else { window };
        Ok(())
    }

    /// Shared memory for a picture, where the server is on this machine.
    fn map_memory(&mut self) {
        let bytes = 4 * usize::from(self.target.size.width) * usize::from(self.target.size.height);
        if self.memory.as_ref().is_some_and(|memory| memory.bytes >= bytes) {
            return;
        }
        let connection = &self.display.connection;
        if let Some(old) = self.memory.take() {
            let _ = connection.shm_detach(old.segment);
        }
        let version = connection.shm_query_version().ok().and_then(|cookie| cookie.reply().ok());
        if version.is_none_or(|v| (v.major_version, v.minor_version) < (1, 2)) {
            return;
        }
        let Ok(segment) = connection.generate_id() else { return };
        let size = u32::try_from(bytes).unwrap_or(u32::MAX);
        let made =
            connection.shm_create_segment(segment, size, false).ok().and_then(|cookie| cookie.reply().ok());
        self.memory = made.map(|reply| Memory { segment, file: File::from(reply.shm_fd), bytes });
    }

    /// Follows a window that was resized.
    fn follow_window(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        let Some(window) = self.target.window else { return Ok(()) };
        let shape = self.display.connection.get_geometry(window)?.reply()?;
        let size = VideoSize { width: shape.width, height: shape.height };
        if size != self.target.size {
            self.target.size = size;
            self.changed = true;
            self.name_pixmap()?;
            self.map_memory();
        }
        Ok(())
    }

    fn look(&mut self, at: Moment) -> Result<Option<Captured>, Box<dyn std::error::Error>> {
        self.follow_window()?;
        while let Some(event) = self.display.connection.poll_for_event()? {
            if let Event::DamageNotify(notify) = event {
                self.display.connection.damage_subtract(notify.damage, x11rb::NONE, x11rb::NONE)?;
                self.changed = true;
            }
        }
        let pointer = self.display.connection.xfixes_get_cursor_image()?.reply().ok();
        let place = pointer.as_ref().map(|p| Pointer {
            x: i32::from(p.x) - i32::from(p.xhot),
            y: i32::from(p.y) - i32::from(p.yhot),
            serial: p.cursor_serial,
        });
        let moved = place != self.pointer;
        self.pointer = place;
        let drawn = if self.changed || !self.damage { self.read_pixels()? } else { false };
        self.changed = false;
        if !drawn && !moved {
            return Ok(None);
        }
        let size = self.target.size;
        let stride = 4 * usize::from(size.width);
        let mut pixels = self.pixels.clone();
        // A window's own pixels know nothing of where it stands.
        if let (Some(image), Some(Pointer { x, y, .. }), None) = (pointer, &self.pointer, self.target.window)
        {
            let place = (x - i32::from(self.target.x), y - i32::from(self.target.y));
            blend(&mut pixels, size, &image.cursor_image, image.width, place);
        }
        let picture = from_bgrx(size, &pixels, stride)?;
        Ok(Some(Captured { picture: Arc::new(picture), at }))
    }

    /// Reads the pixels; whether they differ from the last ones.
    fn read_pixels(&mut self) -> Result<bool, Box<dyn std::error::Error>> {
        let Target { drawable, x, y, size, .. } = self.target;
        let connection = &self.display.connection;
        let bytes = 4 * usize::from(size.width) * usize::from(size.height);
        let format = u8::from(ImageFormat::Z_PIXMAP);
        let mut pixels = vec![0; bytes];
        match &self.memory {
            Some(memory) => {
                let (w, h) = (size.width, size.height);
                connection.shm_get_image(drawable, x, y, w, h, !0, format, memory.segment, 0)?.reply()?;
                memory.file.read_exact_at(&mut pixels, 0)?;
            }
            None => {
                let reply = connection.get_image(
                    ImageFormat::Z_PIXMAP,
                    drawable,
                    x,
                    y,
                    size.width,
                    size.height,
                    !0,
                )?;
                let data = reply.reply()?.data;
                pixels = data.get(..bytes).ok_or("the display gave too few pixels")?.to_vec();
            }
        }
        let differ = pixels != self.pixels;
        self.pixels = pixels;
        Ok(differ)
    }
}

impl Source for ScreenSource {
    fn next(&mut self) -> Result<Option<Captured>, SourceError> {
        for _ in 0..self.deadlines.missed(clock::now()) {
            self.deadlines.take();
        }
        let (_, due) = self.deadlines.take();
        let wait = due.since(clock::now()).min(LONGEST_WAIT);
        if wait > Duration::ZERO {
            std::thread::sleep(wait);
        }
        self.look(clock::now()).map_err(|error| {
            tracing::debug!(%error, "the display gives no picture");
            let text = if self.target.window.is_some() {
                "The window that was shared was closed."
            } else {
                "The screen can't be captured any more: its display went away or changed its size."
            };
            SourceError::new(SourceState::Missing, text)
        })
    }
}

/// `1280x720+0+0`.
fn parse_area(text: &str) -> Option<(i16, i16, VideoSize)> {
    let mut parts = text.split('+');
    let (width, height) = parts.next()?.split_once('x')?;
    let size = VideoSize { width: width.parse().ok()?, height: height.parse().ok()? };
    let (x, y) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    (parts.next().is_none() && size.width >= 2 && size.height >= 2).then_some((x, y, size))
}

/// Draws a pointer (ARGB, colours already multiplied by their opacity) at `place`; what lies outside is left out.
fn blend(pixels: &mut [u8], size: VideoSize, pointer: &[u32], width: u16, place: (i32, i32)) {
    let columns = i32::from(size.width);
    for (n, argb) in pointer.iter().enumerate() {
        let n = i32::try_from(n).unwrap_or(i32::MAX);
        let (x, y) = (place.0 + n % i32::from(width.max(1)), place.1 + n / i32::from(width.max(1)));
        if !(0..columns).contains(&x) || y < 0 || y >= i32::from(size.height) {
            continue;
        }
        let at = usize::try_from(4 * (y * columns + x)).unwrap_or(usize::MAX);
        let [blue, green, red, opacity] = argb.to_le_bytes();
        let Some(pixel) = pixels.get_mut(at..at.saturating_add(3)) else { continue };
        for (below, above) in pixel.iter_mut().zip([blue, green, red]) {
            let through = u16::from(*below) * u16::from(255 - opacity) / 255;
            *below = u8::try_from(through + u16::from(above)).unwrap_or(u8::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_read_and_nonsense_is_none() {
        let size = VideoSize { width: 640, height: 360 };
        assert_eq!(parse_area("640x360+10+20"), Some((10, 20, size)));
        for bad in ["", "640x360", "640x360+1", "640+1+1", "0x360+0+0", "640x360+1+2+3"] {
            assert_eq!(parse_area(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_pointer_is_drawn_over_the_screen_and_cut_at_its_edges() {
        let size = VideoSize { width: 2, height: 2 };
        let mut pixels = vec![100; 16];
        blend(&mut pixels, size, &[0xff00_00ff, 0x8000_0000, 0, 0xffff_ffff], 2, (1, 1));
        assert_eq!(pixels[12..15], [255, 0, 0]);
        assert_eq!(pixels[..12], [100; 12]);
        blend(&mut pixels, size, &[0, 0, 0, 0x8000_0000], 2, (-1, -1));
        assert_eq!(pixels[..3], [49; 3]);
    }
}
