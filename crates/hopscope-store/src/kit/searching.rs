//! Cases: search, and what it says of itself.

use super::build::context;
use super::{NOW_NS, SECOND_NS, Subject, at, batch, copies, message};
use crate::Aggregation;
use hopscope_model::query::{Comparison, Field, Free, Literal, Term, Time};
use hopscope_model::{
    BatchBuilder, Cell, EventRow, Limits, MessageEvent, Position, Query, Source, State, Tenant,
};

fn orders() -> Vec<MessageEvent> {
    (1..=6)
        .flat_map(|number| message(number, if number % 2 == 0 { "payment" } else { "analytics" }))
        .collect()
}

/// What a search must find, by looking at every event.
fn reference(events: &[MessageEvent], query: &Query) -> Vec<String> {
    let all = batch(NOW_NS, events);
    let mut found: Vec<_> = all
        .events()
        .filter(|event| query.matches(*event, NOW_NS))
        .map(|event| (event.start_ns(), event.id()))
        .collect();
    found.sort_by(|one, other| other.cmp(one));
    found.into_iter().map(|(_, id)| id.to_string()).collect()
}

async fn check(subject: &Subject, events: &[MessageEvent], query: &Query) -> usize {
    let wanted = reference(events, query);
    let found: Vec<String> =
        subject.all_found(query, 4).await.iter().map(|event| event.id().to_string()).collect();
    assert_eq!(found, wanted, "{query:?}");
    wanted.len()
}

async fn put_all(subject: &Subject, events: &[MessageEvent]) {
    for (number, part) in events.chunks(5).enumerate() {
        subject.put(NOW_NS + number as i64, part).await;
    }
}

fn terms(terms: impl IntoIterator<Item = Term>) -> Query {
    Query { terms: terms.into_iter().collect(), ..Query::default() }
}

fn attribute(negated: bool, name: &str, value: &str) -> Term {
    Term::Attribute { negated, name: name.into(), value: value.into() }
}

fn field(negated: bool, field: Field, value: &str) -> Term {
    Term::Field { negated, field, comparison: Comparison::Equal, value: Literal::Text(value.into()) }
}

#[allow(missing_docs)]
pub async fn searches_newest_first(subject: Subject) {
    let events = orders();
    put_all(&subject, &events).await;
    assert_eq!(check(&subject, &events, &Query::default()).await, 18);
}

async fn pages(subject: &Subject, spread_ns: i64) {
    let events = copies(1, 41, spread_ns);
    put_all(subject, &events).await;
    let wanted = reference(&events, &Query::default());
    for events_max in [1, 3, 40, 41, 42] {
        let found = subject.all_found(&Query::default(), events_max).await;
        let found: Vec<String> = found.iter().map(|event| event.id().to_string()).collect();
        assert_eq!(found, wanted, "events_max={events_max}");
    }
}

#[allow(missing_docs)]
pub async fn search_is_paged_exactly_once(subject: Subject) {
    pages(&subject, SECOND_NS).await;
}

#[allow(missing_docs)]
pub async fn search_with_equal_times_is_paged_exactly_once(subject: Subject) {
    pages(&subject, 0).await;
}

#[allow(missing_docs)]
pub async fn searches_every_field_as_the_query_matches(subject: Subject) {
    let events = orders();
    put_all(&subject, &events).await;
    let texts = [
        (Field::Service, "checkout", 6),
        (Field::Service, "pay*", 6),
        (Field::Destination, "orders", 18),
        (Field::Destination, "orders.created", 18),
        (Field::System, "kafka", 18),
        (Field::System, "nats", 0),
        (Field::Group, "analytics", 6),
        (Field::Group, "*", 18),
        (Field::Key, "order-3", 3),
        (Field::Key, "customer-*", 18),
        (Field::MessageId, "message-5", 3),
        (Field::MessageId, "nobody", 0),
        (Field::Outcome, "failed", 6),
        (Field::Outcome, "ok", 12),
        (Field::Stage, "receive", 6),
    ];
    for (of, value, count) in texts {
        assert_eq!(check(&subject, &events, &terms([field(false, of, value)])).await, count, "{of} {value}");
        let not = check(&subject, &events, &terms([field(true, of, value)])).await;
        assert_eq!(not, 18 - count, "-{of} {value}");
    }
    let numbers = [
        (Field::Duration, Comparison::Greater, Literal::Duration(1_000), 18),
        (Field::Duration, Comparison::Less, Literal::Duration(1_000), 0),
        (Field::Attempt, Comparison::GreaterOrEqual, Literal::Number(1), 12),
        (Field::Attempt, Comparison::Equal, Literal::Number(2), 0),
    ];
    for (of, comparison, value, count) in numbers {
        let term = Term::Field { negated: false, field: of, comparison, value };
        assert_eq!(check(&subject, &events, &terms([term])).await, count, "{of}");
    }
    let both = terms([field(false, Field::Key, "order-2"), field(false, Field::Stage, "process")]);
    assert_eq!(check(&subject, &events, &both).await, 1);
    let contradiction = terms([field(false, Field::Key, "order-2"), field(false, Field::Key, "order-3")]);
    assert_eq!(check(&subject, &events, &contradiction).await, 0);
}

