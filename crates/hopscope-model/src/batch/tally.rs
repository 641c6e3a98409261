//! The tallies of a batch: rows by name, and the buckets of those that are histograms.

use super::{Batch, BatchBuilder, OutcomeCode, UNKNOWN};
use crate::tally::{Measure, SeriesId, Spread, Tally, Temporality};
use crate::{Outcome, Stage, Text};

/// [`Tally`] by the names of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct TallyRow {
    pub measure: Measure,
    pub metric: Text,
    pub detail: Text,
    pub system: Text,
    pub cluster: Text,
    /// `host:port` of the broker: what a cluster's alias is found by.
    pub server: Text,
    pub destination: Text,
    pub lane: Text,
    pub group: Text,
    pub service: Text,
    pub instance: Text,
    pub stage: Stage,
    pub outcome: OutcomeCode,
    pub reason: Text,
    pub series: SeriesId,
    pub temporality: Temporality,
    pub start_ns: i64,
    pub at_ns: i64,
    pub count: u64,
    /// Whether it is a histogram.
    pub spreads: bool,
    /// Sum of a histogram's values, or [`UNKNOWN`].
    pub sum: i64,
    pub over: u64,
    pub over_from: i64,
}

impl TallyRow {
    /// What makes two samples the same one: series, start, time; and the count, for a sender that corrects
    /// itself is heard.
    pub fn identity(&self) -> (SeriesId, i64, i64, u64) {
        (self.series, self.start_ns, self.at_ns, self.count)
    }

    /// The same row by the names of another batch.
    pub fn renamed(mut self, mut name: impl FnMut(Text) -> Text) -> Self {
        self.each_text(|text| *text = name(*text));
        self
    }

    pub(super) fn each_text(&mut self, mut each: impl FnMut(&mut Text)) {
        let names = [&mut self.metric, &mut self.detail, &mut self.system, &mut self.cluster];
        names.into_iter().for_each(&mut each);
        let names = [&mut self.server, &mut self.destination, &mut self.lane, &mut self.group];
        names.into_iter().for_each(&mut each);
        [&mut self.service, &mut self.instance, &mut self.reason].into_iter().for_each(&mut each);
    }
}

impl Batch {
    /// The tallies in order, by name.
    pub fn tallies(&self) -> &[TallyRow] {
        &self.tallies
    }

    /// Buckets of that tally's histogram, as in [`Spread::buckets`].
    pub fn tally_buckets(&self, index: usize) -> &[(i64, u64)] {
        self.buckets.get(index)
    }

    /// How the values of that tally spread; `None` where it is no histogram.
    pub fn tally_spread(&self, index: usize) -> Option<Spread> {
        let row = self.tallies.get(index).filter(|row| row.spreads)?;
        Some(Spread {
            sum: u64::try_from(row.sum).ok(),
            buckets: self.tally_buckets(index).to_vec(),
            over: row.over,
            over_from: row.over_from,
        })
    }

    /// The tallies in order, owned.
    pub fn tallies_owned(&self) -> impl ExactSizeIterator<Item = Tally> {
        (0..self.tallies.len()).map(|index| self.tally_owned(index))
    }

    /// One tally, owned; panics past the end, as a slice does.
    pub fn tally_owned(&self, index: usize) -> Tally {
        let row = &self.tallies[index];
        let text = |text| self.texts.get(text).to_owned();
        Tally {
            measure: row.measure,
            metric: text(row.metric),
            detail: text(row.detail),
            system: text(row.system),
            cluster: text(row.cluster),
            destination: text(row.destination),
            lane: text(row.lane),
            group: text(row.group),
            service: text(row.service),
            instance: text(row.instance),
            stage: row.stage,
            outcome: match row.outcome {
                OutcomeCode::Unknown => Outcome::Unknown,
                OutcomeCode::Ok => Outcome::Ok,
                OutcomeCode::Failed => Outcome::Failed { reason: text(row.reason) },
            },
            series: row.series,
            temporality: row.temporality,
            start_ns: row.start_ns,
            at_ns: row.at_ns,
            count: row.count,
            spread: self.tally_spread(index),
        }
    }

    /// Keeps the tallies whose bit is set. `mask` has one bit a tally.
    pub fn retain_tallies(&mut self, mask: &[bool]) {
        assert_eq!(mask.len(), self.tallies.len(), "one bit a tally");
        if mask.iter().all(|keep| *keep) {
            return;
        }
        super::lists::retain_masked(&mut self.tallies, mask);
        self.buckets.retain(mask);
    }
}

