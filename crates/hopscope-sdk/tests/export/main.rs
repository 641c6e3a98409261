//! The export against endpoints that are well, and against those that are not.

mod endpoint;
mod metrics;
mod progress;
mod tls;
mod topic;

use endpoint::{Answer, Arrived, Endpoint, ok};
use hopscope_sdk::setup::{Batching, Compression, Counts, Guard, Protocol, Setup};
use hopscope_sdk::{Details, Place, Telemetry};
use std::net::TcpListener;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(30);

/// A set-up is for the whole process: one test at a time.
static PROCESS: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    PROCESS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start(endpoint: &Endpoint, setup: Setup) -> Guard {
    let endpoint = endpoint.url();
    Setup { endpoint, service: "checkout".into(), ..setup }.init().expect("a set-up")
}

fn send(steps: usize) {
    let (telemetry, place) = (Telemetry::global(), Place::Nats { subject: "orders" });
    for _ in 0..steps {
        telemetry.send("publish", place, &Details::default()).confirm(place, &Details::default());
    }
}

fn next(endpoint: &Endpoint) -> Arrived {
    endpoint.arrived.recv_timeout(LONG).expect("a request")
}

fn grpc(code: u32) -> Answer {
    Answer::Grpc(code, Vec::new(), Vec::new())
}

#[test]
fn both_protocols_carry_spans_headers_and_compression() {
    let _alone = alone();
    for (protocol, path, content, encoding) in [
        (Protocol::Http, "/v1/traces", "application/x-protobuf", "content-encoding"),
        (
            Protocol::Grpc,
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            "application/grpc",
            "grpc-encoding",
        ),
    ] {
        for (compression, name) in
            [(Compression::None, None), (Compression::Gzip, Some("gzip")), (Compression::Zstd, Some("zstd"))]
        {
            let answer = if protocol == Protocol::Grpc { grpc(0) } else { ok() };
            let endpoint = Endpoint::start(move |_| answer.clone());
            let headers = vec![("tenant".into(), "a".into()), ("content-type".into(), "nonsense".into())];
            let compression = Some(compression);
            let setup = Setup { protocol: Some(protocol), headers, compression, ..Setup::default() };
            let guard = start(&endpoint, setup);
            send(3);
            assert!(guard.flush(LONG), "{protocol:?} {compression:?}: {:?}", guard.counts());
            assert_eq!(guard.counts(), Counts { ended: 3, exported: 3, ..Counts::default() });
            let arrived = next(&endpoint);
            assert_eq!((arrived.path.as_str(), arrived.spans()), (path, 3));
            assert_eq!(arrived.header("content-type"), Some(content), "cannot be broken from outside");
            assert_eq!((arrived.header("tenant"), arrived.header(encoding)), (Some("a"), name));
        }
    }
}

#[test]
fn what_is_refused_for_now_is_kept_and_arrives() {
    let _alone = alone();
    let http = |status| Answer::Http(status, vec![("retry-after", "1".into())], Vec::new());
    for (protocol, refusal, thanks) in [
        (Protocol::Http, http(503), ok()),
        (Protocol::Http, http(429), ok()),
        (Protocol::Grpc, grpc(14), grpc(0)),
    ] {
        let told = format!("{refusal:?}");
        let endpoint =
            Endpoint::start(move |number| if number == 0 { refusal.clone() } else { thanks.clone() });
        let guard = start(&endpoint, Setup { protocol: Some(protocol), ..Setup::default() });
        let began = Instant::now();
        send(3);
        assert!(guard.flush(LONG), "{told}: {:?}", guard.counts());
        assert_eq!(guard.counts(), Counts { ended: 3, exported: 3, ..Counts::default() }, "{told}");
        if protocol == Protocol::Http {
            assert!(began.elapsed() >= Duration::from_secs(1), "the pause is kept: {told}");
        }
        assert_eq!((next(&endpoint).spans(), next(&endpoint).spans()), (3, 3));
    }
}

#[test]
fn what_is_refused_for_good_is_counted() {
    let _alone = alone();
    let http = |status| Answer::Http(status, Vec::new(), Vec::new());
    for (protocol, refusal) in [
        (Protocol::Http, http(400)),
        (Protocol::Http, http(404)),
        (Protocol::Grpc, grpc(3)),
        (Protocol::Grpc, grpc(8)),
        (Protocol::Grpc, http(404)),
    ] {
        let told = format!("{protocol:?} {refusal:?}");
        let endpoint = Endpoint::start(move |_| refusal.clone());
        let guard = start(&endpoint, Setup { protocol: Some(protocol), ..Setup::default() });
        send(3);
        assert!(guard.flush(LONG), "{told}");
        assert_eq!(guard.counts(), Counts { ended: 3, failed: 3, ..Counts::default() }, "{told}");
    }
}

