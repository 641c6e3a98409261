//! What people type and paste, as a table; and the properties of the text form.

use super::*;
use crate::{Batch, BatchBuilder, Key, MessageEvent, Source, Stage, Tenant, Value};
use proptest::prelude::*;

/// Input, and what it is taken for, in the query's own text form with every recognition spelled out.
const TABLE: &[(&str, &str)] = &[
    ("", ""),
    ("   ", ""),
    // Ids.
    (
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "trace:4bf92f3577b34da6a3ce929d0e0e4736|word:4bf92f3577b34da6a3ce929d0e0e4736",
    ),
    (
        "4BF92F3577B34DA6A3CE929D0E0E4736",
        "trace:4bf92f3577b34da6a3ce929d0e0e4736|word:4BF92F3577B34DA6A3CE929D0E0E4736",
    ),
    (
        "4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
        "trace:4bf92f3577b34da6a3ce929d0e0e4736|word:4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
    ),
    (
        "7F0000010A1418B4AAC21D3F5C640000",
        "trace:7f0000010a1418b4aac21d3f5c640000|word:7F0000010A1418B4AAC21D3F5C640000",
    ),
    ("00000000000000000000000000000000", "word:00000000000000000000000000000000"),
    ("4bf92f35-77b3-4da6-a3ce-929d0e0e473x", "word:4bf92f35-77b3-4da6-a3ce-929d0e0e473x"),
    ("4bf92f3577-b34da6-a3ce-929d-0e0e4736", "word:4bf92f3577-b34da6-a3ce-929d-0e0e4736"),
    ("00f067aa0ba902b7", "span:00f067aa0ba902b7|word:00f067aa0ba902b7"),
    ("00F067AA0BA902B7", "span:00f067aa0ba902b7|word:00F067AA0BA902B7"),
    ("00f067aa0ba902b", "word:00f067aa0ba902b"),
    ("+0f067aa0ba902b7", "word:\"+0f067aa0ba902b7\""),
    (
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "ctx:4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7|trace:4bf92f3577b34da6a3ce929d0e0e4736",
    ),
    (
        "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "ctx:4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7|trace:4bf92f3577b34da6a3ce929d0e0e4736",
    ),
    (
        "\"4bf92f3577b34da6a3ce929d0e0e4736\",",
        "trace:4bf92f3577b34da6a3ce929d0e0e4736|word:4bf92f3577b34da6a3ce929d0e0e4736",
    ),
    ("[00f067aa0ba902b7]", "span:00f067aa0ba902b7|word:00f067aa0ba902b7"),
    (
        "「4bf92f3577b34da6a3ce929d0e0e4736」。",
        "trace:4bf92f3577b34da6a3ce929d0e0e4736|word:4bf92f3577b34da6a3ce929d0e0e4736",
    ),
    // Coordinates.
    ("orders/0/15", "msg::orders/0/15|word:orders/0/15"),
    ("订单/0/15", "msg::订单/0/15|word:订单/0/15"),
    ("SHIPMENTS//12", "msg::SHIPMENTS//12|word:SHIPMENTS//12"),
    ("orders/broker-a/3/15", "msg::orders/broker-a%2F3/15|word:orders/broker-a/3/15"),
    ("topic:3@12345", "msg::topic/3/12345|word:topic:3@12345"),
    ("topic[3]@12345", "msg::topic/3/12345|word:\"topic[3]@12345\""),
    ("my-topic-3@12345", "msg::my-topic/3/12345|word:my-topic-3@12345"),
    ("SHIPMENTS#12", "msg:nats:SHIPMENTS//12|word:\"SHIPMENTS#12\""),
    ("kafka:orders/0/15", "msg:kafka:orders/0/15"),
    ("kafka@eu:orders/0/15", "msg:kafka@eu:orders/0/15"),
    ("nats:SHIPMENTS//12", "msg:nats:SHIPMENTS//12"),
    ("rocketmq:notifications/broker-a%2F0/3", "msg:rocketmq:notifications/broker-a%2F0/3"),
    ("rocketmq:%25RETRY%25mailer/broker-a/0/3", "msg:rocketmq:%25RETRY%25mailer/broker-a%2F0/3"),
    (
        "ctx:4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "ctx:4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
    ),
    ("id:rabbitmq:payments:pay-1", "msg:id:rabbitmq:payments:pay-1"),
    ("2026/11/21", "word:2026/11/21"),
    ("/var/log/1", "word:/var/log/1"),
    ("src/main/3x", "word:src/main/3x"),
    ("orders/0/007", "word:orders/0/007"),
    ("orders/0/-1", "word:orders/0/-1"),
    ("orders/0/99999999999999999999", "word:orders/0/99999999999999999999"),
    // Pages.
    ("http://127.0.0.1:7400/m/kafka:orders/0/15", "msg:kafka:orders/0/15"),
    ("http://host:7400/m/kafka%3Aorders%2F0%2F15?lang=zh#attempts", "msg:kafka:orders/0/15"),
    ("http://host:7400/m/rocketmq%3At%2Fbroker-a%252F0%2F3", "msg:rocketmq:t/broker-a%2F0/3"),
    ("http://host:7400/t/4bf92f3577b34da6a3ce929d0e0e4736", "trace:4bf92f3577b34da6a3ce929d0e0e4736"),
    (
        "https://jaeger/trace/4bf92f3577b34da6a3ce929d0e0e4736?uiFind=x",
        "trace:4bf92f3577b34da6a3ce929d0e0e4736",
    ),
    ("https://example.com/", "word:https://example.com/"),
    // Words.
    ("4711", "word:4711"),
    ("order-4711", "word:order-4711"),
    ("\"order 4711\"", "word:\"order 4711\""),
    ("ID:broker-1-2-3:1:1", "word:ID:broker-1-2-3:1:1"),
    ("订单-4711", "word:订单-4711"),
    // Fields.
    ("service:checkout", "service:checkout"),
    ("service：checkout", "service:checkout"),
    ("service=checkout -outcome:ok", "service:checkout -outcome:ok"),
    ("dest:\"a b\"", "dest:\"a b\""),
    ("dest:orders/0/15", "dest:orders/0/15"),
    ("key:4711，group:payment", "key:4711 group:payment"),
    ("id:abc", "id:abc"),
    ("id:ID:broker-1:1", "id:ID:broker-1:1"),
    ("duration>250ms duration<=1.5s duration:2m", "duration>250ms duration<=1500ms duration=2m"),
    ("attempt>=2", "attempt>=2"),
    ("state:not_consumed_yet stage:settle system:kafka", "state:not_consumed_yet stage:settle system:kafka"),
    ("since:15m until:2026-11-21T08:00:00+01:00", "since:15m until:2026-11-21T07:00:00Z"),
    ("since:\"2026-11-21 08:00:00\"", "since:2026-11-21T08:00:00Z"),
    ("attr.http.route:/orders", "attr.http.route:/orders"),
    ("attr.http.route=/orders -attr.http.status：503", "attr.http.route:/orders -attr.http.status:503"),
    (
        "attr.url:https://host/t/4bf92f3577b34da6a3ce929d0e0e4736",
        "attr.url:https://host/t/4bf92f3577b34da6a3ce929d0e0e4736",
    ),
    ("attr.place:orders/0/15", "attr.place:orders/0/15"),
    ("attr.a/b:c attr.\"a b\":\"c d\"", "attr.a/b:c attr.\"a b\":\"c d\""),
    ("attr.订单:*", "attr.订单:*"),
    ("attr.alone", "word:attr.alone"),
    ("orders failed", "word:orders word:failed"),
    // Log lines.
    (
        "2026-11-21 08:00:00 INFO sent trace_id=4bf92f3577b34da6a3ce929d0e0e4736 ok",
        "trace:4bf92f3577b34da6a3ce929d0e0e4736",
    ),
    (
        "{\"level\":\"info\",\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\",\"span_id\":\"00f067aa0ba902b7\"}",
        "ctx:4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7|trace:4bf92f3577b34da6a3ce929d0e0e4736",
    ),
    (
        "{\\\"traceId\\\":\\\"4bf92f35-77b3-4da6-a3ce-929d0e0e4736\\\"}",
        "trace:4bf92f3577b34da6a3ce929d0e0e4736",
    ),
    ("trace-id: 4bf92f3577b34da6a3ce929d0e0e4736", "trace:4bf92f3577b34da6a3ce929d0e0e4736"),
    ("链路 trace_id：4bf92f3577b34da6a3ce929d0e0e4736，失败。", "trace:4bf92f3577b34da6a3ce929d0e0e4736"),
    (
        "got headers traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 in poll",
        "ctx:4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7|trace:4bf92f3577b34da6a3ce929d0e0e4736",
    ),
    (
        "forwarded 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 now",
        "ctx:4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7|trace:4bf92f3577b34da6a3ce929d0e0e4736",
    ),
    // Headers of other formats.
    (
        "b3: 4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        "ctx:4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7|trace:4bf92f3577b34da6a3ce929d0e0e4736",
    ),
    (
        "b3=4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        "ctx:4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7|trace:4bf92f3577b34da6a3ce929d0e0e4736",
    ),
    (
        "X-B3-TraceId: 4bf92f3577b34da6a3ce929d0e0e4736\nX-B3-SpanId: 00f067aa0ba902b7",
        "ctx:4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7|trace:4bf92f3577b34da6a3ce929d0e0e4736",
    ),
    (
        "uber-trace-id: 4bf92f3577b34da6a3ce929d0e0e4736:f067aa0ba902b7:0:1",
        "ctx:4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7|trace:4bf92f3577b34da6a3ce929d0e0e4736",
    ),
    (
        "{\"x-datadog-trace-id\":\"11803532876627986230\",\"x-datadog-parent-id\":\"67667974448284343\",\"x-datadog-tags\":\"_dd.p.dm=-1,_dd.p.tid=4bf92f3577b34da6\"}",
        "ctx:4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7|trace:4bf92f3577b34da6a3ce929d0e0e4736",
    ),
    (
        "X-Amzn-Trace-Id: Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1",
        "ctx:4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7|trace:4bf92f3577b34da6a3ce929d0e0e4736",
    ),
    (
        "sent sw8=1-NGJmOTJmMzU3N2IzNGRhNmEzY2U5MjlkMGUwZTQ3MzY=-MDBmMDY3YWEwYmE5MDJiNw==-0-YQ==-Yg==-Yw==-ZA==, done",
        "ctx:4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7|trace:4bf92f3577b34da6a3ce929d0e0e4736",
    ),
    (
        "sentry-trace: 4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
        "ctx:4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7|trace:4bf92f3577b34da6a3ce929d0e0e4736",
    ),
    (
        "headers {'X_INSTANA_T': '4bf92f3577b34da6a3ce929d0e0e4736', 'X_INSTANA_S': '00f067aa0ba902b7', 'X_INSTANA_L_S': '1'}",
        "ctx:4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7|trace:4bf92f3577b34da6a3ce929d0e0e4736",
    ),
    (
        "ot-tracer-traceid: 4bf92f3577b34da6a3ce929d0e0e4736, ot-tracer-spanid: 00f067aa0ba902b7",
        "ctx:4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7|trace:4bf92f3577b34da6a3ce929d0e0e4736",
    ),
    // A header that says nothing of a span is a word like any other.
    ("b3:0 orders", "word:b3:0 word:orders"),
    ("span_id=00f067aa0ba902b7 done", "span:00f067aa0ba902b7"),
    ("published message_id=pay-4711 to payments", "word:pay-4711"),
    ("Nats-Msg-Id: ship-1, stream: SHIPMENTS, seq: 12", "msg::SHIPMENTS//12|word:ship-1"),
    ("messageId=7F0000010A1418B4AAC21D3F5C640000 consume later", "word:7F0000010A1418B4AAC21D3F5C640000"),
    ("WARN topic=orders partition=0 offset=15 key=4711 failed", "msg::orders/0/15|word:4711"),
    ("offset=15, partition=0, topic=orders", "msg::orders/0/15"),
    (
        "ConsumerRecord(topic = orders, partition = 0, leaderEpoch = 0, offset = 15, key = 4711)",
        "msg::orders/0/15|word:4711",
    ),
    ("consumed record key=4711 in 12 milliseconds", "word:4711"),
    ("ERROR could not handle message orders-0@15 again", "msg::orders/0/15|word:orders-0@15"),
    (
        "worker: failed on 4bf92f3577b34da6a3ce929d0e0e4736",
        "trace:4bf92f3577b34da6a3ce929d0e0e4736|word:4bf92f3577b34da6a3ce929d0e0e4736",
    ),
    (
        "[checkout,4bf92f3577b34da6a3ce929d0e0e4736,00f067aa0ba902b7] order was not sent",
        "trace:4bf92f3577b34da6a3ce929d0e0e4736|word:4bf92f3577b34da6a3ce929d0e0e4736|span:00f067aa0ba902b7|word:00f067aa0ba902b7",
    ),
];

