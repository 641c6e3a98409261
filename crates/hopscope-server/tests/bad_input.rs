//! Any bytes on any port: a clear refusal, a counter with the reason, nothing else lost.
#![allow(clippy::expect_used)]

mod support;

use hopscope_server::Config;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use prost::Message;
use std::time::{Duration, Instant};
use support::raw_grpc::{EXPORT, call};
use support::{Rig, channel, gzip, process_span, request, send_span, text, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

type Case = (&'static str, &'static str, &'static str, &'static str, Vec<u8>, u16, &'static str);

/// Method, path, content type, content encoding, body; and what is answered.
#[tokio::test]
async fn each_mistake_has_its_answer() {
    let rig = Rig::with(Config { body_bytes_max: 100_000, ..Config::on_free_ports("memory") }).await;
    let good = request("checkout", vec![send_span(1, 1, 1)]).encode_to_vec();
    let cut = good[..good.len() - 3].to_vec();
    let cases: &[Case] = &[
        ("GET", "/v1/traces", PROTOBUF, "", vec![], 405, "unsupported"),
        ("PUT", "/v1/traces", PROTOBUF, "", good.clone(), 405, "unsupported"),
        ("POST", "/v1development/profiles", PROTOBUF, "", good.clone(), 404, "unsupported"),
        ("POST", "/v1/logs", JSON, "", b"{}".to_vec(), 404, "unsupported"),
        ("POST", "/", PROTOBUF, "", good.clone(), 404, "unsupported"),
        ("POST", "/v1/traces", "text/plain", "", good.clone(), 415, "unsupported"),
        ("POST", "/v1/traces", PROTOBUF, "br", good.clone(), 415, "unsupported"),
        ("POST", "/v1/traces", PROTOBUF, "", cut.clone(), 400, "malformed"),
        ("POST", "/v1/traces", PROTOBUF, "", b"hello".to_vec(), 400, "malformed"),
        ("POST", "/v1/traces", PROTOBUF, "gzip", good.clone(), 400, "malformed"),
        ("POST", "/v1/traces", PROTOBUF, "zstd", good.clone(), 400, "malformed"),
        ("POST", "/v1/traces", JSON, "", good.clone(), 400, "malformed"),
        ("POST", "/v1/traces", JSON, "", b"{\"resourceSpans\":".to_vec(), 400, "malformed"),
        ("POST", "/v1/traces", PROTOBUF, "", vec![0; 100_001], 413, "too_large"),
    ];
    for (at, (method, path, content_type, encoding, body, status, reason)) in cases.iter().enumerate() {
        let url = rig.traces_url().replace("/v1/traces", path);
        let method = method.parse::<reqwest::Method>().expect("a method");
        let mut sent = rig.http.request(method, url).header("content-type", *content_type).body(body.clone());
        if !encoding.is_empty() {
            sent = sent.header("content-encoding", *encoding);
        }
        let answer = sent.send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), *status, "case {at}");
        let told = answer.headers()["content-type"].to_str().expect("text").to_owned();
        let wanted = if *content_type == PROTOBUF { PROTOBUF } else { JSON };
        assert_eq!(told, wanted, "case {at}: in the encoding of the request");
        let counts = rig.server.ledgers()[1].counts();
        assert!(counts.refused_requests.contains_key(reason), "case {at}: {counts:?}");
        assert!(counts.last_error.is_some());
    }
    let counts = rig.server.ledgers()[1].counts();
    assert_eq!(counts.refused_requests.values().sum::<u64>(), cases.len() as u64, "{counts:?}");
    let page = rig.http.get(rig.page("/metrics")).send().await.expect("metrics").text().await.expect("text");
    let line = r#"hopscope_receiver_requests_refused_total{receiver="otlp_http",reason="malformed"} 6"#;
    assert!(page.contains(line), "{page}");
    assert_eq!(rig.post(PROTOBUF, good).await.status(), 200, "a good one after all that");
    rig.stop().await;
}

