//! The latencies: named end points, clocks, and no invented numbers.

use super::build::{Build, MS, T0, ctx, evidence, process, receive, send, settle};
use super::{gaps, story};
use crate::{Attempt, Disposition, Evidence, Latency, Point};

const M: &str = "kafka:orders/0/15";

fn sent() -> Build {
    send(1, 1).orders(15).ms(0, 4)
}

fn received(ms: i64, length: u64) -> Build {
    receive(1, 2).made_by(ctx(1, 1)).orders(15).group("payment").ms(ms, length)
}

fn handled(ms: i64, length: u64) -> Build {
    process(1, 3).made_by(ctx(1, 1)).orders(15).group("payment").ms(ms, length)
}

fn attempt(evidence: &Evidence) -> Attempt {
    story(M, evidence).groups[0].attempts[0].clone()
}

fn across(ns: i64, from: Point, to: Point, uncertainty_ns: Option<u64>) -> Option<Latency> {
    Some(Latency { ns, from, to, across_clocks: true, uncertainty_ns })
}

fn own(ns: i64, from: Point, to: Point) -> Option<Latency> {
    Some(Latency { ns, from, to, across_clocks: false, uncertainty_ns: None })
}

#[test]
fn all_five_between_their_points() {
    let settled = settle(1, 4).under(3).to("kafka", "orders").ms(31, 2);
    let evidence = evidence([sent(), received(5, 15), handled(22, 8), settled]);
    let story = story(M, &evidence);
    assert_eq!(story.sends[0].produce, own(4 * MS, Point::SendStart, Point::SendEnd));
    let attempt = attempt(&evidence);
    // The receive span covers the waiting: what counts is its end.
    assert_eq!(attempt.queue, across(16 * MS, Point::SendEnd, Point::Received, Some(4 * MS as u64)));
    assert_eq!(attempt.wait, own(2 * MS, Point::Received, Point::ProcessStart));
    assert_eq!(attempt.process, own(8 * MS, Point::ProcessStart, Point::ProcessEnd));
    assert_eq!(attempt.settle, own(3 * MS, Point::ProcessEnd, Point::Settled));
    assert_eq!((attempt.start_ns, attempt.end_ns), (T0 + 20 * MS, Some(T0 + 33 * MS)));
    assert_eq!(story.groups[0].total, across(33 * MS, Point::SendStart, Point::Settled, None));
}

#[test]
fn the_broker_s_store_time_is_preferred_and_whole_milliseconds_are_uncertain() {
    let evidence = evidence([sent(), received(5, 0).stored(T0 + 2 * MS), handled(6, 1)]);
    assert_eq!(attempt(&evidence).queue, across(3 * MS, Point::Stored, Point::Received, Some(MS as u64)));
    let exact = super::build::evidence([sent(), received(5, 0).stored(T0 + 2 * MS + 1), handled(6, 1)]);
    assert_eq!(attempt(&exact).queue, across(3 * MS - 1, Point::Stored, Point::Received, None));
}

#[test]
fn without_a_receive_the_wait_is_unknown_and_the_queue_ends_at_the_handler() {
    let attempt = attempt(&evidence([sent(), handled(9, 1)]));
    assert_eq!(attempt.wait, None);
    assert_eq!(attempt.queue, across(5 * MS, Point::SendEnd, Point::ProcessStart, Some(4 * MS as u64)));
}

#[test]
fn one_instance_has_one_clock() {
    let own_clock = evidence([sent().by("payment", "p1"), received(5, 0)]);
    assert!(!attempt(&own_clock).queue.expect("known").across_clocks);
    // Two instances of one service may run on two machines.
    let other = evidence([sent().by("payment", "p2"), received(5, 0)]);
    assert!(attempt(&other).queue.expect("known").across_clocks);
    let unnamed = evidence([sent().by("payment", ""), received(5, 0).by("payment", "")]);
    assert!(attempt(&unnamed).queue.expect("known").across_clocks);
}

#[test]
fn a_failed_send_stored_nothing_that_is_known() {
    assert_eq!(attempt(&evidence([sent().failed("timeout"), received(5, 0)])).queue, None);
}

#[test]
fn later_attempts_have_no_known_queue_time() {
    let first = handled(9, 1).failed("boom").asked(Disposition::Retry).attempt(1);
    let second = process(1, 5).made_by(ctx(1, 1)).orders(15).group("payment").ms(900, 1).attempt(2);
    let story = story(M, &evidence([sent(), first, second.clone()]));
    let queues: Vec<bool> = story.groups[0].attempts.iter().map(|attempt| attempt.queue.is_some()).collect();
    assert_eq!(queues, [true, false]);
    // Also where the first delivery was not seen.
    assert_eq!(attempt(&evidence([sent(), second])).queue, None);
}

#[test]
fn negative_latency_across_clocks_is_a_skew_gap() {
    let evidence = evidence([sent(), received(-20, 0), handled(-19, 1)]);
    assert_eq!(attempt(&evidence).queue.map(|queue| queue.ns), Some(-24 * MS), "told as it was measured");
    assert_eq!(
        gaps(M, &evidence),
        [
            "clock_skew: by its clock payment had it 24 ms before the point \"send_end\": two clocks differ by at least that"
        ]
    );
}

#[test]
fn a_negative_latency_within_its_uncertainty_is_none() {
    // Received before the acknowledgement reached the sender: that is how brokers work.
    assert!(gaps(M, &evidence([sent(), received(3, 0), handled(4, 1)])).is_empty());
}

#[test]
fn a_handler_that_settles_before_it_returns_has_declared_its_outcome_by_that() {
    let inside = settle(1, 4).under(3).to("kafka", "orders").ms(25, 2);
    assert_eq!(
        attempt(&evidence([sent(), handled(22, 8), inside])).settle,
        own(2 * MS, Point::ProcessEnd, Point::Settled)
    );
}

#[test]
fn without_a_send_the_total_is_unknown() {
    let story = story(M, &evidence([received(5, 0), handled(6, 1)]));
    assert_eq!(story.groups[0].total, None);
    assert!(story.sends.is_empty());
}

#[test]
fn deliveries_to_several_instances_are_put_together_by_their_spans() {
    let receive = |span: u8, ms: i64, instance: &str| {
        receive(1, span).made_by(ctx(1, 1)).orders(15).group("payment").ms(ms, 0).by("payment", instance)
    };
    let handle = |span: u8, under: u8, ms: i64, instance: &str| {
        process(1, span)
            .made_by(ctx(1, 1))
            .orders(15)
            .group("payment")
            .under(under)
            .ms(ms, 100)
            .by("payment", instance)
    };
    // A rebalance: both have it, and the second begins before the first.
    let evidence = evidence([
        sent(),
        receive(10, 5, "p1"),
        receive(20, 6, "p2"),
        handle(11, 10, 30, "p1"),
        handle(21, 20, 20, "p2"),
    ]);
    let attempts = story(M, &evidence).groups[0].attempts.clone();
    let told: Vec<_> = attempts
        .iter()
        .map(|attempt| (attempt.number, attempt.instance.as_str(), attempt.wait.map(|wait| wait.ns / MS)))
        .collect();
    assert_eq!(told, [(1, "p1", Some(25)), (2, "p2", Some(14))]);
}
