//! [`SegmentId`]: which segment, and what its files are named.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A day.
pub(crate) const DAY_NS: i64 = 86_400_000_000_000;

const EXTENSIONS: [&str; 4] = ["parquet", "keys", "extra", "sums"];

/// Which segment. No two segments of a folder ever have the same one: of the segments that hold the rows of a
/// log and a day, each later one is of the next generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct SegmentId {
    /// The newest log that it has something of.
    pub log: u64,
    /// Day of receipt, counted from 1970, UTC. `None` in stores of format 1, whose segments may be of several.
    pub day: Option<i32>,
    /// How often what is in it was merged: 0 as it was sealed.
    pub generation: u32,
}

/// The day in which an instant lies.
pub(crate) fn day_of(received_ns: i64) -> i32 {
    // A range of i64 is 213,504 days.
    received_ns.div_euclid(DAY_NS) as i32
}

impl SegmentId {
    /// Names of its files: events, keys, the rest, checksums.
    pub fn file_names(self) -> [String; 4] {
        EXTENSIONS.map(|extension| format!("{self}.{extension}"))
    }

    /// The segment that a file name is of.
    pub fn of_name(name: &str) -> Option<Self> {
        let (stem, extension) = name.strip_prefix("seg-")?.split_once('.')?;
        if !EXTENSIONS.contains(&extension) {
            return None;
        }
        let id = match stem.split_once("-d") {
            None => Self { log: stem.parse().ok()?, day: None, generation: 0 },
            Some((log, rest)) => {
                let (day, generation) = rest.split_once("-g")?;
                let day = if day == "any" { None } else { Some(day.parse().ok()?) };
                Self { log: log.parse().ok()?, day, generation: generation.parse().ok()? }
            }
        };
        // One spelling only: "seg-7" and "seg-0000000007" are not the same file.
        (stem == &id.to_string()[4..]).then_some(id)
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seg-{:010}", self.log)?;
        match (self.day, self.generation) {
            (None, 0) => Ok(()),
            (None, generation) => write!(f, "-dany-g{generation}"),
            (Some(day), generation) => write!(f, "-d{day}-g{generation}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_names_one_segment() {
        for (day, generation, name) in [
            (None, 0, "seg-0000000007.keys"),
            (Some(20_454), 0, "seg-0000000007-d20454-g0.keys"),
            (Some(-5), 12, "seg-0000000007-d-5-g12.keys"),
        ] {
            let id = SegmentId { log: 7, day, generation };
            assert_eq!(id.file_names()[1], name);
            assert_eq!(SegmentId::of_name(name), Some(id));
        }
        for name in
            ["seg-7.keys", "seg-0000000007-d1.keys", "seg-0000000007-d+1-g0.keys", "seg-1.wal", "log-1"]
        {
            assert_eq!(SegmentId::of_name(name), None, "{name}");
        }
    }

    #[test]
    fn a_day_begins_at_midnight() {
        assert_eq!([-1, 0, DAY_NS - 1, DAY_NS].map(day_of), [-1, 0, 0, 1]);
    }
}
