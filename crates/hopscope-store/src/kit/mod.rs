//! The contract kit: what every [`Store`] must do, as named cases.
//!
//! A store's test file says which subject the cases run against; each case becomes a test of its own:
//!
//! ```
//! use hopscope_store::{Store, kit, memory::Memory};
//! use std::sync::Arc;
//!
//! fn subject() -> kit::Subject {
//!     kit::Subject::new(Arc::new(Memory::new()))
//! }
//! hopscope_store::store_kit!(subject());
//! # fn main() {}
//! ```
//!
//! A store that has an inside worth reaching (sealing, replay) gives a hook that is called after every append,
//! so that the same cases run against freshly appended, sealed and reopened data.
#![allow(clippy::expect_used, reason = "the kit is test code: a broken expectation is the failure")]

mod append;
mod build;
mod counting;
mod finding;
mod progressing;
pub mod random;
mod searching;
mod tallying;

pub use append::*;
pub use build::{at, batch, copies, event, message, progress_at};
pub use counting::*;
pub use finding::*;
pub use progressing::*;
pub use searching::*;
pub use tallying::*;

use crate::{Aggregated, Aggregation, Appended, Error, Found, Page, Store};
use hopscope_model::{Batch, Evidence, Key, Limits, MessageEvent, Query, Tenant};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

/// What a hook gives back: a future of the store to go on with.
pub type Next = Pin<Box<dyn Future<Output = Arc<dyn Store>> + Send>>;

/// Takes the store after an append, and gives the one to go on with.
type Hook = dyn Fn(Arc<dyn Store>) -> Next + Send + Sync;

/// A store under test.
pub struct Subject {
    store: Mutex<Arc<dyn Store>>,
    hook: Option<Box<Hook>>,
    /// Whatever must live as long as the store (a temporary folder).
    pub holds: Option<Box<dyn std::any::Any + Send + Sync>>,
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").finish_non_exhaustive()
    }
}

impl Subject {
    /// A store as it is. It must be empty.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store: Mutex::new(store), hook: None, holds: None }
    }

    /// The same, with something done to it after every append.
    pub fn with_hook(mut self, hook: impl Fn(Arc<dyn Store>) -> Next + Send + Sync + 'static) -> Self {
        self.hook = Some(Box::new(hook));
        self
    }

    /// The same, holding something for as long as it lives.
    pub fn holding(mut self, value: impl std::any::Any + Send + Sync) -> Self {
        self.holds = Some(Box::new(value));
        self
    }

    /// The store as it is now.
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Appends, and calls the hook.
    pub async fn append(&self, batch: Batch) -> Result<Appended, Error> {
        let store = self.store();
        let appended = store.append(batch).await?;
        if let Some(hook) = &self.hook {
            // The store is handed over: a hook that reopens the folder must be the only holder of its lock.
            let placeholder: Arc<dyn Store> = Arc::new(crate::memory::Memory::new());
            *self.store.lock().unwrap_or_else(PoisonError::into_inner) = placeholder;
            let next = hook(store).await;
            *self.store.lock().unwrap_or_else(PoisonError::into_inner) = next;
        }
        Ok(appended)
    }

    /// Appends events in one batch received at `received_ns`.
    pub async fn put(&self, received_ns: i64, events: &[MessageEvent]) -> Appended {
        self.append(batch(received_ns, events)).await.expect("append")
    }

    /// All pages of [`Store::events`], put together; the coverage is that of the first page.
    pub async fn all_events(&self, keys: &[Key], limits: &Limits) -> Evidence {
        let store = self.store();
        let tenant = Tenant::default();
        let mut all = store.events(&tenant, keys, limits, None).await.expect("first page");
        while let Some(next) = all.next.take() {
            let page = store.events(&tenant, keys, limits, Some(&next)).await.expect("next page");
            assert!(!page.events.is_empty() || page.next.is_none(), "only the last page may be empty");
            assert!(page.events.len() <= limits.events_max, "a page keeps to its limit");
            assert!(page.progress.is_empty(), "progress comes with the first page");
            all.events.extend(page.events);
            all.next = page.next;
        }
        all
    }

    /// The events under one key, in one answer.
    pub async fn under(&self, key: Key) -> Vec<MessageEvent> {
        self.all_events(&[key], &Limits::default()).await.events
    }

    /// One page of a search.
    pub async fn search(&self, query: &Query, events_max: usize, after: Option<String>) -> Found {
        let page = Page { events_max, after, now_ns: NOW_NS };
        self.store().search(&Tenant::default(), query, &page).await.expect("search")
    }

    /// All pages of a search, put together.
    pub async fn all_found(&self, query: &Query, events_max: usize) -> Vec<MessageEvent> {
        let mut found = self.search(query, events_max, None).await;
        while let Some(next) = found.next.take() {
            let page = self.search(query, events_max, Some(next)).await;
            assert!(!page.events.is_empty() || page.next.is_none(), "only the last page may be empty");
            assert!(page.events.len() <= events_max, "a page keeps to its limit");
            found.events.extend(page.events);
            found.next = page.next;
        }
        found.events
    }

    /// Counts.
    pub async fn aggregate(&self, aggregation: &Aggregation) -> Aggregated {
        self.store().aggregate(&Tenant::default(), aggregation).await.expect("aggregate")
    }
}

