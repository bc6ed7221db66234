//! The media socket of a page: encoded pictures out to its tiles, pictures that the page captures in.
//!
//! Frames go out as they came. A page is never sent more than it has room for: it says what it has seen, and while too
//! much is under way the stream's queue (`video/hub.rs`) drops to the next frame that can be shown without what is missing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ahoy_base::{EncodedVideo, Moment, VideoCodec, VideoSize, VideoTrack};
use ahoy_codec::CodecError;
use ahoy_codec::video::VpxDecoder;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::media_protocol::{
    FrameHeader, FrameKind, MediaFromPage, MediaToPage, TrackName, WatchedStream, vp8_key_size,
};
use super::protocol::{ByeReason, UiError};
use super::routes::Refused;
use super::socket::{End, authenticate, say_bye, still_signed_in};
use super::state::WebState;
use crate::clock;
use crate::video::hub::{BrowserWish, TrackKey, VideoReader, Viewed};

/// Frames of a stream that a page has not said it saw: a quarter of a second at 30 a second. A page that shows pictures
/// is one or two behind.
const MAX_UNSEEN: usize = 8;
/// Tiles of a page; a call shows 25, each with a face and a screen at most.
const MAX_STREAMS: usize = 64;
/// The longest frame a page may send: a key frame of a large screen in good quality.
const MAX_FRAME: usize = 4 * 1024 * 1024;
/// Frames of our page that are on their way to it or from it: each page has its own number.
static PAGES: AtomicU64 = AtomicU64::new(1);

