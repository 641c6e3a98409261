//! [`Tally`]: an exact count, never sampled, as a service's metrics report it. Sampling may thin events; it
//! never touches tallies, so a rate that is read from them is true.
//!
//! A tally is one *sample* of one *series*. What happened between two samples is their difference, taken when
//! it is read: so a sample that arrives twice, late or out of order changes nothing.

use crate::Stage;
use crate::event::{Outcome, vocabulary};

vocabulary! {
    /// What a tally counts.
    Measure {
        /// Messages.
        Messages = "messages",
        /// Operations, and how long they took.
        Duration = "duration",
        /// Deliveries, and how long the message lay in the queue before.
        Queue = "queue",
        /// Messages, and the number of the attempt that they were delivered with.
        Attempts = "attempts",
        /// Deliveries by what was found in their headers: [`Tally::detail`] says which.
        Context = "context",
        /// The state of the service's own SDK: [`Tally::metric`] and [`Tally::detail`] say of what.
        Sdk = "sdk",
    }
}

vocabulary! {
    /// How the samples of a series hang together.
    Temporality {
        /// Each counts from the series' start on; a new start is a reset.
        Cumulative = "cumulative",
        /// Each counts from the one before.
        Delta = "delta",
        /// Each is a level (bytes in a queue), which is never summed up over time.
        Level = "level",
    }
}

/// Names one series of one process: a hash of resource, scope, metric and the attributes of its points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct SeriesId(pub u128);

/// One sample. Absent texts are empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// What is counted.
    pub measure: Measure,
    /// Name of the metric, as it was sent.
    pub metric: String,
    /// What of it, where the metric says more than the conventions have a name for.
    pub detail: String,
    /// `messaging.system`.
    pub system: String,
    /// Cluster.
    pub cluster: String,
    /// Destination.
    pub destination: String,
    /// Lane.
    pub lane: String,
    /// Group.
    pub group: String,
    /// Service.
    pub service: String,
    /// Service instance. Where it is absent, two processes of one service may have taken one series' name.
    pub instance: String,
    /// What was done with the messages.
    pub stage: Stage,
    /// How it ended: failed with `error.type`, unknown where the sender says so, else ok.
    pub outcome: Outcome,
    /// The series.
    pub series: SeriesId,
    /// How its samples hang together.
    pub temporality: Temporality,
    /// Since when it counts, ns since the epoch; 0 where the sender does not say.
    pub start_ns: i64,
    /// When the sample was taken, ns since the epoch.
    pub at_ns: i64,
    /// The count.
    pub count: u64,
    /// How the counted ones spread, where the metric is a histogram.
    pub spread: Option<Spread>,
}

/// How values spread over buckets: ns for times, else the metric's own unit. Only buckets that hold something
/// are listed, so that histograms of different layouts can be put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// Sum of the values, where it is known.
    pub sum: Option<u64>,
    /// Upper bound (inclusive) and count, in order of the bound, none of them empty.
    pub buckets: Vec<(i64, u64)>,
    /// Values above the last bound of the layout.
    pub over: u64,
    /// That last bound; of no meaning while nothing is above it.
    pub over_from: i64,
}

/// What is known of a quantile: no value inside a bucket is made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantile {
    /// It is at most this.
    AtMost(i64),
    /// It is above this, the last bound of its histogram.
    MoreThan(i64),
}

impl Spread {
    /// Nothing counted yet, nothing unknown: what others are added to.
    pub fn empty() -> Self {
        Self { sum: Some(0), ..Self::default() }
    }

