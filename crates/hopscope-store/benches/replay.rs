//! How long a start takes after kill -9 with the fullest log that the defaults allow, and how much memory: a process of
//! its own fills it while nothing is sealed, and dies without a word; this one opens what it left.
//!
//! With workload W1 as it is, it is rows or memory that fill a log; with a kilobyte of text that does not compress in
//! each span it is the bytes of the log, of which a store may have 256 MiB.
//!
//! `cargo bench -p hopscope-store --bench replay`. Figures go to standard output, one JSON object a line.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "figures are this program's output")]

use hopscope_model::{Query, Tenant};
use hopscope_store::embedded::simulate::Driven;
use hopscope_store::embedded::{Embedded, Options, RealDir};
use hopscope_store::{Page, Store};
use hopscope_wire::DecodeLimits;
use hopscope_wire::otlp::{self, AnyValue, encode_request};
use hopscope_wire::workload::{Random, Workload};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

/// Spans of one batch.
const BATCH_SPANS: usize = 1_000;

const SECONDS_MAX: f64 = 10.0;

/// What the product may take while it ingests.
const PEAK_MB_MAX: f64 = 1_000.0;

/// Words of 16 digits in the text of a span.
const TEXT_WORDS: usize = 64;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match (argument("--fill"), argument("--open")) {
        (Some(folder), _) => fill(Path::new(&folder), argument("--text").is_some()),
        (_, Some(folder)) => runtime.block_on(open(Path::new(&folder), &argument("--name").expect("a name"))),
        _ => [("w1", false), ("text", true)].into_iter().for_each(|(name, text)| measure(name, text)),
    }
}

/// Each part in a process of its own, so that memory is its own.
fn measure(name: &str, text: bool) {
    let folder = tempfile::tempdir().expect("a folder");
    let own = std::env::current_exe().expect("a path");
    let mut filler = Command::new(&own);
    filler.arg("--fill").arg(folder.path());
    if text {
        filler.args(["--text", "yes"]);
    }
    assert!(!filler.status().expect("it starts").success(), "it was to die");
    let opened = Command::new(own).arg("--open").arg(folder.path()).args(["--name", name]).status();
    assert!(opened.expect("it starts").success());
}

fn argument(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

/// Until nothing more is taken: nobody seals.
fn fill(folder: &Path, text: bool) -> ! {
    let dir = Arc::new(RealDir::open(folder).expect("a folder"));
    let store = Driven::open(dir, Options::default()).expect("open");
    let (mut workload, mut random) = (Workload::new(1), Random::new(1));
    for number in 1.. {
        let mut resources = workload.spans(BATCH_SPANS);
        if text {
            for span in resources.iter_mut().flat_map(|resource| &mut resource.spans) {
                let words: String = (0..TEXT_WORDS).map(|_| format!("{:016x}", random.bits())).collect();
                span.attributes.push(("note".to_owned(), AnyValue::Text(words)));
            }
        }
        let request = encode_request(&resources);
        let decoded = otlp::decode_protobuf(&request, &Tenant::default(), number, &DecodeLimits::default());
        if store.commit(vec![decoded.expect("valid").batch]).swap_remove(0).is_err() {
            break;
        }
    }
    std::process::abort();
}

fn written(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder.join("default")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

async fn open(folder: &Path, name: &str) {
    let figure = |of: &str, value: f64, unit: &str, gate: Option<f64>| {
        figure(&format!("store_replay_{name}_{of}"), value, unit, gate);
    };
    figure("log", written(folder) as f64 / 1e6, "MB", None);
    let begin = Instant::now();
    let store = Embedded::open(folder, Options::default()).expect("open");
    figure("start", begin.elapsed().as_secs_f64(), "s", Some(SECONDS_MAX));
    figure("cpu", cpu_seconds(), "s", None);
    figure("rss_peak", memory_mb("VmHWM:"), "MB", Some(PEAK_MB_MAX));
    figure("rss_after", memory_mb("VmRSS:"), "MB", None);
    let page = Page { events_max: 1, after: None, now_ns: i64::MAX };
    let found = store.search(&Tenant::default(), &Query::default(), &page).await.expect("answers");
    assert!(found.coverage.complete && !found.events.is_empty());
    let report = store.check(hopscope_store::Depth::Quick).await.expect("checks");
    figure("events", report.events as f64, "events", None);
}

/// User and system time of this process.
fn cpu_seconds() -> f64 {
    let clock = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    clock.tv_sec as f64 + clock.tv_nsec as f64 / 1e9
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
