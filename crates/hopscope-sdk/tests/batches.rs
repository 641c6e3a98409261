//! The exact spans of batches: sent, received, processed, in parts.

use expect_test::{Expect, expect};
use hopscope_sdk::kit::{MapHeaders, Recorder};
use hopscope_sdk::{Delivery, Details, Failure, Outcome, Place, ProcessingBatch, Telemetry};

fn place(partition: Option<i32>, offset: Option<i64>) -> Place<'static> {
    Place::Kafka { topic: "orders", partition, offset }
}

fn check(recorder: &Recorder, expected: Expect) {
    expected.assert_eq(&recorder.text(&[], &[]));
}

/// Messages that were sent one by one, as a consumer of partition 0 gets them.
fn deliveries(telemetry: &Telemetry, messages: i64) -> Vec<Delivery> {
    let deliveries = (0..messages).map(|offset| {
        let mut headers = MapHeaders::default();
        let sending = telemetry.send("send", place(None, None), &Details::default());
        sending.inject(&mut headers);
        sending.confirm(place(Some(0), Some(offset)), &Details::default());
        let details = Details { group: "payment", ..Details::default() };
        telemetry.delivered(place(Some(0), Some(offset)), &details, &headers)
    });
    deliveries.collect()
}

#[test]
fn a_batch_is_sent_and_one_message_of_it_is_refused() {
    let recorder = Recorder::default();
    let telemetry = recorder.telemetry();
    let mut batch = telemetry.send_batch("send", place(None, None), &Details::default());
    for key in ["4711", "4712", "4713"] {
        let details = Details { key, body_bytes: Some(10), ..Details::default() };
        batch.create(place(None, None), &details, &mut MapHeaders::default());
    }
    batch.confirm(0, place(Some(0), Some(7)), &Details::default());
    batch.fail(1, Failure::new("MSG_SIZE_TOO_LARGE", "too large"));
    batch.end();
    check(
        &recorder,
        expect![[r#"
        create orders (producer) parent: - links: []
          messaging.destination.name = orders
          messaging.kafka.message.key = 4711
          messaging.message.body.size = 10
          messaging.operation.name = create
          messaging.operation.type = create
          messaging.system = kafka
        create orders (producer) parent: - links: []
          messaging.destination.name = orders
          messaging.kafka.message.key = 4712
          messaging.message.body.size = 10
          messaging.operation.name = create
          messaging.operation.type = create
          messaging.system = kafka
        create orders (producer) parent: - links: []
          messaging.destination.name = orders
          messaging.kafka.message.key = 4713
          messaging.message.body.size = 10
          messaging.operation.name = create
          messaging.operation.type = create
          messaging.system = kafka
        send orders (client) parent: - links: [create orders, create orders, create orders]
          hopscope.batch.body_size = 30
          messaging.batch.message_count = 3
          messaging.destination.name = orders
          messaging.operation.name = send
          messaging.operation.type = send
          messaging.system = kafka
          link messaging.destination.partition.id=0 messaging.kafka.message.key=4711 messaging.kafka.offset=7 messaging.message.body.size=10
          link error.type=MSG_SIZE_TOO_LARGE messaging.kafka.message.key=4712 messaging.message.body.size=10
          link hopscope.outcome=unknown hopscope.outcome.reason=unconfirmed messaging.kafka.message.key=4713 messaging.message.body.size=10
    "#]],
    );
}

#[test]
fn a_batch_is_processed_and_one_message_of_it_fails() {
    let recorder = Recorder::default();
    let deliveries = deliveries(&recorder.telemetry(), 3);
    let before = recorder.finished().len();
    recorder.telemetry().receive_batch("poll", &deliveries);
    let mut work = ProcessingBatch::start(deliveries).expect("messages");
    work.fail_one(1, Failure::new("OUT_OF_STOCK", "no such sku"));
    let declared = work.succeed();
    assert_eq!(declared.len(), 3);
    let finished = &recorder.finished()[before..];
    expect![[r#"
        poll orders (client) parent: - links: [elsewhere, elsewhere, elsewhere]
          messaging.batch.message_count = 3
          messaging.consumer.group.name = payment
          messaging.destination.name = orders
          messaging.destination.partition.id = 0
          messaging.operation.name = poll
          messaging.operation.type = receive
          messaging.system = kafka
          link messaging.kafka.offset=0
          link messaging.kafka.offset=1
          link messaging.kafka.offset=2
        process orders (consumer) parent: - links: [elsewhere, elsewhere, elsewhere]
          messaging.batch.message_count = 3
          messaging.consumer.group.name = payment
          messaging.destination.name = orders
          messaging.destination.partition.id = 0
          messaging.operation.name = process
          messaging.operation.type = process
          messaging.system = kafka
          link messaging.kafka.offset=0
          link error.type=OUT_OF_STOCK messaging.kafka.offset=1
          link messaging.kafka.offset=2
    "#]]
    .assert_eq(&hopscope_sdk::kit::spans(finished, &[], &[]));
}

#[test]
fn a_batch_that_is_dropped_is_unknown_message_by_message() {
    let recorder = Recorder::default();
    let deliveries = deliveries(&recorder.telemetry(), 2);
    let mut work = ProcessingBatch::start(deliveries).expect("messages");
    work.declare_one(0, Outcome::Ok);
    drop(work);
    let span = recorder.finished().pop().expect("a span");
    let told: Vec<_> = span
        .links
        .iter()
        .map(|link| link.attributes.iter().map(|set| set.value.to_string()).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(told, ["0", "1 unknown dropped"]);
}

/// A span holds 128 links; a poll gives 500 messages.
#[test]
fn no_message_of_a_large_batch_is_lost() {
    let recorder = Recorder::default();
    let deliveries = deliveries(&recorder.telemetry(), 300);
    let sent = recorder.finished();
    recorder.telemetry().receive_batch("poll", &deliveries);
    let parts = recorder.finished().split_off(sent.len());
    let links: Vec<_> = parts.iter().map(|span| span.links.len()).collect();
    assert_eq!(links.iter().sum::<usize>(), 300, "{links:?}");
    assert!(links.iter().all(|links| *links <= 128), "{links:?}");
    let mut linked: Vec<_> = parts
        .iter()
        .flat_map(|span| span.links.iter())
        .map(|link| link.span_context.span_id().to_string())
        .collect();
    let mut made: Vec<_> = sent.iter().map(|span| span.span_context.span_id().to_string()).collect();
    linked.sort();
    made.sort();
    assert_eq!(linked, made, "each message is linked once");
    let mut ids: Vec<_> = parts.iter().map(|span| span.span_context.span_id()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 3, "each part is a span of its own");
}

#[test]
fn a_message_without_a_context_has_a_span_of_its_own() {
    let recorder = Recorder::default();
    let telemetry = recorder.telemetry();
    let mut all = deliveries(&telemetry, 1);
    let before = recorder.finished().len();
    all.push(telemetry.delivered(place(Some(0), Some(9)), &Details::default(), &MapHeaders::default()));
    telemetry.receive_batch("poll", &all);
    let finished = &recorder.finished()[before..];
    expect![[r#"
        poll orders (client) parent: - links: [elsewhere]
          messaging.batch.message_count = 1
          messaging.destination.name = orders
          messaging.destination.partition.id = 0
          messaging.operation.name = poll
          messaging.operation.type = receive
          messaging.system = kafka
          link messaging.consumer.group.name=payment messaging.kafka.offset=0
        poll orders (client) parent: - links: []
          messaging.destination.name = orders
          messaging.destination.partition.id = 0
          messaging.kafka.offset = 9
          messaging.operation.name = poll
          messaging.operation.type = receive
          messaging.system = kafka
    "#]]
    .assert_eq(&hopscope_sdk::kit::spans(finished, &[], &[]));
}

#[test]
fn messages_of_which_none_has_a_context_are_a_span_each_and_no_more() {
    let recorder = Recorder::default();
    let telemetry = recorder.telemetry();
    let all: Vec<_> = (7..9)
        .map(|offset| {
            telemetry.delivered(place(Some(0), Some(offset)), &Details::default(), &MapHeaders::default())
        })
        .collect();
    telemetry.receive_batch("poll", &all);
    let offsets: Vec<_> = recorder
        .finished()
        .iter()
        .map(|span| {
            let offset = span.attributes.iter().find(|set| set.key.as_str() == "messaging.kafka.offset");
            offset.map(|set| set.value.to_string()).unwrap_or_default()
        })
        .collect();
    assert_eq!(offsets, ["7", "8"]);
}