#[tokio::test]
async fn each_mistake_has_its_grpc_status() {
    let rig = Rig::with(Config { body_bytes_max: 100_000, ..Config::on_free_ports("memory") }).await;
    let channel = channel(&rig.server).await;
    let good = request("checkout", vec![send_span(1, 1, 1)]).encode_to_vec();
    let cases: &[(&str, Vec<u8>, Code)] = &[
        ("/opentelemetry.proto.collector.logs.v1.LogsService/Export", vec![], Code::Unimplemented),
        ("/grpc.health.v1.Health/Check", vec![], Code::Unimplemented),
        (EXPORT, b"hello".to_vec(), Code::InvalidArgument),
        (EXPORT, good[..good.len() - 3].to_vec(), Code::InvalidArgument),
        (EXPORT, vec![0; 100_001], Code::ResourceExhausted),
    ];
    for (method, body, code) in cases {
        let status = call(&channel, method, body.clone()).await.expect_err("a refusal");
        assert_eq!(status.code(), *code, "{method} {status:?}");
        assert!(!status.message().is_empty());
        // Too large is not to be tried again, so nothing says when.
        assert!(!String::from_utf8_lossy(status.details()).contains("RetryInfo"), "{status:?}");
    }
    call(&channel, EXPORT, good).await.expect("a good one after all that");
    assert_eq!(rig.books("otlp_grpc").await.invalid_requests.0, cases.len() as i64);
    rig.stop().await;
}

/// What is odd in a span is stored as it is, or left out and said; the spans beside it are never lost.
#[tokio::test]
async fn odd_spans_do_not_take_others_with_them() {
    let rig = Rig::in_memory().await;
    let mut large = send_span(1, 1, 1);
    large.attributes.push(text("large", &"x".repeat(1 << 20)));
    let mut many = send_span(1, 2, 2);
    many.attributes.extend((0..100_000).map(|n| text(&format!("attribute-{n}"), "x")));
    let mut backwards = send_span(1, 3, 3);
    (backwards.start_time_unix_nano, backwards.end_time_unix_nano) = (2_000_000, 1_000_000);
    let mut early = send_span(1, 4, 4);
    (early.start_time_unix_nano, early.end_time_unix_nano) = (0, 1);
    let mut late = send_span(1, 5, 5);
    late.start_time_unix_nano = 7_258_118_400_000_000_000;
    late.end_time_unix_nano = u64::MAX;
    let mut deep = send_span(1, 6, 6);
    let nest = |inner| AnyValue {
        value: Some(any_value::Value::ArrayValue(opentelemetry_proto::tonic::common::v1::ArrayValue {
            values: vec![inner],
        })),
    };
    let nested =
        (0..60).fold(AnyValue { value: Some(any_value::Value::BoolValue(true)) }, |inner, _| nest(inner));
    deep.attributes.push(KeyValue { key: "deep".into(), value: Some(nested), ..KeyValue::default() });
    let zero = [send_span(0, 7, 7), send_span(1, 0, 8)];
    let spans =
        [vec![large, many, backwards, early, late, deep], zero.to_vec(), vec![send_span(1, 9, 9)]].concat();
    assert_eq!(rig.send(&request("checkout", spans)).await.status(), 200);
    assert_eq!(rig.events_of(1).await, 7);
    let books = rig.books("otlp_http").await;
    assert_eq!((books.received.0, books.stored.0), (9, 7), "{books:?}");

    // Not UTF-8, which generated types cannot write: a byte of a name is broken in the encoded request.
    let mut broken = request("checkout", vec![send_span(2, 1, 1)]).encode_to_vec();
    let name = broken.windows(11).position(|bytes| bytes == b"send orders").expect("the name");
    broken[name] = 0xff;
    let status = rig.post(PROTOBUF, broken).await.status().as_u16();
    assert!(status == 200 || status == 400, "{status}");
    let story = rig.client.find("dest:orders", 20, None).await.expect("everything of it can be told");
    assert!(story.messages.len() >= 7);
    rig.stop().await;
}

