//! [`Offsets`]: how far a lane may be committed while its messages finish in any order.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

/// Per lane (partition, queue, channel), which positions are at work, and so how far it may be committed: **a commit
/// never passes a position that is started and not finished**.
///
/// Positions of a lane are started in the order in which the broker delivers them: ascending, with any gaps
/// (compaction and transaction markers leave some, so the distance of two positions is no count). They finish in any
/// order. A finished position above an unfinished one needs no memory: the next to commit is the oldest unfinished
/// one, or, where none is, the one after the newest finished. So memory is what is in flight, however long one of
/// them takes.
///
/// ```
/// use hopscope_sdk::work::Offsets;
/// let mut offsets = Offsets::default();
/// let seven = offsets.started("orders-0", 7);
/// let nine = offsets.started("orders-0", 9);
/// offsets.finished(&"orders-0", nine);
/// assert_eq!(offsets.next(&"orders-0"), None, "9 may not be committed while 7 is at work");
/// offsets.finished(&"orders-0", seven);
/// assert_eq!(offsets.due(), [("orders-0", 10)]);
/// offsets.committed(&"orders-0", 10);
/// assert_eq!(offsets.due(), []);
/// ```
///
/// # Again from an earlier position
/// A lane that was revoked and is assigned again, or on which the consumer went back (`seek`), delivers positions
/// that may still be at work. [`InFlight`] tells those runs apart: what was started before counts no longer, when it
/// finishes it moves nothing. Going back is seen by itself: by a position that is not above the one before it.
#[derive(Clone, Debug)]
pub struct Offsets<L> {
    lanes: HashMap<L, Lane>,
    /// Of the lane or the turn back that comes next; never used twice.
    generation_next: u64,
}

/// One started position: give it back with [`Offsets::finished`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InFlight {
    generation: u64,
    offset: i64,
}

impl InFlight {
    /// The position.
    pub fn offset(self) -> i64 {
        self.offset
    }
}

#[derive(Clone, Debug)]
struct Lane {
    generation: u64,
    started_first: i64,
    started_last: i64,
    unfinished: BTreeSet<i64>,
    finished_max: i64,
    committed: Option<i64>,
}

impl<L> Default for Offsets<L> {
    fn default() -> Self {
        Self { lanes: HashMap::new(), generation_next: 0 }
    }
}

impl<L: Clone + Eq + Hash> Offsets<L> {
    /// A message of that lane goes to its handler.
    pub fn started(&mut self, lane: L, offset: i64) -> InFlight {
        let generation = match self.lanes.get_mut(&lane) {
            Some(known) if offset > known.started_last => {
                known.unfinished.insert(offset);
                known.started_last = offset;
                known.generation
            }
            // The lane is new, or the consumer went back on it.
            _ => {
                let generation = self.generation_next;
                self.generation_next += 1;
                self.lanes.insert(lane, Lane::new(generation, offset));
                generation
            }
        };
        InFlight { generation, offset }
    }

    /// Nothing of that message is left to be done: it succeeded, or it failed and is passed over (dead-lettered, sent
    /// to a retry topic, dropped on purpose). One that failed and is to come again is not finished. True where it
    /// counted; false where the lane was revoked or turned back since, or it was finished before.
    pub fn finished(&mut self, lane: &L, of: InFlight) -> bool {
        let Some(known) = self.lanes.get_mut(lane).filter(|known| known.generation == of.generation) else {
            return false;
        };
        let counted = known.unfinished.remove(&of.offset);
        if counted {
            known.finished_max = known.finished_max.max(of.offset);
        }
        counted
    }

    /// The next position that the group may be said to read on that lane: everything before it that was started is
    /// finished. `None` where nothing has finished that a commit could say.
    pub fn next(&self, lane: &L) -> Option<i64> {
        self.lanes.get(lane)?.next()
    }

    /// What to commit now: lanes whose [`next`](Self::next) is not what was committed last.
    pub fn due(&self) -> Vec<(L, i64)> {
        let of = |(lane, known): (&L, &Lane)| {
            let next = known.next().filter(|next| known.committed != Some(*next))?;
            Some((lane.clone(), next))
        };
        self.lanes.iter().filter_map(of).collect()
    }

    /// The broker has confirmed that commit. Without this call (the commit failed) it stays [`due`](Self::due).
    pub fn committed(&mut self, lane: &L, next: i64) {
        if let Some(known) = self.lanes.get_mut(lane) {
            known.committed = Some(next);
        }
    }

    /// The lane was taken away: forgets it. What was started on it and is not finished, ascending. When that finishes
    /// later it moves nothing, not even where the lane has come back.
    pub fn revoke(&mut self, lane: &L) -> Vec<i64> {
        self.lanes.remove(lane).map(|known| known.unfinished.into_iter().collect()).unwrap_or_default()
    }

    /// The oldest position of that lane at work: what holds its commits up.
    pub fn oldest(&self, lane: &L) -> Option<i64> {
        self.lanes.get(lane)?.unfinished.first().copied()
    }

    /// How many messages are at work, over all lanes.
    pub fn in_flight(&self) -> usize {
        self.lanes.values().map(|known| known.unfinished.len()).sum()
    }
}

impl Lane {
    fn new(generation: u64, first: i64) -> Self {
        Self {
            generation,
            started_first: first,
            started_last: first,
            unfinished: BTreeSet::from([first]),
            finished_max: i64::MIN,
            committed: None,
        }
    }

