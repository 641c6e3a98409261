//! The promise, tested: a server that is killed with SIGKILL at any moment under load has every acknowledged span when
//! it is started again on the same folder, each exactly once.
#![allow(clippy::expect_used)]

mod support;

use hopscope_client::Client;
use hopscope_server::{Config, Server};
use prost::Message;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use support::{request, send_span};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const VICTIM_DATA: &str = "HOPSCOPE_TEST_VICTIM_DATA";
const LISTENING: &str = "listening on ";
const KILLS: u64 = 50;
const SENDERS: u64 = 4;
const SPANS_PER_REQUEST: u64 = 5;

/// A server in a process of its own.
struct Victim {
    process: Child,
    otlp_http: String,
    client: Client,
}

impl Victim {
    async fn start(data: &Path) -> Self {
        // This program again, as the one test that serves.
        let mut process = Command::new(std::env::current_exe().expect("a test has a path"))
            .args(["--exact", "victim", "--ignored", "--nocapture"])
            .env(VICTIM_DATA, data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("this program can be started again");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let addresses = async {
            while let Some(line) = lines.next_line().await.expect("readable") {
                if let Some((otlp_http, http)) =
                    line.strip_prefix(LISTENING).and_then(|line| line.split_once(' '))
                {
                    return (otlp_http.to_owned(), http.to_owned());
                }
            }
            panic!("the server did not start");
        };
        let started = tokio::time::timeout(Duration::from_secs(30), addresses).await;
        let (otlp_http, http) = started.expect("a server that starts after every kill");
        let client = Client::new(&format!("http://{http}")).expect("a client");
        Self { otlp_http: format!("http://{otlp_http}/v1/traces"), process, client }
    }
}

/// Not a test: the process that is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the victim of the other test, which starts it"]
async fn victim() {
    let Some(data) = std::env::var_os(VICTIM_DATA) else { return };
    let config = Config::on_free_ports(data.into_string().expect("a path in UTF-8"));
    let running = Server::start(config).await.expect("a server");
    println!("\n{LISTENING}{} {}", running.addresses.otlp_http, running.addresses.http);
    std::future::pending::<()>().await;
}

/// Sends one request after another, each in a trace of its own, until the server is gone; gives the traces that were
/// acknowledged.
async fn send_until_killed(url: String, sender: u64, round: u64) -> Vec<u128> {
    let http = reqwest::Client::new();
    let mut acknowledged = Vec::new();
    for n in 1u64.. {
        let trace = u128::from(round) << 64 | u128::from(sender) << 32 | u128::from(n);
        let spans =
            (1..=SPANS_PER_REQUEST).map(|span| send_span(trace, span, (n * 10 + span) as i64)).collect();
        let body = request("checkout", spans).encode_to_vec();
        let sent = http.post(&url).header("content-type", "application/x-protobuf").body(body).send().await;
        match sent {
            Ok(answer) if answer.status() == 200 => acknowledged.push(trace),
            _ => break,
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg(unix)]
async fn killed_fifty_times_nothing_acknowledged_is_missing_and_nothing_is_there_twice() {
    let seed: u64 = std::env::var("HOPSCOPE_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| hopscope_server::now_ns().cast_unsigned());
    println!("HOPSCOPE_TEST_SEED={seed}");
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut acknowledged: BTreeMap<u64, Vec<u128>> = BTreeMap::new();
    for round in 1..=KILLS {
        let mut victim = Victim::start(&data).await;
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| tokio::spawn(send_until_killed(victim.otlp_http.clone(), sender, round)))
            .collect();
        // The moment is the test: anywhere in the first tenth of a second of load, a few at its very beginning.
        let moment = (seed ^ round).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        tokio::time::sleep(Duration::from_micros(moment % 100_000)).await;
        victim.process.start_kill().expect("SIGKILL");
        victim.process.wait().await.expect("it is gone");
        for sender in senders {
            acknowledged.entry(round).or_default().extend(sender.await.expect("no panic"));
        }
    }
    let total: usize = acknowledged.values().map(Vec::len).sum();
    assert!(total > 100, "hardly anything was acknowledged before the kills: {total} requests");
    let survivor = Victim::start(&data).await;
    for (round, traces) in &acknowledged {
        for trace in traces {
            let found = survivor.client.trace(&format!("{trace:032x}"), 100, None).await.expect("an answer");
            assert!(found.coverage.complete, "round {round}: {:?}", found.coverage);
            let mut spans: Vec<&str> = found.events.iter().map(|event| event.span_id.as_str()).collect();
            spans.sort_unstable();
            let wanted: Vec<String> = (1..=SPANS_PER_REQUEST).map(|span| format!("{span:016x}")).collect();
            assert_eq!(spans, wanted, "seed {seed}, killed at {round}, trace {trace:032x}");
        }
    }
    println!("{KILLS} kills, {total} acknowledged requests of {SPANS_PER_REQUEST} spans");
}
