//! Cases: tallies. What is exact must be exact whatever arrives twice, late, or from a process that started
//! again.

use super::{NOW_NS, SECOND_NS, Subject, event};
use crate::{Aggregation, Counted, Dimension, Retention, Row, STEPS_MAX};
use hopscope_model::query::{Comparison, Field, Literal, Term, Time};
use hopscope_model::{
    BatchBuilder, Measure, Outcome, Query, SeriesId, Source, Spread, Stage, Tally, Temporality, Tenant,
    system,
};
use std::num::NonZero;

const MINUTE_NS: i64 = 60 * SECOND_NS;

/// A whole hour before now, which is a whole hour too.
const BEGIN_NS: i64 = NOW_NS - 60 * MINUTE_NS;

/// A sample of a counter: so many messages sent to `orders` since `BEGIN_NS`, read `minute` minutes after it.
pub fn sent(series: u64, minute: i64, count: u64) -> Tally {
    Tally {
        measure: Measure::Messages,
        metric: "messaging.client.sent.messages".into(),
        detail: String::new(),
        system: system::KAFKA.into(),
        cluster: "main".into(),
        destination: "orders".into(),
        lane: String::new(),
        group: String::new(),
        service: "checkout".into(),
        instance: format!("checkout-{series}"),
        stage: Stage::Send,
        outcome: Outcome::Ok,
        series: SeriesId(u128::from(series) << 64 | 7),
        temporality: Temporality::Cumulative,
        start_ns: BEGIN_NS,
        at_ns: BEGIN_NS + minute * MINUTE_NS,
        count,
        spread: None,
    }
}

fn delta(series: u64, minute: i64, count: u64) -> Tally {
    let at_ns = BEGIN_NS + minute * MINUTE_NS;
    let start_ns = at_ns - MINUTE_NS;
    Tally { temporality: Temporality::Delta, start_ns, at_ns, ..sent(series, minute, count) }
}

async fn put(subject: &Subject, tallies: &[Tally]) -> u64 {
    let mut builder = BatchBuilder::new(Tenant::default(), Source::Otlp, NOW_NS);
    tallies.iter().for_each(|tally| builder.push_tally_owned(tally));
    subject.append(builder.finish()).await.expect("append").tallies
}

fn by(by: &[Dimension]) -> Aggregation {
    Aggregation {
        of: Counted::Tallies,
        by: by.to_vec(),
        now_ns: NOW_NS,
        rows_max: 1_000,
        ..Aggregation::default()
    }
}

fn between(mut aggregation: Aggregation, from_minute: i64, to_minute: i64) -> Aggregation {
    aggregation.query.since = Some(Time::At(BEGIN_NS + from_minute * MINUTE_NS));
    aggregation.query.until = Some(Time::At(BEGIN_NS + to_minute * MINUTE_NS));
    aggregation
}

fn steps(aggregation: Aggregation, minutes: i64) -> Aggregation {
    Aggregation { step_ns: NonZero::new(minutes * MINUTE_NS), ..aggregation }
}

async fn total(subject: &Subject) -> u64 {
    subject.aggregate(&by(&[])).await.rows.iter().map(|row| row.events).sum()
}

/// Minute of the step and count, in order of time.
fn by_minute(rows: &[Row]) -> Vec<(i64, u64)> {
    let mut all: Vec<(i64, u64)> =
        rows.iter().map(|row| ((row.step_ns - BEGIN_NS) / MINUTE_NS, row.events)).collect();
    all.sort_unstable();
    all
}

