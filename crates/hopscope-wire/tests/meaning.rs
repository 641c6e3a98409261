//! What spans mean whatever their spelling: how they ended, which messages they are about, how far a group is.

mod story;

use expect_test::{Expect, expect};
use story::{decode, link, span, tell};

fn check(line: &str, expected: Expect) {
    check_linked(line, &[], expected);
}

fn check_linked(line: &str, links: &[&str], expected: Expect) {
    let mut span = span(line);
    span.links = links.iter().map(|line| link(line)).collect();
    expected.assert_eq(&tell(&decode(vec![span]).batch));
}

#[test]
fn outcomes() {
    let send = "producer messaging.system=kafka messaging.destination.name=orders ";
    check(
        &format!("{send} status=ok"),
        expect![[r#"
        send ok creation=own system=kafka dest=orders
    "#]],
    );
    check(
        &format!("{send} status=error error.type=TIMEOUT message=took_too_long"),
        expect![[r#"
        send failed(TIMEOUT) creation=own system=kafka dest=orders [otel.status_description=took_too_long]
    "#]],
    );
    check(
        &format!("{send} status=error message=took_too_long"),
        expect![[r#"
        send failed(took_too_long) creation=own system=kafka dest=orders
    "#]],
    );
    check(
        &format!("{send} status=error"),
        expect![[r#"
        send failed() creation=own system=kafka dest=orders
    "#]],
    );
    check(
        &format!("{send} error.type=TIMEOUT"),
        expect![[r#"
        send failed(TIMEOUT) creation=own system=kafka dest=orders
    "#]],
    );
    check(
        &format!("{send} status=ok error.type=TIMEOUT"),
        expect![[r#"
        send ok creation=own system=kafka dest=orders [error.type=TIMEOUT]
    "#]],
    );
    check(
        &format!("{send} hopscope.outcome=unknown"),
        expect![[r#"
        send unknown creation=own system=kafka dest=orders
    "#]],
    );
    check(
        &format!("{send} end=none"),
        expect![[r#"
        send unknown creation=own system=kafka dest=orders duration=unknown
    "#]],
    );
    check(
        &format!("{send} end=before"),
        expect![[r#"
        send ok creation=own system=kafka dest=orders duration=unknown
    "#]],
    );
}

#[test]
fn creation_by_link_or_remote_parent() {
    let process =
        "consumer messaging.system=kafka messaging.operation.type=process messaging.destination.name=orders";
    // A link goes before a parent; flags tell the ambient link of a message's.
    check_linked(
        &format!("{process} parent=5"),
        &["a-b"],
        expect![[r#"
        process ok op=process creation=a-b system=kafka dest=orders
    "#]],
    );
    check_linked(
        &format!("{process} parent=5 flags=300"),
        &["a-b 300"],
        expect![[r#"
        process ok op=process creation=a-b system=kafka dest=orders
    "#]],
    );
    check_linked(
        &format!("{process} parent=5 flags=300"),
        &["c-d 100"],
        expect![[r#"
        process ok op=process creation=9-5 system=kafka dest=orders links=c-d
    "#]],
    );
    check_linked(
        &format!("{process} parent=5 flags=100"),
        &["c-d 100"],
        expect![[r#"
        process ok op=process creation=c-d system=kafka dest=orders
    "#]],
    );
    check_linked(
        process,
        &["a-b 300", "c-d 100"],
        expect![[r#"
        process ok op=process creation=a-b system=kafka dest=orders links=c-d
    "#]],
    );
    // No link: a remote parent, or one that nobody called local.
    check(
        &format!("{process} parent=5"),
        expect![[r#"
        process ok op=process creation=9-5 system=kafka dest=orders
    "#]],
    );
    check(
        &format!("{process} parent=5 flags=300"),
        expect![[r#"
        process ok op=process creation=9-5 system=kafka dest=orders
    "#]],
    );
    check(
        &format!("{process} parent=5 flags=100"),
        expect![[r#"
        process ok op=process system=kafka dest=orders
    "#]],
    );
    check(
        "client messaging.system=kafka messaging.operation.type=receive parent=5",
        expect![[r#"
        receive ok op=receive system=kafka
    "#]],
    );
    check(
        "client messaging.system=nats messaging.operation.type=settle parent=5",
        expect![[r#"
        settle ok op=settle system=nats
    "#]],
    );
}

#[test]
fn a_parent_in_the_same_process_made_no_message_unless_it_sent_it() {
    let process = "consumer id=2 parent=1 messaging.system=kafka messaging.operation=process messaging.destination=orders";
    for (parent, expected) in [
        (
            "internal name=loop",
            expect![[r#"
            process ok op=process system=kafka dest=orders
            work ok op=loop
        "#]],
        ),
        (
            "consumer messaging.system=kafka messaging.operation=receive messaging.destination=orders",
            expect![[r#"
                process ok op=process system=kafka dest=orders
                receive ok op=receive system=kafka dest=orders
            "#]],
        ),
        (
            "producer messaging.system=kafka messaging.operation=publish messaging.destination=orders",
            expect![[r#"
                process ok op=process creation=9-1 system=kafka dest=orders
                send ok op=publish creation=own system=kafka dest=orders
            "#]],
        ),
    ] {
        // The parent ends last, so it stands behind its child.
        expected.assert_eq(&tell(&decode(vec![span(process), span(parent)]).batch));
    }
}

#[test]
fn one_span_with_links_is_as_many_events() {
    check_linked(
        "consumer messaging.system=kafka messaging.operation.type=process messaging.destination.name=orders \
         messaging.consumer.group.name=payment messaging.batch.message_count:=3 color=red",
        &[
            "a-1 300 messaging.destination.partition.id=0 messaging.kafka.offset:=15 messaging.kafka.message.key=o-1",
            "a-2 300 messaging.destination.partition.id=1 messaging.kafka.offset:=7 flavour=sweet",
            // A message without context still has its coordinates.
            "- 0 messaging.destination.partition.id=1 messaging.kafka.offset:=8",
            // Nothing at all is nothing.
            "- 0",
        ],
        expect![[r#"
            process ok op=process creation=a-1 system=kafka dest=orders lane=0 position=15 keys=o-1 group=payment [hopscope.batch.place=1] [messaging.batch.message_count=3] [color=red] [hopscope.dropped_links=1]
            process ok op=process creation=a-2 system=kafka dest=orders lane=1 position=7 group=payment [flavour=sweet] [hopscope.batch.place=2] [messaging.batch.message_count=3] [color=red] [hopscope.dropped_links=1]
            process ok op=process system=kafka dest=orders lane=1 position=8 group=payment [hopscope.batch.place=3] [messaging.batch.message_count=3] [color=red] [hopscope.dropped_links=1]
            progress kafka/orders/0/payment Seen at=3000
            progress kafka/orders/1/payment Seen at=3000
        "#]],
    );
    // A client span that sends what was created before.
    check_linked(
        "client messaging.system=kafka messaging.operation.type=send messaging.destination.name=orders",
        &["9-a 100", "9-b 100 messaging.message.id=m-2"],
        expect![[r#"
            send ok op=send creation=9-a system=kafka dest=orders [hopscope.batch.place=1]
            send ok op=send creation=9-b system=kafka dest=orders id=m-2 [hopscope.batch.place=2]
        "#]],
    );
    // A producer span is itself what it injects; its links are something else.
    check_linked(
        "producer messaging.system=kafka messaging.operation.type=send messaging.destination.name=orders",
        &["a-b"],
        expect![[r#"
            send ok op=send creation=own system=kafka dest=orders links=a-b
        "#]],
    );
}

#[test]
fn dispositions_and_progress() {
    let kafka = "client messaging.system=kafka messaging.operation.type=settle messaging.operation.name=commit \
         messaging.destination.name=orders messaging.destination.partition.id=0 messaging.consumer.group.name=payment";
    check(
        &format!("{kafka} hopscope.progress.next:=16"),
        expect![[r#"
        settle ok op=commit system=kafka dest=orders lane=0 group=payment disposition=accept
        progress kafka/orders/0/payment Floor { next: 16 } at=3000
    "#]],
    );
    check(
        &format!("{kafka} messaging.kafka.offset:=15"),
        expect![[r#"
        settle ok op=commit system=kafka dest=orders lane=0 position=15 group=payment disposition=accept
        progress kafka/orders/0/payment Floor { next: 15 } at=3000
    "#]],
    );
    check(
        &format!("{kafka} messaging.kafka.offset:=15 status=error error.type=REBALANCE"),
        expect![[r#"
        settle failed(REBALANCE) op=commit system=kafka dest=orders lane=0 position=15 group=payment disposition=accept
    "#]],
    );
    check(
        &format!("{kafka} hopscope.progress.next:=16 hopscope.outcome=unknown"),
        expect![[r#"
        settle unknown op=commit system=kafka dest=orders lane=0 group=payment disposition=accept [hopscope.progress.next=16]
    "#]],
    );
    let nats = "client messaging.system=nats messaging.operation.type=settle messaging.destination.name=s.eu \
         messaging.nats.stream=s messaging.nats.sequence:=8 messaging.consumer.group.name=c";
    for (settle, expected) in [
        (
            "messaging.operation.name=ack",
            expect![[r#"
            settle ok op=ack system=nats dest=s address=s.eu position=8 group=c disposition=accept
            progress nats/s//c Settled { position: 8 } at=3000
        "#]],
        ),
        (
            "messaging.operation.name=nak",
            expect![[r#"
            settle ok op=nak system=nats dest=s address=s.eu position=8 group=c disposition=retry
        "#]],
        ),
        (
            "messaging.operation.name=term",
            expect![[r#"
            settle ok op=term system=nats dest=s address=s.eu position=8 group=c disposition=reject
            progress nats/s//c Settled { position: 8 } at=3000
        "#]],
        ),
        (
            "messaging.operation.name=nack",
            expect![[r#"
            settle ok op=nack system=nats dest=s address=s.eu position=8 group=c
        "#]],
        ),
        (
            "messaging.operation.name=nack hopscope.disposition=reject",
            expect![[r#"
            settle ok op=nack system=nats dest=s address=s.eu position=8 group=c disposition=reject
            progress nats/s//c Settled { position: 8 } at=3000
        "#]],
        ),
        (
            "messaging.operation.name=ack hopscope.progress.next:=9",
            expect![[r#"
            settle ok op=ack system=nats dest=s address=s.eu position=8 group=c disposition=accept
            progress nats/s//c Floor { next: 9 } at=3000
        "#]],
        ),
    ] {
        check(&format!("{nats} {settle}"), expected);
    }
    check(
        "consumer messaging.system=rabbitmq messaging.operation.type=process messaging.destination.name=logs:info:audit \
         hopscope.disposition=retry",
        expect![[r#"
            process ok op=process system=rabbitmq dest=logs address=info group=audit disposition=retry
            progress rabbitmq/logs//audit Seen at=3000
        "#]],
    );
}

#[test]
fn a_group_is_seen_once_a_lane() {
    let process = |id: u32, lane: u32| {
        span(&format!(
            "consumer id={id} messaging.system=kafka messaging.operation.type=process messaging.destination.name=orders \
             messaging.destination.partition.id={lane} messaging.consumer.group.name=payment"
        ))
    };
    let mut late = process(3, 0);
    late.end_ns = 9_000;
    let batch = decode(vec![process(1, 0), late, process(2, 1)]).batch;
    let progress: String =
        tell(&batch).lines().filter(|line| line.starts_with("progress")).collect::<Vec<_>>().join("\n");
    expect![[r#"
        progress kafka/orders/0/payment Seen at=9000
        progress kafka/orders/1/payment Seen at=3000"#]]
    .assert_eq(&progress);
}
