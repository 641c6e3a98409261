use super::*;
use crate::kit::{self, random};

fn same(one: &Batch, other: &Batch) {
    assert_eq!(one.len(), other.len());
    assert!(one.events().zip(other.events()).all(|(one, other)| one.to_owned() == other.to_owned()));
    assert_eq!(one.progress_owned().collect::<Vec<_>>(), other.progress_owned().collect::<Vec<_>>());
    assert_eq!(one.tallies_owned().collect::<Vec<_>>(), other.tallies_owned().collect::<Vec<_>>());
}

#[test]
fn comes_back_the_same() {
    let mut random = random::Random(1);
    let mut batches: Vec<Batch> =
        (0..50).map(|n| random::batch(&mut random, n, 20, &mut Vec::new())).collect();
    batches.push(kit::batch(5, &kit::message(1, "payment")));
    for batch in batches {
        let frame = encode(&batch);
        same(&batch, &decode(batch.tenant(), &frame).expect("sound"));
    }
}

/// What logs and segments of the first version hold: the same without the last part.
#[test]
fn a_frame_from_before_there_were_tallies_is_read() {
    let batch = kit::batch(5, &kit::message(1, "payment"));
    let mut none = Vec::new();
    tallies::put(&mut none, &batch);
    let frame = encode(&batch);
    let mut body = lz4_flex::block::decompress(&frame[5..], FRAME_BYTES_MAX).expect("sound");
    body.truncate(body.len() - none.len());
    let mut old = vec![VERSION_1];
    old.extend_from_slice(&(body.len() as u32).to_le_bytes());
    old.extend(lz4_flex::block::compress(&body));
    same(&batch, &decode(batch.tenant(), &old).expect("sound"));
    old[0] = VERSION;
    assert!(decode(batch.tenant(), &old).is_err(), "the parts of a version are all there");
}

#[test]
fn shared_sets_are_kept_apart_from_own_attributes() {
    let mut builder = BatchBuilder::new(Tenant::default(), Source::Otlp, 7);
    let key = builder.intern("key");
    let (one, two) = (builder.resource(&[(key, Cell::Int(1))]), builder.resource(&[(key, Cell::Int(2))]));
    for resource in [0, two, one] {
        builder.push(EventRow { resource, ..EventRow::default() }, &[], &[], &[(key, Cell::Bool(true))]);
    }
    let batch = builder.finish();
    let decoded = decode(batch.tenant(), &encode(&batch)).expect("sound");
    same(&batch, &decoded);
    assert_eq!(decoded.resources().len(), 3);
}

#[test]
fn no_bytes_make_it_panic() {
    let batch = kit::batch(5, &kit::message(1, "payment"));
    let body = {
        let frame = encode(&batch);
        lz4_flex::block::decompress(&frame[5..], FRAME_BYTES_MAX).expect("sound")
    };
    // Mutated before compression, so that the decoder behind lz4 is what is tried.
    let mut random = random::Random(2);
    for _ in 0..2_000 {
        let mut bad = body.clone();
        for _ in 0..1 + random.below(3) {
            let at = random.below(bad.len() as u64) as usize;
            bad[at] = random.bits() as u8;
        }
        if random.chance(3) {
            bad.truncate(random.below(bad.len() as u64) as usize);
        }
        let mut frame = vec![VERSION];
        frame.extend_from_slice(&(bad.len() as u32).to_le_bytes());
        frame.extend(lz4_flex::block::compress(&bad));
        let _ = decode(batch.tenant(), &frame);
    }
}