#[allow(missing_docs)]
pub async fn tallies_count_differences(subject: Subject) {
    assert_eq!(put(&subject, &[sent(1, 1, 10), sent(1, 2, 25)]).await, 2);
    assert_eq!(put(&subject, &[sent(1, 3, 100)]).await, 1);
    let answer = subject.aggregate(&steps(between(by(&[]), 0, 60), 1)).await;
    assert!(answer.coverage.complete);
    assert_eq!(by_minute(&answer.rows), [(0, 10), (1, 15), (2, 75)]);
    assert_eq!(total(&subject).await, 100);
    let second = subject.aggregate(&between(by(&[]), 1, 2)).await.rows;
    assert_eq!(second.iter().map(|row| row.events).collect::<Vec<_>>(), [15]);
    assert_eq!(subject.aggregate(&between(by(&[]), 10, 20)).await.rows, [], "nothing is reported there");
}

#[allow(missing_docs)]
pub async fn tallies_sent_twice_count_once(subject: Subject) {
    let samples = [sent(1, 1, 10), sent(1, 2, 25), delta(2, 1, 3), delta(2, 2, 4)];
    for _ in 0..3 {
        put(&subject, &samples).await;
    }
    put(&subject, &samples[..1]).await;
    assert_eq!(total(&subject).await, 32);
    let twice = [samples.clone(), samples].concat();
    put(&subject, &twice).await;
    assert_eq!(total(&subject).await, 32);
}

#[allow(missing_docs)]
pub async fn tallies_out_of_order_count_the_same(subject: Subject) {
    for minute in [5, 1, 4, 2, 3] {
        put(&subject, &[sent(1, minute, minute as u64 * 10), delta(2, minute, 1)]).await;
    }
    let answer = subject.aggregate(&steps(between(by(&[Dimension::Instance]), 0, 60), 1)).await;
    assert_eq!(answer.rows.len(), 10);
    assert!(answer.rows.iter().all(|row| row.events == if row.values == ["checkout-1"] { 10 } else { 1 }));
    let late = between(by(&[]), 2, 4);
    assert_eq!(subject.aggregate(&late).await.rows[0].events, 22, "what was counted before is known");
}

#[allow(missing_docs)]
pub async fn tallies_of_a_restart_and_of_two_instances_add_up(subject: Subject) {
    let restarted = |minute, count| Tally { start_ns: BEGIN_NS + 2 * MINUTE_NS, ..sent(1, minute, count) };
    put(&subject, &[sent(1, 1, 10), sent(1, 2, 25), sent(2, 2, 1_000)]).await;
    put(&subject, &[restarted(3, 4), restarted(4, 6)]).await;
    assert_eq!(total(&subject).await, 25 + 1_000 + 6);
    let rows = subject.aggregate(&by(&[Dimension::Instance])).await.rows;
    let counts: Vec<(&str, u64)> = rows.iter().map(|row| (row.values[0].as_str(), row.events)).collect();
    assert_eq!(counts, [("checkout-2", 1_000), ("checkout-1", 31)]);
}

#[allow(missing_docs)]
pub async fn tallies_without_a_start_count_from_their_first_sample(subject: Subject) {
    let unknown = |minute, count| Tally { start_ns: 0, ..sent(1, minute, count) };
    // A fall is a reset: 25 → 4 counts 4.
    put(&subject, &[unknown(1, 10), unknown(2, 25)]).await;
    put(&subject, &[unknown(3, 4)]).await;
    assert_eq!(total(&subject).await, 19);
}

#[allow(missing_docs)]
pub async fn tallies_of_a_run_that_began_before_the_range(subject: Subject) {
    for minute in 1..=9 {
        put(&subject, &[sent(1, minute, minute as u64 * 7), sent(2, minute, 3)]).await;
    }
    let rows = subject.aggregate(&between(by(&[Dimension::Instance]), 8, 60)).await.rows;
    let counts: Vec<(&str, u64)> = rows.iter().map(|row| (row.values[0].as_str(), row.events)).collect();
    assert_eq!(
        counts,
        [("checkout-1", 7), ("checkout-2", 0)],
        "a service that stands still is there, with 0"
    );
}

