//! [`Lists`]: lists of unequal length, one an event, end to end.

/// Lists of unequal length, one an event, end to end.
#[derive(Clone, Debug)]
pub struct Lists<T> {
    pub(super) ends: Vec<u32>,
    pub(super) items: Vec<T>,
}

impl<T> Default for Lists<T> {
    fn default() -> Self {
        Self { ends: Vec::new(), items: Vec::new() }
    }
}

impl<T: Copy> Lists<T> {
    pub(super) fn push(&mut self, items: &[T]) {
        self.items.extend_from_slice(items);
        // 2³² items would need 16 GiB in one batch: receivers stop at 64 MiB.
        self.ends.push(u32::try_from(self.items.len()).expect("a batch is limited to 64 MiB"));
    }

    /// The list of that event; empty where there is none.
    pub fn get(&self, index: usize) -> &[T] {
        let Some(&end) = self.ends.get(index) else { return &[] };
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.items[start as usize..end as usize]
    }

    pub(super) fn retain(&mut self, mask: &[bool]) {
        let mut kept = Self::default();
        for (index, _) in mask.iter().enumerate().filter(|(_, keep)| **keep) {
            kept.push(self.get(index));
        }
        *self = kept;
    }
}

pub(super) fn retain_masked<T: Copy>(values: &mut Vec<T>, mask: &[bool]) {
    let mut bits = mask.iter();
    values.retain(|_| bits.next().copied().unwrap_or(true));
}
