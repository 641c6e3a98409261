//! Reads and merges stay within their memory, however much is stored: every byte that this process takes is counted.
#![allow(unsafe_code, reason = "an allocator that counts is one")]

use hopscope_model::{Key, Limits, MessageEvent, Query, Stage, Value};
use hopscope_store::embedded::simulate::Driven;
use hopscope_store::embedded::{Options, RealDir};
use hopscope_store::kit::{self, NOW_NS};
use hopscope_store::{Aggregation, Dimension, Page};
use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that are taken now, and most of them since [`peak_of`] began.
static TAKEN: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let taken = TAKEN.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(taken, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        TAKEN.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Most bytes that some work took at a time.
fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = TAKEN.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let value = work();
    (value, PEAK.load(Ordering::Relaxed).saturating_sub(before))
}

const SEGMENTS: u64 = 3;
/// Events of a segment, in a small store and in a large one.
const EVENTS: [u64; 2] = [12_000, 30_000];
const MIB: usize = 1 << 20;

fn options() -> Options {
    Options { block_bytes_max: MIB, metadata_bytes_max: MIB, read_bytes_max: 2 * MIB, ..Options::default() }
}

/// What a read may take: its own limit, what the caches keep, and one page of rows in all columns.
const READ_MAX: usize = 8 * MIB;

/// What a merge may take more for each row more: what orders it, finds repeats and says where it lies. A row of this
/// store has 800 bytes.
const MERGE_ROW_MAX: usize = 200;

/// A store of some segments of one trace, and the bytes that its events take in memory.
fn filled(folder: &Path, events: u64) -> (Driven, usize) {
    let dir = Arc::new(RealDir::open(folder).expect("a folder"));
    let store = Driven::open(dir, options()).expect("open");
    let mut bytes = 0;
    for segment in 0..SEGMENTS {
        let event = |number: u64| MessageEvent {
            attributes: vec![("note".to_owned(), Value::Text(format!("{number:0>600}")))],
            ..kit::event(1, segment * events + number, Stage::Work)
        };
        let batch = kit::batch(NOW_NS + segment as i64, &(0..events).map(event).collect::<Vec<_>>());
        bytes += batch.byte_len();
        store.commit(vec![batch]).swap_remove(0).expect("stored");
        store.freeze().expect("a new log");
        assert!(store.seal_one().expect("sealed"));
    }
    (store, bytes)
}

#[test]
fn reads_and_merges_stay_within_their_memory() {
    let [small, large] = EVENTS.map(|events| {
        let folder = tempfile::tempdir().expect("a folder");
        let (store, bytes) = filled(folder.path(), events);
        reads_stay_within_their_memory(&store);
        let (merged, peak) = peak_of(|| store.compact_one(true));
        assert!(merged.expect("merged"));
        println!("a merge of {bytes} bytes took {peak}");
        peak
    });
    let more_rows = (SEGMENTS * (EVENTS[1] - EVENTS[0])) as usize;
    assert!(large < small + more_rows * MERGE_ROW_MAX, "{large} instead of {small}: all of the inputs");
}

fn reads_stay_within_their_memory(store: &Driven) {
    let page = Page { events_max: 100, after: None, now_ns: NOW_NS };
    let (found, peak) = peak_of(|| store.search(&Query::default(), &page));
    assert_eq!(found.expect("answers").events.len(), 100);
    assert!(peak < READ_MAX, "a search took {peak} bytes");
    let limits = Limits { events_max: 100, ..Limits::default() };
    let keys = [Key::Trace(kit::event(1, 0, Stage::Work).trace)];
    let (found, peak) = peak_of(|| store.events(&keys, &limits));
    assert_eq!(found.expect("answers").events.len(), 100);
    assert!(peak < READ_MAX, "a trace took {peak} bytes");
    let aggregation = Aggregation { by: vec![Dimension::Service], now_ns: NOW_NS, ..Aggregation::default() };
    let (counted, peak) = peak_of(|| store.aggregate(&aggregation));
    counted.expect("answers");
    assert!(peak < READ_MAX, "an aggregation took {peak} bytes");
}
