//! What a shared screen shows: text, which must stay sharp, or motion, which must stay smooth. The person says, or it is found out.

use std::time::Duration;

use ahoy_base::{Bitrate, Moment, VideoPlan, VideoTrack};
use ahoy_codec::video::Picture;
use ahoy_net_core::video::{Ladder, Limits};

use crate::view::ScreenContent;

/// Points that are compared, a row and a column: a word that is typed touches one, a film most.
const GRID: (usize, usize) = (48, 27);
/// A point whose brightness differs by more than this has changed; noise of a film that stands still does not.
const CHANGED: u8 = 8;
/// A picture of which this share has changed is lively: a film's, or one in which something scrolls.
const LIVELY: f32 = 0.1;
/// Lively pictures that are not further apart belong together.
const TOGETHER: Duration = Duration::from_millis(400);
/// Who scrolls stops before this; a film goes on.
const FILM: Duration = Duration::from_secs(3);
/// A film that stands still is text again after this.
const STILL: Duration = Duration::from_millis(1_500);

/// Tells motion from text by the pictures, and makes the plan for it.
#[derive(Debug, Default)]
pub(super) struct Finder {
    last: Vec<u8>,
    /// Lively pictures have come from the first to the second moment.
    lively: Option<(Moment, Moment)>,
    found: bool,
    ladder: Option<(Ladder, Option<VideoPlan>)>,
}

impl Finder {
    /// Looks at a picture captured at `at`.
    pub(super) fn look(&mut self, at: Moment, picture: &Picture) {
        let points = points(picture);
        let changed =
            points.iter().zip(&self.last).filter(|(new, old)| new.abs_diff(**old) > CHANGED).count();
        let lively = self.last.len() == points.len() && changed as f32 > points.len() as f32 * LIVELY;
        self.last = points;
        if lively {
            self.lively = match self.lively {
                Some((since, last)) if at.since(last) <= TOGETHER => Some((since, at)),
                _ => Some((at, at)),
            };
        }
    }

    /// Whether it is motion at `now`, as the person chose or as it looks.
    pub(super) fn is_motion(&mut self, now: Moment, choice: ScreenContent) -> bool {
        match choice {
            ScreenContent::Text => return false,
            ScreenContent::Motion => return true,
            ScreenContent::Auto => {}
        }
        match self.lively {
            Some((_, last)) if now.since(last) >= STILL => (self.found, self.lively) = (false, None),
            Some((since, last)) => self.found |= last.since(since) >= FILM,
            None => self.found = false,
        }
        self.found
    }

    /// The same bits for a picture in motion: rate first, pixels as far as they go. `plan` is one for text.
    pub(super) fn in_motion(&mut self, now: Moment, plan: VideoPlan) -> VideoPlan {
        if plan.bitrate == Bitrate::bps(0) {
            return plan;
        }
        let limits = Limits { want: Some(plan.size), source: None, low_data: false };
        let (ladder, said) = self.ladder.get_or_insert_with(|| (Ladder::new(now, VideoTrack::Camera), None));
        let bitrate = plan.bitrate.min(ladder.most(limits));
        *said = ladder.follow(now, bitrate, limits).or(*said);
        said.map_or(plan, |shape| VideoPlan { bitrate, ..shape })
    }

    /// It is text from now on.
    pub(super) fn in_text(&mut self) {
        self.ladder = None;
    }
}

/// Brightness of the points of the grid.
fn points(picture: &Picture) -> Vec<u8> {
    let (width, height) = (usize::from(picture.size().width), usize::from(picture.size().height));
    let place = |n: usize, of: usize, all: usize| (2 * n + 1) * all / (2 * of);
    let luma = picture.data();
    let (columns, rows) = GRID;
    (0..rows)
        .flat_map(|y| (0..columns).map(move |x| place(y, rows, height) * width + place(x, columns, width)))
        .filter_map(|at| luma.get(at).copied())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ahoy_base::VideoSize;

    const SIZE: VideoSize = VideoSize { width: 480, height: 270 };
    const AT: fn(u64) -> Moment = Moment::from_millis;

    /// A grey page of which the upper `share` shows shade `n`.
    fn page(n: u64, share: f32) -> Picture {
        let mut picture = Picture::black(SIZE);
        let luma = usize::from(SIZE.width) * usize::from(SIZE.height);
        let shade = (n * 40 % 200) as u8;
        picture.data_mut().iter_mut().take((luma as f32 * share) as usize).for_each(|byte| *byte = shade);
        picture
    }

    #[test]
    fn a_film_is_motion_after_seconds_and_text_again_when_it_stops() {
        let mut finder = Finder::default();
        let mut found = Vec::new();
        for n in 0..300u64 {
            // A film of ten pictures a second, from the 3rd to the 20th second.
            let moving = (30..200).contains(&n);
            finder.look(AT(n * 100), &page(if moving { n } else { 0 }, 0.5));
            found.push(finder.is_motion(AT(n * 100), ScreenContent::Auto));
        }
        let changes: Vec<usize> = (1..300).filter(|n| found[*n] != found[n - 1]).collect();
        assert_eq!(changes.len(), 2, "{changes:?}");
        assert!((59..63).contains(&changes[0]) && (213..218).contains(&changes[1]), "{changes:?}");
    }

    #[test]
    fn typing_a_small_clip_and_a_burst_of_scrolling_stay_text() {
        for (share, every) in [(0.03, 1), (0.9, 6)] {
            let mut finder = Finder::default();
            for n in 0..300u64 {
                finder.look(AT(n * 100), &page(n / every, share));
                assert!(!finder.is_motion(AT(n * 100), ScreenContent::Auto), "{share}, {n}");
            }
        }
        let mut finder = Finder::default();
        for n in 0..100u64 {
            // Two seconds of scrolling, two of reading.
            finder.look(AT(n * 100), &page(if n % 40 < 20 { n } else { 0 }, 0.9));
            assert!(!finder.is_motion(AT(n * 100), ScreenContent::Auto), "{n}");
        }
    }

    #[test]
    fn what_the_person_chose_holds_whatever_it_looks_like() {
        let mut finder = Finder::default();
        for n in 0..100u64 {
            finder.look(AT(n * 100), &page(n, 1.0));
        }
        assert!(!finder.is_motion(AT(9_900), ScreenContent::Text));
        assert!(finder.is_motion(AT(9_900), ScreenContent::Auto));
        assert!(Finder::default().is_motion(AT(0), ScreenContent::Motion));
    }

    #[test]
    fn motion_turns_pixels_into_frames() {
        let size = VideoSize { width: 1_920, height: 1_080 };
        for (kbps, frame_rate, lines) in [(350, 5, 360), (1_000, 10, 720), (4_000, 30, 1_080)] {
            let text = VideoPlan { bitrate: Bitrate::kbps(kbps), size, frame_rate };
            let plan = Finder::default().in_motion(AT(0), text);
            assert_eq!((plan.frame_rate, plan.size.height), (30, lines));
            assert_eq!(plan.bitrate, text.bitrate);
        }
        let nothing = VideoPlan { bitrate: Bitrate::bps(0), size, frame_rate: 1 };
        assert_eq!(Finder::default().in_motion(AT(0), nothing), nothing);
    }
}
