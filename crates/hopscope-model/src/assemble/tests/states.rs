//! States per (message, group), each with its grade and its reason.

use super::build::{Build, MS, NOW, S, T0, ctx, evidence, floor, process, progress, receive, send, settle};
use super::{gaps, state, states, story};
use crate::{
    Disposition, Evidence, GROUP_FORGOTTEN_NS, GROUP_LIVENESS_NS, GapKind, Grade, Progress, ProgressKind,
    State, Value, assemble,
};

const M: &str = "kafka:orders/0/15";

fn with(events: impl IntoIterator<Item = Build>, progress: impl IntoIterator<Item = Progress>) -> Evidence {
    Evidence { progress: progress.into_iter().collect(), ..evidence(events) }
}

fn sent() -> Build {
    send(1, 1).orders(15).ms(0, 2)
}

fn handled() -> Build {
    process(1, 2).made_by(ctx(1, 1)).orders(15).group("payment").ms(10, 5)
}

#[test]
fn a_group_that_is_behind_has_not_consumed_it_yet_and_the_reason_is_in_words() {
    let evidence = with([sent()], [floor("analytics", 12, 30_000)]);
    assert_eq!(
        states(M, &evidence),
        ["analytics not_consumed_yet observed: analytics is at 12 of orders/0, this message is at 15"]
    );
    assert!(gaps(M, &evidence).is_empty(), "that no receiver was seen is explained");
}

#[test]
fn the_next_position_to_read_is_not_yet_consumed() {
    assert_eq!(state(M, &with([sent()], [floor("analytics", 15, 30_000)])), State::NotConsumedYet);
    assert_ne!(state(M, &with([sent()], [floor("analytics", 16, 30_000)])), State::NotConsumedYet);
}

#[test]
fn only_a_floor_makes_not_consumed() {
    let settled = |position: i64| progress("analytics", ProgressKind::Settled { position }, 30_000);
    let seen = progress("analytics", ProgressKind::Seen, 30_000);
    assert_eq!(
        states(M, &with([sent()], [settled(12), seen])),
        ["analytics unknown inferred: there is no evidence"]
    );
}

#[test]
fn a_floor_of_another_lane_says_nothing() {
    let mut other = floor("analytics", 12, 30_000);
    other.lane = "1".into();
    assert_eq!(state(M, &with([sent()], [other.clone()])), State::Unknown);
    other.lane = "0".into();
    other.destination = "refunds".into();
    assert_eq!(
        state(M, &with([sent()], [other])),
        State::Stored,
        "a group of another topic is no group of this"
    );
}

#[test]
fn a_floor_of_another_cluster_says_nothing() {
    let mut west = floor("analytics", 12, 30_000);
    west.cluster = "west".into();
    assert_eq!(state("kafka@east:orders/0/15", &with([sent().cluster("east")], [west])), State::Stored);
}

#[test]
fn the_newest_floor_counts_because_rewinds_exist() {
    let evidence = with([sent()], [floor("analytics", 40, 10_000), floor("analytics", 3, 30_000)]);
    assert_eq!(
        states(M, &evidence),
        ["analytics not_consumed_yet observed: analytics is at 3 of orders/0, this message is at 15"]
    );
}

#[test]
fn a_floor_from_before_the_message_was_sent_is_of_an_earlier_topic() {
    let evidence = with([sent()], [floor("analytics", 40, -1_000)]);
    assert_eq!(states(M, &evidence), ["analytics unknown inferred: there is no evidence"]);
    let since = with([sent()], [floor("analytics", 40, -1_000), floor("analytics", 2, 30_000)]);
    assert_eq!(state(M, &since), State::NotConsumedYet);
    // A floor that had not come so far says the same before and after.
    assert_eq!(state(M, &with([sent()], [floor("analytics", 12, -1_000)])), State::NotConsumedYet);
}

#[test]
fn where_a_broker_has_no_positions_the_state_is_unknown_and_never_guessed() {
    let mut other = floor("fulfilment", 12, 30_000);
    (other.system, other.destination, other.lane) = ("rabbitmq".into(), "payments".into(), String::new());
    let evidence = with([send(1, 1).to("rabbitmq", "payments").id("a")], [other]);
    assert_eq!(state("id:rabbitmq:payments:a", &evidence), State::Stored);
}

#[test]
fn a_group_that_is_silent_and_behind_is_offline() {
    let long_ago = floor("analytics", 12, -(GROUP_LIVENESS_NS / MS) - 1);
    let evidence = with([sent()], [long_ago.clone()]);
    assert_eq!(
        states(M, &evidence),
        [
            "analytics group_offline inferred: nothing has been heard of analytics since 2026-11-21T07:44:59.999Z"
        ]
    );
    let alive = progress("analytics", ProgressKind::Seen, 0);
    assert_eq!(
        state(M, &with([sent()], [long_ago, alive])),
        State::NotConsumedYet,
        "any sign of life counts"
    );
}

