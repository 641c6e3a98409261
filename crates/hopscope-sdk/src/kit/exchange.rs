//! What every adapter does alike with one message, there and back over its real broker.
//!
//! An adapter writes one function, a *round*: it sends the message that the [`Case`] describes through its traced
//! producer, receives it through its traced consumer, lets the case handle it, settles it, and says what arrived. Every
//! check here runs that function.

use super::{MapHeaders, Recorder, Records};
use crate::meters::{Collector, Meters, SdkState, Temporality};
use crate::{
    BaggageRules, Capture, Conventions, Declared, Delivery, Failure, Format, Formats, Headers, Keep,
    PerDestination, Relation, Root, Sampler, Sampling, Telemetry,
};
use opentelemetry::baggage::BaggageExt;
use opentelemetry::trace::{FutureExt, SpanId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SpanData;
use std::future::pending;

/// One message.
#[derive(Debug)]
pub struct Case {
    /// What producer and consumer are to work with.
    pub telemetry: Telemetry,
    /// Headers that the application sets.
    pub headers: &'static [(&'static str, &'static str)],
    handler: Handler,
}

/// What becomes of the work.
#[derive(Clone, Copy, Debug)]
enum Handler {
    Succeeds,
    Fails,
    IsDropped,
    IsAborted,
    IsLostInASelect,
    Panics,
}

/// What came out at the other end.
#[derive(Debug)]
pub struct Arrived {
    delivery: Delivery,
    headers: MapHeaders,
}

impl Arrived {
    /// The delivery, and the headers of the received message.
    pub fn new(delivery: Delivery, headers: &dyn Headers) -> Self {
        let mut all = MapHeaders::default();
        headers.each(&mut |name, value| {
            let name = String::from_utf8_lossy(name).into_owned();
            all.0.push((name, value.map(<[u8]>::to_vec)));
        });
        Self { delivery, headers: all }
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        let found = self.headers.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.and_then(|(_, value)| value.as_deref())
    }

    fn span_id(&self) -> Option<SpanId> {
        self.delivery.origin().context.as_ref().map(|context| context.span_id())
    }
}

impl Case {
    fn new(telemetry: Telemetry) -> Self {
        Self { telemetry, headers: &[], handler: Handler::Succeeds }
    }

    fn failing(self) -> Self {
        Self { handler: Handler::Fails, ..self }
    }

    /// Whether the work is going to be done; else it fails or is lost.
    pub fn succeeds(&self) -> bool {
        matches!(self.handler, Handler::Succeeds)
    }

    /// Works on the message; what was declared is to be settled, none where the work was lost.
    pub async fn handle(&self, delivery: &Delivery) -> Option<Declared> {
        let processing = delivery.process();
        match self.handler {
            Handler::Succeeds => return Some(processing.succeed()),
            Handler::Fails => return Some(processing.fail(Failure::new("OUT_OF_STOCK", "no such sku"))),
            Handler::IsDropped => drop(processing),
            Handler::IsAborted => {
                let (began, begun) = tokio::sync::oneshot::channel();
                let work = tokio::spawn(async move {
                    let _ = began.send(());
                    processing.run(pending::<()>()).await;
                });
                begun.await.expect("it begins");
                work.abort();
                assert!(work.await.expect_err("aborted").is_cancelled());
            }
            Handler::IsLostInASelect => tokio::select! {
                biased;
                () = async { processing.run(pending()).await } => {}
                () = std::future::ready(()) => {}
            },
            Handler::Panics => {
                let work = async move { processing.run(async { panic!("no cover") }).await };
                assert!(tokio::spawn(work).await.expect_err("panicked").is_panic());
            }
        }
        None
    }
}

/// Every format is written, crosses the broker, and is read by itself out of what arrived. A broker whose headers are
/// text carries none of those that are bytes.
///
/// # Panics
/// With the format: for use in tests, like all of this module.
pub async fn formats(takes_bytes: bool, round: impl AsyncFn(&Case) -> Arrived) {
    let recorder = Recorder::default();
    let formats = |list: &[Format]| Formats {
        read: list.to_vec(),
        write: list.to_vec(),
        baggage: BaggageRules::none(),
    };
    let case = Case::new(recorder.telemetry().with_formats(formats(Format::ALL)));
    let arrived = round(&case).await;
    let sent = span(&recorder, "send");
    for &format in Format::ALL {
        let origin = formats(&[format]).extract(&arrived.headers);
        assert_eq!(origin.problems, [""; 0], "{}", format.name());
        let read = origin.context.map(|context| (context.trace_id(), context.span_id()));
        let wanted = (sent.span_context.trace_id(), sent.span_context.span_id());
        let is_carried = takes_bytes || format != Format::Elastic;
        assert_eq!(read, is_carried.then_some(wanted), "{}", format.name());
    }
}

/// Old contexts go, whatever their format; every other header stays.
pub async fn old_contexts_are_replaced(round: impl AsyncFn(&Case) -> Arrived) {
    let recorder = Recorder::default();
    let headers = &[
        ("b3", "11111111111111111111111111111111-2222222222222222-1"),
        ("app", "1"),
        ("trace_id", "11111111111111111111111111111111"),
        ("span_id", "2222222222222222"),
    ];
    let arrived = round(&Case { headers, ..Case::new(recorder.telemetry()) }).await;
    assert_eq!(arrived.header("app"), Some(b"1".as_slice()));
    for gone in ["b3", "trace_id", "span_id"] {
        assert_eq!(arrived.header(gone), None, "{gone}");
    }
    assert_eq!(arrived.span_id(), Some(span(&recorder, "send").span_context.span_id()));
}

/// What is broken is told, what can be read of it is read, and the message arrives.
pub async fn broken_contexts_are_told(round: impl AsyncFn(&Case) -> Arrived) {
    let recorder = Recorder::default();
    let telemetry = recorder.telemetry().with_injection(false.into());
    let headers = &[("traceparent", "00-zz"), ("b3", "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1")];
    let arrived = round(&Case { headers, ..Case::new(telemetry) }).await;
    assert_eq!(arrived.span_id().map(|span| span.to_string()).as_deref(), Some("b7ad6b7169203331"));
    let process = span(&recorder, "process");
    let told = attribute(&process, "hopscope.context.problems")
        .or_else(|| attribute(&span(&recorder, "receive"), "hopscope.context.problems"));
    assert!(told.is_some_and(|problems| problems.contains("traceparent")), "{process:?}");
}

/// Child, link, both, none, and no context in the message at all, as a rule for that destination says.
pub async fn relations(round: impl AsyncFn(&Case) -> Arrived) {
    for relation in [Relation::Both, Relation::Continue, Relation::Link, Relation::None] {
        let recorder = Recorder::default();
        // A rule that fits every name, and a default that would show if it were taken.
        let otherwise = if relation == Relation::None { Relation::Both } else { Relation::None };
        let rule = PerDestination::new(otherwise).with("*", relation);
        round(&Case::new(recorder.telemetry().with_relation(rule))).await;
        let (sent, process) = (span(&recorder, "send").span_context, span(&recorder, "process"));
        let is_child = process.parent_span_id == sent.span_id();
        let is_linked = process.links.iter().any(|link| link.span_context.span_id() == sent.span_id());
        let wanted = match relation {
            Relation::Both => (true, true),
            Relation::Continue => (true, false),
            Relation::Link => (false, true),
            Relation::None => (false, false),
        };
        assert_eq!((is_child, is_linked), wanted, "{relation:?}");
    }
    let recorder = Recorder::default();
    let silent = recorder.telemetry().with_injection(PerDestination::new(true).with("*", false));
    let arrived = round(&Case::new(silent)).await;
    assert_eq!((arrived.span_id(), arrived.header("traceparent")), (None, None));
}

/// Baggage crosses by the allow-list, and not above the cap.
pub async fn baggage(round: impl AsyncFn(&Case) -> Arrived) {
    let recorder = Recorder::default();
    let rules = BaggageRules { bytes_max: 64, ..BaggageRules::of(["tenant", "large"]) };
    let telemetry = recorder.telemetry().with_formats(Formats { baggage: rules, ..Formats::default() });
    let large = "x".repeat(100);
    let set = [("tenant", "a"), ("secret", "b"), ("large", &large)];
    let around = Context::new().with_baggage(set.map(|(key, value)| KeyValue::new(key, value.to_owned())));
    let arrived = round(&Case::new(telemetry)).with_context(around).await;
    let baggage = &arrived.delivery.origin().baggage;
    let keys: Vec<_> = baggage.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["tenant"]);
    assert_eq!(arrived.header("baggage"), Some(b"tenant=a".as_slice()));
}

