//! Property: whatever is appended, and sealed, merged or reopened in between, the embedded store answers as the memory
//! store does.

use hopscope_model::query::Time;
use hopscope_model::{Key, Limits, Query, Tenant};
use hopscope_store::embedded::sim_dir::SimDir;
use hopscope_store::embedded::{Embedded, Options};
use hopscope_store::kit::{DIMENSIONS, NOW_NS, SECOND_NS, random, random::Random};
use hopscope_store::memory::Memory;
use hopscope_store::{Aggregation, Counted, Dimension, Page, Store};
use proptest::prelude::*;
use std::num::NonZero;
use std::sync::Arc;

async fn all_events(store: &dyn Store, keys: &[Key], events_max: usize) -> String {
    let limits = Limits { events_max, ..Limits::default() };
    let mut told = String::new();
    let mut after: Option<String> = None;
    loop {
        let page = store.events(&Tenant::default(), keys, &limits, after.as_deref()).await.expect("events");
        assert!(page.coverage.complete, "{:?}", page.coverage);
        told += &format!("{:#?}\n{:#?}\n", page.events, page.progress);
        after = page.next;
        if after.is_none() {
            return told;
        }
    }
}

async fn all_found(store: &dyn Store, query: &Query, events_max: usize) -> String {
    let mut told = String::new();
    let mut page = Page { events_max, after: None, now_ns: NOW_NS };
    loop {
        let found = store.search(&Tenant::default(), query, &page).await.expect("search");
        told += &format!("{:#?}\n", found.events);
        page.after = found.next;
        if page.after.is_none() {
            return told;
        }
    }
}

/// Counts, as they are and by steps of some seconds (0 for none).
async fn counts(store: &dyn Store, query: &Query, by: Vec<Dimension>, step_s: i64) -> String {
    let mut query = query.clone();
    if step_s > 0 {
        query.since.get_or_insert(Time::At(NOW_NS - 600 * SECOND_NS));
        query.until.get_or_insert(Time::At(NOW_NS + 600 * SECOND_NS));
    }
    let step_ns = NonZero::new(step_s * SECOND_NS);
    let aggregation = Aggregation {
        by,
        query,
        step_ns,
        now_ns: NOW_NS,
        rows_max: 1_000,
        measured: true,
        ..Aggregation::default()
    };
    format!("{:#?}", store.aggregate(&Tenant::default(), &aggregation).await.expect("aggregate").rows)
}

async fn tallied(store: &dyn Store, query: &Query, by: Vec<Dimension>, step_s: i64) -> String {
    let mut query = query.clone();
    if step_s > 0 {
        query.since = Some(Time::At(NOW_NS - 240 * SECOND_NS));
        query.until = Some(Time::At(NOW_NS - 30 * SECOND_NS));
    }
    let step_ns = NonZero::new(step_s * SECOND_NS);
    let of = Counted::Tallies;
    let aggregation =
        Aggregation { of, by, query, step_ns, now_ns: NOW_NS, rows_max: 1_000, measured: false };
    format!("{:#?}", store.aggregate(&Tenant::default(), &aggregation).await.expect("aggregate").rows)
}

async fn check(seed: u64) {
    let mut random = Random(seed);
    let memory = Memory::new();
    let dir = SimDir::new();
    let options = Options {
        seal_rows: 1 + random.below(60) as usize,
        compact_rows: 20 + random.below(100) as usize,
        compact_segments_max: 2 + random.below(20) as usize,
        ..Options::default()
    };
    // Batches of one day or of several.
    let apart_s = [1, 1, 40_000][random.below(3) as usize];
    let open = || Embedded::open_in(Arc::new(dir.clone()), options.clone()).expect("open");
    let mut embedded = open();
    let mut sent = Vec::new();
    for number in 0..2 + random.below(8) {
        let batch = random::batch(&mut random, number as i64 * apart_s, 12, &mut sent);
        let expected = memory.append(batch.clone()).await.expect("append");
        let appended = embedded.append(batch).await.expect("append");
        assert!(appended.stored >= expected.stored, "old duplicates may be found later, never lost");
        match random.below(6) {
            0 | 1 => embedded.seal().await.expect("seal"),
            2 => embedded.compact().await.expect("compact"),
            3 => {
                drop(embedded);
                embedded = open();
            }
            _ => {}
        }
        if random.chance(3) {
            compare(&memory, &embedded, &mut random).await;
        }
    }
    compare(&memory, &embedded, &mut random).await;
}

async fn compare(memory: &Memory, embedded: &Embedded, random: &mut Random) {
    for _ in 0..4 {
        let events_max = 1 + random.below(20) as usize;
        let keys: Vec<Key> = (0..1 + random.below(3)).map(|_| random::key(random)).collect();
        let (one, other) =
            (all_events(memory, &keys, events_max).await, all_events(embedded, &keys, events_max).await);
        assert!(one == other, "{keys:?}\nmemory: {one}\nembedded: {other}");
        let query = random::query(random);
        let (one, other) =
            (all_found(memory, &query, events_max).await, all_found(embedded, &query, events_max).await);
        assert!(one == other, "{query:?}\nmemory: {one}\nembedded: {other}");
        let by: Vec<Dimension> = DIMENSIONS.into_iter().filter(|_| random.chance(3)).collect();
        let step_s = [0, 7, 60][random.below(3) as usize];
        let one = counts(memory, &query, by.clone(), step_s).await;
        let other = counts(embedded, &query, by.clone(), step_s).await;
        assert_eq!(one, other, "{query:?} step_s={step_s}");
        let step_s = [0, 0, 20, 60][random.below(4) as usize];
        let query = if random.chance(2) { Query::default() } else { query };
        let one = tallied(memory, &query, by.clone(), step_s).await;
        let other = tallied(embedded, &query, by, step_s).await;
        assert_eq!(one, other, "{query:?} step_s={step_s}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn answers_are_the_same(seed in any::<u64>()) {
        hopscope_store::kit::run(check(seed));
    }
}
