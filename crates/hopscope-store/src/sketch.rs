//! [`Sketch`]: how latencies spread, so small that every minute can have one, and so exact that a quantile of it
//! is within 1 % of the value.
//!
//! It is a DDSketch (Masson, Rim, Lee 2019, doi 10.14778/3352063.3352135): counts by buckets whose bounds grow
//! geometrically. Everything is integers, the bounds included: the same values make the same sketch on every
//! machine, in whatever order they come and in whatever parts they were put together.
//!
//! It is not: a histogram with a fixed layout (those of metrics are [`Spread`]s, and a sketch becomes one).

use hopscope_model::Spread;

/// Buckets of one octave. Their bounds grow by 2^(1/35) < 1.02, so a value that lies in the middle of one is less
/// than 1 % from any other in it.
const BUCKETS_PER_OCTAVE: usize = 35;

/// 2^(1/35) - 1, in units of 2^-64.
const GROWTH: u128 = 0x051e_d352_54d7_a803;

/// 2^(n/35) in units of 2^-63, for n from 0 to 34: where the buckets of an octave begin.
const BEGINS: [u64; BUCKETS_PER_OCTAVE] = begins();

/// Buckets: the one of what is not above 0, and those of 63 octaves.
pub(crate) const BUCKETS: u16 = 1 + 63 * BUCKETS_PER_OCTAVE as u16;

const fn begins() -> [u64; BUCKETS_PER_OCTAVE] {
    let mut begins = [0; BUCKETS_PER_OCTAVE];
    // 64 bits after the point, so that what is cut off 34 times does not reach the 63rd.
    let mut at: u128 = 1 << 100;
    let mut number = 0;
    while number < BUCKETS_PER_OCTAVE {
        begins[number] = (at >> 37) as u64;
        at += (at >> 40) * GROWTH >> 24;
        number += 1;
    }
    begins
}

/// The bucket of a value: 0 for what is not above 0.
pub(crate) fn bucket_of(value: i64) -> u16 {
    let Ok(value @ 1..) = u64::try_from(value) else { return 0 };
    let octave = value.ilog2() as usize;
    let scaled = value << (63 - octave);
    // The part of the octave guesses its bucket, one too low at most: 2^x - 1 < x within it.
    let part = ((scaled << 1) >> 58) as usize;
    let mut within = usize::from(GUESSES[part]);
    while within + 1 < BUCKETS_PER_OCTAVE && BEGINS[within + 1] <= scaled {
        within += 1;
    }
    (1 + octave * BUCKETS_PER_OCTAVE + within) as u16
}

/// For each 64th of an octave the bucket that it begins in.
const GUESSES: [u8; 64] = guesses();

const fn guesses() -> [u8; 64] {
    let mut guesses = [0; 64];
    let mut part = 0;
    while part < 64 {
        let begin = (1 << 63) + ((part as u64) << 57);
        let mut within = 0;
        while within + 1 < BUCKETS_PER_OCTAVE && BEGINS[within + 1] <= begin {
            within += 1;
        }
        guesses[part] = within as u8;
        part += 1;
    }
    guesses
}

/// The greatest value of a bucket.
pub(crate) fn bound_of(bucket: u16) -> i64 {
    let next = usize::from(bucket.min(BUCKETS - 1));
    let (octave, within) = (next / BUCKETS_PER_OCTAVE, next % BUCKETS_PER_OCTAVE);
    match octave {
        63.. => i64::MAX,
        // The bucket after this one begins with the least value that is not below its bound.
        octave => (((BEGINS[within] - 1) >> (63 - octave)) as i64).min(i64::MAX),
    }
}

/// Counts by bucket, and the sum of the values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sketch {
    /// Bucket and count, in order, none of them empty.
    pub buckets: Vec<(u16, u64)>,
    /// Sum of the values, those below 0 counted as 0.
    pub sum: u64,
}

impl Sketch {
    /// Counts one value.
    pub fn add(&mut self, value: i64) {
        self.sum = self.sum.saturating_add(u64::try_from(value).unwrap_or_default());
        let bucket = bucket_of(value);
        match self.buckets.binary_search_by_key(&bucket, |(own, _)| *own) {
            Ok(place) => self.buckets[place].1 = self.buckets[place].1.saturating_add(1),
            Err(place) => self.buckets.insert(place, (bucket, 1)),
        }
    }

    /// Counts what another one counted.
    pub fn merge(&mut self, other: &Self) {
        self.sum = self.sum.saturating_add(other.sum);
        self.merge_buckets(&other.buckets);
    }

