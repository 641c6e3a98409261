//! What is told of the orders that meet with trouble: batches, retries, dead letters and the way back.

use crate::{Order, Played, group, outcomes, told};
use hopscope_client::Client;
use hopscope_client::api::{Attempt, BatchPlace, Copy, MessageAnswer};
use std::collections::BTreeSet;

/// Orders that come in one batch.
const BATCH: usize = 5;

pub(crate) async fn are_told(client: &Client, played: &Played) {
    the_batch(client, played).await;
    a_retry_in_place(client, played).await;
    a_retry_topic(client, played).await;
    a_dead_letter_of_one_of_a_batch(client, played).await;
    a_dead_letter_that_is_sent_back(client, played).await;
    a_dead_letter_on_jetstream(client, played).await;
    a_dead_letter_of_rocketmqs_own(client, played).await;
    a_request(client, played).await;
    one_parcel_of_a_carrier_at_a_time(client, played).await;
}

fn on_kafka(played: &Played, order: Order<'_>) -> String {
    format!("kafka:{}/0/{}", played.name("orders"), order.offset())
}

/// Attempts in place: number, delay, type of the error.
pub(crate) fn in_place(attempt: &Attempt) -> Vec<(u32, i64, &str)> {
    let retries = attempt.retries.iter();
    retries.map(|retry| (retry.attempt, retry.delay_ms.0, retry.error_type.as_str())).collect()
}

fn place(batch: Option<&BatchPlace>) -> (u32, Option<u32>) {
    let batch = batch.expect("a batch");
    assert_eq!(batch.part, None, "a small batch is told in one part");
    (batch.messages, batch.place)
}

fn copy<'a>(answer: &'a MessageAnswer, kind: &str) -> &'a Copy {
    let copies = &answer.trajectory.copies;
    copies.iter().find(|copy| copy.kind == kind).unwrap_or_else(|| panic!("no {kind}: {copies:#?}"))
}

/// The message at the other end, once it is known; and that it leads back.
async fn other(client: &Client, of: &MessageAnswer, kind: &str) -> MessageAnswer {
    let reference = copy(of, kind).other.clone().expect("a reference");
    let is_read = |answer: &MessageAnswer| {
        answer.trajectory.groups.iter().any(|group| group.state == "succeeded")
            && answer.trajectory.copies.iter().any(|copy| copy.kind == kind)
    };
    let other = told(client, &reference, is_read).await;
    let back = copy(&other, kind);
    assert!(back.other_is_original != copy(of, kind).other_is_original, "one of them is the copy");
    assert_eq!(back.other.as_deref(), Some(of.message.reference.as_str()), "the link leads back");
    other
}

fn references(answer: &MessageAnswer) -> BTreeSet<&str> {
    answer.tree.iter().map(|node| node.message.reference.as_str()).collect()
}

/// Sent in one call and handled in one, each for itself to whoever asks.
async fn the_batch(client: &Client, played: &Played) {
    let mut spans = BTreeSet::new();
    for index in 0..BATCH {
        let reference = on_kafka(played, played.order(index));
        let is_whole = |answer: &MessageAnswer| answer.trajectory.groups.len() == 2 && answer.tree.len() > 1;
        let answer = told(client, &reference, is_whole).await;
        let number = u32::try_from(index).expect("small") + 1;
        let send = answer.trajectory.sends.iter().find(|send| send.batch.is_some()).expect("a batch");
        assert_eq!(place(send.batch.as_ref()), (5, Some(number)));
        let analytics = group(&answer, played.name("analytics"));
        assert_eq!(place(analytics.attempts[0].batch.as_ref()), (5, Some(number)));
        let batches = [send.batch.as_ref(), analytics.attempts[0].batch.as_ref()];
        spans.insert(batches.map(|batch| batch.expect("a batch").span.clone()));
        for other in (0..BATCH).filter(|other| *other != index) {
            let sibling = on_kafka(played, played.order(other));
            assert!(!references(&answer).contains(sibling.as_str()), "{sibling} beside {reference}");
        }
        let keys: BTreeSet<&String> = answer.tree.iter().flat_map(|node| &node.message.keys).collect();
        assert_eq!(keys.len(), 1, "what others of the batch caused is none of its: {:#?}", answer.tree);
    }
    assert_eq!(spans.len(), 1, "one batch sent, one handled: {spans:?}");
    let alone = told(client, &on_kafka(played, played.last()), |_| true).await;
    assert!(alone.trajectory.sends.iter().all(|send| send.batch.is_none()));
}

