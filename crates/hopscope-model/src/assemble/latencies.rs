//! The latencies: each between two named points, each by named clocks, none invented.

use super::Story;
use crate::{Latency, MessageEvent, Outcome, Point, Send};

/// Store times in whole milliseconds are cut, not rounded.
const MILLISECOND_NS: i64 = 1_000_000;

/// The sends of a message, each with its way to the broker and back.
pub(super) fn sends(story: &Story<'_, '_>) -> Vec<Send> {
    let send = |(at, event): (usize, &MessageEvent)| Send {
        event: at,
        produce: event.end_ns().map(|end| own_clock(event.start_ns, Point::SendStart, end, Point::SendEnd)),
        outcome: event.outcome.clone(),
    };
    story.sends().map(send).collect()
}

/// Between two instants of one clock.
pub(super) fn own_clock(from_ns: i64, from: Point, to_ns: i64, to: Point) -> Latency {
    Latency { ns: to_ns.saturating_sub(from_ns), from, to, across_clocks: false, uncertainty_ns: None }
}

/// When a message can be taken to have been stored, and how sure that is.
#[derive(Clone, Copy)]
pub(super) struct Stored<'e> {
    at_ns: i64,
    point: Point,
    uncertainty_ns: Option<u64>,
    /// Whose clock, where it is not the broker's.
    sender: Option<&'e MessageEvent>,
}

/// The broker's own store time, else the acknowledgement that reached the sender. A failed send stored nothing
/// that is known.
pub(super) fn stored<'e>(story: &Story<'_, 'e>) -> Option<Stored<'e>> {
    let by_broker = story.events().find_map(|(_, event)| event.broker_ns);
    if let Some(at_ns) = by_broker {
        let whole = at_ns.rem_euclid(MILLISECOND_NS) == 0;
        let uncertainty_ns = whole.then_some(MILLISECOND_NS as u64);
        return Some(Stored { at_ns, point: Point::Stored, uncertainty_ns, sender: None });
    }
    let send = story.send().filter(|send| !matches!(send.outcome, Outcome::Failed { .. }))?;
    Some(Stored {
        at_ns: send.end_ns()?,
        point: Point::SendEnd,
        uncertainty_ns: send.duration_ns,
        sender: Some(send),
    })
}

impl Stored<'_> {
    /// From there to that point of a consumer.
    pub fn until(&self, at_ns: i64, point: Point, consumer: &MessageEvent) -> Latency {
        Latency {
            ns: at_ns.saturating_sub(self.at_ns),
            from: self.point,
            to: point,
            across_clocks: self.sender.is_none_or(|sender| !same_clock(sender, consumer)),
            uncertainty_ns: self.uncertainty_ns,
        }
    }
}

/// One instance has one clock. Without an instance the service does not say: two of its processes may run on
/// two machines.
pub(super) fn same_clock(a: &MessageEvent, b: &MessageEvent) -> bool {
    !a.instance.is_empty() && a.service == b.service && a.instance == b.instance
}

/// When a consumer had the message: a receive span covers the waiting for it, its end is the hand-over.
pub(super) fn received_ns(receive: &MessageEvent) -> i64 {
    receive.end_ns().unwrap_or(receive.start_ns)
}

/// Received to handler. Receive and process of one attempt are of one process, unless they say otherwise.
pub(super) fn wait(receive: &MessageEvent, process: &MessageEvent) -> Latency {
    let across =
        !receive.instance.is_empty() && !process.instance.is_empty() && !same_clock(receive, process);
    Latency {
        across_clocks: across,
        ..own_clock(received_ns(receive), Point::Received, process.start_ns, Point::ProcessStart)
    }
}

/// Handler to declared outcome.
pub(super) fn process(process: &MessageEvent) -> Option<Latency> {
    process.end_ns().map(|end| own_clock(process.start_ns, Point::ProcessStart, end, Point::ProcessEnd))
}

/// Declared to confirmed. A handler that settles before it returns has declared its outcome by that.
pub(super) fn settle(process: &MessageEvent, settle: &MessageEvent) -> Option<Latency> {
    let declared = process.end_ns()?.min(settle.start_ns);
    let across = !process.instance.is_empty() && !settle.instance.is_empty() && !same_clock(process, settle);
    let from = if across { process.end_ns()? } else { declared };
    let latency = own_clock(from, Point::ProcessEnd, settle.end_ns()?, Point::Settled);
    Some(Latency { across_clocks: across, ..latency })
}
