//! Identity and joining.

use super::build::{create, ctx, evidence, process, receive, send, settle};
use super::{all, gaps, joined, story};
use crate::{MessageRef, Value, assemble};

#[test]
fn events_with_the_same_coordinates_are_one_message() {
    let evidence = evidence([
        send(1, 1).orders(15),
        receive(2, 2).orders(15).group("payment"),
        process(3, 3).orders(15).group("payment"),
    ]);
    assert_eq!(all(&evidence), ["kafka:orders/0/15"]);
    assert_eq!(
        joined("kafka:orders/0/15", &evidence),
        ["send:subject", "receive:coordinates", "process:coordinates"]
    );
}

#[test]
fn other_positions_lanes_destinations_and_systems_are_other_messages() {
    let at = |system: &str, destination: &str, lane: &str, position: i64| {
        receive(0, 0).to(system, destination).at(lane, position)
    };
    let evidence = evidence([
        at("kafka", "orders", "0", 15),
        at("kafka", "orders", "0", 16),
        at("kafka", "orders", "1", 15),
        at("kafka", "orders2", "0", 15),
        at("rocketmq", "orders", "0", 15),
    ]);
    assert_eq!(all(&evidence).len(), 5);
}

#[test]
fn a_creation_context_joins_what_has_no_coordinates() {
    let evidence = evidence([
        send(1, 1).to("rabbitmq", "payments"),
        process(1, 2).made_by(ctx(1, 1)).to("rabbitmq", "payments"),
    ]);
    let reference = format!("ctx:{}", ctx(1, 1));
    assert_eq!(all(&evidence), std::slice::from_ref(&reference));
    assert_eq!(joined(&reference, &evidence), ["send:subject", "process:creation"]);
}

#[test]
fn a_consumer_without_context_joins_by_coordinates_and_leaves_a_gap() {
    let evidence = evidence([send(1, 1).orders(15), process(2, 2).orders(15).group("payment")]);
    assert_eq!(all(&evidence), ["kafka:orders/0/15"]);
    assert_eq!(
        gaps("kafka:orders/0/15", &evidence),
        ["context_lost: payment received it without the context that it was sent with"]
    );
}

#[test]
fn a_batch_context_names_n_messages_and_coordinates_split_it() {
    let of_batch =
        |span: u8, position: i64| process(1, span).made_by(ctx(1, 1)).orders(position).group("payment");
    let evidence =
        evidence([send(1, 1).to("kafka", "orders"), of_batch(2, 15), of_batch(3, 16), of_batch(4, 17)]);
    assert_eq!(all(&evidence), ["kafka:orders/0/15", "kafka:orders/0/16", "kafka:orders/0/17"]);
    for reference in all(&evidence) {
        // The send of the batch belongs to each of them.
        assert_eq!(joined(&reference, &evidence), ["send:subject", "process:coordinates"], "{reference}");
    }
}

#[test]
fn message_ids_split_a_batch_context_where_there_are_no_coordinates() {
    let of_batch = |span: u8, id: &str| process(1, span).made_by(ctx(1, 1)).to("rabbitmq", "payments").id(id);
    let evidence = evidence([send(1, 1).to("rabbitmq", "payments"), of_batch(2, "a"), of_batch(3, "b")]);
    assert_eq!(all(&evidence), ["id:rabbitmq:payments:a", "id:rabbitmq:payments:b"]);
    assert_eq!(joined("id:rabbitmq:payments:b", &evidence), ["send:subject", "process:creation"]);
}

#[test]
fn dead_letter_headers_split_a_context() {
    // Same exchange, same id, same context: only the headers tell the redrive from its original.
    let handled =
        |span: u8| process(1, span).made_by(ctx(1, 1)).to("rabbitmq", "payments").group("fulfilment");
    let evidence = evidence([
        send(1, 1).to("rabbitmq", "payments"),
        handled(2).failed("boom"),
        handled(3).ms(900, 1).copied_from("redrive", "payments", "fulfilment"),
    ]);
    let story = story(&format!("ctx:{}", ctx(1, 1)), &evidence);
    assert_eq!(story.events.len(), 2, "the redriven one is another message");
    assert_eq!(story.copies.len(), 1);
    assert_eq!(story.copies[0].other, None, "their one context cannot name both");
}

