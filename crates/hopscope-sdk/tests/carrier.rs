//! The reference carrier passes the carrier kit.

use hopscope_sdk::kit::{self, MapHeaders};

#[test]
fn a_list_of_pairs_passes_the_carrier_kit() {
    let owned = |value: &[u8]| value.to_vec();
    kit::carrier(
        |pairs| {
            Some(MapHeaders(pairs.iter().map(|(key, value)| ((*key).into(), value.map(owned))).collect()))
        },
        |headers| headers.0.clone(),
    );
}