#[test]
fn a_group_that_left_long_before_has_nothing_to_do_with_it() {
    let evidence = with([sent()], [floor("old", 12, -(GROUP_FORGOTTEN_NS / MS) - 1)]);
    assert_eq!(state(M, &evidence), State::Stored);
}

#[test]
fn a_floor_past_it_and_no_report_is_skipped_or_not_instrumented() {
    let passed = floor("analytics", 20, 10_000);
    assert_eq!(
        states(M, &with([sent()], [passed.clone()])),
        ["analytics not_instrumented inferred: analytics stands at 20, past this message at 15"]
    );
    let reports = process(7, 7).orders(14).group("analytics").ms(20, 1);
    assert_eq!(
        states(M, &with([sent(), reports], [passed])),
        ["analytics skipped inferred: analytics stands at 20, past this message at 15"]
    );
}

#[test]
fn what_a_group_did_a_moment_ago_may_still_be_on_its_way() {
    let evidence = with([sent()], [floor("analytics", 20, (NOW - T0 - S) / MS)]);
    assert_eq!(state(M, &evidence), State::Unknown);
    assert!(
        gaps(M, &evidence)
            .iter()
            .any(|gap| gap.starts_with("late_evidence: analytics passed it a moment ago"))
    );
}

#[test]
fn a_handler_that_reports_success_decides() {
    assert_eq!(
        states(M, &evidence([sent(), handled()])),
        ["payment succeeded observed: its handler said so at attempt 1"]
    );
    let settled = settle(1, 3).under(2).to("kafka", "orders").ms(16, 1);
    assert_eq!(state(M, &evidence([sent(), handled(), settled])), State::Succeeded);
}

#[test]
fn a_failed_acknowledgement_means_that_it_comes_again() {
    let refused = settle(1, 3)
        .under(2)
        .to("kafka", "orders")
        .ms(16, 1)
        .asked(Disposition::Accept)
        .failed("channel closed");
    assert_eq!(
        states(M, &evidence([sent(), handled(), refused])),
        ["payment failed_will_retry inferred: its handler said so at attempt 1"]
    );
}

#[test]
fn a_failure_is_retried_where_it_was_asked_for_and_else_probably() {
    let failed = handled().failed("boom");
    assert_eq!(
        states(M, &evidence([sent(), failed.clone().asked(Disposition::Retry)])),
        ["payment failed_will_retry observed: its handler said so at attempt 1"]
    );
    assert_eq!(
        states(M, &evidence([sent(), failed])),
        ["payment failed_will_retry inferred: its handler said so at attempt 1"]
    );
}

#[test]
fn a_failure_that_was_passed_over_is_skipped() {
    let evidence = with([sent(), handled().failed("boom")], [floor("payment", 16, 100)]);
    assert_eq!(
        states(M, &evidence),
        ["payment skipped observed: payment stands at 16, past this message at 15"]
    );
}

#[test]
fn a_floor_at_the_message_has_not_passed_it() {
    let at_it = || [floor("payment", 15, 100)];
    let received = receive(1, 4).made_by(ctx(1, 1)).orders(15).group("payment").ms(9, 1);
    assert_eq!(state(M, &with([sent(), received], at_it())), State::Fetched);
    assert_eq!(state(M, &with([sent(), handled().failed("boom")], at_it())), State::FailedWillRetry);
}

#[test]
fn a_rejection_without_a_copy_is_inferred_to_be_a_dead_letter() {
    let evidence = evidence([sent(), handled().failed("card_blocked").asked(Disposition::Reject)]);
    assert_eq!(
        states(M, &evidence),
        ["payment dead_lettered inferred: it was rejected for good: card_blocked"]
    );
}

#[test]
fn received_only_is_fetched_and_begun_only_is_processing() {
    let received = receive(1, 4).made_by(ctx(1, 1)).orders(15).group("payment").ms(9, 1);
    assert_eq!(state(M, &evidence([sent(), received.clone()])), State::Fetched);
    assert_eq!(state(M, &evidence([sent(), received.clone(), handled().endless()])), State::Processing);
    assert_eq!(state(M, &evidence([sent(), received.clone().attempt(2)])), State::Retrying);
    // A group that reports no handlers and commits has had it.
    assert_eq!(
        states(M, &with([sent(), received], [floor("payment", 16, 100)])),
        ["payment succeeded observed: payment stands at 16, past this message at 15"]
    );
}

