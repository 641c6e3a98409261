//! What caused a message and what it caused; dead letters and retries.

use super::build::{Build, MS, create, ctx, evidence, process, send, work};
use super::{all, states, story};
use crate::{Disposition, Evidence, Related, Value};

const ORDER: &str = "kafka:orders/0/15";
const PAYMENT: &str = "id:rabbitmq:payments:pay-1";

fn order() -> [Build; 2] {
    [
        send(1, 1).orders(15).ms(0, 2),
        process(1, 2).made_by(ctx(1, 1)).under(1).orders(15).group("payment").ms(10, 50),
    ]
}

fn payment(parent: u8) -> Build {
    send(1, 5).under(parent).to("rabbitmq", "payments").id("pay-1").by("payment", "p1").ms(40, 3)
}

fn told(related: &[Related]) -> Vec<String> {
    let line = |related: &Related| {
        let after = related.after_ns.map_or("?".into(), |ns| (ns / MS).to_string());
        format!(
            "{} through {} after {after} over {}",
            related.message,
            related.service,
            related.through.len()
        )
    };
    related.iter().map(line).collect()
}

#[test]
fn a_send_inside_a_handler_was_caused_by_the_handled_message() {
    let evidence = evidence(order().into_iter().chain([payment(2)]));
    assert_eq!(told(&story(PAYMENT, &evidence).causes), [format!("{ORDER} through payment after 30 over 0")]);
    assert_eq!(
        told(&story(ORDER, &evidence).effects),
        [format!("{PAYMENT} through payment after 30 over 0")]
    );
    assert!(story(ORDER, &evidence).causes.is_empty() && story(PAYMENT, &evidence).effects.is_empty());
}

#[test]
fn ordinary_spans_between_are_passed_through_also_across_services() {
    let http = work(1, 3).under(2).ms(12, 30);
    let remote = work(1, 4).under(3).by("ledger", "l1").ms(14, 20);
    let evidence = evidence(order().into_iter().chain([http, remote, payment(4).by("ledger", "l1")]));
    // Two services, two clocks: the time between them is not told.
    assert_eq!(told(&story(PAYMENT, &evidence).causes), [format!("{ORDER} through payment after ? over 2")]);
    assert_eq!(story(PAYMENT, &evidence).causes[0].through, [ctx(1, 4), ctx(1, 3)], "nearest first");
    assert_eq!(told(&story(ORDER, &evidence).effects), [format!("{PAYMENT} through payment after ? over 2")]);
}

#[test]
fn a_missing_span_breaks_the_chain_and_nothing_is_guessed() {
    let evidence = evidence(order().into_iter().chain([payment(9)]));
    assert!(story(PAYMENT, &evidence).causes.is_empty() && story(ORDER, &evidence).effects.is_empty());
}

#[test]
fn a_batch_handler_s_send_was_caused_by_every_message_of_the_batch() {
    let of_batch = |position: i64| {
        process(1, 2).made_by(ctx(position as u8, 1)).orders(position).group("payment").ms(10, 50)
    };
    let evidence = evidence([of_batch(15), of_batch(16), payment(2)]);
    assert_eq!(story(PAYMENT, &evidence).causes.len(), 2);
    for reference in ["kafka:orders/0/15", "kafka:orders/0/16"] {
        assert_eq!(story(reference, &evidence).effects.len(), 1);
    }
}

#[test]
fn spans_in_a_circle_come_to_an_end() {
    let evidence = evidence([work(1, 3).under(4), work(1, 4).under(3), payment(3)]);
    assert!(story(PAYMENT, &evidence).causes.is_empty());
}

fn dead_letter() -> Evidence {
    let handled =
        process(1, 6).made_by(ctx(1, 5)).to("rabbitmq", "payments").id("pay-1").group("fulfilment").ms(60, 5);
    let dead = process(1, 7)
        .made_by(ctx(1, 5))
        .to("rabbitmq", "payments.dlx")
        .id("pay-1")
        .group("payments.dead")
        .ms(90, 5);
    let dead = dead
        .copied_from("dead_letter", "payments", "fulfilment")
        .text("hopscope.copied_from.message_id", "pay-1")
        .text("hopscope.copied_from.reason", "rejected")
        .attribute("hopscope.copied_from.attempts", Value::Int(3));
    evidence([payment(2), handled.failed("card_blocked").asked(Disposition::Reject), dead])
}