async fn a_retry_in_place(client: &Client, played: &Played) {
    let payment = played.name("payment");
    let is_paid =
        |answer: &MessageAnswer| answer.trajectory.groups.iter().any(|group| group.group == payment);
    let answer = told(client, &on_kafka(played, played.order(1)), is_paid).await;
    let story = group(&answer, payment);
    assert_eq!((story.state.as_str(), outcomes(&story.attempts)), ("succeeded", vec![(1, "ok", "accept")]));
    assert_eq!(in_place(&story.attempts[0]), [(1, 50, "bank_busy")]);
}

/// Two tries in place, then a copy that comes later; to a person, the second attempt of one message.
async fn a_retry_topic(client: &Client, played: &Played) {
    let payment = played.name("payment");
    let is_paid = |answer: &MessageAnswer| {
        let groups = &answer.trajectory.groups;
        groups.iter().any(|group| group.group == payment && group.attempts.len() == 2)
    };
    let answer = told(client, &on_kafka(played, played.order(4)), is_paid).await;
    let story = group(&answer, payment);
    assert_eq!(
        (story.state.as_str(), outcomes(&story.attempts)),
        ("succeeded", vec![(1, "failed", "retry"), (2, "ok", "accept")])
    );
    assert_eq!(in_place(&story.attempts[0]), [(1, 50, "bank_away")]);
    assert!(story.attempts[0].of_copy.is_none() && story.attempts[1].of_copy.is_some());
    let retry = copy(&answer, "retry");
    assert_eq!(
        (retry.destination.as_str(), retry.error_type.as_str()),
        (played.name("orders_retry"), "bank_away")
    );
    let copied = other(client, &answer, "retry").await;
    assert!(references(&answer).iter().any(|one| one.starts_with("id:rabbitmq")), "{:#?}", answer.tree);
    assert_eq!(copied.message.destination, played.name("orders_retry"));
}

/// It alone of the five: the others of the batch have nothing to do with its copy.
async fn a_dead_letter_of_one_of_a_batch(client: &Client, played: &Played) {
    let answer = told(client, &on_kafka(played, played.order(2)), |answer| {
        answer.trajectory.copies.iter().any(|copy| copy.kind == "dead_letter")
    })
    .await;
    let analytics = group(&answer, played.name("analytics"));
    assert_eq!(analytics.state, "dead_lettered");
    assert_eq!(analytics.attempts[0].reason, "no_amount");
    let letter = copy(&answer, "dead_letter");
    assert_eq!(letter.group, played.name("analytics"));
    assert_eq!((letter.error_type.as_str(), letter.attempts), ("no_amount", Some(1)));
    assert_eq!(letter.reason, format!("{} has no amount", played.order(2).text("order")));
    let dead = other(client, &answer, "dead_letter").await;
    assert_eq!(dead.message.destination, played.name("orders_dead"));
    assert_eq!(group(&dead, played.name("support")).state, "succeeded", "support has read it");
    for index in [0, 1, 3, 4] {
        let sibling = told(client, &on_kafka(played, played.order(index)), |_| true).await;
        assert!(!references(&sibling).contains(dead.message.reference.as_str()), "{:#?}", sibling.tree);
        assert!(sibling.trajectory.copies.iter().all(|copy| copy.kind != "dead_letter"));
        assert_eq!(group(&sibling, played.name("analytics")).state, "succeeded");
    }
    let sibling = on_kafka(played, played.order(0));
    assert!(!references(&dead).contains(sibling.as_str()), "{:#?}", dead.tree);
}

/// On RabbitMQ, by the helper; support sends it back, and then it goes its way to the end.
async fn a_dead_letter_that_is_sent_back(client: &Client, played: &Played) {
    let order = played.order(7);
    let reference = format!("id:rabbitmq:{}:{}", played.name("payments"), order.text("payment_id"));
    let payment = told(client, &reference, |answer| {
        answer.trajectory.copies.iter().any(|copy| copy.kind == "dead_letter")
    })
    .await;
    let fulfilment = group(&payment, played.name("fulfilment"));
    assert_eq!(fulfilment.state, "dead_lettered");
    assert_eq!(outcomes(&fulfilment.attempts), [(1, "failed", "reject")]);
    let letter = copy(&payment, "dead_letter");
    assert_eq!(
        (letter.destination.as_str(), letter.group.as_str()),
        (played.name("payments_dlx"), played.name("fulfilment"))
    );
    assert_eq!((letter.error_type.as_str(), letter.attempts), ("card_blocked", Some(1)));
    assert_eq!(letter.reason, "the bank has blocked the card");
    let dead = other(client, &payment, "dead_letter").await;
    assert_eq!(group(&dead, played.name("payments_dead")).state, "succeeded");
    let back = other(client, &dead, "redrive").await;
    assert_eq!(outcomes(&group(&back, played.name("fulfilment")).attempts), [(1, "ok", "accept")]);
    let reaches = |system: &str| back.tree.iter().any(|node| node.message.system == system);
    assert!(reaches("rocketmq"), "shipped and told: {:#?}", back.tree);
}

