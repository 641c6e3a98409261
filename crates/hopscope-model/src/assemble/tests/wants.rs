//! What is asked for one message: enough, and no more.

use super::build::{Build, ctx, evidence, process, receive, send, settle, work};
use crate::{Evidence, Key, MessageEvent, MessageRef, Trajectory, assemble, wants};
use std::collections::BTreeSet;

/// What a store answers.
fn answer(all: &Evidence, key: &Key) -> Vec<MessageEvent> {
    let found = |event: &&MessageEvent| match key {
        Key::Span(span) => event.span == *span,
        Key::Children(span) => event.parent == *span,
        Key::Creation(context) => event.creation == Some(*context),
        Key::Position(at) => {
            (&event.system, &event.destination, &event.lane) == (&at.system, &at.destination, &at.lane)
                && event.position == Some(at.position)
        }
        Key::MessageId { system, destination, id } => {
            event.message_id == *id
                && event.system == *system
                && (destination.is_empty() || event.destination == *destination)
        }
        _ => false,
    };
    all.events.iter().filter(found).cloned().collect()
}

/// Asks until there is nothing to ask; the story, the keys, the most events that were held.
fn told(reference: &str, all: &Evidence) -> (Trajectory, BTreeSet<Key>, usize) {
    let reference: MessageRef = reference.parse().expect("a reference");
    let (mut asked, mut evidence) = (BTreeSet::new(), Evidence::default());
    loop {
        let keys = wants(&reference, &evidence, &asked);
        if keys.is_empty() {
            break;
        }
        for key in keys {
            evidence.events.extend(answer(all, &key));
            asked.insert(key);
        }
    }
    let story = assemble(&reference, &evidence, super::build::NOW).expect("it is there");
    (story, asked, evidence.events.len())
}

/// An order whose handling caused a payment, in one trace, with ordinary spans around.
fn flow() -> Vec<Build> {
    vec![
        work(1, 100).by("checkout", "c1"),
        send(1, 1).under(100).orders(15),
        receive(1, 2).made_by(ctx(1, 1)).orders(15).group("payment").ms(5, 1),
        process(1, 3).made_by(ctx(1, 1)).under(2).orders(15).group("payment").ms(7, 40),
        work(1, 4).under(3).ms(8, 10),
        send(1, 5).under(4).to("rabbitmq", "payments").id("pay-1").by("payment", "p1").ms(20, 1),
        settle(1, 6).under(3).to("kafka", "orders").ms(48, 1),
        process(1, 7)
            .made_by(ctx(1, 5))
            .under(5)
            .to("rabbitmq", "payments")
            .id("pay-1")
            .group("fulfilment")
            .ms(60, 5),
        settle(1, 8).under(7).to("rabbitmq", "payments").ms(66, 1),
    ]
}

#[test]
fn asking_step_by_step_tells_the_same_as_knowing_everything() {
    let all = evidence(flow());
    for reference in ["kafka:orders/0/15", "id:rabbitmq:payments:pay-1"] {
        let (story, ..) = told(reference, &all);
        assert_eq!(
            Some(story),
            assemble(&reference.parse().expect("valid"), &all, super::build::NOW),
            "{reference}"
        );
    }
    let context = format!("ctx:{}", ctx(1, 1));
    assert_eq!(told(&context, &all).0.events.len(), 4, "by any of its names");
}

#[test]
fn the_first_question_is_the_reference_itself() {
    let reference: MessageRef = "kafka:orders/0/15".parse().expect("valid");
    let keys = wants(&reference, &Evidence::default(), &BTreeSet::new());
    assert_eq!(keys, [Key::Position(super::build::orders(15))]);
    let asked = keys.into_iter().collect();
    assert_eq!(wants(&reference, &Evidence::default(), &asked), [], "a message that is nowhere");
}

#[test]
fn progress_is_asked_where_there_are_positions() {
    let (_, asked, _) = told("kafka:orders/0/15", &evidence(flow()));
    assert!(asked.contains(&Key::Progress(super::build::orders(15))));
    let (_, asked, _) = told("id:rabbitmq:payments:pay-1", &evidence(flow()));
    assert!(!asked.iter().any(|key| matches!(key, Key::Progress(at) if at.system == "rabbitmq")));
}

#[test]
fn a_message_inside_a_huge_trace_needs_a_few_of_its_events() {
    // Everything of the flow, and ten thousand other messages of the same trace.
    let others = (0..10_000u32).flat_map(|n| {
        let span = |kind: u8| {
            let mut context = ctx(1, 0);
            context.span.0[..5].copy_from_slice(&[kind, 1, (n >> 16) as u8, (n >> 8) as u8, n as u8]);
            context
        };
        let mut sent = send(1, 1).under(100).orders(100 + i64::from(n));
        (sent.0.span, sent.0.creation) = (span(1).span, Some(span(1)));
        let mut handled = process(1, 1).made_by(span(1)).orders(100 + i64::from(n)).group("payment");
        (handled.0.span, handled.0.parent) = (span(2).span, span(1).span);
        [sent, handled]
    });
    let all = evidence(flow().into_iter().chain(others));
    let (story, asked, held) = told("kafka:orders/0/15", &all);
    assert_eq!(story.events.len(), 4);
    assert!(asked.len() < 24 && held < 64, "{} keys, {held} events", asked.len());
}

#[test]
fn copies_are_found_from_both_ends() {
    let mut events = flow();
    let dead = process(1, 9)
        .made_by(ctx(1, 5))
        .to("rabbitmq", "payments.dlx")
        .id("pay-1")
        .group("payments.dead")
        .ms(90, 5);
    events.push(
        dead.copied_from("dead_letter", "payments", "fulfilment")
            .text("hopscope.copied_from.message_id", "pay-1"),
    );
    let all = evidence(events);
    for reference in ["id:rabbitmq:payments:pay-1", "id:rabbitmq:payments.dlx:pay-1"] {
        let (story, ..) = told(reference, &all);
        assert_eq!(story.copies.len(), 1, "{reference}");
        assert!(story.copies[0].other.is_some(), "{reference}");
    }
}