/// The media socket: `MediaFromPage` and `MediaToPage` as JSON, frames as binary messages (docs/PROTOCOL.md, "Media of the
/// page"); the first message is `auth`, within 2 s.
#[utoipa::path(get, path = "/api/v1/media", tag = "media", responses(
    (status = 101, description = "A WebSocket that speaks `MediaFromPage` and `MediaToPage`, and frames"),
    (status = 400, description = "Not an opening of a WebSocket"),
    (status = 503, description = "Too many pages are open", body = super::routes::RefusedBody),
))]
pub(super) async fn media(
    State(state): State<Arc<WebState>>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Refused> {
    let seat = state.media_sockets.clone().try_acquire_owned().map_err(|_| {
        Refused::busy(UiError::new(
            "Too many pages of Ahoy show pictures.",
            "Those that are open go on.",
            "Close one, then load this page again.",
        ))
    })?;
    // Nothing waits in the socket: a frame that can't leave stays in its queue, where it can still be left out.
    let upgrade = upgrade.max_message_size(MAX_FRAME).max_frame_size(MAX_FRAME).write_buffer_size(0);
    Ok(upgrade
        .on_upgrade(async move |socket| {
            serve(socket, state).await;
            drop(seat);
        })
        .into_response())
}

async fn serve(mut socket: WebSocket, state: Arc<WebState>) {
    let end = match authenticate(&mut socket, &state).await {
        Ok(session) => {
            let mut page = Page::new(socket, state.clone(), session);
            let end = match page.talk().await {
                Ok(never) => match never {},
                Err(end) => end,
            };
            socket = page.into_socket();
            end
        }
        Err(end) => end,
    };
    if let End::Bye(reason) = end {
        say_bye(&mut socket, &state, reason, words(&MediaToPage::Bye { reason })).await;
    }
}

/// A page whose token is good.
struct Page {
    socket: WebSocket,
    state: Arc<WebState>,
    session: String,
    number: u64,
    streams: BTreeMap<u16, Stream>,
    wake: Arc<Notify>,
    captures: BTreeMap<VideoTrack, Capture>,
}

/// One tile.
struct Stream {
    reader: VideoReader,
    unseen: VecDeque<u32>,
    /// Where the page can't decode: the decoder that does, made by the first frame.
    jpeg: Option<Option<VpxDecoder>>,
}

/// A frame on its way to the page.
struct Outgoing {
    stream: u16,
    viewed: Viewed,
    /// Takes it to JPEG first.
    jpeg: Option<Option<VpxDecoder>>,
}

/// A track that this page captures.
struct Capture {
    wishes: watch::Receiver<BrowserWish>,
    size: Option<VideoSize>,
    /// What the page's clock is behind ours, as the quickest frame showed it.
    behind: Option<Duration>,
}

impl Page {
    fn new(socket: WebSocket, state: Arc<WebState>, session: String) -> Page {
        Page {
            socket,
            state,
            session,
            number: PAGES.fetch_add(1, Ordering::Relaxed),
            streams: BTreeMap::new(),
            wake: Arc::new(Notify::new()),
            captures: BTreeMap::new(),
        }
    }

    /// Looks away from everything, stops what was captured.
    fn into_socket(self) -> WebSocket {
        for track in self.captures.keys() {
            self.state.video.browser(*track).end(self.number);
        }
        self.socket
    }

    async fn talk(&mut self) -> Result<std::convert::Infallible, End> {
        let mut view = self.state.app.view();
        let mut sessions = self.state.sessions.changes();
        self.say(&MediaToPage::Ready {}).await?;
        loop {
            tokio::select! {
                message = self.socket.recv() => self.on_message(message).await?,
                () = self.wake.notified() => self.send_waiting().await?,
                track = changed_wish(&mut self.captures) => self.say_wish(track).await?,
                // The view itself goes over the other socket; here its end tells that the daemon stops.
                changed = view.changed() => match changed {
                    Ok(()) => drop(view.borrow_and_update()),
                    Err(_) => return Err(End::Bye(ByeReason::Stopping)),
                },
                changed = sessions.changed() => {
                    // The sender lives in the state we hold.
                    let _ = changed;
                    still_signed_in(&self.state, &self.session)?;
                }
            }
        }
    }

    async fn on_message(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        match message {
            Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                Ok(said) => self.on_words(said).await,
                // Words of another version; a page that says what is no JSON breaks the rules.
                Err(_) if serde_json::from_str::<serde_json::Value>(&text).is_ok() => Ok(()),
                Err(_) => Err(End::Gone),
            },
            Some(Ok(Message::Binary(bytes))) => self.on_frame(&bytes).await,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
            Some(Ok(Message::Close(_)) | Err(_)) | None => Err(End::Gone),
        }
    }

    async fn on_words(&mut self, said: MediaFromPage) -> Result<(), End> {
        let now = (self.state.times.now)();
        match said {
            MediaFromPage::Watch { streams } => self.watch(now, &streams),
            MediaFromPage::Key { stream } => {
                if let Some(stream) = self.streams.get_mut(&stream) {
                    stream.unseen.clear();
                    stream.reader.start_over(now);
                }
            }
            MediaFromPage::Capturing { track, on } => return self.capture(track, on).await,
            // A second token changes nothing.
            MediaFromPage::Auth { .. } => {}
        }
        Ok(())
    }

    fn watch(&mut self, now: Moment, wanted: &[WatchedStream]) {
        let wanted: BTreeMap<u16, &WatchedStream> =
            wanted.iter().take(MAX_STREAMS).map(|stream| (stream.stream, stream)).collect();
        let key = |stream: &WatchedStream| TrackKey {
            call: stream.call,
            peer: stream.peer_id,
            track: stream.track.into(),
        };
        self.streams.retain(|number, stream| {
            wanted.get(number).is_some_and(|wanted| {
                key(wanted) == stream.reader.key() && wanted.jpeg == stream.jpeg.is_some()
            })
        });
        for (number, wanted) in wanted {
            let size = VideoSize { width: wanted.width, height: wanted.height };
            match self.streams.get(&number) {
                Some(stream) => stream.reader.resize(size),
                None => {
                    let reader = self.state.video.watch(now, key(wanted), size, self.wake.clone());
                    self.streams.insert(
                        number,
                        Stream { reader, unseen: VecDeque::new(), jpeg: wanted.jpeg.then_some(None) },
                    );
                }
            }
        }
    }

    async fn capture(&mut self, track: TrackName, on: bool) -> Result<(), End> {
        let track = VideoTrack::from(track);
        let browser = self.state.video.browser(track);
        if !on {
            self.captures.remove(&track);
            browser.end(self.number);
            return Ok(());
        }
        browser.begin(self.number);
        let capture = Capture { wishes: browser.wishes(), size: None, behind: None };
        self.captures.insert(track, capture);
        self.say_wish(track).await
    }

    async fn say_wish(&mut self, track: VideoTrack) -> Result<(), End> {
        let Some(capture) = self.captures.get_mut(&track) else { return Ok(()) };
        let BrowserWish { plan, keys } = *capture.wishes.borrow_and_update();
        self.say(&MediaToPage::Encode { track: track.into(), plan: plan.map(Into::into), keys }).await
    }

    async fn on_frame(&mut self, message: &[u8]) -> Result<(), End> {
        let Some((header, data)) = FrameHeader::split(message) else { return Err(End::Gone) };
        match header.kind {
            FrameKind::Seen => {
                if let Some(stream) = self.streams.get_mut(&header.stream)
                    && let Some(at) = stream.unseen.iter().position(|seq| *seq == header.seq)
                {
                    stream.unseen.drain(..=at);
                }
                self.send_waiting().await
            }
            FrameKind::Vp8 => {
                self.captured(&header, data);
                Ok(())
            }
            // A page encodes VP8: the one that every browser encodes quickly.
            FrameKind::Vp9 | FrameKind::Jpeg => Err(End::Gone),
        }
    }

    fn captured(&mut self, header: &FrameHeader, data: &[u8]) {
        let track = match header.stream {
            1 => VideoTrack::Camera,
            2 => VideoTrack::Screen,
            _ => return,
        };
        let Some(capture) = self.captures.get_mut(&track) else { return };
        let key_size = vp8_key_size(data);
        if key_size.is_some() {
            capture.size = key_size;
        }
        let Some(size) = capture.size else { return };
        // Whether it is a key frame is what its bytes say, not what the page says.
        let needs = key_size.is_none().then_some(u64::from(header.seq.saturating_sub(1)));
        let captured = Duration::from_micros(header.capture_us);
        let media_now = (self.state.times.now)().since(clock::media_epoch());
        let behind = media_now.saturating_sub(captured);
        let behind = capture.behind.map_or(behind, |least| least.min(behind));
        capture.behind = Some(behind);
        let frame = EncodedVideo {
            seq: u64::from(header.seq),
            media_time: captured + behind,
            codec: VideoCodec::Vp8,
            size,
            needs,
            kept: false,
            discardable: false,
            data: data.to_vec(),
        };
        self.state.video.browser(track).push(self.number, frame);
    }

    /// Sends what waits, one frame a stream and round, as far as the page has room.
    async fn send_waiting(&mut self) -> Result<(), End> {
        loop {
            let mut round = Vec::new();
            for (number, stream) in &mut self.streams {
                if stream.unseen.len() < MAX_UNSEEN
                    && let Some(viewed) = stream.reader.take()
                {
                    // The low half is enough to tell one of the last few from another.
                    let seq = viewed.frame.seq as u32;
                    stream.unseen.push_back(seq);
                    round.push(Outgoing { stream: *number, viewed, jpeg: stream.jpeg.take() });
                }
            }
            if round.is_empty() {
                return Ok(());
            }
            for outgoing in round {
                self.send_frame(outgoing).await?;
            }
        }
    }

    async fn send_frame(&mut self, outgoing: Outgoing) -> Result<(), End> {
        let Outgoing { stream, viewed, jpeg } = outgoing;
        let mut header = FrameHeader {
            kind: viewed.frame.codec.into(),
            key: viewed.frame.is_key(),
            jumped: viewed.jumped,
            stream,
            seq: viewed.frame.seq as u32,
            capture_us: u64::try_from(viewed.frame.media_time.as_micros()).unwrap_or(u64::MAX),
        };
        let Some(decoder) = jpeg else {
            return self.send(Message::Binary(header.message(&viewed.frame.data).into())).await;
        };
        let (kind, key) = (FrameKind::Jpeg, true);
        let done = tokio::task::spawn_blocking(move || to_jpeg(decoder, &viewed)).await;
        // A task that panicked is a frame that could not be decoded.
        let (decoder, picture) = done.unwrap_or((None, Err(CodecError::BadFrame)));
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.jpeg = Some(decoder);
            if picture.is_err() {
                stream.unseen.pop_back();
                stream.reader.start_over((self.state.times.now)());
            }
        }
        header = FrameHeader { kind, key, ..header };
        match picture {
            Ok(Some(picture)) => self.send(Message::Binary(header.message(&picture).into())).await,
            Ok(None) | Err(_) => Ok(()),
        }
    }

    async fn say(&mut self, message: &MediaToPage) -> Result<(), End> {
        match words(message) {
            Some(message) => self.send(message).await,
            None => Ok(()),
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        match timeout(self.state.limits.send, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            // Gone, or too slow to be of use to anybody; it comes back.
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }
}

/// Decodes a frame and encodes what it shows; the decoder goes on with the next.
fn to_jpeg(
    decoder: Option<VpxDecoder>,
    viewed: &Viewed,
) -> (Option<VpxDecoder>, Result<Option<Vec<u8>>, CodecError>) {
    // A key frame may come with another codec.
    let kept = decoder.filter(|_| !(viewed.frame.is_key() && viewed.jumped));
    let decoder = match kept.map_or_else(|| VpxDecoder::new(viewed.frame.codec), Ok) {
        Ok(decoder) => decoder,
        Err(error) => return (None, Err(error)),
    };
    let mut decoder = decoder;
    match decoder.decode(&viewed.frame.data) {
        Ok(Some(picture)) => (Some(decoder), ahoy_codec::video::jpeg(&picture).map(Some)),
        Ok(None) => (Some(decoder), Ok(None)),
        Err(error) => (None, Err(error)),
    }
}

/// Waits until another encoding is wished for of a track that is captured; for ever while none is.
async fn changed_wish(captures: &mut BTreeMap<VideoTrack, Capture>) -> VideoTrack {
    let waits = captures.iter_mut().map(|(track, capture)| {
        Box::pin(async move {
            // Its sender lives as long as the daemon; at its end there is nothing more to wish.
            if capture.wishes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            *track
        })
    });
    let waits: Vec<_> = waits.collect();
    if waits.is_empty() {
        return std::future::pending().await;
    }
    futures::future::select_all(waits).await.0
}

fn words(message: &MediaToPage) -> Option<Message> {
    match serde_json::to_string(message) {
        Ok(text) => Some(Message::Text(text.into())),
        Err(error) => {
            tracing::error!(%error, "a message to a page can't be written");
            None
        }
    }
}
