//! Every generation of the messaging conventions, each spelling in a row: what comes in, what is made of it.

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
fn stage_by_operation_type_name_and_kind() {
    // Today: type and name.
    check(
        "producer messaging.system=kafka messaging.operation.type=create messaging.operation.name=create",
        expect![[r#"
            create ok op=create creation=own system=kafka
        "#]],
    );
    check(
        "producer messaging.system=kafka messaging.operation.type=send messaging.operation.name=send",
        expect![[r#"
            send ok op=send creation=own system=kafka
        "#]],
    );
    check(
        "client messaging.system=kafka messaging.operation.type=receive messaging.operation.name=poll",
        expect![[r#"
            receive ok op=poll system=kafka
        "#]],
    );
    check(
        "consumer messaging.system=kafka messaging.operation.type=process messaging.operation.name=consume",
        expect![[r#"
            process ok op=consume system=kafka
        "#]],
    );
    check(
        "client messaging.system=nats messaging.operation.type=settle messaging.operation.name=nak",
        expect![[r#"
            settle ok op=nak system=nats disposition=retry
        "#]],
    );
    // 1.26 and 1.27: type publish. 1.24: deliver.
    check(
        "producer messaging.system=kafka messaging.operation.type=publish messaging.operation.name=publish",
        expect![[r#"
            send ok op=publish creation=own system=kafka
        "#]],
    );
    check(
        "consumer messaging.system=kafka messaging.operation=deliver",
        expect![[r#"
        process ok op=deliver system=kafka
    "#]],
    );
    // 1.25 and before: one attribute.
    check(
        "producer messaging.system=kafka messaging.operation=publish",
        expect![[r#"
        send ok op=publish creation=own system=kafka
    "#]],
    );
    check(
        "consumer messaging.system=kafka messaging.operation=receive",
        expect![[r#"
        receive ok op=receive system=kafka
    "#]],
    );
    check(
        "consumer messaging.system=kafka messaging.operation=process",
        expect![[r#"
        process ok op=process system=kafka
    "#]],
    );
    check(
        "client messaging.system=servicebus messaging.operation=settle",
        expect![[r#"
        settle ok op=settle system=servicebus
    "#]],
    );
    // The oldest said nothing: kind, or the span's name.
    check(
        "producer messaging.system=rabbitmq messaging.destination=logs name=logs_send",
        expect![[r#"
        send ok creation=own system=rabbitmq dest=logs [hopscope.span_name=logs send]
    "#]],
    );
    check(
        "consumer messaging.system=rabbitmq messaging.destination=logs name=logs_process",
        expect![[r#"
        process ok system=rabbitmq dest=logs [hopscope.span_name=logs process]
    "#]],
    );
    check(
        "client messaging.system=kafka name=poll_orders",
        expect![[r#"
        receive ok system=kafka [hopscope.span_name=poll orders]
    "#]],
    );
    check(
        "client messaging.system=kafka name=orders_receive",
        expect![[r#"
        receive ok system=kafka [hopscope.span_name=orders receive]
    "#]],
    );
    // A name alone.
    check(
        "client messaging.system=kafka messaging.operation.name=Commit",
        expect![[r#"
        settle ok op=Commit system=kafka disposition=accept
    "#]],
    );
    check(
        "client messaging.system=kafka messaging.operation.name=consume",
        expect![[r#"
        receive ok op=consume system=kafka
    "#]],
    );
    // Nothing that says what happened, and nothing of messaging at all.
    check(
        "internal messaging.system=kafka messaging.destination.name=orders name=rebalance",
        expect![[r#"
        work ok op=rebalance [messaging.system=kafka] [messaging.destination.name=orders]
    "#]],
    );
    check(
        "server http.request.method=GET name=GET_/orders",
        expect![[r#"
        work ok op=GET /orders [http.request.method=GET]
    "#]],
    );
}

#[test]
fn kafka() {
    check(
        "producer messaging.system=kafka messaging.operation.name=send messaging.operation.type=send \
         messaging.destination.name=orders messaging.destination.partition.id=3 messaging.kafka.offset:=15 \
         messaging.kafka.message.key=o-1 messaging.kafka.cluster.id=lkc messaging.client.id=p-1 \
         server.address=kafka server.port:=9092 network.peer.address=10.0.0.1 messaging.message.body.size:=120 \
         messaging.kafka.message.tombstone=x name=send_orders",
        expect![[r#"
            send ok op=send creation=own system=kafka cluster=lkc server=kafka:9092 dest=orders lane=3 position=15 keys=o-1 client=p-1 bytes=120 [network.peer.address=10.0.0.1] [messaging.kafka.message.tombstone=x]
        "#]],
    );
    // 1.24 to 1.26.
    check(
        "consumer messaging.system=kafka messaging.operation=process messaging.destination.name=orders \
         messaging.kafka.destination.partition:=3 messaging.kafka.message.offset:=15 \
         messaging.kafka.consumer.group=payment messaging.client_id=c-1 messaging.message.payload_size_bytes:=120",
        expect![[r#"
            process ok op=process system=kafka dest=orders lane=3 position=15 group=payment client=c-1 bytes=120
            progress kafka/orders/3/payment Seen at=3000
        "#]],
    );
    // 1.17 to 1.19.
    check(
        "consumer messaging.system=kafka messaging.operation=process messaging.source.name=orders \
         messaging.kafka.source.partition:=3 messaging.kafka.message.key=o-1 messaging.kafka.consumer.group=payment \
         messaging.consumer.id=c-1",
        expect![[r#"
            process ok op=process system=kafka dest=orders lane=3 keys=o-1 group=payment client=c-1
            progress kafka/orders/3/payment Seen at=3000
        "#]],
    );
    // 1.16 and before.
    check(
        "consumer messaging.system=kafka messaging.operation=process messaging.destination=orders \
         messaging.destination_kind=topic messaging.kafka.partition:=3 messaging.kafka.message_key=o-1 \
         messaging.kafka.consumer_group=payment messaging.kafka.client_id=c-1 messaging.message_id=m-1 \
         messaging.conversation_id=conv messaging.message_payload_size_bytes:=120 \
         messaging.url=kafka://user:secret@kafka:9092/x",
        expect![[r#"
            process ok op=process system=kafka server=kafka:9092 dest=orders lane=3 id=m-1 correlation=conv keys=o-1 group=payment client=c-1 bytes=120 [messaging.destination_kind=topic]
            progress kafka/orders/3/payment Seen at=3000
        "#]],
    );
    // Python's confluent-kafka: the message id is made of the coordinates.
    check(
        "consumer messaging.system=kafka messaging.operation=process messaging.destination=orders \
         messaging.message_id=orders.3.15",
        expect![[r#"
            process ok op=process system=kafka dest=orders lane=3 position=15
        "#]],
    );
    // Both generations at once: the newer one counts, the older one is not repeated.
    check(
        "consumer messaging.system=kafka messaging.operation=process messaging.operation.type=process \
         messaging.operation.name=process messaging.destination.name=orders messaging.kafka.message.offset:=15 \
         messaging.kafka.offset:=15 messaging.kafka.consumer.group=payment messaging.consumer.group.name=payment",
        expect![[r#"
            process ok op=process system=kafka dest=orders position=15 group=payment
            progress kafka/orders//payment Seen at=3000
        "#]],
    );
    // What cannot be read stays an attribute.
    check(
        "consumer messaging.system=kafka messaging.operation.type=process messaging.destination.name=orders \
         messaging.kafka.offset=fifteen hopscope.attempt:=0",
        expect![[r#"
            process ok op=process system=kafka dest=orders [messaging.kafka.offset=fifteen] [hopscope.attempt=0]
        "#]],
    );
    // Numbers as text.
    check(
        "consumer messaging.system=Kafka messaging.operation.type=process messaging.destination.name=orders \
         messaging.destination.partition.id:=3 messaging.kafka.offset=15 server.address=kafka server.port=9092",
        expect![[r#"
            process ok op=process system=kafka server=kafka:9092 dest=orders lane=3 position=15
        "#]],
    );
}

#[test]
fn rabbitmq() {
    check(
        "producer messaging.system=rabbitmq messaging.operation.name=publish messaging.operation.type=send \
         messaging.destination.name=logs:info messaging.rabbitmq.destination.routing_key=info \
         messaging.message.id=m-1 messaging.message.conversation_id=c-1",
        expect![[r#"
            send ok op=publish creation=own system=rabbitmq dest=logs address=info id=m-1 correlation=c-1
        "#]],
    );
    check(
        "consumer messaging.system=rabbitmq messaging.operation.name=process messaging.operation.type=process \
         messaging.destination.name=logs:info:audit messaging.rabbitmq.destination.routing_key=info \
         messaging.rabbitmq.message.delivery_tag:=7",
        expect![[r#"
            process ok op=process system=rabbitmq dest=logs address=info group=audit [messaging.rabbitmq.message.delivery_tag=7]
            progress rabbitmq/logs//audit Seen at=3000
        "#]],
    );
    check(
        "consumer messaging.system=rabbitmq messaging.operation.type=process messaging.destination.name=logs:info \
         messaging.rabbitmq.exchange=logs messaging.rabbitmq.queue=audit",
        expect![[r#"
            process ok op=process system=rabbitmq dest=logs group=audit
            progress rabbitmq/logs//audit Seen at=3000
        "#]],
    );
    // The default exchange, in three spellings.
    check(
        "producer messaging.system=rabbitmq messaging.destination.name=jobs messaging.rabbitmq.destination.routing_key=jobs",
        expect![[r#"
            send ok creation=own system=rabbitmq dest=amq.default address=jobs
        "#]],
    );
    check(
        "producer messaging.system=rabbitmq messaging.destination.name=<default> messaging.rabbitmq.destination.routing_key=jobs",
        expect![[r#"
            send ok creation=own system=rabbitmq dest=amq.default address=jobs
        "#]],
    );
    check(
        "producer messaging.system=rabbitmq messaging.destination= messaging.rabbitmq.routing_key=jobs",
        expect![[r#"
            send ok creation=own system=rabbitmq dest=amq.default address=jobs
        "#]],
    );
    // amqplib of the 1.0 era.
    check(
        "consumer messaging.system=rabbitmq messaging.operation=process messaging.destination=logs \
         messaging.destination_kind=topic messaging.rabbitmq.routing_key=info messaging.protocol=AMQP \
         messaging.url=amqp://rabbit:5672",
        expect![[r#"
            process ok op=process system=rabbitmq server=rabbit:5672 dest=logs address=info [messaging.protocol=AMQP]
        "#]],
    );
    // 1.17 to 1.19: the source is the queue.
    check(
        "consumer messaging.system=rabbitmq messaging.operation=process messaging.source.name=audit \
         messaging.destination.name=logs messaging.rabbitmq.destination.routing_key=info",
        expect![[r#"
            process ok op=process system=rabbitmq dest=logs address=info group=audit
            progress rabbitmq/logs//audit Seen at=3000
        "#]],
    );
    // Kind queue: the destination is the queue.
    check(
        "consumer messaging.system=rabbitmq messaging.operation=receive messaging.destination=audit messaging.destination_kind=queue",
        expect![[r#"
            receive ok op=receive system=rabbitmq dest=audit group=audit
            progress rabbitmq/audit//audit Seen at=3000
        "#]],
    );
    // A stream queue has offsets.
    check(
        "consumer messaging.system=rabbitmq messaging.operation.type=process messaging.rabbitmq.queue=s messaging.rabbitmq.stream.offset:=9",
        expect![[r#"
            process ok op=process system=rabbitmq position=9 group=s
        "#]],
    );
}

#[test]
fn nats() {
    check(
        "producer messaging.system=nats messaging.operation.name=publish messaging.operation.type=send \
         messaging.destination.name=shipments.eu messaging.nats.stream=shipments messaging.nats.sequence:=8 \
         messaging.nats.duplicate=false messaging.message.id=m-1",
        expect![[r#"
            send ok op=publish creation=own system=nats dest=shipments address=shipments.eu position=8 id=m-1 [messaging.nats.duplicate=false]
        "#]],
    );
    check(
        "consumer messaging.system=nats messaging.operation.type=process messaging.destination.name=shipments.eu \
         messaging.nats.stream=shipments messaging.nats.sequence=8 messaging.consumer.group.name=shipper \
         hopscope.attempt:=2 hopscope.broker_time:=900 hopscope.origin_time:=800",
        expect![[r#"
            process ok op=process system=nats dest=shipments address=shipments.eu position=8 group=shipper attempt=2 broker_ns=900 origin_ns=800
            progress nats/shipments//shipper Seen at=3000
        "#]],
    );
    // Core NATS has no positions.
    check(
        "consumer messaging.system=nats messaging.operation.type=process messaging.destination.name=greet messaging.nats.sequence:=8",
        expect![[r#"
            process ok op=process system=nats dest=greet [messaging.nats.sequence=8]
        "#]],
    );
    // NATS.Net's own names.
    check(
        "consumer messaging.system=nats messaging.operation=receive messaging.nats.message.subject=greet messaging.nats.consumer.group=g",
        expect![[r#"
            receive ok op=receive system=nats dest=greet group=g
            progress nats/greet//g Seen at=3000
        "#]],
    );
    check(
        "producer messaging.system=nats messaging.operation=publish messaging.nats.subject=greet",
        expect![[r#"
            send ok op=publish creation=own system=nats dest=greet
        "#]],
    );
}

#[test]
fn rocketmq() {
    check(
        "consumer messaging.system=rocketmq messaging.operation.type=process messaging.destination.name=%RETRY%mail \
         messaging.rocketmq.logical_topic=notifications messaging.rocketmq.broker.name=broker-a \
         messaging.rocketmq.queue.id:=3 messaging.rocketmq.queue.offset:=77 messaging.consumer.group.name=mail \
         messaging.message.id=7F01 messaging.rocketmq.message.keys=[o-1,o-2] messaging.rocketmq.message.tag=t \
         messaging.rocketmq.offset_message_id=0A01",
        expect![[r#"
            process ok op=process system=rocketmq dest=%RETRY%mail address=notifications lane=broker-a/3 position=77 id=7F01 keys=o-1,o-2 group=mail [messaging.rocketmq.message.tag=t] [messaging.rocketmq.offset_message_id=0A01]
            progress rocketmq/%RETRY%mail/broker-a/3/mail Seen at=3000
        "#]],
    );
    check(
        "consumer messaging.system=rocketmq messaging.operation=process messaging.destination=notifications \
         messaging.rocketmq.client_group=mail messaging.rocketmq.message_keys=[o-1] messaging.rocketmq.client_id=c-1 \
         messaging.message_id=7F01",
        expect![[r#"
            process ok op=process system=rocketmq dest=notifications id=7F01 keys=o-1 group=mail client=c-1
            progress rocketmq/notifications//mail Seen at=3000
        "#]],
    );
    // Half a lane is none, and a position without lane is none. A producer's group stays an attribute.
    check(
        "producer messaging.system=rocketmq messaging.destination.name=notifications \
         messaging.rocketmq.queue_id:=3 messaging.rocketmq.queue_offset:=77 messaging.rocketmq.client_group=g \
         messaging.rocketmq.logical_topic=notifications",
        expect![[r#"
            send ok creation=own system=rocketmq dest=notifications [messaging.rocketmq.queue_id=3] [messaging.rocketmq.queue_offset=77] [messaging.rocketmq.client_group=g]
        "#]],
    );
}

#[test]
fn other_systems() {
    check(
        "consumer messaging.system=pulsar messaging.operation.type=process messaging.destination.name=t messaging.destination.subscription.name=s messaging.destination.partition.id=1",
        expect![[r#"
            process ok op=process system=pulsar dest=t lane=1 group=s
            progress pulsar/t/1/s Seen at=3000
        "#]],
    );
    check(
        "consumer messaging.system=gcp_pubsub messaging.operation.type=process messaging.destination.name=t messaging.gcp_pubsub.message.delivery_attempt:=2",
        expect![[r#"
            process ok op=process system=gcp_pubsub dest=t attempt=2
        "#]],
    );
    check(
        "consumer messaging.system=eventhubs messaging.operation=process messaging.destination.name=t messaging.eventhubs.consumer.group=g net.peer.name=h net.peer.port:=1",
        expect![[r#"
            process ok op=process system=eventhubs server=h:1 dest=t group=g
            progress eventhubs/t//g Seen at=3000
        "#]],
    );
    check(
        "producer messaging.system=jms messaging.destination.name=t net.sock.peer.addr=10.0.0.1",
        expect![[r#"
            send ok creation=own system=jms server=10.0.0.1 dest=t
        "#]],
    );
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
            process ok op=process creation=a-1 system=kafka dest=orders lane=0 position=15 keys=o-1 group=payment [messaging.batch.message_count=3] [color=red] [hopscope.dropped_links=1]
            process ok op=process creation=a-2 system=kafka dest=orders lane=1 position=7 group=payment [flavour=sweet] [messaging.batch.message_count=3] [color=red] [hopscope.dropped_links=1]
            process ok op=process system=kafka dest=orders lane=1 position=8 group=payment [messaging.batch.message_count=3] [color=red] [hopscope.dropped_links=1]
            progress kafka/orders/0/payment Seen at=3000
            progress kafka/orders/1/payment Seen at=3000
        "#]],
    );
    // A client span that sends what was created before.
    check_linked(
        "client messaging.system=kafka messaging.operation.type=send messaging.destination.name=orders",
        &["9-a 100", "9-b 100 messaging.message.id=m-2"],
        expect![[r#"
            send ok op=send creation=9-a system=kafka dest=orders
            send ok op=send creation=9-b system=kafka dest=orders id=m-2
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

#[test]
fn business_keys_of_every_spelling_once() {
    check(
        "internal hopscope.keys=[o-1,o-2,o-1]",
        expect![[r#"
        work ok keys=o-1,o-2
    "#]],
    );
    check(
        "producer messaging.system=kafka messaging.destination.name=orders hopscope.keys=o-1 messaging.kafka.message.key=o-1 messaging.kafka.message_key=o-3",
        expect![[r#"
            send ok creation=own system=kafka dest=orders keys=o-1,o-3
        "#]],
    );
}
