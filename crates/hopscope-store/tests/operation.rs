//! Operating a store on a real disk: snapshots beside a live store, backups, exports, repair, retention.

use hopscope_model::{Key, Limits, MessageEvent, Query, Tenant};
use hopscope_store::embedded::{self, Embedded, Import, Options, Snapshot, day_begins_ns, day_of};
use hopscope_store::kit::{self, NOW_NS};
use hopscope_store::{Age, Depth, ErrorKind, Hold, Page, Policy, Store};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Semaphore;

fn open(data: &Path) -> Embedded {
    Embedded::open(data, Options::default()).expect("opens")
}

/// Appends messages `from` to `to`, received at that time.
async fn append(store: &Embedded, numbers: std::ops::Range<u64>, received_ns: i64) {
    let events: Vec<MessageEvent> = numbers.flat_map(|number| kit::message(number, "payment")).collect();
    store.append(kit::batch(received_ns, &events)).await.expect("stored");
}

/// Every event, and whether that is all.
async fn all(store: &Embedded) -> (BTreeSet<String>, bool) {
    let page = Page { events_max: 100_000, after: None, now_ns: NOW_NS };
    let found = store.search(&Tenant::default(), &Query::default(), &page).await.expect("answers");
    let told = found.events.iter().map(|event| format!("{event:?}"));
    (told.collect(), found.coverage.complete)
}

/// How many events are found by a key of the first segment.
async fn by_key(store: &Embedded) -> usize {
    let key = [Key::Business("order-3".to_owned())];
    let found = store.events(&Tenant::default(), &key, &Limits::default(), None).await.expect("answers");
    found.events.len()
}

/// Two segments and a log.
async fn three_parts(data: &Path) -> Embedded {
    let store = open(data);
    append(&store, 0..40, NOW_NS).await;
    store.seal().await.expect("sealed");
    append(&store, 40..70, NOW_NS + 1).await;
    store.seal().await.expect("sealed");
    append(&store, 70..80, NOW_NS + 2).await;
    store
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|it| it == extension)).collect();
    files.sort();
    files
}

fn flip(file: &Path) {
    let mut bytes = fs::read(file).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(file, bytes).expect("written");
}

#[tokio::test]
async fn a_snapshot_beside_a_live_store_holds_what_was_acknowledged_and_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = three_parts(folder.path()).await;
    let before = all(&store).await;
    let snapshot = Snapshot::take(folder.path()).expect("a snapshot");
    append(&store, 80..90, NOW_NS + 3).await;
    store.seal().await.expect("sealed");
    let reading = open(snapshot.path());
    assert_eq!(all(&reading).await, before);
    reading.seal().await.expect("a snapshot is a store of its own");
    assert_eq!(reading.check(Depth::Full).await.expect("checked").findings, []);
    drop(reading);
    let path = snapshot.path().to_owned();
    drop(snapshot);
    assert!(!path.exists(), "gone with its user");
    assert_eq!(all(&store).await.0.len(), 90 * 3);
    assert!(store.check(Depth::Full).await.expect("checked").findings.is_empty());
}

/// Sealing, merging and retention go on all the time: what was acknowledged before a snapshot is in it, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_of_a_store_that_never_rests_are_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options { seal_rows: 20, compact_segments_max: 3, ..Options::default() };
    let store = Arc::new(Embedded::open(folder.path(), options).expect("opens"));
    let acknowledged = Arc::new(AtomicU64::new(0));
    // It goes on while snapshots are taken, and does not outgrow what one answer holds.
    let allowed = Arc::new(Semaphore::new(0));
    let writer = tokio::spawn({
        let (store, acknowledged) = (Arc::clone(&store), Arc::clone(&acknowledged));
        let allowed = Arc::clone(&allowed);
        async move {
            for number in 0.. {
                allowed.acquire().await.expect("open").forget();
                append(&store, number..number + 1, NOW_NS + number as i64).await;
                acknowledged.store(number + 1, Ordering::SeqCst);
            }
        }
    });
    for _ in 0..25 {
        allowed.add_permits(200);
        let before = acknowledged.load(Ordering::SeqCst) as usize;
        let snapshot = Snapshot::take(folder.path()).expect("a snapshot");
        let (events, complete) = all(&open(snapshot.path())).await;
        assert!(complete && events.len() >= before * 3, "{} of {}", events.len(), before * 3);
    }
    writer.abort();
}

