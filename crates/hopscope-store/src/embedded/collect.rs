//! [`Collect`]: the first rows of an answer out of any number, in bounded memory.

use crate::order::Place;
use std::collections::BinaryHeap;

/// Which way an answer is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    OldestFirst,
    NewestFirst,
}

/// A row of one of the sources of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct At {
    pub source: u32,
    pub row: u32,
}

/// Keeps the first `rows_max` rows behind a cursor, and whether there were more.
#[derive(Debug)]
pub(crate) struct Collect {
    direction: Direction,
    after: Option<Place>,
    rows_max: usize,
    /// Greatest on top: the first to go.
    heap: BinaryHeap<(Rank, At)>,
    more: bool,
    /// Known to be of no use behind this start, whatever is in the heap.
    bound: Option<i128>,
}

/// A place so turned that the smallest comes first in the answer.
type Rank = (i128, u128);

impl Collect {
    pub fn new(direction: Direction, after: Option<Place>, rows_max: usize) -> Self {
        Self {
            direction,
            after,
            rows_max: rows_max.max(1),
            heap: BinaryHeap::new(),
            more: false,
            bound: None,
        }
    }

    /// An empty one that takes what this one would, to be filled by another thread.
    pub fn fork(&self) -> Self {
        let full = self.heap.len() == self.rows_max && self.more;
        let worst = self.heap.peek().filter(|_| full).map(|(worst, _)| worst.0);
        let bound = self.bound.into_iter().chain(worst).min();
        Self { heap: BinaryHeap::new(), more: false, bound, ..*self }
    }

    /// Takes over what a fork has taken.
    pub fn absorb(&mut self, fork: Self) {
        self.more |= fork.more;
        fork.heap.into_iter().for_each(|(rank, at)| self.keep(rank, at));
    }

    /// Takes no more rows behind the worst of these, all of which match: see [`Self::best_of`].
    pub fn bound_by(&mut self, rows: &[(i64, u32)]) {
        let ranks = rows.iter().filter(|row| !self.is_at_cursor(row.0)).map(|row| self.rank_of_start(row.0));
        if ranks.clone().count() > self.rows_max {
            self.bound = self.bound.into_iter().chain(ranks.max()).min();
        }
    }

    fn rank(&self, place: Place) -> Rank {
        let (start, id) = (i128::from(place.0), place.1.0);
        match self.direction {
            Direction::OldestFirst => (start, id),
            Direction::NewestFirst => (-start, !id),
        }
    }

    /// Whether a row that starts at `start_ns` could still be taken: cheaper than its identity.
    pub fn wants_start(&self, start_ns: i64) -> bool {
        let start = self.rank_of_start(start_ns);
        self.after.is_none_or(|after| start >= self.rank(after).0) && self.wants_rank(start)
    }

    /// Whether anything that starts within this range could still be taken.
    pub fn wants_range(&self, start_ns: (i64, i64)) -> bool {
        self.wants_rank(self.rank_of_range(start_ns))
    }

    /// Ranges in this order come in the order of the answer, as far as ranges can.
    pub fn rank_of_range(&self, start_ns: (i64, i64)) -> i128 {
        match self.direction {
            Direction::OldestFirst => self.rank_of_start(start_ns.0),
            Direction::NewestFirst => self.rank_of_start(start_ns.1),
        }
    }

    /// Whether everything that starts within this range is on an earlier page.
    pub fn is_behind(&self, start_ns: (i64, i64)) -> bool {
        self.after.is_some_and(|after| match self.direction {
            Direction::OldestFirst => start_ns.1 < after.0,
            Direction::NewestFirst => start_ns.0 > after.0,
        })
    }

    /// Of rows that all match, those that could be in the answer by their start alone.
    pub fn best_of(&self, mut rows: Vec<(i64, u32)>) -> Vec<(i64, u32)> {
        // Those at the cursor's own start may lie before it, and do not count towards the limit.
        let mut starts: Vec<i128> = rows
            .iter()
            .filter(|row| !self.is_at_cursor(row.0))
            .map(|row| self.rank_of_start(row.0))
            .collect();
        if starts.len() > self.rows_max {
            // One more than fits, so that it is known that there is more.
            let (_, last, _) = starts.select_nth_unstable(self.rows_max);
            let last = *last;
            rows.retain(|row| self.is_at_cursor(row.0) || self.rank_of_start(row.0) <= last);
        }
        rows
    }

    fn is_at_cursor(&self, start_ns: i64) -> bool {
        self.after.is_some_and(|after| after.0 == start_ns)
    }

    fn rank_of_start(&self, start_ns: i64) -> i128 {
        match self.direction {
            Direction::OldestFirst => i128::from(start_ns),
            Direction::NewestFirst => -i128::from(start_ns),
        }
    }

    /// Once the answer is full and there is known to be more, only what is better than its worst matters.
    fn wants_rank(&self, start: i128) -> bool {
        let full = self.heap.len() == self.rows_max && self.more;
        let within = self.bound.is_none_or(|bound| start <= bound);
        within && (!full || self.heap.peek().is_none_or(|(worst, _)| start <= worst.0))
    }

    /// Takes a row where it belongs to the answer.
    pub fn offer(&mut self, place: Place, at: At) {
        let rank = self.rank(place);
        if self.after.is_some_and(|after| rank <= self.rank(after)) {
            return;
        }
        self.keep(rank, at);
    }

    fn keep(&mut self, rank: Rank, at: At) {
        if self.heap.len() < self.rows_max {
            self.heap.push((rank, at));
            return;
        }
        self.more = true;
        if let Some(mut worst) = self.heap.peek_mut()
            && rank < worst.0
        {
            *worst = (rank, at);
        }
    }

    /// The rows in order, and whether there are more behind them.
    pub fn finish(self) -> (Vec<At>, bool) {
        (self.heap.into_sorted_vec().into_iter().map(|(_, at)| at).collect(), self.more)
    }
}