    /// Counts what is in these buckets, in order and none of them empty; the sum stays.
    pub fn merge_buckets(&mut self, others: &[(u16, u64)]) {
        if self.buckets.is_empty() {
            self.buckets = others.to_vec();
            return;
        }
        let own = std::mem::take(&mut self.buckets);
        self.buckets.reserve(own.len().max(others.len()));
        let (mut own, mut others) = (own.into_iter().peekable(), others.iter().copied().peekable());
        while let (Some(one), Some(other)) = (own.peek(), others.peek()) {
            let (one, other) = (*one, *other);
            let at = one.0.min(other.0);
            let counts = [one, other].into_iter().filter(|(bucket, _)| *bucket == at);
            let count = counts.fold(0u64, |sum, (_, count)| sum.saturating_add(count));
            self.buckets.push((at, count));
            own.next_if(|(bucket, _)| *bucket == at);
            others.next_if(|(bucket, _)| *bucket == at);
        }
        self.buckets.extend(own);
        self.buckets.extend(others);
    }

    /// The same as bounds and counts. A quantile is then the bound of its bucket: at most 2 % above the value, and
    /// never below it.
    pub fn spread(&self) -> Spread {
        let buckets = self.buckets.iter().map(|(bucket, count)| (bound_of(*bucket), *count));
        Spread { sum: Some(self.sum), buckets: buckets.collect(), over: 0, over_from: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_octave_ends_where_the_next_begins() {
        let last = u128::from(BEGINS[BUCKETS_PER_OCTAVE - 1]);
        let end = last + ((last * GROWTH) >> 64);
        assert!(end.abs_diff(1 << 64) < 1 << 8, "{end:x}");
        assert!(BEGINS.windows(2).all(|two| two[0] < two[1]));
    }

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        assert_eq!((bucket_of(i64::MIN), bucket_of(-1), bucket_of(0), bound_of(0)), (0, 0, 0, 0));
        assert_eq!((bucket_of(1), bucket_of(i64::MAX)), (1, BUCKETS - 1));
        assert_eq!(bound_of(BUCKETS - 1), i64::MAX);
        for bucket in 0..BUCKETS {
            let bound = bound_of(bucket);
            // Buckets of small values hold no integer at all: those belong to the first that reaches them.
            assert!(bucket_of(bound) <= bucket, "{bucket}");
            assert!(bound == i64::MAX || bucket_of(bound + 1) > bucket, "{bucket}");
        }
    }

    fn sketch_of(values: &[i64]) -> Sketch {
        let mut sketch = Sketch::default();
        values.iter().for_each(|value| sketch.add(*value));
        sketch
    }

    fn merged(parts: &[&Sketch]) -> Sketch {
        let mut all = Sketch::default();
        parts.iter().for_each(|part| all.merge(part));
        all
    }

    fn latency() -> impl Strategy<Value = i64> {
        prop_oneof![-5i64..100, 0i64..20_000_000_000, any::<i64>(), (0u32..63).prop_map(|bit| 1 << bit)]
    }

    proptest! {
        #[test]
        fn a_bucket_is_narrower_than_two_percent(value in 1i64..) {
            let bucket = bucket_of(value);
            let (below, bound) = (bound_of(bucket - 1), bound_of(bucket));
            prop_assert!(below < value && value <= bound);
            // The middle of the bucket is within 1 % of its ends.
            let (least, most) = (below as f64 + 1.0, bound as f64);
            prop_assert!((most - least) / (most + least) < 0.01, "{least} {most}");
        }

        #[test]
        fn quantiles_are_within_two_percent_above(mut values in proptest::collection::vec(latency(), 1..200)) {
            let spread = sketch_of(&values).spread();
            values.sort_unstable();
            for per_mille in [1u64, 100, 500, 900, 990, 1_000] {
                let rank = (values.len() as u64 * per_mille).div_ceil(1_000).max(1) as usize;
                let exact = values[rank - 1].max(0);
                let Some(hopscope_model::Quantile::AtMost(told)) = spread.quantile(per_mille) else {
                    panic!("a sketch has no end")
                };
                prop_assert!(told >= exact && told as f64 <= exact as f64 * 1.0201, "{told} {exact}");
            }
        }

        #[test]
        fn parts_are_the_whole_in_any_order(
            one in proptest::collection::vec(latency(), 0..40),
            two in proptest::collection::vec(latency(), 0..40),
            three in proptest::collection::vec(latency(), 0..40),
        ) {
            let all = sketch_of(&[one.clone(), two.clone(), three.clone()].concat());
            let [one, two, three] = [one, two, three].map(|values| sketch_of(&values));
            prop_assert_eq!(&merged(&[&one, &two, &three]), &all);
            prop_assert_eq!(&merged(&[&three, &one, &two]), &all);
            prop_assert_eq!(&merged(&[&merged(&[&two, &three]), &one]), &all);
        }
    }
}