#[test]
fn what_nothing_tells_apart_is_said_and_not_guessed() {
    let of_batch =
        |span: u8, position: i64| process(1, span).made_by(ctx(1, 1)).orders(position).group("payment");
    let nameless = receive(1, 9).made_by(ctx(1, 1)).to("kafka", "orders").group("audit");
    let evidence = evidence([send(1, 1).to("kafka", "orders"), of_batch(2, 15), of_batch(3, 16), nameless]);
    assert_eq!(all(&evidence), ["kafka:orders/0/15", "kafka:orders/0/16"]);
    assert_eq!(
        gaps("kafka:orders/0/15", &evidence),
        [
            "context_lost: 1 event carries the context of its batch and nothing that says which message is meant"
        ]
    );
}

#[test]
fn a_message_id_joins_within_one_system_and_destination() {
    let at = |system: &str, destination: &str, span: u8| process(0, span).to(system, destination).id("pay-1");
    let evidence = evidence([
        at("rabbitmq", "payments", 1),
        at("rabbitmq", "payments", 2),
        at("rabbitmq", "refunds", 3),
        at("nats", "payments", 4),
    ]);
    assert_eq!(
        all(&evidence),
        ["id:nats:payments:pay-1", "id:rabbitmq:payments:pay-1", "id:rabbitmq:refunds:pay-1"]
    );
    assert_eq!(story("id:rabbitmq:payments:pay-1", &evidence).events.len(), 2);
}

#[test]
fn a_message_id_under_two_contexts_is_of_two_publishes() {
    let publish = |trace: u8| send(trace, 1).to("rabbitmq", "payments").id("pay-1").ms(i64::from(trace), 1);
    let evidence = evidence([
        publish(1),
        publish(2),
        process(2, 3).made_by(ctx(2, 1)).to("rabbitmq", "payments").id("pay-1").ms(5, 1),
    ]);
    assert_eq!(all(&evidence).len(), 2, "no id names one of them: their contexts do");
    assert_eq!(story(&format!("ctx:{}", ctx(2, 1)), &evidence).events.len(), 2);
    assert_eq!(story(&format!("ctx:{}", ctx(1, 1)), &evidence).events.len(), 1);
}

#[test]
fn business_keys_never_join() {
    let evidence = evidence([
        send(1, 1).orders(15).key("4711"),
        process(2, 2).orders(16).key("4711"),
        process(3, 3).to("rabbitmq", "q").id("a").key("4711"),
        process(4, 4).to("rabbitmq", "q").id("b").key("4711"),
    ]);
    assert_eq!(all(&evidence).len(), 4);
}

#[test]
fn correlation_ids_never_join() {
    let mut one = process(1, 1).to("rabbitmq", "q").id("a");
    one.0.correlation_id = "c".into();
    let mut other = process(2, 2).to("rabbitmq", "q").id("b");
    other.0.correlation_id = "c".into();
    assert_eq!(all(&evidence([one, other])).len(), 2);
}

#[test]
fn a_message_id_never_stands_in_for_a_position() {
    let evidence = evidence([process(0, 1).orders(15), process(0, 2).to("kafka", "orders").id("15")]);
    assert_eq!(all(&evidence), ["id:kafka:orders:15", "kafka:orders/0/15"]);
}

#[test]
fn a_settle_without_link_inherits_through_its_parent() {
    let handled = process(1, 2).made_by(ctx(1, 1)).to("rabbitmq", "payments").group("fulfilment");
    let evidence = evidence([
        send(1, 1).to("rabbitmq", "payments"),
        handled,
        settle(1, 3).under(2).to("rabbitmq", "payments").ms(5, 1),
    ]);
    assert_eq!(
        joined(&format!("ctx:{}", ctx(1, 1)), &evidence),
        ["send:subject", "process:creation", "settle:parent"]
    );
    assert_eq!(all(&evidence).len(), 1);
}

#[test]
fn a_settle_below_a_batch_span_is_of_every_message_in_it() {
    let of_batch =
        |position: i64| process(1, 2).made_by(ctx(position as u8, 1)).orders(position).group("payment");
    let evidence =
        evidence([of_batch(15), of_batch(16), settle(1, 3).under(2).to("kafka", "orders").ms(5, 1)]);
    for reference in ["kafka:orders/0/15", "kafka:orders/0/16"] {
        assert_eq!(joined(reference, &evidence), ["process:subject", "settle:parent"], "{reference}");
    }
}