/// Every term with its recognition spelled out, as in [`TABLE`].
fn spelled_out(query: &Query) -> String {
    let mut pieces: Vec<String> = Vec::new();
    for term in &query.terms {
        pieces.push(match term {
            Term::Free(free) => free.exact(),
            Term::AnyOf(several) => several.iter().map(Free::exact).collect::<Vec<_>>().join("|"),
            field => field.to_string(),
        });
    }
    let bounds = Query { terms: Vec::new(), ..query.clone() }.to_string();
    pieces.push(bounds);
    pieces.join(" ").trim().to_owned()
}

#[test]
fn what_people_type_and_paste() {
    for (input, expected) in TABLE {
        let query = Query::parse_input(input).unwrap_or_else(|error| panic!("{input}: {error}"));
        assert_eq!(spelled_out(&query), *expected, "{input}");
        let printed = query.to_string();
        assert_eq!(printed.parse(), Ok(query), "{input} printed {printed}");
    }
}

#[test]
fn what_was_typed_is_printed_as_it_was_typed() {
    for text in [
        "orders/0/15",
        "4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
        "order-4711",
        "\"a b\"",
        "kafka:orders/0/15",
        "service:checkout -state:succeeded duration>250ms since:15m",
    ] {
        assert_eq!(Query::parse_input(text).map(|query| query.to_string()), Ok(text.to_owned()));
    }
}

