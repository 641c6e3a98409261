//! The exact spans of each verb, in memory.

use expect_test::{Expect, expect};
use hopscope_sdk::kit::{MapHeaders, Recorder};
use hopscope_sdk::opentelemetry::trace::{Tracer, TracerProvider};
use hopscope_sdk::{
    CopiedFrom, CopyKind, Details, Disposition, Failure, Outcome, Place, Relation, Server, Telemetry,
};

struct Spans {
    recorder: Recorder,
    telemetry: Telemetry,
}

impl Spans {
    fn new() -> Self {
        let recorder = Recorder::default();
        let telemetry = recorder.telemetry();
        Self { recorder, telemetry }
    }

    fn check(&self, expected: Expect) {
        expected.assert_eq(&self.recorder.text(&[], &[]));
    }
}

const ORDERS: Place<'static> = Place::Kafka { topic: "orders", partition: None, offset: None };
const ORDERS_0_7: Place<'static> = Place::Kafka { topic: "orders", partition: Some(0), offset: Some(7) };

fn sent(telemetry: &Telemetry) -> MapHeaders {
    let mut headers = MapHeaders::default();
    let sending = telemetry.send("send", ORDERS, &Details::default());
    sending.inject(&mut headers);
    sending.confirm(ORDERS_0_7, &Details::default());
    headers
}

