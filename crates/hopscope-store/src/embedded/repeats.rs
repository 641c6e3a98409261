//! Repeats of an event that lie far apart: found when an answer is made.
//!
//! Settling asks only the segments that have events of about the same time, or its cost would grow with all
//! that is stored. The same identity told with a time that is more than [`SAME_TIME_NS`] away is stored again;
//! of an answer's few events it is then looked up whether they are the first, in the segments that were not
//! asked before. Merging drops repeats for good.

use super::collect::At;
use super::fingerprint::{Kind, of_identity};
use super::folder::Folder;
use super::manifest::SegmentEntry;
use super::read::{Cancel, Read, Source};
use super::segment::{Failed, IDENTITY, Segment, day_of, merged};
use crate::{Error, Found, Page};
use hopscope_model::{EventId, Evidence, Key, Limits, MessageEvent, Query};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// How far apart two times of one event may be for the second to be found before it is sealed.
const SAME_TIME_NS: i64 = 3_600_000_000_000;

/// Whether settling asks that segment for an event that starts then.
pub(super) fn is_near(entry: &SegmentEntry, start_ns: i64) -> bool {
    let (first, last) = entry.start_ns;
    let near = first.saturating_sub(SAME_TIME_NS)..=last.saturating_add(SAME_TIME_NS);
    entry.rows > 0 && near.contains(&start_ns)
}

impl Folder {
    /// See [`Store::events`](crate::Store::events).
    pub fn events(
        &self,
        keys: &[Key],
        limits: &Limits,
        after: Option<&str>,
        cancel: &Cancel,
    ) -> Result<Evidence, Error> {
        let mut page = self.page_of_events(keys, limits, after, cancel)?;
        while let (true, Some(next)) = (page.events.is_empty(), &page.next) {
            let rest = self.page_of_events(keys, limits, Some(next), cancel)?;
            page = Evidence { progress: page.progress, ..rest };
        }
        Ok(page)
    }

    /// See [`Store::search`](crate::Store::search).
    pub fn search(&self, query: &Query, page: &Page, cancel: &Cancel) -> Result<Found, Error> {
        let mut found = self.page_of_search(query, page, cancel)?;
        while let (true, Some(_)) = (found.events.is_empty(), &found.next) {
            let page = Page { after: found.next, ..page.clone() };
            found = self.page_of_search(query, &page, cancel)?;
        }
        Ok(found)
    }
}

/// An event of an answer.
struct Shown {
    id: EventId,
    fingerprint: u64,
    start_ns: i64,
    source: u32,
    since: Since,
}

/// When a row became durable: its day of receipt, its log, and its receipt. Of two rows the lesser is the first.
type Since = (i32, u64, i64);

impl Read<'_> {
    /// Leaves out the events that are stored a first time elsewhere.
    pub(super) fn without_repeats(
        &mut self,
        events: Vec<(At, MessageEvent)>,
    ) -> Result<Vec<MessageEvent>, Error> {
        let shown: Vec<Shown> = events.iter().map(|(at, event)| self.shown(*at, event)).collect();
        let mut by_id: HashMap<EventId, Vec<usize>> = HashMap::new();
        for (number, event) in shown.iter().enumerate() {
            by_id.entry(event.id).or_default().push(number);
        }
        let mut repeats: HashSet<usize> = HashSet::new();
        for source in 0..self.sources.len() {
            let Source::Segment(segment) = &self.sources[source] else { continue };
            let segment = Arc::clone(segment);
            let earlier = self.earlier_copies(source as u32, &segment, &shown, &by_id);
            repeats.extend(self.or_damage(&segment, earlier)?.into_iter().flatten());
        }
        let first = events.into_iter().enumerate().filter(|(number, _)| !repeats.contains(number));
        Ok(first.map(|(_, (_, event))| event).collect())
    }

    fn shown(&self, at: At, event: &MessageEvent) -> Shown {
        let log = match &self.sources[at.source as usize] {
            Source::Table(table, _) => table.log,
            Source::Segment(segment) => segment.entry.log,
        };
        let id = event.id();
        let fingerprint = of_identity(event.span, id);
        let since = (day_of(event.received_ns), log, event.received_ns);
        Shown { id, fingerprint, start_ns: event.start_ns, source: at.source, since }
    }

    /// Those of the shown events that a segment has a copy of that became durable before.
    fn earlier_copies(
        &self,
        source: u32,
        segment: &Segment,
        shown: &[Shown],
        by_id: &HashMap<EventId, Vec<usize>>,
    ) -> Result<Vec<usize>, Failed> {
        let entry = &segment.entry;
        let unasked = |event: &&Shown| {
            event.source != source
                && entry.rows > 0
                && day_of(entry.received_ns.0) <= event.since.0
                && !is_near(entry, event.start_ns)
        };
        let mut fingerprints: Vec<u64> =
            shown.iter().filter(unasked).map(|event| event.fingerprint).collect();
        fingerprints.sort_unstable();
        fingerprints.dedup();
        let ranges = merged(segment.keys().rows_under(Kind::Span, &fingerprints)?);
        let mut earlier = Vec::new();
        segment.read(&ranges, Some(&[IDENTITY, &["received_ns"]]), &self.cancel, |rows| {
            for copy in rows.batch.events() {
                let received_ns = rows.received_ns(copy.index());
                let since = (day_of(received_ns), entry.log, received_ns);
                let numbers = by_id.get(&copy.id()).into_iter().flatten().copied();
                earlier.extend(numbers.filter(|number| {
                    let event = &shown[*number];
                    event.source != source && since < event.since
                }));
            }
            Ok(())
        })?;
        Ok(earlier)
    }
}
