//! Reads while tables become segments, and segments are merged: each sees all that was acknowledged before it began, every event once,
//! and never half of a change.

use hopscope_model::{Query, Stage, Tenant};
use hopscope_store::embedded::dir::{Dir, File};
use hopscope_store::embedded::sim_dir::SimDir;
use hopscope_store::embedded::simulate::Driven;
use hopscope_store::embedded::{Embedded, Options};
use hopscope_store::kit::{self, NOW_NS};
use hopscope_store::{Page, Store};
use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

/// Appends of one event; a table is sealed after a few.
const APPENDS: u64 = 300;

async fn read(store: &Embedded, acknowledged: &AtomicU64) -> usize {
    let before = acknowledged.load(Ordering::SeqCst);
    let page = Page { events_max: 100_000, after: None, now_ns: NOW_NS };
    let found = store.search(&Tenant::default(), &Query::default(), &page).await.expect("answers");
    assert!(found.coverage.complete, "{:?}", found.coverage);
    let distinct: BTreeSet<String> = found.events.iter().map(|event| event.id().to_string()).collect();
    assert_eq!(distinct.len(), found.events.len(), "an event is seen twice");
    assert!(distinct.len() as u64 >= before, "{} of {before} acknowledged are seen", distinct.len());
    found.coverage.segments as usize
}

#[test]
fn a_reader_never_sees_half_of_a_swap() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    runtime.block_on(async {
        let options = Options { seal_rows: 8, compact_segments_max: 3, ..Options::default() };
        let store = Arc::new(Embedded::open_in(Arc::new(SimDir::new()), options).expect("open"));
        let (acknowledged, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let reader = tokio::spawn({
            let (store, acknowledged, over) =
                (Arc::clone(&store), Arc::clone(&acknowledged), Arc::clone(&over));
            async move {
                let (mut reads, mut segments) = (0, 0);
                while !over.load(Ordering::SeqCst) {
                    segments = read(&store, &acknowledged).await;
                    reads += 1;
                }
                (reads, segments)
            }
        });
        for number in 0..APPENDS {
            let event = kit::event(number, number, Stage::Work);
            store.append(kit::batch(NOW_NS, &[event])).await.expect("stored");
            acknowledged.fetch_add(1, Ordering::SeqCst);
        }
        over.store(true, Ordering::SeqCst);
        let (reads, segments) = reader.await.expect("no panic");
        println!("{reads} reads, the last one of {segments} segments and tables");
        assert!(reads > 0);
        assert!(read(&store, &acknowledged).await > 1, "nothing was sealed: this proves nothing");
    });
}

/// A disk that lets somebody read before each operation on a folder.
#[derive(Default)]
struct Watched {
    disk: SimDir,
    store: Mutex<Weak<Driven>>,
    is_reading: AtomicBool,
    reads: AtomicU64,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watched")
    }
}

impl Watched {
    /// All that was stored is there once, in whatever step of a change this is.
    fn look(&self) {
        let store = self.store.lock().expect("not poisoned").upgrade();
        // A read that opens files is not looked at by another one.
        let Some(store) = store.filter(|_| !self.is_reading.swap(true, Ordering::SeqCst)) else { return };
        let page = Page { events_max: 1_000, after: None, now_ns: NOW_NS };
        let found = store.search(&Query::default(), &page).expect("answers");
        assert!(found.coverage.complete, "{:?}", found.coverage);
        let read = self.reads.fetch_add(1, Ordering::SeqCst);
        assert_eq!(found.events.len(), ROUNDS * EVENTS, "in step {read}");
        self.is_reading.store(false, Ordering::SeqCst);
    }
}

impl Dir for Watched {
    fn make_dir(&self, path: &str) -> io::Result<()> {
        self.disk.make_dir(path)
    }
    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.disk.list(path)
    }
    fn create(&self, path: &str) -> io::Result<Arc<dyn File>> {
        self.look();
        self.disk.create(path)
    }
    fn open(&self, path: &str) -> io::Result<Arc<dyn File>> {
        self.disk.open(path)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.look();
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        self.look();
        self.disk.remove(path)
    }
    fn sync_dir(&self, path: &str) -> io::Result<()> {
        self.look();
        self.disk.sync_dir(path)
    }
    fn free_space(&self) -> io::Result<u64> {
        self.disk.free_space()
    }
    fn lock(&self, path: &str) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        self.disk.lock(path)
    }
}

/// Tables of a history, and events of each.
const ROUNDS: usize = 3;
const EVENTS: usize = 10;

#[test]
fn a_read_in_any_step_of_sealing_or_merging_sees_everything_once() {
    let watched = Arc::new(Watched::default());
    let dir: Arc<dyn Dir> = Arc::<Watched>::clone(&watched);
    let options = Options { compact_segments_max: 2, ..Options::default() };
    let store = Arc::new(Driven::open(dir, options).expect("open"));
    let event = |number: u64| kit::event(number, number, Stage::Work);
    let append = |round: usize| {
        let first = (round * EVENTS) as u64;
        let events: Vec<_> = (first..first + EVENTS as u64).map(event).collect();
        store.commit(vec![kit::batch(NOW_NS, &events)]).swap_remove(0).expect("stored");
    };
    for round in 0..ROUNDS - 1 {
        append(round);
        store.freeze().expect("a new log");
        assert!(store.seal_one().expect("sealed"));
    }
    append(ROUNDS - 1);
    store.freeze().expect("a new log");
    *watched.store.lock().expect("not poisoned") = Arc::downgrade(&store);
    assert!(store.seal_one().expect("sealed"));
    let sealing = watched.reads.load(Ordering::SeqCst);
    assert!(sealing >= 6, "{sealing} reads while sealing");
    while store.compact_one(true).expect("merged") {}
    let merging = watched.reads.load(Ordering::SeqCst) - sealing;
    assert!(merging >= 6, "{merging} reads while merging");
}
