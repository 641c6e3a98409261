//! The attempts of one group: one delivery each, and what came of it.

use super::latencies::{self, Stored};
use crate::{Attempt, Latency, MessageEvent, Outcome, Point, Stage};

/// An event with its index in the trajectory.
pub(super) type At<'e> = (usize, &'e MessageEvent);

/// The events of one delivery.
#[derive(Default)]
pub(super) struct Delivery<'e> {
    pub receive: Option<At<'e>>,
    pub process: Option<At<'e>>,
    pub settle: Option<At<'e>>,
    /// Further settle events: a second acknowledgement, a commit after it.
    pub more: Vec<At<'e>>,
}

impl<'e> Delivery<'e> {
    fn events(&self) -> impl Iterator<Item = At<'e>> {
        [self.receive, self.process, self.settle].into_iter().flatten().chain(self.more.iter().copied())
    }

    fn number(&self) -> Option<u32> {
        self.events().find_map(|(_, event)| event.attempt)
    }

    fn has_span(&self, event: &MessageEvent) -> bool {
        self.events()
            .any(|(_, own)| own.trace == event.trace && own.span == event.parent && !own.span.is_zero())
    }

    fn starts_ns(&self) -> i64 {
        self.events().map(|(_, event)| event.start_ns).min().unwrap_or_default()
    }

    /// True when its number, where both have one, is that of the event.
    fn same_number(&self, event: &MessageEvent) -> bool {
        self.number().zip(event.attempt).is_none_or(|(own, other)| own == other)
    }
}

/// The deliveries in the events of one group, in order of time: by the span above, else by the broker's
/// count, else by order.
pub(super) fn deliveries<'e>(events: &[At<'e>]) -> Vec<Delivery<'e>> {
    let mut deliveries: Vec<Delivery<'e>> = Vec::new();
    let of_stage = |stage: Stage| events.iter().copied().filter(move |(_, event)| event.stage == stage);
    for receive in of_stage(Stage::Receive) {
        deliveries.push(Delivery { receive: Some(receive), ..Delivery::default() });
    }
    for process in of_stage(Stage::Process) {
        match open(&mut deliveries, process.1, |delivery| delivery.process.is_none()) {
            Some(delivery) => delivery.process = Some(process),
            None => deliveries.push(Delivery { process: Some(process), ..Delivery::default() }),
        }
    }
    for settle in of_stage(Stage::Settle) {
        if let Some(delivery) = open(&mut deliveries, settle.1, |delivery| delivery.settle.is_none()) {
            delivery.settle = Some(settle);
        } else if let Some(delivery) = deliveries.iter_mut().find(|delivery| delivery.has_span(settle.1)) {
            delivery.more.push(settle);
        } else {
            deliveries.push(Delivery { settle: Some(settle), ..Delivery::default() });
        }
    }
    deliveries.sort_by_key(Delivery::starts_ns);
    deliveries
}

/// The delivery that an event continues, of those that have a place for it.
fn open<'d, 'e>(
    deliveries: &'d mut [Delivery<'e>],
    event: &MessageEvent,
    has_place: impl Fn(&Delivery<'e>) -> bool,
) -> Option<&'d mut Delivery<'e>> {
    let fits = |delivery: &Delivery<'e>| has_place(delivery) && delivery.same_number(event);
    let by_span = deliveries.iter().position(|delivery| fits(delivery) && delivery.has_span(event));
    let numbered = || {
        let exact = |delivery: &Delivery<'e>| event.attempt.is_some() && delivery.number() == event.attempt;
        deliveries.iter().position(|delivery| fits(delivery) && exact(delivery))
    };
    let latest = || {
        let before = |delivery: &Delivery<'e>| delivery.starts_ns() <= event.start_ns;
        deliveries.iter().rposition(|delivery| fits(delivery) && before(delivery))
    };
    let found = by_span.or_else(numbered).or_else(latest)?;
    deliveries.get_mut(found)
}

/// One delivery as an attempt. `number_before` is that of the attempt before it (0 for none); `stored` is
/// given for the delivery whose time in the queue is known: the first.
pub(super) fn attempt(delivery: &Delivery<'_>, number_before: u32, stored: Option<Stored<'_>>) -> Attempt {
    let event = |at: Option<At<'_>>| at.map(|(_, event)| event.clone());
    let (receive, process, settle) =
        (event(delivery.receive), event(delivery.process), event(delivery.settle));
    let begin = receive.as_ref().map(|receive| (latencies::received_ns(receive), Point::Received, receive));
    let begin =
        begin.or_else(|| process.as_ref().map(|process| (process.start_ns, Point::ProcessStart, process)));
    let queue: Option<Latency> =
        stored.zip(begin.as_ref()).map(|(stored, (at, point, of))| stored.until(*at, *point, of));
    let who = process.as_ref().or(receive.as_ref()).or(settle.as_ref());
    let ends = [process.as_ref(), settle.as_ref()].into_iter().flatten().filter_map(MessageEvent::end_ns);
    let mut events: Vec<usize> = delivery.events().map(|(at, _)| at).collect();
    events.sort_unstable();
    Attempt {
        number: delivery.number().filter(|number| *number > 0).unwrap_or(number_before.saturating_add(1)),
        events,
        of_copy: None,
        outcome: process.as_ref().map_or(Outcome::Unknown, |process| process.outcome.clone()),
        disposition: settle
            .as_ref()
            .and_then(|settle| settle.disposition)
            .or(process.as_ref().and_then(|process| process.disposition)),
        service: who.map(|event| event.service.clone()).unwrap_or_default(),
        instance: who.map(|event| event.instance.clone()).unwrap_or_default(),
        start_ns: begin.map_or_else(|| delivery.starts_ns(), |(at, ..)| at),
        end_ns: ends.max(),
        queue,
        wait: receive
            .as_ref()
            .zip(process.as_ref())
            .map(|(receive, process)| latencies::wait(receive, process)),
        process: process.as_ref().and_then(latencies::process),
        settle: process
            .as_ref()
            .zip(settle.as_ref())
            .and_then(|(process, settle)| latencies::settle(process, settle)),
    }
}