/// A small generator (xorshift64*): the seed is printed, and the same seed is the same run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// Flips, cuts, doubles or overwrites a few bytes.
    fn mutate(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(5) {
                0 => bytes.truncate(at),
                1 => bytes.extend_from_within(at..),
                2 => bytes.insert(at.min(bytes.len()), self.next() as u8),
                _ => {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= 1 << self.below(8);
                    }
                }
            }
        }
        bytes
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_mutated_requests() {
    let seed = std::env::var("HOPSCOPE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| hopscope_server::now_ns().cast_unsigned()) | 1;
    println!("HOPSCOPE_SEED={seed}");
    let mut random = Random(seed);
    let rig = Rig::in_memory().await;
    let channel = channel(&rig.server).await;
    let spans = vec![send_span(1, 1, 1), process_span(1, 2, 1, 1, "payment")];
    let good = request("checkout", spans);
    let protobuf = good.encode_to_vec();
    let json = serde_json::to_vec(&good).expect("JSON");
    for n in 0..10_000u32 {
        if n % 5 == 4 {
            let message = random.mutate(protobuf.clone());
            if let Err(status) = call(&channel, EXPORT, message).await {
                assert_eq!(status.code(), Code::InvalidArgument, "request {n}: {status:?}");
            }
            continue;
        }
        let (content_type, encoding, body) = match n % 5 {
            0 => (JSON, "", random.mutate(json.clone())),
            1 => (PROTOBUF, "gzip", random.mutate(gzip(&protobuf))),
            2 => (PROTOBUF, "zstd", random.mutate(zstd::encode_all(protobuf.as_slice(), 1).expect("zstd"))),
            _ => (PROTOBUF, "", random.mutate(protobuf.clone())),
        };
        let mut sent = rig.http.post(rig.traces_url()).header("content-type", content_type).body(body);
        if !encoding.is_empty() {
            sent = sent.header("content-encoding", encoding);
        }
        let status = sent.send().await.expect("an answer").status().as_u16();
        assert!(matches!(status, 200 | 400 | 413), "request {n}: {status}");
    }
    assert_eq!(rig.send(&request("checkout", vec![send_span(77, 1, 1)])).await.status(), 200);
    assert_eq!(rig.events_of(77).await, 1);
    for receiver in ["otlp_http", "otlp_grpc"] {
        let books = rig.books(receiver).await;
        assert!(books.invalid_requests.0 > 0 && books.queued.0 == 0, "{books:?}");
    }
    rig.stop().await;
}

/// Half a request, then silence: the connection is given back, whatever was half sent.
#[tokio::test]
async fn silence_is_bounded() {
    let config = Config { header_read_ms_max: 200, body_read_ms_max: 200, ..Config::on_free_ports("memory") };
    let rig = Rig::with(config).await;
    let addresses = rig.server.addresses;
    let body = b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 100\r\n\r\nabc";
    let cases = [
        (addresses.otlp_http, b"".as_slice(), ""),
        (addresses.otlp_http, b"POST /v1/tra".as_slice(), ""),
        (addresses.otlp_http, body.as_slice(), "HTTP/1.1 408"),
        (addresses.otlp_grpc, b"".as_slice(), ""),
        (addresses.http, b"GET /api".as_slice(), ""),
    ];
    for (at, (address, sent, answer)) in cases.into_iter().enumerate() {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(sent).await.expect("sent");
        let mut all = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut all)).await;
        // Closed by a reset is closed too.
        let _ = read.unwrap_or_else(|_| panic!("case {at} was never closed"));
        assert!(
            String::from_utf8_lossy(&all).starts_with(answer),
            "case {at}: {}",
            String::from_utf8_lossy(&all)
        );
    }
    assert!(rig.server.ledgers()[1].counts().refused_requests.contains_key("slow"));
    assert_eq!(rig.send(&request("checkout", vec![send_span(1, 1, 1)])).await.status(), 200);
    rig.stop().await;
}

#[tokio::test]
async fn idle_connections_do_not_lock_others_out() {
    let config = Config { connections_max: 3, header_read_ms_max: 300, ..Config::on_free_ports("memory") };
    let rig = Rig::with(config).await;
    let mut idle = Vec::new();
    for _ in 0..9 {
        idle.push(TcpStream::connect(rig.server.addresses.otlp_http).await.expect("a connection"));
    }
    let began = Instant::now();
    assert_eq!(rig.send(&request("checkout", vec![send_span(1, 1, 1)])).await.status(), 200);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop(idle);
    rig.stop().await;
}

#[tokio::test]
async fn a_sender_who_hangs_up_leaves_the_books_closed() {
    let rig = Rig::in_memory().await;
    for cut in [0, 10, 200] {
        let body = request("checkout", vec![send_span(5, cut as u64 + 1, 1)]).encode_to_vec();
        let head = format!(
            "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: {PROTOBUF}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = TcpStream::connect(rig.server.addresses.otlp_http).await.expect("a connection");
        stream.write_all(head.as_bytes()).await.expect("sent");
        stream.write_all(&body[..cut.min(body.len())]).await.expect("sent");
        drop(stream);
    }
    let ledger = rig.server.ledgers()[1].clone();
    until("all three are counted", || async { ledger.counts().refused_requests.get("broken") == Some(&3) })
        .await;
    until("nothing is under way", || async { rig.books("otlp_http").await.queued.0 == 0 }).await;
    rig.stop().await;
}