async fn a_dead_letter_on_jetstream(client: &Client, played: &Played) {
    let id = played.order(8).text("shipment_id");
    let reference = format!("id:nats:{}:{id}", played.name("stream"));
    let shipment = told(client, &reference, |answer| {
        answer.trajectory.copies.iter().any(|copy| copy.kind == "dead_letter")
    })
    .await;
    let shipping = group(&shipment, played.name("shipping"));
    assert_eq!(
        (shipping.state.as_str(), outcomes(&shipping.attempts)),
        ("dead_lettered", vec![(1, "failed", "retry"), (2, "failed", "reject")])
    );
    let letter = copy(&shipment, "dead_letter");
    assert_eq!((letter.error_type.as_str(), letter.attempts), ("no_such_address", Some(2)));
    let dead = other(client, &shipment, "dead_letter").await;
    assert_eq!(dead.message.destination, played.name("stream_dead"));
    assert_eq!(group(&dead, played.name("support")).state, "succeeded");
}

/// The broker's copy says where it came from, not why; the attempts do.
async fn a_dead_letter_of_rocketmqs_own(client: &Client, played: &Played) {
    let id = played.order(10).text("notification_id");
    let reference = format!("id:rocketmq:{}:{id}", played.name("notifications"));
    let notification = told(client, &reference, |answer| {
        answer.trajectory.copies.iter().any(|copy| copy.kind == "dead_letter")
    })
    .await;
    let notify = group(&notification, played.name("notify"));
    assert_eq!(
        (notify.state.as_str(), outcomes(&notify.attempts)),
        ("dead_lettered", vec![(1, "failed", "retry"), (2, "failed", "reject")])
    );
    assert_eq!(notify.attempts[1].reason, "smtp_refused");
    let dead = copy(&notification, "dead_letter");
    assert_eq!(dead.destination, played.name("notifications_dead"));
    let dead = told(client, dead.other.as_deref().expect("a reference"), |answer| {
        answer.trajectory.groups.iter().any(|group| group.state == "succeeded")
    })
    .await;
    assert!(
        dead.trajectory.copies.iter().any(|copy| copy.other_is_original),
        "{:#?}",
        dead.trajectory.copies
    );
}

/// Asked and answered on core NATS; the reply is an effect of the request.
async fn a_request(client: &Client, played: &Played) {
    let is_whole = |answer: &MessageAnswer| {
        answer.tree.iter().any(|node| node.message.destination == played.name("reserve"))
    };
    let order = told(client, &on_kafka(played, played.order(0)), is_whole).await;
    let request = order.tree.iter().find(|node| node.message.destination == played.name("reserve"));
    let request = &request.expect("it was waited for").message;
    let is_answered = |answer: &MessageAnswer| answer.tree.iter().any(|node| node.distance == 1);
    let asked = told(client, &request.reference, is_answered).await;
    assert_eq!(asked.message.sender, "fulfilment");
    assert_eq!(group(&asked, played.name("warehouse")).state, "succeeded");
    let reply = asked.tree.iter().find(|node| node.distance == 1).expect("it was waited for");
    assert_eq!((reply.through_service.as_str(), reply.message.sender.as_str()), ("warehouse", "warehouse"));
    assert!(reply.message.groups.iter().any(|group| group.state == "succeeded"), "{reply:#?}");
}

/// Handlers run side by side, those of one subject one after another.
async fn one_parcel_of_a_carrier_at_a_time(client: &Client, played: &Played) {
    let mut handled: Vec<(String, i64, i64)> = Vec::new();
    for index in 0..crate::ORDERS {
        let reference =
            format!("id:nats:{}:{}", played.name("stream"), played.order(index).text("shipment_id"));
        let is_handled = |answer: &MessageAnswer| {
            answer
                .trajectory
                .groups
                .iter()
                .any(|group| ["succeeded", "dead_lettered"].contains(&group.state.as_str()))
        };
        let shipment = told(client, &reference, is_handled).await;
        for event in shipment.trajectory.events.iter().filter(|event| event.stage == "process") {
            let end_ns = event.start_ns.0 + event.duration_ns.expect("it has ended").0;
            handled.push((shipment.message.address.clone(), event.start_ns.0, end_ns));
        }
    }
    handled.sort_unstable();
    let pairs = || handled.iter().zip(handled.iter().skip(1)).filter(|(one, next)| one.0 == next.0);
    assert!(pairs().count() >= crate::ORDERS - 2, "two carriers: {handled:?}");
    for (one, next) in pairs() {
        assert!(one.2 <= next.1, "two at a time: {one:?} {next:?}");
    }
}
