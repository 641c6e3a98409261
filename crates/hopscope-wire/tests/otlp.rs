//! Requests in, events out: the rules that are OTLP's own, its JSON, and what bad input gets.

mod story;

use expect_test::expect;
use hopscope_model::{Outcome, SpanId, Tenant, TraceId, Value};
use hopscope_wire::otlp::{self, AnyValue, EventData, LinkData, ResourceData, SpanData};
use hopscope_wire::{DecodeLimits, Decoded};
use story::{span, tell};

fn decode(spans: Vec<SpanData>) -> Decoded {
    let resource = ResourceData {
        attributes: vec![
            ("service.name".into(), "checkout".into()),
            ("service.instance.id".into(), "checkout-1".into()),
            ("region".into(), "eu".into()),
        ],
        scope: "test".into(),
        spans,
    };
    let bytes = otlp::encode_request(&[resource]);
    otlp::decode_protobuf(&bytes, &Tenant::default(), 7, &DecodeLimits::default()).expect("our own encoding")
}

#[test]
fn a_resource_is_shared_and_its_service_promoted() {
    let decoded = decode(vec![span("producer messaging.system=kafka color=red"), span("internal id=2")]);
    let event = decoded.batch.event(0).to_owned();
    assert_eq!((event.service.as_str(), event.instance.as_str()), ("checkout", "checkout-1"));
    assert_eq!((event.start_ns, event.duration_ns, event.received_ns), (1_000, Some(2_000), 7));
    let names: Vec<&str> = event.attributes.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["color", "region", "otel.scope.name"]);
    assert_eq!(decoded.batch.resources().len(), 2, "the empty one and this");
}

#[test]
fn values_keep_their_types() {
    let mut typed = span("internal");
    for (key, value) in [
        ("text", AnyValue::Text("订单".into())),
        ("int", AnyValue::Int(-3)),
        ("double", AnyValue::Double(0.5)),
        ("bool", AnyValue::Bool(true)),
        ("bytes", AnyValue::Bytes(vec![0, 255])),
        ("texts", AnyValue::Texts(vec!["a".into(), "b".into()])),
        ("empty", AnyValue::Text(String::new())),
    ] {
        typed.attributes.push((key.to_owned(), value));
    }
    let event = decode(vec![typed]).batch.event(0).to_owned();
    let values: Vec<Value> = event.attributes.iter().take(7).map(|(_, value)| value.clone()).collect();
    assert_eq!(
        values,
        [
            Value::Text("订单".into()),
            Value::Int(-3),
            Value::Double(0.5),
            Value::Bool(true),
            Value::Bytes("00ff".into()),
            Value::Json(r#"["a","b"]"#.into()),
            Value::Text(String::new()),
        ]
    );
}

#[test]
fn spans_without_ids_are_rejected_and_the_rest_is_kept() {
    let mut traceless = span("producer");
    traceless.trace = TraceId::ZERO;
    let mut spanless = span("producer");
    spanless.span = SpanId::ZERO;
    let decoded = decode(vec![traceless, spanless, span("internal")]);
    assert_eq!((decoded.spans, decoded.rejected.total(), decoded.batch.len()), (3, 2, 1));
    assert_eq!(
        decoded.rejected.to_string(),
        "spans rejected: 1 without a valid trace id, 1 without a valid span id"
    );
}

#[test]
fn odd_times_are_stored_as_they_are() {
    let year_2200 = 7_258_118_400_000_000_000;
    for (start, end, start_ns, duration_ns) in [
        (0, 5, 0, Some(5)),
        (1, 1, 1, Some(0)),
        (10, 5, 10, None),
        (year_2200, year_2200 + 1, year_2200 as i64, Some(1)),
        (u64::MAX, u64::MAX, i64::MAX, Some(0)),
        (0, u64::MAX, 0, Some(i64::MAX as u64)),
    ] {
        let event = decode(vec![SpanData { start_ns: start, end_ns: end, ..span("internal") }])
            .batch
            .event(0)
            .to_owned();
        assert_eq!((event.start_ns, event.duration_ns), (start_ns, duration_ns), "{start} {end}");
        assert_eq!(event.outcome, Outcome::Ok);
    }
}

#[test]
fn what_is_not_protobuf_is_refused_with_its_offset() {
    for (bytes, message) in [
        (&[10, 200][..], "malformed protobuf: varint cut short or longer than 64 bits offset=1"),
        (b"{\"resourceSpans\":[]}", "malformed protobuf: length runs past the end offset=2"),
        // resourceSpans, scopeSpans, span, trace id of 16 bytes of which none are there.
        (&[10, 6, 18, 4, 18, 2, 10, 16], "malformed protobuf: length runs past the end offset=7"),
    ] {
        let error = otlp::decode_protobuf(bytes, &Tenant::default(), 0, &DecodeLimits::default());
        assert_eq!(error.map(|_| ()).expect_err("malformed").message, message);
    }
    let empty = otlp::decode_protobuf(b"", &Tenant::default(), 0, &DecodeLimits::default()).expect("valid");
    assert!(empty.batch.is_empty());
}

#[test]
fn the_first_exception_is_kept() {
    let json = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{
        "traceId":"00000000000000000000000000000009","spanId":"0000000000000001","endTimeUnixNano":"1","status":{"code":2},
        "events":[
            {"name":"log","attributes":[{"key":"exception.type","value":{"stringValue":"no"}}]},
            {"name":"exception","attributes":[{"key":"exception.type","value":{"stringValue":"java.io.IOException"}},
                {"key":"exception.message","value":{"stringValue":"broken pipe"}}]},
            {"name":"exception","attributes":[{"key":"exception.type","value":{"stringValue":"later"}}]}
        ]}]}]}]}"#;
    let decoded = otlp::decode_json(json, &Tenant::default(), 0, &DecodeLimits::default()).expect("valid");
    expect![[r#"
        work failed(java.io.IOException) [exception.type=java.io.IOException] [exception.message=broken pipe]
    "#]]
    .assert_eq(&tell(&decoded.batch));
}

#[test]
fn retries_in_place_are_kept_up_to_a_limit() {
    let attributes = |number: i64| {
        [
            ("hopscope.attempt", AnyValue::Int(number)),
            ("hopscope.retry.delay_ms", AnyValue::Int(50)),
            ("error.type", AnyValue::Text("bank_busy".into())),
            ("exception.type", AnyValue::Text("no".into())),
        ]
    };
    let event = |number: i64| EventData {
        at_ns: 7,
        name: "hopscope.retry".into(),
        attributes: attributes(number).map(|(key, value)| (key.to_owned(), value)).to_vec(),
    };
    let process =
        "consumer messaging.system=kafka messaging.operation.type=process messaging.destination.name=orders";
    let told = |retries: i64| {
        let events = (1..=retries).map(event).collect();
        let decoded = decode(vec![SpanData { events, ..span(process) }]);
        decoded.batch.event(0).to_owned().attribute("hopscope.retries").map(ToString::to_string)
    };
    let one = |number: i64| format!(r#"{{"attempt":{number},"delay_ms":50,"error_type":"bank_busy"}}"#);
    assert_eq!(told(0), None);
    assert_eq!(told(2), Some(format!("[{},{}]", one(1), one(2))));
    assert_eq!(told(40), told(32), "the span says how many there were");
    let json = json_span(
        r#","events":[{"name":"other"},{"name":"hopscope.retry","attributes":[{"key":"hopscope.attempt","value":{"intValue":"1"}},
            {"key":"hopscope.retry.delay_ms","value":{"intValue":50}},{"key":"error.type","value":{"stringValue":"bank_busy"}}]}]"#,
    );
    let json = tell(&json.expect("valid").batch);
    assert!(json.contains(&format!("[hopscope.retries=[{}]]", one(1))), "{json}");
}

