//! VP8 (RFC 6386) and VP9 encoding for calls: no look-ahead, constant bit rate that changes in flight, key frames only on
//! demand, and references that are told frame by frame.
#![expect(unsafe_code, reason = "libvpx is C; each block says why it is sound")]

use std::mem::MaybeUninit;
use std::os::raw::{c_int, c_ulong};
use std::time::Duration;

use ahoy_base::{Bitrate, EncodedVideo, VideoCodec, VideoSize};
use vpx_sys::vp8e_enc_control_id as control;
use vpx_sys::{vpx_codec_enc_cfg_t, vpx_codec_err_t};

use super::Picture;
use super::references::{FramePlan, Layers, References};
use super::vpx_context::VpxContext;
use crate::CodecError;

/// Ticks a second of the encoder's clock: RTP's for video (RFC 7741, 4.1).
const TICKS: u64 = 90_000;
/// libvpx's real-time deadline (vpx_encoder.h, VPX_DL_REALTIME).
const REALTIME: c_ulong = 1;
/// Nothing below is worth its bits at any size.
const LEAST_BITRATE: Bitrate = Bitrate::kbps(20);

/// What is in the pictures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// Faces: motion first.
    Camera,
    /// Text and flat areas: edges first.
    Screen,
}

/// Time spent on a frame; each step costs about a quarter less, for a few tenths of a decibel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Speed {
    /// Small pictures and strong machines.
    Careful,
    /// What calls start with.
    Normal,
    /// The machine is short of time.
    Fast,
    /// Very short.
    Fastest,
}

impl Speed {
    /// One step faster, if there is one.
    #[must_use]
    pub const fn faster(self) -> Speed {
        match self {
            Speed::Careful => Speed::Normal,
            Speed::Normal => Speed::Fast,
            Speed::Fast | Speed::Fastest => Speed::Fastest,
        }
    }

    /// One step slower, if there is one.
    #[must_use]
    pub const fn slower(self) -> Speed {
        match self {
            Speed::Fastest => Speed::Fast,
            Speed::Fast => Speed::Normal,
            Speed::Normal | Speed::Careful => Speed::Careful,
        }
    }

    const fn cpu_used(self, codec: VideoCodec) -> c_int {
        match (codec, self) {
            (VideoCodec::Vp8, Speed::Careful) => -4,
            (VideoCodec::Vp8, Speed::Normal) => -6,
            (VideoCodec::Vp8, Speed::Fast) => -8,
            (VideoCodec::Vp8, Speed::Fastest) => -12,
            (VideoCodec::Vp9, Speed::Careful) => 6,
            (VideoCodec::Vp9, Speed::Normal) => 7,
            (VideoCodec::Vp9, Speed::Fast) => 8,
            (VideoCodec::Vp9, Speed::Fastest) => 9,
        }
    }
}

/// What an encoder starts with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EncoderConfig {
    /// Which.
    pub codec: VideoCodec,
    /// What it is for.
    pub content: Content,
    /// Pixels of the first picture.
    pub size: VideoSize,
    /// What to aim at.
    pub bitrate: Bitrate,
    /// Frames a second, at most.
    pub frame_rate: u8,
    /// Effort.
    pub speed: Speed,
}

/// Encodes pictures of one track.
pub struct VpxEncoder {
    config: EncoderConfig,
    raw: vpx_codec_enc_cfg_t,
    context: VpxContext,
    /// Sizes that the instance was made for; larger ones need another.
    made_for: VideoSize,
    references: References,
    seq: u64,
    last_tick: Option<i64>,
}

impl VpxEncoder {
    /// An encoder whose first frame is a key frame.
    ///
    /// # Errors
    /// When libvpx refuses: another version than was built for, no memory, or a size of 0.
    pub fn new(config: EncoderConfig) -> Result<VpxEncoder, CodecError> {
        let raw = settings(&config)?;
        let context = open(&config, &raw)?;
        Ok(VpxEncoder {
            config,
            raw,
            context,
            made_for: config.size,
            references: References::new(),
            seq: 0,
            last_tick: None,
        })
    }

