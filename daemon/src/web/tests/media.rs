//! The media socket: who may look, what goes out, what a slow page misses, what a capturing page may send.

use std::time::Duration;

use ahoy_base::{Bitrate, CallId, EncodedVideo, PeerId, VideoCodec, VideoPlan, VideoSize, VideoTrack};
use futures::{SinkExt, StreamExt};
use serde_json::json;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::*;
use crate::video::hub::TrackKey;

type Socket = WebSocketStream<TcpStream>;

const KEY: TrackKey = TrackKey {
    call: CallId::from_bytes([0xc; 16]),
    peer: PeerId::from_public_key([7; 32]),
    track: VideoTrack::Screen,
};

impl Daemon {
    async fn media(&self) -> Socket {
        let mut request = format!("ws://{}/api/v1/media", self.host()).into_client_request().unwrap();
        request.headers_mut().insert("Origin", self.origin().parse().unwrap());
        tokio_tungstenite::client_async(request, self.connect().await).await.unwrap().0
    }

    async fn viewer(&self) -> Socket {
        let mut socket = self.media().await;
        say(&mut socket, &json!({ "type": "auth", "token": self.token().await })).await;
        assert_eq!(hear(&mut socket).await, Heard::Words(json!({ "type": "ready" })));
        socket
    }

    fn publish(&self, seq: u64) {
        let frame = EncodedVideo {
            seq,
            media_time: Duration::from_micros(1_000_000 + seq),
            codec: VideoCodec::Vp9,
            size: VideoSize { width: 640, height: 360 },
            needs: seq.checked_sub(1).filter(|_| seq != 50),
            kept: false,
            discardable: false,
            data: vec![seq as u8; 3],
        };
        self.state.video.publish((TIMES.now)(), KEY, &Arc::new(frame));
    }

    async fn until_viewers(&self, looked_at: bool) {
        let mut demand = self.state.video.demand(KEY);
        demand.wait_for(|demand| demand.size.is_some() == looked_at).await.unwrap();
    }
}

#[derive(Debug, PartialEq)]
enum Heard {
    Words(Value),
    /// Kind, flags, stream, number, capture time, bytes.
    Frame(u8, u8, u16, u32, u64, Vec<u8>),
    End,
}

async fn say(socket: &mut Socket, message: &Value) {
    socket.send(Message::Text(message.to_string().into())).await.unwrap();
}

async fn hear(socket: &mut Socket) -> Heard {
    match socket.next().await {
        Some(Ok(Message::Text(text))) => Heard::Words(serde_json::from_str(&text).unwrap()),
        Some(Ok(Message::Binary(b))) => Heard::Frame(
            b[0],
            b[1],
            u16::from_le_bytes([b[2], b[3]]),
            u32::from_le_bytes(b[4..8].try_into().unwrap()),
            u64::from_le_bytes(b[8..16].try_into().unwrap()),
            b[16..].to_vec(),
        ),
        _ => Heard::End,
    }
}

fn watch(streams: &[(u16, u16)]) -> Value {
    let streams: Vec<_> = streams
        .iter()
        .map(|(stream, width)| {
            json!({ "stream": stream, "call": KEY.call.to_string(), "peer_id": KEY.peer.to_string(),
                "track": "screen", "width": width, "height": 360 })
        })
        .collect();
    json!({ "type": "watch", "streams": streams })
}

/// A message of the page: the header, then bytes.
fn up(kind: u8, stream: u16, seq: u32, capture_us: u64, data: &[u8]) -> Message {
    let mut bytes = vec![kind, 0];
    bytes.extend(stream.to_le_bytes());
    bytes.extend(seq.to_le_bytes());
    bytes.extend(capture_us.to_le_bytes());
    bytes.extend(data);
    Message::Binary(bytes.into())
}