    fn next(&self) -> Option<i64> {
        match self.unfinished.first() {
            Some(&oldest) => (oldest > self.started_first).then_some(oldest),
            // A broker has no position after the last one that fits.
            None => self.finished_max.checked_add(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_unfinished_position_holds_the_commit() {
        let mut offsets = Offsets::default();
        let of: Vec<_> = [3, 4, 8, 9].into_iter().map(|offset| offsets.started("p", offset)).collect();
        assert_eq!(offsets.next(&"p"), None);
        offsets.finished(&"p", of[3]);
        offsets.finished(&"p", of[1]);
        assert_eq!((offsets.next(&"p"), offsets.oldest(&"p")), (None, Some(3)));
        offsets.finished(&"p", of[0]);
        assert_eq!(offsets.next(&"p"), Some(8), "the gap is passed, the unfinished one is not");
        offsets.finished(&"p", of[2]);
        assert_eq!((offsets.next(&"p"), offsets.in_flight()), (Some(10), 0));
    }

    #[test]
    fn what_finishes_after_a_revocation_moves_nothing() {
        let mut offsets = Offsets::default();
        let stale = offsets.started("p", 5);
        assert_eq!(offsets.revoke(&"p"), [5]);
        assert!(!offsets.finished(&"p", stale));
        let again = offsets.started("p", 5);
        assert!(!offsets.finished(&"p", stale), "5 is at work again, in another run");
        assert_eq!(offsets.next(&"p"), None);
        assert!(offsets.finished(&"p", again));
        assert_eq!(offsets.next(&"p"), Some(6));
    }

    #[test]
    fn going_back_makes_all_that_was_started_before_count_no_longer() {
        let mut offsets = Offsets::default();
        let first = offsets.started("p", 1);
        let old = offsets.started("p", 9);
        offsets.finished(&"p", first);
        offsets.committed(&"p", 9);
        let again = offsets.started("p", 4);
        offsets.finished(&"p", old);
        offsets.finished(&"p", again);
        assert_eq!(offsets.due(), [("p", 5)], "5 to 9 come again");
    }

    #[test]
    fn a_failed_commit_stays_due() {
        let mut offsets = Offsets::default();
        let of = offsets.started("p", 0);
        offsets.finished(&"p", of);
        assert_eq!(offsets.due(), offsets.due());
        offsets.committed(&"p", 1);
        assert_eq!(offsets.due(), []);
    }

    #[test]
    fn memory_is_what_is_in_flight() {
        let mut offsets = Offsets::default();
        offsets.started("p", 0);
        for offset in 1..100_000 {
            let of = offsets.started("p", offset * 3);
            offsets.finished(&"p", of);
        }
        assert_eq!(offsets.in_flight(), 1);
        assert_eq!(offsets.lanes["p"].unfinished.len(), 1);
        assert_eq!(offsets.next(&"p"), None);
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// Delivers a position that far above the last one.
        Deliver(i64),
        /// Finishes one of all that were ever started, revoked ones too.
        Finish(usize),
        Revoke,
        /// Goes back that far and delivers.
        Back(i64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (1..5_i64).prop_map(Step::Deliver),
            6 => any::<usize>().prop_map(Step::Finish),
            1 => Just(Step::Revoke),
            1 => (0..8_i64).prop_map(Step::Back),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        /// Against a list that forgets nothing: every delivery with its run and whether it is finished.
        #[test]
        fn as_a_list_that_forgets_nothing(steps in steps()) {
            let mut offsets = Offsets::default();
            let mut last = 100_i64;
            let mut run = 0;
            // (run, position, finished, token)
            let mut all: Vec<(u32, i64, bool, InFlight)> = Vec::new();
            for step in steps {
                match step {
                    Step::Deliver(above) => {
                        last += above;
                        all.push((run, last, false, offsets.started((), last)));
                    }
                    Step::Back(far) => {
                        last -= far;
                        run += 1;
                        offsets.revoke(&());
                        all.push((run, last, false, offsets.started((), last)));
                    }
                    Step::Finish(which) if !all.is_empty() => {
                        let which = which % all.len();
                        let (of_run, _, finished, token) = &mut all[which];
                        let counts = *of_run == run && !*finished;
                        prop_assert_eq!(offsets.finished(&(), *token), counts);
                        *finished = true;
                    }
                    Step::Finish(_) => {}
                    Step::Revoke => {
                        let open = all.iter().filter(|(of, _, finished, _)| *of == run && !finished);
                        let open: Vec<i64> = open.map(|(_, position, ..)| *position).collect();
                        prop_assert_eq!(offsets.revoke(&()), open);
                        run += 1;
                    }
                }
                let of_run: Vec<_> = all.iter().filter(|(of, ..)| *of == run).collect();
                let finished = of_run.iter().take_while(|(_, _, finished, _)| *finished).count();
                let next = match of_run.get(finished) {
                    _ if finished == 0 => None,
                    Some((_, position, ..)) => Some(*position),
                    None => of_run.last().map(|(_, position, ..)| position + 1),
                };
                prop_assert_eq!(offsets.next(&()), next);
                let in_flight = of_run.iter().filter(|(_, _, finished, _)| !finished).count();
                prop_assert_eq!(offsets.in_flight(), in_flight);
            }
        }
    }
}
