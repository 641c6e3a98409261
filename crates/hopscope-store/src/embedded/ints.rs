//! Columns of integers, packed to the width that their range needs; and a reader that never trusts a length.

/// Bytes that say something else than they should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub &'static str);

/// Marks an unknown value: as in the columns of a batch.
const UNKNOWN: i64 = hopscope_model::UNKNOWN;

/// In the width byte: zero stands for unknown, and values are counted from one.
const WITH_UNKNOWN: u8 = 0x80;

/// Appends the integers of a column: least value, width in bytes, then the differences from the least.
pub(crate) fn put(out: &mut Vec<u8>, values: impl Iterator<Item = i64> + Clone) {
    let mut least = i64::MAX;
    let mut most = i64::MIN;
    let mut unknown = false;
    for value in values.clone() {
        if value == UNKNOWN {
            unknown = true;
        } else {
            least = least.min(value);
            most = most.max(value);
        }
    }
    if least > most {
        (least, most) = (0, 0);
    }
    let span = (most.wrapping_sub(least) as u64) + u64::from(unknown);
    let width: u8 = match span {
        0 => 0,
        1..=0xFF => 1,
        0x100..=0xFFFF => 2,
        0x1_0000..=0xFFFF_FFFF => 4,
        _ => 8,
    };
    out.extend_from_slice(&least.to_le_bytes());
    out.push(if unknown { width | WITH_UNKNOWN } else { width });
    let packed = values.map(|value| match value {
        UNKNOWN => 0,
        value => (value.wrapping_sub(least) as u64) + u64::from(unknown),
    });
    match width {
        0 => {}
        1 => out.extend(packed.map(|value| value as u8)),
        2 => packed.for_each(|value| out.extend_from_slice(&(value as u16).to_le_bytes())),
        4 => packed.for_each(|value| out.extend_from_slice(&(value as u32).to_le_bytes())),
        _ => packed.for_each(|value| out.extend_from_slice(&value.to_le_bytes())),
    }
}

/// Appends an integer, seven bits a byte, the low ones first (LEB128).
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads what was written, from the front.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(Malformed("ends too early"))?;
        self.bytes = rest;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub fn i64(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// An integer that [`put_varint`] wrote.
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed("has an integer that does not end"))
    }

    /// The same of a count of things that take at least a byte each.
    pub fn varint_count(&mut self) -> Result<usize, Malformed> {
        let count = usize::try_from(self.varint()?).ok().filter(|count| *count <= self.bytes.len());
        count.ok_or(Malformed("counts more than there is"))
    }

    /// Refuses bytes that were left over.
    pub fn end(&self) -> Result<(), Malformed> {
        if self.bytes.is_empty() { Ok(()) } else { Err(Malformed("has bytes left over")) }
    }

    /// A count of things that take at least `bytes_each` bytes, or a bounded number where they may take none.
    pub fn count(&mut self, bytes_each: usize) -> Result<usize, Malformed> {
        let count = self.u32()? as usize;
        let fits = count.saturating_mul(bytes_each) <= self.bytes.len() && count <= COUNT_MAX;
        if fits { Ok(count) } else { Err(Malformed("counts more than there is")) }
    }

    /// A column of `count` integers.
    pub fn ints(&mut self, count: usize) -> Result<Vec<i64>, Malformed> {
        let least = self.i64()?;
        let mark = self.u8()?;
        let unknown = mark & WITH_UNKNOWN != 0;
        let width = usize::from(mark & !WITH_UNKNOWN);
        if !matches!(width, 0 | 1 | 2 | 4 | 8) || count > COUNT_MAX {
            return Err(Malformed("has a column of odd width"));
        }
        let value = |packed: u64| match (packed, unknown) {
            (0, true) => UNKNOWN,
            (packed, _) => least.wrapping_add((packed - u64::from(unknown)) as i64),
        };
        if width == 0 {
            return Ok(vec![value(0); count]);
        }
        let bytes = self.take(count * width)?;
        let wide = |chunk: &[u8]| {
            let mut wide = [0; 8];
            wide[..width].copy_from_slice(chunk);
            value(u64::from_le_bytes(wide))
        };
        Ok(bytes.chunks_exact(width).map(wide).collect())
    }
}

/// Most values in a column, and most lists, texts and rows in a frame: a batch is far smaller.
const COUNT_MAX: usize = 1 << 24;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(values: &[i64]) {
        let mut out = Vec::new();
        put(&mut out, values.iter().copied());
        let mut reader = Reader::new(&out);
        assert_eq!(reader.ints(values.len()).as_deref(), Ok(values));
        assert_eq!(reader.end(), Ok(()));
        for cut in 0..out.len() {
            assert!(Reader::new(&out[..cut]).ints(values.len()).is_err(), "{cut} of {}", out.len());
        }
    }

    #[test]
    fn edges() {
        for values in [
            &[][..],
            &[0],
            &[UNKNOWN],
            &[UNKNOWN, UNKNOWN],
            &[i64::MAX, UNKNOWN, i64::MIN + 1],
            &[5, 5, 5],
            &[255, 0],
            &[UNKNOWN, 255, 0],
            &[1 << 40, 0, -1],
        ] {
            round_trip(values);
        }
    }

    proptest! {
        #[test]
        fn any_column(values in proptest::collection::vec(
            prop_oneof![Just(UNKNOWN), any::<i64>(), 0i64..300], 0..40)) {
            round_trip(&values);
        }
    }
}
