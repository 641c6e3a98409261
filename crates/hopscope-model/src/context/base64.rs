//! Base64 with the standard alphabet: as much of it as a header of SkyWalking's needs.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends `bytes`, with padding.
pub(super) fn encode(bytes: &[u8], line: &mut String) {
    for group in bytes.chunks(3) {
        let mut block = [0; 3];
        block[..group.len()].copy_from_slice(group);
        let [a, b, c] = block.map(u32::from);
        let bits = a << 16 | b << 8 | c;
        for place in 0..4 {
            let six = bits >> (18 - 6 * place) & 63;
            line.push(if place <= group.len() { char::from(ALPHABET[six as usize]) } else { '=' });
        }
    }
}

/// The bytes of that text; `None` where it is none. Padding may be left out.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let digits = match text {
        [digits @ .., b'=', b'='] | [digits @ .., b'='] if text.len().is_multiple_of(4) => digits,
        _ => text,
    };
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let mut bits = 0;
        for place in 0..4 {
            let six = match group.get(place) {
                Some(digit) => ALPHABET.iter().position(|letter| letter == digit)? as u32,
                None => 0,
            };
            bits = bits << 6 | six;
        }
        let [_, block @ ..] = u32::to_be_bytes(bits);
        // Four digits are three bytes, three are two, two are one; one alone is none.
        let (whole, rest) = block.split_at(group.len().checked_sub(1).filter(|bytes| *bytes > 0)?);
        if rest.iter().any(|byte| *byte != 0) {
            return None;
        }
        bytes.extend_from_slice(whole);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut line = String::new();
            encode(bytes.as_bytes(), &mut line);
            assert_eq!(line, text);
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(bytes.as_bytes()));
            assert_eq!(decode(text.trim_end_matches('=').as_bytes()).as_deref(), Some(bytes.as_bytes()));
        }
    }

    #[test]
    fn what_is_none() {
        for text in ["Z", "Zm9vY", "Zg=", "Zh==", "Zm9=", "Zm 9", "Zm-v", "====", "Zg==Zg=="] {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(bytes in any::<Vec<u8>>()) {
            let mut line = String::new();
            encode(&bytes, &mut line);
            prop_assert_eq!(decode(line.as_bytes()), Some(bytes));
        }

        #[test]
        fn decoding_is_total(bytes in any::<Vec<u8>>()) {
            let _ = decode(&bytes);
        }
    }
}