/// Headers that are named and no other, and a hash of the body, by its sender and by its receiver.
pub async fn capture(round: impl AsyncFn(&Case) -> Arrived) {
    let recorder = Recorder::default();
    let capture = Capture::default().with_headers(["Tenant"]).with_body_hash(true);
    let headers = &[("tenant", "acme"), ("authorization", "secret")];
    round(&Case { headers, ..Case::new(recorder.telemetry().with_capture(capture)) }).await;
    let (sent, process) = (span(&recorder, "send"), span(&recorder, "process"));
    for span in [&sent, &process] {
        let told = attribute(span, "messaging.header.tenant");
        assert!(told.is_some_and(|values| values.contains("acme")), "{span:?}");
        assert_eq!(attribute(span, "messaging.header.authorization"), None, "{span:?}");
    }
    let hash = |span| attribute(span, "hopscope.body.hash");
    assert!(hash(&sent).is_some() && hash(&sent) == hash(&process), "one body, one hash");
}

/// Nothing of what goes well, all of what fails with its producer's side, the header says the truth, and a rule for a
/// destination decides.
pub async fn sampling(round: impl AsyncFn(&Case) -> Arrived) {
    let keep = Keep { slower_than: None, ..Keep::default() };
    let records = Records::new(Sampling::all(Sampler::ParentBased(Root::Never)), keep);
    let arrived = round(&Case::new(records.telemetry())).await;
    let is_sampled =
        |arrived: &Arrived| arrived.delivery.origin().context.as_ref().map(|context| context.is_sampled());
    assert_eq!(is_sampled(&arrived), Some(false));
    let steps = records.steps();
    assert!(steps.sampled_away >= 3 && steps.kept == 0, "send, receive and process: {steps:?}");
    let arrived = round(&Case::new(records.telemetry()).failing()).await;
    assert_eq!(is_sampled(&arrived), Some(false), "the flag stays truthful");
    let kept = records.steps().kept;
    // The receive of a batch, if only of one, has a trace of its own.
    assert!(kept >= 2, "send and process; kept={kept}");

    let destinations = PerDestination::new(Sampler::Never).with("*", Sampler::Always);
    let records = Records::new(Sampling { destinations }, Keep::NOTHING);
    assert_eq!(is_sampled(&round(&Case::new(records.telemetry())).await), Some(true));
    assert_eq!(records.steps().sampled_away, 0);
}

