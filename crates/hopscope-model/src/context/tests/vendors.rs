//! Golden cases of the formats that vendors own.

use super::*;

/// The same context in decimal: lower half of the trace, span.
const LOWER: &str = "11803532876627986230";
const SPAN: &str = "67667974448284343";

#[test]
fn datadog() {
    let (trace, span) = (("x-datadog-trace-id", LOWER), ("x-datadog-parent-id", SPAN));
    let upper = ("x-datadog-tags", "_dd.p.dm=-1,_dd.p.tid=4bf92f3577b34da6");
    let narrow = format!("0000000000000000a3ce929d0e0e4736-{S}");
    table(
        Format::Datadog,
        &[
            (&[trace, span, upper], &format!("{T}-{S}")),
            (&[trace, span], &format!("{narrow} padded")),
            (&[trace, span, upper, ("X-Datadog-Sampling-Priority", "2")], &format!("{T}-{S} sampled=true")),
            (&[trace, span, upper, ("x-datadog-sampling-priority", "1")], &format!("{T}-{S} sampled=true")),
            (&[trace, span, upper, ("x-datadog-sampling-priority", "0")], &format!("{T}-{S} sampled=false")),
            (&[trace, span, upper, ("x-datadog-sampling-priority", "-1")], &format!("{T}-{S} sampled=false")),
            (&[trace, span, upper, ("x-datadog-sampling-priority", "yes")], &format!("{T}-{S} | Sampling")),
            (&[trace, span, ("x-datadog-tags", "_dd.p.tid=0000000000000000")], &format!("{narrow} padded")),
            // A trace whose upper half cannot be read is told, not lost.
            (&[trace, span, ("x-datadog-tags", "_dd.p.tid=4bf9")], &format!("{narrow} padded | Length")),
            (
                &[trace, span, ("x-datadog-tags", "_dd.p.tid=4bf92f3577b34dag")],
                &format!("{narrow} padded | NotHex"),
            ),
            (
                &[trace, span, ("x-datadog-tags", "_dd.p.tid=4BF92F3577B34DA6")],
                &format!("{T}-{S} | UpperCase"),
            ),
            // Hexadecimal is a common mistake.
            (&[("x-datadog-trace-id", "a3ce929d0e0e4736"), span], "none | NotDecimal | Incomplete"),
            (&[("x-datadog-trace-id", "18446744073709551616"), span], "none | NotDecimal | Incomplete"),
            (&[("x-datadog-trace-id", "+1"), span], "none | NotDecimal | Incomplete"),
            (&[("x-datadog-trace-id", ""), span], "none | NotDecimal | Incomplete"),
            (&[("x-datadog-trace-id", "0"), span], "none | AllZero | Incomplete"),
            (&[trace], "none | Incomplete"),
            (&[("x-datadog-sampling-priority", "-1")], "none decision=false"),
            (&[("x-datadog-sampling-priority", "1")], "none decision=true"),
        ],
    );
    assert_eq!(
        written(Format::Datadog, Some(true)),
        format!(
            "x-datadog-trace-id: {LOWER}\nx-datadog-parent-id: {SPAN}\nx-datadog-sampling-priority: 1\n\
             x-datadog-tags: _dd.p.tid=4bf92f3577b34da6"
        )
    );
}

#[test]
fn x_ray() {
    let root = "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736";
    let line = |rest: &str| format!("{root}{rest}");
    let rows = [
        (line(";Parent=00f067aa0ba902b7;Sampled=1"), format!("{T}-{S} sampled=true")),
        (line(";Parent=00f067aa0ba902b7;Sampled=0"), format!("{T}-{S} sampled=false")),
        (line(";Parent=00f067aa0ba902b7;Sampled=?"), format!("{T}-{S}")),
        (line(";Parent=00f067aa0ba902b7"), format!("{T}-{S}")),
        (
            format!("Self=1-2-3; Sampled=1 ;Parent=00f067aa0ba902b7; {root};Lineage=a:1;"),
            format!("{T}-{S} sampled=true"),
        ),
        (line(";Parent=00F067AA0BA902B7"), format!("{T}-{S} | UpperCase")),
        // A load balancer's: a trace without a span to continue.
        (root.to_owned(), "none | Incomplete".to_owned()),
        ("Parent=00f067aa0ba902b7".to_owned(), "none | Incomplete".to_owned()),
        (line(";Parent=b7"), "none | Length".to_owned()),
        (line(";Parent=0000000000000000"), "none | AllZero".to_owned()),
        (line(";Parent=00f067aa0ba902b7;Sampled=yes"), "none | Sampling".to_owned()),
        (line(";Parent"), "none | Shape".to_owned()),
        (
            "Root=2-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7".to_owned(),
            "none | Version".to_owned(),
        ),
        (
            "Root=1-4bf92f3577-b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7".to_owned(),
            "none | Length".to_owned(),
        ),
        (
            "Root=1-4bf92f35-77b34da6a3ce929d0e0e473z;Parent=00f067aa0ba902b7".to_owned(),
            "none | NotHex".to_owned(),
        ),
    ];
    for (value, expected) in &rows {
        assert_eq!(read_one(Format::XRay, &[("X-Amzn-Trace-Id", value)]), *expected, "{value}");
        assert_eq!(read_one(Format::XRay, &[("AWSTraceHeader", value)]), *expected, "{value}");
    }
    assert_eq!(
        written(Format::XRay, Some(false)),
        format!("x-amzn-trace-id: {root};Parent=00f067aa0ba902b7;Sampled=0")
    );
}

