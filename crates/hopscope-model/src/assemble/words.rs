//! Facts in English: what states rest on, and durations as people say them.

use crate::Why;
use std::fmt;

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reported { attempt } => write!(f, "its handler said so at attempt {attempt}"),
            Self::Behind { group, destination, lane, stands_at, position, .. } => {
                let group = named(group);
                write!(f, "{group} is at {stands_at} of {destination}")?;
                if !lane.is_empty() {
                    write!(f, "/{lane}")?;
                }
                write!(f, ", this message is at {position}")
            }
            Self::Passed { group, stands_at, position, .. } => {
                let group = named(group);
                write!(f, "{group} stands at {stands_at}, past this message at {position}")
            }
            Self::DeadLetter { destination, reason } => {
                match destination.is_empty() {
                    true => f.write_str("it was rejected for good")?,
                    false => write!(f, "a copy of it is in {destination}")?,
                }
                if reason.is_empty() { Ok(()) } else { write!(f, ": {reason}") }
            }
            Self::Silent { group, last_seen_ns } => {
                let group = named(group);
                write!(
                    f,
                    "nothing has been heard of {group} since {}",
                    crate::query::instant_text(*last_seen_ns)
                )
            }
            Self::Send => f.write_str("the outcome of its send says so"),
            Self::Nothing => f.write_str("there is no evidence"),
        }
    }
}

fn named(group: &str) -> &str {
    if group.is_empty() { "a group without name" } else { group }
}

/// A length of time as people say it: two digits at least, in one unit.
pub(super) fn duration(ns: i64) -> String {
    const UNITS: [(u64, &str); 6] = [
        (86_400_000_000_000, "d"),
        (3_600_000_000_000, "h"),
        (60_000_000_000, "min"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "µs"),
    ];
    let length = ns.unsigned_abs();
    let Some((unit_ns, name)) = UNITS.iter().find(|(unit_ns, _)| length >= *unit_ns) else {
        return format!("{length} ns");
    };
    let (whole, tenth) = (length / unit_ns, length % unit_ns * 10 / unit_ns);
    if whole < 10 && tenth > 0 { format!("{whole}.{tenth} {name}") } else { format!("{whole} {name}") }
}