#[allow(missing_docs)]
pub async fn searches_every_attribute_by_the_text_of_its_value(subject: Subject) {
    let events = orders();
    put_all(&subject, &events).await;
    let attributes = [
        ("text", "größer \"quoted\" \n", 18),
        ("text", "größer*", 18),
        ("text", "größer", 0),
        ("int", "-7", 18),
        ("int", "-70", 0),
        ("int", "*", 18),
        ("double", "0.1", 18),
        ("bool", "true", 18),
        ("bool", "false", 0),
        ("bytes", "00ff", 18),
        ("json", "[1,2,{\"a\":null}]", 18),
        ("a", "null", 0),
        ("nowhere", "*", 0),
    ];
    for (name, value, count) in attributes {
        assert_eq!(check(&subject, &events, &terms([attribute(false, name, value)])).await, count, "{name}");
        let not = check(&subject, &events, &terms([attribute(true, name, value)])).await;
        assert_eq!(not, 18 - count, "-{name} {value}");
    }
    let both = terms([attribute(false, "int", "-7"), field(false, Field::Key, "order-2")]);
    assert_eq!(check(&subject, &events, &both).await, 3);
}

#[allow(missing_docs)]
pub async fn searches_attributes_of_resources(subject: Subject) {
    let mut builder = BatchBuilder::new(Tenant::default(), Source::Otlp, NOW_NS);
    for number in 0..12u64 {
        let text = |builder: &mut BatchBuilder, text: &str| builder.intern(text);
        let own = [(text(&mut builder, "own"), Cell::Int(number as i64 % 2))];
        let zone = text(&mut builder, &format!("zone-{}", number % 3));
        let shared = [(text(&mut builder, "zone"), Cell::Text(zone))];
        let resource = if number < 9 { builder.resource(&shared) } else { 0 };
        let span = context(1, number + 1).span;
        let row = EventRow { span, start_ns: NOW_NS - number as i64, resource, ..EventRow::default() };
        builder.push(row, &[], &[], &own);
    }
    subject.append(builder.finish()).await.expect("append");
    let asked: [(&[Term], usize); 6] = [
        (&[attribute(false, "zone", "zone-1")], 3),
        (&[attribute(true, "zone", "zone-1")], 9),
        (&[attribute(true, "zone", "*")], 3),
        (&[attribute(false, "zone", "zone-1"), attribute(false, "own", "1")], 2),
        (&[attribute(true, "zone", "zone-*"), attribute(false, "own", "1")], 2),
        (&[attribute(false, "own", "zone-1")], 0),
    ];
    for (asked, count) in asked {
        let query = terms(asked.iter().cloned());
        assert_eq!(subject.all_found(&query, 2).await.len(), count, "{query}");
        let counts = Aggregation { query, now_ns: NOW_NS, rows_max: 9, ..Aggregation::default() };
        let counted: u64 = subject.aggregate(&counts).await.rows.iter().map(|row| row.events).sum();
        assert_eq!(counted, count as u64, "{}", counts.query);
    }
}

#[allow(missing_docs)]
pub async fn searches_free_text_as_the_query_matches(subject: Subject) {
    let events = orders();
    put_all(&subject, &events).await;
    let creation = events[3].creation.expect("set");
    let free = [
        (Free::Trace(events[3].trace), 3),
        (Free::Trace(context(99, 0).trace), 0),
        (Free::Span(events[4].span), 1),
        (Free::Span(creation.span), 3),
        (Free::Context(creation), 3),
        (Free::Context(context(98, 3)), 0),
        (Free::Position(at("2", 2)), 3),
        (Free::Position(Position { system: String::new(), ..at("2", 2) }), 3),
        (Free::Position(Position { cluster: "other".into(), ..at("2", 2) }), 0),
        (Free::Word("message-4".into()), 3),
        (Free::Word("conversation-1".into()), 6),
        (Free::Word("order-6".into()), 3),
        (Free::Word("orders".into()), 18),
        (Free::Word("payment".into()), 6),
        (Free::Word("nobody".into()), 0),
    ];
    for (free, count) in free {
        let query = terms([Term::Free(free)]);
        assert_eq!(check(&subject, &events, &query).await, count, "{query:?}");
    }
}

#[allow(missing_docs)]
pub async fn searches_a_range_of_time(subject: Subject) {
    let events = copies(1, 20, SECOND_NS);
    put_all(&subject, &events).await;
    let range = |since, until| Query { terms: Vec::new(), since, until };
    let ago = |seconds: u64| Some(Time::Ago(seconds * SECOND_NS as u64));
    assert_eq!(check(&subject, &events, &range(ago(5), None)).await, 6);
    assert_eq!(check(&subject, &events, &range(None, ago(5))).await, 14);
    assert_eq!(check(&subject, &events, &range(ago(10), ago(5))).await, 5);
    assert_eq!(check(&subject, &events, &range(ago(5), ago(10))).await, 0);
    assert_eq!(check(&subject, &events, &range(Some(Time::At(NOW_NS)), None)).await, 1);
    assert_eq!(check(&subject, &events, &range(Some(Time::At(NOW_NS + 1)), None)).await, 0);
}

#[allow(missing_docs)]
pub async fn search_leaves_states_out(subject: Subject) {
    let events = orders();
    put_all(&subject, &events).await;
    let query = terms([field(false, Field::State, State::Expired.name())]);
    assert_eq!(check(&subject, &events, &query).await, 18);
}

#[allow(missing_docs)]
pub async fn coverage_names_what_is_stored(subject: Subject) {
    subject.put(NOW_NS + 5, &message(1, "payment")).await;
    subject.put(NOW_NS + 9, &message(2, "payment")).await;
    let coverage = subject.search(&Query::default(), 1, None).await.coverage;
    assert_eq!(coverage.received_ns, Some((NOW_NS + 5, NOW_NS + 9)));
    assert!(coverage.complete && coverage.why_not.is_empty() && coverage.segments >= 1);
    let evidence = subject.all_events(&[], &Limits::default()).await;
    assert_eq!(evidence.coverage.received_ns, Some((NOW_NS + 5, NOW_NS + 9)));
}
