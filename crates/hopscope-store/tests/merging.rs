//! Merging segments: what comes out, what a running read sees, and what a merge that ends anywhere leaves.

use arrow_array::StringArray;
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use hopscope_model::{Key, Limits, MessageEvent, Query, Stage};
use hopscope_store::embedded::Options;
use hopscope_store::embedded::dir::{Dir, File};
use hopscope_store::embedded::sim_dir::SimDir;
use hopscope_store::embedded::simulate::Driven;
use hopscope_store::kit::random::Random;
use hopscope_store::kit::{self, NOW_NS, SECOND_NS};
use hopscope_store::{Depth, Page, Retention};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::any::Any;
use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Condvar, Mutex};

const DAY_NS: i64 = 86_400 * SECOND_NS;

fn open(dir: &(impl Dir + Clone)) -> Driven {
    let options = Options { compact_rows: 1_000, compact_segments_max: 100, ..Options::default() };
    Driven::open(Arc::new(dir.clone()), options).expect("opens")
}

fn put(store: &Driven, received_ns: i64, events: &[MessageEvent]) {
    store.commit(vec![kit::batch(received_ns, events)]).swap_remove(0).expect("stored");
}

fn seal(store: &Driven) {
    store.freeze().expect("a new log");
    while store.seal_one().expect("sealed") {}
}

fn merge_all(store: &Driven) {
    while store.compact_one(true).expect("merged") {}
}

/// The steps of 60 messages in three segments: what is sent lies in the first, what is processed in the others.
fn three_segments(disk: &SimDir) -> Driven {
    let store = open(disk);
    let steps: Vec<Vec<MessageEvent>> = (0..60).map(|number| kit::message(number, "payment")).collect();
    for step in 0..3 {
        let of_step: Vec<MessageEvent> = steps.iter().map(|message| message[step].clone()).collect();
        put(&store, NOW_NS + step as i64, &of_step);
        seal(&store);
    }
    store
}

fn found(store: &Driven) -> Vec<MessageEvent> {
    let page = Page { events_max: 100_000, after: None, now_ns: NOW_NS };
    let found = store.search(&Query::default(), &page).expect("answers");
    assert!(found.coverage.complete, "{:?}", found.coverage);
    found.events
}

fn segments(disk: &SimDir) -> Vec<(String, usize)> {
    disk.files().into_iter().filter(|(path, _)| path.contains("seg-")).collect()
}

fn content(disk: &SimDir, path: &str) -> Vec<u8> {
    let file = disk.open(path).expect("is there");
    let mut bytes = vec![0; file.len().expect("a length") as usize];
    file.read_exact_at(0, &mut bytes).expect("read");
    bytes
}

#[test]
fn the_same_segments_become_the_same_segment() {
    let one = SimDir::new();
    drop(three_segments(&one));
    let other = one.copied();
    for disk in [&one, &other] {
        merge_all(&open(disk));
    }
    assert_eq!(segments(&one), segments(&other));
    assert_eq!(segments(&one).len(), 4, "one segment: {:?}", segments(&one));
    for (path, _) in segments(&one) {
        assert_eq!(content(&one, &path), content(&other, &path), "{path}");
    }
}

#[test]
fn nothing_changes_but_where_it_lies() {
    let disk = SimDir::new();
    let store = three_segments(&disk);
    let before = found(&store);
    merge_all(&store);
    assert_eq!(found(&store), before);
    for event in &before {
        let evidence = store.events(&[Key::Span(event.span)], &Limits::default()).expect("answers");
        assert!(evidence.events.contains(event), "{event:?}");
    }
    assert_eq!(store.check(Depth::Full).expect("checks").findings, []);
    drop(store);
    assert_eq!(found(&open(&disk)), before);
}

/// Creations of the rows of a segment, as they lie, by lane.
fn creations(disk: &SimDir, path: &str) -> Vec<(String, Vec<u8>)> {
    let bytes = bytes::Bytes::from(content(disk, path));
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).expect("Parquet").build().expect("a reader");
    let mut found = Vec::new();
    for rows in reader {
        let rows = rows.expect("rows");
        let destination = rows.column_by_name("destination").expect("a column").as_dictionary::<Int32Type>();
        let destination = destination.downcast_dict::<StringArray>().expect("texts");
        let ids = |column| rows.column_by_name(column).expect("a column").as_fixed_size_binary();
        // A null says: that of the span.
        let both = ids("creation_span").iter().zip(ids("span").iter());
        let creation = both.map(|(creation, span)| creation.or(span));
        let both = destination.into_iter().zip(creation);
        found.extend(
            both.map(|(name, span)| (name.unwrap_or_default().to_owned(), span.expect("one").to_vec())),
        );
    }
    found
}