#[test]
fn a_settle_of_another_destination_does_not_inherit() {
    let evidence = evidence([process(1, 2).orders(15), settle(1, 3).under(2).to("rabbitmq", "payments")]);
    assert_eq!(joined("kafka:orders/0/15", &evidence), ["process:subject"]);
}

#[test]
fn a_commit_is_of_no_message() {
    let commit = settle(1, 1).orders(16).group("payment").attribute("hopscope.progress.next", Value::Int(16));
    assert_eq!(all(&evidence([commit, send(2, 2).orders(16)])), ["kafka:orders/0/16"]);
    let foreign = settle(1, 1).orders(16).group("payment");
    let story = story("kafka:orders/0/16", &evidence([foreign, send(2, 2).orders(16)]));
    assert_eq!(story.events.len(), 1, "its offset is where the group stands, not what it had");
}

#[test]
fn an_absent_cluster_matches_only_if_one_is_known() {
    let one = evidence([send(1, 1).orders(15).cluster("east"), process(2, 2).orders(15).made_by(ctx(1, 1))]);
    assert_eq!(all(&one), ["kafka@east:orders/0/15"]);
    let two = evidence([
        send(1, 1).orders(15).cluster("east"),
        send(2, 2).orders(15).cluster("west"),
        process(3, 3).orders(15),
    ]);
    assert_eq!(all(&two), ["kafka:orders/0/15", "kafka@east:orders/0/15", "kafka@west:orders/0/15"]);
    let other_topic = evidence([
        send(1, 1).orders(15).cluster("east"),
        send(2, 2).to("kafka", "refunds").at("0", 1).cluster("west"),
        process(3, 3).orders(15),
    ]);
    assert_eq!(
        all(&other_topic),
        ["kafka@east:orders/0/15", "kafka@west:refunds/0/1"],
        "known for that destination"
    );
}

#[test]
fn reused_positions_do_not_join_and_leave_a_gap() {
    let run = |trace: u8, ms: i64| {
        [
            send(trace, 1).orders(15).ms(ms, 1),
            process(trace, 2).made_by(ctx(trace, 1)).orders(15).group("payment").ms(ms + 5, 1),
        ]
    };
    let evidence = evidence(run(1, 0).into_iter().chain(run(2, 60_000)));
    let (first, second) = (format!("ctx:{}", ctx(1, 1)), format!("ctx:{}", ctx(2, 1)));
    assert_eq!(
        all(&evidence),
        [first.clone(), second.clone()],
        "a position that names two messages names none"
    );
    for (reference, trace) in [(&first, 1), (&second, 2)] {
        let story = story(reference, &evidence);
        assert_eq!(story.events.len(), 2);
        assert!(story.events.iter().all(|joined| joined.event.trace == ctx(trace, 0).trace));
        assert!(
            gaps(reference, &evidence)[0]
                .starts_with("position_reused: position 15 of orders/0 names several messages")
        );
    }
    // Whoever asks by position means the newest.
    assert_eq!(story("kafka:orders/0/15", &evidence).subject.creation, Some(ctx(2, 1)));
}

#[test]
fn reused_positions_without_contexts_are_told_apart_by_their_ids() {
    let at = |span: u8, id: &str| process(0, span).to("rocketmq", "t").at("a/0", 3).id(id);
    let evidence = evidence([at(1, "A"), at(2, "B"), at(3, "B")]);
    assert_eq!(all(&evidence), ["id:rocketmq:t:A", "id:rocketmq:t:B"]);
}

#[test]
fn a_create_span_and_its_send_are_one_message() {
    let evidence = evidence([
        create(1, 1).to("kafka", "orders"),
        send(1, 2).linked(ctx(1, 1)).orders(15).ms(1, 1),
        process(1, 3).made_by(ctx(1, 1)).orders(15).ms(2, 1),
    ]);
    assert_eq!(
        joined("kafka:orders/0/15", &evidence),
        ["create:subject", "send:coordinates", "process:coordinates"]
    );
    assert!(gaps("kafka:orders/0/15", &evidence).is_empty());
}

