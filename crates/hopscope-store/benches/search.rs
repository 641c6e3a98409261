//! What a search costs, on workload W1 with five attributes more on every span: a route (20 values), a tier (3), a
//! customer (10,000), a place of many (100,000) and a request id (of one span alone).
//!
//! `cargo bench -p hopscope-store --bench search -- --records 4000000 [--folder DIR]`. A folder that is filled
//! already is searched as it is. Figures go to standard output, one JSON object a line.

#![expect(clippy::print_stdout, reason = "figures are this program's output")]

use hopscope_model::{Query, Tenant};
use hopscope_store::embedded::{Embedded, Options};
use hopscope_store::{Page, Store};
use hopscope_wire::otlp::{AnyValue, SpanData, encode_request};
use hopscope_wire::workload::{BEGIN_NS, INTERVAL_NS, Random, Workload};
use hopscope_wire::{DecodeLimits, otlp};
use rustix::time::{ClockId, clock_gettime};
use std::path::Path;
use std::sync::LazyLock;
use std::time::Instant;

/// Spans of one batch.
const BATCH_SPANS: usize = 1_000;

/// Searches of every kind; one before them warms up.
const ROUNDS: usize = 5;

/// The newest 20 of a day, of which nothing else is known.
const ATTRIBUTE_MS_MAX: f64 = 500.0;

static TENANT: LazyLock<Tenant> = LazyLock::new(Tenant::default);

fn main() {
    let records = argument("--records").and_then(|records| records.parse().ok()).unwrap_or(4_000_000);
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = argument("--folder").unwrap_or_else(|| temporary.path().display().to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run(records, Path::new(&folder)));
}

fn argument(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

async fn run(records: usize, folder: &Path) {
    let store = Embedded::open(folder, Options::default()).expect("open");
    if store.status(&TENANT).is_none() {
        fill(&store, records).await;
    }
    let now_ns = (BEGIN_NS + records as u64 / 2 * INTERVAL_NS) as i64;
    let searches = [
        ("newest", "", 50),
        ("of_a_service", "service:checkout", 50),
        ("of_a_destination", "dest:refunds", 50),
        ("failed", "outcome:failed", 50),
        ("attribute_of_resource", "attr.service.version:4.17.2", 20),
        ("attribute_of_resource_nowhere", "attr.service.version:4.17.3", 20),
        ("attribute_1_in_20", "attr.http.route:/orders/7", 20),
        ("attribute_1_in_10000", "attr.customer.id:customer-77", 20),
        ("attribute_1_in_100000", "attr.place.id:place-77", 20),
        ("attribute_once", "attr.request.id:request-00000077", 20),
        ("attribute_nowhere", "attr.customer.id:nobody", 20),
        ("attribute_name_nowhere", "attr.nowhere:nobody", 20),
    ];
    for (name, query, events_max) in searches {
        search(&store, name, query, events_max, now_ns).await;
    }
}

async fn search(store: &Embedded, name: &str, query: &str, events_max: usize, now_ns: i64) {
    let query: Query = format!("{query} since:24h").parse().expect("a query");
    let page = Page { events_max, after: None, now_ns };
    let mut times_ms = Vec::new();
    let (mut begin_cpu, mut found) = (0.0, 0);
    for round in 0..=ROUNDS {
        let begin = Instant::now();
        found = store.search(&TENANT, &query, &page).await.expect("answered").events.len();
        if round == 0 {
            begin_cpu = cpu();
        } else {
            times_ms.push(begin.elapsed().as_secs_f64() * 1e3);
        }
    }
    let cpu_ms = (cpu() - begin_cpu) * 1e3 / ROUNDS as f64;
    times_ms.sort_by(f64::total_cmp);
    let gate = name.starts_with("attribute").then_some(ATTRIBUTE_MS_MAX);
    figure(&format!("search.{name}.found"), found as f64, "events", None);
    figure(&format!("search.{name}.p50"), times_ms[ROUNDS / 2], "ms", gate);
    figure(&format!("search.{name}.cpu"), cpu_ms, "ms", None);
}

async fn fill(store: &Embedded, records: usize) {
    let mut workload = Workload::new(1);
    let mut random = Random::new(7);
    let mut spans = 0;
    for number in 0..records.div_ceil(BATCH_SPANS) {
        let mut resources = workload.spans(BATCH_SPANS);
        for span in resources.iter_mut().flat_map(|resource| &mut resource.spans) {
            add_attributes(span, &mut random, spans);
            spans += 1;
        }
        let request = encode_request(&resources);
        let decoded = otlp::decode_protobuf(&request, &TENANT, number as i64, &DecodeLimits::default());
        store.append(decoded.expect("valid").batch).await.expect("stored");
    }
    store.seal().await.expect("sealed");
    let (begin, rows) = (cpu(), records as f64);
    store.compact().await.expect("merged");
    figure("search.merge_cpu", (cpu() - begin) * 1e9 / rows, "ns/event", None);
    let status = store.status(&TENANT).expect("a tenant");
    let bytes: u64 = status.levels.iter().map(|level| level.bytes).sum();
    figure("search.bytes_per_record", bytes as f64 / rows, "B", None);
}

fn add_attributes(span: &mut SpanData, random: &mut Random, number: usize) {
    let mut add = |name: &str, value: String| span.attributes.push((name.to_owned(), AnyValue::Text(value)));
    add("http.route", format!("/orders/{}", random.below(20)));
    add("customer.tier", ["free", "plus", "business"][random.below(3) as usize].to_owned());
    add("customer.id", format!("customer-{}", random.below(10_000)));
    add("place.id", format!("place-{}", random.below(100_000)));
    add("request.id", format!("request-{number:08}"));
}

/// All gates here are upper bounds.
fn figure(name: &str, value: f64, unit: &str, gate: Option<f64>) {
    let pass = gate.is_none_or(|gate| value <= gate);
    let gate = gate.map_or("null".to_owned(), |gate| format!("{gate:.1}"));
    println!(r#"{{"name":"{name}","value":{value:.3},"unit":"{unit}","gate":{gate},"pass":{pass}}}"#);
}

/// CPU seconds of this process.
fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