#[allow(missing_docs)]
pub async fn tallies_between_two_samples_are_spread_evenly(subject: Subject) {
    put(&subject, &[sent(1, 4, 10), sent(1, 6, 17)]).await;
    let all = steps(between(by(&[]), 0, 60), 1);
    let answer = subject.aggregate(&all).await;
    assert_eq!(by_minute(&answer.rows), [(0, 2), (1, 3), (2, 2), (3, 3), (4, 3), (5, 4)]);
    let mut sum = 0;
    for minute in 0..6 {
        let rows = subject.aggregate(&between(by(&[]), minute, minute + 1)).await.rows;
        sum += rows.iter().map(|row| row.events).sum::<u64>();
    }
    assert_eq!(sum, 17, "what adjoins adds up");
}

#[allow(missing_docs)]
pub async fn tallies_often_within_a_minute_count_as_the_minute(subject: Subject) {
    let at = |second: i64, count| Tally { at_ns: BEGIN_NS + second * SECOND_NS, ..sent(1, 0, count) };
    for (second, count) in [(5, 1), (10, 2), (50, 30), (65, 31), (110, 60)] {
        put(&subject, &[at(second, count)]).await;
    }
    let answer = subject.aggregate(&steps(between(by(&[]), 0, 60), 1)).await;
    assert_eq!(answer.rows.iter().map(|row| row.events).sum::<u64>(), 60);
    // 30 in 50 s, then 30 in 60 s of which 10 s lie before the full minute.
    assert_eq!(by_minute(&answer.rows), [(0, 35), (1, 25)]);
}

#[allow(missing_docs)]
pub async fn tallies_by_every_dimension(subject: Subject) {
    let failed = Outcome::Failed { reason: "timeout".into() };
    let consumed = Tally {
        metric: "messaging.client.consumed.messages".into(),
        group: "payment".into(),
        service: "payment".into(),
        lane: "3".into(),
        detail: "found".into(),
        stage: Stage::Receive,
        ..sent(3, 1, 5)
    };
    put(&subject, &[sent(1, 1, 10), Tally { outcome: failed, ..sent(2, 1, 2) }, consumed]).await;
    for (dimension, expected) in [
        (Dimension::System, vec![("kafka", 12), ("kafka", 5)]),
        (Dimension::Cluster, vec![("main", 12), ("main", 5)]),
        (Dimension::Destination, vec![("orders", 12), ("orders", 5)]),
        (Dimension::Lane, vec![("", 12), ("3", 5)]),
        (Dimension::Group, vec![("", 12), ("payment", 5)]),
        (Dimension::Service, vec![("checkout", 12), ("payment", 5)]),
        (Dimension::Stage, vec![("send", 12), ("receive", 5)]),
        (Dimension::Detail, vec![("", 12), ("found", 5)]),
        (Dimension::Outcome, vec![("ok", 10), ("ok", 5), ("failed", 2)]),
    ] {
        let rows = subject.aggregate(&by(&[dimension])).await.rows;
        let counts: Vec<(&str, u64)> = rows.iter().map(|row| (row.values[0].as_str(), row.events)).collect();
        assert_eq!(counts, expected, "{dimension:?}: two metrics are never summed up");
    }
    let rows = subject.aggregate(&by(&[])).await.rows;
    assert_eq!((rows[0].events, rows[0].failed), (12, 2));
    let mut payment = by(&[]);
    payment.query.terms.push(Term::Field {
        negated: false,
        field: Field::Group,
        comparison: Comparison::Equal,
        value: Literal::Text("payment".into()),
    });
    let rows = subject.aggregate(&payment).await.rows;
    assert_eq!(rows.iter().map(|row| row.events).collect::<Vec<_>>(), [5]);
}

