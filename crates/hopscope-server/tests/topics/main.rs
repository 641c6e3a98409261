//! Trace data on topics of real brokers: found through the API, settled only when stored, read again without harm.
//! `cargo xtask test` starts the brokers.
#![allow(clippy::expect_used)]

mod away;
mod kafka;
mod metrics;
mod nats;
mod rabbitmq;
#[path = "../support/mod.rs"]
mod support;

use hopscope_client::api::Receiver;
use hopscope_server::{Config, Server};
use hopscope_store::memory::Memory;
use prost::Message;
use std::sync::Arc;
use support::moody::{Mood, Moody};
use support::{Rig, gzip, request, send_span};
use tokio::sync::watch;

/// A record as somebody puts it on a topic.
struct Record {
    headers: Vec<(&'static str, &'static str)>,
    body: Vec<u8>,
}

/// What is readable among [`mixture`].
const READABLE: i64 = 5;
const UNREADABLE: i64 = 2;

/// Records of every kind that there is, with spans of one trace, and two that nobody can read.
fn mixture(trace: u128) -> Vec<Record> {
    let otlp = |span: u64| request("checkout", vec![send_span(trace, span, span as i64)]);
    let protobuf = |span| otlp(span).encode_to_vec();
    let kind = ("content-type", "application/x-protobuf");
    vec![
        Record { headers: vec![kind, ("hopscope-signal", "traces")], body: protobuf(1) },
        Record { headers: vec![], body: protobuf(2) },
        Record { headers: vec![], body: b"\xff\xff nobody can read this".to_vec() },
        Record { headers: vec![], body: serde_json::to_vec(&otlp(3)).expect("JSON") },
        Record { headers: vec![kind, ("hopscope-signal", "logs")], body: protobuf(9) },
        Record { headers: vec![kind, ("content-encoding", "gzip")], body: gzip(&protobuf(4)) },
        Record {
            headers: vec![kind, ("content-encoding", "zstd")],
            body: zstd::encode_all(protobuf(5).as_slice(), 3).expect("memory"),
        },
    ]
}

/// Plain records, one span each, from number `first` on.
fn plain(trace: u128, first: u64, count: u64) -> Vec<Record> {
    let record = |span| Record {
        headers: vec![],
        body: request("checkout", vec![send_span(trace, span, span as i64)]).encode_to_vec(),
    };
    (first..first + count).map(record).collect()
}

/// A trace of its own for each test, on brokers that keep what earlier runs left.
fn a_trace() -> u128 {
    let now = u128::from(hopscope_server::now_ns().cast_unsigned());
    now << 32 | u128::from(std::process::id())
}

/// A server that reads what `config` says, on a store of the given mood.
async fn moody(config: Config, mood: Mood) -> (Rig, watch::Sender<Mood>) {
    let (set, mood) = watch::channel(mood);
    let store = Arc::new(Moody { inside: Memory::new(), mood });
    (Rig::around(Server::start_with(config, store).await.expect("a server")), set)
}

async fn stored(rig: &Rig, receiver: &str, events: i64) {
    support::within(60, &format!("{events} events stored by {receiver}"), || async {
        rig.books(receiver).await.stored.0 == events
    })
    .await;
}

async fn duplicates(rig: &Rig, receiver: &str) -> i64 {
    let of = |books: Receiver| books.dropped.into_iter().find(|dropped| dropped.reason == "duplicate");
    of(rig.books(receiver).await).map_or(0, |dropped| dropped.events.0)
}

async fn up(rig: &Rig, receiver: &str, up: bool) {
    support::within(60, &format!("{receiver} connected={up}"), || async {
        rig.books(receiver).await.connection.is_some_and(|connection| connection.up == up)
    })
    .await;
}

/// All of the mixture is settled: what can be read is stored, the rest is counted.
async fn mixture_is_told(rig: &Rig, receiver: &str, trace: u128) {
    stored(rig, receiver, READABLE).await;
    support::within(60, "the unreadable are counted", || async {
        rig.books(receiver).await.invalid_requests.0 == UNREADABLE
    })
    .await;
    assert_eq!(rig.events_of(trace).await, READABLE as usize);
    up(rig, receiver, true).await;
}
