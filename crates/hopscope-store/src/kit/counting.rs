//! Cases: aggregation and retention.

use super::{NOW_NS, SECOND_NS, Subject, message};
use crate::{Aggregation, Dimension, Retention, Row};
use hopscope_model::query::{Comparison, Field, Literal, Term, Time};
use hopscope_model::{Key, MessageEvent, Query, Tenant};

/// Every dimension of events but the instance.
pub const DIMENSIONS: [Dimension; 8] = [
    Dimension::System,
    Dimension::Cluster,
    Dimension::Destination,
    Dimension::Lane,
    Dimension::Group,
    Dimension::Service,
    Dimension::Stage,
    Dimension::Outcome,
];

fn by(by: &[Dimension]) -> Aggregation {
    Aggregation { by: by.to_vec(), now_ns: NOW_NS, rows_max: 1_000, ..Aggregation::default() }
}

async fn put_orders(subject: &Subject) -> Vec<MessageEvent> {
    let events: Vec<MessageEvent> = (1..=9).flat_map(|number| message(number, "payment")).collect();
    for (number, part) in events.chunks(10).enumerate() {
        subject.put(NOW_NS + number as i64 * SECOND_NS, part).await;
    }
    events
}

#[allow(missing_docs)]
pub async fn counts_by_every_dimension(subject: Subject) {
    let events = put_orders(&subject).await;
    let first_ns = events.iter().map(|event| event.start_ns).min().expect("some");
    let last_ns = events.iter().map(|event| event.start_ns).max().expect("some");
    let all = Row { events: 27, failed: 9, first_ns, last_ns, ..Row::default() };
    assert_eq!(subject.aggregate(&by(&[])).await.rows, [all]);
    for dimension in DIMENSIONS {
        let rows = subject.aggregate(&by(&[dimension])).await.rows;
        assert_eq!(rows.iter().map(|row| row.events).sum::<u64>(), 27, "{dimension:?}");
        assert!(rows.is_sorted_by(|one, other| one.events >= other.events), "most first");
    }
    let rows = subject.aggregate(&by(&[Dimension::Lane, Dimension::Stage, Dimension::Outcome])).await.rows;
    assert_eq!(rows.len(), 9);
    let wanted = ["1", "process", "failed"];
    let row = rows.iter().find(|row| row.values == wanted).expect("there");
    assert_eq!((row.events, row.failed), (3, 3));
    assert_eq!(subject.aggregate(&by(&DIMENSIONS)).await.rows.len(), 9);
}

#[allow(missing_docs)]
pub async fn counts_what_matches(subject: Subject) {
    put_orders(&subject).await;
    let term = Term::Field {
        negated: false,
        field: Field::Service,
        comparison: Comparison::Equal,
        value: Literal::Text("checkout".into()),
    };
    let mut sends = by(&[Dimension::Stage]);
    sends.query.terms.push(term);
    let rows = subject.aggregate(&sends).await.rows;
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].values[0].as_str(), rows[0].events, rows[0].failed), ("send", 9, 0));
    let mut recent = by(&[]);
    recent.query.since = Some(Time::At(NOW_NS - 30 * SECOND_NS));
    assert_eq!(subject.aggregate(&recent).await.rows[0].events, 9, "orders 1 to 3");
    recent.query.until = recent.query.since;
    assert_eq!(subject.aggregate(&recent).await.rows, []);
}

#[allow(missing_docs)]
pub async fn counts_over_appends_without_duplicates(subject: Subject) {
    put_orders(&subject).await;
    let events = put_orders(&subject).await;
    subject.put(NOW_NS + 100 * SECOND_NS, &events).await;
    let rows = subject.aggregate(&by(&[Dimension::Stage])).await.rows;
    assert_eq!(rows.iter().map(|row| row.events).collect::<Vec<_>>(), [9, 9, 9]);
}

#[allow(missing_docs)]
pub async fn says_when_rows_are_left_out(subject: Subject) {
    put_orders(&subject).await;
    let mut few = by(&[Dimension::Lane]);
    few.rows_max = 2;
    let answer = subject.aggregate(&few).await;
    assert_eq!(answer.rows.len(), 2);
    assert!(!answer.coverage.complete && answer.coverage.why_not.len() == 1);
    few.rows_max = 3;
    assert!(subject.aggregate(&few).await.coverage.complete);
}

#[allow(missing_docs)]
pub async fn retention_keeps_what_is_newer(subject: Subject) {
    let events = put_orders(&subject).await;
    for keep_since_ns in [i64::MIN, NOW_NS] {
        let retained = subject.store().retain(&Tenant::default(), &Retention { keep_since_ns }).await;
        assert_eq!(retained.expect("retain").dropped_events, 0);
    }
    let keep_since_ns = NOW_NS + 2 * SECOND_NS;
    let store = subject.store();
    let retained = store.retain(&Tenant::default(), &Retention { keep_since_ns }).await.expect("retain");
    assert!(retained.dropped_events <= 20);
    let left = subject.all_found(&Query::default(), 100).await;
    assert_eq!(left.len() as u64 + retained.dropped_events, 27);
    let newer = left.iter().filter(|event| event.received_ns >= keep_since_ns).count();
    assert_eq!(newer, 7, "everything received at or after the instant is kept");
    let last = events.last().expect("some");
    assert_eq!(subject.under(Key::Span(last.span)).await.len(), 1);
    assert_eq!(subject.aggregate(&by(&[])).await.rows[0].events, left.len() as u64);
}

#[allow(missing_docs)]
pub async fn retention_drops_only_whole_units(subject: Subject) {
    put_orders(&subject).await;
    let store = subject.store();
    let keep_since_ns = NOW_NS + SECOND_NS;
    store.retain(&Tenant::default(), &Retention { keep_since_ns }).await.expect("retain");
    let left = subject.all_found(&Query::default(), 100).await;
    for received_ns in [NOW_NS, NOW_NS + SECOND_NS, NOW_NS + 2 * SECOND_NS] {
        let of_batch = left.iter().filter(|event| event.received_ns == received_ns).count();
        let whole = if received_ns == NOW_NS + 2 * SECOND_NS { 7 } else { 10 };
        assert!(of_batch == 0 && received_ns < keep_since_ns || of_batch == whole, "{of_batch}");
    }
    let again = store.retain(&Tenant::default(), &Retention { keep_since_ns }).await.expect("retain");
    assert_eq!(again.dropped_events, 0);
}