#[test]
fn an_attempt_under_way_after_a_failure_is_retrying() {
    let again = receive(1, 5).made_by(ctx(1, 1)).orders(15).group("payment").ms(500, 1);
    let evidence = evidence([sent(), handled().failed("boom").asked(Disposition::Retry), again]);
    assert_eq!(state(M, &evidence), State::Retrying);
    assert_eq!(story(M, &evidence).groups[0].attempts.len(), 2);
}

#[test]
fn unknown_stays_unknown() {
    // The handler ended and nobody said how.
    let dropped = handled().outcome(crate::Outcome::Unknown);
    assert_eq!(state(M, &evidence([sent(), dropped])), State::Unknown);
    let attempt = &story(M, &evidence([handled().endless()])).groups[0].attempts[0];
    assert_eq!(
        (attempt.queue, attempt.wait, attempt.process, attempt.settle, attempt.end_ns),
        (None, None, None, None, None)
    );
}

#[test]
fn a_message_without_groups_says_how_far_it_came() {
    let rabbit = || send(1, 1).to("rabbitmq", "payments").id("a");
    let name = "id:rabbitmq:payments:a";
    assert_eq!(state(name, &evidence([rabbit()])), State::Stored);
    assert_eq!(state(name, &evidence([rabbit().failed("timeout")])), State::ProducedUnconfirmed);
    assert_eq!(
        state(name, &evidence([rabbit().outcome(crate::Outcome::Unknown)])),
        State::ProducedUnconfirmed
    );
    assert_eq!(state(name, &evidence([rabbit().failed("312 NO_ROUTE")])), State::Unroutable);
    assert_eq!(
        gaps(name, &evidence([rabbit()])),
        ["receiver_not_seen: checkout sent it, and no receiver was seen"]
    );
    let later = |ms: i64| rabbit().attribute("messaging.rocketmq.message.delivery_timestamp", Value::Int(ms));
    assert_eq!(state(name, &evidence([later(NOW / MS + 1)])), State::Scheduled);
    assert_eq!(state(name, &evidence([later(NOW / MS - 1)])), State::Stored);
}

#[test]
fn each_group_has_its_own_state() {
    let analytics = floor("analytics", 12, 30_000);
    let evidence = with([sent(), handled()], [analytics, floor("payment", 16, 20)]);
    let states = states(M, &evidence);
    assert_eq!(states.len(), 2);
    assert!(
        states[0].starts_with("analytics not_consumed_yet") && states[1].starts_with("payment succeeded")
    );
}

#[test]
fn the_broker_s_own_word_is_graded_as_such() {
    let mut by_broker = floor("analytics", 12, 30_000);
    by_broker.grade = Grade::Broker;
    assert_eq!(story(M, &with([sent()], [by_broker])).groups[0].grade, Grade::Broker);
}

#[test]
fn consumer_events_without_a_group_are_of_the_group_of_their_neighbours() {
    let evidence = evidence([sent(), handled(), settle(1, 3).under(2).to("kafka", "orders").ms(16, 1)]);
    let story = story(M, &evidence);
    assert_eq!(story.groups.len(), 1);
    assert_eq!(story.groups[0].attempts[0].events, [1, 2]);
}

#[test]
fn limits_and_unsearched_parts_are_gaps() {
    let mut evidence = evidence([sent(), handled()]);
    evidence.next = Some("more".into());
    evidence.coverage.complete = false;
    evidence.coverage.why_not = vec!["segment 7 is quarantined".into()];
    let story = assemble(&M.parse().expect("valid"), &evidence, NOW).expect("there");
    let kinds: Vec<GapKind> = story.gaps.iter().map(|gap| gap.kind).collect();
    assert_eq!(kinds, [GapKind::LimitHit, GapKind::NotSearched]);
    assert_eq!(story.gaps[1].detail, "segment 7 is quarantined");
}

#[test]
fn late_evidence_and_spans_without_end_are_gaps() {
    let minutes = |minutes: i64| T0 + minutes * 60 * S;
    let evidence = evidence([sent().received(minutes(6)), handled().received(minutes(0)).endless()]);
    let story = assemble(&M.parse().expect("valid"), &evidence, minutes(20)).expect("there");
    let details: Vec<&str> = story.gaps.iter().map(|gap| gap.detail.as_str()).collect();
    assert_eq!(
        details,
        ["checkout told of its send 5.9 min after the fact", "the process of payment has no end"]
    );
}

#[test]
fn a_sender_that_reported_nothing_and_an_unsound_context_are_gaps() {
    let evidence = evidence([handled().text("hopscope.context.problems", "header traceparent is null")]);
    assert_eq!(
        gaps(M, &evidence),
        [
            "sender_not_instrumented: payment received it, and its sender reported nothing",
            "context_lost: payment found an unsound context in the headers: header traceparent is null"
        ]
    );
}
