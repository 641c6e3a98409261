//! [`Floors`]: how far a group has come is told although the commits are not sampled.
//!
//! Who has not consumed a message yet is read from commits. Thinned as other steps are, they would say that long after the
//! fact, or, on a lane that has gone quiet, never. So of the commits that were not sampled the last of each lane leaves,
//! once a second.

use crate::facts::Facts;
use crate::record::{Ended, Record};
use crate::system::{coordinates, names};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::mem;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often commits leave.
pub(crate) const RELEASE_EVERY: Duration = Duration::from_secs(1);

/// Lanes whose commits are held; a commit on one more is an ordinary record.
const LANES_MAX: usize = 4096;

/// The last commit of each lane that was not sampled.
#[derive(Debug, Default)]
pub(crate) struct Floors(Mutex<HashMap<String, Box<Record>>>);

impl Floors {
    /// Holds a commit. Gives back what is not held: another step, one that did not succeed, the commit before.
    pub fn hold(&self, record: Box<Record>) -> Option<Box<Record>> {
        if record.progress_next.is_none() || !matches!(record.ended, Ended::Ok) {
            return Some(record);
        }
        let lane = lane(&record.facts);
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = held.len() >= LANES_MAX;
        match held.entry(lane) {
            // Two threads may end theirs in the other order.
            Entry::Occupied(known) if known.get().start_ns() > record.start_ns() => Some(record),
            Entry::Occupied(mut known) => Some(known.insert(record)),
            Entry::Vacant(_) if is_full => Some(record),
            Entry::Vacant(place) => {
                place.insert(record);
                None
            }
        }
    }

    /// What is held, which is not held any more.
    pub fn take(&self) -> impl Iterator<Item = Box<Record>> {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_values()
    }
}

/// System, destination, lane, cluster and group, without a position.
fn lane(facts: &Facts) -> String {
    facts.with(|place, details| {
        let ([first, second, third], (lane, _)) = (names(place), coordinates(place));
        let (system, cluster, group) = (place.system(), details.cluster, details.group);
        format!("{system}\0{first}\0{second}\0{third}\0{lane:?}\0{cluster}\0{group}")
    })
}
