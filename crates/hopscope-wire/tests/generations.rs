//! Every generation of the messaging conventions, each spelling in a row: what comes in, what is made of it.

mod story;

use expect_test::{Expect, expect};
use story::{decode, span, tell};

fn check(line: &str, expected: Expect) {
    expected.assert_eq(&tell(&decode(vec![span(line)]).batch));
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
