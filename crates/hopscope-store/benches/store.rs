//! What storing costs, and how long it takes to find one message among millions, on workload W1.
//!
//! - `merge`: CPU of merging the sealed segments, by merged row.
//! - `append`: CPU of the whole process from decoded batches to durable and readable, sealing included; what
//!   generating and decoding took on its own thread is taken off.
//! - `lookup`: one key, no time range, warm, everything sealed but the rest that is in memory.
//!
//! `cargo bench -p hopscope-store --bench store -- --records 5000000 [--days 12] [--folder DIR] [--merge no]`. Figures
//! go to standard output, one JSON object a line. A folder that holds so many records already is only looked into.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "figures are this program's output")]

use hopscope_model::query::Time;
use hopscope_model::{Batch, Key, Limits, Position, Tenant};
use hopscope_store::embedded::{Embedded, Options, Status};
use hopscope_store::kit::random::Random;
use hopscope_store::{Aggregation, Depth, Dimension, Page, Store};
use hopscope_wire::workload::{BEGIN_NS, Part, Workload};
use hopscope_wire::{DecodeLimits, otlp};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};
use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::fs::File;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

const HOUR_NS: i64 = 3_600_000_000_000;

/// Spans of one batch.
const BATCH_SPANS: usize = 1_000;

/// Appends under way at a time.
const IN_FLIGHT: usize = 16;

/// Look-ups of every kind.
const LOOKUPS: usize = 1_000;

const LOOKUP_P99_MS_MAX: f64 = 25.0;

/// Of keys that no event has.
const NOWHERE_P99_MS_MAX: f64 = 10.0;

/// Kinds of keys that are looked up. W1 has no correlation ids.
const KINDS: [&str; 7] = ["creation", "position", "business", "trace", "span", "children", "message_id"];

fn main() {
    let records = argument("--records").and_then(|records| records.parse().ok()).unwrap_or(5_000_000);
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = argument("--folder").unwrap_or_else(|| temporary.path().display().to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run(records, Path::new(&folder)));
}

