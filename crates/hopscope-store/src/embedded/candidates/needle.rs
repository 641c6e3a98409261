//! [`find`]: where some bytes stand in many others. Most of what is searched does not hold them, so what counts is
//! how fast that is seen.

/// Places that are looked at together: what compilers make vector instructions of.
const LANES: usize = 32;

/// Where `needle`, which is not empty, first stands in `haystack`.
pub(super) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let last_place = haystack.len().checked_sub(needle.len())?;
    let (one, other) = telling(needle);
    let is_at = |place: usize| {
        haystack[place + one] == needle[one]
            && haystack[place + other] == needle[other]
            && haystack[place..].starts_with(needle)
    };
    let mut at = 0;
    while at + LANES <= last_place + 1 {
        let ones = &haystack[at + one..at + one + LANES];
        let others = &haystack[at + other..at + other + LANES];
        let both = |(a, b): (&u8, &u8)| (*a == needle[one]) & (*b == needle[other]);
        if ones.iter().zip(others).fold(false, |any, pair| any | both(pair)) {
            let found = (at..at + LANES).find(|place| is_at(*place));
            if found.is_some() {
                return found;
            }
        }
        at += LANES;
    }
    (at..=last_place).find(|place| is_at(*place))
}

/// Places of two bytes of it that are not everywhere: the last letters and digits. Quotes and colons are in every
/// attribute, and names, which come first, in every row.
fn telling(needle: &[u8]) -> (usize, usize) {
    let mut places = (0..needle.len()).rev().filter(|place| needle[*place].is_ascii_alphanumeric());
    let one = places.next().unwrap_or(needle.len() - 1);
    (one, places.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_is_first(haystack in "[ab\":]{0,200}", needle in "[ab\":]{1,5}") {
            prop_assert_eq!(find(haystack.as_bytes(), needle.as_bytes()), haystack.find(&needle));
        }
    }
}