#[test]
fn a_partial_success_is_counted_span_by_span() {
    let _alone = alone();
    // `partial_success { rejected_spans: 2 error_message: "old" }`.
    let message = vec![0x0a, 7, 0x08, 2, 0x12, 3, b'o', b'l', b'd'];
    for (protocol, answer) in [
        (Protocol::Http, Answer::Http(200, Vec::new(), message.clone())),
        (Protocol::Grpc, Answer::Grpc(0, Vec::new(), message)),
    ] {
        let endpoint = Endpoint::start(move |_| answer.clone());
        let guard = start(&endpoint, Setup { protocol: Some(protocol), ..Setup::default() });
        send(5);
        assert!(guard.flush(LONG));
        let counts = Counts { ended: 5, exported: 3, failed: 2, ..Counts::default() };
        assert_eq!(guard.counts(), counts, "{protocol:?}");
    }
}

#[test]
fn an_endpoint_that_comes_up_late_gets_what_was_kept() {
    let _alone = alone();
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
    let batching = Batching::INTERACTIVE;
    let setup = Setup { endpoint: format!("http://{free}"), batching, ..Setup::default() };
    let guard = setup.init().expect("a set-up");
    send(3);
    assert!(!guard.flush(Duration::from_millis(500)), "nobody is there");
    assert_eq!(guard.counts().queued, 3);
    let listener = std::net::TcpListener::bind(free).expect("the same port");
    let endpoint = Endpoint::on(listener, |_| ok());
    assert!(guard.flush(LONG));
    assert_eq!(guard.counts(), Counts { ended: 3, exported: 3, ..Counts::default() });
    assert_eq!(next(&endpoint).spans(), 3);
}

#[test]
fn a_black_hole_costs_nothing_but_what_is_counted() {
    let _alone = alone();
    for protocol in [Protocol::Http, Protocol::Grpc] {
        // It is silent for three time-outs, then it is well: an hour of it would be the same.
        let thanks = if protocol == Protocol::Grpc { grpc(0) } else { ok() };
        let endpoint = Endpoint::start(move |number| if number < 3 { Answer::Hang } else { thanks.clone() });
        let batching = Batching { queue_bytes_max: Some(256 * 1024), ..Batching::INTERACTIVE };
        let timeout = Some(Duration::from_millis(200));
        let guard =
            start(&endpoint, Setup { protocol: Some(protocol), timeout, batching, ..Setup::default() });
        let mut slowest = Duration::ZERO;
        for _ in 0..5000 {
            let began = Instant::now();
            send(1);
            slowest = slowest.max(began.elapsed());
        }
        let counts = guard.counts();
        assert_eq!((counts.ended, counts.exported, counts.failed), (5000, 0, 0), "{counts:?}");
        assert!(counts.dropped > 0 && counts.queued_bytes <= 256 * 1024, "{counts:?}");
        assert_eq!(counts.dropped + counts.queued, 5000);
        assert!(slowest < Duration::from_secs(1), "a step never waits: {slowest:?}");
        // Whatever the back-off is at by now, a flush that is repeated ends it.
        let until = Instant::now() + LONG;
        while !guard.flush(Duration::from_millis(300)) && Instant::now() < until {}
        let after = guard.shutdown(LONG);
        assert_eq!((after.ended, after.queued, after.failed), (5000, 0, 0), "{after:?}");
        assert!(after.exported > 0 && after.exported + after.dropped == 5000, "{after:?}");
    }
}

#[test]
fn a_shutdown_that_finds_nobody_keeps_its_deadline() {
    let _alone = alone();
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
    let guard = Setup { endpoint: format!("http://{free}"), ..Setup::default() }.init().expect("a set-up");
    send(3);
    let began = Instant::now();
    let counts = guard.shutdown(Duration::from_millis(300));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!((counts.ended, counts.exported, counts.queued), (3, 0, 0), "{counts:?}");
    assert_eq!(counts.failed + counts.dropped, 3, "{counts:?}");
}