    /// Encodes `picture`, captured at `media_time`. `None` when the rate leaves no room for it: the next one will do.
    /// A picture of another size than the last makes a key frame.
    ///
    /// # Errors
    /// When libvpx fails; the encoder should be thrown away then.
    pub fn encode(
        &mut self,
        picture: &Picture,
        media_time: Duration,
    ) -> Result<Option<EncodedVideo>, CodecError> {
        if picture.size() != self.config.size {
            self.resize(picture.size())?;
        }
        let plan = self.references.plan(media_time);
        let packet = self.encode_frame(picture, media_time, flags(self.config.codec, plan))?;
        let Some((data, key)) = packet else { return Ok(None) };
        let seq = self.seq;
        self.seq += 1;
        self.references.commit(plan, seq, media_time, key);
        Ok(Some(EncodedVideo {
            seq,
            media_time,
            codec: self.config.codec,
            size: self.config.size,
            needs: if key { None } else { plan.needs },
            kept: key || plan.to_slot.is_some(),
            discardable: !key && !plan.to_last,
            data,
        }))
    }

    /// Aims at `bitrate` and expects `frame_rate` pictures a second from the next frame on.
    ///
    /// # Errors
    /// When libvpx refuses.
    pub fn set_rate(&mut self, bitrate: Bitrate, frame_rate: u8) -> Result<(), CodecError> {
        if (bitrate, frame_rate) == (self.config.bitrate, self.config.frame_rate) {
            return Ok(());
        }
        (self.config.bitrate, self.config.frame_rate) = (bitrate, frame_rate);
        self.raw.rc_target_bitrate = kilobits(bitrate);
        self.apply()
    }

    /// Spends more or less time from the next frame on.
    ///
    /// # Errors
    /// When libvpx refuses.
    pub fn set_speed(&mut self, speed: Speed) -> Result<(), CodecError> {
        self.config.speed = speed;
        self.context.set(control::VP8E_SET_CPUUSED as u32, speed.cpu_used(self.config.codec))
    }

    /// Which frames others can do without, from the next frame on.
    pub fn set_layers(&mut self, layers: Layers) {
        self.references.set_layers(layers);
    }

    /// Makes the next frame a key frame.
    pub fn ask_key(&mut self) {
        self.references.ask_key();
    }

    /// Makes the next frame need nothing newer than the kept frame `seq`; a key frame if that is not kept any more.
    pub fn go_on_from(&mut self, seq: u64) {
        self.references.go_on_from(seq);
    }

    /// The receiver has decoded the kept frame `seq`: it stays until the receiver has a newer one.
    pub fn has(&mut self, seq: u64) {
        self.references.has(seq);
    }

    /// The frame `seq` was thrown away before it was sent: what follows must not need it.
    pub fn unsent(&mut self, seq: u64) {
        self.references.unsent(seq);
    }

    /// How coarse the last frame was: 0 (finest) to 63.
    pub fn quantizer(&mut self) -> Option<u8> {
        let value = self.context.get(control::VP8E_GET_LAST_QUANTIZER_64 as u32)?;
        u8::try_from(value).ok()
    }

    /// What it was told last.
    pub fn config(&self) -> EncoderConfig {
        self.config
    }

    fn apply(&mut self) -> Result<(), CodecError> {
        // SAFETY: the instance is initialised, and libvpx copies the settings.
        let code = unsafe { vpx_sys::vpx_codec_enc_config_set(self.context.pointer(), &raw const self.raw) };
        self.context.check(code)
    }

    fn resize(&mut self, size: VideoSize) -> Result<(), CodecError> {
        self.config.size = size;
        self.references.ask_key();
        let fits = size.width <= self.made_for.width && size.height <= self.made_for.height;
        self.raw = settings(&self.config)?;
        if fits {
            return self.apply();
        }
        self.context = open(&self.config, &self.raw)?;
        self.made_for = size;
        self.last_tick = None;
        Ok(())
    }

