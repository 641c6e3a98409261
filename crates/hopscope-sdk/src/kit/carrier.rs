//! The carrier contract as cases.

use crate::{BaggageRules, CarrierMut, Format, Formats, Headers, carrier};
use hopscope_model::context::ALL_CONTEXT_KEYS;
use opentelemetry::baggage::{Baggage, BaggageExt};
use opentelemetry::trace::{SpanContext, TraceContextExt, TraceFlags, TraceState};
use opentelemetry::{Context, SpanId, TraceId};

/// Headers as a list of pairs: the reference carrier, in the order and with the duplicates that a message may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapHeaders(pub Vec<(String, Option<Vec<u8>>)>);

impl Headers for MapHeaders {
    fn each(&self, visit: &mut dyn FnMut(&[u8], Option<&[u8]>)) {
        for (key, value) in &self.0 {
            visit(key.as_bytes(), value.as_deref());
        }
    }
}

impl CarrierMut for MapHeaders {
    fn remove(&mut self, is_named: &dyn Fn(&[u8]) -> bool) {
        self.0.retain(|(key, _)| !is_named(key.as_bytes()));
    }

    fn set(&mut self, name: &str, value: &str) {
        self.set_bytes(name, value.as_bytes());
    }

    fn set_bytes(&mut self, name: &str, value: &[u8]) {
        self.0.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        self.0.push((name.to_owned(), Some(value.to_vec())));
    }

    fn as_headers(&self) -> Option<&dyn Headers> {
        Some(self)
    }
}

/// Runs every case of the carrier contract against one client's headers.
///
/// `make` builds a message's headers out of pairs and says `None` where the client cannot hold such headers (null
/// values, duplicates, bytes that are no text): those cases are left out. `dump` lists them again, in any order.
///
/// # Panics
/// With the name of the case that failed: for use in tests.
pub fn carrier<C: Headers + CarrierMut>(
    make: impl Fn(&[(&str, Option<&[u8]>)]) -> Option<C>,
    dump: impl Fn(&C) -> Pairs,
) {
    let takes_bytes = make(&[("app", Some(b"\xff\xfe"))]).is_some();
    old_contexts_of_every_format_are_removed(&make, &dump);
    for &(name, headers) in OTHER_HEADERS {
        let Some(mut carrier) = make(headers) else { continue };
        let before = sorted(dump(&carrier));
        carrier::inject(&Formats::default(), &context(), &mut carrier);
        let after = dump(&carrier);
        let (ours, others): (Pairs, Pairs) = after.into_iter().partition(|(key, _)| is_ours(key));
        assert_eq!(ours, [("traceparent".to_owned(), Some(TRACEPARENT.as_bytes().to_vec()))], "case: {name}");
        let before: Pairs = before.into_iter().filter(|(key, _)| !is_ours(key)).collect();
        assert_eq!(sorted(others), before, "other headers stay byte for byte, case: {name}");
        read_back(name, &Formats::default(), &carrier);
    }
    for &format in Format::ALL {
        let mut carrier = make(&[("app", Some(b"1"))]).expect("a plain header fits into every client");
        let formats = Formats { read: vec![format], write: vec![format], baggage: BaggageRules::none() };
        carrier::inject(&formats, &context(), &mut carrier);
        carrier::inject(&formats, &context(), &mut carrier);
        if format == Format::Elastic && !takes_bytes {
            assert_eq!(dump(&carrier), [("app".to_owned(), Some(b"1".to_vec()))], "bytes are left out");
            continue;
        }
        read_back(format.name(), &formats, &carrier);
    }
    for &(name, headers, problems) in FOREIGN_HEADERS {
        let Some(carrier) = make(headers) else { continue };
        let origin = carrier::extract(&Formats::default(), &carrier);
        let span = origin.context.as_ref().map(|context| context.span_id().to_string());
        assert_eq!(
            (span.as_deref(), origin.problems.len()),
            (problems.0, problems.1),
            "case: {name} {origin:?}"
        );
    }
    large_baggage_is_capped(&make, &dump);
}

