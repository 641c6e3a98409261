//! The formats by name, and which header belongs to which.

use super::w3c::Parent;
use super::{Headers, Ids};
use crate::event::vocabulary;

vocabulary! {
    /// A way to write a context into headers.
    Format {
        /// W3C Trace Context: `traceparent`, `tracestate`.
        W3c = "tracecontext",
        /// B3 in one header: `b3`.
        B3Single = "b3",
        /// B3 in several headers: `x-b3-traceid`, `x-b3-spanid`, ...
        B3Multi = "b3multi",
        /// Jaeger: `uber-trace-id`.
        Jaeger = "jaeger",
        /// `trace-id` and `span-id`.
        Kebab = "trace-id",
        /// `trace_id` and `span_id`.
        Snake = "trace_id",
        /// `traceId`, `spanId` and, where there is one, `parentId`.
        Camel = "traceId",
        /// Datadog: `x-datadog-trace-id`, `x-datadog-parent-id`, ..., in decimal.
        Datadog = "datadog",
        /// AWS X-Ray: `x-amzn-trace-id`; `AWSTraceHeader` is read too.
        XRay = "xray",
        /// Apache SkyWalking 8 and later: `sw8`.
        SkyWalking = "skywalking",
        /// Elastic's older binary form on Kafka: `elasticapmtraceparent`; the text of `elastic-apm-traceparent` is read
        /// too.
        Elastic = "elastic",
        /// The older format of OpenTracing's basic tracers: `ot-tracer-traceid`, `ot-tracer-spanid`, ...
        OtTrace = "ottrace",
        /// Sentry: `sentry-trace`.
        Sentry = "sentry",
        /// Instana: `x-instana-t`, `x-instana-s`, `x-instana-l`; the names with underscores, as on Kafka, are read too.
        Instana = "instana",
        /// MassTransit's `MT-Activity-Id`, where it is a header of the message and not in its body.
        MassTransit = "masstransit",
    }
}

impl Format {
    /// Every format, in the order in which they are best read: W3C, what vendors own, and last the plain pairs, which
    /// applications also use for ids of their own.
    pub const READ_ORDER: &[Self] = &[
        Self::W3c,
        Self::B3Single,
        Self::B3Multi,
        Self::Jaeger,
        Self::Datadog,
        Self::XRay,
        Self::SkyWalking,
        Self::Elastic,
        Self::OtTrace,
        Self::Sentry,
        Self::Instana,
        Self::MassTransit,
        Self::Kebab,
        Self::Snake,
        Self::Camel,
    ];

    /// The headers that this format writes, the deciding one first.
    pub fn keys(self) -> &'static [&'static str] {
        match self {
            Self::W3c => &["traceparent", "tracestate"],
            Self::B3Single => &["b3"],
            Self::B3Multi => &super::b3::MULTI_KEYS,
            Self::Jaeger => &["uber-trace-id"],
            Self::Kebab => &["trace-id", "span-id"],
            Self::Snake => &["trace_id", "span_id"],
            Self::Camel => &["traceId", "spanId", "parentId"],
            Self::Datadog => &super::datadog::KEYS,
            Self::XRay => &["x-amzn-trace-id"],
            Self::SkyWalking => &["sw8"],
            Self::Elastic => &["elasticapmtraceparent"],
            Self::OtTrace => &["ot-tracer-traceid", "ot-tracer-spanid", "ot-tracer-sampled"],
            Self::Sentry => &["sentry-trace"],
            Self::Instana => &["x-instana-t", "x-instana-s", "x-instana-l"],
            Self::MassTransit => &["MT-Activity-Id"],
        }
    }
}