#[test]
fn a_folder_that_is_no_store_is_not_made_one() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("letter.txt"), "dear").expect("written");
    for wrong in [folder.path().to_owned(), folder.path().join("nowhere"), folder.path().join("letter.txt")] {
        let error = Snapshot::take(&wrong).expect_err("no store");
        assert!(error.to_string().starts_with("no store there"), "{error}");
        embedded::repair(&wrong, false).expect_err("no store");
    }
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
}

#[tokio::test]
async fn a_backup_takes_new_files_only_and_restores_to_the_same_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, to, again) =
        (folder.path().join("data"), folder.path().join("backup"), folder.path().join("again"));
    let store = three_parts(&data).await;
    let back_up = |links| {
        let snapshot = Snapshot::take(&data).expect("a snapshot");
        embedded::backup(snapshot.path(), &to, links, NOW_NS).expect("backed up")
    };
    let first = back_up(false);
    assert_eq!((first.segments, first.new_files, first.linked_files), (2, first.files, 0));
    let second = back_up(false);
    assert_eq!((second.new_files, second.removed_files, second.files), (0, 0, first.files), "nothing is new");
    append(&store, 80..90, NOW_NS + 3).await;
    store.seal().await.expect("sealed");
    let third = back_up(true);
    assert!(
        third.linked_files >= 4 && third.removed_files > 0,
        "a new segment; the old log and manifest went: {third:?}"
    );
    assert_eq!(third.damaged, [""; 0]);
    let before = all(&store).await;
    embedded::restore(&to, &data).expect_err("never over a live store");
    drop(store);
    embedded::restore(&to, &data).expect_err("never over a store");
    let restored = embedded::restore(&to, &again).expect("restored");
    assert_eq!(restored.files, third.files);
    assert_eq!(all(&open(&again)).await, before);
    let other = folder.path().join("other");
    drop(three_parts(&other).await);
    let snapshot = Snapshot::take(&other).expect("a snapshot");
    fs::write(other.join("default/note"), "x").expect("written");
    embedded::backup(snapshot.path(), &other, true, NOW_NS).expect_err("that folder holds a store");
}

#[tokio::test]
async fn a_damaged_or_unfinished_backup_is_refused_and_no_store_is_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, to, again) =
        (folder.path().join("data"), folder.path().join("backup"), folder.path().join("again"));
    drop(three_parts(&data).await);
    let snapshot = Snapshot::take(&data).expect("a snapshot");
    embedded::backup(snapshot.path(), &to, false, NOW_NS).expect("backed up");
    let list = fs::read(to.join("BACKUP")).expect("read");
    let parquet = files(&to.join("default"), "parquet").swap_remove(0);
    let sound = fs::read(&parquet).expect("read");
    flip(&parquet);
    let error = embedded::restore(&to, &again).expect_err("damaged");
    assert!(error.to_string().contains("checksum"), "{error}");
    let error = Embedded::open(&again, Options::default()).expect_err("not whole");
    assert!(error.to_string().contains("did not finish"), "{error}");
    fs::write(&parquet, sound).expect("written");
    flip(&to.join("BACKUP"));
    embedded::restore(&to, &again).expect_err("its list is damaged");
    let newer = String::from_utf8_lossy(&list).replacen("hopscope-backup 1", "hopscope-backup 2", 1);
    fs::write(to.join("BACKUP"), newer.as_bytes()).expect("written");
    let error = embedded::restore(&to, &again).expect_err("newer");
    assert!(error.to_string().contains("newer hopscope format=2 known=1"), "{error}");
    fs::remove_file(to.join("BACKUP")).expect("removed");
    let error = embedded::restore(&to, &again).expect_err("never finished");
    assert!(error.to_string().starts_with("no backup there"), "{error}");
    fs::write(to.join("BACKUP"), list).expect("written");
    embedded::restore(&to, &again).expect("a restore that was interrupted is begun anew");
    assert_eq!(all(&open(&again)).await.0.len(), 80 * 3);
}