#[test]
fn messages_without_a_position_lie_together_again() {
    let disk = SimDir::new();
    let store = open(&disk);
    let steps: Vec<Vec<MessageEvent>> = (0..60).map(|number| kit::message(number, "payment")).collect();
    for step in 0..3 {
        let of_step = steps.iter().enumerate().map(|(number, message)| {
            // What was sent first is processed last: the order of the segments differs.
            let number = if step == 1 { 60 - number } else { number } as i64;
            let start_ns = NOW_NS + (step as i64 * 1_000 + number) * SECOND_NS;
            MessageEvent { position: None, start_ns, ..message[step].clone() }
        });
        put(&store, NOW_NS + step as i64, &of_step.collect::<Vec<_>>());
        seal(&store);
    }
    merge_all(&store);
    let (path, _) = segments(&disk).into_iter().find(|(path, _)| path.ends_with(".parquet")).expect("one");
    let rows = creations(&disk, &path);
    assert_eq!(rows.len(), 180);
    let runs = rows.chunk_by(|one, other| one == other).count();
    let distinct: BTreeSet<_> = rows.iter().collect();
    assert_eq!(runs, distinct.len(), "rows of one message are apart");
}

#[test]
fn a_repeat_is_dropped_and_the_first_one_stays() {
    let disk = SimDir::new();
    let store = open(&disk);
    let first = kit::event(1, 1, Stage::Work);
    for days in [0, -3, 2] {
        let start_ns = first.start_ns + days * DAY_NS;
        let service = format!("told {days}");
        put(&store, NOW_NS + days.abs(), &[MessageEvent { start_ns, service, ..first.clone() }]);
        seal(&store);
    }
    let events = |store: &Driven| store.check(Depth::Quick).expect("checks").events;
    assert_eq!(events(&store), 3, "nobody asked a segment of another time");
    let told = |store: &Driven| found(store).into_iter().map(|event| event.service).collect::<Vec<_>>();
    assert_eq!(told(&store), ["told 0"]);
    merge_all(&store);
    assert_eq!(events(&store), 1);
    assert_eq!(told(&store), ["told 0"]);
}

#[test]
fn days_stay_apart_and_are_dropped_at_once() {
    let disk = SimDir::new();
    let store = open(&disk);
    for (number, day) in [0, 1, 0, 1, 2].into_iter().enumerate() {
        put(&store, NOW_NS + day * DAY_NS, &[kit::event(1, number as u64, Stage::Work)]);
        if number % 2 == 1 {
            seal(&store);
        }
    }
    seal(&store);
    merge_all(&store);
    assert_eq!(segments(&disk).len(), 3 * 4, "a segment a day: {:?}", segments(&disk));
    let retained = store.retain(&Retention { keep_since_ns: NOW_NS + DAY_NS }).expect("dropped");
    assert_eq!(retained.dropped_events, 2);
    assert_eq!(segments(&disk).len(), 2 * 4);
    assert_eq!(found(&store).len(), 3);
}

#[test]
fn a_merge_that_ends_anywhere_loses_nothing() {
    let disk = SimDir::new();
    let expected = found(&three_segments(&disk));
    let whole = disk.copied();
    merge_all(&open(&whole));
    let operations = whole.operations();
    let mut runs = 0;
    for after in 0..=operations {
        for seed in 0..2 {
            let cut = disk.copied();
            cut.cut_power_after(after);
            if let Ok(store) = Driven::open(Arc::new(cut.clone()), Options::default()) {
                let _ = store.compact_one(true);
            }
            let mut random = Random(seed * 1_000 + after);
            let cut = if seed == 0 { cut.after_kill() } else { cut.after_power_loss(&mut random) };
            let store = open(&cut);
            assert_eq!(found(&store), expected, "after {after} seed {seed}");
            assert_eq!(store.check(Depth::Full).expect("checks").findings, [], "after {after} seed {seed}");
            // What the merge left behind is in the way of nothing.
            merge_all(&store);
            assert_eq!(found(&store), expected, "after {after} seed {seed}, merged again");
            assert_eq!(segments(&cut).len(), 4, "after {after} seed {seed}: {:?}", segments(&cut));
            runs += 1;
        }
    }
    println!("merging: the power went at each of {operations} operations, {runs} runs");
}

