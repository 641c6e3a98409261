use super::*;
use proptest::prelude::*;

fn sketch(values: &[i64]) -> Sketch {
    let mut sketch = Sketch::default();
    values.iter().for_each(|value| sketch.add(*value));
    sketch
}

proptest! {
    #[test]
    fn rows_come_back(
        told in proptest::collection::vec(
            (0i64..3, 0u32..5, 1u64..5, [0u64..3, 0..2, 0..9_999, 0..3], 0i64..MINUTE_NS,
                proptest::collection::vec(any::<i64>(), 0..40)), 1..30)
    ) {
        let mut at = (-1, 0u32);
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for (steps, combination, events, counts, within, values) in told {
            let here = if steps == 0 { (at.0, at.1 + combination + 1) } else { (at.0 + steps, combination) };
            let [retries, dead_letters, body_bytes, unpaired] = counts;
            let first_ns = here.0 * MINUTE_NS + within;
            let last_ns = if events > 1 { here.0 * MINUTE_NS + MINUTE_NS - 1 } else { first_ns };
            let sum =
                Sum { events, failed: 0, retries, dead_letters, body_bytes, unpaired, first_ns, last_ns };
            let mut latencies: [Sketch; 5] = Default::default();
            latencies[values.len() % 5] = sketch(&values);
            rows::put(&mut bytes, MINUTE_NS, at, here, &sum, &latencies);
            expected.push((here, sum, latencies.map(|it| Some(it).filter(|it| !it.buckets.is_empty()))));
            at = here;
        }
        let mut rows = rows::Rows::new(&bytes, MINUTE_NS, -1, true);
        for (here, sum, latencies) in expected {
            let row = rows.next().expect("sound").expect("a row");
            prop_assert_eq!(((row.step, row.combination), row.sum), (here, sum));
            prop_assert_eq!(row.latencies, &latencies);
        }
        prop_assert!(rows.next().expect("sound").is_none());
        for cut in 0..bytes.len() {
            let mut rows = rows::Rows::new(&bytes[..cut], MINUTE_NS, -1, true);
            while let Ok(Some(_)) = rows.next() {}
        }
    }

    #[test]
    fn odd_bytes_are_an_error_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
        let mut rows = rows::Rows::new(&bytes, MINUTE_NS, 0, true);
        while let Ok(Some(_)) = rows.next() {}
        let _ = Rollup::from_summary(&bytes);
    }
}