/// Now, in every case: 2026-01-01T00:00:00Z.
pub const NOW_NS: i64 = 1_767_225_600_000_000_000;

/// One second in ns.
pub const SECOND_NS: i64 = 1_000_000_000;

/// Makes a test of every case of the kit. The expression makes a fresh [`Subject`](crate::kit::Subject).
#[macro_export]
macro_rules! store_kit {
    ($subject:expr) => {
        $crate::store_kit!(@cases $subject;
            an_empty_batch_stores_nothing,
            an_empty_store_answers_empty_and_complete,
            every_field_comes_back,
            odd_values_come_back,
            the_same_event_twice_is_stored_once,
            the_same_event_twice_in_one_batch_is_stored_once,
            the_first_content_wins_and_conflicts_are_counted,
            a_duplicate_is_not_found_by_what_only_it_has,
            a_repeat_with_another_time_is_never_shown,
            tenants_are_isolated,
            concurrent_appends_are_all_there,
            finds_by_trace_oldest_first,
            finds_by_span_and_by_children,
            finds_by_creation,
            finds_by_position,
            finds_by_position_with_an_absent_cluster,
            finds_by_message_id,
            finds_by_correlation_and_business_key,
            finds_under_several_keys_each_once,
            finds_over_several_appends,
            unknown_keys_find_nothing,
            events_are_paged_exactly_once,
            events_with_equal_times_are_paged_exactly_once,
            events_keep_to_a_limit_of_bytes,
            a_foreign_cursor_is_invalid,
            searches_newest_first,
            search_is_paged_exactly_once,
            search_with_equal_times_is_paged_exactly_once,
            searches_every_field_as_the_query_matches,
            searches_every_attribute_by_the_text_of_its_value,
            searches_attributes_of_resources,
            searches_free_text_as_the_query_matches,
            searches_a_range_of_time,
            search_leaves_states_out,
            coverage_names_what_is_stored,
            counts_by_every_dimension,
            counts_what_matches,
            counts_over_appends_without_duplicates,
            says_when_rows_are_left_out,
            progress_newest_of_each_kind_and_group,
            progress_newest_on_the_whole_destination,
            progress_first_floor_that_passed,
            progress_of_other_lanes_and_systems_is_left_out,
            progress_over_several_appends,
            progress_without_events_is_kept,
            retention_keeps_what_is_newer,
            retention_drops_only_whole_units,
            a_sound_store_has_no_findings,
            tallies_count_differences,
            tallies_sent_twice_count_once,
            tallies_out_of_order_count_the_same,
            tallies_of_a_restart_and_of_two_instances_add_up,
            tallies_without_a_start_count_from_their_first_sample,
            tallies_of_a_run_that_began_before_the_range,
            tallies_between_two_samples_are_spread_evenly,
            tallies_often_within_a_minute_count_as_the_minute,
            tallies_by_every_dimension,
            tallies_keep_how_values_spread,
            tallies_that_are_levels_are_not_summed_over_time,
            tallies_beside_events_and_other_tenants,
            counts_of_events_by_time,
            retention_of_tallies_keeps_what_is_newer
        );
    };
    (@cases $subject:expr; $($case:ident),*) => {$(
        #[test]
        fn $case() {
            $crate::kit::run($crate::kit::$case($subject));
        }
    )*};
}

/// Runs one case on a runtime of its own.
pub fn run(case: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build();
    runtime.expect("a runtime").block_on(case);
}