#[test]
fn skywalking() {
    // As its Java agent writes: trace and segment are "a4ec6fc8ccab4bb4b682064698cc97e6.74.1621838110455000" and 9, 8.
    const TRACE: &str = "YTRlYzZmYzhjY2FiNGJiNGI2ODIwNjQ2OThjYzk3ZTYuNzQuMTYyMTgzODExMDQ1NTAwMDk=";
    const SEGMENT: &str = "YTRlYzZmYzhjY2FiNGJiNGI2ODIwNjQ2OThjYzk3ZTYuNzQuMTYyMTgzODExMDQ1NTAwMDg=";
    const REST: &str = "b25lLWE=-aUAx-L2dldA==-MTo4MA==";
    let value = |sampled: &str, index: &str| format!("{sampled}-{TRACE}-{SEGMENT}-{index}-{REST}");
    let one = |value: &str| read(&[Format::SkyWalking], &[("sw8", value)][..]);

    let read = one(&value("1", "2")).context.expect("valid");
    assert_eq!(read.raw_trace.as_deref(), Some("a4ec6fc8ccab4bb4b682064698cc97e6.74.16218381104550009"));
    assert_eq!(read.raw_span.as_deref(), Some("a4ec6fc8ccab4bb4b682064698cc97e6.74.16218381104550008-2"));
    assert_eq!(read.sampled, Some(true));
    assert_eq!(one(&value("0", "2")).context.expect("valid").sampled, Some(false));
    // The same text gives the same id in every version: these are in people's stores.
    assert_eq!(read.context().to_string(), "ca106ac355d5fbef1f272e0eeec71db1-92c0d032288c360b");
    let sibling = one(&value("1", "3")).context.expect("valid");
    assert_eq!(sibling.trace, read.trace);
    assert_ne!(sibling.span, read.span, "another span of the same segment");

    for (value, expected) in [
        (value("2", "2"), "none | Sampling"),
        (value("1", "x"), "none | Shape"),
        (value("1", "-1"), "none | Shape"),
        (value("1", "2") + "-x", "none | Shape"),
        (format!("1-{TRACE}-{SEGMENT}-2"), "none | Shape"),
        (format!("1-{TRACE}-***-2-{REST}"), "none | NotBase64"),
        (format!("1--{SEGMENT}-2-{REST}"), "none | NotBase64"),
        (format!("1-/w==-{SEGMENT}-2-{REST}"), "none | NotText"),
        (value("1", "2") + &"A".repeat(2048), "none | Shape"),
    ] {
        assert_eq!(render(&one(&value)), expected, "{value}");
    }
    // Ours come back as they were.
    assert_eq!(
        written(Format::SkyWalking, Some(true)),
        "sw8: 1-NGJmOTJmMzU3N2IzNGRhNmEzY2U5MjlkMGUwZTQ3MzY=-MDBmMDY3YWEwYmE5MDJiNw==-0-dW5rbm93bg==-dW5rbm93bg==\
         -dW5rbm93bg==-dW5rbm93bg=="
    );
}

#[test]
fn elastic() {
    let binary = |flags: u8| {
        let context = TraceId::from_hex(T).zip(SpanId::from_hex(S)).expect("valid");
        [&[0, 0][..], &context.0.0, &[1], &context.1.0, &[2, flags]].concat()
    };
    let one = |value: Vec<u8>| render(&read(&[Format::Elastic], &[("ElasticApmTraceparent", value)][..]));
    assert_eq!(one(binary(1)), format!("{T}-{S} sampled=true"));
    assert_eq!(one(binary(0)), format!("{T}-{S} sampled=false"));
    // The last byte is a blank: it is not trimmed off.
    assert_eq!(one(binary(b' ')), format!("{T}-{S} sampled=false"));
    for (place, byte, expected) in [
        (0, 0xff, "none | Version"),
        (1, 1, "none | Shape"),
        (18, 0, "none | Shape"),
        (27, 0, "none | Shape"),
    ] {
        let mut value = binary(1);
        value[place] = byte;
        assert_eq!(one(value), expected);
    }
    assert_eq!(one(binary(1)[..28].to_vec()), "none | Length");
    assert_eq!(one(vec![0; 30]), "none | Length");
    let zeros = [&[0; 18][..], &[1], &[0; 8], &[2, 1]].concat();
    assert_eq!(one(zeros), "none | AllZero");

    let text = format!("00-{T}-{S}-01");
    assert_eq!(
        read_one(Format::Elastic, &[("elastic-apm-traceparent", &text)]),
        format!("{T}-{S} sampled=true")
    );
    let data = data(Some(true));
    assert_eq!(write(Format::Elastic, &data), [("elasticapmtraceparent", binary(1))]);
    let mut kinds = Vec::new();
    write_to(Format::Elastic, &data, &mut |_, value| kinds.push(matches!(value, Written::Bytes(_))));
    assert_eq!(kinds, [true], "a carrier of text must know that this is none");
    let twice = [("elasticapmtraceparent", binary(1)), ("elasticapmtraceparent", binary(0))];
    assert_eq!(
        render(&read(&[Format::Elastic], &twice[..])),
        format!("{T}-{S} sampled=false | Conflict | duplicates=1")
    );
}