fn argument(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

async fn run(records: usize, folder: &Path) {
    let compact = argument("--merge").is_none_or(|merge| merge != "no");
    let options = || Options { compact, ..Options::default() };
    let store = Arc::new(Embedded::open(folder, options()).expect("open"));
    let there = store.status(&TENANT).map_or(0, |status| status.levels.iter().map(|level| level.rows).sum());
    let keys = fill(&store, records, there > 0).await;
    figure("store_rss_after_fill", rss_mb(), "MB", None);
    let begin = Instant::now();
    store.seal().await.expect("sealed");
    eprintln!("rest sealed in {:.1} s", begin.elapsed().as_secs_f64());
    if compact {
        merge(&store).await;
    }
    let report = store.check(Depth::Full).await.expect("checked");
    assert_eq!(report.findings, [], "sound");
    let per_record = |bytes: u64| bytes as f64 / report.events as f64;
    figure("store_bytes_per_record", per_record(folder_bytes(folder, "")), "B", None);
    figure("store_extra_bytes_per_record", per_record(folder_bytes(folder, ".extra")), "B", None);
    figure("store_key_bytes_per_record", per_record(folder_bytes(folder, ".keys")), "B", None);
    drop(store);
    let begin = Instant::now();
    columns(folder, report.events);
    let store = Embedded::open(folder, options()).expect("open");
    figure("store_open", begin.elapsed().as_secs_f64() * 1e3, "ms", None);
    figure("store_rss_after_open", rss_mb(), "MB", None);
    for (name, keys) in keys {
        lookups(&store, name, &keys, LOOKUP_P99_MS_MAX).await;
    }
    lookups(&store, "nowhere", &[], NOWHERE_P99_MS_MAX).await;
    let page = Page { events_max: 50, after: None, now_ns: i64::MAX };
    let query = QUERY;
    timed("store_search_newest_50", || store.search(&TENANT, &query, &page)).await;
    let by = vec![Dimension::Destination, Dimension::Stage];
    let aggregation =
        Aggregation { by, query: QUERY, now_ns: i64::MAX, rows_max: 1_000, ..Aggregation::default() };
    timed("store_count_everything", || store.aggregate(&TENANT, &aggregation)).await;
    dashboard(&store).await;
    figure("store_rss_after_lookups", rss_mb(), "MB", None);
}

/// What a page of rates asks: all names but the lane, latencies too.
async fn dashboard(store: &Embedded) {
    use Dimension::{Cluster, Destination, Group, Service, Stage, System};
    let begin_ns = BEGIN_NS as i64 - BEGIN_NS as i64 % HOUR_NS - HOUR_NS;
    for (name, hours, step_ns) in [("30d", 720, 12 * HOUR_NS), ("1d_by_1min", 24, HOUR_NS / 60)] {
        let until_ns = begin_ns + hours * HOUR_NS;
        let (since, until) = (Some(Time::At(begin_ns)), Some(Time::At(until_ns)));
        let aggregation = Aggregation {
            by: vec![System, Cluster, Destination, Group, Service, Stage],
            query: hopscope_model::Query { terms: Vec::new(), since, until },
            step_ns: NonZero::new(step_ns),
            now_ns: until_ns,
            rows_max: 100_000,
            measured: true,
            ..Aggregation::default()
        };
        timed(&format!("store_dashboard_{name}"), || store.aggregate(&TENANT, &aggregation)).await;
    }
}

/// Merges what was not merged by itself while it was appended.
async fn merge(store: &Embedded) {
    let status = || store.status(&TENANT).expect("a tenant");
    let bytes = |status: &Status| status.levels.iter().map(|level| level.bytes).sum::<u64>() as f64;
    let rows = |status: &Status| status.levels.iter().map(|level| level.rows).sum::<u64>() as f64;
    let before = status();
    figure("store_bytes_per_record_before_merging", bytes(&before) / rows(&before), "B", None);
    let (begin, begin_cpu) = (Instant::now(), cpu(ClockId::ProcessCPUTime));
    store.compact().await.expect("merged");
    let used = cpu(ClockId::ProcessCPUTime) - begin_cpu;
    let after = status();
    eprintln!("merged in {:.1} s: {:?} to {:?}", begin.elapsed().as_secs_f64(), before.levels, after.levels);
    let merged = (after.merged_rows - before.merged_rows).max(1) as f64;
    figure("store_merge_cpu", used * 1e9 / merged, "ns/event", None);
    figure("store_merged_rows_by_rows", after.merged_rows as f64 / rows(&after), "x", None);
    figure("store_rss_after_merge", rss_mb(), "MB", None);
}

static TENANT: std::sync::LazyLock<Tenant> = std::sync::LazyLock::new(Tenant::default);
const QUERY: hopscope_model::Query = hopscope_model::Query { terms: Vec::new(), since: None, until: None };

async fn timed<T, F: Future<Output = T>>(name: &str, mut work: impl FnMut() -> F) {
    work().await;
    let begin = Instant::now();
    work().await;
    figure(name, begin.elapsed().as_secs_f64() * 1e3, "ms", None);
}

/// W1 as it is: 10,000 messages a second; or spread over so many days.
fn workload(records: usize) -> Workload {
    let days: Option<u64> = argument("--days").and_then(|days| days.parse().ok());
    let Some(days) = days else { return Workload::new(1) };
    let messages = records as u64 / 2;
    let interval_ns = days * 24 * HOUR_NS as u64 / messages.max(1);
    Workload::part(1, Part { number: 0, messages, begin_ns: BEGIN_NS, interval_ns })
}

/// Appends; gives back keys of every kind to look up.
async fn fill(store: &Arc<Embedded>, records: usize, filled: bool) -> Vec<(&'static str, Vec<Key>)> {
    let mut workload = workload(records);
    let mut random = Random(1);
    let mut keys: [Vec<Key>; KINDS.len()] = Default::default();
    let mut under_way = std::collections::VecDeque::new();
    let (mut own_cpu, mut appended) = (0.0, 0);
    let (begin, begin_cpu) = (Instant::now(), cpu(ClockId::ProcessCPUTime));
    while appended < records {
        let begin_own = cpu(ClockId::ThreadCPUTime);
        let request = workload.request(BATCH_SPANS);
        let received_ns = workload.next_ns() as i64;
        let decoded =
            otlp::decode_protobuf(&request, &TENANT, received_ns, &DecodeLimits::default()).expect("valid");
        let batch = decoded.batch;
        if random.below(records as u64 / BATCH_SPANS as u64 + 1) < LOOKUPS as u64 {
            remember(&batch, &mut random, &mut keys);
        }
        own_cpu += cpu(ClockId::ThreadCPUTime) - begin_own;
        appended += batch.len();
        if filled {
            continue;
        }
        let store = Arc::clone(store);
        under_way.push_back(tokio::spawn(async move { store.append(batch).await }));
        if under_way.len() >= IN_FLIGHT {
            let append = under_way.pop_front().expect("some are under way");
            append.await.expect("no panic").expect("stored");
        }
    }
    for append in under_way {
        append.await.expect("no panic").expect("stored");
    }
    let store_cpu = cpu(ClockId::ProcessCPUTime) - begin_cpu - own_cpu;
    let seconds = begin.elapsed().as_secs_f64();
    eprintln!(
        "workload W1: records={appended} wall={seconds:.1} s store CPU={store_cpu:.1} s own CPU={own_cpu:.1} s"
    );
    let ns = store_cpu * 1e9 / appended as f64;
    figure("store_append_cpu", ns, "ns/event", None);
    figure("store_append_per_cpu_second", 1e9 / ns, "events/s", None);
    KINDS.into_iter().zip(keys).collect()
}

fn remember(batch: &Batch, random: &mut Random, keys: &mut [Vec<Key>; KINDS.len()]) {
    let event = batch.event(random.below(batch.len() as u64) as usize);
    let [creation, position, business, trace, span, children, message_id] = keys;
    creation.extend(event.creation().map(Key::Creation));
    position.extend(event.position().map(|position| {
        Key::Position(Position {
            system: event.system().to_owned(),
            cluster: String::new(),
            destination: event.destination().to_owned(),
            lane: event.lane().to_owned(),
            position,
        })
    }));
    business.extend(event.keys().next().map(|key| Key::Business(key.to_owned())));
    trace.push(Key::Trace(event.trace()));
    span.push(Key::Span(event.span()));
    children.push(Key::Children(event.parent()));
    let id = Some(event.message_id()).filter(|id| !id.is_empty());
    message_id.extend(id.map(|id| Key::MessageId {
        system: String::new(),
        destination: String::new(),
        id: id.to_owned(),
    }));
}

/// Looks these keys up, or as many that no event has. Of two rounds the second counts.
async fn lookups(store: &Embedded, name: &str, keys: &[Key], p99_ms_max: f64) {
    let mut random = Random(2);
    let mut nowhere = || Key::Business(format!("nowhere-{}", random.bits()));
    let mut times_ms = Vec::new();
    let mut cpu_s = 0.0;
    for round in 0..2 {
        times_ms.clear();
        let begin_cpu = cpu(ClockId::ProcessCPUTime);
        for number in 0..LOOKUPS.min(if keys.is_empty() { LOOKUPS } else { keys.len() }) {
            let key = keys.get(number).cloned().unwrap_or_else(&mut nowhere);
            let begin = Instant::now();
            let asked = std::slice::from_ref(&key);
            let found = store.events(&TENANT, asked, &Limits::default(), None).await.expect("answered");
            times_ms.push(begin.elapsed().as_secs_f64() * 1e3);
            assert!(found.events.is_empty() == keys.is_empty() && found.coverage.complete, "{round} {key:?}");
        }
        cpu_s = cpu(ClockId::ProcessCPUTime) - begin_cpu;
    }
    let count = times_ms.len() as f64;
    times_ms.sort_by(f64::total_cmp);
    let at = |share: f64| times_ms[((times_ms.len() - 1) as f64 * share) as usize];
    figure(&format!("store_lookup_{name}_p50"), at(0.5), "ms", None);
    figure(&format!("store_lookup_{name}_p99"), at(0.99), "ms", Some(p99_ms_max));
    figure(&format!("store_lookup_{name}_cpu"), cpu_s * 1e3 / count, "ms", None);
}

/// All gates here are upper bounds.
fn figure(name: &str, value: f64, unit: &str, gate: Option<f64>) {
    let pass = gate.is_none_or(|gate| value <= gate);
    let gate = gate.map_or("null".to_owned(), |gate| format!("{gate:.1}"));
    println!(r#"{{"name":"{name}","value":{value:.3},"unit":"{unit}","gate":{gate},"pass":{pass}}}"#);
}

fn cpu(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Resident memory of this process, from `/proc` (pages of 4 KiB).
fn rss_mb() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(f64::NAN);
    pages * 4_096.0 / 1e6
}

/// Bytes per record of every column that takes more than a hundredth of a byte.
fn columns(folder: &Path, records: u64) {
    let mut bytes: BTreeMap<String, i64> = BTreeMap::new();
    for path in files(folder, ".parquet") {
        let file = File::open(path).expect("open");
        let reader = SerializedFileReader::new(file).expect("Parquet");
        for column in reader.metadata().row_groups().iter().flat_map(RowGroupMetaData::columns) {
            *bytes.entry(column.column_path().string()).or_default() += column.compressed_size();
        }
    }
    for (column, bytes) in bytes {
        let per_record = bytes as f64 / records as f64;
        if per_record >= 0.01 {
            figure(&format!("store_bytes_per_record_of_{column}"), per_record, "B", None);
        }
    }
}

/// Bytes of the files below a folder of which the name ends so.
fn folder_bytes(folder: &Path, ending: &str) -> u64 {
    files(folder, ending).iter().filter_map(|path| path.metadata().ok()).map(|file| file.len()).sum()
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let below = entries.flat_map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => files(&entry.path(), ending),
        Ok(_) if entry.file_name().to_string_lossy().ends_with(ending) => vec![entry.path()],
        _ => Vec::new(),
    });
    below.collect()
}
