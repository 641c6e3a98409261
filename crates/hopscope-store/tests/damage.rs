//! Any bit of any file may flip: the store starts, never answers what was not stored, and says what is missing.

use hopscope_model::{Key, Limits, MessageEvent, Query, Stage};
use hopscope_store::embedded::Options;
use hopscope_store::embedded::sim_dir::{Failure, Fault, Operation, SimDir};
use hopscope_store::embedded::simulate::Driven;
use hopscope_store::kit::random::{self, Random};
use hopscope_store::kit::{self, NOW_NS, progress_at};
use hopscope_store::{Depth, Page};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Flips that are tried, spread over all files.
const FLIPS: u64 = 132;

/// A merged segment, one as it was sealed, and a log with two batches.
fn disk() -> (SimDir, BTreeMap<String, MessageEvent>) {
    let disk = SimDir::new();
    let store = open(&disk);
    let mut events = BTreeMap::new();
    for batch in 0..5u64 {
        let mut of_batch: Vec<MessageEvent> =
            (0..20).flat_map(|number| kit::message(1 + batch * 20 + number, "payment")).collect();
        of_batch.push(kit::event(7, batch, Stage::Work));
        let mut builder = hopscope_model::BatchBuilder::new(
            hopscope_model::Tenant::default(),
            hopscope_model::Source::Otlp,
            NOW_NS + batch as i64,
        );
        of_batch.iter().for_each(|event| builder.push_event(event));
        let seen = hopscope_model::ProgressKind::Floor { next: batch as i64 };
        builder.push_progress_owned(&progress_at("payment", "0", batch as i64, seen));
        store.commit(vec![builder.finish()]).swap_remove(0).expect("stored");
        for mut event in of_batch {
            event.received_ns = NOW_NS + batch as i64;
            events.insert(event.id().to_string(), event);
        }
        if batch < 3 {
            store.freeze().expect("a new log");
            assert!(store.seal_one().expect("sealed"));
        }
        if batch == 1 {
            assert!(store.compact_one(true).expect("merged"));
        }
    }
    (disk, events)
}

fn open(disk: &SimDir) -> Driven {
    Driven::open(Arc::new(disk.clone()), Options::default()).expect("starts")
}

/// Of the files that a start opens, or that answers, a seal and a merge open: those that cannot be, by turns.
const OPENS: [u64; 14] = [0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 22, 30, 40];

#[test]
fn a_file_that_cannot_be_opened_now_is_no_damage() {
    let (disk, events) = disk();
    // Every block is read from the disk, out of a file that is opened for it.
    let options =
        Options { files_open_max: 0, block_bytes_max: 0, metadata_bytes_max: 0, ..Options::default() };
    let open = |disk: &SimDir| Driven::open(Arc::new(disk.clone()), options.clone());
    let check = |disk: &SimDir, what: &str| {
        disk.mend();
        let store = open(disk).expect("starts");
        assert_eq!(inspect(&store, &events, what), (events.len(), true), "{what}");
        assert_eq!(store.check(Depth::Full).expect("checks").findings, [], "{what}");
        let aside = disk.files().into_iter().find(|(path, _)| path.contains("quarantine"));
        assert_eq!(aside, None, "{what}");
    };
    let (mut refused, mut incomplete) = (0, 0);
    for after in OPENS {
        for (failure, times) in [(Failure::TooManyFiles, 9), (Failure::Broken, 1)] {
            let fault = Fault { operation: Operation::Open, after, times, failure };
            let starting = disk.copied();
            starting.fail(fault);
            refused += u64::from(open(&starting).is_err());
            check(&starting, &format!("start {fault:?}"));
            let running = disk.copied();
            let store = open(&running).expect("starts");
            running.fail(fault);
            let what = format!("running {fault:?}");
            let (found, complete) = inspect(&store, &events, &what);
            assert!(found == events.len() || !complete, "{what}: {found} and no word");
            incomplete += u64::from(!complete);
            // What fails here is tried again, as the threads do.
            let _ = store.freeze().and_then(|()| store.seal_one());
            let _ = store.compact_one(true);
            running.mend();
            assert_eq!(inspect(&store, &events, &what), (events.len(), true), "{what}: mended");
            drop(store);
            check(&running, &what);
        }
    }
    assert!(refused > 0 && incomplete > 0, "nothing was opened: this proves nothing");
}

