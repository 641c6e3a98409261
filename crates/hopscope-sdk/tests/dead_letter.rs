//! Headers of copies: each family as its own software writes it, ours there and back, rubbish.

use expect_test::{Expect, expect};
use hopscope_sdk::dead_letter::{self, Edit, Families, Family, Original};
use hopscope_sdk::kit::{MapHeaders, Recorder};
use hopscope_sdk::opentelemetry::trace::{SpanContext, TraceFlags, TraceState};
use hopscope_sdk::opentelemetry::{SpanId, TraceId};
use hopscope_sdk::{CarrierMut, CopyKind, Details, Failure, Place};
use proptest::prelude::*;

fn headers(pairs: &[(&str, &[u8])]) -> MapHeaders {
    MapHeaders(pairs.iter().map(|(name, value)| ((*name).to_owned(), Some(value.to_vec()))).collect())
}

/// What is known, in one line.
fn told(of: Option<Original>) -> String {
    let Some(of) = of else { return "no copy".to_owned() };
    let number = |number: Option<i64>| number.map(|number| number.to_string()).unwrap_or_default();
    let parts = [
        ("", format!("{:?} by {:?}", of.kind, of.family)),
        ("destination", of.destination),
        ("address", of.address),
        ("broker", of.broker),
        ("partition", number(of.partition.map(i64::from))),
        ("position", number(of.position)),
        ("message_id", of.message_id),
        ("group", of.group),
        ("attempts", number(of.attempts.map(i64::from))),
        ("reason", of.reason),
        ("error_type", of.error_type),
        ("first_failed_ns", number(of.first_failed_ns)),
        ("redrives", if of.redrives == 0 { String::new() } else { of.redrives.to_string() }),
    ];
    let known = parts.into_iter().filter(|(_, value)| !value.is_empty());
    let words: Vec<String> =
        known.map(|(name, value)| if name.is_empty() { value } else { format!("{name}={value}") }).collect();
    words.join(" · ")
}

fn check(destination: &str, pairs: &[(&str, &[u8])], expected: Expect) {
    expected.assert_eq(&told(dead_letter::read(destination, &headers(pairs))));
}

#[test]
fn spring_dead_letters_with_binary_numbers() {
    let pairs: &[(&str, &[u8])] = &[
        ("kafka_dlt-original-topic", b"orders"),
        ("kafka_dlt-original-partition", &[0, 0, 0, 3]),
        ("kafka_dlt-original-offset", &[0, 0, 0, 0, 0, 0, 0x12, 0x67]),
        ("kafka_dlt-original-timestamp", &[0, 0, 1, 0x9a, 0, 0, 0, 0]),
        ("kafka_dlt-original-timestamp-type", b"CreateTime"),
        ("kafka_dlt-original-consumer-group", b"payment"),
        ("kafka_dlt-exception-fqcn", b"org.springframework.kafka.listener.ListenerExecutionFailedException"),
        ("kafka_dlt-exception-message", b"Listener failed"),
        ("kafka_dlt-exception-stacktrace", b"..."),
        ("kafka_deliveryAttempt", &[0, 0, 0, 3]),
    ];
    check(
        "orders-dlt",
        pairs,
        expect![
            "DeadLetter by Spring · destination=orders · partition=3 · position=4711 · group=payment · attempts=3 · reason=Listener failed · error_type=org.springframework.kafka.listener.ListenerExecutionFailedException"
        ],
    );
}

#[test]
fn spring_dead_letters_with_numbers_as_text() {
    for (partition, offset) in [(&b"3"[..], &b"4711"[..]), (b"1234", b"12345678"), (b" 7 ", b"0")] {
        let of = headers(&[
            ("kafka_dlt-original-topic", b"orders"),
            ("kafka_dlt-original-partition", partition),
            ("kafka_dlt-original-offset", offset),
        ]);
        let of = dead_letter::read("orders.DLT", &of).expect("a dead letter");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        assert_eq!(
            (
                of.partition.map_or_else(String::new, |partition| partition.to_string()),
                of.position.map(|position| position.to_string())
            ),
            (text(partition), Some(text(offset)))
        );
    }
}