/// Header pairs: name, and value or null.
pub type Pairs = Vec<(String, Option<Vec<u8>>)>;

type Borrowed = &'static [(&'static str, Option<&'static [u8]>)];

/// The span id that is read, and how many problems are told.
type ReadAs = (Option<&'static str>, usize);

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// What a message may carry before a context is written into it.
const OTHER_HEADERS: &[(&str, Borrowed)] = &[
    ("no headers", &[]),
    ("an application's headers", &[("app", Some(b"1")), ("Content-Type", Some(b"text/plain"))]),
    ("an old context", &[("traceparent", Some(b"00-11111111111111111111111111111111-2222222222222222-01"))]),
    (
        "an old context, twice and in capitals",
        &[
            ("Traceparent", Some(b"00-11111111111111111111111111111111-2222222222222222-01")),
            ("app", Some(b"1")),
            ("traceparent", Some(b"00-33333333333333333333333333333333-4444444444444444-01")),
            ("tracestate", Some(b"a=b")),
        ],
    ),
    (
        "every other format",
        &[
            ("b3", Some(b"11111111111111111111111111111111-2222222222222222-1")),
            ("X-B3-TraceId", Some(b"11111111111111111111111111111111")),
            ("X-B3-SpanId", Some(b"2222222222222222")),
            ("uber-trace-id", Some(b"11111111111111111111111111111111:2222222222222222:0:1")),
            ("trace_id", Some(b"11111111111111111111111111111111")),
            ("span_id", Some(b"2222222222222222")),
            ("traceId", Some(b"11111111111111111111111111111111")),
            ("spanId", Some(b"2222222222222222")),
            ("app", Some(b"1")),
        ],
    ),
    (
        "names that are nearly ours",
        &[
            ("traceparent2", Some(b"1")),
            ("x-traceparent", Some(b"1")),
            ("parentId", Some(b"1")),
            ("sw8-correlation", Some(b"YQ==:Yg==")),
            ("dd-pathway-ctx-base64", Some(b"AAAA")),
            ("x-b3", Some(b"1")),
            ("trace", Some(b"1")),
        ],
    ),
    ("null values", &[("app", None), ("traceparent", None)]),
    ("bytes that are no text", &[("app", Some(b"\xff\xfe\x00")), ("traceparent", Some(b"\xff\xfe"))]),
    ("an application's duplicates", &[("app", Some(b"1")), ("app", Some(b"2")), ("app", Some(b"1"))]),
    ("an empty value", &[("app", Some(b""))]),
    ("32 KiB", &[("app", Some(&[b'x'; 32 * 1024]))]),
    ("an old context of 31 KiB", &[("app", Some(b"1")), ("traceparent", Some(&[b'x'; 31 * 1024]))]),
];

/// What comes in from elsewhere.
const FOREIGN_HEADERS: &[(&str, Borrowed, ReadAs)] = &[
    ("nothing", &[], (None, 0)),
    ("capitals in the name", &[("Traceparent", Some(TRACEPARENT.as_bytes()))], (Some("b7ad6b7169203331"), 0)),
    ("garbage", &[("traceparent", Some(b"garbage"))], (None, 1)),
    ("no text", &[("traceparent", Some(b"\xff\xfe\xfd"))], (None, 1)),
    ("null", &[("traceparent", None)], (None, 1)),
    (
        "the last valid one counts, and the conflict is told",
        &[
            ("traceparent", Some(b"00-11111111111111111111111111111111-2222222222222222-01")),
            ("traceparent", Some(TRACEPARENT.as_bytes())),
            ("traceparent", Some(b"garbage")),
        ],
        (Some("b7ad6b7169203331"), 2),
    ),
    (
        "the same twice is told",
        &[("traceparent", Some(TRACEPARENT.as_bytes())), ("traceparent", Some(TRACEPARENT.as_bytes()))],
        (Some("b7ad6b7169203331"), 1),
    ),
    ("31 KiB of garbage", &[("traceparent", Some(&[b'0'; 31 * 1024]))], (None, 1)),
    (
        "bytes, as an agent writes them on Kafka",
        &[(
            "elasticapmtraceparent",
            Some(
                b"\0\0\x0a\xf7\x65\x19\x16\xcd\x43\xdd\x84\x48\xeb\x21\x1c\x80\x31\x9c\
                \x01\xb7\xad\x6b\x71\x69\x20\x33\x31\x02\x01",
            ),
        )],
        (Some("b7ad6b7169203331"), 0),
    ),
    (
        "decimal ids",
        &[
            ("x-datadog-trace-id", Some(b"9532127138774266268")),
            ("x-datadog-parent-id", Some(b"13235353014750950193")),
            ("x-datadog-tags", Some(b"_dd.p.tid=0af7651916cd43dd")),
        ],
        (Some("b7ad6b7169203331"), 0),
    ),
    ("a refusal without a context", &[("b3", Some(b"0"))], (None, 0)),
    (
        "another format after a broken one",
        &[
            ("traceparent", Some(b"00-zz")),
            ("b3", Some(b"0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1")),
        ],
        (Some("b7ad6b7169203331"), 1),
    ),
];

fn context() -> Context {
    let span = SpanContext::new(
        TraceId::from(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128),
        SpanId::from(0xb7ad_6b71_6920_3331_u64),
        TraceFlags::SAMPLED,
        false,
        TraceState::NONE,
    );
    Context::new().with_remote_span_context(span)
}

fn read_back(case: &str, formats: &Formats, headers: &dyn Headers) {
    let origin = carrier::extract(formats, headers);
    let expected = context();
    let read = origin.context.map(|context| (context.trace_id(), context.span_id()));
    let span = expected.span();
    let wanted = (span.span_context().trace_id(), span.span_context().span_id());
    assert_eq!(read, Some(wanted), "what was written is read again, case: {case}");
    assert_eq!(origin.problems, [""; 0], "case: {case}");
}

fn large_baggage_is_capped<C: Headers + CarrierMut>(
    make: &impl Fn(&[(&str, Option<&[u8]>)]) -> Option<C>,
    dump: &impl Fn(&C) -> Pairs,
) {
    let mut baggage = Baggage::new();
    for n in 0..64 {
        baggage.insert(format!("k{n}"), "中".repeat(40));
    }
    let mut carrier = make(&[]).expect("no headers fit into every client");
    carrier::inject(&Formats::default(), &context().with_baggage(baggage), &mut carrier);
    let bytes: usize = dump(&carrier)
        .iter()
        .filter(|(key, _)| key == "baggage")
        .filter_map(|(_, value)| value.as_ref().map(Vec::len))
        .sum();
    assert!((1..=8192).contains(&bytes), "baggage of {bytes} bytes");
}

fn old_contexts_of_every_format_are_removed<C: Headers + CarrierMut>(
    make: &impl Fn(&[(&str, Option<&[u8]>)]) -> Option<C>,
    dump: &impl Fn(&C) -> Pairs,
) {
    for key in ALL_CONTEXT_KEYS {
        for name in [(*key).to_owned(), key.to_ascii_uppercase()] {
            let mut carrier =
                make(&[(name.as_str(), Some(b"old"))]).expect("a plain header fits into every client");
            carrier::inject(&Formats::default(), &context(), &mut carrier);
            let left: Vec<String> = dump(&carrier).into_iter().map(|(key, _)| key).collect();
            assert_eq!(left, ["traceparent"], "an old context is removed: {name}");
        }
    }
}

fn is_ours(key: &str) -> bool {
    ALL_CONTEXT_KEYS.iter().any(|ours| key.eq_ignore_ascii_case(ours))
}

fn sorted(mut pairs: Pairs) -> Pairs {
    pairs.sort();
    pairs
}
