//! QR codes as modules: for the page to draw, and as text for a terminal.

use qrcodegen::{QrCode as Code, QrCodeEcc};

use crate::view::QrCode;

/// Light modules that must surround a code so that cameras find it (ISO/IEC 18004, 5.3.8: four; two suffice on screens).
const QUIET: i32 = 2;

impl QrCode {
    /// The code of `text`, medium error correction. Text that no code can hold gives an empty one.
    pub(crate) fn of(text: &str) -> QrCode {
        let Some(code) = encode(text) else { return QrCode { size: 0, rows: Vec::new() } };
        let row = |y| (0..code.size()).map(|x| if code.get_module(x, y) { '1' } else { '0' }).collect();
        QrCode { size: u32::try_from(code.size()).unwrap_or(0), rows: (0..code.size()).map(row).collect() }
    }
}

/// The code of `text` for a terminal: two modules a character, dark on light whatever the terminal's colours are.
/// `None` when no code can hold it.
pub(crate) fn for_terminal(text: &str) -> Option<String> {
    let code = encode(text)?;
    let mut out = String::new();
    let (from, to) = (-QUIET, code.size() + QUIET);
    for y in (from..to).step_by(2) {
        out.push_str("\x1b[30;107m");
        for x in from..to {
            // Modules outside the code read as light.
            out.push(match (code.get_module(x, y), code.get_module(x, y + 1)) {
                (false, false) => ' ',
                (true, false) => '▀',
                (false, true) => '▄',
                (true, true) => '█',
            });
        }
        out.push_str("\x1b[0m\n");
    }
    Some(out)
}

fn encode(text: &str) -> Option<Code> {
    Code::encode_text(text, QrCodeEcc::Medium).or_else(|_| Code::encode_text(text, QrCodeEcc::Low)).ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_code_is_square_and_has_its_three_corners() {
        let code = QrCode::of("ahoy:c/abc");
        let size = usize::try_from(code.size).unwrap();
        assert!(size >= 21 && code.rows.len() == size && code.rows.iter().all(|row| row.len() == size));
        let corner = |row: &str, at: usize| row[at..at + 7].to_owned();
        for (row, at) in [(0, 0), (0, size - 7), (size - 7, 0)] {
            assert_eq!(corner(&code.rows[row], at), "1111111");
            assert_eq!(corner(&code.rows[row + 1], at), "1000001");
        }
    }

    #[test]
    fn what_no_code_can_hold_is_left_out() {
        assert_eq!(QrCode::of(&"x".repeat(5_000)).size, 0);
        assert!(for_terminal(&"x".repeat(5_000)).is_none());
        assert!(for_terminal("ahoy:c/abc").unwrap().lines().count() > 10);
    }
}
