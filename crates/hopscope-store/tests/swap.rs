//! Reads while tables become segments: each sees all that was acknowledged before it began, every event once,
//! and never half of a change.

use hopscope_model::{Query, Stage, Tenant};
use hopscope_store::embedded::sim_dir::SimDir;
use hopscope_store::embedded::{Embedded, Options};
use hopscope_store::kit::{self, NOW_NS};
use hopscope_store::{Page, Store};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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
        let options = Options { seal_rows: 8, ..Options::default() };
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
