//! What taking spans in costs: W1 (`hopscope_wire::workload`) over OTLP/HTTP in protobuf, from this process to a server in a
//! process of its own on the embedded store, fsynced before each answer. Counted is the CPU time of the server's
//! process, so that a busy machine does not change the figure much.
//!
//! Prints one JSON object a figure. `HOPSCOPE_BENCH_SPANS` sets how many spans are sent.
#![allow(clippy::print_stdout, clippy::expect_used)]

mod measured;

use hopscope_server::{Config, Server};
use hopscope_wire::workload::Workload;
use measured::{Measured, figure};
use std::io::Read;
use std::time::{Duration, Instant};

const SEED: u64 = 1;
const SPANS: usize = 500_000;
/// What exporters send: batches of 512.
const SPANS_PER_REQUEST: usize = 512;

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
    let server = Measured::start(&folder.path().join("data")).await;
    server.quiet().await;
    let idle = server.resident_bytes();
    let latency = to_findable(&server).await;
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

/// The longest of twenty: from before a small request is sent until the API finds its event.
async fn to_findable(server: &Measured) -> Duration {
    let mut longest = Duration::ZERO;
    let mut workload = Workload::new(SEED + 1);
    for _ in 0..20 {
        let stored = server.stored().await;
        let (body, began) = (workload.request(1), Instant::now());
        server.post(body).await;
        while server.stored().await <= stored
            || server.client.find("", 1, None).await.expect("an answer").messages.is_empty()
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        longest = longest.max(began.elapsed());
    }
    longest
}
