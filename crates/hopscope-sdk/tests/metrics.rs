//! The metrics that steps leave: on either path, sampled or not.

use expect_test::expect;
use hopscope_model::{Tally, Tenant};
use hopscope_sdk::kit::{MapHeaders, Records};
use hopscope_sdk::meters::{Collector, Meters, SdkState, Temporality};
use hopscope_sdk::setup::Counts;
use hopscope_sdk::{
    Details, Failure, Keep, Outcome, Place, ProcessingBatch, Sampler, Sampling, Server, Telemetry,
};
use hopscope_wire::otlp::decode_metrics_protobuf;
use hopscope_wire::{DecodeLimits, NotKept};
use opentelemetry::Context;
use opentelemetry::trace::FutureExt;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point};
use opentelemetry_sdk::trace::{Sampler as TheirSampler, SdkTracerProvider};
use prost::Message;

fn orders(partition: i32, offset: i64) -> Place<'static> {
    Place::Kafka { topic: "orders", partition: Some(partition), offset: Some(offset) }
}

const UNSENT: Place<'static> = Place::Kafka { topic: "orders", partition: None, offset: None };

/// A day at work: of every step one that goes well, one that fails and one of which nobody says how it ended.
fn work(telemetry: &Telemetry) {
    let broker = Details { server: Some(Server { address: "b1", port: 9092 }), ..Details::default() };
    let mut headers = MapHeaders::default();
    let sending = telemetry.send("send", UNSENT, &broker);
    sending.inject(&mut headers);
    sending.confirm(orders(0, 7), &broker);
    telemetry.send("send", UNSENT, &broker).fail(Failure::new("MSG_SIZE_TOO_LARGE", ""));
    telemetry.send("send", UNSENT, &broker).unconfirmed();
    drop(telemetry.send("send", UNSENT, &broker));

    let mut batch = telemetry.send_batch("send", UNSENT, &broker);
    for _ in 0..4 {
        batch.create(UNSENT, &broker, &mut MapHeaders::default());
    }
    batch.confirm(0, orders(0, 8), &broker);
    batch.confirm(1, orders(1, 0), &broker);
    batch.fail(2, Failure::new("NOT_LEADER", ""));
    batch.end();

    // An age-old broker time: the clock has no say in which bucket it is.
    let consumer = Details { group: "payment", attempt: Some(2), broker_time_ns: Some(1), ..broker };
    let delivery = telemetry.receive("poll", orders(0, 7), &consumer, &headers);
    delivery.process().succeed().settle("commit").confirm();
    delivery
        .process()
        .fail(Failure::new("OUT_OF_STOCK", ""))
        .settle("commit")
        .fail(Failure::new("REBALANCE", ""));
    drop(delivery.process());

    let mut broken = MapHeaders::default();
    broken.0.push(("traceparent".into(), Some(b"00-zz".to_vec())));
    let consumer = Details { group: "payment", ..broker };
    let missing = telemetry.delivered(orders(0, 8), &consumer, &MapHeaders::default());
    let broken = telemetry.delivered(orders(1, 0), &consumer, &broken);
    let both = [missing, broken];
    telemetry.receive_batch("poll", &both);
    drop(ProcessingBatch::start(both.into()).expect("messages").declare(Outcome::Ok));
}

/// Name, attributes and count of every series; without times, which no test can know.
fn text(meters: Meters) -> String {
    let mut collector = Collector::new(meters, Temporality::Cumulative, 1);
    let requests = collector.collect(2, &[], &SdkState::default(), usize::MAX);
    let mut lines = Vec::new();
    for request in &requests {
        let request = ExportMetricsServiceRequest::decode(&request[..]).expect("OTLP");
        let scopes = request.resource_metrics.into_iter().flat_map(|of| of.scope_metrics);
        for metric in scopes.flat_map(|of| of.metrics).filter(|of| !of.name.starts_with("hopscope.sdk")) {
            let mut line = |attributes: &[KeyValue], count: u64| {
                lines.push(format!("{}{} = {count}", metric.name, attributes_text(attributes)));
            };
            match metric.data.as_ref().expect("data") {
                Data::Sum(sum) => sum.data_points.iter().for_each(|point| match point.value {
                    Some(number_data_point::Value::AsInt(value)) => line(&point.attributes, value as u64),
                    other => panic!("a whole number: {other:?}"),
                }),
                Data::Histogram(of) => {
                    of.data_points.iter().for_each(|point| line(&point.attributes, point.count));
                }
                other => panic!("neither sum nor histogram: {other:?}"),
            }
        }
    }
    lines.sort();
    lines.join("\n") + "\n"
}

