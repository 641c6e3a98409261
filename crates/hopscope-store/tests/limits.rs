//! What the embedded store refuses, and how it says so.

use hopscope_model::{Key, Limits, MessageEvent, Query, Stage, Tenant};
use hopscope_store::embedded::sim_dir::SimDir;
use hopscope_store::embedded::{Embedded, Options};
use hopscope_store::kit::{self, NOW_NS};
use hopscope_store::{ErrorKind, Page, Retention, Store};
use std::sync::Arc;

#[test]
fn one_process_per_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = Embedded::open(folder.path(), Options::default()).expect("open");
    let error = Embedded::open(folder.path(), Options::default()).expect_err("locked");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.starts_with("another hopscope is using this folder\nhint: "), "{error}");
    drop(first);
    Embedded::open(folder.path(), Options::default()).expect("open again");
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_not_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    kit::run(async {
        let store = Embedded::open(folder.path(), Options::default()).expect("open");
        store.append(kit::batch(NOW_NS, &kit::copies(1, 10, 1))).await.expect("stored");
        store.seal().await.expect("sealed");
    });
    let manifest = folder.path().join("default/MANIFEST");
    let text = std::fs::read_to_string(&manifest).expect("text");
    let (_, body) = text.split_once('\n').expect("a first line");
    let checksum = crc32c::crc32c_append(crc32c::crc32c(b"1000"), body.as_bytes());
    let newer = format!("hopscope-manifest 1000 crc32c={checksum:08x}\n{body}");
    std::fs::write(&manifest, &newer).expect("written");
    let names = || -> Vec<_> {
        let entries = std::fs::read_dir(folder.path().join("default")).expect("a folder");
        entries.map(|entry| entry.expect("an entry").file_name()).collect()
    };
    let before = names();
    let error = Embedded::open(folder.path(), Options::default()).expect_err("newer");
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.contains("a newer hopscope format=1000 known="), "{error}");
    assert!(error.message.contains("\nhint: "), "{error}");
    assert_eq!(std::fs::read_to_string(&manifest).expect("text"), newer);
    assert_eq!(names(), before);
}

#[test]
fn a_file_is_no_folder() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let error = Embedded::open(file.path(), Options::default()).expect_err("no folder");
    assert!(error.message.contains("cannot open the folder"), "{error}");
}

#[test]
fn a_batch_that_is_too_long_is_invalid() {
    kit::run(async {
        let options = Options { batch_bytes_max: 1_000, ..Options::default() };
        let store = Embedded::open_in(Arc::new(SimDir::new()), options).expect("open");
        let error = store.append(kit::batch(NOW_NS, &kit::copies(1, 100, 1))).await.expect_err("too long");
        assert_eq!(error.kind, ErrorKind::Invalid);
        store.append(kit::batch(NOW_NS, &kit::copies(1, 1, 1))).await.expect("stored");
    });
}

#[test]
fn a_full_queue_is_refused_and_loses_nothing() {
    kit::run(async {
        let options = Options { wal_queue_bytes_max: 20_000, ..Options::default() };
        let store = Arc::new(Embedded::open_in(Arc::new(SimDir::new()), options).expect("open"));
        let appends: Vec<_> = (0..200u64)
            .map(|trace| {
                let store = Arc::clone(&store);
                tokio::spawn(
                    async move { store.append(kit::batch(NOW_NS, &kit::copies(trace, 10, 1))).await },
                )
            })
            .collect();
        let mut stored = 0;
        for append in appends {
            match append.await.expect("no panic") {
                Ok(appended) => stored += appended.stored,
                Err(error) => assert_eq!(error.kind, ErrorKind::Unavailable),
            }
        }
        let page = Page { events_max: 10_000, after: None, now_ns: NOW_NS };
        let found = store.search(&Tenant::default(), &Query::default(), &page).await.expect("answers");
        assert_eq!(found.events.len() as u64, stored);
        assert!(stored >= 10, "one batch is always let in");
    });
}

#[test]
fn a_closed_store_refuses_and_still_answers() {
    kit::run(async {
        let store = Embedded::open_in(Arc::new(SimDir::new()), Options::default()).expect("open");
        store.append(kit::batch(NOW_NS, &kit::copies(1, 10, 1))).await.expect("stored");
        store.close().await.expect("closed");
        let error = store.append(kit::batch(NOW_NS, &kit::copies(2, 10, 1))).await.expect_err("closed");
        assert_eq!(error.kind, ErrorKind::Unavailable);
        let keys = [Key::Trace(kit::event(1, 0, Stage::Work).trace)];
        let found = store.events(&Tenant::default(), &keys, &Limits::default(), None).await.expect("answers");
        assert_eq!(found.events.len(), 10);
    });
}

