//! How long a start takes after kill -9 with a full log, and how much memory: a process of its own fills a log
//! with workload W1 and dies without a word, this one opens what it left.
//!
//! Nothing is sealed before the log is full, which takes six million spans: with the default `seal_rows` there are
//! a million at most, which `--log-mib 45` is about.
//!
//! `cargo bench -p hopscope-store --bench replay -- [--log-mib 256]`. Figures go to standard output, one JSON
//! object a line.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "figures are this program's output")]

use hopscope_model::{Query, Tenant};
use hopscope_store::embedded::{Embedded, Options};
use hopscope_store::{Page, Store};
use hopscope_wire::workload::Workload;
use hopscope_wire::{DecodeLimits, otlp};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Spans of one batch.
const BATCH_SPANS: usize = 1_000;

const SECONDS_MAX: f64 = 10.0;

/// What the product may take while it ingests.
const PEAK_MB_MAX: f64 = 1_000.0;

fn main() {
    let log_mib = argument("--log-mib").and_then(|mib| mib.parse().ok()).unwrap_or(256);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    if let Some(folder) = argument("--fill") {
        runtime.block_on(fill(Path::new(&folder), log_mib << 20));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let own = std::env::current_exe().expect("a path");
    let mut filler = Command::new(own);
    filler.arg("--fill").arg(folder.path()).args(["--log-mib", &log_mib.to_string()]);
    let died = filler.status().expect("it starts");
    assert!(!died.success(), "it was to die");
    runtime.block_on(open(folder.path(), log_mib << 20));
}

fn argument(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

/// Nothing is sealed before the log is full.
fn options(log_bytes: u64) -> Options {
    Options { seal_rows: usize::MAX / 4, seal_bytes: log_bytes, ..Options::default() }
}

async fn fill(folder: &Path, log_bytes: u64) {
    let store = Embedded::open(folder, options(log_bytes)).expect("open");
    let mut workload = Workload::new(1);
    let mut number = 0;
    while written(folder) + (1 << 20) < log_bytes {
        let request = workload.request(BATCH_SPANS);
        number += 1;
        let decoded = otlp::decode_protobuf(&request, &Tenant::default(), number, &DecodeLimits::default())
            .expect("valid");
        store.append(decoded.batch).await.expect("stored");
    }
    std::process::abort();
}

fn written(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder.join("default")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

async fn open(folder: &Path, log_bytes: u64) {
    figure("store_replay_log", written(folder) as f64 / 1e6, "MB", None);
    let begin = Instant::now();
    let store = Embedded::open(folder, options(log_bytes)).expect("open");
    figure("store_replay_start", begin.elapsed().as_secs_f64(), "s", Some(SECONDS_MAX));
    figure("store_replay_rss_peak", memory_mb("VmHWM:"), "MB", Some(PEAK_MB_MAX));
    figure("store_replay_rss_after", memory_mb("VmRSS:"), "MB", None);
    let page = Page { events_max: 1, after: None, now_ns: i64::MAX };
    let found = store.search(&Tenant::default(), &Query::default(), &page).await.expect("answers");
    assert!(found.coverage.complete && !found.events.is_empty());
    let report = store.check(hopscope_store::Depth::Quick).await.expect("checks");
    eprintln!("replayed events={}", report.events);
}

/// Memory of this process, from `/proc`.
fn memory_mb(label: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(label));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib * 1_024.0 / 1e6)
}

/// All gates here are upper bounds.
fn figure(name: &str, value: f64, unit: &str, gate: Option<f64>) {
    let pass = gate.is_none_or(|gate| value <= gate);
    let gate = gate.map_or("null".to_owned(), |gate| format!("{gate:.1}"));
    println!(r#"{{"name":"{name}","value":{value:.3},"unit":"{unit}","gate":{gate},"pass":{pass}}}"#);
}