#[test]
fn errors_say_where_and_what_next() {
    for (text, expected) in [
        ("a serivce:x", "unknown field \"serivce\" at_byte=2; hint: did you mean service:?"),
        (
            "zzzzzzzz:x",
            "unknown field \"zzzzzzzz\" at_byte=0; hint: to look for the text itself, quote it: \"zzzzzzzz:x\"",
        ),
        (
            "outcome:failled",
            "unknown value field=outcome value=\"failled\" at_byte=8; hint: did you mean outcome:failed?",
        ),
        (
            "stage:x",
            "unknown value field=stage value=\"x\" at_byte=6; hint: create, send, broker, receive, process, settle, work",
        ),
        ("duration>fast", "not a duration field=duration value=\"fast\" at_byte=9; hint: 250ms, 1.5s, 2m"),
        ("attempt>two", "not a number field=attempt value=\"two\" at_byte=8; hint: attempt>=2"),
        ("service>a", "this field has no order field=service at_byte=8; hint: service:value"),
        (
            "since:soon",
            "not a time field=since value=\"soon\" at_byte=6; hint: 15m, 2h, 3d, 2026-11-21 or 2026-11-21T08:15:00Z",
        ),
        ("since:1h since:2h", "given twice field=since at_byte=15"),
        ("key:\"open", "quote without end at_byte=4; hint: close it with \""),
        ("service:", "no value field=service at_byte=8"),
        (
            "-orders",
            "only a field can be negated text=\"-orders\" at_byte=0; hint: to look for the text itself, quote it: \"-orders\"",
        ),
        ("attr.size>5", "attributes have no order name=\"size\" at_byte=0; hint: attr.size:value"),
        ("attr.size:", "no value field=attr.size at_byte=0; hint: attr.size:* for any"),
        ("attr.:5", "no name of an attribute at_byte=0; hint: attr.name:value"),
        (
            "trace:xyz",
            "malformed value field=trace value=\"xyz\" at_byte=0; hint: trace:<32 hex>, span:<16 hex>, ctx:<trace>-<span>, msg:<reference>, word:<text>",
        ),
    ] {
        let error = Query::parse_input(text).expect_err(text);
        assert_eq!(error.to_string(), expected, "{text}");
    }
    let long = "x ".repeat(parse::TERMS_MAX + 1);
    assert_eq!(long.parse::<Query>().expect_err("too long").message, "query has too many terms terms_max=64");
}

