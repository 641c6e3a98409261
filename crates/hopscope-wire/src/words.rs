//! [`Words`]: text of the wire into names of a batch, fast.
//!
//! Keys, services, destinations repeat in nearly every span of a request. A direct-mapped memo of the bytes
//! seen last answers those with one comparison: no check of UTF-8, no hashing, no table. What is not in it
//! takes the careful path. Ids never repeat and are appended without a look.

use crate::names::Name;
use hopscope_model::{BatchBuilder, Text};

const MEMO_SLOTS: usize = 512;

/// The bytes seen last for each slot, and what was made of them.
struct Memo<'a, T> {
    slots: Vec<(&'a [u8], T)>,
}

impl<'a, T: Copy + Default> Memo<'a, T> {
    fn new() -> Self {
        Self { slots: vec![(&[], T::default()); MEMO_SLOTS] }
    }

    /// What was made of these bytes, and the slot they belong to. The empty text is never asked for.
    #[inline(always)]
    fn get(&self, bytes: &[u8]) -> (usize, Option<T>) {
        let slot = slot_of(bytes);
        let (known, value) = self.slots[slot];
        (slot, (known == bytes).then_some(value))
    }

    fn set(&mut self, slot: usize, bytes: &'a [u8], value: T) {
        self.slots[slot] = (bytes, value);
    }
}

/// Mixes the length with the first and last eight bytes: names differ there, and it costs three instructions.
#[inline(always)]
fn slot_of(bytes: &[u8]) -> usize {
    let (head, tail) = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
        _ => (bytes.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)), 0),
    };
    let mixed = (head ^ tail.rotate_left(32) ^ bytes.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 55) as usize
}

/// Texts of one batch in the making.
pub(crate) struct Words<'a> {
    pub builder: BatchBuilder,
    /// Longest text that is stored, in bytes.
    bytes_max: usize,
    /// Texts of the current span that were cut.
    pub truncated: u64,
    /// Texts of the current span that were not UTF-8.
    pub invalid_utf8: u64,
    keys: Memo<'a, (Name, Text)>,
    names: Memo<'a, Text>,
    values: Memo<'a, Text>,
    numbers: [Text; NUMBERS],
    pairs: [(Text, u8, i64, Text); PAIR_SLOTS],
}

impl Default for Name {
    fn default() -> Self {
        Self::Other
    }
}

/// Small numbers whose text is remembered.
const NUMBERS: usize = 256;

/// Pairs (address and port, broker and queue) that are remembered: a request comes from one process, which
/// knows few brokers.
const PAIR_SLOTS: usize = 64;

impl<'a> Words<'a> {
    pub(crate) fn new(builder: BatchBuilder, bytes_max: usize) -> Self {
        Self {
            builder,
            bytes_max,
            truncated: 0,
            invalid_utf8: 0,
            keys: Memo::new(),
            names: Memo::new(),
            values: Memo::new(),
            numbers: [Text::NONE; NUMBERS],
            pairs: [(Text::NONE, 0, 0, Text::NONE); PAIR_SLOTS],
        }
    }

    /// An attribute key.
    #[inline(always)]
    pub(crate) fn key(&mut self, bytes: &'a [u8]) -> (Name, Text) {
        if let (_, Some(known)) = self.keys.get(bytes) {
            return known;
        }
        self.new_key(bytes)
    }

    fn new_key(&mut self, bytes: &'a [u8]) -> (Name, Text) {
        let (text, clean) = self.careful(bytes, BatchBuilder::intern);
        let key = (Name::of(bytes), text);
        if clean && !bytes.is_empty() {
            self.keys.set(slot_of(bytes), bytes, key);
        }
        key
    }

    /// A name that repeats: interned.
    #[inline(always)]
    pub(crate) fn name(&mut self, bytes: &'a [u8]) -> Text {
        if bytes.is_empty() {
            return Text::NONE;
        }
        match self.names.get(bytes) {
            (_, Some(text)) => text,
            (slot, None) => {
                let (text, clean) = self.careful(bytes, BatchBuilder::intern);
                if clean {
                    self.names.set(slot, bytes, text);
                }
                text
            }
        }
    }

    /// A value that may repeat: reused when it was the last of its slot, else appended.
    #[inline(always)]
    pub(crate) fn value(&mut self, bytes: &'a [u8]) -> Text {
        if bytes.is_empty() {
            return Text::NONE;
        }
        match self.values.get(bytes) {
            (_, Some(text)) => text,
            (slot, None) => {
                let (text, clean) = self.careful(bytes, BatchBuilder::append);
                if clean {
                    self.values.set(slot, bytes, text);
                }
                text
            }
        }
    }

    /// An id that does not repeat: appended.
    pub(crate) fn id(&mut self, bytes: &[u8]) -> Text {
        self.careful(bytes, BatchBuilder::append).0
    }

    /// A text made here: checked for its length only.
    pub(crate) fn made(&mut self, text: &str) -> Text {
        self.careful(text.as_bytes(), BatchBuilder::append).0
    }

    /// A name made here.
    pub(crate) fn made_name(&mut self, text: &str) -> Text {
        self.builder.intern(text)
    }