#[test]
fn spring_keeps_a_list_and_the_last_is_the_newest() {
    let pairs: &[(&str, &[u8])] = &[
        ("kafka_dlt-original-topic", b"orders"),
        ("kafka_dlt-original-offset", &[0, 0, 0, 0, 0, 0, 0, 1]),
        ("kafka_dlt-original-topic", b"orders-dlt"),
        ("kafka_dlt-original-offset", &[0, 0, 0, 0, 0, 0, 0, 9]),
    ];
    check("orders-dlt-dlt", pairs, expect!["DeadLetter by Spring · destination=orders-dlt · position=9"]);
}

#[test]
fn spring_retry_topics_and_their_end() {
    let pairs: &[(&str, &[u8])] = &[
        ("kafka_original-topic", b"orders"),
        ("kafka_original-partition", &[0, 0, 0, 1]),
        ("kafka_original-offset", &[0, 0, 0, 0, 0, 0, 0, 5]),
        ("kafka_dlt-original-consumer-group", b"payment"),
        ("kafka_exception-fqcn", b"java.lang.IllegalStateException"),
        ("kafka_exception-message", b"busy"),
        ("retry_topic-attempts", &[0, 0, 0, 3]),
    ];
    check(
        "orders-retry-1",
        pairs,
        expect![
            "Retry by Spring · destination=orders · partition=1 · position=5 · group=payment · attempts=2 · reason=busy · error_type=java.lang.IllegalStateException"
        ],
    );
    check(
        "orders-dlt",
        pairs,
        expect![
            "DeadLetter by Spring · destination=orders · partition=1 · position=5 · group=payment · attempts=2 · reason=busy · error_type=java.lang.IllegalStateException"
        ],
    );
    let older: &[(&str, &[u8])] = &[("kafka_original-topic", b"orders"), ("retry_topic-attempts", &[2])];
    check("orders-retry-0", older, expect!["Retry by Spring · destination=orders · attempts=1"]);
}

#[test]
fn kafka_connect() {
    let pairs: &[(&str, &[u8])] = &[
        ("__connect.errors.topic", b"orders"),
        ("__connect.errors.partition", b"2"),
        ("__connect.errors.offset", b"42"),
        ("__connect.errors.connector.name", b"orders-sink"),
        ("__connect.errors.task.id", b"0"),
        ("__connect.errors.stage", b"VALUE_CONVERTER"),
        ("__connect.errors.class.name", b"org.apache.kafka.connect.json.JsonConverter"),
        ("__connect.errors.exception.class.name", b"org.apache.kafka.connect.errors.DataException"),
        ("__connect.errors.exception.message", b"no JSON"),
    ];
    check(
        "orders-dlq",
        pairs,
        expect![
            "DeadLetter by Connect · destination=orders · partition=2 · position=42 · group=connect-orders-sink · reason=no JSON · error_type=org.apache.kafka.connect.errors.DataException"
        ],
    );
}

#[test]
fn smallrye() {
    let pairs: &[(&str, &[u8])] = &[
        ("dead-letter-exception-class-name", b"java.lang.RuntimeException"),
        ("dead-letter-reason", b"Something went wrong"),
        ("dead-letter-topic", b"movies"),
        ("dead-letter-partition", b"0"),
        ("dead-letter-offset", b"0"),
    ];
    check(
        "movies-dlq",
        pairs,
        expect![
            "DeadLetter by SmallRye · destination=movies · partition=0 · position=0 · reason=Something went wrong · error_type=java.lang.RuntimeException"
        ],
    );
}

#[test]
fn krafka() {
    let pairs: &[(&str, &[u8])] = &[
        ("__krafka.dlq.original.topic", b"orders"),
        ("__krafka.dlq.original.partition", b"1"),
        ("__krafka.dlq.original.offset", b"77"),
        ("__krafka.dlq.exception.message", b"bad schema"),
    ];
    check(
        "orders.DLQ",
        pairs,
        expect!["DeadLetter by Krafka · destination=orders · partition=1 · position=77 · reason=bad schema"],
    );
}

