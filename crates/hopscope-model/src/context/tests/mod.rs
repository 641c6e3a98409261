//! Tables of good and bad inputs for each format, and the properties that hold for all of them.

mod vendors;
mod w3c_cases;

use super::*;
use proptest::prelude::*;

const T: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const S: &str = "00f067aa0ba902b7";

fn read_one(format: Format, headers: &[(&str, &str)]) -> String {
    render(&read(&[format], headers))
}

/// `trace-span parent sampled debug padded raw state | problems`, only what is there.
fn render(read: &Read) -> String {
    let mut text = match &read.context {
        None => "none".to_owned(),
        Some(context) => {
            let mut text = context.context().to_string();
            if let Some(parent) = context.parent {
                text += &format!(" parent={parent}");
            }
            if let Some(sampled) = context.sampled {
                text += &format!(" sampled={sampled}");
            }
            if context.debug {
                text += " debug";
            }
            if context.was_padded {
                text += " padded";
            }
            if context.random {
                text += " random";
            }
            if let Some(raw) = &context.raw_trace {
                text += &format!(" raw_trace={raw}");
            }
            if let Some(raw) = &context.raw_span {
                text += &format!(" raw={raw}");
            }
            if !context.tracestate.is_empty() {
                text += &format!(" state={}", context.tracestate);
            }
            text
        }
    };
    if let Some(decision) = read.decision {
        text += &format!(" decision={decision}");
    }
    for problem in &read.problems {
        text += &format!(" | {:?}", problem.flaw);
    }
    if read.duplicates > 0 {
        text += &format!(" | duplicates={}", read.duplicates);
    }
    text
}

fn table(format: Format, rows: &[(&[(&str, &str)], &str)]) {
    for (headers, expected) in rows {
        assert_eq!(read_one(format, headers), *expected, "{headers:?}");
    }
}

