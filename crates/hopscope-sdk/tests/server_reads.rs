//! What the SDK writes, the server reads: out through OTLP, in through the server's decoder, for every broker.

use expect_test::expect;
use hopscope_model::{Batch, MessageEvent, ProgressKind, SpanContext, Tenant};
use hopscope_sdk::kit::{MapHeaders, Recorder, Records};
use hopscope_sdk::{
    Body, CopiedFrom, CopyKind, Details, Disposition, Failure, Outcome, Place, Server, Telemetry,
};
use hopscope_wire::otlp::decode_protobuf;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use prost::Message;

/// Spans of a tracer, as OpenTelemetry's own exporter would send them.
fn sent_by_opentelemetry(recorder: &Recorder) -> Vec<u8> {
    let resource = ResourceAttributesWithSchema::default();
    let resource_spans = group_spans_by_resource_and_scope(recorder.finished(), &resource);
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn read_by_the_server(request: &[u8]) -> Batch {
    let decoded = decode_protobuf(request, &Tenant::default(), 1, &hopscope_wire::DecodeLimits::default());
    decoded.expect("a valid request").batch
}

/// One line an event, with what is absent left out.
fn line(event: &MessageEvent, sender: SpanContext) -> String {
    let MessageEvent { system, cluster, server, destination, address, lane, group, message_id, .. } = event;
    let mut line = format!("{} {}", event.stage, event.operation);
    let mut add = |name: &str, value: &str| {
        if !value.is_empty() {
            line += &format!(" {name}={value}");
        }
    };
    add("system", system);
    add("cluster", cluster);
    add("server", server);
    add("destination", destination);
    add("address", address);
    add("lane", lane);
    add("position", &event.position.map(|position| position.to_string()).unwrap_or_default());
    add("group", group);
    add("id", message_id);
    add("correlation", &event.correlation_id);
    add("keys", &event.keys.join("+"));
    add("attempt", &event.attempt.map(|attempt| attempt.to_string()).unwrap_or_default());
    add("bytes", &event.body_bytes.map(|bytes| bytes.to_string()).unwrap_or_default());
    add("broker_ns", &event.broker_ns.map(|time| time.to_string()).unwrap_or_default());
    add("origin_ns", &event.origin_ns.map(|time| time.to_string()).unwrap_or_default());
    add("disposition", event.disposition.map(Disposition::name).unwrap_or_default());
    add("outcome", event.outcome.name());
    add("creation", if event.creation == Some(sender) { "sender" } else { "?" });
    for (name, value) in event.attributes.iter().filter(|(name, _)| name.starts_with("hopscope.")) {
        add(name, &value.to_string());
    }
    line
}

/// Sends to `sent`, stored at `stored`; received, processed and settled at `consumed`.
fn life(sent: Place<'_>, stored: Place<'_>, consumed: Place<'_>, details: Details<'_>) -> String {
    let (recorder, records) = (Recorder::default(), Records::default());
    live(&recorder.telemetry(), sent, stored, consumed, details);
    live(&records.telemetry(), sent, stored, consumed, details);
    let [by_tracer, own] =
        [sent_by_opentelemetry(&recorder), records.request()].map(|request| told(&request));
    assert_eq!(own, by_tracer, "our own path tells the same as a tracer's");
    own
}

fn told(request: &[u8]) -> String {
    let batch = read_by_the_server(request);
    let events: Vec<_> = batch.events().map(|event| event.to_owned()).collect();
    let sender = events.first().and_then(MessageEvent::context).expect("a send");
    events.iter().map(|event| line(event, sender) + "\n").collect()
}

fn live(
    telemetry: &Telemetry,
    sent: Place<'_>,
    stored: Place<'_>,
    consumed: Place<'_>,
    details: Details<'_>,
) {
    let mut headers = MapHeaders::default();
    let sender = Details { group: "", attempt: None, copied_from: None, ..details };
    let sending = telemetry.send("send", sent, &sender);
    sending.inject(&mut headers);
    sending.confirm(stored, &Details { broker_time_ns: Some(5), ..Details::default() });
    let delivery = telemetry.receive("receive", consumed, &details, &headers);
    let failed = Outcome::Failed(Failure::new("OUT_OF_STOCK", "no such sku"));
    delivery.process().declare(failed, Some(Disposition::Retry)).settle("nak").sent();
    drop(delivery.process());
}

const DETAILS: Details<'static> = Details {
    server: Some(Server { address: "broker", port: 1 }),
    cluster: "c1",
    client: "client",
    group: "",
    message_id: "",
    correlation_id: "",
    key: "",
    template: "",
    keys: &[],
    attempt: None,
    body_bytes: Some(2),
    body: Body(&[]),
    broker_time_ns: None,
    origin_time_ns: None,
    copied_from: None,
    attributes: &[],
};