#[test]
fn rabbitmq_and_spring_amqp() {
    let first: &[(&str, &[u8])] = &[
        ("x-first-death-exchange", b"ex"),
        ("x-first-death-queue", b"work"),
        ("x-first-death-reason", b"rejected"),
    ];
    check(
        "work.dead",
        first,
        expect!["DeadLetter by RabbitMq · destination=ex · group=work · reason=rejected"],
    );
    let last: &[(&str, &[u8])] = &[
        ("x-first-death-queue", b"work"),
        ("x-first-death-reason", b"rejected"),
        ("x-last-death-exchange", b""),
        ("x-last-death-queue", b"wait"),
        ("x-last-death-reason", b"expired"),
    ];
    check(
        "end",
        last,
        expect!["DeadLetter by RabbitMq · destination=amq.default · group=wait · reason=expired"],
    );
    let republished: &[(&str, &[u8])] = &[
        ("x-original-exchange", b""),
        ("x-original-routingKey", b"work"),
        ("x-exception-message", b"no cover"),
        ("x-exception-stacktrace", b"..."),
    ];
    check(
        "error",
        republished,
        expect!["DeadLetter by SpringAmqp · destination=amq.default · address=work · reason=no cover"],
    );
}

#[test]
fn rocketmq_copies_by_their_topic() {
    let pairs: &[(&str, &[u8])] = &[
        ("RETRY_TOPIC", b"Orders_550"),
        ("UNIQ_KEY", b"7F000001"),
        ("ORIGIN_MESSAGE_ID", b"7F00000100002A9F"),
        ("DELAY", b"3"),
    ];
    check(
        "%RETRY%CG_550",
        pairs,
        expect!["Retry by RocketMq · destination=Orders_550 · message_id=7F000001 · group=CG_550"],
    );
    check(
        "%DLQ%CG_550",
        pairs,
        expect!["DeadLetter by RocketMq · destination=Orders_550 · message_id=7F000001 · group=CG_550"],
    );
    check("Orders_550", pairs, expect!["no copy"]);
}

#[test]
fn what_says_too_little_is_no_copy() {
    check("orders", &[], expect!["no copy"]);
    check(
        "orders",
        &[("kafka_dlt-original-consumer-group", b"g"), ("dead-letter-topic", b"")],
        expect!["no copy"],
    );
    check("orders", &[("hopscope-redrive-count", b"2"), ("x-death", b"rejected")], expect!["no copy"]);
    check(
        "dead",
        &[("dead-letter-topic", b"a"), ("dead-letter-offset", b"-1"), ("dead-letter-partition", b"x")],
        expect!["DeadLetter by SmallRye · destination=a"],
    );
}

fn failed() -> Failure {
    Failure::new("Declined", "no cover\r\nat 10:31")
}

fn details() -> Details<'static> {
    Details { group: "payment", message_id: "m-1", attempt: Some(5), ..Details::default() }
}

fn with_edit(mut headers: MapHeaders, edit: &Edit) -> MapHeaders {
    headers.remove(&|key| edit.remove.iter().any(|name| key.eq_ignore_ascii_case(name.as_bytes())));
    for (name, value) in &edit.set {
        headers.set_bytes(name, value);
    }
    headers
}