#[test]
fn w3c() {
    let good = &format!("{T}-{S} sampled=true");
    table(
        Format::W3c,
        &[
            (&[("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")], good),
            (&[("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")], good),
            (
                &[("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")],
                &format!("{T}-{S} sampled=false"),
            ),
            // Level 2: the trace id is random. Flags that nobody has defined are nothing.
            (
                &[("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff")],
                &format!("{good} random"),
            ),
            // A later version may be longer.
            (&[("traceparent", "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what")], good),
            (&[("traceparent", "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")], good),
            (
                &[("traceparent", " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\t")],
                &format!("{good} | Blanks"),
            ),
            (
                &[("traceparent", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01")],
                &format!("{good} | UpperCase"),
            ),
            (
                &[
                    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
                    ("tracestate", "a=1, b=2"),
                    ("tracestate", "c=3"),
                ],
                &format!("{good} state=a=1,b=2,c=3"),
            ),
            (
                &[
                    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
                    ("tracestate", "no list"),
                ],
                &format!("{good} | Shape"),
            ),
            // What other libraries take and must not.
            (&[("traceparent", "00-a3ce929d0e0e4736-00f067aa0ba902b7-01")], "none | Shape"),
            (&[("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-02b7-01")], "none | Shape"),
            (&[("traceparent", "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")], "none | NotHex"),
            (&[("traceparent", "0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1")], "none | Shape"),
            (&[("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1")], "none | Shape"),
            (&[("traceparent", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")], "none | Version"),
            (&[("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x")], "none | Shape"),
            (&[("traceparent", "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x")], "none | Shape"),
            (&[("traceparent", "00-00000000000000000000000000000000-00f067aa0ba902b7-01")], "none | AllZero"),
            (&[("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01")], "none | AllZero"),
            (&[("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-zz")], "none | NotHex"),
            (&[("traceparent", "")], "none | Shape"),
            (&[], "none"),
        ],
    );
}

#[test]
fn b3_single() {
    table(
        Format::B3Single,
        &[
            (&[("b3", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7")], &format!("{T}-{S}")),
            (
                &[("B3", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1")],
                &format!("{T}-{S} sampled=true"),
            ),
            (
                &[("b3", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0")],
                &format!("{T}-{S} sampled=false"),
            ),
            (
                &[("b3", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-d-05e3ac9a4f6e3b90")],
                &format!("{T}-{S} parent=05e3ac9a4f6e3b90 sampled=true debug"),
            ),
            (
                &[("b3", "a3ce929d0e0e4736-00f067aa0ba902b7-1")],
                &format!("0000000000000000a3ce929d0e0e4736-{S} sampled=true padded"),
            ),
            (&[("b3", "0")], "none decision=false"),
            (&[("b3", "1")], "none decision=true"),
            (&[("b3", "d")], "none decision=true"),
            (&[("b3", "2")], "none | Shape"),
            (&[("b3", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-x")], "none | Sampling"),
            (&[("b3", "4bf92f3577b34da6a3ce929d0e0e4736-ba902b7-1")], "none | Length"),
            (&[("b3", "4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-1")], "none | Length"),
            (&[("b3", "0000000000000000-00f067aa0ba902b7-1")], "none | AllZero"),
            (
                &[("b3", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1-05e3ac9a4f6e3b90-1")],
                "none | Shape",
            ),
        ],
    );
}

#[test]
fn b3_multi() {
    let trace = ("X-B3-TraceId", "4bf92f3577b34da6a3ce929d0e0e4736");
    let span = ("X-B3-SpanId", "00f067aa0ba902b7");
    table(
        Format::B3Multi,
        &[
            (&[trace, span], &format!("{T}-{S}")),
            (&[trace, span, ("X-B3-Sampled", "1")], &format!("{T}-{S} sampled=true")),
            (&[trace, span, ("x-b3-sampled", "false")], &format!("{T}-{S} sampled=false")),
            (&[trace, span, ("x-b3-flags", "1")], &format!("{T}-{S} sampled=true debug")),
            (
                &[trace, span, ("x-b3-parentspanid", "05e3ac9a4f6e3b90")],
                &format!("{T}-{S} parent=05e3ac9a4f6e3b90"),
            ),
            (&[trace, span, ("x-b3-sampled", "maybe")], &format!("{T}-{S} | Sampling")),
            (&[trace], "none | Incomplete"),
            (&[span], "none | Incomplete"),
            (&[trace, ("x-b3-spanid", "b7")], "none | Length | Incomplete"),
            (&[("x-b3-sampled", "0")], "none decision=false"),
        ],
    );
}

#[test]
fn jaeger() {
    table(
        Format::Jaeger,
        &[
            (
                &[("uber-trace-id", "4bf92f3577b34da6a3ce929d0e0e4736:00f067aa0ba902b7:0:1")],
                &format!("{T}-{S} sampled=true"),
            ),
            (
                &[("uber-trace-id", "4bf92f3577b34da6a3ce929d0e0e4736%3Af067aa0ba902b7%3a0%3A01")],
                &format!("{T}-{S} sampled=true"),
            ),
            (
                &[("uber-trace-id", "1:2:3:3")],
                "00000000000000000000000000000001-0000000000000002 parent=0000000000000003 sampled=true \
                 debug padded",
            ),
            (
                &[("uber-trace-id", "1:2::0")],
                "00000000000000000000000000000001-0000000000000002 sampled=false padded",
            ),
            (&[("uber-trace-id", "1:2:0")], "none | Shape"),
            (&[("uber-trace-id", "1:2:0:1:4")], "none | Shape"),
            (&[("uber-trace-id", "0:2:0:1")], "none | AllZero"),
            (&[("uber-trace-id", "1:0:0:1")], "none | AllZero"),
            (&[("uber-trace-id", "+1:2:0:1")], "none | NotHex"),
            (&[("uber-trace-id", "1:2:0:x")], "none | Sampling"),
            (&[("uber-trace-id", "1:10000000000000002:0:1")], "none | Length"),
            (&[("uber-trace-id", "1:2:0:")], "none | Sampling"),
            (&[("uber-trace-id", "%3")], "none | Shape"),
        ],
    );
}

#[test]
fn plain_pairs() {
    let uuid = "4bf92f35-77b3-4da6-a3ce-929d0e0e4736";
    table(
        Format::Kebab,
        &[
            (&[("trace-id", T), ("span-id", S)], &format!("{T}-{S}")),
            (&[("Trace-Id", uuid), ("Span-Id", S)], &format!("{T}-{S}")),
            (
                &[("trace-id", "a3ce929d0e0e4736"), ("span-id", S)],
                &format!("0000000000000000a3ce929d0e0e4736-{S} padded"),
            ),
            (&[("trace-id", T)], "none | Incomplete"),
            (&[("span-id", S)], "none | Incomplete"),
            (&[("trace-id", "order-4711"), ("span-id", S)], "none | Length | Incomplete"),
            (
                &[("trace-id", "4bf92f35-77b3-4da6-a3ce-929d0e0e473g"), ("span-id", S)],
                "none | NotHex | Incomplete",
            ),
            (
                &[("trace-id", "4bf92f35x77b3-4da6-a3ce-929d0e0e4736"), ("span-id", S)],
                "none | Length | Incomplete",
            ),
            (&[("trace-id", T), ("span-id", "1")], "none | Length | Incomplete"),
        ],
    );
    table(Format::Snake, &[(&[("trace_id", T), ("span_id", S)], &format!("{T}-{S}"))]);
    table(
        Format::Camel,
        &[
            (&[("traceId", T), ("spanId", S)], &format!("{T}-{S}")),
            (
                &[("traceId", T), ("spanId", S), ("parentId", "05e3ac9a4f6e3b90")],
                &format!("{T}-{S} parent=05e3ac9a4f6e3b90"),
            ),
            (&[("parentId", "05e3ac9a4f6e3b90")], "none"),
        ],
    );
}

#[test]
fn a_uuid_as_span_id_is_kept_raw_and_gives_the_same_id_each_time() {
    let headers = [("traceId", T), ("spanId", "0a1b2c3d-0000-4000-8000-00000000000f")];
    let first = read(&[Format::Camel], &headers[..]).context.expect("valid");
    assert_eq!(first.raw_span.as_deref(), Some("0a1b2c3d-0000-4000-8000-00000000000f"));
    assert!(!first.span.is_zero());
    let without_dashes = [("traceId", T), ("spanId", "0a1b2c3d000040008000 0000000000f".trim())];
    assert!(read(&[Format::Camel], &without_dashes[..]).context.is_none(), "blanks inside are no digits");
    let same = [("traceId", T), ("spanId", "0a1b2c3d00004000800000000000000f")];
    assert_eq!(read(&[Format::Camel], &same[..]).context.expect("valid").span, first.span);
}

#[test]
fn the_last_valid_value_wins_and_duplicates_are_counted() {
    let other = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b8-01";
    let headers = [
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("traceparent", other),
        ("traceparent", "rubbish"),
    ];
    assert_eq!(
        read_one(Format::W3c, &headers),
        format!("{T}-00f067aa0ba902b8 sampled=true | Conflict | Shape | duplicates=2")
    );
}

#[test]
fn the_first_format_with_a_valid_context_wins() {
    let headers = [("traceparent", "rubbish"), ("b3", "0"), ("trace_id", T), ("span_id", S)];
    let read = read(Format::ALL, &headers[..]);
    assert_eq!(read.format, Some(Format::Snake));
    assert_eq!(render(&read), format!("{T}-{S} decision=false | Shape"));
}

#[test]
fn null_and_binary_values_are_problems() {
    struct Odd;
    impl Headers for Odd {
        fn each(&self, visit: &mut dyn FnMut(&[u8], Option<&[u8]>)) {
            visit(b"traceparent", None);
            visit(b"traceparent", Some(&[0xff, 0, 0x80]));
            visit(&[0xff, 0], Some(b"a name that is no text"));
        }
    }
    let read = read(&[Format::W3c], &Odd);
    assert_eq!(render(&read), "none | Null | Shape | duplicates=1");
    assert_eq!(
        read.problems[1].to_string(),
        "header traceparent does not have the parts of its format value=�\\0�"
    );
}

#[test]
fn problems_are_bounded() {
    let headers = vec![("traceparent", "x".repeat(100_000)); 1_000];
    let read = read(&[Format::W3c], &headers[..]);
    assert_eq!(read.problems.len(), PROBLEMS_MAX);
    assert!(read.problems.iter().all(|problem| problem.value.len() <= PROBLEM_VALUE_CHARS_MAX));
    assert_eq!(read.duplicates, 999);
}

#[test]
fn a_long_tracestate_is_cut_at_a_member() {
    let state = (0..32).map(|n| format!("vendor{n}=value-{n:020}")).collect::<Vec<_>>().join(",");
    let parent = format!("00-{T}-{S}-01");
    let headers = [("traceparent", parent.as_str()), ("tracestate", &state)];
    let read = read(&[Format::W3c], &headers[..]);
    let kept = read.context.expect("valid").tracestate;
    assert!(kept.len() <= TRACESTATE_BYTES_MAX && state.starts_with(&kept) && is_whole(&kept), "{kept}");
    assert_eq!(read.problems[0].flaw, Flaw::TooLong);
    fn is_whole(kept: &str) -> bool {
        kept.split(',').all(|member| member.contains("=value"))
    }
}

#[test]
fn writing_is_strict() {
    let data = ContextData {
        trace: TraceId::from_hex(T).expect("valid"),
        span: SpanId::from_hex(S).expect("valid"),
        parent: SpanId::from_hex("1"),
        sampled: Some(true),
        tracestate: "a=1",
        ..ContextData::default()
    };
    let written = |format| {
        write(format, &data)
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)))
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(written(Format::W3c), format!("traceparent: 00-{T}-{S}-01\ntracestate: a=1"));
    assert_eq!(written(Format::B3Single), format!("b3: {T}-{S}-1-0000000000000001"));
    assert_eq!(
        written(Format::B3Multi),
        format!("x-b3-traceid: {T}\nx-b3-spanid: {S}\nx-b3-parentspanid: 0000000000000001\nx-b3-sampled: 1")
    );
    assert_eq!(written(Format::Jaeger), format!("uber-trace-id: {T}:{S}:0000000000000001:1"));
    assert_eq!(written(Format::Kebab), format!("trace-id: {T}\nspan-id: {S}"));
    assert_eq!(written(Format::Camel), format!("traceId: {T}\nspanId: {S}\nparentId: 0000000000000001"));
    assert!(write(Format::W3c, &ContextData { trace: TraceId::ZERO, ..data }).is_empty());
    for rubbish in ["line\r\nbreak=1", "a=1,A=2", "a=1,", "a", &"a=1,".repeat(33)] {
        let rubbish = ContextData { tracestate: rubbish, ..data };
        assert_eq!(write(Format::W3c, &rubbish).len(), 1, "a state that is none is left out");
    }
    let random = ContextData { random: true, ..data };
    assert_eq!(write(Format::W3c, &random)[0].1, format!("00-{T}-{S}-03").into_bytes());
}

#[test]
fn every_written_key_is_removed_before_writing() {
    for format in Format::ALL {
        for key in format.keys().iter().filter(|key| **key != "parentId") {
            assert!(ALL_CONTEXT_KEYS.contains(key), "{key}");
            assert!(is_context_key(key.to_ascii_uppercase().as_bytes()), "{key}");
        }
        assert_eq!(Format::READ_ORDER.iter().filter(|other| *other == format).count(), 1, "{format}");
    }
}

proptest! {
    /// Eight digits at a time and one by one are the same.
    #[test]
    fn hexadecimal_is_what_the_standard_library_reads(digits in "[0-9a-fA-F]{14,16}|[0-9a-f]{16}|[ -~]{16}") {
        let strict = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(&digits, 16).ok().filter(|number| strict && *number != 0);
        let mut upper_case = false;
        let read = parts::span(digits.as_bytes(), &mut upper_case).ok();
        prop_assert_eq!(read, number.map(|number| SpanId(number.to_be_bytes())));
        prop_assert_eq!(upper_case, strict && digits.bytes().any(|byte| byte.is_ascii_uppercase()));
    }

    /// Every byte that is no digit, at every place.
    #[test]
    fn one_wrong_byte_is_seen(at in 0usize..16, byte in any::<u8>()) {
        let mut digits = *b"0123456789abcdef";
        digits[at] = byte;
        prop_assert_eq!(parts::span(&digits, &mut false).is_ok(), byte.is_ascii_hexdigit());
    }

    #[test]
    fn what_is_written_is_read_back(
        trace in any::<[u8; 16]>(), span in any::<[u8; 8]>(), parent in any::<Option<[u8; 8]>>(),
        sampled in any::<Option<bool>>(), debug in any::<bool>(), random in any::<bool>(),
    ) {
        let data = ContextData {
            trace: TraceId(trace), span: SpanId(span), parent: parent.map(SpanId), sampled, debug, random,
            tracestate: "",
        };
        for format in Format::ALL {
            let headers = write(*format, &data);
            let read = read(&[*format], &headers[..]);
            if data.trace.is_zero() || data.span.is_zero() {
                prop_assert!(headers.is_empty());
                continue;
            }
            let context = read.context.expect("what is written is valid");
            prop_assert_eq!((context.trace, context.span), (data.trace, data.span));
            prop_assert!(read.problems.is_empty() && read.duplicates == 0);
            prop_assert!(!context.was_padded && context.raw_trace.is_none() && context.raw_span.is_none());
            let undecided = matches!(format, Format::Kebab | Format::Snake | Format::Camel);
            if !undecided && (sampled.is_some() || debug) {
                prop_assert_eq!(context.sampled, Some(debug || sampled == Some(true)));
            }
        }
    }

    #[test]
    fn reading_is_total(headers in prop::collection::vec(
        (prop::sample::select(ALL_CONTEXT_KEYS), prop::collection::vec(any::<u8>(), 0..80)), 0..12,
    )) {
        let _ = read(Format::ALL, &headers[..]);
    }

    #[test]
    fn a_context_key_is_one_of_the_list(name in "[a-zA-Z0-9_-]{0,40}", at in 0..ALL_CONTEXT_KEYS.len()) {
        let listed = |name: &str| ALL_CONTEXT_KEYS.iter().any(|key| key.eq_ignore_ascii_case(name));
        prop_assert_eq!(is_context_key(name.as_bytes()), listed(&name));
        prop_assert!(is_context_key(ALL_CONTEXT_KEYS[at].as_bytes()));
        prop_assert!(!is_context_key(&ALL_CONTEXT_KEYS[at].as_bytes()[1..]) || listed(&ALL_CONTEXT_KEYS[at][1..]));
    }

    #[test]
    fn reading_near_misses_is_total(
        headers in prop::collection::vec(
            (prop::sample::select(ALL_CONTEXT_KEYS), "[0-9a-fA-F:%+,= d;?-]{0,70}"), 0..12,
        ),
    ) {
        let read = read(Format::ALL, &headers[..]);
        prop_assert!(read.context.is_none_or(|context| !context.context().is_zero()));
    }
}