#[test]
fn a_dead_letter_is_a_message_of_its_own_with_an_edge_both_ways() {
    let evidence = dead_letter();
    let dead = "id:rabbitmq:payments.dlx:pay-1";
    assert_eq!(all(&evidence), [dead, PAYMENT]);
    assert_eq!(
        states(PAYMENT, &evidence),
        ["fulfilment dead_lettered observed: a copy of it is in payments.dlx: rejected"]
    );
    assert_eq!(
        states(dead, &evidence),
        ["payments.dead succeeded observed: its handler said so at attempt 1"]
    );
    let (down, up) = (&story(PAYMENT, &evidence).copies[0], &story(dead, &evidence).copies[0]);
    assert_eq!((down.other_is_original, up.other_is_original), (false, true));
    assert_eq!(down.other.as_ref().map(ToString::to_string).as_deref(), Some(dead));
    assert_eq!(up.other.as_ref().map(ToString::to_string).as_deref(), Some(PAYMENT));
    for copy in [down, up] {
        assert_eq!(
            (copy.group.as_str(), copy.attempts, copy.reason.as_str()),
            ("fulfilment", Some(3), "rejected")
        );
    }
}

#[test]
fn an_original_that_nobody_saw_is_named_by_the_headers_of_its_copy() {
    let copy =
        process(9, 9).to("kafka", "orders.dead").at("0", 1).copied_from("dead_letter", "orders", "payment");
    let copy = copy
        .text("hopscope.copied_from.lane", "2")
        .attribute("hopscope.copied_from.position", Value::Int(15));
    let story = story("kafka:orders.dead/0/1", &evidence([copy]));
    assert_eq!(story.copies[0].other.as_ref().map(ToString::to_string).as_deref(), Some("kafka:orders/2/15"));
    assert!(story.gaps.is_empty(), "a copy has no sender of its own: {:?}", story.gaps);
}

#[test]
fn rocketmq_retries_are_attempts_of_the_original_in_the_group_s_story() {
    let at = |topic: &str, offset: i64, span: u8, attempt: u32, ms: i64| {
        process(1, span)
            .made_by(ctx(1, 1))
            .to("rocketmq", topic)
            .at("a/0", offset)
            .id("U1")
            .group("notify")
            .attempt(attempt)
            .ms(ms, 5)
    };
    let failed = |built: Build| built.failed("smtp").asked(Disposition::Retry);
    let evidence = evidence([
        send(1, 1).to("rocketmq", "notes").at("a/0", 7).id("U1"),
        failed(at("notes", 7, 2, 1, 10)),
        failed(at("%RETRY%notify", 3, 3, 2, 1_000)).address("notes"),
        at("%RETRY%notify", 4, 4, 3, 3_000).address("notes"),
    ]);
    let original = "rocketmq:notes/a%2F0/7";
    assert_eq!(all(&evidence).len(), 3, "each copy is a message of its own");
    let story = story(original, &evidence);
    let group = &story.groups[0];
    let attempts: Vec<_> = group
        .attempts
        .iter()
        .map(|attempt| {
            (attempt.number, attempt.of_copy.as_ref().map(ToString::to_string), attempt.outcome.name())
        })
        .collect();
    assert_eq!(
        attempts,
        [
            (1, None, "failed"),
            (2, Some("rocketmq:%25RETRY%25notify/a%2F0/3".to_owned()), "failed"),
            (3, Some("rocketmq:%25RETRY%25notify/a%2F0/4".to_owned()), "ok"),
        ]
    );
    assert_eq!(states(original, &evidence), ["notify succeeded observed: its handler said so at attempt 3"]);
    assert_eq!(story.events.len(), 2, "its own events alone");
    assert!(super::story("rocketmq:%25RETRY%25notify/a%2F0/3", &evidence).copies[0].other_is_original);
}