#[test]
fn kafka() {
    let sent = Place::Kafka { topic: "orders", partition: None, offset: None };
    let stored = Place::Kafka { topic: "orders", partition: Some(0), offset: Some(7) };
    let details = Details { group: "payment", key: "4711", origin_time_ns: Some(3), ..DETAILS };
    expect![[r#"
        send send system=kafka cluster=c1 server=broker:1 destination=orders lane=0 position=7 keys=4711 bytes=2 broker_ns=5 origin_ns=3 outcome=ok creation=sender
        receive receive system=kafka cluster=c1 server=broker:1 destination=orders lane=0 position=7 group=payment keys=4711 bytes=2 origin_ns=3 outcome=ok creation=sender
        process process system=kafka cluster=c1 server=broker:1 destination=orders lane=0 position=7 group=payment keys=4711 bytes=2 origin_ns=3 disposition=retry outcome=failed creation=sender
        settle nak system=kafka cluster=c1 server=broker:1 destination=orders lane=0 position=7 group=payment disposition=retry outcome=ok creation=sender hopscope.confirmed=false
        process process system=kafka cluster=c1 server=broker:1 destination=orders lane=0 position=7 group=payment keys=4711 bytes=2 origin_ns=3 outcome=unknown creation=sender hopscope.outcome.reason=dropped
    "#]].assert_eq(&life(sent, stored, stored, details));
}

#[test]
fn jetstream() {
    let sent = Place::JetStream { subject: "shipments.new", stream: "", sequence: None };
    let stored = Place::JetStream { subject: "shipments.new", stream: "SHIPMENTS", sequence: Some(9) };
    let details = Details { group: "packing", message_id: "s-1", attempt: Some(2), ..DETAILS };
    expect![[r#"
        send send system=nats cluster=c1 server=broker:1 destination=SHIPMENTS address=shipments.new position=9 id=s-1 bytes=2 broker_ns=5 outcome=ok creation=sender
        receive receive system=nats cluster=c1 server=broker:1 destination=SHIPMENTS address=shipments.new position=9 group=packing id=s-1 attempt=2 bytes=2 outcome=ok creation=sender
        process process system=nats cluster=c1 server=broker:1 destination=SHIPMENTS address=shipments.new position=9 group=packing id=s-1 attempt=2 bytes=2 disposition=retry outcome=failed creation=sender
        settle nak system=nats cluster=c1 server=broker:1 destination=SHIPMENTS address=shipments.new position=9 group=packing id=s-1 attempt=2 disposition=retry outcome=ok creation=sender hopscope.confirmed=false
        process process system=nats cluster=c1 server=broker:1 destination=SHIPMENTS address=shipments.new position=9 group=packing id=s-1 attempt=2 bytes=2 outcome=unknown creation=sender hopscope.outcome.reason=dropped
    "#]].assert_eq(&life(sent, stored, stored, details));
}

#[test]
fn nats_core() {
    let place = Place::Nats { subject: "orders.new" };
    let details = Details { group: "workers", cluster: "", ..DETAILS };
    expect![[r#"
        send send system=nats server=broker:1 destination=orders.new bytes=2 broker_ns=5 outcome=ok creation=sender
        receive receive system=nats server=broker:1 destination=orders.new group=workers bytes=2 outcome=ok creation=sender
        process process system=nats server=broker:1 destination=orders.new group=workers bytes=2 disposition=retry outcome=failed creation=sender
        settle nak system=nats server=broker:1 destination=orders.new group=workers disposition=retry outcome=ok creation=sender hopscope.confirmed=false
        process process system=nats server=broker:1 destination=orders.new group=workers bytes=2 outcome=unknown creation=sender hopscope.outcome.reason=dropped
    "#]].assert_eq(&life(place, place, place, details));
}

#[test]
fn rabbitmq() {
    let sent = Place::RabbitMq { exchange: "", routing_key: "payments", queue: "", stream_offset: None };
    let dead =
        Place::RabbitMq { exchange: "dlx", routing_key: "payments", queue: "dead", stream_offset: Some(4) };
    let copied_from = Some(CopiedFrom {
        kind: CopyKind::DeadLetter,
        destination: "amq.default",
        broker: "",
        partition: None,
        position: Some(2),
        message_id: "m-1",
        group: "payments",
        attempts: Some(3),
        reason: "rejected",
        error_type: "",
        context: None,
    });
    let details =
        Details { message_id: "m-1", correlation_id: "c-1", keys: &["4711", "x"], copied_from, ..DETAILS };
    expect![[r#"
        send send system=rabbitmq cluster=c1 server=broker:1 destination=amq.default address=payments id=m-1 correlation=c-1 keys=4711+x bytes=2 broker_ns=5 outcome=ok creation=sender
        receive receive system=rabbitmq cluster=c1 server=broker:1 destination=dlx address=payments position=4 group=dead id=m-1 correlation=c-1 keys=4711+x bytes=2 outcome=ok creation=sender hopscope.copied_from.kind=dead_letter hopscope.copied_from.destination=amq.default hopscope.copied_from.position=2 hopscope.copied_from.message_id=m-1 hopscope.copied_from.group=payments hopscope.copied_from.attempts=3 hopscope.copied_from.reason=rejected hopscope.span_name=receive dlx:payments:dead
        process process system=rabbitmq cluster=c1 server=broker:1 destination=dlx address=payments position=4 group=dead id=m-1 correlation=c-1 keys=4711+x bytes=2 disposition=retry outcome=failed creation=sender hopscope.copied_from.kind=dead_letter hopscope.copied_from.destination=amq.default hopscope.copied_from.position=2 hopscope.copied_from.message_id=m-1 hopscope.copied_from.group=payments hopscope.copied_from.attempts=3 hopscope.copied_from.reason=rejected hopscope.span_name=process dlx:payments:dead
        settle nak system=rabbitmq cluster=c1 server=broker:1 destination=dlx address=payments position=4 group=dead id=m-1 disposition=retry outcome=ok creation=sender hopscope.confirmed=false hopscope.span_name=nak dlx:payments:dead
        process process system=rabbitmq cluster=c1 server=broker:1 destination=dlx address=payments position=4 group=dead id=m-1 correlation=c-1 keys=4711+x bytes=2 outcome=unknown creation=sender hopscope.copied_from.kind=dead_letter hopscope.copied_from.destination=amq.default hopscope.copied_from.position=2 hopscope.copied_from.message_id=m-1 hopscope.copied_from.group=payments hopscope.copied_from.attempts=3 hopscope.copied_from.reason=rejected hopscope.outcome.reason=dropped hopscope.span_name=process dlx:payments:dead
    "#]].assert_eq(&life(sent, sent, dead, details));
}

#[test]
fn rocketmq() {
    let sent =
        Place::RocketMq { topic: "notifications", logical_topic: "", broker: "", queue: None, offset: None };
    let stored = Place::RocketMq {
        topic: "notifications",
        logical_topic: "",
        broker: "broker-a",
        queue: Some(3),
        offset: Some(12),
    };
    let retried = Place::RocketMq {
        topic: "%RETRY%mailer",
        logical_topic: "notifications",
        broker: "broker-a",
        queue: Some(0),
        offset: Some(1),
    };
    let details = Details { group: "mailer", message_id: "7F00", attempt: Some(2), ..DETAILS };
    expect![[r#"
        send send system=rocketmq cluster=c1 server=broker:1 destination=notifications lane=broker-a/3 position=12 id=7F00 bytes=2 broker_ns=5 outcome=ok creation=sender
        receive receive system=rocketmq cluster=c1 server=broker:1 destination=%RETRY%mailer address=notifications lane=broker-a/0 position=1 group=mailer id=7F00 attempt=2 bytes=2 outcome=ok creation=sender
        process process system=rocketmq cluster=c1 server=broker:1 destination=%RETRY%mailer address=notifications lane=broker-a/0 position=1 group=mailer id=7F00 attempt=2 bytes=2 disposition=retry outcome=failed creation=sender
        settle nak system=rocketmq cluster=c1 server=broker:1 destination=%RETRY%mailer address=notifications lane=broker-a/0 position=1 group=mailer id=7F00 attempt=2 disposition=retry outcome=ok creation=sender hopscope.confirmed=false
        process process system=rocketmq cluster=c1 server=broker:1 destination=%RETRY%mailer address=notifications lane=broker-a/0 position=1 group=mailer id=7F00 attempt=2 bytes=2 outcome=unknown creation=sender hopscope.outcome.reason=dropped
    "#]].assert_eq(&life(sent, stored, retried, details));
}

#[test]
fn a_commit_is_progress() {
    let recorder = Recorder::default();
    let place = Place::Kafka { topic: "orders", partition: Some(0), offset: None };
    recorder.telemetry().settle_up_to("commit", place, &Details { group: "payment", ..DETAILS }, 8).confirm();
    let batch = read_by_the_server(&sent_by_opentelemetry(&recorder));
    let progress: Vec<_> = batch.progress_owned().collect();
    let [progress] = progress.as_slice() else { panic!("one progress: {progress:?}") };
    assert_eq!((progress.kind, progress.group.as_str()), (ProgressKind::Floor { next: 8 }, "payment"));
    assert_eq!((progress.destination.as_str(), progress.lane.as_str()), ("orders", "0"));
}