#[test]
fn keys_come_from_the_term_that_narrows_most() {
    let keys = |text: &str| Query::parse_input(text).expect("valid").keys();
    assert_eq!(keys("service:checkout"), []);
    assert_eq!(keys("-key:1 key:ab*"), []);
    assert_eq!(keys("key:4711 service:checkout"), [Key::Business("4711".into())]);
    assert_eq!(keys("trace:4bf92f3577b34da6a3ce929d0e0e4736 key:4711"), [Key::Business("4711".into())]);
    let at = |system: &str| {
        Key::Position(Position {
            system: system.into(),
            cluster: String::new(),
            destination: "orders".into(),
            lane: "0".into(),
            position: 15,
        })
    };
    assert_eq!(keys("kafka:orders/0/15 4711"), [at("kafka")]);
    let any_system = keys("orders/0/15");
    assert!(["kafka", "nats", "rocketmq", "rabbitmq"].iter().all(|system| any_system.contains(&at(system))));
    assert!(any_system.contains(&Key::Business("orders/0/15".into())));
    assert_eq!(keys("4711").len(), 3);
}

fn batch(event: &MessageEvent) -> Batch {
    let mut builder = BatchBuilder::new(Tenant::default(), Source::Otlp, 0);
    builder.push_event(event);
    builder.finish()
}