#[tokio::test]
async fn what_is_exported_comes_back_the_same_and_only_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, again, file) =
        (folder.path().join("data"), folder.path().join("again"), folder.path().join("all.parquet"));
    let store = three_parts(&data).await;
    let before = all(&store).await;
    let tenant = Tenant::default();
    let done = store.export(&tenant, &Query::default(), NOW_NS, &file).await.expect("exported");
    assert_eq!((done.events, done.why_not.len()), (80 * 3, 0));
    store.export(&tenant, &Query::default(), NOW_NS, &file).await.expect_err("never over a file");
    let none: Query = "dest:nowhere".parse().expect("a query");
    let none =
        store.export(&tenant, &none, NOW_NS, &folder.path().join("none.parquet")).await.expect("exported");
    assert_eq!(none.events, 0);
    let other = open(&again);
    for _ in 0..2 {
        for batches in Import::open(&file, &tenant).expect("ours") {
            for batch in batches.expect("sound") {
                other.append(batch).await.expect("stored");
            }
        }
        assert_eq!(all(&other).await, before);
        other.seal().await.expect("sealed");
    }
    let letter = folder.path().join("letter");
    fs::write(&letter, "dear").expect("written");
    Import::open(&letter, &tenant).expect_err("not Parquet");
}

/// What damage is done to, and what must come of it.
async fn repaired(
    extension: &str,
    is_open_before: bool,
) -> (Vec<embedded::Repaired>, (BTreeSet<String>, bool), (BTreeSet<String>, bool)) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = three_parts(folder.path()).await;
    let before = all(&store).await;
    drop(store);
    let tenant = folder.path().join("default");
    let victim = files(&tenant, extension).swap_remove(0);
    if is_open_before {
        // Cut short: opening puts all of the segment into quarantine.
        let bytes = fs::read(&victim).expect("read");
        fs::write(&victim, &bytes[..bytes.len() / 2]).expect("written");
        assert!(all(&open(folder.path())).await.0.len() < before.0.len());
    } else {
        flip(&victim);
    }
    let would = embedded::repair(folder.path(), true).expect("a dry run");
    let is_there = |path: &Path| path.exists();
    assert_eq!(is_there(&victim), !is_open_before, "a dry run changes nothing");
    let done = embedded::repair(folder.path(), false).expect("repaired");
    assert_eq!(would, done, "it does what it said");
    let store = open(folder.path());
    let after = all(&store).await;
    assert_eq!(by_key(&store).await > 0, extension != "parquet", "the key index finds");
    assert_eq!(store.check(Depth::Full).await.expect("checked").findings.is_empty(), after.1);
    drop(store);
    assert!(embedded::repair(folder.path(), false).expect("again").iter().all(|one| one.is_loss));
    (done, before, after)
}

#[tokio::test]
async fn a_damaged_key_index_is_made_anew() {
    for is_open_before in [false, true] {
        let (done, before, after) = repaired("keys", is_open_before).await;
        assert_eq!(after, before, "{done:?}");
        assert!(!done.is_empty() && done.iter().all(|one| !one.is_loss), "{done:?}");
    }
}

#[tokio::test]
async fn damaged_counts_are_made_anew_and_what_is_lost_with_them_is_said() {
    let (done, before, after) = repaired("extra", true).await;
    assert_eq!((after.0, after.1), (before.0, false), "{done:?}");
    assert!(done.iter().any(|one| one.is_loss), "{done:?}");
}

#[tokio::test]
async fn counts_are_made_anew_beside_sound_progress_and_bit_for_bit() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(three_parts(folder.path()).await);
    let extras = files(&folder.path().join("default"), "extra");
    let read = || extras.iter().map(|path| fs::read(path).expect("read")).collect::<Vec<_>>();
    let before = read();
    assert_eq!(embedded::rebuild_rollups(folder.path()).expect("rebuilt"), []);
    assert!(read() == before);
    let mut bytes = before[0].clone();
    // The rollup's head: far from what else is in the file only where that is in another block.
    bytes[20] ^= 1;
    fs::write(&extras[0], &bytes).expect("written");
    let refused = embedded::rebuild_rollups(folder.path()).expect_err("damage is repaired, not written over");
    assert_eq!(refused.kind, ErrorKind::Corrupt);
    embedded::repair(folder.path(), false).expect("repaired");
    assert_eq!(embedded::rebuild_rollups(folder.path()).expect("rebuilt"), []);
}