/// What all of them have is left out, and so is what goes without saying in a name.
fn attributes_text(attributes: &[KeyValue]) -> String {
    let common = ["messaging.system", "messaging.destination.name", "server.address", "server.port"];
    let mut texts: Vec<String> = attributes
        .iter()
        .filter(|set| !common.contains(&set.key.as_str()))
        .map(|set| match set.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(Value::StringValue(text)) => format!(" {}={text}", set.key),
            other => format!(" {}={other:?}", set.key),
        })
        .collect();
    texts.sort();
    texts.concat()
}

#[test]
fn every_step_is_counted_whatever_becomes_of_its_span() {
    let of = |telemetry: Telemetry| {
        let meters = Meters::default();
        work(&telemetry.with_meters(meters.clone()));
        text(meters)
    };
    let sampled = of(Records::default().telemetry());
    let unsampled = of(Records::new(Sampling::all(Sampler::Never), Keep::NOTHING).telemetry());
    let of_a_tracer = of(Telemetry::new(&SdkTracerProvider::builder().build()));
    let of_a_silent_tracer =
        of(Telemetry::new(&SdkTracerProvider::builder().with_sampler(TheirSampler::AlwaysOff).build()));
    expect![[r#"
        hopscope.messaging.attempts messaging.consumer.group.name=payment messaging.destination.partition.id=0 = 1
        hopscope.messaging.context hopscope.context.state=broken messaging.consumer.group.name=payment messaging.destination.partition.id=1 = 1
        hopscope.messaging.context hopscope.context.state=found messaging.consumer.group.name=payment messaging.destination.partition.id=0 = 1
        hopscope.messaging.context hopscope.context.state=missing messaging.consumer.group.name=payment messaging.destination.partition.id=0 = 1
        hopscope.messaging.queue.duration messaging.consumer.group.name=payment messaging.destination.partition.id=0 = 1
        messaging.client.consumed.messages messaging.consumer.group.name=payment messaging.destination.partition.id=0 messaging.operation.name=poll = 2
        messaging.client.consumed.messages messaging.consumer.group.name=payment messaging.destination.partition.id=1 messaging.operation.name=poll = 1
        messaging.client.operation.duration error.type=MSG_SIZE_TOO_LARGE messaging.operation.name=send messaging.operation.type=send = 1
        messaging.client.operation.duration error.type=REBALANCE messaging.consumer.group.name=payment messaging.destination.partition.id=0 messaging.operation.name=commit messaging.operation.type=settle = 1
        messaging.client.operation.duration hopscope.outcome=unknown messaging.operation.name=send messaging.operation.type=send = 2
        messaging.client.operation.duration messaging.consumer.group.name=payment messaging.destination.partition.id=0 messaging.operation.name=commit messaging.operation.type=settle = 1
        messaging.client.operation.duration messaging.destination.partition.id=0 messaging.operation.name=send messaging.operation.type=send = 1
        messaging.client.operation.duration messaging.operation.name=send messaging.operation.type=send = 1
        messaging.client.sent.messages error.type=MSG_SIZE_TOO_LARGE messaging.operation.name=send = 1
        messaging.client.sent.messages error.type=NOT_LEADER messaging.operation.name=send = 1
        messaging.client.sent.messages hopscope.outcome=unknown messaging.operation.name=send = 3
        messaging.client.sent.messages messaging.destination.partition.id=0 messaging.operation.name=send = 2
        messaging.client.sent.messages messaging.destination.partition.id=1 messaging.operation.name=send = 1
        messaging.process.duration error.type=OUT_OF_STOCK messaging.consumer.group.name=payment messaging.destination.partition.id=0 messaging.operation.name=process = 1
        messaging.process.duration hopscope.outcome=unknown messaging.consumer.group.name=payment messaging.destination.partition.id=0 messaging.operation.name=process = 1
        messaging.process.duration messaging.consumer.group.name=payment messaging.destination.partition.id=0 messaging.operation.name=process = 1
        messaging.process.duration messaging.consumer.group.name=payment messaging.operation.name=process = 1
    "#]].assert_eq(&sampled);
    assert_eq!(sampled, unsampled);
    assert_eq!(sampled, of_a_tracer);
    assert_eq!(sampled, of_a_silent_tracer);
}

/// One tally of the server a line.
fn told(meters: Meters) -> String {
    let mut collector = Collector::new(meters, Temporality::Cumulative, 1);
    let resource = [
        opentelemetry::KeyValue::new("service.name", "checkout"),
        opentelemetry::KeyValue::new("service.instance.id", "checkout-1"),
    ];
    let counts = Counts { ended: 3, queued: 2, ..Counts::default() };
    let state = SdkState { topic: Some(counts), ..SdkState::default() };
    let request = collector.collect(2, &resource, &state, usize::MAX).remove(0);
    let decoded = decode_metrics_protobuf(&request, &Tenant::default(), 1, &DecodeLimits::default());
    let decoded = decoded.expect("a valid request");
    assert_eq!(decoded.not_kept, NotKept::default());
    let line = |tally: Tally| {
        let Tally { measure, detail, destination, lane, group, stage, outcome, count, .. } = tally;
        assert_eq!((tally.service, tally.instance), ("checkout".into(), "checkout-1".into()));
        format!("{measure} {detail} {destination}/{lane}/{group} {stage} {} {count}\n", outcome.name())
    };
    let mut lines: Vec<_> = decoded.batch.tallies_owned().map(line).collect();
    // Lanes leave in no order of their own.
    lines.sort();
    lines.concat()
}

#[test]
fn the_server_reads_what_was_counted() {
    let places = [
        orders(3, 7),
        Place::JetStream { subject: "orders.new", stream: "ORDERS", sequence: Some(9) },
        Place::RabbitMq { exchange: "", routing_key: "work", queue: "work", stream_offset: None },
        Place::RocketMq { topic: "%RETRY%g", logical_topic: "t", broker: "a", queue: Some(2), offset: None },
    ];
    let mut text = String::new();
    for place in places {
        let meters = Meters::default();
        let telemetry = Records::default().telemetry().with_meters(meters.clone());
        telemetry.send("send", place, &Details::default()).unconfirmed();
        let details = Details { group: "g", ..Details::default() };
        let delivery = telemetry.receive("receive", place, &details, &MapHeaders::default());
        delivery.process().fail(Failure::new("OUT_OF_STOCK", "")).settle("ack").confirm();
        text += &format!("{}\n", place.system());
        text += &told(meters);
    }
    expect![[r#"
        kafka
        context missing orders/3/g receive ok 1
        duration  orders/3/ send unknown 1
        duration  orders/3/g process failed 1
        duration  orders/3/g settle ok 1
        messages  orders/3/ send unknown 1
        messages  orders/3/g receive ok 1
        sdk ended // work ok 3
        sdk queued // work ok 2
        sdk topic // work ok 0
        sdk unended // work ok 0
        nats
        context missing ORDERS//g receive ok 1
        duration  ORDERS// send unknown 1
        duration  ORDERS//g process failed 1
        duration  ORDERS//g settle ok 1
        messages  ORDERS// send unknown 1
        messages  ORDERS//g receive ok 1
        sdk ended // work ok 3
        sdk queued // work ok 2
        sdk topic // work ok 0
        sdk unended // work ok 0
        rabbitmq
        context missing amq.default//work receive ok 1
        duration  amq.default// send unknown 1
        duration  amq.default//work process failed 1
        duration  amq.default//work settle ok 1
        messages  amq.default// send unknown 1
        messages  amq.default//work receive ok 1
        sdk ended // work ok 3
        sdk queued // work ok 2
        sdk topic // work ok 0
        sdk unended // work ok 0
        rocketmq
        context missing %RETRY%g/a/2/g receive ok 1
        duration  %RETRY%g/a/2/ send unknown 1
        duration  %RETRY%g/a/2/g process failed 1
        duration  %RETRY%g/a/2/g settle ok 1
        messages  %RETRY%g/a/2/ send unknown 1
        messages  %RETRY%g/a/2/g receive ok 1
        sdk ended // work ok 3
        sdk queued // work ok 2
        sdk topic // work ok 0
        sdk unended // work ok 0
    "#]]
    .assert_eq(&text);
}

#[tokio::test]
async fn what_must_not_be_traced_is_not_counted() {
    let meters = Meters::default();
    let telemetry = Records::default().telemetry().with_meters(meters.clone());
    let suppressed = Context::new().with_telemetry_suppressed();
    async { work(&telemetry) }.with_context(suppressed).await;
    assert_eq!(text(meters), "\n");
}