#[test]
fn a_lost_manifest_counts_what_was_merged_once() {
    let disk = SimDir::new();
    let expected = found(&three_segments(&disk));
    let merged = disk.copied();
    merge_all(&open(&merged));
    // The inputs are still there, as they are after a crash before they were removed.
    for (path, _) in segments(&merged) {
        let file = disk.create(&path).expect("made");
        file.append(&content(&merged, &path)).expect("written");
    }
    disk.remove("default/MANIFEST").expect("removed");
    let store = open(&disk);
    let page = Page { events_max: 100_000, after: None, now_ns: NOW_NS };
    let answer = store.search(&Query::default(), &page).expect("answers");
    assert_eq!(answer.events, expected);
    assert!(!answer.coverage.complete, "a lost manifest is said");
    assert_eq!(store.check(Depth::Full).expect("checks").events, expected.len() as u64);
}

/// A disk of which reads of events wait while the gate is shut.
#[derive(Clone, Debug)]
struct Gated {
    disk: SimDir,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl Gate {
    fn set(&self, shut: bool) {
        self.state.lock().expect("sound").0 = shut;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut state = self.state.lock().expect("sound");
        state.1 += 1;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |state| state.0).expect("sound"));
    }

    fn wait_for_a_reader(&self) {
        let state = self.state.lock().expect("sound");
        drop(self.changed.wait_while(state, |state| state.1 == 0).expect("sound"));
    }
}

#[derive(Debug)]
struct GatedFile(Arc<dyn File>, Arc<Gate>);

impl Dir for Gated {
    fn make_dir(&self, path: &str) -> io::Result<()> {
        self.disk.make_dir(path)
    }
    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.disk.list(path)
    }
    fn create(&self, path: &str) -> io::Result<Arc<dyn File>> {
        self.disk.create(path)
    }
    fn open(&self, path: &str) -> io::Result<Arc<dyn File>> {
        let file = self.disk.open(path)?;
        // What is sealed is gated, what is merged is not: the merge itself must get on.
        Ok(if path.ends_with("-g0.parquet") {
            Arc::new(GatedFile(file, Arc::clone(&self.gate)))
        } else {
            file
        })
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn sync_dir(&self, path: &str) -> io::Result<()> {
        self.disk.sync_dir(path)
    }
    fn free_space(&self) -> io::Result<u64> {
        self.disk.free_space()
    }
    fn lock(&self, path: &str) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        self.disk.lock(path)
    }
}

impl File for GatedFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.append(bytes)
    }
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if std::thread::current().name() == Some("reader") {
            self.1.pass();
        }
        self.0.read_exact_at(offset, buffer)
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[test]
fn a_read_under_way_sees_what_it_began_with() {
    let disk = SimDir::new();
    let expected = found(&three_segments(&disk));
    let gate = Arc::new(Gate::default());
    let store = open(&Gated { disk: disk.clone(), gate: Arc::clone(&gate) });
    gate.set(true);
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new().name("reader".to_owned());
        let reader = reader.spawn_scoped(scope, || found(&store)).expect("a thread");
        gate.wait_for_a_reader();
        // While it sits in the middle of its scan, all that it reads is merged, and then dropped.
        merge_all(&store);
        store.retain(&Retention { keep_since_ns: NOW_NS + DAY_NS }).expect("dropped");
        let kept = segments(&disk);
        // Opened before anything is asserted: a failure must not leave the reader waiting.
        gate.set(false);
        assert_eq!(reader.join().expect("no panic"), expected);
        assert_eq!(kept.len(), 3 * 4, "kept for the reader: {kept:?}");
    });
    assert_eq!(found(&store), []);
    assert_eq!(segments(&disk), [], "removed with the last reader");
}
