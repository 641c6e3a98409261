//! Stores of earlier formats: each opens, tells what was put into it, takes more, and can be rewritten.
//!
//! `tests/golden/vN` was written by the code of its time and is never written again; `told.txt` beside it is
//! what that store answered. A new format gets a folder of its own:
//! `cargo test --test golden write_anew -- --ignored`.

use hopscope_model::{Key, Limits, MessageEvent, Position, Query, Tenant};
use hopscope_store::embedded::{Embedded, Options};
use hopscope_store::kit::{self, NOW_NS, random, random::Random};
use hopscope_store::{Aggregation, Counted, Depth, Dimension, Page, Store};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const DAY_S: i64 = 86_400;

fn golden(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(version)
}

/// What a store answers, in words that do not change with the model.
async fn told(store: &Embedded) -> String {
    let tenant = Tenant::default();
    let mut told = String::new();
    let page = Page { events_max: 10_000, after: None, now_ns: NOW_NS };
    let found = store.search(&tenant, &Query::default(), &page).await.expect("answers");
    assert!(found.coverage.complete, "{:?}", found.coverage);
    for event in &found.events {
        let _ = writeln!(
            told,
            "event {} start={} received={} stage={} service={:?} keys={:?}",
            event.id(),
            event.start_ns - NOW_NS,
            event.received_ns - NOW_NS,
            event.stage.name(),
            event.service,
            event.keys
        );
    }
    for event in &found.events {
        let position = event.position.unwrap_or_default();
        let keys = [
            Key::Trace(event.trace),
            Key::Children(event.parent),
            Key::Correlation(event.correlation_id.clone()),
            Key::Business(event.keys.first().cloned().unwrap_or_default()),
            Key::Progress(Position { position, lane: event.lane.clone(), ..place_of(event) }),
        ];
        let evidence = store.events(&tenant, &keys, &Limits::default(), None).await.expect("answers");
        let ids: Vec<String> = evidence.events.iter().map(|event| event.id().to_string()).collect();
        let _ = writeln!(told, "under {ids:?}");
        for sample in &evidence.progress {
            let _ = writeln!(told, "progress {} {:?} {}", sample.group, sample.kind, sample.at_ns - NOW_NS);
        }
    }
    for of in [Counted::Events, Counted::Tallies] {
        let by = vec![Dimension::Destination, Dimension::Service];
        let aggregation = Aggregation { of, by, now_ns: NOW_NS, rows_max: 1_000, ..Aggregation::default() };
        let rows = store.aggregate(&tenant, &aggregation).await.expect("answers").rows;
        for row in rows {
            let _ = writeln!(told, "count {:?} {:?} {} {}", of, row.values, row.events, row.failed);
        }
    }
    told
}

fn place_of(event: &MessageEvent) -> Position {
    Position {
        system: event.system.clone(),
        cluster: event.cluster.clone(),
        destination: event.destination.clone(),
        lane: String::new(),
        position: 0,
    }
}

/// Two segments, the first of two days, and a log that is in no segment yet.
#[test]
#[ignore = "writes a golden folder with the code of today: for a new format only"]
fn write_anew() {
    let version = std::env::var("HOPSCOPE_GOLDEN").expect("HOPSCOPE_GOLDEN names the new folder, as in v2");
    let folder = golden(&version);
    assert!(!folder.exists(), "a golden folder is never written again");
    kit::run(async {
        let store = Embedded::open(&folder, Options::default()).expect("open");
        let (mut random, mut sent) = (Random(7), Vec::new());
        for number in [0, 1, DAY_S, DAY_S + 1, DAY_S + 2, DAY_S + 3, DAY_S + 4] {
            store.append(random::batch(&mut random, number, 12, &mut sent)).await.expect("stored");
            if [DAY_S, DAY_S + 2].contains(&number) {
                store.seal().await.expect("sealed");
            }
        }
        fs::write(folder.join("told.txt"), told(&store).await).expect("written");
    });
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("listed") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

#[test]
fn every_earlier_format_opens_answers_and_goes_on() {
    for version in ["v1", "v2"] {
        let expected = fs::read_to_string(golden(version).join("told.txt")).expect("a golden folder");
        let folder = tempfile::tempdir().expect("a folder");
        copy(&golden(version), folder.path());
        kit::run(async {
            let open = || Embedded::open(folder.path(), Options::default()).expect("opens");
            let store = open();
            assert_eq!(told(&store).await, expected, "{version}");
            drop(store);
            let anew = hopscope_store::embedded::rebuild_rollups(folder.path()).expect("rebuilt");
            assert!(!anew.is_empty(), "{version} had no rollups");
            let store = open();
            assert_eq!(told(&store).await, expected, "{version}, with rollups");
            assert_eq!(store.check(Depth::Full).await.expect("checks").findings, [], "{version}");
            store.seal().await.expect("sealed");
            assert_eq!(told(&store).await, expected, "{version}, sealed");
            store.compact().await.expect("merged");
            assert_eq!(told(&store).await, expected, "{version}, merged");
            store.append(kit::batch(NOW_NS, &kit::message(1, "payment"))).await.expect("stored");
            let longer = told(&store).await;
            assert!(longer.lines().count() > expected.lines().count(), "{version}, appended");
            drop(store);
            let anew = hopscope_store::embedded::rebuild_rollups(folder.path()).expect("rebuilt");
            assert_eq!(anew, [], "{version}, merged: counts are what rebuilding makes of the events");
            let store = open();
            assert_eq!(told(&store).await, longer, "{version}, reopened");
            store.seal().await.expect("sealed");
            store.compact().await.expect("merged");
            assert_eq!(told(&store).await, longer, "{version}, sealed, merged and reopened");
            assert_eq!(store.check(Depth::Full).await.expect("checks").findings, [], "{version}");
        });
    }
}
