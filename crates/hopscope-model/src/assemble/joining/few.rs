//! Look-ups that matter only where they have one answer.

use std::collections::HashMap;

/// The only message under a key, or that there are several.
#[derive(Clone, Copy)]
pub(super) struct Few {
    pub first: usize,
    pub several: bool,
}

impl Few {
    /// The message, if there is only one.
    pub fn only(self) -> Option<usize> {
        (!self.several).then_some(self.first)
    }
}

/// Notes a message under a key.
pub(super) fn note<K: std::hash::Hash + Eq>(map: &mut HashMap<K, Few>, key: K, message: usize) {
    let few = map.entry(key).or_insert(Few { first: message, several: false });
    few.several |= few.first != message;
}