#[test]
fn the_headers_of_a_dead_letter() {
    let place = Place::Kafka { topic: "orders", partition: Some(3), offset: Some(4711) };
    let mut original = Original::dead_letter(place, &details(), &failed());
    original.first_failed_ns = Some(1_800_000_000_000_000_000);
    let edit = dead_letter::mark(&original, &Families::usual("kafka"), &headers(&[]));
    let text: String =
        edit.set.iter().map(|(name, value)| format!("{name}: {}\n", value.escape_ascii())).collect();
    expect![[r#"
        hopscope-dead-letter-destination: orders
        hopscope-dead-letter-partition: 3
        hopscope-dead-letter-position: 4711
        hopscope-dead-letter-message-id: m-1
        hopscope-dead-letter-group: payment
        hopscope-dead-letter-attempts: 5
        hopscope-dead-letter-reason: no cover  at 10:31
        hopscope-dead-letter-error-type: Declined
        hopscope-dead-letter-first-failed-at: 1800000000000000000
        kafka_dlt-original-topic: orders
        kafka_dlt-original-partition: \x00\x00\x00\x03
        kafka_dlt-original-offset: \x00\x00\x00\x00\x00\x00\x12g
        kafka_dlt-original-consumer-group: payment
        kafka_deliveryAttempt: \x00\x00\x00\x05
        kafka_dlt-exception-message: no cover  at 10:31
        kafka_dlt-exception-fqcn: Declined
    "#]]
    .assert_eq(&text);
}

/// Where each broker's message lies, in the server's coordinates.
#[test]
fn places_become_coordinates() {
    for (place, expected) in [
        (
            Place::JetStream { subject: "orders.new", stream: "ORDERS", sequence: Some(9) },
            expect![
                "DeadLetter by Hopscope · destination=ORDERS · address=orders.new · position=9 · message_id=m-1 · group=payment · attempts=5 · reason=no cover  at 10:31 · error_type=Declined"
            ],
        ),
        (
            Place::Nats { subject: "orders.new" },
            expect![
                "DeadLetter by Hopscope · destination=orders.new · message_id=m-1 · group=payment · attempts=5 · reason=no cover  at 10:31 · error_type=Declined"
            ],
        ),
        (
            Place::RabbitMq { exchange: "", routing_key: "work", queue: "work", stream_offset: None },
            expect![
                "DeadLetter by Hopscope · destination=amq.default · address=work · message_id=m-1 · group=work · attempts=5 · reason=no cover  at 10:31 · error_type=Declined"
            ],
        ),
        (
            Place::RocketMq {
                topic: "%RETRY%g",
                logical_topic: "Orders",
                broker: "broker-a",
                queue: Some(2),
                offset: Some(7),
            },
            expect![
                "DeadLetter by Hopscope · destination=%RETRY%g · address=Orders · broker=broker-a · partition=2 · position=7 · message_id=m-1 · group=payment · attempts=5 · reason=no cover  at 10:31 · error_type=Declined"
            ],
        ),
    ] {
        let mut headers = headers(&[("app", b"1")]);
        let original = Original::dead_letter(place, &details(), &failed());
        dead_letter::mark(&original, &Families::usual(place.system()), &headers).apply(&mut headers);
        expected.assert_eq(&told(dead_letter::read("dead", &headers)));
        assert_eq!(headers.0[0], ("app".to_owned(), Some(b"1".to_vec())));
    }
}

/// What the adapters do: a delivery becomes an original, and the work notes where the copy went.
#[test]
fn the_work_notes_its_copy() {
    let recorder = Recorder::default();
    let place = Place::RabbitMq { exchange: "ex", routing_key: "a.b", queue: "work", stream_offset: None };
    let traceparent = MapHeaders(vec![("traceparent".to_owned(), Some(TRACEPARENT.to_vec()))]);
    let delivery = recorder.telemetry().receive("deliver", place, &details(), &traceparent);
    let original = Original::from(delivery.as_original(CopyKind::DeadLetter));
    let mut all = MapHeaders::default();
    dead_letter::mark(&original, &Families::ours(), &all).apply(&mut all);
    let found = dead_letter::read("work.dead", &all).expect("ours");
    assert_eq!(found, original);
    let context = found.copied_from().context.map(|context| context.span_id().to_string());
    assert_eq!(context.as_deref(), Some("b7ad6b7169203331"));

    let processing = delivery.process();
    Original { error_type: "Declined".to_owned(), ..found }.note(&processing, "work.dead");
    processing.fail(failed());
    let spans = recorder.finished();
    let events: Vec<String> = spans
        .iter()
        .flat_map(|span| span.events.iter())
        .map(|event| {
            let attributes = event.attributes.iter().map(|of| format!(" {}={}", of.key, of.value));
            format!("{}{}", event.name, attributes.collect::<String>())
        })
        .collect();
    assert_eq!(
        events,
        [
            "hopscope.copied hopscope.copied_to.kind=dead_letter hopscope.copied_to.destination=work.dead error.type=Declined"
        ]
    );
}

const TRACEPARENT: &[u8] = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Work → retry topic → dead letter → back → dead letter again: each copy names the one before it.
#[test]
fn a_chain_of_copies() {
    let mut all = headers(&[("traceparent", b"00-1-2-01"), ("app", b"\xff")]);
    let kafka = |topic, offset| Place::Kafka { topic, partition: Some(0), offset: Some(offset) };
    let families = Families::usual("kafka").with(Family::SmallRye);
    let mark = |all: MapHeaders, original: &Original| {
        let edit = dead_letter::mark(original, &families, &all);
        with_edit(all, &edit)
    };

    let mut retry = Original::retry(kafka("orders", 1), &details(), &failed());
    retry.first_failed_ns = Some(100);
    all = mark(all, &retry);
    expect!["Retry by Hopscope · destination=orders · partition=0 · position=1 · message_id=m-1 · group=payment · attempts=5 · reason=no cover  at 10:31 · error_type=Declined · first_failed_ns=100"]
        .assert_eq(&told(dead_letter::read("orders.retry", &all)));

    let mut dead = Original::dead_letter(kafka("orders.retry", 2), &details(), &failed());
    dead.first_failed_ns = Some(200);
    all = mark(all, &dead);
    expect!["DeadLetter by Hopscope · destination=orders.retry · partition=0 · position=2 · message_id=m-1 · group=payment · attempts=5 · reason=no cover  at 10:31 · error_type=Declined · first_failed_ns=100"]
        .assert_eq(&told(dead_letter::read("orders.dead", &all)));
    let smallrye: Vec<_> = all.0.iter().filter(|(name, _)| name.starts_with("dead-letter-")).collect();
    assert_eq!(smallrye.len(), 5, "{smallrye:?}");

    let back = dead_letter::redrive(kafka("orders.dead", 3), &details(), &all);
    assert_eq!(back.to.map(|to| to.destination).as_deref(), Some("orders.retry"));
    all = with_edit(all, &back.edit);
    let redriven = expect![
        "Redrive by Hopscope · destination=orders.dead · partition=0 · position=3 · message_id=m-1 · group=payment · first_failed_ns=100 · redrives=1"
    ];
    redriven.assert_eq(&told(dead_letter::read("orders", &all)));
    let names: Vec<&str> = all.0.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.iter().all(|name| !name.contains("dlt") && !name.starts_with("dead-letter")), "{names:?}");
    assert_eq!(all.0[..2], headers(&[("traceparent", b"00-1-2-01"), ("app", b"\xff")]).0);

    let foreign = headers(&[("kafka_dlt-original-topic", b"orders"), ("kafka_dlt-original-offset", b"8")]);
    let mut by_spring = all.clone();
    by_spring.0.extend(foreign.0);
    expect!["DeadLetter by Spring · destination=orders · position=8 · redrives=1"]
        .assert_eq(&told(dead_letter::read("orders-dlt", &by_spring)));

    let again = dead_letter::redrive(kafka("orders-dlt", 4), &details(), &by_spring);
    assert_eq!(again.to.map(|to| (to.destination, to.position)), Some(("orders".to_owned(), Some(8))));
    all = with_edit(by_spring, &again.edit);
    assert_eq!(
        dead_letter::read("orders", &all).map(|of| (of.kind, of.redrives)),
        Some((CopyKind::Redrive, 2))
    );
}

#[test]
fn a_redrive_takes_the_brokers_own_marks_away() {
    let pairs: &[(&str, &[u8])] = &[
        ("x-death", b""),
        ("x-delivery-count", b"3"),
        ("x-first-death-queue", b"work"),
        ("x-last-death-queue", b"work"),
        ("RETRY_TOPIC", b"orders"),
        ("UNIQ_KEY", b"7F"),
        ("keep", b"1"),
    ];
    let place =
        Place::RabbitMq { exchange: "dlx", routing_key: "work", queue: "work.dead", stream_offset: None };
    let all = headers(pairs);
    let back = dead_letter::redrive(place, &Details::default(), &all);
    let left = with_edit(all, &back.edit);
    let names: Vec<&str> = left.0.iter().map(|(name, _)| name.as_str()).collect();
    expect![[r#"["UNIQ_KEY", "keep", "hopscope-redrive-destination", "hopscope-redrive-address", "hopscope-redrive-group", "hopscope-redrive-count"]"#]]
        .assert_eq(&format!("{names:?}"));
    let nowhere = dead_letter::redrive(place, &Details::default(), &headers(&[]));
    assert_eq!(nowhere.to, None);
}

#[test]
fn headers_that_hold_text_are_spared_binary_numbers() {
    let place = Place::Kafka { topic: "orders", partition: Some(3), offset: Some(4711) };
    let original = Original::dead_letter(place, &Details::default(), &failed());
    let mut all = MapHeaders::default();
    dead_letter::mark(&original, &Families::usual("kafka"), &all).apply(&mut all);
    let named = |name: &str| all.0.iter().any(|(key, _)| key == name);
    assert!(named("kafka_dlt-original-topic") && named("hopscope-dead-letter-partition"));
    assert!(!named("kafka_dlt-original-partition") && !named("kafka_dlt-original-offset"));
}

#[test]
fn long_text_is_cut_between_characters() {
    let long = "中".repeat(1000);
    let place = Place::Kafka { topic: "t", partition: None, offset: None };
    let original = Original::dead_letter(place, &Details { group: &long, ..Details::default() }, &failed());
    let all = with_edit(headers(&[]), &dead_letter::mark(&original, &Families::ours(), &headers(&[])));
    assert_eq!(dead_letter::read("dead", &all).expect("ours").group, "中".repeat(341));
    let foreign = headers(&[("dead-letter-topic", long.as_bytes())]);
    assert_eq!(dead_letter::read("dead", &foreign).expect("theirs").destination, "中".repeat(341));
}

const NAMES: &[&str] = &[
    "hopscope-dead-letter-destination",
    "hopscope-dead-letter-position",
    "hopscope-dead-letter-attempts",
    "hopscope-redrive-count",
    "hopscope-redrive-destination",
    "hopscope-retry-destination",
    "hopscope-retry-first-failed-at",
    "kafka_dlt-original-topic",
    "kafka_dlt-original-partition",
    "kafka_dlt-original-offset",
    "kafka_original-topic",
    "retry_topic-attempts",
    "__connect.errors.topic",
    "__connect.errors.connector.name",
    "dead-letter-topic",
    "dead-letter-offset",
    "__krafka.dlq.original.topic",
    "x-original-exchange",
    "x-first-death-queue",
    "x-last-death-queue",
    "x-death",
    "RETRY_TOPIC",
    "RECONSUME_TIME",
];

fn rubbish() -> impl Strategy<Value = MapHeaders> {
    let value = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        "[0-9]{1,20}".prop_map(String::into_bytes),
        "\\PC{0,20}".prop_map(String::into_bytes),
        Just(vec![0xe4; 2000]),
    ];
    let header = (prop::sample::select(NAMES), prop::option::weighted(0.9, value));
    prop::collection::vec(header, 0..12).prop_map(|headers| {
        MapHeaders(headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    })
}

proptest! {
    #[test]
    fn rubbish_is_read_marked_and_redriven(headers in rubbish(), destination in "(%RETRY%|%DLQ%)?[a-z-]{0,8}") {
        let read = dead_letter::read(&destination, &headers);
        if let Some(of) = &read {
            prop_assert!(of.destination.len() <= 3 * dead_letter::TEXT_BYTES_MAX);
        }
        let place = Place::RocketMq { topic: &destination, logical_topic: "", broker: "b", queue: Some(1), offset: Some(2) };
        let dead = Original::dead_letter(place, &details(), &failed());
        let mut marked = headers.clone();
        dead_letter::mark(&dead, &Families::usual("kafka").with(Family::Connect), &headers).apply(&mut marked);
        if !destination.is_empty() {
            let again = dead_letter::read("dead", &marked).map(|of| (of.kind, of.family));
            prop_assert_eq!(again, Some((CopyKind::DeadLetter, Family::Hopscope)));
        }
        let back = dead_letter::redrive(place, &details(), &headers);
        prop_assert_eq!(back.to, read.filter(|of| of.kind != CopyKind::Redrive));
        back.edit.apply(&mut marked);
        let redriven = dead_letter::read("orders", &marked);
        prop_assert!(redriven.is_none_or(|of| of.kind == CopyKind::Redrive));
    }

    #[test]
    fn what_is_written_is_read_again(
        texts in prop::collection::vec("[ -~]{1,30}", 7),
        partition in prop::option::of(0..i32::MAX),
        position in prop::option::of(0..i64::MAX),
        attempts in prop::option::of(any::<u32>()),
        first_failed_ns in prop::option::of(0..i64::MAX),
        context in any::<bool>(),
        kind in prop::sample::select(&[CopyKind::DeadLetter, CopyKind::Retry, CopyKind::Redrive][..]),
    ) {
        let [destination, address, broker, message_id, group, reason, error_type] = &texts[..] else { unreachable!() };
        let original = Original {
            destination: destination.clone(),
            address: address.clone(),
            broker: broker.clone(),
            partition,
            context: context.then(|| SpanContext::new(TraceId::from(7), SpanId::from(9), TraceFlags::SAMPLED, true, TraceState::NONE)),
            position,
            message_id: message_id.clone(),
            group: group.clone(),
            attempts: attempts.map(|attempts| attempts / 2),
            reason: reason.clone(),
            error_type: error_type.clone(),
            first_failed_ns,
            ..Original::new(kind)
        };
        let mut all = MapHeaders::default();
        dead_letter::mark(&original, &Families::ours(), &all).apply(&mut all);
        prop_assert_eq!(dead_letter::read("anywhere", &all), Some(original));
    }
}
