//! Against a real RabbitMQ, whose address is in `HOPSCOPE_TEST_AMQP`.

use expect_test::{Expect, expect};
use futures::StreamExt;
use hopscope_lapin::{Settle, Traced, TracedChannel, TracedConsumer};
use hopscope_sdk::Failure;
use hopscope_sdk::kit::{self, Recorder};
use lapin::message::Delivery;
use lapin::options::*;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use opentelemetry_sdk::trace::SpanData;
use std::time::Duration;

/// Longest wait for anything that the broker does.
const WAIT: Duration = Duration::from_secs(20);

struct Bench {
    recorder: Recorder,
    connection: Connection,
    channel: TracedChannel,
    /// Exchange of this test alone, and the beginning of its queues' names.
    name: String,
}

impl Bench {
    async fn new(test: &str) -> Self {
        let address = kit::broker("HOPSCOPE_TEST_AMQP");
        let recorder = Recorder::default();
        let connection =
            Connection::connect(&address, ConnectionProperties::default()).await.expect("connect");
        let channel = connection.create_channel().await.expect("channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirm_select");
        let name = kit::unique(test);
        let channel =
            TracedChannel::new(channel).with_telemetry(recorder.telemetry()).with_key_headers(["order"]);
        Self { recorder, connection, channel, name }
    }

    fn raw(&self) -> &Channel {
        self.channel.inner()
    }

    /// The exchange and a work queue, bound under the key `pay`.
    async fn topology(&self, arguments: FieldTable) {
        let exchange = ExchangeDeclareOptions { auto_delete: true, ..Default::default() };
        self.raw()
            .exchange_declare(self.exchange(), ExchangeKind::Topic, exchange, FieldTable::default())
            .await
            .expect("exchange");
        self.declare(&self.queue("work"), arguments).await;
        self.raw()
            .queue_bind(
                self.queue("work"),
                self.exchange(),
                "pay".into(),
                Default::default(),
                Default::default(),
            )
            .await
            .expect("bind");
    }

    async fn declare(&self, queue: &ShortString, arguments: FieldTable) {
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        self.raw().queue_declare(queue.clone(), durable, arguments).await.expect("queue");
    }

    fn exchange(&self) -> ShortString {
        self.name.as_str().into()
    }

    fn queue(&self, which: &str) -> ShortString {
        format!("{}.{which}", self.name).into()
    }

    async fn publish(&self, properties: BasicProperties) -> lapin::Confirmation {
        let options = BasicPublishOptions::default();
        let publish =
            self.channel.basic_publish(self.exchange(), "pay".into(), options, b"{\"n\":1}", properties);
        publish.await.expect("publish").await.expect("confirm")
    }

    async fn consume(&self, queue: ShortString) -> TracedConsumer {
        self.channel
            .basic_consume(queue, "worker".into(), BasicConsumeOptions::default(), FieldTable::default())
            .await
            .expect("consume")
    }

    /// Deletes the queues and says which spans there were, in order of their end.
    async fn finish(self, queues: &[&str]) -> Vec<SpanData> {
        for queue in queues {
            self.raw().queue_delete(self.queue(queue), QueueDeleteOptions::default()).await.expect("delete");
        }
        self.connection.close(200, "".into()).await.expect("close");
        self.recorder.finished()
    }
}

async fn next(consumer: &mut TracedConsumer) -> Traced<Delivery> {
    let delivery = tokio::time::timeout(WAIT, consumer.next()).await.expect("a delivery in time");
    delivery.expect("an open consumer").expect("a delivery")
}