#[test]
fn ot_trace() {
    let (trace, span) = (("ot-tracer-traceid", T), ("ot-tracer-spanid", S));
    table(
        Format::OtTrace,
        &[
            (&[trace, span, ("ot-tracer-sampled", "true")], &format!("{T}-{S} sampled=true")),
            (&[trace, span, ("Ot-Tracer-Sampled", "0")], &format!("{T}-{S} sampled=false")),
            (
                &[("ot-tracer-traceid", "a3ce929d0e0e4736"), span],
                &format!("0000000000000000a3ce929d0e0e4736-{S} padded"),
            ),
            (&[trace], "none | Incomplete"),
            (&[("ot-tracer-sampled", "false")], "none decision=false"),
        ],
    );
    assert_eq!(
        written(Format::OtTrace, Some(false)),
        format!("ot-tracer-traceid: {T}\not-tracer-spanid: {S}\not-tracer-sampled: false")
    );
}

#[test]
fn sentry() {
    for (value, expected) in [
        (format!("{T}-{S}-1"), format!("{T}-{S} sampled=true")),
        (format!("{T}-{S}-0"), format!("{T}-{S} sampled=false")),
        (format!("{T}-{S}"), format!("{T}-{S}")),
        (format!("{T}-{S}-"), format!("{T}-{S}")),
        (format!("{T}-{S}-2"), "none | Sampling".to_owned()),
        (format!("{T}-{S}-1-1"), "none | Shape".to_owned()),
        (T.to_owned(), "none | Shape".to_owned()),
        (format!("a3ce929d0e0e4736-{S}"), "none | Length".to_owned()),
    ] {
        assert_eq!(read_one(Format::Sentry, &[("Sentry-Trace", &value)]), expected, "{value}");
    }
    assert_eq!(written(Format::Sentry, Some(true)), format!("sentry-trace: {T}-{S}-1"));
}

#[test]
fn instana() {
    let (trace, span) = (("X-INSTANA-T", T), ("X-INSTANA-S", S));
    table(
        Format::Instana,
        &[
            (&[trace, span, ("X-INSTANA-L", "1")], &format!("{T}-{S} sampled=true")),
            (
                &[trace, span, ("X-INSTANA-L", "1,correlationType=web;correlationId=1")],
                &format!("{T}-{S} sampled=true"),
            ),
            (
                &[("X_INSTANA_T", T), ("X_INSTANA_S", S), ("X_INSTANA_L_S", "1")],
                &format!("{T}-{S} sampled=true"),
            ),
            (
                &[("x-instana-t", "a3ce929d0e0e4736"), span],
                &format!("0000000000000000a3ce929d0e0e4736-{S} padded"),
            ),
            // Do not trace: the ids are not sent then.
            (&[("x-instana-l", "0")], "none decision=false"),
            (&[("X_INSTANA_L_S", "0")], "none decision=false"),
            (&[trace, span, ("x-instana-l", "x")], &format!("{T}-{S} | Sampling")),
        ],
    );
    assert_eq!(
        written(Format::Instana, Some(true)),
        format!("x-instana-t: {T}\nx-instana-s: {S}\nx-instana-l: 1")
    );
}

#[test]
fn mass_transit() {
    let w3c = format!("00-{T}-{S}-01");
    table(
        Format::MassTransit,
        &[
            (&[("MT-Activity-Id", &w3c)], &format!("{T}-{S} sampled=true")),
            // The hierarchical ids of .NET before W3C are no context.
            (&[("MT-Activity-Id", "|4bf92f3577b34da6.1.2_")], "none | Shape"),
        ],
    );
    assert_eq!(written(Format::MassTransit, Some(true)), format!("MT-Activity-Id: {w3c}"));
}

fn data(sampled: Option<bool>) -> ContextData<'static> {
    ContextData {
        trace: TraceId::from_hex(T).expect("valid"),
        span: SpanId::from_hex(S).expect("valid"),
        sampled,
        ..ContextData::default()
    }
}

fn written(format: Format, sampled: Option<bool>) -> String {
    let headers = write(format, &data(sampled));
    let line = |(name, value): &(&str, Vec<u8>)| format!("{name}: {}", String::from_utf8_lossy(value));
    headers.iter().map(line).collect::<Vec<_>>().join("\n")
}
