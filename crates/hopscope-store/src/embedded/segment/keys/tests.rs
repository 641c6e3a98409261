use super::super::Caches;
use super::super::checked::{BLOCK_BYTES, BlockSums, block_sums};
use super::super::merged;
use super::*;
use crate::embedded::dir::{Dir, write_all};
use crate::embedded::fingerprint::of_place;
use crate::embedded::options::Options;
use crate::embedded::sim_dir::SimDir;
use crate::kit::random::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// An index of these bytes.
fn opened(bytes: &[u8], rows: u32, parts: Vec<Part>) -> Result<KeyIndex, String> {
    let dir = SimDir::new();
    dir.make_dir("t").expect("made");
    write_all(&dir, "t/keys", bytes).expect("written");
    let (dir, caches): (Arc<dyn Dir>, _) = (Arc::new(dir), Arc::new(Caches::new(&Options::default())));
    let sums = BlockSums { block_bytes: BLOCK_BYTES, sums: block_sums(bytes, BLOCK_BYTES) };
    let file = CheckedFile::open(&dir, &caches, ("t", "keys"), bytes.len() as u64, sums);
    let file = file.expect("sound");
    KeyIndex::new(file, rows, parts)
}

type Wanted = BTreeMap<(Kind, u64), Vec<u32>>;

/// Keys of all kinds, some of them in runs, some under very many rows.
fn random_keys(seed: u64, rows: u32) -> (Writer, Wanted) {
    println!("seed={seed}");
    let mut random = Random(seed);
    let mut writer = Writer::default();
    let mut wanted = Wanted::new();
    for row in 0..rows {
        for kind in Kind::ALL {
            for _ in 0..random.below(3) {
                let fingerprint = match kind {
                    Kind::Trace => 1 << 60,
                    Kind::Span => random.bits(),
                    Kind::Place => of_place("orders", &(row / 5_000).to_string(), i64::from(row / 2)),
                    _ => random.below(50) << 40,
                };
                writer.add(row, kind, fingerprint);
                wanted.entry((kind, fingerprint)).or_default().push(row);
            }
        }
    }
    (writer, wanted)
}

fn check(index: &KeyIndex, wanted: &Wanted) {
    let sample = |key: &(Kind, u64)| !matches!(key.0, Kind::Span | Kind::Place) || key.1 % 97 == 0;
    for ((kind, fingerprint), rows) in wanted.iter().filter(|(key, _)| sample(key)) {
        let ranges = merged(index.rows_under(*kind, &[*fingerprint]).expect("sound"));
        let proposed: BTreeSet<u32> = ranges.into_iter().flatten().collect();
        assert!(rows.iter().all(|row| proposed.contains(row)), "{kind:?} {fingerprint}");
    }
    assert!(index.rows_under(Kind::Trace, &[0, 1 << 59, u64::MAX]).expect("sound").is_empty());
}

#[test]
fn proposes_every_row_of_every_key() {
    let (writer, wanted) = random_keys(5, 20_000);
    let (bytes, parts) = writer.finish();
    let index = opened(&bytes, 20_000, parts).expect("fits");
    check(&index, &wanted);
    // Many fingerprints at a time are answered as each by itself, be they close together or far apart.
    let spans: Vec<u64> = wanted.keys().filter(|key| key.0 == Kind::Span).map(|key| key.1).collect();
    for step in [3, 97] {
        let spans: Vec<u64> = spans.iter().copied().step_by(step).collect();
        let mut together = vec![Vec::new(); spans.len()];
        index.probe(Kind::Span, &spans, |place, rows| together[place].push(rows)).expect("sound");
        for (span, rows) in spans.iter().zip(together).step_by(11) {
            assert_eq!(index.rows_under(Kind::Span, &[*span]).expect("sound"), rows);
        }
    }
}

#[test]
fn proposes_hardly_any_row_of_another_key() {
    let (mut writer, mut random) = (Writer::default(), Random(1));
    (0..100_000).for_each(|row| writer.add(row, Kind::Business, random.bits()));
    let (bytes, parts) = writer.finish();
    let index = opened(&bytes, 100_000, parts).expect("fits");
    let absent = |index: &KeyIndex, random: &mut Random| {
        let found = index.rows_under(Kind::Business, &[random.bits()]).expect("sound");
        usize::from(!found.is_empty())
    };
    let false_hits: usize = (0..20_000).map(|_| absent(&index, &mut random)).sum();
    assert!((1..60).contains(&false_hits), "about one in a thousand, {false_hits} of 20,000");
}

/// What format 1 wrote, for a few keys.
#[test]
fn an_index_of_format_1_is_read() {
    let (writer, wanted) = random_keys(6, 20_000);
    let mut bytes = Vec::new();
    let mut parts = Vec::new();
    for (kind, mut of_kind) in Kind::ALL.into_iter().zip(writer.kinds).take(Kind::Place as usize) {
        of_kind.open.iter().for_each(|run| close(kind, run, &mut of_kind.entries, &mut Vec::new()));
        of_kind.entries.sort_unstable();
        let mut fences = Vec::new();
        for (number, entry) in of_kind.entries.iter().enumerate() {
            if number == 0 || bytes.len() % plain::BLOCK_BYTES == 0 {
                fences.push(*entry);
            }
            bytes.extend_from_slice(&entry.to_le_bytes());
        }
        let json = format!(r#"{{"count":{},"fences":{fences:?}}}"#, of_kind.entries.len());
        parts.push(serde_json::from_str(&json).expect("a part of format 1"));
    }
    let index = opened(&bytes, 20_000, parts).expect("fits");
    let known: Wanted = wanted.into_iter().filter(|(key, _)| key.0 != Kind::Place).collect();
    check(&index, &known);
    assert_eq!(index.rows_under(Kind::Place, &[7]), Ok(Vec::new()));
}

/// The bytes are a format: where they change, its number must.
#[test]
fn the_bytes_of_format_3_stay_as_they_are() {
    let mut writer = Writer::default();
    for (row, fingerprint) in [(0, 5 << 60), (1, 5 << 60), (20, 1 << 62), (170, 0x1234_5678_9abc_def0)] {
        writer.add(row, Kind::Trace, fingerprint);
    }
    for row in 0..6 {
        writer.add(row, Kind::Place, of_place("orders", "3", i64::from(row / 2)));
    }
    let (bytes, parts) = writer.finish();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, GOLDEN);
    let json = serde_json::to_string(&parts[Kind::Trace as usize]).expect("written");
    assert_eq!(json, GOLDEN_PART);
}