#[test]
fn matching_follows_the_recognition() {
    let event = MessageEvent {
        system: "rabbitmq".into(),
        destination: "payments".into(),
        message_id: "7F0000010A1418B4AAC21D3F5C640000".into(),
        service: "checkout".into(),
        keys: vec!["4711".into()],
        start_ns: 5,
        duration_ns: Some(300_000_000),
        trace: TraceId::from_hex("4bf92f3577b34da6a3ce929d0e0e4736").expect("valid"),
        attributes: vec![
            ("http.route".into(), Value::Text("/orders".into())),
            ("size".into(), Value::Int(-7)),
            ("ratio".into(), Value::Double(1.0)),
            ("late".into(), Value::Bool(true)),
            ("tags".into(), Value::Json("[\"a\"]".into())),
        ],
        ..MessageEvent::new(Stage::Send)
    };
    let batch = batch(&event);
    for (text, expected) in [
        ("7F0000010A1418B4AAC21D3F5C640000", true),
        ("7f0000010a1418b4aac21d3f5c640000", false),
        ("4bf92f35-77b3-4da6-a3ce-929d0e0e4736", true),
        ("id:rabbitmq:payments:7F0000010A1418B4AAC21D3F5C640000", true),
        ("id:rabbitmq:other:7F0000010A1418B4AAC21D3F5C640000", false),
        ("4711", true),
        ("payments", true),
        ("dest:pay*", true),
        ("-service:checkout", false),
        ("-service:payment duration>250ms", true),
        ("duration>300ms", false),
        ("state:unknown", true),
        ("attr.http.route:/orders", true),
        ("attr.http.route:/order", false),
        ("attr.http.route:/or*", true),
        ("attr.route:/orders", false),
        ("attr.size:-7 attr.ratio:1 attr.late:true attr.tags:\"[\\\"a\\\"]\"", true),
        ("attr.size:7", false),
        ("-attr.size:7 -attr.nowhere:*", true),
        ("-attr.size:*", false),
    ] {
        let query = Query::parse_input(text).expect("valid");
        assert_eq!(query.matches(batch.event(0), 10), expected, "{text}");
    }
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9-]{1,8}",
        "\\PC{0,12}",
        "[ :=<>|\"\\\\/@#\\-\\[\\]%a0，：]{0,8}",
        "[0-9a-fA-F]{16}|[0-9a-fA-F]{32}",
        "(service|key|id|trace|word|msg|since|foo|attr.a|-attr.b):[a-z0-9|\"]{0,4}",
        "[a-z]{1,3}/[0-9]?/[0-9]{1,3}",
    ]
}

