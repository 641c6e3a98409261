//! Cases: what append stores, once.

use super::{NOW_NS, SECOND_NS, Subject, batch, copies, event, message};
use crate::{Appended, Depth, Page, Retention};
use hopscope_model::{
    BatchBuilder, Key, Limits, MessageEvent, Outcome, Query, Source, Stage, Tenant, TraceId, Value,
};
use std::sync::Arc;

#[allow(missing_docs)]
pub async fn an_empty_batch_stores_nothing(subject: Subject) {
    assert_eq!(subject.put(NOW_NS, &[]).await, Appended::default());
    assert!(subject.all_found(&Query::default(), 10).await.is_empty());
}

#[allow(missing_docs)]
pub async fn an_empty_store_answers_empty_and_complete(subject: Subject) {
    let found = subject.search(&Query::default(), 10, None).await;
    assert!(found.events.is_empty() && found.next.is_none());
    assert!(found.coverage.complete && found.coverage.received_ns.is_none());
    let evidence = subject.all_events(&[Key::Trace(TraceId([1; 16]))], &Limits::default()).await;
    assert!(evidence.events.is_empty() && evidence.coverage.complete);
    let retained = subject.store().retain(&Tenant::default(), &Retention { keep_since_ns: NOW_NS }).await;
    assert_eq!(retained.expect("retain").dropped_events, 0);
}

#[allow(missing_docs)]
pub async fn every_field_comes_back(subject: Subject) {
    let mut events = message(1, "payment");
    events.iter_mut().for_each(|event| event.received_ns = NOW_NS);
    assert_eq!(subject.put(NOW_NS, &events).await, Appended { stored: 3, ..Appended::default() });
    assert_eq!(subject.under(Key::Trace(events[0].trace)).await, events);
    events.reverse();
    assert_eq!(subject.all_found(&Query::default(), 10).await, events);
}

#[allow(missing_docs)]
pub async fn odd_values_come_back(subject: Subject) {
    let long = "ü".repeat(50_000);
    let mut events = vec![
        MessageEvent { start_ns: 0, ..event(1, 1, Stage::Create) },
        MessageEvent { start_ns: i64::MIN + 1, ..event(1, 2, Stage::Settle) },
        MessageEvent { start_ns: i64::MAX, ..event(1, 3, Stage::Broker) },
        MessageEvent {
            duration_ns: Some(0),
            position: Some(0),
            body_bytes: Some(i64::MAX as u64),
            broker_ns: Some(i64::MIN + 1),
            origin_ns: Some(i64::MAX),
            attempt: Some(u32::MAX),
            message_id: long.clone(),
            operation: "a\0b\u{1F600}</script>".into(),
            outcome: Outcome::Failed { reason: String::new() },
            system: "a system of its own".into(),
            ..event(1, 4, Stage::Process)
        },
        MessageEvent {
            keys: (0..300).map(|n| format!("key-{n}")).collect(),
            attributes: vec![
                (String::new(), Value::Text(long)),
                ("same".into(), Value::Int(i64::MIN)),
                ("same".into(), Value::Int(i64::MAX)),
                ("max".into(), Value::Double(f64::MAX)),
                ("tiny".into(), Value::Double(f64::MIN_POSITIVE)),
                ("infinite".into(), Value::Double(f64::NEG_INFINITY)),
                ("negative zero".into(), Value::Double(-0.0)),
                ("one".into(), Value::Double(1.0)),
                ("$bytes".into(), Value::Text("$json".into())),
                ("no json".into(), Value::Json("{".into())),
                ("\u{7f}\u{0}\u{2028}".into(), Value::Bytes(String::new())),
            ],
            ..event(1, 5, Stage::Work)
        },
    ];
    events.iter_mut().for_each(|event| event.received_ns = NOW_NS);
    subject.put(NOW_NS, &events).await;
    let mut found = subject.under(Key::Trace(events[0].trace)).await;
    events.sort_by_key(|event| (event.start_ns, event.id()));
    found.sort_by_key(|event| (event.start_ns, event.id()));
    assert_eq!(found, events);
}

#[allow(missing_docs)]
pub async fn the_same_event_twice_is_stored_once(subject: Subject) {
    let events = message(1, "payment");
    subject.put(NOW_NS, &events).await;
    subject.put(NOW_NS + 1, &message(2, "payment")).await;
    subject.put(NOW_NS + SECOND_NS, &events).await;
    let found = subject.under(Key::Trace(events[0].trace)).await;
    assert_eq!(found.len(), 3, "each identity once");
    assert!(found.iter().all(|event| event.received_ns == NOW_NS), "the first one wins");
    assert_eq!(subject.all_found(&Query::default(), 2).await.len(), 6);
}

#[allow(missing_docs)]
pub async fn the_same_event_twice_in_one_batch_is_stored_once(subject: Subject) {
    let mut events = message(1, "payment");
    events.extend(message(1, "payment"));
    let appended = subject.put(NOW_NS, &events).await;
    assert_eq!(appended, Appended { stored: 3, duplicates: 3, ..Appended::default() });
    assert_eq!(subject.under(Key::Trace(events[0].trace)).await.len(), 3);
}