#[tokio::test]
async fn without_a_good_token_first_no_picture_is_seen() {
    let daemon = Daemon::start().await;
    for first in [json!({ "type": "auth", "token": "wrong" }), watch(&[(1, 640)])] {
        let mut socket = daemon.media().await;
        say(&mut socket, &first).await;
        assert_eq!(hear(&mut socket).await, Heard::Words(json!({ "type": "bye", "reason": "unauthorised" })));
        assert_eq!(hear(&mut socket).await, Heard::End);
    }
    assert_eq!(daemon.state.video.demand(KEY).borrow().size, None);
}

#[tokio::test]
async fn frames_go_out_as_they_came_while_the_tile_is_seen() {
    let daemon = Daemon::start().await;
    let mut page = daemon.viewer().await;
    say(&mut page, &watch(&[(9, 640)])).await;
    daemon.until_viewers(true).await;
    daemon.publish(0);
    daemon.publish(1);
    assert_eq!(hear(&mut page).await, Heard::Frame(2, 0b11, 9, 0, 1_000_000, vec![0; 3]));
    assert_eq!(hear(&mut page).await, Heard::Frame(2, 0, 9, 1, 1_000_001, vec![1; 3]));
    let mut demand = daemon.state.video.demand(KEY);
    say(&mut page, &watch(&[(9, 1920)])).await;
    demand.wait_for(|demand| demand.size.is_some_and(|size| size.width == 1920)).await.unwrap();
    say(&mut page, &watch(&[])).await;
    daemon.until_viewers(false).await;
}

#[tokio::test]
async fn a_page_that_saw_nothing_yet_is_sent_no_more_than_it_has_room_for() {
    let daemon = Daemon::start().await;
    let mut page = daemon.viewer().await;
    say(&mut page, &watch(&[(9, 640)])).await;
    daemon.until_viewers(true).await;
    for seq in 0..49 {
        daemon.publish(seq);
        tokio::task::yield_now().await;
    }
    let mut last = 0;
    for expected in 0..8 {
        let Heard::Frame(_, _, 9, seq, ..) = hear(&mut page).await else { panic!("no frame") };
        assert_eq!(seq, expected);
        last = seq;
    }
    let asked = daemon.state.video.demand(KEY).borrow().keys;
    assert!(asked >= 2, "a key frame is asked for: {asked}");
    // It has seen them: the next is the key frame, nothing stale before it.
    page.send(up(16, 9, last, 0, &[])).await.unwrap();
    let mut demand = daemon.state.video.demand(KEY);
    say(&mut page, &json!({ "type": "key", "stream": 9 })).await;
    say(&mut page, &watch(&[(9, 641)])).await;
    demand.wait_for(|demand| demand.size.is_some_and(|size| size.width == 641)).await.unwrap();
    daemon.publish(50);
    assert_eq!(hear(&mut page).await, Heard::Frame(2, 0b11, 9, 50, 1_000_050, vec![50; 3]));
}

#[tokio::test]
async fn a_page_that_goes_looks_no_more() {
    let daemon = Daemon::start().await;
    let mut page = daemon.viewer().await;
    say(&mut page, &watch(&[(1, 640)])).await;
    daemon.until_viewers(true).await;
    drop(page);
    daemon.until_viewers(false).await;
}

const VP8_KEY: [u8; 12] = [0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01, 7, 7];

