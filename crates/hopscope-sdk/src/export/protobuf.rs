//! The few protobuf writers that OTLP needs (Protocol Buffers encoding: varint, fixed64, length-delimited).

/// Wire type 0.
pub(crate) fn varint_field(out: &mut Vec<u8>, field: u32, value: u64) {
    varint(out, u64::from(field << 3));
    varint(out, value);
}

/// Wire type 1.
pub(crate) fn fixed64_field(out: &mut Vec<u8>, field: u32, value: u64) {
    varint(out, u64::from(field << 3 | 1));
    out.extend_from_slice(&value.to_le_bytes());
}

/// Wire type 5.
pub(crate) fn fixed32_field(out: &mut Vec<u8>, field: u32, value: u32) {
    varint(out, u64::from(field << 3 | 5));
    out.extend_from_slice(&value.to_le_bytes());
}

/// Wire type 2.
pub(crate) fn bytes_field(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    length_field(out, field, value.len());
    out.extend_from_slice(value);
}

/// The head of a length-delimited field; that many bytes follow.
pub(crate) fn length_field(out: &mut Vec<u8>, field: u32, bytes: usize) {
    varint(out, u64::from(field << 3 | 2));
    varint(out, bytes as u64);
}

/// A message in a field: `write` appends its content. Its length is written before it when it is known; most
/// messages are shorter than 128 bytes, whose length is one byte.
pub(crate) fn message_field(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    varint(out, u64::from(field << 3 | 2));
    let start = out.len();
    out.push(0);
    write(out);
    let bytes = out.len() - start - 1;
    if bytes < 128 {
        out[start] = bytes as u8;
        return;
    }
    let extra = varint_len(bytes as u64) - 1;
    let end = out.len();
    out.resize(end + extra, 0);
    out.copy_within(start + 1..end, start + 1 + extra);
    let mut value = bytes as u64;
    for byte in &mut out[start..start + extra] {
        *byte = value as u8 | 0x80;
        value >>= 7;
    }
    out[start + extra] = value as u8;
}

pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes of that number as a varint.
pub(crate) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// A field's value, as far as answers of an endpoint need it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Field<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// The fields of a message, up to the first byte that makes no sense.
pub(crate) fn fields(mut message: &[u8]) -> impl Iterator<Item = (u64, Field<'_>)> {
    std::iter::from_fn(move || {
        let key = take_varint(&mut message)?;
        let field = match key & 7 {
            0 => Field::Varint(take_varint(&mut message)?),
            1 => message.split_off(..8).map(|_| Field::Fixed)?,
            2 => {
                let bytes = usize::try_from(take_varint(&mut message)?).ok()?;
                Field::Bytes(message.split_off(..bytes)?)
            }
            5 => message.split_off(..4).map(|_| Field::Fixed)?,
            _ => return None,
        };
        Some((key >> 3, field))
    })
}

fn take_varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *message.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