/// Reads everything in every way, and holds it against what was stored.
fn inspect(store: &Driven, events: &BTreeMap<String, MessageEvent>, what: &str) -> (usize, bool) {
    let page = Page { events_max: 10_000, after: None, now_ns: NOW_NS };
    let found = store.search(&Query::default(), &page).expect("answers");
    for event in &found.events {
        assert_eq!(events.get(&event.id().to_string()), Some(event), "{what}: never stored");
    }
    let mut complete = found.coverage.complete;
    let keys = [
        Key::Trace(kit::event(7, 0, Stage::Work).trace),
        Key::Business("order-3".into()),
        Key::Position(kit::at("1", 25)),
        Key::Progress(kit::at("0", 0)),
    ];
    let evidence = store.events(&keys, &Limits::default()).expect("answers");
    for event in &evidence.events {
        assert_eq!(events.get(&event.id().to_string()), Some(event), "{what}: never stored");
    }
    let wanted = events.values().filter(|event| {
        event.trace == kit::event(7, 0, Stage::Work).trace
            || event.keys.contains(&"order-3".to_owned())
            || (event.position == Some(25) && event.lane == "1")
    });
    let all = evidence.events.len() == wanted.count() && evidence.progress.len() == 2;
    assert!(all || !evidence.coverage.complete, "{what}: something is missing and nothing says so");
    complete &= evidence.coverage.complete;
    (found.events.len(), complete)
}

#[test]
fn a_sound_disk_answers_everything() {
    let (disk, events) = disk();
    assert_eq!(inspect(&open(&disk), &events, "sound"), (events.len(), true));
    assert_eq!(open(&disk).check(Depth::Full).expect("checks").findings, []);
}

/// Files of all kinds: log, manifest, and four each of a sealed and of a merged segment.
fn files(disk: &SimDir) -> Vec<(String, usize)> {
    let files: Vec<_> = disk.files().into_iter().filter(|(path, _)| path != "LOCK").collect();
    for kind in [".wal", "MANIFEST", ".parquet", ".keys", ".extra", ".sums"] {
        assert!(files.iter().any(|(path, _)| path.ends_with(kind)), "no file {kind}");
    }
    for generation in ["-g0.parquet", "-g1.parquet"] {
        assert_eq!(files.iter().filter(|(path, _)| path.ends_with(generation)).count(), 1, "{generation}");
    }
    files
}

/// Flips one bit; whether an answer showed it.
fn flip(disk: &SimDir, events: &BTreeMap<String, MessageEvent>, file: &(String, usize), seed: u64) -> bool {
    let (path, len) = file;
    let mut random = Random(seed);
    let bad = disk.copied();
    let (byte, bit) = (random.below(*len as u64) as usize, random.below(8) as u8);
    let what = format!("{path} byte={byte} bit={bit} seed={seed}");
    // Before the start, or under the feet of a store that runs.
    let is_running = random.chance(2);
    let running = is_running.then(|| open(&bad));
    bad.flip(path, byte, bit);
    if let Some(running) = &running {
        inspect(running, events, &what);
    }
    let store = running.unwrap_or_else(|| open(&bad));
    let findings = store.check(Depth::Full).expect("checks").findings;
    let (found, complete) = inspect(&store, events, &what);
    assert!(!findings.is_empty(), "{what}: check did not find it");
    assert!(found == events.len() || !complete, "{what}: {found} of {} and no word", events.len());
    // What is damaged stays known, and what is sound stays readable, over restarts.
    drop(store);
    let again = open(&bad);
    let (found_again, complete_again) = inspect(&again, events, &what);
    // A store that runs has a log's events and the checksums in memory; one that starts reads them.
    assert!(found == found_again || is_running && found > found_again, "{what}: {found}, then {found_again}");
    assert!(found_again == events.len() || !complete_again, "{what}: {found_again} and no word");
    assert!(!again.check(Depth::Full).expect("checks").findings.is_empty(), "{what}: forgotten");
    !complete
}

