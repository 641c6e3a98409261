//! The carrier contract as cases.

use crate::{CarrierMut, Format, Formats, Headers, carrier};
use hopscope_model::context::ALL_CONTEXT_KEYS;
use opentelemetry::baggage::{Baggage, BaggageExt};
use opentelemetry::trace::{SpanContext, TraceContextExt, TraceFlags, TraceState};
use opentelemetry::{Context, SpanId, TraceId};

/// Headers as a list of pairs: the reference carrier, in the order and with the duplicates that a message may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapHeaders(pub Vec<(String, Option<Vec<u8>>)>);

impl Headers for MapHeaders {
    fn get_all(&self, name: &str, visit: &mut dyn FnMut(Option<&[u8]>)) {
        self.0
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .for_each(|(_, value)| visit(value.as_deref()));
    }
}

impl CarrierMut for MapHeaders {
    fn remove(&mut self, names: &[&str]) {
        self.0.retain(|(key, _)| !names.iter().any(|name| key.eq_ignore_ascii_case(name)));
    }

    fn set(&mut self, name: &str, value: &str) {
        self.remove(&[name]);
        self.0.push((name.to_owned(), Some(value.as_bytes().to_vec())));
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
        let formats = Formats { read: vec![format], write: vec![format], baggage: false };
        carrier::inject(&formats, &context(), &mut carrier);
        carrier::inject(&formats, &context(), &mut carrier);
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
    ("null values", &[("app", None), ("traceparent", None)]),
    ("bytes that are no text", &[("app", Some(b"\xff\xfe\x00")), ("traceparent", Some(b"\xff\xfe"))]),
    ("an application's duplicates", &[("app", Some(b"1")), ("app", Some(b"2")), ("app", Some(b"1"))]),
    ("an empty value", &[("app", Some(b""))]),
    ("32 KiB", &[("app", Some(&[b'x'; 32 * 1024]))]),
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

fn is_ours(key: &str) -> bool {
    ALL_CONTEXT_KEYS.iter().any(|ours| key.eq_ignore_ascii_case(ours))
}

fn sorted(mut pairs: Pairs) -> Pairs {
    pairs.sort();
    pairs
}
