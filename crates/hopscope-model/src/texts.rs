//! [`Texts`]: the strings of one batch, each named by a [`Text`].
//!
//! Names that repeat (services, destinations, attribute keys) are interned; ids that never repeat (message
//! ids, keys) are appended without a look-up, because hashing them would buy nothing.

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

/// Names a string of the batch it came from. `Text::NONE` is the empty string: absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Text(u32);

impl Text {
    /// The empty string.
    pub const NONE: Self = Self(0);

    /// Its place among the batch's strings: dense, from 0.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// An append-only arena of strings. At most 2³² − 1 bytes: [`Texts::append`] past that answers `Text::NONE`,
/// and the batch limits of the receivers (64 MiB) keep it from ever coming near.
#[derive(Clone, Debug)]
pub struct Texts {
    bytes: String,
    ends: Vec<u32>,
    interned: HashTable<u32>,
}

impl Default for Texts {
    fn default() -> Self {
        Self { bytes: String::new(), ends: vec![0], interned: HashTable::new() }
    }
}

impl Texts {
    /// The string of that name; empty for a name of another batch that is out of range.
    pub fn get(&self, text: Text) -> &str {
        let index = text.index();
        let Some(&end) = self.ends.get(index) else { return "" };
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start as usize..end as usize]
    }

    /// Every string in the order of its name, the empty one first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        let start = |index: usize| if index == 0 { 0 } else { self.ends[index - 1] };
        let range = move |index: usize| start(index) as usize..self.ends[index] as usize;
        (0..self.ends.len()).map(move |index| &self.bytes[range(index)])
    }

    /// Number of strings, the empty one included.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Never: the empty string is always there.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Bytes of all strings together.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a string without looking whether it is there.
    pub fn append(&mut self, string: &str) -> Text {
        if string.is_empty() {
            return Text::NONE;
        }
        let (Ok(end), Ok(index)) =
            (u32::try_from(self.bytes.len() + string.len()), u32::try_from(self.ends.len()))
        else {
            return Text::NONE;
        };
        self.bytes.push_str(string);
        self.ends.push(end);
        Text(index)
    }

    /// The name of that string, added once.
    pub fn intern(&mut self, string: &str) -> Text {
        if string.is_empty() {
            return Text::NONE;
        }
        let hash = xxh3_64(string.as_bytes());
        let found = self.interned.find(hash, |&index| self.get(Text(index)) == string);
        if let Some(&index) = found {
            return Text(index);
        }
        let text = self.append(string);
        if text != Text::NONE {
            let Self { bytes, ends, interned } = self;
            interned.insert_unique(hash, text.0, |&index| {
                let start = ends[index as usize - 1] as usize;
                xxh3_64(&bytes.as_bytes()[start..ends[index as usize] as usize])
            });
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interned_once_appended_always() {
        let mut texts = Texts::default();
        let orders = texts.intern("orders");
        assert_eq!(texts.intern("orders"), orders);
        assert_ne!(texts.append("orders"), orders);
        assert_eq!(texts.get(orders), "orders");
        assert_eq!(texts.intern(""), Text::NONE);
        assert_eq!(texts.get(Text::NONE), "");
        let many: Vec<Text> = (0..10_000).map(|n| texts.intern(&format!("name-{n}"))).collect();
        assert!(many.iter().enumerate().all(|(n, &text)| texts.get(text) == format!("name-{n}")));
    }
}