impl BatchBuilder {
    /// One tally. All texts must be this builder's.
    pub fn push_tally(&mut self, row: TallyRow, buckets: &[(i64, u64)]) {
        self.batch.tallies.push(row);
        self.batch.buckets.push(buckets);
    }

    /// One owned tally.
    pub fn push_tally_owned(&mut self, tally: &Tally) {
        let (outcome, reason) = match &tally.outcome {
            Outcome::Unknown => (OutcomeCode::Unknown, Text::NONE),
            Outcome::Ok => (OutcomeCode::Ok, Text::NONE),
            Outcome::Failed { reason } => (OutcomeCode::Failed, self.intern(reason)),
        };
        let spread = tally.spread.clone().unwrap_or_default();
        let row = TallyRow {
            measure: tally.measure,
            metric: self.intern(&tally.metric),
            detail: self.intern(&tally.detail),
            system: self.intern(&tally.system),
            cluster: self.intern(&tally.cluster),
            server: Text::NONE,
            destination: self.intern(&tally.destination),
            lane: self.intern(&tally.lane),
            group: self.intern(&tally.group),
            service: self.intern(&tally.service),
            instance: self.intern(&tally.instance),
            stage: tally.stage,
            outcome,
            reason,
            series: tally.series,
            temporality: tally.temporality,
            start_ns: tally.start_ns,
            at_ns: tally.at_ns,
            count: tally.count,
            spreads: tally.spread.is_some(),
            sum: spread.sum.map_or(UNKNOWN, |sum| i64::try_from(sum).unwrap_or(i64::MAX)),
            over: spread.over,
            over_from: spread.over_from,
        };
        self.push_tally(row, &spread.buckets);
    }

    /// Tallies so far.
    pub fn tallies_len(&self) -> usize {
        self.batch.tallies.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Source, Tenant, TextColumn};

    fn tally(number: u64) -> Tally {
        let spread = Spread { sum: Some(7), buckets: vec![(5, number), (10, 1)], over: 2, over_from: 10 };
        Tally {
            measure: Measure::Duration,
            metric: "messaging.process.duration".into(),
            detail: "detail".into(),
            system: "kafka".into(),
            cluster: String::new(),
            destination: "orders".into(),
            lane: "1".into(),
            group: "payment".into(),
            service: "payment".into(),
            instance: format!("secret-{number}"),
            stage: Stage::Process,
            outcome: Outcome::Failed { reason: "timeout".into() },
            series: SeriesId(u128::from(number)),
            temporality: Temporality::Cumulative,
            start_ns: 1,
            at_ns: 2,
            count: 3,
            spread: (number != 2).then_some(spread),
        }
    }

    fn batch() -> Batch {
        let mut builder = BatchBuilder::new(Tenant::default(), Source::Otlp, 1);
        (1..=3).for_each(|number| builder.push_tally_owned(&tally(number)));
        builder.finish()
    }

    #[test]
    fn comes_back_owned_and_is_thinned() {
        let mut batch = batch();
        assert!(!batch.is_empty() && batch.events().next().is_none());
        assert_eq!(batch.tallies_owned().collect::<Vec<_>>(), [tally(1), tally(2), tally(3)]);
        batch.retain_tallies(&[false, true, true]);
        assert_eq!(batch.tallies_owned().collect::<Vec<_>>(), [tally(2), tally(3)]);
    }

    #[test]
    fn edits_of_strings_reach_tallies_and_leave_nothing_behind() {
        let mut batch = batch();
        batch.map_strings(TextColumn::Instance, |_| Some(String::new()));
        batch.map_strings(TextColumn::Reason, |reason| (reason == "timeout").then(|| "late".to_owned()));
        batch.map_strings(TextColumn::Destination, |name| Some(name.to_uppercase()));
        batch.fill_cluster(|system, _| Some(format!("{system}-main")));
        batch.forget_unused();
        let expected = Tally {
            instance: String::new(),
            outcome: Outcome::Failed { reason: "late".into() },
            destination: "ORDERS".into(),
            cluster: "kafka-main".into(),
            ..tally(1)
        };
        assert_eq!(batch.tally_owned(0), expected);
        assert!(!format!("{batch:?}").contains("secret"));
    }
}