/// A request around one span, in JSON.
fn json_span(fields: &str) -> Result<Decoded, String> {
    let ids = r#""traceId":"0000000000000000000000000000000A","spanId":"00000000000000Ab""#;
    let json = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{ids}{fields}}}]}}]}}]}}"#);
    otlp::decode_json(json.as_bytes(), &Tenant::default(), 0, &DecodeLimits::default())
        .map_err(|error| error.message)
}

#[test]
fn json_in_every_allowed_form() {
    let attribute = |value: &str| format!(r#","attributes":[{{"key":"k","value":{value}}}]"#);
    for (fields, expected) in [
        // 64-bit integers as text or digits, enumerations as number or name.
        (r#","startTimeUnixNano":"5","endTimeUnixNano":7"#.to_owned(), "work ok\n"),
        (r#","endTimeUnixNano":1e9"#.to_owned(), "work ok\n"),
        (
            r#","endTimeUnixNano":1,"status":{"code":"STATUS_CODE_ERROR","message":"m"}"#.to_owned(),
            "work failed(m)\n",
        ),
        (r#","endTimeUnixNano":1,"status":{"code":2,"message":"m"}"#.to_owned(), "work failed(m)\n"),
        // Unknown fields and null are as if they were not there.
        (
            r#","name":null,"status":null,"links":null,"flags":null,"novelty":{"a":[1]}"#.to_owned(),
            "work unknown\n",
        ),
        (r#","name":"a\u00e9\n""#.to_owned(), "work unknown op=aé\n\n"),
        (attribute(r#"{"intValue":"12"}"#), "work unknown [k=12]\n"),
        (attribute(r#"{"intValue":-12}"#), "work unknown [k=-12]\n"),
        (attribute(r#"{"doubleValue":"NaN"}"#), "work unknown [k=NaN]\n"),
        (attribute(r#"{"doubleValue":3}"#), "work unknown [k=3]\n"),
        (attribute(r#"{"bytesValue":"AP8="}"#), "work unknown [k=00ff]\n"),
        (attribute(r#"{"stringValue":""}"#), "work unknown [k=]\n"),
        (attribute("{}"), "work unknown [k=null]\n"),
        (attribute("null"), "work unknown [k=null]\n"),
        (
            attribute(
                r#"{"arrayValue":{"values":[{"intValue":"1"},{"stringValue":"a"},{"kvlistValue":{"values":[{"key":"x","value":{"boolValue":true}}]}},{}]}}"#,
            ),
            "work unknown [k=[1,\"a\",{\"x\":true},null]]\n",
        ),
    ] {
        assert_eq!(
            json_span(&fields).map(|decoded| tell(&decoded.batch)),
            Ok(expected.to_owned()),
            "{fields}"
        );
    }
    let kinds = [r#"5"#, r#""5""#, r#""SPAN_KIND_CONSUMER""#];
    for kind in kinds {
        let fields = format!(
            r#","kind":{kind}{}"#,
            attribute(r#"{"stringValue":"v"}"#).replace("\"k\"", "\"messaging.system\"")
        );
        let decoded = json_span(&fields).expect("valid");
        assert_eq!(decoded.batch.event(0).stage(), hopscope_model::Stage::Process, "{kind}");
    }
    let event = json_span("").expect("valid").batch.event(0).to_owned();
    assert_eq!(
        (event.trace.to_string().as_str(), event.span.to_string().as_str()),
        ("0000000000000000000000000000000a", "00000000000000ab")
    );
}

#[test]
fn json_of_another_shape_is_refused() {
    for fields in [
        r#","name":5"#,
        r#","startTimeUnixNano":-1"#,
        r#","startTimeUnixNano":"soon""#,
        r#","attributes":{}"#,
        r#","flags":1.5"#,
    ] {
        let message = json_span(fields).map(|_| ()).expect_err(fields);
        assert!(message.starts_with("malformed OTLP JSON: "), "{message}");
    }
    for json in ["", "[]", "nul", "{\"resourceSpans\":", "\u{1}"] {
        assert!(
            otlp::decode_json(json.as_bytes(), &Tenant::default(), 0, &DecodeLimits::default()).is_err(),
            "{json}"
        );
    }
    // An id of the wrong length is the span's fault alone.
    let decoded = json_span(r#"}, {"traceId":"abc","spanId":"00000000000000ab""#).expect("valid");
    assert_eq!((decoded.batch.len(), decoded.rejected.trace_id), (1, 1));
}

#[test]
fn limits_leave_out_and_count() {
    let limits = DecodeLimits {
        spans_max: 3,
        events_max: 4,
        attributes_per_span_max: 2,
        attribute_bytes_max: 8,
        links_per_span_max: 3,
        nesting_max: 2,
        json_objects_max: 10,
        ..DecodeLimits::default()
    };
    let link = LinkData {
        context: hopscope_model::SpanContext { trace: TraceId([7; 16]), span: SpanId([7; 8]) },
        flags: 0x300,
        attributes: Vec::new(),
    };
    let batch = SpanData {
        links: vec![link; 5],
        ..span("consumer messaging.system=kafka messaging.operation=process a=b c=d")
    };
    let spans = vec![
        span("internal a=abcdefgh_ b=订单订单 c=d"),
        batch.clone(),
        batch,
        span("internal"),
        span("internal"),
    ];
    let bytes = otlp::encode_request(&[ResourceData { spans, ..ResourceData::default() }]);
    let decoded = otlp::decode_protobuf(&bytes, &Tenant::default(), 0, &limits).expect("valid");
    expect![[r#"
        work ok [a=abcdefgh] [b=订单] [hopscope.dropped_attributes=1] [hopscope.truncated_values=2]
        process ok op=process creation=7070707070707070707070707070707-707070707070707 system=kafka [hopscope.batch.place=1] [hopscope.truncated_values=2] [hopscope.dropped_attributes=2] [hopscope.dropped_links=2]
        process ok op=process creation=7070707070707070707070707070707-707070707070707 system=kafka [hopscope.batch.place=2] [hopscope.dropped_attributes=2] [hopscope.dropped_links=2]
        process ok op=process creation=7070707070707070707070707070707-707070707070707 system=kafka [hopscope.batch.place=3] [hopscope.dropped_attributes=2] [hopscope.dropped_links=2]
    "#]].assert_eq(&tell(&decoded.batch));
    assert_eq!((decoded.spans, decoded.rejected.over_limit), (5, 3));
    assert_eq!(decoded.rejected.to_string(), "spans rejected: 3 past the limit of one request");
}

/// The encoding of a span with these attribute bytes, each a `KeyValue` body.
fn request_with_attributes(attributes: &[Vec<u8>]) -> Vec<u8> {
    let field = |number: u8, body: &[u8]| {
        let mut out = vec![number << 3 | 2];
        prost::encoding::encode_varint(body.len() as u64, &mut out);
        out.extend_from_slice(body);
        out
    };
    let mut span = [field(1, &[1; 16]), field(2, &[2; 8])].concat();
    attributes.iter().for_each(|attribute| span.extend(field(9, attribute)));
    field(1, &field(2, &field(2, &span)))
}

#[test]
fn hostile_values() {
    let limits = DecodeLimits::default();
    let decode = |attributes: &[Vec<u8>]| {
        let bytes = request_with_attributes(attributes);
        otlp::decode_protobuf(&bytes, &Tenant::default(), 0, &limits).expect("well-formed")
    };
    let text = |length: usize| {
        let mut value = vec![10];
        prost::encoding::encode_varint(length as u64, &mut value);
        value.resize(value.len() + length, b'x');
        let mut attribute = vec![10, 1, b'k', 18];
        prost::encoding::encode_varint(value.len() as u64, &mut attribute);
        attribute.extend(value);
        attribute
    };
    // 1 MiB in one value, then 100,000 attributes.
    let event = decode(&[text(1 << 20)]).batch.event(0).to_owned();
    assert_eq!(event.attribute("k").map(|value| value.to_string().len()), Some(limits.attribute_bytes_max));
    assert_eq!(event.attribute("hopscope.truncated_values"), Some(&Value::Int(1)));
    let event = decode(&vec![text(1); 100_000]).batch.event(0).to_owned();
    assert_eq!(event.attribute("hopscope.dropped_attributes"), Some(&Value::Int(100_000 - 256)));
    assert_eq!(event.attributes.len(), 257);

    // Not UTF-8, in key and value.
    let event = decode(&[vec![10, 2, b'k', 0xff, 18, 3, 10, 1, 0xfe]]).batch.event(0).to_owned();
    assert_eq!(event.attribute("k\u{fffd}"), Some(&Value::Text("\u{fffd}".into())));
    assert_eq!(event.attribute("hopscope.invalid_utf8"), Some(&Value::Int(2)));

    // Arrays inside arrays, 10,000 deep: each is `AnyValue { array: ArrayValue { values: [...] } }`.
    let mut value = Vec::new();
    for _ in 0..10_000 {
        for tag in [10, 42] {
            let mut outer = vec![tag];
            prost::encoding::encode_varint(value.len() as u64, &mut outer);
            outer.extend(value);
            value = outer;
        }
    }
    let mut attribute = vec![10, 1, b'k', 18];
    prost::encoding::encode_varint(value.len() as u64, &mut attribute);
    attribute.extend(value);
    let event = decode(&[attribute]).batch.event(0).to_owned();
    let nested = format!("{}null{}", "[".repeat(limits.nesting_max), "]".repeat(limits.nesting_max));
    assert_eq!(event.attribute("k"), Some(&Value::Json(nested)));

    // Objects are short in JSON and long in memory.
    let crowd = format!(r#","attributes":[{}{{}}]"#, "{},".repeat(limits.json_objects_max));
    assert!(json_span(&crowd).map(|_| ()).expect_err("crowded").starts_with("too many objects"));

    let deep = format!(
        r#","attributes":[{{"key":"k","value":{}{}}}]"#,
        r#"{"arrayValue":{"values":["#.repeat(1_000),
        "]}}".repeat(1_000)
    );
    assert!(json_span(&deep).map(|_| ()).expect_err("too deep").contains("recursion limit"));
}

/// A small request must not become a large batch: attributes of a span are shared by the events of its links.
#[test]
fn links_do_not_multiply_attributes() {
    let mut batch = span("consumer messaging.system=kafka messaging.operation=process");
    for n in 0..200 {
        batch.attributes.push((format!("attribute-{n}"), AnyValue::Text("x".repeat(100))));
    }
    let context =
        |n: u64| hopscope_model::SpanContext { trace: TraceId([7; 16]), span: SpanId((n + 1).to_be_bytes()) };
    batch.links =
        (0..10_000).map(|n| LinkData { context: context(n), flags: 0, attributes: Vec::new() }).collect();
    let decoded = decode(vec![batch]);
    assert_eq!(decoded.batch.len(), 10_000);
    assert!(decoded.batch.byte_len() < 10_000 * 400, "bytes={}", decoded.batch.byte_len());
    // Those of the span, and of its own only which message of the batch it was.
    assert_eq!(decoded.batch.event(9_999).attributes().count(), 203);
}