    fn encode_frame(
        &mut self,
        picture: &Picture,
        media_time: Duration,
        flags: c_int,
    ) -> Result<Option<(Vec<u8>, bool)>, CodecError> {
        let ticks = media_time.as_micros() * u128::from(TICKS) / 1_000_000;
        let tick = i64::try_from(ticks).unwrap_or(i64::MAX).max(self.last_tick.map_or(0, |last| last + 1));
        self.last_tick = Some(tick);
        let duration = TICKS / u64::from(self.config.frame_rate.max(1));
        let mut image = MaybeUninit::uninit();
        let size = picture.size();
        // SAFETY: the picture's bytes are exactly one I420 image of this size without gaps (`Picture` keeps it so), the
        // encoder only reads them, and both outlive the call.
        let code = unsafe {
            let wrapped = vpx_sys::vpx_img_wrap(
                image.as_mut_ptr(),
                vpx_sys::vpx_img_fmt::VPX_IMG_FMT_I420,
                size.width.into(),
                size.height.into(),
                1,
                picture.data().as_ptr().cast_mut(),
            );
            if wrapped.is_null() {
                return Err(CodecError::Vpx("a picture without pixels".to_owned()));
            }
            vpx_sys::vpx_codec_encode(
                self.context.pointer(),
                image.as_ptr(),
                tick,
                duration as c_ulong,
                flags.into(),
                REALTIME,
            )
        };
        self.context.check(code)?;
        let mut packet = None;
        let mut iterator = std::ptr::null();
        loop {
            // SAFETY: the instance is initialised; a packet is valid until the next encode, and is copied before.
            let found = unsafe {
                let found = vpx_sys::vpx_codec_get_cx_data(self.context.pointer(), &raw mut iterator);
                let Some(found) = found.as_ref() else { return Ok(packet) };
                if found.kind != vpx_sys::vpx_codec_cx_pkt_kind::VPX_CODEC_CX_FRAME_PKT {
                    continue;
                }
                // The kind says which member of the union it is.
                let frame = found.data.frame;
                let data = std::slice::from_raw_parts(frame.buf.cast::<u8>(), frame.sz as usize);
                (data.to_vec(), frame.flags & KEY != 0)
            };
            packet = Some(found);
        }
    }
}

impl std::fmt::Debug for VpxEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VpxEncoder")
            .field("config", &self.config)
            .field("seq", &self.seq)
            .finish_non_exhaustive()
    }
}

/// VPX_FRAME_IS_KEY of vpx_encoder.h.
const KEY: u32 = 1;

/// libvpx's flags for one frame (vp8cx.h). Which buffers are written is always said, or libvpx decides by itself.
fn flags(codec: VideoCodec, plan: FramePlan) -> c_int {
    if plan.key {
        return vpx_sys::VPX_EFLAG_FORCE_KF as c_int;
    }
    let mut flags = 0;
    for (wanted, flag) in [
        (plan.from_last, vpx_sys::VP8_EFLAG_NO_REF_LAST),
        (plan.from_slot[0], vpx_sys::VP8_EFLAG_NO_REF_GF),
        (plan.from_slot[1], vpx_sys::VP8_EFLAG_NO_REF_ARF),
        (plan.to_last, vpx_sys::VP8_EFLAG_NO_UPD_LAST),
        (plan.to_slot == Some(0), vpx_sys::VP8_EFLAG_NO_UPD_GF),
        (plan.to_slot == Some(1), vpx_sys::VP8_EFLAG_NO_UPD_ARF),
        // VP8 learns probabilities for good (RFC 6386, 9.11): a lost frame would take its lesson along.
        (codec == VideoCodec::Vp9, vpx_sys::VP8_EFLAG_NO_UPD_ENTROPY),
    ] {
        if !wanted {
            flags |= flag;
        }
    }
    flags as c_int
}

fn settings(config: &EncoderConfig) -> Result<vpx_codec_enc_cfg_t, CodecError> {
    let mut raw = MaybeUninit::uninit();
    // SAFETY: the interface is libvpx's own; it fills the whole struct when it answers OK, and only then is it read.
    let mut raw = unsafe {
        let code = vpx_sys::vpx_codec_enc_config_default(interface(config.codec), raw.as_mut_ptr(), 0);
        if code != vpx_codec_err_t::VPX_CODEC_OK {
            return Err(CodecError::Vpx(format!("no settings ({code:?})")));
        }
        raw.assume_init()
    };
    raw.g_w = config.size.width.into();
    raw.g_h = config.size.height.into();
    raw.g_timebase = vpx_sys::vpx_rational { num: 1, den: TICKS as c_int };
    raw.g_threads = threads(config);
    // Every frame says all that a decoder must know beside its references: what was learned from a frame is lost with it.
    // It costs VP9 0.1 to 0.3 dB, VP8 less.
    raw.g_error_resilient = 1;
    raw.g_lag_in_frames = 0;
    raw.rc_end_usage = vpx_sys::vpx_rc_mode::VPX_CBR;
    raw.rc_target_bitrate = kilobits(config.bitrate);
    // What WebRTC's encoders use, settled there on billions of calls: a second of buffer, half full at the start.
    raw.rc_buf_sz = 1_000;
    raw.rc_buf_initial_sz = 500;
    raw.rc_buf_optimal_sz = 600;
    raw.rc_undershoot_pct = 100;
    raw.rc_overshoot_pct = 15;
    raw.rc_min_quantizer = 2;
    raw.rc_max_quantizer = match config.content {
        Content::Camera => 56,
        // Text that can't be read is of no use: rather fewer frames.
        Content::Screen => 48,
    };
    raw.rc_dropframe_thresh = 30;
    raw.rc_resize_allowed = 0;
    raw.kf_mode = vpx_sys::vpx_kf_mode::VPX_KF_DISABLED;
    Ok(raw)
}