    /// A number as a name: partitions.
    #[inline]
    pub(crate) fn number(&mut self, number: i64) -> Text {
        let known = usize::try_from(number).ok().and_then(|slot| self.numbers.get(slot)).copied();
        match known {
            Some(text) if text != Text::NONE => text,
            _ => {
                let text = self.builder.intern(&number.to_string());
                if let Some(slot) = usize::try_from(number).ok().and_then(|slot| self.numbers.get_mut(slot)) {
                    *slot = text;
                }
                text
            }
        }
    }

    /// `host:port`.
    pub(crate) fn server(&mut self, host: &'a [u8], port: Option<i64>) -> Text {
        match port {
            Some(port) => self.pair(host, b':', port),
            None => self.name(host),
        }
    }

    /// A name and a number with a separator between them, interned.
    pub(crate) fn pair(&mut self, name: &'a [u8], separator: u8, number: i64) -> Text {
        let name = self.name(name);
        let slot = (name.index() ^ number as usize ^ usize::from(separator) << 3) % PAIR_SLOTS;
        let (known_name, known_separator, known_number, pair) = self.pairs[slot];
        if (known_name, known_separator, known_number) == (name, separator, number) {
            return pair;
        }
        let joined = format!("{}{}{number}", self.builder.text(name), char::from(separator));
        let pair = self.builder.intern(&joined);
        self.pairs[slot] = (name, separator, number, pair);
        pair
    }

    /// True when nothing was cut or replaced.
    #[inline]
    fn careful(&mut self, bytes: &[u8], store: fn(&mut BatchBuilder, &str) -> Text) -> (Text, bool) {
        if bytes.len() <= self.bytes_max
            && let Ok(text) = std::str::from_utf8(bytes)
        {
            return (store(&mut self.builder, text), true);
        }
        (self.mended(bytes, store), false)
    }

    #[cold]
    fn mended(&mut self, bytes: &[u8], store: fn(&mut BatchBuilder, &str) -> Text) -> Text {
        let bytes = match cut(bytes, self.bytes_max) {
            Some(head) => {
                self.truncated += 1;
                head
            }
            None => bytes,
        };
        let text = String::from_utf8_lossy(bytes);
        self.invalid_utf8 += u64::from(matches!(text, std::borrow::Cow::Owned(_)));
        store(&mut self.builder, &text)
    }

    /// True when a text of that length would be cut.
    pub(crate) fn too_long(&self, bytes: usize) -> bool {
        bytes > self.bytes_max
    }

    /// The head of bytes that are too long to store.
    pub(crate) fn cut_bytes<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let head = bytes.get(..self.bytes_max / 2);
        self.truncated += u64::from(head.is_some_and(|head| head.len() < bytes.len()));
        head.unwrap_or(bytes)
    }
}

/// The longest head of at most `bytes_max` bytes that ends where a character does; `None` when all of it fits.
fn cut(bytes: &[u8], bytes_max: usize) -> Option<&[u8]> {
    let mut end = bytes_max;
    // The byte after the head must not continue a character. Four steps suffice for valid text.
    let steps = 4.min(bytes_max);
    let continues = |at: usize| bytes.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    bytes.get(bytes_max)?;
    for _ in 0..steps {
        if !continues(end) {
            break;
        }
        end -= 1;
    }
    bytes.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hopscope_model::{Source, Tenant};

    fn words(bytes_max: usize) -> Words<'static> {
        Words::new(BatchBuilder::new(Tenant::default(), Source::Otlp, 0), bytes_max)
    }

    #[test]
    fn names_are_interned_values_reused_ids_appended() {
        let mut words = words(100);
        assert_eq!(words.name(b"orders"), words.name(b"orders"));
        assert_eq!(words.value(b"eu-1"), words.value(b"eu-1"));
        assert_ne!(words.id(b"4711"), words.id(b"4711"));
        assert_eq!(words.key(b"messaging.system").0, Name::System);
        assert_eq!(words.key(b"messaging.system").0, Name::System);
        assert_eq!(words.key(b""), (Name::Other, Text::NONE));
        assert_eq!(words.server(b"broker", Some(9092)), words.server(b"broker", Some(9092)));
    }

    #[test]
    fn cut_at_a_character_and_counted() {
        let mut words = words(4);
        for (input, stored) in
            [("abcd", "abcd"), ("abcde", "abcd"), ("abc\u{e9}", "abc"), ("\u{1f600}x", "\u{1f600}")]
        {
            let text = words.id(input.as_bytes());
            assert_eq!(words.builder.text(text), stored, "{input}");
        }
        assert_eq!((words.truncated, words.invalid_utf8), (3, 0));
    }

    #[test]
    fn invalid_utf8_is_replaced_and_counted_every_time() {
        let mut words = words(100);
        for _ in 0..2 {
            let text = words.name(b"a\xffb");
            assert_eq!(words.builder.text(text), "a\u{fffd}b");
        }
        assert_eq!(words.invalid_utf8, 2);
    }

    #[test]
    fn many_names_share_slots_without_harm() {
        let names: Vec<String> = (0..5_000).map(|n| format!("name-{n}")).collect();
        let mut words = Words::new(BatchBuilder::new(Tenant::default(), Source::Otlp, 0), 100);
        for round in 0..2 {
            for name in &names {
                let text = words.name(name.as_bytes());
                assert_eq!(words.builder.text(text), name, "round={round}");
            }
        }
    }
}