#[test]
fn a_send_linked_to_another_message_is_not_that_message() {
    let evidence = evidence([
        send(1, 1).to("rabbitmq", "payments"),
        send(2, 2).linked(ctx(1, 1)).to("rabbitmq", "payments"),
    ]);
    assert_eq!(all(&evidence).len(), 2);
}

#[test]
fn a_process_that_names_its_receive_span_as_origin_is_of_the_received_message() {
    let evidence = evidence([
        send(1, 1).orders(15),
        receive(2, 2).made_by(ctx(1, 1)).orders(15).ms(1, 1),
        process(2, 3).made_by(ctx(2, 2)).orders(15).ms(2, 1),
    ]);
    assert_eq!(all(&evidence), ["kafka:orders/0/15"], "not a position that was used again");
}

#[test]
fn a_subject_known_to_the_sender_is_the_stream_of_the_consumer() {
    let evidence = evidence([
        send(1, 1).to("nats", "shipments.created"),
        process(1, 2).made_by(ctx(1, 1)).to("nats", "SHIPMENTS").address("shipments.created").at("", 12),
    ]);
    assert_eq!(joined("nats:SHIPMENTS//12", &evidence), ["send:subject", "process:coordinates"]);
}

#[test]
fn a_duplicate_publish_is_a_second_send_of_the_same_message() {
    let publish =
        |trace: u8| send(trace, 1).to("nats", "SHIPMENTS").at("", 12).id("ship-1").ms(i64::from(trace), 1);
    let evidence =
        evidence([publish(1), publish(2).attribute("messaging.nats.duplicate", Value::Bool(true))]);
    assert_eq!(all(&evidence), ["nats:SHIPMENTS//12"]);
    assert_eq!(story("nats:SHIPMENTS//12", &evidence).sends.len(), 2);
}

#[test]
fn ordinary_spans_are_of_no_message() {
    let mut work = super::build::work(1, 1).made_by(ctx(1, 1));
    work.0.message_id = "a".into();
    assert!(all(&evidence([work])).is_empty());
}

#[test]
fn a_message_is_named_by_position_else_by_id_else_by_context() {
    let rows = [
        (send(1, 1).to("nats", "S").at("", 1).id("a"), "nats:S//1".to_owned()),
        (send(1, 1).to("rabbitmq", "q").id("a"), "id:rabbitmq:q:a".to_owned()),
        (send(1, 1).to("rabbitmq", "q"), format!("ctx:{}", ctx(1, 1))),
    ];
    for (event, expected) in rows {
        let evidence = evidence([event]);
        assert_eq!(all(&evidence), [expected]);
        // Each of its names finds it.
        for name in [MessageRef::Creation(ctx(1, 1)).to_string(), all(&evidence)[0].clone()] {
            assert_eq!(story(&name, &evidence).events.len(), 1);
        }
    }
}

#[test]
fn the_newest_is_listed_first() {
    let evidence = evidence([
        send(1, 1).orders(1).ms(5, 1),
        send(2, 2).orders(3).ms(9, 1),
        send(3, 3).orders(2).ms(7, 1),
    ]);
    let listed: Vec<String> = crate::messages(&evidence).iter().map(ToString::to_string).collect();
    assert_eq!(listed, ["kafka:orders/0/3", "kafka:orders/0/2", "kafka:orders/0/1"]);
    assert_eq!(assemble(&"kafka:orders/0/4".parse().expect("valid"), &evidence, 0), None);
}

#[test]
fn joining_takes_about_linear_time() {
    // One batch context, one trace, one destination: the shapes that invite comparing all with all.
    let shape = |count: usize| {
        evidence((0..count).map(|n| match n % 4 {
            0 => send(1, 1).to("kafka", "orders"),
            1 => process(1, 2).made_by(ctx(1, 1)).orders(n as i64).group("g"),
            2 => process(1, 3).made_by(ctx(1, 1)).to("kafka", "orders").id(&n.to_string()),
            _ => settle(1, 4).under(2).to("kafka", "orders").id(&n.to_string()),
        }))
    };
    let count = 20_000;
    let evidence = shape(count);
    let started = std::time::Instant::now();
    let found = crate::messages(&evidence).len();
    assert!(found >= count / 2, "{found}");
    // Comparing all with all would take minutes; the bound is wide, for loaded machines and unoptimised code.
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
    eprintln!("joined {count} events into {found} messages in {:?}", started.elapsed());
}
