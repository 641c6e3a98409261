//! `x-death`: what RabbitMQ writes into a message that it dead-letters.

use crate::carrier::{integer, text};
use hopscope_sdk::{CopiedFrom, CopyKind};
use lapin::types::{AMQPValue, FieldTable};

/// Most entries of `x-death` that are looked at: one for each queue and reason on the message's way.
const DEATHS_MAX: usize = 64;

/// The entry of `x-death` that says where this copy came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Death<'a> {
    pub queue: &'a str,
    pub exchange: &'a str,
    pub reason: &'a str,
    /// How often the message was dead-lettered from that queue for that reason.
    pub count: Option<u32>,
    /// True where it was dead-lettered from the queue that it is in now: it has been round a retry loop.
    pub is_loop: bool,
}

/// The death that made the copy found in `queue`. RabbitMQ puts the newest first. In a retry loop (work queue →
/// waiting queue with a time to live → work queue) the one that matters is the work queue's own, not the waiting
/// queue's expiry.
pub(crate) fn death<'a>(headers: Option<&'a FieldTable>, queue: &str) -> Option<Death<'a>> {
    let AMQPValue::FieldArray(entries) = headers?.inner().get("x-death")? else { return None };
    let mut deaths = entries.as_slice().iter().take(DEATHS_MAX).filter_map(entry);
    let newest = deaths.next()?;
    let own = std::iter::once(newest).chain(deaths).find(|death| death.queue == queue);
    Some(own.map_or(newest, |own| Death { is_loop: true, ..own }))
}

fn entry(value: &AMQPValue) -> Option<Death<'_>> {
    let AMQPValue::FieldTable(table) = value else { return None };
    let of = |name: &str| table.inner().get(name);
    let word = |name| of(name).and_then(text).unwrap_or_default();
    Some(Death {
        queue: of("queue").and_then(text)?,
        exchange: word("exchange"),
        reason: word("reason"),
        count: of("count").and_then(integer).and_then(|count| u32::try_from(count).ok()),
        is_loop: false,
    })
}

impl<'a> Death<'a> {
    /// As the original of a copy. A dead letter's `count` is not its number of attempts (a message may have been
    /// requeued before), so attempts are told only of a retry loop, where each round is one.
    pub fn copied_from(&self, message_id: &'a str) -> CopiedFrom<'a> {
        CopiedFrom {
            kind: if self.is_loop { CopyKind::Retry } else { CopyKind::DeadLetter },
            destination: if self.exchange.is_empty() { "amq.default" } else { self.exchange },
            lane: "",
            position: None,
            message_id,
            group: self.queue,
            attempts: self.count.filter(|_| self.is_loop),
            reason: self.reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::types::FieldArray;

    fn died(queue: &str, reason: &str, exchange: &str, count: i64) -> AMQPValue {
        let mut table = FieldTable::default();
        table.insert("queue".into(), AMQPValue::LongString(queue.into()));
        table.insert("reason".into(), AMQPValue::LongString(reason.into()));
        table.insert("exchange".into(), AMQPValue::LongString(exchange.into()));
        table.insert("count".into(), AMQPValue::LongLongInt(count));
        AMQPValue::FieldTable(table)
    }

    fn headers(deaths: Vec<AMQPValue>) -> FieldTable {
        let mut headers = FieldTable::default();
        headers.insert("x-death".into(), AMQPValue::FieldArray(FieldArray::from(deaths)));
        headers
    }

    #[test]
    fn the_newest_death_made_a_dead_letter() {
        let headers = headers(vec![died("work", "rejected", "ex", 1), died("earlier", "expired", "", 1)]);
        let death = death(Some(&headers), "work.dead").expect("x-death");
        assert_eq!((death.queue, death.reason, death.is_loop), ("work", "rejected", false));
        let from = death.copied_from("m1");
        assert_eq!((from.kind, from.destination, from.attempts), (CopyKind::DeadLetter, "ex", None));
    }

    #[test]
    fn in_a_retry_loop_the_queues_own_death_counts_the_rounds() {
        let headers = headers(vec![died("wait", "expired", "retry", 2), died("work", "rejected", "", 2)]);
        let from = death(Some(&headers), "work").expect("x-death").copied_from("");
        assert_eq!((from.kind, from.destination, from.group), (CopyKind::Retry, "amq.default", "work"));
        assert_eq!((from.attempts, from.reason), (Some(2), "rejected"));
    }

    #[test]
    fn foreign_shapes_are_no_death() {
        let text = AMQPValue::LongString("rejected".into());
        let mut flat = FieldTable::default();
        flat.insert("x-death".into(), text.clone());
        for headers in
            [None, Some(&flat), Some(&headers(vec![])), Some(&headers(vec![text, AMQPValue::Void]))]
        {
            assert_eq!(death(headers, "work"), None);
        }
    }
}