    /// Values that are in some bucket.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| *count).fold(self.over, u64::saturating_add)
    }

    /// Adds what another one counted.
    pub fn add(&mut self, other: &Self) {
        self.sum = self.sum.zip(other.sum).map(|(one, other)| one.saturating_add(other));
        if other.over > 0 {
            // Of two layouts the lower bound is true of both.
            self.over_from =
                if self.over > 0 { self.over_from.min(other.over_from) } else { other.over_from };
            self.over = self.over.saturating_add(other.over);
        }
        for &(bound, count) in &other.buckets {
            match self.buckets.binary_search_by_key(&bound, |(own, _)| *own) {
                Ok(place) => self.buckets[place].1 = self.buckets[place].1.saturating_add(count),
                Err(place) => self.buckets.insert(place, (bound, count)),
            }
        }
    }

    /// What was counted since an earlier sample of the same series and start.
    pub fn since(&self, earlier: &Self) -> Self {
        let bounds: std::collections::BTreeSet<i64> =
            self.buckets.iter().chain(&earlier.buckets).map(|(bound, _)| *bound).collect();
        let (mut own, mut before) = (self.buckets.iter().peekable(), earlier.buckets.iter().peekable());
        // An exponential histogram may have merged buckets in between: what the coarser layout no longer has
        // under a fine bound it has under the next one.
        let mut owed = 0;
        let mut buckets = Vec::new();
        for bound in bounds {
            let counted = own.next_if(|(at, _)| *at == bound).map_or(0, |(_, count)| *count);
            owed += before.next_if(|(at, _)| *at == bound).map_or(0, |(_, count)| *count);
            let paid = owed.min(counted);
            owed -= paid;
            if counted > paid {
                buckets.push((bound, counted - paid));
            }
        }
        let sum = self.sum.zip(earlier.sum).map(|(now, then)| now.saturating_sub(then));
        let over = self.over.saturating_sub(earlier.over.saturating_add(owed));
        Self { sum, buckets, over, over_from: self.over_from }
    }

    /// The bound under which `per_mille` of the values lie; `None` without values.
    pub fn quantile(&self, per_mille: u64) -> Option<Quantile> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = (u128::from(count) * u128::from(per_mille)).div_ceil(1_000).max(1);
        let mut below = 0u128;
        for &(bound, count) in &self.buckets {
            below += u128::from(count);
            if below >= rank {
                return Some(Quantile::AtMost(bound));
            }
        }
        Some(Quantile::MoreThan(self.over_from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(sum: u64, buckets: &[(i64, u64)], over: u64) -> Spread {
        Spread { sum: Some(sum), buckets: buckets.to_vec(), over, over_from: 100 }
    }

    #[test]
    fn added_over_different_layouts() {
        let mut all = Spread::empty();
        all.add(&spread(30, &[(5, 2), (10, 1)], 0));
        all.add(&Spread { over_from: 50, ..spread(900, &[(7, 4), (10, 1)], 3) });
        all.add(&spread(200, &[], 1));
        let expected = Spread { over_from: 50, ..spread(1_130, &[(5, 2), (7, 4), (10, 2)], 4) };
        assert_eq!((all.count(), &all), (12, &expected));
        all.add(&Spread { sum: None, ..Spread::empty() });
        assert_eq!(all.sum, None, "what one of them does not know is not known of all");
    }

    #[test]
    fn difference_of_two_samples() {
        let then = spread(10, &[(5, 2), (10, 1)], 1);
        let now = spread(70, &[(5, 2), (7, 1), (10, 4)], 2);
        assert_eq!(now.since(&then), spread(60, &[(7, 1), (10, 3)], 1));
        assert_eq!(now.since(&now), spread(0, &[], 0));
        assert_eq!(then.since(&now).count(), 0, "never negative");
    }

    #[test]
    fn an_exponential_histogram_that_got_coarser_counts_nothing_twice() {
        let fine = spread(10, &[(2, 3), (3, 4), (6, 1)], 0);
        let coarse = spread(16, &[(4, 9), (8, 1)], 0);
        assert_eq!(coarse.since(&fine), spread(6, &[(4, 2)], 0));
    }

    #[test]
    fn quantiles_are_bounds() {
        let values = spread(0, &[(5, 50), (10, 48)], 2);
        assert_eq!(values.quantile(500), Some(Quantile::AtMost(5)));
        assert_eq!(values.quantile(510), Some(Quantile::AtMost(10)));
        assert_eq!(values.quantile(990), Some(Quantile::MoreThan(100)));
        assert_eq!(values.quantile(0), Some(Quantile::AtMost(5)));
        assert_eq!(Spread::empty().quantile(500), None);
    }
}