fn free() -> impl Strategy<Value = Free> {
    prop_oneof![
        word().prop_map(Free::Word),
        (1u128..).prop_map(|id| Free::Trace(TraceId(id.to_be_bytes()))),
        (1u64..).prop_map(|id| Free::Span(SpanId(id.to_be_bytes()))),
        (1u128.., 1u64..).prop_map(|(trace, span)| {
            Free::Context(SpanContext {
                trace: TraceId(trace.to_be_bytes()),
                span: SpanId(span.to_be_bytes()),
            })
        }),
        (word(), word(), word(), word(), any::<i64>()).prop_map(
            |(system, cluster, destination, lane, position)| {
                let destination = format!("t{destination}");
                Free::Position(Position { system, cluster, destination, lane, position })
            }
        ),
        (word(), word(), word()).prop_map(|(system, destination, id)| {
            Free::MessageId { system, destination, id: format!("{id}1") }
        }),
    ]
}

fn term() -> impl Strategy<Value = Term> {
    let texts =
        [Field::Service, Field::Destination, Field::System, Field::Group, Field::Key, Field::MessageId];
    let field = |field, comparison, value| move |negated| Term::Field { negated, field, comparison, value };
    let orders = vec![
        Comparison::Equal,
        Comparison::Less,
        Comparison::LessOrEqual,
        Comparison::Greater,
        Comparison::GreaterOrEqual,
    ];
    prop_oneof![
        free().prop_map(Term::Free),
        prop::collection::vec(free(), 2..5).prop_map(Term::AnyOf),
        (any::<bool>(), word(), word()).prop_map(|(negated, name, value)| {
            Term::Attribute { negated, name: format!("{name}n"), value: format!("{value}v") }
        }),
        (prop::sample::select(texts.to_vec()), word(), any::<bool>()).prop_map(
            move |(name, text, negated)| {
                field(name, Comparison::Equal, Literal::Text(format!("{text}v")))(negated)
            }
        ),
        (prop::sample::select(State::ALL), any::<bool>()).prop_map(move |(state, negated)| {
            field(Field::State, Comparison::Equal, Literal::Text(state.name().to_owned()))(negated)
        }),
        (prop::sample::select(orders.clone()), any::<u64>(), any::<bool>()).prop_map(
            move |(order, ns, negated)| { field(Field::Duration, order, Literal::Duration(ns))(negated) }
        ),
        (prop::sample::select(orders), any::<i64>(), any::<bool>()).prop_map(
            move |(order, number, negated)| {
                field(Field::Attempt, order, Literal::Number(number))(negated)
            }
        ),
    ]
}

fn time() -> impl Strategy<Value = Option<Time>> {
    prop_oneof![
        Just(None),
        any::<i64>().prop_map(|ns| Some(Time::At(ns))),
        any::<u64>().prop_map(|ns| Some(Time::Ago(ns))),
    ]
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(terms in prop::collection::vec(term(), 0..6), since in time(), until in time()) {
        let query = Query { terms, since, until };
        let printed = query.to_string();
        prop_assert_eq!(printed.parse::<Query>().map_err(|error| format!("{printed}: {error}")), Ok(query));
    }

    #[test]
    fn what_was_read_prints_and_reads_the_same(pieces in prop::collection::vec(word(), 0..6)) {
        let text = pieces.join(" ");
        if let Ok(query) = Query::parse_input(&text) {
            let printed = query.to_string();
            let again: Query = printed.parse().expect("what is printed reads");
            prop_assert_eq!(again.to_string(), printed);
            prop_assert_eq!(again, query);
        }
    }

    #[test]
    fn reading_is_total(text in "\\PC{0,80}") {
        let _ = Query::parse_input(&text);
    }
}
