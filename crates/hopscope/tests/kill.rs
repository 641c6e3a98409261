//! SIGKILL at random moments under load, while segments are merged and old days are dropped: every acknowledged span
//! is found after the restart, none twice.
//! `HOPSCOPE_COUNT` says how many.

#![allow(clippy::print_stdout)] // the counts of a run

mod support;

use hopscope_client::Client;
use hopscope_model::{SpanId, TraceId};
use hopscope_store::Store;
use hopscope_store::embedded::{Embedded, Options};
use hopscope_store::kit;
use hopscope_wire::Kind;
use hopscope_wire::otlp::{ResourceData, SpanData, encode_request};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use support::{Random, Server};

/// Kills, where nobody asks for more.
const KILLS: u64 = 50;
const SENDERS: u64 = 3;
const SPANS_PER_REQUEST: u64 = 20;
/// Small enough that the log is sealed into a segment in most rounds, and that segments are merged all the time.
/// What [`put_old_day`] puts there is dropped when the server starts.
const SETTINGS: &[&str] = &["seal_rows=300", "compact_segments_max=2", "retention=age=30d"];
/// A server that is killed all the time never ends a merge of all that gathered: it is done for it once in so many rounds.
const MERGE_ALL_EVERY: u64 = 8;
/// A round is killed once so many requests were acknowledged (0 to this, chosen at random), or a moment later.
const ACKNOWLEDGED_MAX: u64 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_nothing_that_was_acknowledged_and_double_nothing() {
    let mut random = Random::printed("kill");
    let asked = std::env::var("HOPSCOPE_COUNT").ok().and_then(|count| count.parse().ok());
    let kills: u64 = asked.unwrap_or(KILLS);
    let folder = tempfile::tempdir().expect("a folder");
    let mut rounds: Vec<(TraceId, BTreeSet<String>)> = Vec::new();
    for round in 0..kills {
        put_old_day(folder.path(), round).await;
        let server = Server::start_with(folder.path(), SETTINGS);
        if let Some((trace, acknowledged)) = rounds.last() {
            verify(&server.page, *trace, acknowledged, round - 1).await;
        }
        let trace = TraceId((u128::from(random.next()) << 64 | u128::from(round + 1)).to_be_bytes());
        let acknowledged =
            load_and_kill(server, trace, random.below(ACKNOWLEDGED_MAX), random.below(3_000)).await;
        rounds.push((trace, acknowledged));
    }
    let server = Server::start_with(folder.path(), SETTINGS);
    for (round, (trace, acknowledged)) in rounds.iter().enumerate() {
        verify(&server.page, *trace, acknowledged, round as u64).await;
    }
    let names: Vec<String> = names_in(&folder.path().join("default"));
    let merged = names.iter().any(|name| name.ends_with(".parquet") && !name.contains("-g0."));
    assert!(
        merged && names.iter().any(|name| name == "DROPPED"),
        "nothing merged, nothing dropped: {names:?}"
    );
    let total: usize = rounds.iter().map(|(_, acknowledged)| acknowledged.len()).sum();
    println!("kill: {kills} kills, {total} acknowledged spans, all found once");
    assert!(total > 0, "the load was never acknowledged: this run proves nothing");
    assert_eq!(server.terminate(), Some(0), "SIGTERM is a graceful stop");
}

/// A segment of a day that retention drops, in a folder that no server has open.
async fn put_old_day(folder: &Path, round: u64) {
    const DAY_NS: i64 = 86_400_000_000_000;
    let store = Embedded::open(folder, Options { compact: false, ..Options::default() }).expect("opens");
    let received_ns = hopscope_server::now_ns() - (40 + round as i64 % 7) * DAY_NS;
    store.append(kit::batch(received_ns, &kit::message(round + 1, "payment"))).await.expect("stored");
    store.seal().await.expect("sealed");
    if round.is_multiple_of(MERGE_ALL_EVERY) {
        store.compact().await.expect("merged");
    }
    store.close().await.expect("closed");
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

/// Sends until so many requests were acknowledged, waits up to `grace_us` more, kills. Answers the spans whose
/// request was acknowledged.
async fn load_and_kill(server: Server, trace: TraceId, enough: u64, grace_us: u64) -> BTreeSet<String> {
    let done = Arc::new(AtomicU64::new(0));
    let endpoint = format!("{}/v1/traces", server.otlp_http);
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        senders.spawn(send_until_refused(endpoint.clone(), trace, sender, Arc::clone(&done)));
    }
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while done.load(Ordering::SeqCst) < enough {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    });
    waited.await.expect("the server acknowledges under load");
    tokio::time::sleep(Duration::from_micros(grace_us)).await;
    server.kill();
    let mut acknowledged = BTreeSet::new();
    while let Some(spans) = senders.join_next().await {
        acknowledged.extend(spans.expect("a sender does not panic"));
    }
    acknowledged
}

async fn send_until_refused(
    endpoint: String,
    trace: TraceId,
    sender: u64,
    done: Arc<AtomicU64>,
) -> Vec<String> {
    let http = reqwest::Client::new();
    let mut acknowledged = Vec::new();
    for request in 0.. {
        let first = (sender << 40) | (request * SPANS_PER_REQUEST);
        let spans: Vec<SpanData> =
            (first..first + SPANS_PER_REQUEST).map(|number| span(trace, number)).collect();
        let names: Vec<String> = spans.iter().map(|span| span.span.to_string()).collect();
        let body = encode_request(&[ResourceData { spans, ..ResourceData::default() }]);
        let sent =
            http.post(&endpoint).header("content-type", "application/x-protobuf").body(body).send().await;
        match sent {
            Ok(answer) if answer.status().is_success() => {
                acknowledged.extend(names);
                done.fetch_add(1, Ordering::SeqCst);
            }
            Ok(answer) if answer.status().as_u16() == 429 || answer.status().as_u16() == 503 => {}
            Ok(answer) => panic!("unexpected status {}", answer.status()),
            Err(_) => break,
        }
    }
    acknowledged
}

fn span(trace: TraceId, number: u64) -> SpanData {
    SpanData {
        trace,
        span: SpanId((number + 1).to_be_bytes()),
        name: "work".to_owned(),
        kind: Kind::Internal,
        start_ns: 1_795_243_117_000_000_000 + number,
        end_ns: 1_795_243_117_000_000_100 + number,
        ..SpanData::default()
    }
}

async fn verify(page: &str, trace: TraceId, acknowledged: &BTreeSet<String>, round: u64) {
    let client = Client::new(page).expect("the printed address is one");
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let answer =
            client.trace(&trace.to_string(), 1_000, after.as_deref()).await.expect("the trace is answered");
        // Where nothing was stored, it may be what was dropped that was asked for: that is said.
        let only_dropped = answer.events.is_empty()
            && answer.coverage.why_not.iter().all(|why| why.starts_with("retention dropped"));
        assert!(answer.coverage.complete || only_dropped, "round {round}: {:?}", answer.coverage);
        found.extend(answer.events.into_iter().map(|event| event.span_id));
        after = answer.next;
        if after.is_none() {
            break;
        }
    }
    let distinct: BTreeSet<String> = found.iter().cloned().collect();
    assert_eq!(distinct.len(), found.len(), "round {round}: spans shown twice");
    let lost: Vec<&String> = acknowledged.difference(&distinct).collect();
    assert!(
        lost.is_empty(),
        "round {round}: {} of {} acknowledged spans lost: {:?}",
        lost.len(),
        acknowledged.len(),
        &lost[..lost.len().min(5)]
    );
}
