//! What taking spans in costs: W1 (`hopscope_wire::workload`) over OTLP/HTTP in protobuf, from this process to a server in a
//! process of its own on the embedded store, fsynced before each answer. Counted is the CPU time of the server's
//! process, so that a busy machine does not change the figure much.
//!
//! Prints one JSON object a figure. `HOPSCOPE_BENCH_SPANS` sets how many spans are sent.
#![allow(clippy::print_stdout, clippy::expect_used)]

use hopscope_client::Client;
use hopscope_server::{Config, Server};
use hopscope_wire::workload::Workload;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

const SEED: u64 = 1;
const SPANS: usize = 500_000;
/// What exporters send: batches of 512.
const SPANS_PER_REQUEST: usize = 512;
const SENDERS: usize = 4;
/// Clock ticks a second in `/proc`: 100 on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;
/// The server counts as quiet after this long without a tick of CPU time.
const QUIET: Duration = Duration::from_millis(1_500);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().position(|argument| argument == "serve") {
        Some(at) => runtime.block_on(serve(arguments.get(at + 1).expect("serve DIR"))),
        None => runtime.block_on(measure()),
    }
}

/// The measured process: serves until its standard input ends.
async fn serve(data: &str) {
    let running = Server::start(Config::on_free_ports(data)).await.expect("a server");
    println!("{} {}", running.addresses.otlp_http, running.addresses.http);
    let stop = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    stop.await.expect("no panic").expect("readable");
    running.stop().await.expect("a graceful stop");
}

async fn measure() {
    let spans: usize =
        std::env::var("HOPSCOPE_BENCH_SPANS").ok().and_then(|n| n.parse().ok()).unwrap_or(SPANS);
    let folder = tempfile::tempdir().expect("a folder");
    let server = Measured::start(folder.path()).await;
    server.quiet().await;
    let idle = server.resident_bytes();
    let latency = server.to_findable().await;
    let requests = spans.div_ceil(SPANS_PER_REQUEST);
    let mut workload = Workload::new(SEED);
    let bodies: Vec<Vec<u8>> = (0..requests).map(|_| workload.request(SPANS_PER_REQUEST)).collect();
    let bytes: usize = bodies.iter().map(Vec::len).sum();
    let sent = requests * SPANS_PER_REQUEST;

    let before = server.stored().await;
    let (cpu, wall) = (server.cpu_seconds(), Instant::now());
    server.send_all(bodies).await;
    while server.stored().await < before + sent as i64 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let (findable_cpu, wall) = (server.cpu_seconds() - cpu, wall.elapsed());
    server.quiet().await;
    let sealed_cpu = server.cpu_seconds() - cpu;
    let per_core = sent as f64 / findable_cpu;

    figure("ingest.spans_per_core_second", per_core, "spans/s per server core", Some((100_000.0, true)));
    figure("ingest.spans_per_core_second_sealed", sent as f64 / sealed_cpu, "spans/s per server core", None);
    figure("ingest.spans_per_second", sent as f64 / wall.as_secs_f64(), "spans/s", None);
    figure("ingest.bytes_per_span", bytes as f64 / sent as f64, "B", None);
    figure("ingest.to_findable", latency.as_secs_f64() * 1e3, "ms", Some((1_000.0, false)));
    figure("server.idle_rss", idle as f64 / f64::from(1 << 20), "MiB", Some((100.0, false)));
    figure("server.rss_after", server.resident_bytes() as f64 / f64::from(1 << 20), "MiB", None);
    server.stop().await;
}

/// `gate`: its value, and whether at least (true) or at most (false) that must be reached.
fn figure(name: &str, value: f64, unit: &str, gate: Option<(f64, bool)>) {
    let pass = gate.is_none_or(|(gate, at_least)| if at_least { value >= gate } else { value <= gate });
    let gate = gate.map(|(gate, at_least)| format!("{} {gate}", if at_least { "≥" } else { "≤" }));
    let value = (value * 10.0).round() / 10.0;
    println!(
        "{}",
        serde_json::json!({"name": name, "value": value, "unit": unit, "gate": gate, "pass": pass})
    );
}

struct Measured {
    process: Child,
    pid: u32,
    traces_url: String,
    client: Client,
    http: reqwest::Client,
}

impl Measured {
    async fn start(data: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("a path"))
            .arg("serve")
            .arg(data.join("data"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("this program again");
        let line = BufReader::new(process.stdout.take().expect("piped")).lines().next_line().await;
        let line = line.expect("readable").expect("a server that starts");
        let (otlp_http, http) = line.split_once(' ').expect("two addresses");
        Self {
            pid: process.id().expect("it runs"),
            process,
            traces_url: format!("http://{otlp_http}/v1/traces"),
            client: Client::new(&format!("http://{http}")).expect("a client"),
            http: reqwest::Client::new(),
        }
    }

    async fn stop(mut self) {
        drop(self.process.stdin.take());
        let status = self.process.wait().await.expect("it ends");
        assert!(status.success(), "{status}");
    }

    /// User and system time of the process.
    fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).expect("/proc");
        // The name of the program is in parentheses and may hold blanks: count from behind it.
        let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
        let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
        (ticks(11) + ticks(12)) / TICKS_PER_SECOND
    }

    fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("/proc");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("KiB") * 1024
    }

    /// Waits until the process does nothing.
    async fn quiet(&self) {
        let (mut since, mut cpu) = (Instant::now(), self.cpu_seconds());
        while since.elapsed() < QUIET {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = self.cpu_seconds();
            if now - cpu > 0.015 {
                (since, cpu) = (Instant::now(), now);
            }
        }
    }

    async fn stored(&self) -> i64 {
        self.client.status().await.expect("status").stored_events.0
    }

    async fn post(&self, body: Vec<u8>) {
        let sent =
            self.http.post(&self.traces_url).header("content-type", "application/x-protobuf").body(body);
        assert_eq!(sent.send().await.expect("an answer").status(), 200);
    }

    async fn send_all(&self, bodies: Vec<Vec<u8>>) {
        let bodies = Arc::new(Mutex::new(bodies));
        let senders = (0..SENDERS).map(|_| async {
            loop {
                let Some(body) = bodies.lock().await.pop() else { return };
                self.post(body).await;
            }
        });
        futures::future::join_all(senders).await;
    }

    /// The longest of twenty: from before a small request is sent until the API finds its event.
    async fn to_findable(&self) -> Duration {
        let mut longest = Duration::ZERO;
        let mut workload = Workload::new(SEED + 1);
        for _ in 0..20 {
            let stored = self.stored().await;
            let (body, began) = (workload.request(1), Instant::now());
            self.post(body).await;
            while self.stored().await <= stored
                || self.client.find("", 1, None).await.expect("an answer").messages.is_empty()
            {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            longest = longest.max(began.elapsed());
        }
        longest
    }
}
