//! Looking into a filled store, in a process of its own: by every kind of key, without a time range.

use crate::fill::Known;
use crate::measured::figure;
use crate::run::{DATA, State};
use hopscope_model::query::Time;
use hopscope_model::{Key, Limits, Position, SpanContext, SpanId, Tenant, TraceId};
use hopscope_store::embedded::{Embedded, Options};
use hopscope_store::{Aggregation, Dimension, Page, Store};
use hopscope_wire::workload::BEGIN_NS;
use rustix::fs::{Advice, fadvise};
use std::fs::File;
use std::num::NonZero;
use std::path::Path;
use std::time::Instant;

/// Warm look-ups of every kind; a round before them warms up.
const WARM: usize = 1_000;
/// Cold ones: before each the pages of every file are dropped.
const COLD: usize = 100;

const MINUTE_NS: i64 = 60_000_000_000;
const HOUR_NS: i64 = 60 * MINUTE_NS;

/// Each search is made that often; the middle one counts.
const SEARCH_ROUNDS: usize = 5;
/// Searches, with how many events they want and the gate of their milliseconds. Attributes that are not in columns are
/// on W1's resources: one that all have, one that none has.
const SEARCHES: [(&str, &str, usize, Option<f64>); 5] = [
    ("newest_50", "", 50, None),
    ("newest_50_failed", "outcome:failed since:24h", 50, None),
    ("attribute_of_all", "attr.service.version:4.17.2 since:24h", 20, Some(500.0)),
    ("attribute_of_none", "attr.service.version:4.17.3 since:24h", 20, Some(500.0)),
    ("attribute_name_of_none", "attr.http.route:* since:24h", 20, Some(500.0)),
];

/// Prints the figures of the store in that folder, their names begun with how many records it has.
pub async fn look(folder: &Path) {
    let state = State::read(folder);
    let begin = Instant::now();
    let store = Embedded::open(folder.join(DATA), Options::default()).expect("open");
    let named = |name: &str| format!("store.{}m.{name}", state.parts_done);
    figure(&named("open"), ms(begin), "ms", None);
    for (kind, keys) in kinds(&state.known) {
        let (p50, p99) = if kind == "nowhere" { (None, Some(10.0)) } else { (Some(5.0), Some(25.0)) };
        let wanted = kind != "nowhere";
        let _warmed_up = times(&store, &keys, wanted, || {}).await;
        let warm = times(&store, &keys, wanted, || {}).await;
        print(&named(&format!("look_up.{kind}")), &warm, p50, p99);
        let cold_keys = &keys[..keys.len().min(COLD)];
        let cold = times(&store, cold_keys, wanted, || drop_pages(&folder.join(DATA))).await;
        print(&named(&format!("look_up_cold.{kind}")), &cold, None, Some(250.0));
    }
    let query = hopscope_model::Query { terms: Vec::new(), since: None, until: None };
    let now_ns = store.space().await.expect("space").tenants[0].received_ns.map_or(i64::MAX, |range| range.1);
    for (name, query, events_max, gate) in SEARCHES {
        let query = query.parse().expect("a query");
        let page = Page { events_max, after: None, now_ns };
        let mut times_ms = Vec::with_capacity(SEARCH_ROUNDS);
        for _ in 0..SEARCH_ROUNDS {
            let begin = Instant::now();
            store.search(&Tenant::default(), &query, &page).await.expect("answered");
            times_ms.push(ms(begin));
        }
        times_ms.sort_by(f64::total_cmp);
        let gate = gate.map(|gate| (gate, false));
        figure(&named(&format!("search.{name}")), times_ms[SEARCH_ROUNDS / 2], "ms", gate);
    }
    let by = vec![Dimension::Destination, Dimension::Stage];
    let aggregation = Aggregation { by, query, now_ns: i64::MAX, rows_max: 1_000, ..Aggregation::default() };
    let begin = Instant::now();
    store.aggregate(&Tenant::default(), &aggregation).await.expect("answered");
    figure(&named("count.everything"), ms(begin), "ms", None);
    dashboards(&store, &named).await;
    figure(&named("rss_after_looks"), resident_mb(), "MB", None);
}

