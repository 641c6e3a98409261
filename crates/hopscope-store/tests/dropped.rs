//! What retention dropped is said by every answer that might have had it, and by no other.
#![allow(clippy::expect_used, reason = "test code")]

use hopscope_model::{Coverage, Key, Limits, Query, Tenant};
use hopscope_store::embedded::sim_dir::SimDir;
use hopscope_store::embedded::{Embedded, Options, day_begins_ns, day_of};
use hopscope_store::kit::{self, NOW_NS, SECOND_NS};
use hopscope_store::{Age, Aggregation, Page, Policy, Store};
use std::sync::Arc;

/// Ten days with ten events each, of which those before the last five are dropped.
async fn dropped() -> Embedded {
    let store = Embedded::open_in(Arc::new(SimDir::new()), Options::default()).expect("open");
    for ago in (0..10i64).rev() {
        let day_ns = day_begins_ns(day_of(NOW_NS) - ago);
        let mut events = kit::copies(ago as u64 + 1, 10, 0);
        for (number, event) in events.iter_mut().enumerate() {
            event.start_ns = day_ns + number as i64 * SECOND_NS;
            event.keys = vec![format!("ago-{ago}")];
        }
        store.append(kit::batch(day_ns + 60 * SECOND_NS, &events)).await.expect("appended");
        store.seal().await.expect("sealed");
    }
    let policy = Policy { ages: vec![Age { destination: "*".into(), days: Some(4) }], ..Policy::default() };
    store.apply(&Tenant::default(), &policy, NOW_NS).await.expect("applied");
    store
}

fn says_so(coverage: &Coverage) -> bool {
    let said = coverage.why_not.iter().any(|why| why.starts_with("retention dropped "));
    assert_eq!(said, !coverage.complete, "{coverage:?}");
    said
}

#[tokio::test]
async fn a_search_whose_range_was_dropped_says_so() {
    let store = dropped().await;
    for (query, events_max, expected) in [
        ("", 20, (20, false)),
        ("", 50, (50, true)),
        ("since:8d", 100, (50, true)),
        ("since:8d until:6d", 100, (0, true)),
        ("since:3d", 100, (39, false)),
        ("key:ago-7", 100, (0, true)),
        ("key:ago-7 since:1d", 100, (0, false)),
    ] {
        let asked: Query = query.parse().expect("a query");
        let page = Page { events_max, after: None, now_ns: day_begins_ns(day_of(NOW_NS)) + 1 };
        let found = store.search(&Tenant::default(), &asked, &page).await.expect("answered");
        assert_eq!((found.events.len(), says_so(&found.coverage)), expected, "{query}");
        let aggregation =
            Aggregation { query: asked, now_ns: page.now_ns, rows_max: 9, ..Aggregation::default() };
        let counted = store.aggregate(&Tenant::default(), &aggregation).await.expect("answered");
        assert_eq!(says_so(&counted.coverage), expected.1 || query.is_empty(), "{query}");
    }
}

#[tokio::test]
async fn a_key_that_finds_nothing_may_be_of_what_was_dropped() {
    let store = dropped().await;
    for (key, expected) in [("ago-7", (0, true)), ("ago-2", (10, false))] {
        let key = [Key::Business(key.to_owned())];
        let told = store.events(&Tenant::default(), &key, &Limits::default(), None).await.expect("answered");
        assert_eq!((told.events.len(), says_so(&told.coverage)), expected);
    }
}