#[test]
fn a_flipped_bit_in_any_file_is_found_and_never_served() {
    let (disk, events) = disk();
    let files = files(&disk);
    let seeds = random::seeds(FLIPS);
    println!("bit-flips: seeds {seeds:?} in {} files", files.len());
    let noticed = std::thread::scope(|scope| {
        let flip_all = |first: u64| {
            let own = seeds.clone().filter(move |seed| seed % 2 == first);
            let file = |seed: u64| &files[(seed / 2 % files.len() as u64) as usize];
            own.filter(|seed| flip(&disk, &events, file(*seed), *seed)).count()
        };
        let threads = [0, 1].map(|first| scope.spawn(move || flip_all(first)));
        threads.into_iter().map(|thread| thread.join().expect("see above")).sum::<usize>()
    });
    let count = seeds.end - seeds.start;
    println!("bit-flips: {count} flips, all found by the check, {noticed} said in an answer, none served");
}

#[test]
fn damage_in_one_log_record_costs_that_batch_only() {
    let (disk, events) = disk();
    let bad = disk.copied();
    let (log, _) = bad.files().into_iter().find(|(path, _)| path.ends_with(".wal")).expect("a log");
    bad.flip(&log, 100, 0);
    let store = open(&bad);
    let (found, complete) = inspect(&store, &events, "first record");
    assert_eq!((found, complete), (events.len() - 61, false));
    let findings = store.check(Depth::Quick).expect("checks").findings;
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].events, Some(61));
    assert_eq!(findings[0].received_ns, Some((NOW_NS + 3, NOW_NS + 3)));
    // The store goes on, and the damaged log is kept for whoever wants to look into it.
    store.commit(vec![kit::batch(NOW_NS, &[kit::event(8, 8, Stage::Work)])]).swap_remove(0).expect("stored");
    while store.seal_one().expect("sealed") {}
    assert!(bad.files().iter().any(|(path, _)| path.contains("quarantine/log-")));
}

#[test]
fn a_lost_manifest_is_not_made_anew_without_the_segments_that_cannot_be_opened_now() {
    let (disk, events) = disk();
    hopscope_store::embedded::dir::Dir::remove(&disk, "default/MANIFEST").expect("removed");
    for after in 0..8 {
        let bad = disk.copied();
        bad.fail(Fault { operation: Operation::Open, after, times: 1, failure: Failure::TooManyFiles });
        drop(Driven::open(Arc::new(bad.clone()), Options::default()));
        bad.mend();
        let (found, _) = inspect(&open(&bad), &events, &format!("open {after}"));
        assert_eq!(found, events.len(), "open {after}");
    }
}

#[test]
fn a_lost_file_is_said() {
    let (disk, events) = disk();
    for (path, _) in disk.files().into_iter().filter(|(path, _)| path != "LOCK") {
        let bad = disk.copied();
        hopscope_store::embedded::dir::Dir::remove(&bad, &path).expect("removed");
        let store = open(&bad);
        let (found, complete) = inspect(&store, &events, &path);
        assert!(!complete, "{path}: {found} of {}", events.len());
        assert!(!store.check(Depth::Quick).expect("checks").findings.is_empty(), "{path}");
    }
}

/// Reads of a start, or of all answers of [`inspect`], of which each is made to fail.
const READS: u64 = 30;

#[test]
fn a_read_that_fails_is_said() {
    let (disk, events) = disk();
    let fails = |after| Fault { operation: Operation::Read, after, times: 1, failure: Failure::Broken };
    for after in 0..READS {
        let bad = disk.copied();
        let store = open(&bad);
        bad.fail(fails(after));
        let (found, complete) = inspect(&store, &events, &format!("read {after}"));
        assert!(found == events.len() || !complete, "read {after}: {found} and no word");
    }
    for after in 0..READS {
        let bad = disk.copied();
        bad.fail(fails(after));
        // It does not start, and then nothing is changed; or it starts and says what it could not read.
        let started = Driven::open(Arc::new(bad.clone()), Options::default());
        let refused = started.is_err();
        let store = started.unwrap_or_else(|_| open(&bad));
        let (found, complete) = inspect(&store, &events, &format!("read {after} of the start"));
        assert!(found == events.len() || !complete, "read {after} of the start: {found} and no word");
        assert!(!refused || found == events.len(), "read {after} of the start: {found}");
    }
}
