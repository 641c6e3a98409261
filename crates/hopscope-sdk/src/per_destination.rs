//! [`PerDestination`]: a setting that differs by destination.

use std::borrow::Cow;

/// A setting with exceptions for some destinations: the first pattern that fits a destination's name decides, and
/// where none does the default.
///
/// A pattern is the name itself, letter for letter; `*` in it stands for any run of characters, none included.
///
/// ```
/// use hopscope_sdk::{PerDestination, Relation};
///
/// let relation = PerDestination::new(Relation::Both).with("audit.*", Relation::Link).with("*.private", Relation::None);
/// assert_eq!(*relation.of("audit.logins"), Relation::Link);
/// assert_eq!(*relation.of("audit.private"), Relation::Link, "the first that fits");
/// assert_eq!(*relation.of("orders"), Relation::Both);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PerDestination<T> {
    rules: Vec<(String, T)>,
    default: T,
}

impl<T> PerDestination<T> {
    /// The same for every destination, until [`with`](Self::with) makes an exception.
    pub fn new(default: T) -> Self {
        Self { rules: Vec::new(), default }
    }

    /// An exception, after those that are already there.
    pub fn with(mut self, pattern: impl Into<String>, value: T) -> Self {
        self.rules.push((pattern.into(), value));
        self
    }

    /// What holds for the destination of that name. Allocates nothing; linear in the number of patterns.
    pub fn of(&self, destination: &str) -> &T {
        let rule = self.rules.iter().find(|(pattern, _)| fits(pattern.as_bytes(), destination.as_bytes()));
        rule.map_or(&self.default, |(_, value)| value)
    }

    /// As [`of`](Self::of), for a name that has to be made: it is made only where there are exceptions.
    pub(crate) fn of_named<'d>(&self, destination: impl Fn() -> Cow<'d, str>) -> &T {
        if self.rules.is_empty() { &self.default } else { self.of(&destination()) }
    }

    /// What holds where no pattern fits.
    pub fn default_value(&self) -> &T {
        &self.default
    }
}

impl<T> From<T> for PerDestination<T> {
    fn from(default: T) -> Self {
        Self::new(default)
    }
}

/// Bytes are as good as characters here: no UTF-8 sequence is part of another one, and `*` is one byte.
pub(crate) fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    // Where the last star stands, and how much of the name it has taken so far. Only the last one ever has to give
    // way: what an earlier star could take, this one can take too.
    let mut star = None;
    while from < name.len() {
        match (pattern.get(at), star) {
            (Some(b'*'), _) => {
                star = Some((at, from));
                at += 1;
            }
            (Some(byte), _) if *byte == name[from] => {
                at += 1;
                from += 1;
            }
            (_, Some((star_at, taken))) => {
                star = Some((star_at, taken + 1));
                at = star_at + 1;
                from = taken + 1;
            }
            (_, None) => return false,
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stars_stand_for_any_run() {
        for (pattern, name, expected) in [
            ("orders", "orders", true),
            ("orders", "orders2", false),
            ("orders", "order", false),
            ("orders", "Orders", false),
            ("orders.*", "orders.eu", true),
            ("orders.*", "orders.", true),
            ("orders.*", "orders", false),
            ("*", "", true),
            ("*", "anything", true),
            ("", "", true),
            ("", "x", false),
            ("*.dlq", "a.dlq.dlq", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a**c", "ac", true),
            ("%RETRY%*", "%RETRY%group", true),
            ("订单*", "订单.付款", true),
            // A star in the name is a character as any other.
            ("a", "*", false),
            ("*", "*", true),
        ] {
            assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn the_first_pattern_that_fits_decides() {
        let setting = PerDestination::new(0).with("a*", 1).with("ab", 2).with("*b", 3);
        assert_eq!(["ab", "a", "bb", "c"].map(|name| *setting.of(name)), [1, 1, 3, 0]);
    }

    /// The textbook definition, exponential and beyond doubt.
    fn fits_slowly(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (0..=name.len()).any(|taken| fits_slowly(rest, &name[taken..])),
            ([byte, pattern @ ..], [first, name @ ..]) if byte == first => fits_slowly(pattern, name),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn as_the_definition_says(pattern in "[ab*]{0,7}", name in "[ab*]{0,9}") {
            prop_assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), fits_slowly(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
