//! Protocol Buffers by hand: a reader that walks the fields of one message without copying, and the few
//! writers that our own answers need.
//!
//! It knows the wire format alone (<https://protobuf.dev/programming-guides/encoding/>), no schema. Nested
//! messages are slices that the caller walks with a reader of their own, so nothing here recurses.

/// Groups may be nested this deep inside an unknown field before the message is called malformed.
const GROUP_DEPTH_MAX: usize = 32;

/// Where and why the bytes stop being protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// What was expected.
    pub what: &'static str,
    /// Address of the byte, so that nested readers need no offset of their own.
    address: usize,
}

impl Malformed {
    #[cold]
    fn at(rest: &[u8], what: &'static str) -> Self {
        Self { what, address: rest.as_ptr().addr() }
    }

    /// Distance from the begin of `whole`, of which the failing slice was a part.
    pub(crate) fn offset(&self, whole: &[u8]) -> usize {
        self.address.saturating_sub(whole.as_ptr().addr()).min(whole.len())
    }
}

/// The payload of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2: a string, bytes or a message.
    Bytes(&'a [u8]),
    /// Wire type 5.
    Fixed32(u32),
    /// A group (wire types 3 and 4), walked over.
    Group,
}

/// Walks the fields of one message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline(always)]
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// True when no field is left.
    #[inline(always)]
    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next field and its number; `None` at the end of the message.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Field<'a>)>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = self.tag()?;
        let field = match wire_type {
            2 => Field::Bytes(self.bytes()?),
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(u64::from_le_bytes(self.array()?)),
            5 => Field::Fixed32(u32::from_le_bytes(self.array()?)),
            3 => self.group(number)?,
            _ => return Err(Malformed::at(self.rest, "no such wire type")),
        };
        Ok(Some((number, field)))
    }

    #[inline(always)]
    fn tag(&mut self) -> Result<(u32, u8), Malformed> {
        let here = self.rest;
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 || number > 0x1fff_ffff {
            return Err(Malformed::at(here, "field number out of range"));
        }
        Ok((number as u32, (tag & 7) as u8))
    }

    #[inline(always)]
    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            [low, high, rest @ ..] if *high < 0x80 => {
                self.rest = rest;
                Ok(u64::from(low & 0x7f) | u64::from(*high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for (index, &byte) in self.rest.iter().take(10).enumerate() {
            if index == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(Malformed::at(self.rest, "varint cut short or longer than 64 bits"))
    }

    #[inline(always)]
    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let here = self.rest;
        let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        match self.rest.split_at_checked(length) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => Err(Malformed::at(here, "length runs past the end")),
        }
    }

    #[inline(always)]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        match self.rest.split_first_chunk::<N>() {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(*bytes)
            }
            None => Err(Malformed::at(self.rest, "fixed-width value cut short")),
        }
    }

    /// Walks to the end tag of the group. OTLP has none; a newer schema's unknown field might.
    #[cold]
    fn group(&mut self, number: u32) -> Result<Field<'a>, Malformed> {
        let mut open = vec![number];
        while let Some(&innermost) = open.last() {
            let here = self.rest;
            if here.is_empty() {
                return Err(Malformed::at(here, "group without end"));
            }
            let (number, wire_type) = self.tag()?;
            match wire_type {
                0 => drop(self.varint()?),
                1 => drop(self.array::<8>()?),
                2 => drop(self.bytes()?),
                5 => drop(self.array::<4>()?),
                3 if open.len() < GROUP_DEPTH_MAX => open.push(number),
                3 => return Err(Malformed::at(here, "groups nested too deep")),
                4 if number == innermost => drop(open.pop()),
                4 => return Err(Malformed::at(here, "end of another group")),
                _ => return Err(Malformed::at(here, "no such wire type")),
            }
        }
        Ok(Field::Group)
    }
}

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a varint field; the default 0 is not written.
pub(crate) fn put_uint(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        put_varint(out, u64::from(number) << 3);
        put_varint(out, value);
    }
}

/// Appends a fixed 64-bit field; the default 0 is not written.
pub(crate) fn put_fixed64(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        put_varint(out, u64::from(number) << 3 | 1);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Appends a fixed 32-bit field; the default 0 is not written.
pub(crate) fn put_fixed32(out: &mut Vec<u8>, number: u32, value: u32) {
    if value != 0 {
        put_varint(out, u64::from(number) << 3 | 5);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Appends a string or bytes field; the empty one is not written.
pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    if !bytes.is_empty() {
        put_message(out, number, bytes);
    }
}

/// Appends a nested message, also when it is empty.
pub(crate) fn put_message(out: &mut Vec<u8>, number: u32, message: &[u8]) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, message.len() as u64);
    out.extend_from_slice(message);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(bytes: &[u8]) -> Result<Vec<(u32, Field<'_>)>, (&'static str, usize)> {
        let mut reader = Reader::new(bytes);
        let mut fields = Vec::new();
        loop {
            match reader.next() {
                Ok(Some(field)) => fields.push(field),
                Ok(None) => return Ok(fields),
                Err(malformed) => return Err((malformed.what, malformed.offset(bytes))),
            }
        }
    }

    #[test]
    fn every_wire_type() {
        let bytes = [
            0x08, 0x96, 0x01, // 1: 150
            0x12, 0x02, b'h', b'i', // 2: "hi"
            0x19, 1, 0, 0, 0, 0, 0, 0, 0, // 3: fixed64
            0x25, 2, 0, 0, 0, // 4: fixed32
            0x2b, 0x08, 0x01, 0x33, 0x34, 0x2c, // 5: group with a field and a group 6 in it
            0x38, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, // 7: u64::MAX
        ];
        assert_eq!(
            walk(&bytes),
            Ok(vec![
                (1, Field::Varint(150)),
                (2, Field::Bytes(b"hi")),
                (3, Field::Fixed64(1)),
                (4, Field::Fixed32(2)),
                (5, Field::Group),
                (7, Field::Varint(u64::MAX)),
            ])
        );
    }

    #[test]
    fn malformed_says_where() {
        for (bytes, what, offset) in [
            (&[0x08][..], "varint cut short or longer than 64 bits", 1),
            (&[0x08, 0x80, 0x80], "varint cut short or longer than 64 bits", 1),
            (
                &[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2],
                "varint cut short or longer than 64 bits",
                1,
            ),
            (&[0x08, 0x01, 0x12, 0x05, 1, 2], "length runs past the end", 3),
            (&[0x00, 0x00], "field number out of range", 0),
            (&[0x0f], "no such wire type", 1),
            (&[0x0c], "no such wire type", 1),
            (&[0x0b, 0x14], "end of another group", 1),
            (&[0x0b], "group without end", 1),
            (&[0x0b; 40], "groups nested too deep", 32),
            (&[0x19, 1], "fixed-width value cut short", 1),
        ] {
            assert_eq!(walk(bytes), Err((what, offset)), "{bytes:x?}");
        }
    }

    #[test]
    fn what_is_put_is_read() {
        let mut out = Vec::new();
        put_uint(&mut out, 1, 300);
        put_uint(&mut out, 2, 0);
        put_fixed64(&mut out, 3, 7);
        put_fixed32(&mut out, 16, 8);
        put_bytes(&mut out, 5, b"");
        put_message(&mut out, 6, b"");
        assert_eq!(
            walk(&out),
            Ok(vec![
                (1, Field::Varint(300)),
                (3, Field::Fixed64(7)),
                (16, Field::Fixed32(8)),
                (6, Field::Bytes(b"")),
            ])
        );
    }
}