#[allow(missing_docs)]
pub async fn the_first_content_wins_and_conflicts_are_counted(subject: Subject) {
    let first = event(1, 1, Stage::Work);
    let other = MessageEvent { service: "other".into(), start_ns: first.start_ns - 5, ..first.clone() };
    let appended = subject.put(NOW_NS, &[first.clone(), other.clone()]).await;
    assert_eq!(appended, Appended { stored: 1, duplicates: 1, conflicts: 1, tallies: 0 });
    subject.put(NOW_NS + 1, &[other]).await;
    let found = subject.under(Key::Span(first.span)).await;
    assert_eq!(found, [MessageEvent { received_ns: NOW_NS, ..first }]);
}

#[allow(missing_docs)]
pub async fn a_repeat_with_another_time_is_never_shown(subject: Subject) {
    let first = event(1, 1, Stage::Work);
    let far = |days: i64| MessageEvent {
        start_ns: first.start_ns + days * 86_400 * SECOND_NS,
        keys: vec!["only".into()],
        ..first.clone()
    };
    subject.put(NOW_NS, std::slice::from_ref(&first)).await;
    for (number, repeat) in [far(-3), far(2)].into_iter().enumerate() {
        subject.put(NOW_NS + 1 + number as i64, &[event(2, 2 + number as u64, Stage::Work), repeat]).await;
    }
    let expected = [MessageEvent { received_ns: NOW_NS, ..first.clone() }];
    assert_eq!(subject.under(Key::Trace(first.trace)).await, expected);
    assert_eq!(subject.under(Key::Business("only".into())).await, []);
    for events_max in [1, 10] {
        assert_eq!(subject.all_found(&Query::default(), events_max).await.len(), 3);
    }
}

#[allow(missing_docs)]
pub async fn a_duplicate_is_not_found_by_what_only_it_has(subject: Subject) {
    let first = event(1, 1, Stage::Work);
    let other = MessageEvent {
        parent: event(1, 77, Stage::Work).span,
        keys: vec!["only".into()],
        correlation_id: "only".into(),
        service: "only".into(),
        ..first.clone()
    };
    subject.put(NOW_NS, std::slice::from_ref(&first)).await;
    subject.put(NOW_NS + 1, std::slice::from_ref(&other)).await;
    for key in [Key::Business("only".into()), Key::Correlation("only".into()), Key::Children(other.parent)] {
        assert_eq!(subject.under(key.clone()).await, [], "{key:?}");
    }
    let word = Query {
        terms: vec![hopscope_model::query::Term::Free(hopscope_model::query::Free::Word("only".into()))],
        ..Query::default()
    };
    assert_eq!(subject.all_found(&word, 10).await, []);
}

#[allow(missing_docs)]
pub async fn tenants_are_isolated(subject: Subject) {
    let other = Tenant::new("other").expect("a tenant");
    let events = message(1, "payment");
    subject.put(NOW_NS, &events).await;
    let mut builder = BatchBuilder::new(other.clone(), Source::Otlp, NOW_NS);
    builder.push_event(&events[0]);
    builder.push_event(&event(5, 5, Stage::Work));
    let appended = subject.append(builder.finish()).await.expect("append");
    assert_eq!(appended.stored, 2, "another tenant's events are no duplicates");
    let page = Page { events_max: 10, after: None, now_ns: NOW_NS };
    let store = subject.store();
    let found = store.search(&other, &Query::default(), &page).await.expect("search");
    assert_eq!(found.events.len(), 2);
    let keys = [Key::Trace(events[0].trace)];
    let evidence = store.events(&other, &keys, &Limits::default(), None).await.expect("events");
    assert_eq!(evidence.events.len(), 1);
    assert_eq!(subject.all_found(&Query::default(), 10).await.len(), 3);
    store.retain(&other, &Retention { keep_since_ns: i64::MAX }).await.expect("retain");
    assert_eq!(subject.all_found(&Query::default(), 10).await.len(), 3);
    let nobody = Tenant::new("nobody").expect("a tenant");
    let found = store.search(&nobody, &Query::default(), &page).await.expect("search");
    assert!(found.events.is_empty() && found.coverage.complete);
}

#[allow(missing_docs)]
pub async fn concurrent_appends_are_all_there(subject: Subject) {
    let store = subject.store();
    let appends: Vec<_> = (0..32u64)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let appended = store.append(batch(NOW_NS, &copies(number, 5, 1))).await.expect("append");
                // Visible from here on, to everybody.
                let keys = [Key::Trace(event(number, 0, Stage::Work).trace)];
                let found = store.events(&Tenant::default(), &keys, &Limits::default(), None).await;
                assert_eq!(found.expect("events").events.len(), 5);
                appended.stored
            })
        })
        .collect();
    let mut stored = 0;
    for append in appends {
        stored += append.await.expect("no panic");
    }
    assert_eq!(stored, 160);
    assert_eq!(subject.all_found(&Query::default(), 50).await.len(), 160);
}

#[allow(missing_docs)]
pub async fn a_sound_store_has_no_findings(subject: Subject) {
    subject.put(NOW_NS, &message(1, "payment")).await;
    subject.put(NOW_NS, &message(2, "payment")).await;
    subject.put(NOW_NS, &message(2, "payment")).await;
    for depth in [Depth::Quick, Depth::Full] {
        let report = subject.store().check(depth).await.expect("check");
        assert_eq!(report.findings, [], "{depth:?}");
        assert_eq!(report.events, 6, "{depth:?}");
    }
}
