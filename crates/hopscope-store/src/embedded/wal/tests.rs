use super::super::dir::{Dir as _, read_all};
use super::super::sim_dir::{Failure, Fault, Operation, SimDir};
use super::scan::Scan;
use super::*;
use crate::kit::random::Random;
use std::io;

const PATH: &str = "t/log-0000000007.wal";

/// A log of three commits with 1, 2 and 1 records, payloads without zeros.
fn log_of_four() -> (SimDir, Vec<Vec<u8>>) {
    let dir = SimDir::new();
    dir.make_dir("t").and_then(|()| dir.sync_dir("")).expect("made");
    let mut log = Log::create(&dir, "t", 7).expect("created");
    let mut random = Random(3);
    let payloads: Vec<Vec<u8>> =
        [900, 40, 3_000, 700].map(|len| (0..len).map(|_| 1 + random.below(255) as u8).collect()).into();
    for commit in [&payloads[..1], &payloads[1..3], &payloads[3..]] {
        let record = |payload| Record { payload, received_ns: 5, rows: 2 };
        log.commit(commit.iter().map(|payload| record(&payload[..]))).expect("committed");
    }
    (dir, payloads)
}

fn found<'a>(bytes: &'a [u8], scan: &Scan) -> Vec<&'a [u8]> {
    scan.records.iter().map(|record| &bytes[record.start as usize..record.end as usize]).collect()
}

/// All of a file at once; reading it record by record must come to the same.
fn scan(number: u64, bytes: &[u8]) -> Scan {
    let whole = scan::scan(number, 0, bytes);
    for ahead_bytes in [1, 700, 1 << 20] {
        let dir = SimDir::new();
        let file = dir.create("log").expect("created");
        file.append(bytes).expect("written");
        let mut records = Records::of(number, file).expect("opened");
        records.ahead_bytes = ahead_bytes;
        let mut read = Vec::new();
        while let Some((found, payload)) = records.next().expect("read") {
            assert_eq!(payload, &bytes[found.start as usize..found.end as usize]);
            read.push(found);
        }
        let rest = records.rest().expect("read");
        for found in &rest.scan.records {
            assert_eq!(rest.payload(found), &bytes[found.start as usize..found.end as usize]);
        }
        read.extend(&rest.scan.records);
        let Scan { keep, damage, .. } = rest.scan;
        assert_eq!((Scan { records: read, keep, damage }, rest.len), (whole.clone(), bytes.len() as u64));
    }
    whole
}

#[test]
fn a_sound_log_is_read_whole() {
    let (dir, payloads) = log_of_four();
    let bytes = read_all(&dir, PATH, 1 << 20).expect("read");
    let scan = scan(7, &bytes);
    assert_eq!(found(&bytes, &scan), payloads);
    assert_eq!((scan.keep, scan.damage), (bytes.len() as u64, vec![]));
}

#[test]
fn any_cut_end_is_cut_off_without_damage() {
    let (dir, payloads) = log_of_four();
    let bytes = read_all(&dir, PATH, 1 << 20).expect("read");
    for len in 0..bytes.len() {
        let scan = scan(7, &bytes[..len]);
        let whole = found(&bytes, &scan);
        assert_eq!(whole, payloads[..whole.len()], "len={len}");
        assert_eq!(
            scan.keep as usize,
            scan.records.last().map_or(20.min(len / 20 * 20), |last| last.end as usize)
        );
        assert_eq!(scan.damage, [], "len={len}");
    }
}

#[test]
fn any_flipped_bit_is_damage_and_costs_one_record() {
    let (dir, payloads) = log_of_four();
    let bytes = read_all(&dir, PATH, 1 << 20).expect("read");
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1 << (at % 8);
        let scan = scan(7, &bad);
        let lost = if at < 20 { 0 } else { 1 };
        assert_eq!(scan.damage.len(), 1, "at={at}");
        assert_eq!(scan.records.len(), payloads.len() - lost, "at={at}");
        assert!(found(&bad, &scan).iter().all(|payload| payloads.iter().any(|good| good == payload)));
    }
}

#[test]
fn a_sector_that_was_never_written_is_cut_off() {
    let (dir, payloads) = log_of_four();
    let mut bytes = read_all(&dir, PATH, 1 << 20).expect("read");
    bytes[4_096..4_608].fill(0);
    let scan = scan(7, &bytes);
    assert_eq!(found(&bytes, &scan), payloads[..3]);
    assert_eq!(scan.damage, []);
}

#[test]
fn zeros_before_something_acknowledged_are_damage() {
    let (dir, payloads) = log_of_four();
    let mut bytes = read_all(&dir, PATH, 1 << 20).expect("read");
    bytes[20..532].fill(0);
    let scan = scan(7, &bytes);
    assert_eq!(found(&bytes, &scan), payloads[1..]);
    assert_eq!(scan.damage.len(), 1);
}

#[test]
fn a_failed_sync_breaks_the_log_for_good() {
    let (dir, payloads) = log_of_four();
    let mut log = Log::create(&dir, "t", 8).expect("created");
    let record = Record { payload: &payloads[0], received_ns: 5, rows: 2 };
    dir.fail(Fault { operation: Operation::Sync, after: 0, times: 1, failure: Failure::Broken });
    assert!(log.commit([record].into_iter()).is_err());
    assert!(log.is_broken());
    assert!(log.commit([record].into_iter()).is_err(), "never retried into success");
    assert!(log.sync().is_err(), "never retried into success");
    let bytes = read_all(&dir, "t/log-0000000008.wal", 1 << 20).expect("read");
    assert_eq!(scan(8, &bytes).records, [], "nobody finds what was refused");
}

#[test]
fn what_was_not_synced_is_written_and_may_be_lost() {
    let (dir, _) = log_of_four();
    let mut log = Log::create(&dir, "t", 8).expect("created");
    let record = |payload: &'static [u8]| Record { payload, received_ns: 5, rows: 2 };
    log.write([record(&[1; 100])].into_iter()).expect("written");
    log.sync().expect("synced");
    log.write([record(&[2; 2_000])].into_iter()).expect("written");
    let mut shown = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let after = dir.after_power_loss(&mut Random(seed));
        let bytes = read_all(&after, "t/log-0000000008.wal", 1 << 20).expect("read");
        let scan = scan(8, &bytes);
        assert_eq!(scan.damage, [], "seed {seed}: a write that never completed is no damage");
        shown.insert(scan.records.len());
    }
    assert_eq!(shown.into_iter().collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_full_disk_leaves_nothing_half_written() {
    let (dir, payloads) = log_of_four();
    let mut log = Log::create(&dir, "t", 8).expect("created");
    let record = Record { payload: &payloads[0], received_ns: 5, rows: 2 };
    dir.set_bytes_free(Some(100));
    assert_eq!(log.commit([record].into_iter()).expect_err("full").kind(), io::ErrorKind::StorageFull);
    dir.set_bytes_free(None);
    log.commit([record].into_iter()).expect("space again");
    let bytes = read_all(&dir, "t/log-0000000008.wal", 1 << 20).expect("read");
    assert_eq!(found(&bytes, &scan(8, &bytes)), payloads[..1]);
}
