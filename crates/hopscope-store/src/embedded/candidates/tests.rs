use super::super::folder::{Folder, Item};
use super::super::options::Options;
use super::super::read::Cancel;
use super::super::segment::Caches;
use super::super::sim_dir::SimDir;
use crate::kit::{self, NOW_NS, SECOND_NS};
use crate::{ErrorKind, Page};
use hopscope_model::{Key, Limits, MessageEvent, Query, Tenant, Value};
use std::sync::Arc;

/// Events of each of the segments, all under one key.
const EVENTS: u64 = 40_000;

fn opened(options: &Options) -> (Folder, Arc<Caches>) {
    let caches = Arc::new(Caches::new(options));
    let dir = Arc::new(SimDir::new());
    let folder = Folder::open(dir, Tenant::default(), options.clone(), Arc::clone(&caches)).expect("open");
    (folder, caches)
}

/// Two sealed segments in which every event is under the same key, one after another in time.
fn busy(options: &Options) -> (Folder, Arc<Caches>) {
    let (folder, caches) = opened(options);
    for segment in 0..2 {
        let events: Vec<MessageEvent> = (0..EVENTS).map(|number| event(segment * EVENTS + number)).collect();
        let item = Item::new(kit::batch(NOW_NS, &events), options).expect("short enough");
        folder.commit(vec![item]).swap_remove(0).expect("stored");
        folder.seal_all().expect("sealed");
    }
    (folder, caches)
}

fn event(number: u64) -> MessageEvent {
    let mut event = kit::copies(number + 1, 1, 1).swap_remove(0);
    event.keys = vec!["tenant-7".to_owned()];
    let of_all = ("route".to_owned(), Value::Text(format!("/{}", number % 7)));
    let of_one = ("request".to_owned(), Value::Int(number as i64));
    let of_few = ("late".to_owned(), Value::Bool(true));
    event.attributes =
        [of_all, of_one].into_iter().chain((number % 30_000 == 77).then_some(of_few)).collect();
    event.start_ns = NOW_NS - SECOND_NS * 3_600 + number as i64 * 1_000_000;
    event
}

fn search(folder: &Folder, query: &str, after: Option<String>) -> crate::Found {
    let query: Query = query.parse().expect("a query");
    let page = Page { events_max: 20, after, now_ns: NOW_NS };
    folder.search(&query, &page, &Cancel::default()).expect("answers")
}

#[test]
fn the_newest_page_of_a_key_with_many_rows_reads_few_of_them() {
    let (folder, caches) = busy(&Options::default());
    let mut after = None;
    let mut newest = 2 * EVENTS;
    for page in 0..3 {
        let before = caches.rows_read();
        let found = search(&folder, "key:tenant-7", after);
        let read = caches.rows_read() - before;
        assert!(read < EVENTS / 2, "page {page} read {read} rows");
        let starts: Vec<i64> = found.events.iter().map(|event| event.start_ns).collect();
        let expected: Vec<i64> = (1..=20).map(|number| event(newest - number).start_ns).collect();
        assert_eq!(starts, expected, "page {page}");
        (newest, after) = (newest - 20, found.next);
        assert!(after.is_some() && found.coverage.complete);
    }
}

#[test]
fn the_oldest_events_under_a_key_with_many_rows_are_told_without_the_others() {
    let (folder, caches) = busy(&Options::default());
    let limits = Limits { events_max: 20, ..Limits::default() };
    let keys = [Key::Business("tenant-7".to_owned())];
    let mut after: Option<String> = None;
    for page in 0..3 {
        let before = caches.rows_read();
        let told = folder.events(&keys, &limits, after.as_deref(), &Cancel::default()).expect("answers");
        let read = caches.rows_read() - before;
        assert!(read < EVENTS / 2, "page {page} read {read} rows");
        let starts: Vec<i64> = told.events.iter().map(|event| event.start_ns).collect();
        let expected: Vec<i64> = (0..20).map(|number| event(page * 20 + number).start_ns).collect();
        assert_eq!(starts, expected, "page {page}");
        after = told.next;
    }
}

#[test]
fn an_attribute_that_few_have_is_found_in_few_pages() {
    let (folder, caches) = busy(&Options::default());
    // Of two segments one page and some that a filter is wrong of.
    let few = 12 * 2_048;
    for (query, expected, rows_max) in [
        ("attr.request:4711", vec![4_711], few),
        ("attr.request:-1", vec![], few),
        ("attr.late:true", vec![60_077, 30_077, 77], few),
        ("attr.late:* attr.route:/5", vec![30_077], few),
        ("attr.nowhere:*", vec![], few),
        ("attr.route:/7", vec![], few),
        ("-attr.request:* attr.route:/0", vec![], 2 * EVENTS * 2),
    ] {
        let before = caches.rows_read();
        let found = search(&folder, query, None);
        let read = caches.rows_read() - before;
        assert!(read <= rows_max, "{query} read {read} rows");
        let starts: Vec<i64> = found.events.iter().map(|event| event.start_ns).collect();
        let expected: Vec<i64> = expected.into_iter().map(|number| event(number).start_ns).collect();
        assert_eq!(starts, expected, "{query}");
        assert!(found.next.is_none() && found.coverage.complete, "{query}");
    }
}

#[test]
fn what_several_threads_find_is_all_there_and_in_order() {
    let (folder, _) = busy(&Options { read_threads_max: 3, ..Options::default() });
    let query: Query = "attr.route:/3".parse().expect("a query");
    let mut page = Page { events_max: 5_000, after: None, now_ns: NOW_NS };
    let mut starts: Vec<i64> = Vec::new();
    loop {
        let found = folder.search(&query, &page, &Cancel::default()).expect("answers");
        starts.extend(found.events.iter().map(|event| event.start_ns));
        page.after = found.next;
        if page.after.is_none() {
            break;
        }
    }
    let expected: Vec<i64> = (0..2 * EVENTS)
        .rev()
        .filter(|number| number % 7 == 3)
        .map(|number| NOW_NS - SECOND_NS * 3_600 + number as i64 * 1_000_000)
        .collect();
    assert!(starts == expected, "{} of {}", starts.len(), expected.len());
}

#[test]
fn the_newest_of_everything_reads_the_rows_that_it_shows() {
    let (folder, caches) = busy(&Options::default());
    let before = caches.rows_read();
    let found = search(&folder, "", None);
    let read = caches.rows_read() - before;
    assert_eq!(found.events.len(), 20);
    assert!(read < 100, "read {read} rows");
}

#[test]
fn a_read_that_needs_too_much_memory_says_so() {
    let options = Options { read_bytes_max: 4, ..Options::default() };
    let (folder, _) = busy(&options);
    let keys = [Key::Business("tenant-7".to_owned())];
    let refused = folder.events(&keys, &Limits::default(), None, &Cancel::default()).expect_err("too much");
    assert_eq!(refused.kind, ErrorKind::Invalid);
    assert!(refused.message.contains("read_bytes_max=4\nhint: "), "{}", refused.message);
}
