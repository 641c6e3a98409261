//! [`Lanes`]: a lane by its names.

use super::Lane;
use super::key::Parts;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// A table that only grows, up to a limit: a look-up takes no lock and counts no reference.
#[derive(Debug)]
pub(super) struct Lanes {
    /// A power of two, at most half of them ever used, so that every search ends soon at an empty one.
    slots: Box<[Slot]>,
    lanes_max: usize,
    used: AtomicUsize,
    /// Held while a lane is added.
    adding: Mutex<()>,
    hasher: foldhash::fast::RandomState,
}

/// A lane, with its hash beside it: one that is not looked for is passed without a look at it.
type Slot = OnceLock<(u64, Box<Lane>)>;

impl Lanes {
    pub fn new(lanes_max: usize) -> Self {
        let slots = (lanes_max.max(1) * 2).next_power_of_two();
        Self {
            slots: (0..slots).map(|_| OnceLock::new()).collect(),
            lanes_max,
            used: AtomicUsize::new(0),
            adding: Mutex::new(()),
            hasher: foldhash::fast::RandomState::default(),
        }
    }

    /// Its index, for [`at`](Self::at). `None` where there is no room for it.
    pub fn get(&self, parts: &Parts<'_>, make: impl FnOnce() -> Lane) -> Option<u32> {
        let hash = self.hasher.hash_one(parts);
        // Asked first: where there is no room left, every lane that there is can be found.
        let is_full = self.used.load(Ordering::Acquire) >= self.lanes_max;
        match self.find(parts, hash) {
            Ok(index) => Some(index),
            Err(_) if is_full => None,
            Err(_) => self.add(parts, hash, make),
        }
    }

    /// The lane of an index that was given out here.
    pub fn at(&self, index: u32) -> Option<&Lane> {
        Some(&*self.slots.get(index as usize)?.get()?.1)
    }

    /// The lane's index, or the empty slot where the search ended.
    fn find(&self, parts: &Parts<'_>, hash: u64) -> Result<u32, &Slot> {
        let mask = self.slots.len() - 1;
        let mut index = hash as usize & mask;
        loop {
            match self.slots[index].get() {
                Some((known, lane)) if *known == hash && lane.is(parts) => return Ok(index as u32),
                Some(_) => index = (index + 1) & mask,
                None => return Err(&self.slots[index]),
            }
        }
    }

    #[cold]
    fn add(&self, parts: &Parts<'_>, hash: u64, make: impl FnOnce() -> Lane) -> Option<u32> {
        // A panic under this lock leaves a slot empty, and nothing half-done.
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        match self.find(parts, hash) {
            Ok(index) => Some(index),
            Err(_) if self.used.load(Ordering::Relaxed) >= self.lanes_max => None,
            Err(slot) => {
                slot.get_or_init(|| (hash, Box::new(make())));
                self.used.fetch_add(1, Ordering::Release);
                self.find(parts, hash).ok()
            }
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Lane> {
        self.slots.iter().filter_map(|slot| slot.get().map(|(_, lane)| &**lane))
    }
}

#[cfg(test)]
mod tests {
    use crate::meters::{LaneKey, Limits, Meters};
    use crate::{Place, Server};
    use std::collections::HashSet;

    fn kafka(topic: &str, partition: i32) -> Place<'_> {
        Place::Kafka { topic, partition: Some(partition), offset: None }
    }

    #[test]
    fn a_lane_is_what_its_names_say() {
        let meters = Meters::default();
        let key = LaneKey {
            group: "g",
            server: Some(Server { address: "b", port: 9092 }),
            ..LaneKey::of(kafka("t", 0))
        };
        let lane = meters.lane(&key);
        let others = [
            LaneKey { place: kafka("u", 0), ..key },
            LaneKey { place: kafka("t", 1), ..key },
            LaneKey { group: "h", ..key },
            LaneKey { template: "t*", ..key },
            LaneKey { server: Some(Server { address: "b", port: 9093 }), ..key },
            LaneKey { server: None, ..key },
            LaneKey { place: Place::Nats { subject: "t" }, ..key },
        ];
        for other in others {
            assert!(!std::ptr::eq(lane, meters.lane(&other)), "{other:?}");
        }
        let positioned = Place::Kafka { topic: "t", partition: Some(0), offset: Some(7) };
        assert!(std::ptr::eq(lane, meters.lane(&LaneKey { place: positioned, ..key })));
    }

    #[test]
    fn a_template_stands_for_every_name_under_it() {
        let meters = Meters::default();
        let lane = |subject| {
            let place = Place::JetStream { subject, stream: "ORDERS", sequence: None };
            meters.lane(&LaneKey { template: "orders.{id}", ..LaneKey::of(place) })
        };
        assert!(std::ptr::eq(lane("orders.1"), lane("orders.2")));
    }

    #[test]
    fn threads_that_come_at_once_find_the_same_lanes_and_no_more_than_allowed() {
        let meters = Meters::new(Limits { lanes_max: 20, ..Limits::default() });
        let of_one_thread = || -> Vec<usize> {
            (0..40).map(|p| std::ptr::from_ref(meters.lane(&LaneKey::of(kafka("t", p)))) as usize).collect()
        };
        let found: Vec<_> = std::thread::scope(|threads| {
            let started: Vec<_> = (0..4).map(|_| threads.spawn(of_one_thread)).collect();
            started.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        // Which of them there was room for is for the race to say; afterwards it stands.
        let again = of_one_thread();
        assert!(found.iter().all(|lanes| { lanes.iter().zip(&again).all(|(first, now)| first == now) }));
        let overflow = std::ptr::from_ref(&meters.0.overflow) as usize;
        let lanes: HashSet<_> = again.iter().filter(|lane| **lane != overflow).collect();
        assert_eq!(lanes.len(), 20);
    }
}
