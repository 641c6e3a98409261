//! Cases: events under keys.

use super::build::context;
use super::{NOW_NS, SECOND_NS, Subject, at, copies, event, message};
use crate::ErrorKind;
use hopscope_model::{Key, Limits, MessageEvent, Position, Query, Stage, Tenant};

async fn three_messages(subject: &Subject) -> Vec<MessageEvent> {
    let mut events: Vec<MessageEvent> = (1..=3).flat_map(|number| message(number, "payment")).collect();
    events.iter_mut().for_each(|event| event.received_ns = NOW_NS);
    subject.put(NOW_NS, &events).await;
    events
}

#[allow(missing_docs)]
pub async fn finds_by_trace_oldest_first(subject: Subject) {
    let events = three_messages(&subject).await;
    for number in 0..3 {
        assert_eq!(subject.under(Key::Trace(events[number * 3].trace)).await, events[number * 3..][..3]);
    }
}

#[allow(missing_docs)]
pub async fn finds_by_span_and_by_children(subject: Subject) {
    let events = three_messages(&subject).await;
    assert_eq!(subject.under(Key::Span(events[4].span)).await, events[4..5]);
    assert_eq!(subject.under(Key::Children(events[3].span)).await, events[4..6]);
}

#[allow(missing_docs)]
pub async fn finds_by_creation(subject: Subject) {
    let events = three_messages(&subject).await;
    let creation = events[6].creation.expect("set");
    assert_eq!(subject.under(Key::Creation(creation)).await, events[6..9]);
    let other_trace = hopscope_model::SpanContext { trace: context(77, 0).trace, ..creation };
    assert_eq!(subject.under(Key::Creation(other_trace)).await, []);
}

#[allow(missing_docs)]
pub async fn finds_by_position(subject: Subject) {
    let events = three_messages(&subject).await;
    assert_eq!(subject.under(Key::Position(at("2", 2))).await, events[3..6]);
    for wrong in [
        at("1", 2),
        at("2", 3),
        Position { system: "nats".into(), ..at("2", 2) },
        Position { destination: "payments".into(), ..at("2", 2) },
    ] {
        assert_eq!(subject.under(Key::Position(wrong.clone())).await, [], "{wrong:?}");
    }
    let any_system = Position { system: String::new(), ..at("2", 2) };
    assert_eq!(subject.under(Key::Position(any_system)).await, events[3..6]);
}

#[allow(missing_docs)]
pub async fn finds_by_position_with_an_absent_cluster(subject: Subject) {
    let named = MessageEvent { received_ns: NOW_NS, ..message(1, "payment").swap_remove(0) };
    let unnamed = MessageEvent { cluster: String::new(), ..named.clone() };
    subject.put(NOW_NS, std::slice::from_ref(&named)).await;
    subject.put(NOW_NS, &[unnamed]).await;
    for (cluster, count) in [("", 2), ("main", 2), ("other", 1)] {
        let key = Position { cluster: cluster.into(), ..at("1", 1) };
        assert_eq!(subject.under(Key::Position(key)).await.len(), count, "cluster {cluster:?}");
    }
}

#[allow(missing_docs)]
pub async fn finds_by_message_id(subject: Subject) {
    let events = three_messages(&subject).await;
    let key = |system: &str, destination: &str, id: &str| Key::MessageId {
        system: system.into(),
        destination: destination.into(),
        id: id.into(),
    };
    for (system, destination) in [("", ""), ("kafka", ""), ("", "orders"), ("kafka", "orders")] {
        assert_eq!(subject.under(key(system, destination, "message-2")).await, events[3..6]);
    }
    assert_eq!(subject.under(key("nats", "", "message-2")).await, []);
    assert_eq!(subject.under(key("", "payments", "message-2")).await, []);
    assert_eq!(subject.under(key("", "", "message-4")).await, []);
}

#[allow(missing_docs)]
pub async fn finds_by_correlation_and_business_key(subject: Subject) {
    let events = three_messages(&subject).await;
    let mut both = events[3..9].to_vec();
    both.sort_by_key(|event| (event.start_ns, event.id()));
    assert_eq!(subject.under(Key::Correlation("conversation-1".into())).await, both);
    assert_eq!(subject.under(Key::Business("order-3".into())).await, events[6..9]);
    assert_eq!(subject.under(Key::Business("customer-3".into())).await, events[6..9]);
    assert_eq!(subject.under(Key::Business("message-3".into())).await, []);
}

