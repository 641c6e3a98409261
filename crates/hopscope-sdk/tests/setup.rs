//! The one-call set-up, against a socket that speaks just enough OTLP/HTTP, and against nothing at all.

use hopscope_sdk::opentelemetry::trace::{TraceContextExt, Tracer};
use hopscope_sdk::opentelemetry::{Context, global};
use hopscope_sdk::setup::{Batching, Counts, ErrorKind, Protocol, Setup};
use hopscope_sdk::{Details, Format, Formats, Keep, Place, Sampler, Sampling, Telemetry};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(30);

/// An endpoint that answers every request with that status, and what it was sent.
fn endpoint(status: &'static str) -> (String, Receiver<(String, ExportTraceServiceRequest)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (sent, received) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            while let Some(request) = stream.as_ref().ok().and_then(|stream| answer(stream, status)) {
                let _ = sent.send(request);
            }
        }
    });
    (format!("http://{address}"), received)
}

fn answer(stream: &TcpStream, status: &str) -> Option<(String, ExportTraceServiceRequest)> {
    let mut reader = BufReader::new(stream);
    let mut path = String::new();
    reader.read_line(&mut path).ok()?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut writer = stream;
    write!(writer, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").ok()?;
    (length > 0).then(|| Some((path, ExportTraceServiceRequest::decode(body.as_slice()).ok()?)))?
}

/// A set-up is for the whole process: one test at a time.
static PROCESS: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    PROCESS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn send_one(telemetry: &Telemetry) {
    let place = Place::Nats { subject: "orders" };
    telemetry.send("publish", place, &Details::default()).confirm(place, &Details::default());
}

fn resource(spans: &ResourceSpans) -> HashMap<String, String> {
    let attributes = spans.resource.iter().flat_map(|resource| &resource.attributes);
    let text = attributes.filter_map(|set| {
        use opentelemetry_proto::tonic::common::v1::any_value::Value;
        match set.value.as_ref()?.value.as_ref()? {
            Value::StringValue(text) => Some((set.key.clone(), text.clone())),
            _ => None,
        }
    });
    text.collect()
}

#[test]
fn one_call_and_spans_arrive_with_their_resource() {
    let _alone = alone();
    let (endpoint, received) = endpoint("200 OK");
    let setup = Setup {
        service: "checkout".into(),
        version: "1.2.3".into(),
        endpoint,
        formats: Some(Formats { write: vec![Format::B3Single], ..Formats::default() }),
        batching: Batching::INTERACTIVE,
        // The endpoint of this test serves one connection at a time.
        metrics: Some(false),
        ..Setup::default()
    };
    let guard = setup.init().expect("a set-up");
    send_one(&Telemetry::global());
    let (path, request) = received.recv_timeout(LONG).expect("a request without a flush");
    assert!(path.starts_with("POST /v1/traces "), "{path}");
    let spans = request.resource_spans.first().expect("a resource");
    let resource = resource(spans);
    assert_eq!(resource.get("service.name").map(String::as_str), Some("checkout"));
    assert_eq!(resource.get("service.version").map(String::as_str), Some("1.2.3"));
    assert_eq!(resource.get("service.instance.id").map(String::len), Some(36));
    let scope = spans.scope_spans.first().expect("a scope");
    assert_eq!(scope.scope.as_ref().map(|scope| scope.name.as_str()), Some("hopscope"));
    assert_eq!(scope.spans.first().map(|span| span.name.as_str()), Some("publish orders"));

    // The same formats serve HTTP and gRPC.
    let context = Context::current_with_span(global::tracer("app").start("request"));
    let mut headers = HashMap::<String, String>::new();
    global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&context, &mut headers);
    });
    assert_eq!(headers.keys().collect::<Vec<_>>(), ["b3"]);
    let read = global::get_text_map_propagator(|propagator| propagator.extract(&headers));
    assert!(read.span().span_context().is_remote());

    let counts = guard.shutdown(LONG);
    assert_eq!((counts.exported, counts.failed, counts.dropped), (counts.ended, 0, 0));
}

#[test]
fn what_an_endpoint_refuses_is_counted() {
    let _alone = alone();
    let (endpoint, _received) = endpoint("400 Bad Request");
    let guard = Setup { endpoint, metrics: Some(false), ..Setup::default() }.init().expect("a set-up");
    let telemetry = Telemetry::new(guard.provider());
    (0..3).for_each(|_| send_one(&telemetry));
    assert!(guard.flush(LONG));
    assert_eq!(guard.counts(), Counts { ended: 3, failed: 3, ..Counts::default() });
}

#[test]
fn a_dead_endpoint_costs_the_application_nothing() {
    let _alone = alone();
    // Bound and never answered: the connection opens, the request hangs.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("bound");
    for protocol in [Protocol::Grpc, Protocol::Http] {
        let batching =
            Batching { queue_spans_max: Some(100), batch_spans_max: Some(10), ..Batching::INTERACTIVE };
        let endpoint = format!("http://{address}");
        let setup = Setup { endpoint, protocol: Some(protocol), batching, ..Setup::default() };
        let guard = setup.init().expect("a set-up");
        let telemetry = Telemetry::new(guard.provider());
        let began = Instant::now();
        (0..1000).for_each(|_| send_one(&telemetry));
        assert!(began.elapsed() < Duration::from_secs(5), "a span never waits: {:?}", began.elapsed());
        let began = Instant::now();
        let counts = guard.shutdown(Duration::from_millis(300));
        assert!(began.elapsed() < Duration::from_secs(5), "the deadline holds: {:?}", began.elapsed());
        assert_eq!((counts.ended, counts.exported, counts.queued), (1000, 0, 0), "{counts:?}");
        assert_eq!(counts.failed + counts.dropped, 1000, "every span is accounted for: {counts:?}");
    }
}

#[test]
fn a_ratio_of_zero_keeps_nothing() {
    let _alone = alone();
    let guard =
        Setup { sampling: Some(Sampling::all(Sampler::Never)), keep: Keep::NOTHING, ..Setup::default() }
            .init()
            .expect("a set-up");
    send_one(&Telemetry::new(guard.provider()));
    assert_eq!(guard.counts(), Counts::default());
}

#[test]
fn a_wrong_endpoint_is_an_error_of_the_set_up() {
    let _alone = alone();
    let setup = Setup { endpoint: "http://exa mple".into(), ..Setup::default() };
    let error = setup.init().expect_err("no such endpoint");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("endpoint"), "{error}");
}

#[tokio::test]
async fn a_guard_may_be_dropped_inside_a_runtime() {
    let _alone = alone();
    let guard =
        Setup { sampling: Some(Sampling::all(Sampler::Never)), keep: Keep::NOTHING, ..Setup::default() }
            .init()
            .expect("a set-up");
    drop(guard);
}