fn check(spans: &[SpanData], name: &str, expected: &Expect) {
    let masked = ["messaging.rabbitmq.message.delivery_tag"];
    expected.assert_eq(&kit::spans(spans, &masked, &[(name, "<test>")]));
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn arguments<const N: usize>(pairs: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in pairs {
        table.insert(name.into(), value);
    }
    table
}

fn properties() -> BasicProperties {
    let raw = AMQPValue::LongString(b"\xff\x00".to_vec().into());
    let headers = arguments([("order", text("order-1")), ("raw", raw)]);
    BasicProperties::default().with_message_id("pay-1".into()).with_headers(headers)
}

fn to_default_exchange(queue: &ShortString) -> FieldTable {
    arguments([("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text(queue.as_str()))])
}

#[tokio::test]
async fn a_message_is_sent_refused_redelivered_and_acknowledged() {
    let bench = Bench::new("retry").await;
    bench.topology(arguments([("x-queue-type", text("quorum"))])).await;
    assert!(bench.publish(properties()).await.is_ack());

    let mut consumer = bench.consume(bench.queue("work")).await;
    let first = next(&mut consumer).await;
    assert_eq!(first.message().data, b"{\"n\":1}", "the payload is untouched");
    let headers = first.message().properties.headers().as_ref().expect("headers").inner();
    assert_eq!(headers["raw"], AMQPValue::LongString(b"\xff\x00".to_vec().into()), "so are other headers");
    let failed = first.process().fail(Failure::new("card-declined", "no cover"));
    let again = BasicNackOptions { requeue: true, ..Default::default() };
    assert!(first.nack(failed, again).await.expect("nack"));

    let second = next(&mut consumer).await;
    assert!(second.ack(second.process().succeed(), Default::default()).await.expect("ack"));
    assert!(
        !second.ack(second.process().succeed(), Default::default()).await.expect("twice"),
        "lapin's word"
    );

    let name = bench.name.clone();
    check(
        &bench.finish(&["work"]).await,
        &name,
        &expect![[r#"
        publish <test>:pay (producer) parent: - links: []
          hopscope.keys = ["order-1"]
          messaging.destination.name = <test>:pay
          messaging.message.body.size = 7
          messaging.message.id = pay-1
          messaging.operation.name = publish
          messaging.operation.type = send
          messaging.rabbitmq.destination.routing_key = pay
          messaging.rabbitmq.exchange = <test>
          messaging.system = rabbitmq
        consume <test>:pay:<test>.work (client) parent: publish <test>:pay links: [publish <test>:pay]
          hopscope.attempt = 1
          hopscope.keys = ["order-1"]
          messaging.destination.name = <test>:pay:<test>.work
          messaging.message.body.size = 7
          messaging.message.id = pay-1
          messaging.operation.name = consume
          messaging.operation.type = receive
          messaging.rabbitmq.consumer_tag = worker
          messaging.rabbitmq.destination.routing_key = pay
          messaging.rabbitmq.exchange = <test>
          messaging.rabbitmq.message.delivery_tag = *
          messaging.rabbitmq.message.redelivered = false
          messaging.rabbitmq.queue = <test>.work
          messaging.system = rabbitmq
        process <test>:pay:<test>.work (consumer) parent: publish <test>:pay links: [publish <test>:pay]
          error.type = card-declined
          hopscope.attempt = 1
          hopscope.keys = ["order-1"]
          messaging.destination.name = <test>:pay:<test>.work
          messaging.message.body.size = 7
          messaging.message.id = pay-1
          messaging.operation.name = process
          messaging.operation.type = process
          messaging.rabbitmq.consumer_tag = worker
          messaging.rabbitmq.destination.routing_key = pay
          messaging.rabbitmq.exchange = <test>
          messaging.rabbitmq.message.delivery_tag = *
          messaging.rabbitmq.message.redelivered = false
          messaging.rabbitmq.queue = <test>.work
          messaging.system = rabbitmq
          Error { description: "no cover" }
        nack <test>:pay:<test>.work (client) parent: process <test>:pay:<test>.work links: [publish <test>:pay]
          hopscope.attempt = 1
          hopscope.confirmed = false
          hopscope.disposition = retry
          messaging.destination.name = <test>:pay:<test>.work
          messaging.message.id = pay-1
          messaging.operation.name = nack
          messaging.operation.type = settle
          messaging.rabbitmq.destination.routing_key = pay
          messaging.rabbitmq.exchange = <test>
          messaging.rabbitmq.queue = <test>.work
          messaging.system = rabbitmq
        consume <test>:pay:<test>.work (client) parent: publish <test>:pay links: [publish <test>:pay]
          hopscope.attempt = 2
          hopscope.keys = ["order-1"]
          messaging.destination.name = <test>:pay:<test>.work
          messaging.message.body.size = 7
          messaging.message.id = pay-1
          messaging.operation.name = consume
          messaging.operation.type = receive
          messaging.rabbitmq.consumer_tag = worker
          messaging.rabbitmq.destination.routing_key = pay
          messaging.rabbitmq.exchange = <test>
          messaging.rabbitmq.message.delivery_tag = *
          messaging.rabbitmq.message.redelivered = true
          messaging.rabbitmq.queue = <test>.work
          messaging.system = rabbitmq
        process <test>:pay:<test>.work (consumer) parent: publish <test>:pay links: [publish <test>:pay]
          hopscope.attempt = 2
          hopscope.disposition = accept
          hopscope.keys = ["order-1"]
          messaging.destination.name = <test>:pay:<test>.work
          messaging.message.body.size = 7
          messaging.message.id = pay-1
          messaging.operation.name = process
          messaging.operation.type = process
          messaging.rabbitmq.consumer_tag = worker
          messaging.rabbitmq.destination.routing_key = pay
          messaging.rabbitmq.exchange = <test>
          messaging.rabbitmq.message.delivery_tag = *
          messaging.rabbitmq.message.redelivered = true
          messaging.rabbitmq.queue = <test>.work
          messaging.system = rabbitmq
        ack <test>:pay:<test>.work (client) parent: process <test>:pay:<test>.work links: [publish <test>:pay]
          hopscope.attempt = 2
          hopscope.confirmed = false
          hopscope.disposition = accept
          messaging.destination.name = <test>:pay:<test>.work
          messaging.message.id = pay-1
          messaging.operation.name = ack
          messaging.operation.type = settle
          messaging.rabbitmq.destination.routing_key = pay
          messaging.rabbitmq.exchange = <test>
          messaging.rabbitmq.queue = <test>.work
          messaging.system = rabbitmq
        process <test>:pay:<test>.work (consumer) parent: publish <test>:pay links: [publish <test>:pay]
          hopscope.attempt = 2
          hopscope.disposition = accept
          hopscope.keys = ["order-1"]
          messaging.destination.name = <test>:pay:<test>.work
          messaging.message.body.size = 7
          messaging.message.id = pay-1
          messaging.operation.name = process
          messaging.operation.type = process
          messaging.rabbitmq.consumer_tag = worker
          messaging.rabbitmq.destination.routing_key = pay
          messaging.rabbitmq.exchange = <test>
          messaging.rabbitmq.message.delivery_tag = *
          messaging.rabbitmq.message.redelivered = true
          messaging.rabbitmq.queue = <test>.work
          messaging.system = rabbitmq
        ack <test>:pay:<test>.work (client) parent: process <test>:pay:<test>.work links: [publish <test>:pay]
          error.type = already-settled
          hopscope.attempt = 2
          hopscope.disposition = accept
          messaging.destination.name = <test>:pay:<test>.work
          messaging.message.id = pay-1
          messaging.operation.name = ack
          messaging.operation.type = settle
          messaging.rabbitmq.destination.routing_key = pay
          messaging.rabbitmq.exchange = <test>
          messaging.rabbitmq.queue = <test>.work
          messaging.system = rabbitmq
          Error { description: "the delivery was settled before" }
    "#]],
    );
}

#[tokio::test]
async fn a_rejected_message_is_a_copy_in_the_dead_letter_queue() {
    let bench = Bench::new("dead").await;
    let dead = bench.queue("dead");
    bench.topology(to_default_exchange(&dead)).await;
    bench.declare(&dead, FieldTable::default()).await;
    bench.publish(properties()).await;

    let mut consumer = bench.consume(bench.queue("work")).await;
    let first = next(&mut consumer).await;
    let failed = first.process().fail(Failure::new("unknown-currency", ""));
    first.reject(failed, BasicRejectOptions { requeue: false }).await.expect("reject");

    let got = tokio::time::timeout(WAIT, async {
        loop {
            match bench.channel.basic_get(dead.clone(), Default::default()).await.expect("get") {
                Some(message) => break message,
                None => tokio::task::yield_now().await,
            }
        }
    });
    let copy = got.await.expect("a dead letter in time");
    copy.ack(copy.process().succeed(), Default::default()).await.expect("ack");

    let name = bench.name.clone();
    let spans = bench.finish(&["work", "dead"]).await;
    let of_copy: Vec<_> = spans.into_iter().skip_while(|span| !span.name.starts_with("get")).collect();
    check(
        &of_copy,
        &name,
        &expect![[r#"
        get <test>.dead (client) parent: elsewhere links: [elsewhere]
          hopscope.attempt = 1
          hopscope.copied_from.destination = <test>
          hopscope.copied_from.group = <test>.work
          hopscope.copied_from.kind = dead_letter
          hopscope.copied_from.message_id = pay-1
          hopscope.copied_from.reason = rejected
          hopscope.keys = ["order-1"]
          messaging.destination.name = <test>.dead
          messaging.message.body.size = 7
          messaging.message.id = pay-1
          messaging.operation.name = get
          messaging.operation.type = receive
          messaging.rabbitmq.death.count = 1
          messaging.rabbitmq.destination.routing_key = <test>.dead
          messaging.rabbitmq.exchange = amq.default
          messaging.rabbitmq.message.delivery_tag = *
          messaging.rabbitmq.message.redelivered = false
          messaging.rabbitmq.queue = <test>.dead
          messaging.system = rabbitmq
        process <test>.dead (consumer) parent: elsewhere links: [elsewhere]
          hopscope.attempt = 1
          hopscope.copied_from.destination = <test>
          hopscope.copied_from.group = <test>.work
          hopscope.copied_from.kind = dead_letter
          hopscope.copied_from.message_id = pay-1
          hopscope.copied_from.reason = rejected
          hopscope.disposition = accept
          hopscope.keys = ["order-1"]
          messaging.destination.name = <test>.dead
          messaging.message.body.size = 7
          messaging.message.id = pay-1
          messaging.operation.name = process
          messaging.operation.type = process
          messaging.rabbitmq.death.count = 1
          messaging.rabbitmq.destination.routing_key = <test>.dead
          messaging.rabbitmq.exchange = amq.default
          messaging.rabbitmq.message.delivery_tag = *
          messaging.rabbitmq.message.redelivered = false
          messaging.rabbitmq.queue = <test>.dead
          messaging.system = rabbitmq
        ack <test>.dead (client) parent: process <test>.dead links: [elsewhere]
          hopscope.attempt = 1
          hopscope.confirmed = false
          hopscope.disposition = accept
          messaging.destination.name = <test>.dead
          messaging.message.id = pay-1
          messaging.operation.name = ack
          messaging.operation.type = settle
          messaging.rabbitmq.destination.routing_key = <test>.dead
          messaging.rabbitmq.exchange = amq.default
          messaging.rabbitmq.queue = <test>.dead
          messaging.system = rabbitmq
    "#]],
    );
}

#[tokio::test]
async fn what_the_broker_returns_or_does_not_confirm_is_no_success() {
    let bench = Bench::new("return").await;
    bench.topology(FieldTable::default()).await;
    let mandatory = BasicPublishOptions { mandatory: true, ..Default::default() };
    let none = BasicProperties::default;
    let publish = bench.channel.basic_publish(bench.exchange(), "nowhere".into(), mandatory, b"", none());
    let confirmation = publish.await.expect("publish").await.expect("confirm");
    assert_eq!(confirmation.take_message().expect("the application sees it too").reply_code, 312);

    let unconfirmed = bench.connection.create_channel().await.expect("channel");
    let unconfirmed = TracedChannel::new(unconfirmed).with_telemetry(bench.recorder.telemetry());
    let publish = unconfirmed.basic_publish(bench.exchange(), "pay".into(), Default::default(), b"", none());
    publish.await.expect("publish").await.expect("no answer is an answer");

    let publish =
        bench.channel.basic_publish(bench.exchange(), "pay".into(), Default::default(), b"", none());
    drop(publish.await.expect("publish"));

    let name = bench.name.clone();
    check(
        &bench.finish(&["work"]).await,
        &name,
        &expect![[r#"
        publish <test>:nowhere (producer) parent: - links: []
          error.type = NO_ROUTE
          messaging.destination.name = <test>:nowhere
          messaging.message.body.size = 0
          messaging.operation.name = publish
          messaging.operation.type = send
          messaging.rabbitmq.destination.routing_key = nowhere
          messaging.rabbitmq.exchange = <test>
          messaging.system = rabbitmq
          Error { description: "returned by the broker, exchange=<test> routing_key=nowhere reply=312 NO_ROUTE" }
        publish <test>:pay (producer) parent: - links: []
          hopscope.outcome = unknown
          hopscope.outcome.reason = unconfirmed
          messaging.destination.name = <test>:pay
          messaging.message.body.size = 0
          messaging.operation.name = publish
          messaging.operation.type = send
          messaging.rabbitmq.destination.routing_key = pay
          messaging.rabbitmq.exchange = <test>
          messaging.system = rabbitmq
        publish <test>:pay (producer) parent: - links: []
          hopscope.outcome = unknown
          hopscope.outcome.reason = dropped
          messaging.destination.name = <test>:pay
          messaging.message.body.size = 0
          messaging.operation.name = publish
          messaging.operation.type = send
          messaging.rabbitmq.destination.routing_key = pay
          messaging.rabbitmq.exchange = <test>
          messaging.system = rabbitmq
    "#]],
    );
}

#[tokio::test]
async fn a_retry_loop_counts_its_rounds() {
    let bench = Bench::new("loop").await;
    let wait = bench.queue("wait");
    bench.topology(to_default_exchange(&wait)).await;
    let back = arguments([
        ("x-message-ttl", AMQPValue::LongInt(50)),
        ("x-dead-letter-exchange", text(&bench.name)),
        ("x-dead-letter-routing-key", text("pay")),
    ]);
    bench.declare(&wait, back).await;
    bench.publish(properties()).await;

    let mut consumer = bench.consume(bench.queue("work")).await;
    for _ in 0..2 {
        let message = next(&mut consumer).await;
        let failed = message.process().fail(Failure::new("busy", ""));
        message.reject(failed, BasicRejectOptions { requeue: false }).await.expect("reject");
    }
    let third = next(&mut consumer).await;
    third.ack(third.process().succeed(), Default::default()).await.expect("ack");

    let spans = bench.finish(&["work", "wait"]).await;
    let received: Vec<_> = spans.iter().filter(|span| span.name.starts_with("consume")).collect();
    let all = |name: &str| received.iter().map(|span| attribute(span, name)).collect::<Vec<_>>();
    assert_eq!(all("hopscope.attempt"), ["1", "2", "3"]);
    assert_eq!(all("hopscope.copied_from.kind"), ["", "retry", "retry"]);
    assert_eq!(all("hopscope.copied_from.attempts"), ["", "1", "2"]);
    assert_eq!(all("hopscope.copied_from.reason"), ["", "rejected", "rejected"]);
}

fn attribute(span: &SpanData, name: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == name);
    found.map(|attribute| attribute.value.to_string()).unwrap_or_default()
}