#[allow(missing_docs)]
pub async fn finds_under_several_keys_each_once(subject: Subject) {
    let mut events = three_messages(&subject).await;
    let keys = [
        Key::Business("order-1".into()),
        Key::Trace(events[0].trace),
        Key::Position(at("2", 2)),
        Key::Creation(events[6].creation.expect("set")),
        Key::Correlation("nobody".into()),
    ];
    events.sort_by_key(|event| (event.start_ns, event.id()));
    assert_eq!(subject.all_events(&keys, &Limits::default()).await.events, events);
}

#[allow(missing_docs)]
pub async fn finds_over_several_appends(subject: Subject) {
    let mut all = Vec::new();
    for number in 0..5i64 {
        let late = MessageEvent {
            received_ns: NOW_NS + number,
            start_ns: NOW_NS - number * SECOND_NS,
            ..event(1, number as u64, Stage::Work)
        };
        subject.put(NOW_NS + number, std::slice::from_ref(&late)).await;
        all.push(late);
    }
    all.reverse();
    assert_eq!(subject.under(Key::Trace(all[0].trace)).await, all);
}

#[allow(missing_docs)]
pub async fn unknown_keys_find_nothing(subject: Subject) {
    three_messages(&subject).await;
    let evidence = subject.all_events(&[], &Limits::default()).await;
    assert!(evidence.events.is_empty() && evidence.coverage.complete);
    let absent = context(1234, 5678);
    for key in [
        Key::Trace(absent.trace),
        Key::Span(absent.span),
        Key::Children(absent.span),
        Key::Creation(absent),
        Key::Business(String::from("nobody")),
        Key::Progress(at("0", 1)),
    ] {
        let evidence = subject.all_events(&[key], &Limits::default()).await;
        assert!(evidence.events.is_empty() && evidence.progress.is_empty() && evidence.coverage.complete);
    }
}

async fn pages(subject: &Subject, spread_ns: i64) {
    let events = copies(1, 37, spread_ns);
    for (number, part) in events.chunks(10).enumerate() {
        subject.put(NOW_NS + number as i64, part).await;
    }
    let mut wanted: Vec<_> = events.iter().map(|event| (event.start_ns, event.id())).collect();
    wanted.sort();
    for events_max in [1, 2, 7, 36, 37, 38] {
        let limits = Limits { events_max, ..Limits::default() };
        let found = subject.all_events(&[Key::Trace(events[0].trace)], &limits).await.events;
        let found: Vec<_> = found.iter().map(|event| (event.start_ns, event.id())).collect();
        assert_eq!(found, wanted, "events_max={events_max}");
    }
}

#[allow(missing_docs)]
pub async fn events_are_paged_exactly_once(subject: Subject) {
    pages(&subject, SECOND_NS).await;
}

#[allow(missing_docs)]
pub async fn events_with_equal_times_are_paged_exactly_once(subject: Subject) {
    pages(&subject, 0).await;
}

#[allow(missing_docs)]
pub async fn events_keep_to_a_limit_of_bytes(subject: Subject) {
    let mut events = copies(1, 20, 1);
    events.iter_mut().for_each(|event| event.operation = "x".repeat(10_000));
    subject.put(NOW_NS, &events).await;
    let limits = Limits { events_max: 100, bytes_max: 50_000 };
    let keys = [Key::Trace(events[0].trace)];
    let page = subject.store().events(&Tenant::default(), &keys, &limits, None).await.expect("page");
    assert!((1..=5).contains(&page.events.len()) && page.next.is_some(), "{}", page.events.len());
    assert_eq!(subject.all_events(&keys, &limits).await.events.len(), 20);
    let tiny = Limits { events_max: 100, bytes_max: 1 };
    assert_eq!(subject.all_events(&keys, &tiny).await.events.len(), 20, "one event fits always");
}

#[allow(missing_docs)]
pub async fn a_foreign_cursor_is_invalid(subject: Subject) {
    let store = subject.store();
    let tenant = Tenant::default();
    let answer = store.events(&tenant, &[], &Limits::default(), Some("elsewhere")).await;
    assert_eq!(answer.expect_err("refused").kind, ErrorKind::Invalid);
    let page = crate::Page { events_max: 1, after: Some("elsewhere".into()), now_ns: NOW_NS };
    let answer = store.search(&tenant, &Query::default(), &page).await;
    assert_eq!(answer.expect_err("refused").kind, ErrorKind::Invalid);
}
