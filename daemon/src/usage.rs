//! What the daemon costs its machine: processor time and memory, as the operating system counts them.

use std::time::Duration;

use ahoy_base::Moment;

/// One reading of the process's cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Usage {
    /// When it was read.
    pub(crate) at: Moment,
    /// Processor time since the process started, all threads, user and system.
    pub(crate) cpu: Duration,
    /// Resident memory in bytes.
    pub(crate) resident_bytes: u64,
}

impl Usage {
    /// Reads it at `now`; `None` where the operating system does not say.
    #[cfg(target_os = "linux")]
    pub(crate) fn read(now: Moment) -> Option<Usage> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
        let ticks = rustix::param::clock_ticks_per_second();
        parse(now, &stat, &statm, ticks, u64::try_from(rustix::param::page_size()).ok()?)
    }

    /// Reads it at `now`; `None` where the operating system does not say.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn read(_: Moment) -> Option<Usage> {
        None
    }

    /// Share of one processor used since `earlier`; 1.0 is one whole processor.
    pub(crate) fn cpu_share_since(&self, earlier: &Usage) -> f64 {
        let wall = self.at.since(earlier.at).as_secs_f64();
        if wall > 0.0 { self.cpu.saturating_sub(earlier.cpu).as_secs_f64() / wall } else { 0.0 }
    }
}

/// Fields 14 and 15 of `stat` (proc(5)) are user and system time in ticks; field 2 of `statm` is resident pages.
#[cfg(target_os = "linux")]
fn parse(now: Moment, stat: &str, statm: &str, ticks: u64, page: u64) -> Option<Usage> {
    // The second field is the program's name in brackets and may hold anything.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let resident: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    let ms = user.saturating_add(system).saturating_mul(1_000).checked_div(ticks)?;
    Some(Usage { at: now, cpu: Duration::from_millis(ms), resident_bytes: resident.saturating_mul(page) })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_brackets_does_not_shift_the_fields() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194304 1 0 0 0 250 50 0 0 20 0 9 0 100 1 2";
        let usage = parse(Moment::ZERO, stat, "900 300 1 1 0 1 0", 100, 4_096);
        assert_eq!(
            usage,
            Some(Usage { at: Moment::ZERO, cpu: Duration::from_secs(3), resident_bytes: 300 * 4_096 })
        );
        assert_eq!(parse(Moment::ZERO, "", "", 100, 4_096), None);
    }

    #[test]
    fn share_is_of_one_processor() {
        let earlier = Usage { at: Moment::ZERO, cpu: Duration::from_secs(1), resident_bytes: 0 };
        let later = Usage { at: Moment::from_millis(2_000), cpu: Duration::from_secs(2), resident_bytes: 0 };
        assert!((later.cpu_share_since(&earlier) - 0.5).abs() < 1e-9);
        assert!(earlier.cpu_share_since(&earlier).abs() < 1e-9);
    }
}