/// Every header that says something about a context. `parentId` is not among them: alone it says nothing, and
/// applications have headers of that name. A static, as the tables below: a constant would be copied to be looked into.
static KNOWN: [(&str, Format); 37] = [
    (super::w3c::STATE, Format::W3c),
    ("traceparent", Format::W3c),
    ("b3", Format::B3Single),
    ("x-b3-traceid", Format::B3Multi),
    ("x-b3-spanid", Format::B3Multi),
    ("x-b3-parentspanid", Format::B3Multi),
    ("x-b3-sampled", Format::B3Multi),
    ("x-b3-flags", Format::B3Multi),
    ("uber-trace-id", Format::Jaeger),
    ("trace-id", Format::Kebab),
    ("span-id", Format::Kebab),
    ("trace_id", Format::Snake),
    ("span_id", Format::Snake),
    ("traceId", Format::Camel),
    ("spanId", Format::Camel),
    ("x-datadog-trace-id", Format::Datadog),
    ("x-datadog-parent-id", Format::Datadog),
    ("x-datadog-sampling-priority", Format::Datadog),
    ("x-datadog-tags", Format::Datadog),
    ("x-datadog-origin", Format::Datadog),
    ("x-amzn-trace-id", Format::XRay),
    ("AWSTraceHeader", Format::XRay),
    ("sw8", Format::SkyWalking),
    ("sw8-x", Format::SkyWalking),
    ("elasticapmtraceparent", Format::Elastic),
    ("elastic-apm-traceparent", Format::Elastic),
    ("ot-tracer-traceid", Format::OtTrace),
    ("ot-tracer-spanid", Format::OtTrace),
    ("ot-tracer-sampled", Format::OtTrace),
    ("sentry-trace", Format::Sentry),
    ("x-instana-t", Format::Instana),
    ("x-instana-s", Format::Instana),
    ("x-instana-l", Format::Instana),
    ("MT-Activity-Id", Format::MassTransit),
    ("x_instana_t", Format::Instana),
    ("x_instana_s", Format::Instana),
    ("x_instana_l_s", Format::Instana),
];

/// Headers to remove before a context is written, whatever its format, so that no reader finds an old one; see
/// [`is_context_key`] for the quick way to ask.
pub const ALL_CONTEXT_KEYS: &[&str] = &{
    let mut keys = [""; KNOWN.len()];
    let mut at = 0;
    while at < KNOWN.len() {
        keys[at] = KNOWN[at].0;
        at += 1;
    }
    keys
};

/// True for the name of a header that carries a context or a part of one, in whatever case.
pub fn is_context_key(name: &[u8]) -> bool {
    known(name).is_some()
}

/// Place in [`KNOWN`]. A name of another length, as most are, costs one look into a table; of another initial one more.
fn known(name: &[u8]) -> Option<usize> {
    let mut candidates = *BY_LENGTH.get(name.len())?;
    let initial = name.first()?;
    while candidates != 0 {
        let at = candidates.trailing_zeros() as usize;
        let key = KNOWN[at].0.as_bytes();
        // Bit 5 is the case of a letter; then as the name is written nearly always, then in any case.
        let may_be = (key[0] ^ initial) & !0x20 == 0;
        if may_be && (key == name || key.eq_ignore_ascii_case(name)) {
            return Some(at);
        }
        candidates &= candidates - 1;
    }
    None
}

/// For each length of a name, the places in [`KNOWN`] that have it.
static BY_LENGTH: [u64; 32] = {
    let mut places = [0; 32];
    let mut at = 0;
    while at < KNOWN.len() {
        places[KNOWN[at].0.len()] |= 1 << at;
        at += 1;
    }
    places
};

/// For each format, its places in [`KNOWN`].
static BY_FORMAT: [u64; Format::ALL.len()] = {
    let mut places = [0; Format::ALL.len()];
    let mut at = 0;
    while at < KNOWN.len() {
        places[KNOWN[at].1 as usize] |= 1 << at;
        at += 1;
    }
    places
};

/// Which known headers a message has: one pass over their names, so that the formats that are not there, nearly all of
/// them, cost nothing.
#[derive(Default)]
pub(super) struct Seen {
    places: u64,
    pub has_baggage: bool,
    traceparents: usize,
    /// What the first `traceparent` says, where nothing is wrong with it.
    clean: Option<Parent>,
}

impl Seen {
    pub fn of<H: Headers + ?Sized>(headers: &H) -> Self {
        let mut seen = Self::default();
        headers.each(&mut |name, value| match known(name) {
            Some(TRACEPARENT) => {
                seen.places |= 1 << TRACEPARENT;
                seen.traceparents += 1;
                if seen.traceparents == 1 {
                    let parsed = value.and_then(|value| super::w3c::parent_of(value).ok());
                    seen.clean = parsed.filter(|parsed| !parsed.upper_case).map(|parsed| parsed.value);
                }
            }
            Some(at) => seen.places |= 1 << at,
            None => seen.has_baggage |= name.eq_ignore_ascii_case(b"baggage"),
        });
        seen
    }

    pub fn has(&self, format: Format) -> bool {
        self.places & BY_FORMAT[format as usize] != 0
    }

    pub fn has_state(&self) -> bool {
        self.places & 1 << TRACESTATE != 0
    }

    /// The context of the usual message, which needs no second pass: one `traceparent`, beyond reproach.
    pub fn clean(&self) -> Option<Ids> {
        self.clean.filter(|_| self.traceparents == 1).map(Ids::from)
    }
}

/// Places in [`KNOWN`].
const TRACESTATE: usize = 0;
const TRACEPARENT: usize = 1;