#[test]
fn one_message_from_send_to_settle() {
    let spans = Spans::new();
    let mut headers = MapHeaders::default();
    let server = Some(Server { address: "localhost", port: 9092 });
    let details = Details { server, key: "4711", body_bytes: Some(12), ..Details::default() };
    let sending = spans.telemetry.send("send", ORDERS, &details);
    sending.inject(&mut headers);
    sending.confirm(ORDERS_0_7, &Details { broker_time_ns: Some(5), ..details });

    let details = Details { group: "payment", attempt: Some(1), key: "4711", ..Details::default() };
    let delivery = spans.telemetry.receive("poll", ORDERS_0_7, &details, &headers);
    delivery.process().succeed().settle("commit").confirm();
    spans.check(expect![[r#"
        send orders (producer) parent: - links: []
          hopscope.broker_time = 5
          messaging.destination.name = orders
          messaging.destination.partition.id = 0
          messaging.kafka.message.key = 4711
          messaging.kafka.offset = 7
          messaging.message.body.size = 12
          messaging.operation.name = send
          messaging.operation.type = send
          messaging.system = kafka
          server.address = localhost
          server.port = 9092
        poll orders (client) parent: send orders links: [send orders]
          hopscope.attempt = 1
          messaging.consumer.group.name = payment
          messaging.destination.name = orders
          messaging.destination.partition.id = 0
          messaging.kafka.message.key = 4711
          messaging.kafka.offset = 7
          messaging.operation.name = poll
          messaging.operation.type = receive
          messaging.system = kafka
        process orders (consumer) parent: send orders links: [send orders]
          hopscope.attempt = 1
          hopscope.disposition = accept
          messaging.consumer.group.name = payment
          messaging.destination.name = orders
          messaging.destination.partition.id = 0
          messaging.kafka.message.key = 4711
          messaging.kafka.offset = 7
          messaging.operation.name = process
          messaging.operation.type = process
          messaging.system = kafka
        commit orders (client) parent: process orders links: [send orders]
          hopscope.attempt = 1
          hopscope.disposition = accept
          messaging.consumer.group.name = payment
          messaging.destination.name = orders
          messaging.destination.partition.id = 0
          messaging.kafka.offset = 7
          messaging.operation.name = commit
          messaging.operation.type = settle
          messaging.system = kafka
    "#]]);
}

#[test]
fn a_failed_send_says_why() {
    let spans = Spans::new();
    spans
        .telemetry
        .send("send", ORDERS, &Details::default())
        .fail(Failure::new("UNKNOWN_TOPIC_OR_PARTITION", "no such topic"));
    spans.check(expect![[r#"
        send orders (producer) parent: - links: []
          error.type = UNKNOWN_TOPIC_OR_PARTITION
          messaging.destination.name = orders
          messaging.operation.name = send
          messaging.operation.type = send
          messaging.system = kafka
          Error { description: "no such topic" }
    "#]]);
}

#[test]
fn what_is_dropped_or_unconfirmed_is_unknown() {
    let spans = Spans::new();
    drop(spans.telemetry.send("publish", Place::Nats { subject: "a" }, &Details::default()));
    spans.telemetry.send("publish", Place::Nats { subject: "b" }, &Details::default()).unconfirmed();
    let delivery = spans.telemetry.receive(
        "receive",
        Place::Nats { subject: "b" },
        &Details::default(),
        &MapHeaders::default(),
    );
    drop(delivery.process());
    delivery.process().declare(Outcome::Unknown("partition revoked"), None);
    drop(delivery.settle("ack", Some(Disposition::Accept)));
    spans.check(expect![[r#"
        publish a (producer) parent: - links: []
          hopscope.outcome = unknown
          hopscope.outcome.reason = dropped
          messaging.destination.name = a
          messaging.operation.name = publish
          messaging.operation.type = send
          messaging.system = nats
        publish b (producer) parent: - links: []
          hopscope.outcome = unknown
          hopscope.outcome.reason = unconfirmed
          messaging.destination.name = b
          messaging.operation.name = publish
          messaging.operation.type = send
          messaging.system = nats
        receive b (client) parent: - links: []
          messaging.destination.name = b
          messaging.operation.name = receive
          messaging.operation.type = receive
          messaging.system = nats
        process b (consumer) parent: - links: []
          hopscope.outcome = unknown
          hopscope.outcome.reason = dropped
          messaging.destination.name = b
          messaging.operation.name = process
          messaging.operation.type = process
          messaging.system = nats
        process b (consumer) parent: - links: []
          hopscope.outcome = unknown
          hopscope.outcome.reason = partition revoked
          messaging.destination.name = b
          messaging.operation.name = process
          messaging.operation.type = process
          messaging.system = nats
        ack b (client) parent: - links: []
          hopscope.disposition = accept
          hopscope.outcome = unknown
          hopscope.outcome.reason = dropped
          messaging.destination.name = b
          messaging.operation.name = ack
          messaging.operation.type = settle
          messaging.system = nats
    "#]]);
}
#[test]
fn a_copy_names_its_original() {
    let spans = Spans::new();
    let copied_from = Some(CopiedFrom {
        kind: CopyKind::DeadLetter,
        destination: "payments",
        message_id: "m-1",
        group: "payments",
        attempts: Some(3),
        reason: "rejected",
        ..CopiedFrom::default()
    });
    let place = Place::RabbitMq {
        exchange: "",
        routing_key: "payments.dead",
        queue: "payments.dead",
        stream_offset: None,
    };
    let details = Details { message_id: "m-1", keys: &["4711", "c-1"], copied_from, ..Details::default() };
    let delivery = spans.telemetry.receive("deliver", place, &details, &MapHeaders::default());
    delivery
        .process()
        .declare(Outcome::Failed(Failure::from(&std::fmt::Error)), Some(Disposition::Reject))
        .settle("reject")
        .sent();
    spans.check(expect![[r#"
        deliver payments.dead (client) parent: - links: []
          hopscope.copied_from.attempts = 3
          hopscope.copied_from.destination = payments
          hopscope.copied_from.group = payments
          hopscope.copied_from.kind = dead_letter
          hopscope.copied_from.message_id = m-1
          hopscope.copied_from.reason = rejected
          hopscope.keys = ["4711","c-1"]
          messaging.destination.name = payments.dead
          messaging.message.id = m-1
          messaging.operation.name = deliver
          messaging.operation.type = receive
          messaging.rabbitmq.destination.routing_key = payments.dead
          messaging.rabbitmq.exchange = amq.default
          messaging.rabbitmq.queue = payments.dead
          messaging.system = rabbitmq
        process payments.dead (consumer) parent: - links: []
          error.type = core::fmt::Error
          hopscope.copied_from.attempts = 3
          hopscope.copied_from.destination = payments
          hopscope.copied_from.group = payments
          hopscope.copied_from.kind = dead_letter
          hopscope.copied_from.message_id = m-1
          hopscope.copied_from.reason = rejected
          hopscope.disposition = reject
          hopscope.keys = ["4711","c-1"]
          messaging.destination.name = payments.dead
          messaging.message.id = m-1
          messaging.operation.name = process
          messaging.operation.type = process
          messaging.rabbitmq.destination.routing_key = payments.dead
          messaging.rabbitmq.exchange = amq.default
          messaging.rabbitmq.queue = payments.dead
          messaging.system = rabbitmq
          Error { description: "an error occurred when formatting an argument" }
        reject payments.dead (client) parent: process payments.dead links: []
          hopscope.confirmed = false
          hopscope.disposition = reject
          messaging.destination.name = payments.dead
          messaging.message.id = m-1
          messaging.operation.name = reject
          messaging.operation.type = settle
          messaging.rabbitmq.destination.routing_key = payments.dead
          messaging.rabbitmq.exchange = amq.default
          messaging.rabbitmq.queue = payments.dead
          messaging.system = rabbitmq
    "#]]);
}

#[test]
fn a_commit_is_one_settle_with_the_next_position() {
    let spans = Spans::new();
    let place = Place::Kafka { topic: "orders", partition: Some(0), offset: None };
    spans
        .telemetry
        .settle_up_to("commit", place, &Details { group: "payment", ..Details::default() }, 8)
        .confirm();
    spans.check(expect![[r#"
        commit orders (client) parent: - links: []
          hopscope.progress.next = 8
          messaging.consumer.group.name = payment
          messaging.destination.name = orders
          messaging.destination.partition.id = 0
          messaging.operation.name = commit
          messaging.operation.type = settle
          messaging.system = kafka
    "#]]);
}

#[test]
fn bad_context_is_told_and_the_message_is_received() {
    let spans = Spans::new();
    let headers = MapHeaders(vec![("traceparent".into(), None), ("b3".into(), Some(vec![0xff]))]);
    spans.telemetry.receive("poll", ORDERS_0_7, &Details::default(), &headers);
    spans.check(expect![[r#"
        poll orders (client) parent: - links: []
          hopscope.context.problems = ["header traceparent is null","header b3 does not have the parts of its format value=�"]
          messaging.destination.name = orders
          messaging.destination.partition.id = 0
          messaging.kafka.offset = 7
          messaging.operation.name = poll
          messaging.operation.type = receive
          messaging.system = kafka
    "#]]);
}

#[test]
fn relations_to_the_sender() {
    let mut told = String::new();
    for relation in [Relation::Both, Relation::Continue, Relation::Link, Relation::None] {
        for ambient in [false, true] {
            let Spans { recorder, telemetry } = Spans::new();
            let telemetry = telemetry.with_relation(relation);
            let headers = sent(&telemetry);
            let work = || {
                telemetry
                    .receive("poll", ORDERS_0_7, &Details::default(), &headers)
                    .process()
                    .succeed()
                    .settle("commit")
                    .confirm();
            };
            if ambient {
                recorder.provider().tracer("app").in_span("job", |_| work())
            } else {
                work()
            }
            let lines = recorder.text(&[], &[]);
            told += &format!("{relation:?}, ambient span: {ambient}\n");
            for line in lines.lines().filter(|line| line.starts_with("p") || line.starts_with("commit")) {
                told += &format!("  {line}\n");
            }
        }
    }
    expect![[r#"
        Both, ambient span: false
          poll orders (client) parent: send orders links: [send orders]
          process orders (consumer) parent: send orders links: [send orders]
          commit orders (client) parent: process orders links: [send orders]
        Both, ambient span: true
          poll orders (client) parent: job links: [send orders]
          process orders (consumer) parent: job links: [send orders]
          commit orders (client) parent: process orders links: [send orders]
        Continue, ambient span: false
          poll orders (client) parent: send orders links: []
          process orders (consumer) parent: send orders links: []
          commit orders (client) parent: process orders links: []
        Continue, ambient span: true
          poll orders (client) parent: send orders links: []
          process orders (consumer) parent: send orders links: []
          commit orders (client) parent: process orders links: []
        Link, ambient span: false
          poll orders (client) parent: - links: [send orders]
          process orders (consumer) parent: - links: [send orders]
          commit orders (client) parent: process orders links: [send orders]
        Link, ambient span: true
          poll orders (client) parent: job links: [send orders]
          process orders (consumer) parent: job links: [send orders]
          commit orders (client) parent: process orders links: [send orders]
        None, ambient span: false
          poll orders (client) parent: - links: []
          process orders (consumer) parent: - links: []
          commit orders (client) parent: process orders links: []
        None, ambient span: true
          poll orders (client) parent: job links: []
          process orders (consumer) parent: job links: []
          commit orders (client) parent: process orders links: []
    "#]]
    .assert_eq(&told);
}
