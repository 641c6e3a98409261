//! Which message a copy was made of: `x-death`, which RabbitMQ writes when it dead-letters, and what others write.

use crate::carrier::{ReadHeaders, integer, text};
use hopscope_sdk::CopyKind;
use hopscope_sdk::dead_letter::{self, Family, Original};
use lapin::types::{AMQPValue, FieldTable};

/// Most entries of `x-death` that are looked at: one for each queue and reason on the message's way.
const DEATHS_MAX: usize = 64;

/// What the headers of a message found in `queue` say of the message that it is a copy of, whoever wrote them.
///
/// Our copies lose `x-death`: what is there was written after them. On a message that came back to the queue that sent
/// it away, that is the way through the waiting queue. Spring's republished messages carry `x-death` along, so there
/// Spring's own headers are the newer ones.
pub(crate) fn original(headers: Option<&FieldTable>, queue: &str, message_id: &str) -> Option<Original> {
    let told = dead_letter::read(queue, &ReadHeaders(Some(headers?)));
    let death = death(headers, queue).map(|death| death.original(message_id));
    let Some(death) = death else {
        // RabbitMQ's few words, where the table was lost: a copy keeps its id.
        let of_broker = told.as_ref().is_some_and(|told| told.family == Family::RabbitMq);
        return match told {
            Some(told) if of_broker => Some(Original { message_id: message_id.to_owned(), ..told }),
            told => told,
        };
    };
    match told {
        Some(told) if told.family == Family::Hopscope => {
            let came_back = told.kind == CopyKind::Retry && told.group == queue;
            Some(if came_back { told } else { death })
        }
        Some(told) if told.family != Family::RabbitMq => Some(told),
        _ => Some(death),
    }
}

/// The entry of `x-death` that says where this copy came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Death<'a> {
    queue: &'a str,
    exchange: &'a str,
    reason: &'a str,
    /// How often the message was dead-lettered from that queue for that reason.
    count: Option<u32>,
    /// True where it was dead-lettered from the queue that it is in now: it has been round a retry loop.
    is_loop: bool,
    routing_key: &'a str,
}

/// The death that made the copy found in `queue`. RabbitMQ puts the newest first. In a retry loop (work queue →
/// waiting queue with a time to live → work queue) the one that matters is the work queue's own, not the waiting
/// queue's expiry.
fn death<'a>(headers: Option<&'a FieldTable>, queue: &str) -> Option<Death<'a>> {
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
    let first_key = match of("routing-keys") {
        Some(AMQPValue::FieldArray(keys)) => keys.as_slice().first().and_then(text),
        _ => None,
    };
    Some(Death {
        queue: of("queue").and_then(text)?,
        exchange: word("exchange"),
        reason: word("reason"),
        count: of("count").and_then(integer).and_then(|count| u32::try_from(count).ok()),
        is_loop: false,
        routing_key: first_key.unwrap_or_default(),
    })
}

impl Death<'_> {
    /// A dead letter's `count` is not its number of attempts (a message may have been requeued before), so attempts
    /// are told only of a retry loop, where each round is one.
    fn original(&self, message_id: &str) -> Original {
        Original {
            family: Family::RabbitMq,
            destination: if self.exchange.is_empty() { "amq.default" } else { self.exchange }.to_owned(),
            address: self.routing_key.to_owned(),
            message_id: message_id.to_owned(),
            group: self.queue.to_owned(),
            attempts: self.count.filter(|_| self.is_loop),
            reason: self.reason.to_owned(),
            ..Original::new(if self.is_loop { CopyKind::Retry } else { CopyKind::DeadLetter })
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
        let from = death.original("m1");
        assert_eq!((from.kind, from.destination.as_str(), from.attempts), (CopyKind::DeadLetter, "ex", None));
    }

    #[test]
    fn in_a_retry_loop_the_queues_own_death_counts_the_rounds() {
        let headers = headers(vec![died("wait", "expired", "retry", 2), died("work", "rejected", "", 2)]);
        let from = death(Some(&headers), "work").expect("x-death").original("");
        let told = (from.destination.as_str(), from.group.as_str(), from.reason.as_str());
        assert_eq!((from.kind, told), (CopyKind::Retry, ("amq.default", "work", "rejected")));
        assert_eq!(from.attempts, Some(2));
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

    fn with(mut headers: FieldTable, pairs: &[(&str, &str)]) -> FieldTable {
        for (name, value) in pairs {
            headers.insert((*name).into(), AMQPValue::LongString((*value).into()));
        }
        headers
    }

    /// Who wrote what, found in `work`: what counts is what was written last.
    #[test]
    fn the_newest_word_counts() {
        let expired = || headers(vec![died("work.retry.100", "expired", "", 1)]);
        let retried = [
            ("hopscope-retry-destination", "ex"),
            ("hopscope-retry-group", "work"),
            ("hopscope-retry-attempts", "2"),
        ];
        let dead = [("hopscope-dead-letter-destination", "ex"), ("hopscope-dead-letter-group", "earlier")];
        let spring = [("x-original-exchange", "spring")];
        let few = [("x-last-death-queue", "earlier"), ("x-last-death-exchange", "ex")];
        let plain = FieldTable::default;
        for (headers, family, kind, group) in [
            (with(expired(), &retried), Family::Hopscope, CopyKind::Retry, "work"),
            (with(plain(), &dead), Family::Hopscope, CopyKind::DeadLetter, "earlier"),
            (with(expired(), &dead), Family::RabbitMq, CopyKind::DeadLetter, "work.retry.100"),
            (with(expired(), &spring), Family::SpringAmqp, CopyKind::DeadLetter, ""),
            (with(plain(), &few), Family::RabbitMq, CopyKind::DeadLetter, "earlier"),
        ] {
            let found = original(Some(&headers), "work", "m1").expect("a copy");
            assert_eq!(
                (found.family, found.kind, found.group.as_str()),
                (family, kind, group),
                "{headers:?}"
            );
        }
        assert_eq!(original(Some(&with(plain(), &few)), "work", "m1").expect("a copy").message_id, "m1");
        assert_eq!(original(Some(&plain()), "work", "m1"), None);
    }
}