#[tokio::test]
async fn damaged_events_are_put_aside_and_said() {
    let (done, before, after) = repaired("parquet", false).await;
    assert_eq!((after.0.len(), after.1), (before.0.len() - 40 * 3, false), "{done:?}");
    assert!(after.0.is_subset(&before.0));
    assert!(done.iter().any(|one| one.is_loss && one.what.contains("quarantine")), "{done:?}");
}

#[tokio::test]
async fn a_live_store_is_not_repaired() {
    let folder = tempfile::tempdir().expect("a folder");
    let _store = three_parts(folder.path()).await;
    let error = embedded::repair(folder.path(), false).expect_err("live");
    assert!(error.to_string().contains("another hopscope"), "{error}");
    assert_eq!(embedded::repair(folder.path(), true).expect("a dry run may"), []);
}

#[tokio::test]
async fn retention_drops_whole_days_but_what_is_held_and_remembers_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let today = day_of(NOW_NS);
    for ago in (0..10u64).rev() {
        let day = day_begins_ns(today - ago as i64);
        append(&store, ago * 10..ago * 10 + 10, day + 5).await;
        store.seal().await.expect("sealed");
    }
    let tenant = Tenant::default();
    let days = |space: &embedded::Space| -> Vec<i64> {
        space.tenants[0].days.iter().map(|day| today - day.day).collect()
    };
    let hold = Hold { destination: "orders".into(), first_day: today - 8, last_day: today - 8 };
    let age = Age { destination: "*".into(), days: Some(5) };
    let policy = Policy { ages: vec![age], bytes_max: None, holds: vec![hold.clone()] };
    let retained = store.apply(&tenant, &policy, NOW_NS).await.expect("applied");
    assert_eq!(retained.dropped_events, 3 * 30, "the days 9, 7 and 6 ago");
    let space = store.space().await.expect("space");
    assert_eq!(days(&space), [8, 5, 4, 3, 2, 1, 0]);
    let dropped: Vec<i64> = space.tenants[0].dropped.iter().map(|day| today - day.day).collect();
    assert_eq!(dropped, [9, 7, 6]);
    let per_day = space.tenants[0].segment_bytes() / 7;
    let policy = Policy { ages: Vec::new(), bytes_max: Some(per_day * 4), holds: vec![hold] };
    store.apply(&tenant, &policy, NOW_NS).await.expect("applied");
    let left = days(&store.space().await.expect("space"));
    assert!(left.starts_with(&[8]) && left.ends_with(&[1, 0]) && left.len() <= 5, "{left:?}");
    assert_eq!(store.apply(&tenant, &policy, NOW_NS).await.expect("applied").dropped_events, 0);
    drop(store);
    let store = open(folder.path());
    assert_eq!(days(&store.space().await.expect("space")), left, "and after a restart");
    assert_eq!(store.check(Depth::Full).await.expect("checked").findings, []);
}

#[tokio::test]
async fn bytes_are_told_by_destination() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = three_parts(folder.path()).await;
    let space = store.space().await.expect("space");
    let [tenant] = space.tenants.as_slice() else { panic!("one tenant") };
    assert_eq!((tenant.segment_events(), tenant.log_events), (70 * 3, 10 * 3));
    assert_eq!(tenant.destinations.iter().map(|one| one.events).sum::<u64>(), 70 * 3);
    let told: u64 = tenant.destinations.iter().map(|one| one.bytes).sum();
    assert!(told <= tenant.segment_bytes() && told + 100 > tenant.segment_bytes(), "{tenant:?}");
    assert!(tenant.log_bytes > 0 && tenant.unattributed_bytes == 0);
}