#[test]
fn a_message_in_a_long_trace_is_found_by_its_own_keys() {
    kit::run(async {
        let store = Embedded::open_in(Arc::new(SimDir::new()), Options::default()).expect("open");
        let mut events: Vec<MessageEvent> = kit::copies(1, 20_000, 1);
        events.iter_mut().for_each(|event| event.destination = event.service.clone());
        store.append(kit::batch(NOW_NS, &events)).await.expect("stored");
        store.seal().await.expect("sealed");
        let span = Key::Span(events[12_345].span);
        let found =
            store.events(&Tenant::default(), &[span], &Limits::default(), None).await.expect("answers");
        assert_eq!(found.events.len(), 1);
        let limits = Limits { events_max: 100, ..Limits::default() };
        let trace = [Key::Trace(events[0].trace)];
        let page = store.events(&Tenant::default(), &trace, &limits, None).await.expect("answers");
        assert_eq!((page.events.len(), page.next.is_some()), (100, true));
    });
}

/// Files of segments that this process has open below a folder, removed ones included.
fn open_segment_files(folder: &std::path::Path) -> usize {
    let descriptors = std::fs::read_dir("/proc/self/fd").expect("descriptors").flatten();
    let files = descriptors.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    files.filter(|file| file.starts_with(folder) && file.to_string_lossy().contains("/seg-")).count()
}

/// Ten thousand segments, of which a hundred are there at a time.
#[test]
fn ten_thousand_segments_that_were_read_leave_no_descriptor() {
    const SEGMENTS: u64 = 100;
    const ROUNDS: u64 = 100;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().canonicalize().expect("a path");
    let options = Options { files_open_max: 10, compact: false, ..Options::default() };
    kit::run(async {
        let store = Embedded::open(&path, options.clone()).expect("open");
        for trace in 1..=SEGMENTS {
            store.append(kit::batch(NOW_NS, &kit::copies(trace, 1, 1))).await.expect("stored");
            store.seal().await.expect("sealed");
        }
        drop(store);
        for _ in 0..ROUNDS {
            let store = Embedded::open(&path, options.clone()).expect("open again");
            // A row is read of every segment.
            let found = store.search(&Tenant::default(), &Query::default(), &newest(1_000)).await;
            assert_eq!(found.expect("answers").events.len() as u64, SEGMENTS);
            let open = open_segment_files(&path);
            assert!((1..=10).contains(&open), "{open} files are open");
            drop(store);
            assert_eq!(open_segment_files(&path), 0);
        }
    });
}

fn newest(events_max: usize) -> Page {
    Page { events_max, after: None, now_ns: NOW_NS }
}

#[test]
fn many_segments_take_few_descriptors_and_none_when_they_are_gone() {
    const SEGMENTS: u64 = 120;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().canonicalize().expect("a path");
    let options = Options { files_open_max: 10, ..Options::default() };
    kit::run(async {
        let store = Embedded::open(&path, options.clone()).expect("open");
        for trace in 1..=SEGMENTS {
            store.append(kit::batch(NOW_NS, &kit::copies(trace, 1, 1))).await.expect("stored");
            store.seal().await.expect("sealed");
        }
        drop(store);
        let store = Embedded::open(&path, options).expect("open again");
        for trace in 1..=SEGMENTS {
            let keys = [Key::Trace(kit::event(trace, 0, Stage::Work).trace)];
            let found = store.events(&Tenant::default(), &keys, &Limits::default(), None).await;
            assert_eq!(found.expect("answers").events.len(), 1);
        }
        // Merging has the files open that it writes, besides.
        let open = open_segment_files(&path);
        assert!((1..=20).contains(&open), "{open} files are open");
        let retention = Retention { keep_since_ns: i64::MAX };
        let retained = store.retain(&Tenant::default(), &retention).await.expect("retained");
        assert_eq!(retained.dropped_events, SEGMENTS);
        while open_segment_files(&path) > 0 {
            // A merge that was under way lets go of its inputs at its end.
            tokio::task::yield_now().await;
        }
    });
}
