//! [`Texts`]: many short texts in one place.

use arrayvec::ArrayString;

/// Texts, one after another. What does not fit into the part that needs no allocation goes into one that does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Texts {
    short: ArrayString<SHORT_BYTES>,
    long: String,
}

/// Enough for the names, the id and the key of most messages.
const SHORT_BYTES: usize = 192;

/// One of the texts. Positions in the long part come after those of the short one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slice {
    start: u32,
    bytes: u32,
}

impl Texts {
    /// Adds a text, cut at a character where it is longer.
    pub fn push(&mut self, text: &str, bytes_max: u32) -> Slice {
        let text = match text.len() > bytes_max as usize {
            true => &text[..text.floor_char_boundary(bytes_max as usize)],
            false => text,
        };
        let bytes = text.len() as u32;
        let start = self.short.len();
        if self.short.try_push_str(text).is_ok() {
            return Slice { start: start as u32, bytes };
        }
        let start = SHORT_BYTES + self.long.len();
        self.long.push_str(text);
        Slice { start: start as u32, bytes }
    }

    /// A text that was added here.
    pub fn get(&self, slice: Slice) -> &str {
        let start = slice.start as usize;
        let (part, start) = match start.checked_sub(SHORT_BYTES) {
            Some(start) if slice.bytes > 0 => (self.long.as_str(), start),
            _ => (self.short.as_str(), start),
        };
        part.get(start..start + slice.bytes as usize).unwrap_or_default()
    }

    /// Without its texts; memory for a few long ones stays.
    pub fn clear(&mut self) {
        self.short.clear();
        self.long.clear();
        self.long.shrink_to(LONG_BYTES_KEPT);
    }
}

/// Bytes of the long part that are kept for the next texts.
const LONG_BYTES_KEPT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_texts_come_out_as_they_went_in() {
        let mut texts = Texts::default();
        let all = ["", "orders", &"x".repeat(150), &"中".repeat(100), "payment", "", &"y".repeat(5000), "z"];
        let slices: Vec<_> = all.iter().map(|text| texts.push(text, 4096)).collect();
        for (text, slice) in all.iter().zip(&slices) {
            assert_eq!(texts.get(*slice), &text[..text.len().min(4096)]);
        }
        texts.clear();
        assert_eq!(texts.get(slices[6]), "", "of another text");
        let again = texts.push("again", 4096);
        assert_eq!(texts.get(again), "again");
    }

    #[test]
    fn a_text_is_cut_at_a_character() {
        let mut texts = Texts::default();
        let slice = texts.push("中文", 4);
        assert_eq!(texts.get(slice), "中");
    }
}
