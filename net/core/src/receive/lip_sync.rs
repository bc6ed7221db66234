//! How long sound waits for its pictures: they are shown as early as they can be, and their sound not much before.

use std::time::Duration;

/// Sound that is earlier than its pictures by more than this is noticed (ITU-R BT.1359: 45 ms).
const NOTICED: Duration = Duration::from_millis(40);
/// The longest that sound waits for pictures: talking needs it early more than it needs lips.
const MOST: Duration = Duration::from_millis(80);

/// How much longer sound should wait: `pictures` is when pictures are ready, `sound` how long sound waits by itself, both
/// from when the fastest packet brings the sound of their moment.
pub fn wait_for_pictures(pictures: Duration, sound: Duration) -> Duration {
    pictures.saturating_sub(sound + NOTICED).min(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_waits_for_what_would_be_noticed_and_never_for_long() {
        for (pictures, sound, wait) in
            [(0, 20, 0), (60, 20, 0), (61, 20, 1), (100, 20, 40), (500, 20, 80), (500, 460, 0), (500, 600, 0)]
        {
            let of = Duration::from_millis;
            assert_eq!(wait_for_pictures(of(pictures), of(sound)), of(wait), "{pictures}, {sound}");
        }
    }
}