/// Every step counts, although no span is kept.
pub async fn metrics(round: impl AsyncFn(&Case) -> Arrived) {
    let records = Records::new(Sampling::all(Sampler::Never), Keep::NOTHING);
    let meters = Meters::default();
    round(&Case::new(records.telemetry().with_meters(meters.clone()))).await;
    assert!(records.steps().sampled_away >= 3 && records.steps().kept == 0);
    let mut collector = Collector::new(meters, Temporality::Cumulative, 1);
    let requests = collector.collect(2, &[], &SdkState::default(), usize::MAX);
    let is_there = |name: &str| {
        requests.iter().any(|request| request.windows(name.len()).any(|part| part == name.as_bytes()))
    };
    for name in [
        "messaging.client.operation.duration",
        "messaging.process.duration",
        "messaging.client.sent.messages",
        "messaging.client.consumed.messages",
    ] {
        assert!(is_there(name), "{name}");
    }
}

/// Work that is dropped, aborted in a task or lost in a `select!` is unknown, after a panic failed.
pub async fn lost_work(round: impl AsyncFn(&Case) -> Arrived) {
    for handler in [Handler::IsDropped, Handler::IsAborted, Handler::IsLostInASelect, Handler::Panics] {
        let recorder = Recorder::default();
        round(&Case { handler, ..Case::new(recorder.telemetry()) }).await;
        let process = span(&recorder, "process");
        let told = ["hopscope.outcome", "hopscope.outcome.reason", "error.type"]
            .map(|name| attribute(&process, name).unwrap_or_default());
        let wanted = match handler {
            Handler::Panics => ["", "", "panic"],
            _ => ["unknown", "dropped", ""],
        };
        assert_eq!(told, wanted, "{handler:?}");
    }
}

/// The process span ends when the outcome is declared, the settle span begins after that.
pub async fn settlement(settle: &str, round: impl AsyncFn(&Case) -> Arrived) {
    let recorder = Recorder::default();
    round(&Case::new(recorder.telemetry())).await;
    let spans = recorder.finished();
    let process = span(&recorder, "process");
    let settled =
        spans.iter().find(|span| span.name.split(' ').next() == Some(settle)).expect("a settle span");
    assert!(process.end_time <= settled.start_time, "{process:?} {settled:?}");
}

/// The spans of a message that goes well and of one that fails, in print, as one generation of the conventions names
/// them: for a golden file. `masked` and `names` as for [`spans`](super::spans).
pub async fn conventions(
    conventions: Conventions,
    masked: &[&str],
    names: &[(&str, &str)],
    round: impl AsyncFn(&Case) -> Arrived,
) -> String {
    let recorder = Recorder::default();
    let case = || Case::new(recorder.telemetry().with_conventions(conventions));
    round(&case()).await;
    round(&case().failing()).await;
    recorder.text(masked, names)
}

/// The span of that type of operation: of whatever name, by whatever conventions.
fn span(recorder: &Recorder, operation_type: &str) -> SpanData {
    let is_it =
        |span: &SpanData| attribute(span, "messaging.operation.type").as_deref() == Some(operation_type);
    let found = recorder.finished().into_iter().find(is_it);
    found.unwrap_or_else(|| panic!("no span of that type: {operation_type}"))
}

fn attribute(span: &SpanData, name: &str) -> Option<String> {
    let found = span.attributes.iter().find(|set| set.key.as_str() == name);
    found.map(|set| set.value.to_string())
}