const GOLDEN: &str = "0000000008040001002900da1ddd0023010000000000000f000000030000000000000000030101001510016b0f103d44e4a1000c\
     00000003000000";
const GOLDEN_PART: &str =
    r#"{"format":3,"count":3,"fingerprint_bits":12,"row_shift":4,"blocks":1,"block_bytes":15}"#;

#[test]
fn parts_of_a_newer_format_are_refused() {
    let part = Part { format: 4, ..Part::default() };
    let refused = opened(&[], 0, vec![part]).expect_err("newer");
    assert_eq!(refused, "key index was written by a newer hopscope format=4 known=3");
}

#[test]
fn an_index_that_says_anything_is_safe_to_read() {
    let (writer, wanted) = random_keys(7, 3_000);
    let (bytes, parts) = writer.finish();
    let fences: Vec<Range<usize>> = parts
        .iter()
        .scan(0, |start, part| {
            let at = *start + part.block_bytes as usize;
            *start = at + part.blocks as usize * FENCE_BYTES;
            Some(at..*start)
        })
        .collect();
    let seed = 8;
    println!("seed={seed}");
    let mut random = Random(seed);
    let keys: Vec<&(Kind, u64)> = wanted.keys().collect();
    for _ in 0..10_000 {
        let mut bad = bytes.clone();
        // Fences decide what is read: half of the flips hit one.
        let within = fences[random.below(fences.len() as u64) as usize].clone();
        let within = if random.chance(2) { within } else { 0..bad.len() };
        bad[within.start + random.below(within.len() as u64) as usize] ^= 1 << random.below(8);
        // The checksums are of the bad bytes: as if it had been written so.
        let index = opened(&bad, 3_000, parts.clone()).expect("fits");
        for _ in 0..3 {
            let (kind, fingerprint) = keys[random.below(keys.len() as u64) as usize];
            if let Ok(ranges) = index.rows_under(*kind, &[*fingerprint]) {
                assert!(ranges.iter().all(|range| range.start < range.end && range.end <= 3_000));
                assert!(ranges.len() <= parts[*kind as usize].count as usize);
            }
        }
    }
}

/// What an entry of each kind takes and what finding one costs, at the size of a merged segment:
/// `cargo test --release -p hopscope-store --lib -- --ignored --nocapture what_an_index_costs`.
#[test]
#[ignore = "figures, not a judgement"]
fn what_an_index_costs() {
    const ROWS: u32 = 4_000_000;
    let mut random = Random(4);
    let mut writer = Writer::default();
    let mut probes: Vec<u64> = Vec::new();
    for message in 0..ROWS / 2 {
        let [trace, sent, processed, key] = [random.bits(), random.bits(), random.bits(), random.bits()];
        probes.push(trace);
        for (row, span, parent) in [(2 * message, sent, random.bits()), (2 * message + 1, processed, sent)] {
            let keys = [(Kind::Trace, trace), (Kind::Span, sent), (Kind::Business, key)];
            keys.into_iter().for_each(|(kind, fingerprint)| writer.add(row, kind, fingerprint));
            if span != sent {
                writer.add(row, Kind::Span, span);
            }
            if parent != sent {
                writer.add(row, Kind::Parent, parent);
            }
            if message % 5 != 0 {
                let lane = (message / 14_000).to_string();
                writer.add(row, Kind::Place, of_place("orders", &lane, i64::from(message % 14_000)));
            }
        }
    }
    let begin = Instant::now();
    let (bytes, parts) = writer.finish();
    let entries: u32 = parts.iter().map(|part| part.count).sum();
    let ns = |begin: Instant, count: f64| begin.elapsed().as_secs_f64() * 1e9 / count;
    println!("written in {:.0} ns an entry", ns(begin, f64::from(entries)));
    for (kind, part) in Kind::ALL.into_iter().zip(&parts).filter(|(_, part)| part.count > 0) {
        let all = part.block_bytes + u64::from(part.blocks) * FENCE_BYTES as u64;
        println!("{kind:?}: {} entries of {:.2} bytes", part.count, all as f64 / f64::from(part.count));
    }
    println!("{:.2} bytes a row", bytes.len() as f64 / f64::from(ROWS));
    let index = opened(&bytes, ROWS, parts).expect("fits");
    for round in ["cold", "warm"] {
        let begin = Instant::now();
        let some = probes.iter().step_by(101);
        let found: usize =
            some.clone().map(|trace| index.rows_under(Kind::Trace, &[*trace]).expect("sound").len()).sum();
        println!("{round}: {:.0} ns a probe, {found} found", ns(begin, some.count() as f64));
    }
    probes.sort_unstable();
    let begin = Instant::now();
    let mut found = 0;
    index.probe(Kind::Trace, &probes, |_, _| found += 1).expect("sound");
    println!("{:.0} ns an entry when all are asked for in order, {found} found", ns(begin, f64::from(found)));
}