#[test]
fn a_rocketmq_dead_letter_topic_decides_without_headers() {
    let evidence = evidence([
        send(1, 1).to("rocketmq", "notes").at("a/0", 7).id("U1"),
        process(1, 2)
            .made_by(ctx(1, 1))
            .to("rocketmq", "notes")
            .at("a/0", 7)
            .id("U1")
            .group("notify")
            .failed("smtp"),
        process(1, 3)
            .made_by(ctx(1, 1))
            .to("rocketmq", "%DLQ%notify")
            .at("a/0", 0)
            .id("U1")
            .group("support")
            .ms(900, 1),
    ]);
    assert_eq!(
        states("rocketmq:notes/a%2F0/7", &evidence),
        ["notify dead_lettered observed: a copy of it is in %DLQ%notify"]
    );
}

#[test]
fn a_redelivery_of_the_same_stored_copy_is_an_attempt() {
    let handled = |span: u8, attempt: u32, ms: i64| {
        process(1, span)
            .made_by(ctx(1, 5))
            .to("rabbitmq", "payments")
            .id("pay-1")
            .group("fulfilment")
            .attempt(attempt)
            .ms(ms, 5)
    };
    let evidence = evidence([
        payment(2),
        handled(6, 1, 60).failed("busy").asked(Disposition::Retry),
        handled(7, 2, 400),
    ]);
    assert_eq!(all(&evidence), [PAYMENT]);
    let numbers: Vec<u32> =
        story(PAYMENT, &evidence).groups[0].attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, [1, 2]);
}

#[test]
fn what_a_handler_sends_to_a_retry_topic_is_a_copy_and_no_effect() {
    let copy = send(1, 8).under(2).to("kafka", "orders.retry").at("0", 4).by("payment", "p1").ms(50, 1);
    let copy = copy
        .copied_from("retry", "orders", "payment")
        .text("hopscope.copied_from.lane", "0")
        .attribute("hopscope.copied_from.position", Value::Int(15));
    let all = evidence(order().into_iter().chain([copy.clone()]));
    let before = story(ORDER, &all);
    assert!(before.effects.is_empty(), "{:?}", before.effects);
    assert_eq!(before.copies.len(), 1);

    // What is sent when the copy is handled is an effect of the message: its second attempt did it.
    let again = process(1, 9).made_by(ctx(1, 8)).to("kafka", "orders.retry").at("0", 4);
    let again = again.group("payment").by("payment", "p1").ms(100, 9);
    let paid = send(1, 10).under(9).to("rabbitmq", "payments").id("pay-1").by("payment", "p1").ms(105, 1);
    let all = evidence(order().into_iter().chain([copy, again, paid]));
    let after = story(ORDER, &all);
    let effects: Vec<String> = after.effects.iter().map(|effect| effect.message.to_string()).collect();
    assert_eq!(effects, [PAYMENT]);
    assert_eq!(after.groups[0].attempts.len(), 2);
}

/// Two of a batch in one handler, which dead-letters the second.
#[test]
fn a_copy_of_one_of_a_batch_is_nothing_of_its_siblings() {
    let sent = |span: u8, offset: i64| create(1, span).orders(offset).by("checkout", "c1").ms(1, 1);
    let handled = |span: u8, offset: i64| {
        process(7, 20).made_by(ctx(1, span)).orders(offset).group("payment").by("payment", "p1").ms(10, 9)
    };
    let copy = send(7, 21).under(20).to("kafka", "orders.dead").at("0", 4).by("payment", "p1").ms(15, 1);
    let copy = copy
        .copied_from("dead_letter", "orders", "payment")
        .text("hopscope.copied_from.lane", "0")
        .text("hopscope.copied_from.error_type", "no_amount")
        .attribute("hopscope.copied_from.position", Value::Int(16));
    let all = [sent(2, 15), sent(3, 16), handled(2, 15), handled(3, 16), copy];
    // Whether or not what the store found has the other one too.
    for evidence in [evidence(all.clone()), evidence([all[0].clone(), all[2].clone(), all[4].clone()])] {
        let sibling = story("kafka:orders/0/15", &evidence);
        assert!(sibling.effects.is_empty() && sibling.copies.is_empty(), "{sibling:#?}");
        let dead = story("kafka:orders.dead/0/4", &evidence);
        let causes: Vec<String> = dead.causes.iter().map(|cause| cause.message.to_string()).collect();
        assert!(!causes.contains(&"kafka:orders/0/15".to_owned()), "{causes:?}");
        assert_eq!(dead.copies[0].error_type, "no_amount");
    }
    assert_eq!(story("kafka:orders/0/16", &evidence(all)).copies[0].error_type, "no_amount");
}
