//! [`Content`]: the bytes of a simulated file, as a program sees them and as they are on the disk.

use crate::kit::random::Random;

/// What a disk writes as a whole or not at all.
const SECTOR_BYTES: usize = 512;

#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// What lies before is on the disk, as the page cache believes: the next sync writes what lies behind.
    dirty_from: usize,
}

impl Content {
    /// These bytes, all of them durable.
    pub fn of(bytes: Vec<u8>) -> Self {
        Self { dirty_from: bytes.len(), durable: bytes.clone(), seen: bytes }
    }

    /// What a program reads.
    pub fn seen(&self) -> &[u8] {
        &self.seen
    }

    pub fn append(&mut self, bytes: &[u8]) {
        self.seen.extend_from_slice(bytes);
    }

    pub fn truncate(&mut self, len: usize) {
        self.seen.truncate(len);
        self.dirty_from = self.dirty_from.min(len);
    }

    pub fn sync(&mut self) {
        // What a failed sync left behind is a hole: nobody writes it any more.
        self.durable.resize(self.seen.len(), 0);
        self.durable[self.dirty_from..].copy_from_slice(&self.seen[self.dirty_from..]);
        self.dirty_from = self.seen.len();
    }

    /// After a failed sync the page cache calls its pages clean although the disk does not have them: the next
    /// sync says `Ok` and writes none of them.
    pub fn lose_dirty(&mut self) {
        self.dirty_from = self.seen.len();
    }

    pub fn flip(&mut self, byte: usize, bit: u8) {
        for bytes in [&mut self.seen, &mut self.durable] {
            if let Some(byte) = bytes.get_mut(byte) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }

    /// What is on the disk after the power was lost. Of what was not synced everything may have been written,
    /// or a first part (a torn write), or any sectors (writes in another order); the length may be the old one,
    /// the new one or one between.
    pub fn survives(&self, random: &mut Random) -> Vec<u8> {
        if self.seen == self.durable {
            return self.durable.clone();
        }
        let short = self.seen.len().min(self.durable.len());
        let long = self.seen.len().max(self.durable.len());
        let len = match random.below(3) {
            0 => self.durable.len(),
            1 => self.seen.len(),
            _ => short + random.below((long - short + 1) as u64) as usize,
        };
        let sectors = len.div_ceil(SECTOR_BYTES) as u64;
        let is_torn = random.chance(3);
        // All of them where nothing is torn.
        let first = if is_torn { random.below(sectors + 1) } else { sectors };
        let is_reordered = !is_torn && random.chance(2);
        let mut bytes = vec![0; len];
        for (number, sector) in bytes.chunks_mut(SECTOR_BYTES).enumerate() {
            let is_written = (number as u64) < first && (!is_reordered || random.chance(2));
            let from = if is_written { &self.seen } else { &self.durable };
            for (place, byte) in sector.iter_mut().enumerate() {
                let at = number * SECTOR_BYTES + place;
                *byte = from.get(at).or_else(|| self.durable.get(at)).copied().unwrap_or(0);
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two synced sectors, and three that were not.
    fn two_of_five() -> Content {
        let mut content = Content::of(vec![1; 2 * SECTOR_BYTES]);
        content.append(&[2; 3 * SECTOR_BYTES]);
        content
    }

    #[test]
    fn what_was_synced_survives_and_the_rest_in_every_way() {
        let content = two_of_five();
        let mut shapes = std::collections::BTreeSet::new();
        for seed in 0..2_000 {
            let bytes = content.survives(&mut Random(seed));
            assert!(bytes.starts_with(&[1; 2 * SECTOR_BYTES]), "seed {seed}");
            shapes.insert(bytes.chunks(SECTOR_BYTES).skip(2).map(|sector| sector[0]).collect::<Vec<u8>>());
        }
        // None, torn (a first part), reordered (a later one without an earlier one), all.
        for shape in [&[][..], &[2], &[2, 2], &[2, 0, 0], &[0, 2, 0], &[0, 0, 2], &[2, 2, 2]] {
            assert!(shapes.contains(shape), "{shape:?} is not among {shapes:?}");
        }
    }

    #[test]
    fn after_a_failed_sync_the_next_one_writes_what_came_later_only() {
        let mut content = two_of_five();
        content.lose_dirty();
        content.append(&[3; SECTOR_BYTES]);
        content.sync();
        assert_eq!(content.durable[2 * SECTOR_BYTES..5 * SECTOR_BYTES], [0; 3 * SECTOR_BYTES]);
        assert_eq!(content.durable[5 * SECTOR_BYTES..], [3; SECTOR_BYTES]);
        assert_eq!(content.seen()[2 * SECTOR_BYTES], 2, "the page cache still shows it");
    }
}