/// What a page of rates asks for all days, and by minutes for one; each the first time, and again.
async fn dashboards(store: &Embedded, named: &impl Fn(&str) -> String) {
    use Dimension::{Cluster, Destination, Group, Service, Stage, System};
    let begin_ns = BEGIN_NS as i64 - BEGIN_NS as i64 % HOUR_NS;
    for (name, days, step_ns) in
        [("30d_by_12h", 30, 12 * HOUR_NS), ("30d_by_1h", 30, HOUR_NS), ("1d_by_1min", 1, MINUTE_NS)]
    {
        let until_ns = begin_ns + days * 24 * HOUR_NS;
        let (since, until) = (Some(Time::At(begin_ns)), Some(Time::At(until_ns)));
        let aggregation = Aggregation {
            by: vec![System, Cluster, Destination, Group, Service, Stage],
            query: hopscope_model::Query { terms: Vec::new(), since, until },
            step_ns: NonZero::new(step_ns),
            now_ns: until_ns,
            rows_max: 200_000,
            measured: true,
            ..Aggregation::default()
        };
        for round in ["first", "again"] {
            let begin = Instant::now();
            let answer = store.aggregate(&Tenant::default(), &aggregation).await.expect("answered");
            figure(&named(&format!("dashboard.{name}.{round}")), ms(begin), "ms", Some((50.0, false)));
            assert!(!answer.rows.is_empty() && answer.coverage.complete, "{:?}", answer.coverage);
        }
    }
}

/// Keys of every kind; those of `nowhere` are of no record.
fn kinds(known: &Known) -> Vec<(&'static str, Vec<Key>)> {
    let trace = |text: &String| TraceId::from_hex(text).expect("an id");
    let span = |text: &String| SpanId::from_hex(text).expect("an id");
    let contexts = known.creation.iter();
    let positions = known.position.iter().map(|(topic, partition, position)| {
        Key::Position(Position {
            system: "kafka".to_owned(),
            cluster: String::new(),
            destination: topic.clone(),
            lane: partition.clone(),
            position: *position,
        })
    });
    let message_id = |id: String| Key::MessageId { system: String::new(), destination: String::new(), id };
    let nowhere = (0..WARM).map(|number| message_id(format!("nowhere-{number}")));
    let all: [(&'static str, Vec<Key>); 6] = [
        ("trace", contexts.clone().map(|(of, _)| Key::Trace(trace(of))).collect()),
        (
            "creation",
            contexts
                .map(|(of, own)| Key::Creation(SpanContext { trace: trace(of), span: span(own) }))
                .collect(),
        ),
        ("position", positions.collect()),
        ("message_id", known.message_id.iter().cloned().map(message_id).collect()),
        ("key", known.key.iter().cloned().map(Key::Business).collect()),
        ("nowhere", nowhere.collect()),
    ];
    all.into_iter().map(|(kind, keys)| (kind, keys.into_iter().take(WARM).collect())).collect()
}

/// Milliseconds of each look-up.
async fn times(store: &Embedded, keys: &[Key], wanted: bool, mut before: impl FnMut()) -> Vec<f64> {
    let (tenant, limits) = (Tenant::default(), Limits::default());
    let mut times_ms = Vec::with_capacity(keys.len());
    for key in keys {
        before();
        let begin = Instant::now();
        let found = store.events(&tenant, std::slice::from_ref(key), &limits, None).await.expect("answered");
        times_ms.push(ms(begin));
        assert_eq!(!found.events.is_empty(), wanted, "{key:?}");
        assert!(found.coverage.complete, "{key:?} {:?}", found.coverage);
    }
    times_ms
}

fn print(name: &str, times_ms: &[f64], p50_max: Option<f64>, p99_max: Option<f64>) {
    let mut times_ms = times_ms.to_vec();
    times_ms.sort_by(f64::total_cmp);
    let Some(last) = times_ms.len().checked_sub(1) else { return };
    let at = |share: f64| times_ms[(last as f64 * share) as usize];
    figure(&format!("{name}.p50"), at(0.5), "ms", p50_max.map(|gate| (gate, false)));
    figure(&format!("{name}.p99"), at(0.99), "ms", p99_max.map(|gate| (gate, false)));
}

/// Tells the system that no page of these files is needed any more.
fn drop_pages(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            drop_pages(&path);
        } else if let Ok(file) = File::open(&path) {
            fadvise(&file, 0, None, Advice::DontNeed).expect("advice is taken");
        }
    }
}

fn ms(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1e3
}

/// Resident memory of this process, from `/proc` (pages of 4 KiB).
fn resident_mb() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(f64::NAN);
    pages * 4_096.0 / 1e6
}