/// VP8's threads wait by spinning (43 ms of processor for a 7 ms frame on two loaded cores), VP9's sleep.
fn threads(config: &EncoderConfig) -> u32 {
    let pixels = u32::from(config.size.width) * u32::from(config.size.height);
    match config.codec {
        VideoCodec::Vp9 if pixels >= 1_280 * 720 => 2,
        VideoCodec::Vp8 | VideoCodec::Vp9 => 1,
    }
}

fn open(config: &EncoderConfig, raw: &vpx_codec_enc_cfg_t) -> Result<VpxContext, CodecError> {
    let version = vpx_sys::VPX_ENCODER_ABI_VERSION as c_int;
    // SAFETY: the memory, the interface and the settings are valid for the call; libvpx copies the settings.
    let mut context = VpxContext::new(|memory| unsafe {
        vpx_sys::vpx_codec_enc_init_ver(memory, interface(config.codec), raw, 0, version)
    })?;
    let screen = config.content == Content::Screen;
    let mut settings = vec![
        (control::VP8E_SET_CPUUSED, config.speed.cpu_used(config.codec)),
        (control::VP8E_SET_ENABLEAUTOALTREF, 0),
        // Below this a block counts as unchanged.
        (control::VP8E_SET_STATIC_THRESHOLD, if screen { 100 } else { 1 }),
        // A key frame may be as large as this share of a mean frame: half of the buffer.
        (control::VP8E_SET_MAX_INTRA_BITRATE_PCT, 30 * c_int::from(config.frame_rate.max(10))),
        (control::VP8E_SET_NOISE_SENSITIVITY, 0),
    ];
    match config.codec {
        VideoCodec::Vp8 => settings.extend([
            (control::VP8E_SET_TOKEN_PARTITIONS, 0),
            (control::VP8E_SET_SCREEN_CONTENT_MODE, c_int::from(screen)),
        ]),
        VideoCodec::Vp9 => settings.extend([
            (control::VP9E_SET_ROW_MT, 1),
            // Columns of 256 at least (VP9 0.6, 7.2.11).
            (control::VP9E_SET_TILE_COLUMNS, c_int::from(config.size.width / 256).max(1).ilog2() as c_int),
            (control::VP9E_SET_FRAME_PARALLEL_DECODING, 0),
            (control::VP9E_SET_GF_CBR_BOOST_PCT, 0),
            // Cyclic refresh: quality comes back block by block instead of by key frames.
            (control::VP9E_SET_AQ_MODE, 3),
            (control::VP9E_SET_TUNE_CONTENT, c_int::from(screen)),
        ]),
    }
    for (id, value) in settings {
        // VP9 has no noise sensitivity under VP8's number, and other versions lack a control or two: all are wishes.
        let _ = context.set(id as u32, value);
    }
    Ok(context)
}

fn interface(codec: VideoCodec) -> *mut vpx_sys::vpx_codec_iface_t {
    // SAFETY: both give the address of a static.
    unsafe {
        match codec {
            VideoCodec::Vp8 => vpx_sys::vpx_codec_vp8_cx(),
            VideoCodec::Vp9 => vpx_sys::vpx_codec_vp9_cx(),
        }
    }
}

/// libvpx counts in kilobits a second.
fn kilobits(bitrate: Bitrate) -> u32 {
    u32::try_from(bitrate.max(LEAST_BITRATE).as_bps() / 1_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "vpx_tests.rs"]
mod tests;