#[allow(missing_docs)]
pub async fn tallies_keep_how_values_spread(subject: Subject) {
    let process = |minute, count, buckets: &[(i64, u64)], over| Tally {
        measure: Measure::Duration,
        metric: "messaging.process.duration".into(),
        stage: Stage::Process,
        spread: Some(Spread { sum: Some(count * 2), buckets: buckets.to_vec(), over, over_from: 100 }),
        ..sent(1, minute, count)
    };
    put(&subject, &[process(1, 4, &[(5, 3), (10, 1)], 0)]).await;
    put(&subject, &[process(2, 10, &[(5, 3), (10, 5)], 2)]).await;
    let rows = subject.aggregate(&between(by(&[]), 1, 60)).await.rows;
    let expected = Spread { sum: Some(12), buckets: vec![(10, 4)], over: 2, over_from: 100 };
    assert_eq!((rows[0].events, rows[0].spread.as_ref()), (6, Some(&expected)));
    let rows = subject.aggregate(&by(&[])).await.rows;
    assert_eq!(rows[0].spread.as_ref().map(Spread::count), Some(10));
}

#[allow(missing_docs)]
pub async fn tallies_that_are_levels_are_not_summed_over_time(subject: Subject) {
    let level = |series, minute, count| Tally {
        measure: Measure::Sdk,
        metric: "hopscope.sdk.queue.bytes".into(),
        temporality: Temporality::Level,
        ..sent(series, minute, count)
    };
    put(&subject, &[level(1, 1, 500), level(2, 1, 3)]).await;
    put(&subject, &[level(1, 2, 40)]).await;
    assert_eq!(total(&subject).await, 43);
    let rows = subject.aggregate(&steps(between(by(&[]), 0, 60), 1)).await.rows;
    assert_eq!(by_minute(&rows), [(1, 503), (2, 40)]);
}

#[allow(missing_docs)]
pub async fn tallies_beside_events_and_other_tenants(subject: Subject) {
    let mut builder = BatchBuilder::new(Tenant::default(), Source::Otlp, NOW_NS);
    builder.push_event(&event(1, 1, Stage::Send));
    builder.push_tally_owned(&sent(1, 1, 10));
    let appended = subject.append(builder.finish()).await.expect("append");
    assert_eq!((appended.stored, appended.tallies), (1, 1));
    let other = Tenant::new("other").expect("a name");
    let mut builder = BatchBuilder::new(other.clone(), Source::Otlp, NOW_NS);
    builder.push_tally_owned(&sent(2, 1, 5));
    subject.append(builder.finish()).await.expect("append");
    assert_eq!(total(&subject).await, 10);
    let rows = subject.store().aggregate(&other, &by(&[])).await.expect("aggregate").rows;
    assert_eq!(rows.iter().map(|row| row.events).collect::<Vec<_>>(), [5]);
    let events = Aggregation { of: Counted::Events, ..by(&[]) };
    assert_eq!(subject.aggregate(&events).await.rows[0].events, 1);
    assert_eq!(subject.all_found(&Query::default(), 10).await.len(), 1);
}

#[allow(missing_docs)]
pub async fn counts_of_events_by_time(subject: Subject) {
    let events: Vec<_> = (0..5).map(|number| event(1, number * 40, Stage::Work)).collect();
    subject.put(NOW_NS, &events).await;
    let of_events = Aggregation { of: Counted::Events, ..by(&[]) };
    let mut hour = steps(between(of_events, 0, 60), 1);
    hour.query.until = Some(Time::At(NOW_NS + MINUTE_NS));
    let rows = subject.aggregate(&hour).await.rows;
    assert_eq!(by_minute(&rows), [(57, 1), (58, 2), (59, 1), (60, 1)]);
    hour.query.since = Some(Time::At(NOW_NS - (STEPS_MAX + 1) * MINUTE_NS));
    let refused = subject.store().aggregate(&Tenant::default(), &hour).await.expect_err("too many steps");
    assert_eq!(refused.kind, crate::ErrorKind::Invalid);
}

#[allow(missing_docs)]
pub async fn retention_of_tallies_keeps_what_is_newer(subject: Subject) {
    put(&subject, &[sent(1, 1, 10)]).await;
    let retention = Retention { keep_since_ns: NOW_NS };
    subject.store().retain(&Tenant::default(), &retention).await.expect("retain");
    assert_eq!(total(&subject).await, 10);
}