#[tokio::test]
async fn a_page_that_captures_is_a_source() {
    let daemon = Daemon::start().await;
    let mut page = daemon.viewer().await;
    say(&mut page, &json!({ "type": "capturing", "track": "camera", "on": true })).await;
    assert_eq!(
        hear(&mut page).await,
        Heard::Words(json!({ "type": "encode", "track": "camera", "plan": null, "keys": 1 }))
    );
    let plan = VideoPlan {
        bitrate: Bitrate::kbps(900),
        size: VideoSize { width: 640, height: 360 },
        frame_rate: 30,
    };
    let browser = daemon.state.video.browser(VideoTrack::Camera);
    let mut source = browser.source(plan);
    let Heard::Words(wish) = hear(&mut page).await else { panic!("no words") };
    assert_eq!(
        wish["plan"],
        json!({ "bitrate_bps": 900_000, "width": 640, "height": 360, "frame_rate": 30 })
    );
    page.send(up(1, 1, 0, 5_000, &VP8_KEY)).await.unwrap();
    let key = source.frames.recv().await.unwrap();
    // This one took 7 ms longer from the page to here.
    pass_time(Duration::from_millis(40));
    page.send(up(1, 1, 1, 38_000, &[0x11, 0, 0])).await.unwrap();
    let delta = source.frames.recv().await.unwrap();
    assert_eq!((key.seq, key.needs, key.data.as_slice()), (0, None, &VP8_KEY[..]));
    assert_eq!(key.size, VideoSize { width: 640, height: 360 });
    assert_eq!((delta.seq, delta.needs, delta.size), (1, Some(0), key.size));
    let between = delta.media_time - key.media_time;
    assert_eq!(between, Duration::from_millis(33), "as the page's clock says");
    say(&mut page, &json!({ "type": "capturing", "track": "camera", "on": false })).await;
    assert_eq!(source.frames.recv().await, None);
}

#[tokio::test]
async fn who_sends_what_is_no_frame_is_closed_and_its_source_ends() {
    let daemon = Daemon::start().await;
    for broken in [
        Message::Binary(vec![1, 2, 3].into()),
        Message::Text("not JSON".into()),
        up(2, 1, 0, 0, &VP8_KEY),
        up(77, 1, 0, 0, &VP8_KEY),
    ] {
        let mut page = daemon.viewer().await;
        say(&mut page, &json!({ "type": "capturing", "track": "screen", "on": true })).await;
        hear(&mut page).await;
        let plan = VideoPlan {
            bitrate: Bitrate::kbps(900),
            size: VideoSize { width: 640, height: 360 },
            frame_rate: 30,
        };
        let mut source = daemon.state.video.browser(VideoTrack::Screen).source(plan);
        page.send(broken).await.unwrap();
        while hear(&mut page).await != Heard::End {}
        assert_eq!(source.frames.recv().await, None);
    }
}

#[tokio::test]
async fn a_page_that_decodes_no_video_is_sent_pictures() {
    use ahoy_codec::video::{Content, EncoderConfig, Picture, Speed, VpxEncoder};
    let daemon = Daemon::start().await;
    let mut page = daemon.viewer().await;
    let mut wish = watch(&[(9, 640)]);
    wish["streams"][0]["jpeg"] = json!(true);
    say(&mut page, &wish).await;
    daemon.until_viewers(true).await;
    let size = VideoSize { width: 64, height: 48 };
    let mut encoder = VpxEncoder::new(EncoderConfig {
        codec: VideoCodec::Vp8,
        content: Content::Camera,
        size,
        bitrate: Bitrate::kbps(200),
        frame_rate: 30,
        speed: Speed::Fastest,
    })
    .unwrap();
    for n in 0..3_u64 {
        let time = Duration::from_millis(33 * n);
        let frame = encoder.encode(&Picture::black(size), time).unwrap().unwrap();
        daemon.state.video.publish((TIMES.now)(), KEY, &Arc::new(frame));
        let Heard::Frame(3, _, 9, seq, _, file) = hear(&mut page).await else { panic!("no picture") };
        assert_eq!(u64::from(seq), n);
        assert!(file.starts_with(&[0xff, 0xd8]) && file.ends_with(&[0xff, 0xd9]), "a whole JPEG");
    }
    // What can't be decoded asks for a key frame, and no picture is sent of it.
    let mut demand = daemon.state.video.demand(KEY);
    let asked = demand.borrow().keys;
    daemon.publish(50);
    demand.wait_for(|demand| demand.keys > asked).await.unwrap();
}
