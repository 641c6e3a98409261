//! [`Fields`]: the attributes of one span, a link's laid over them, asked by meaning.
//!
//! Asking for a value *takes* it: what went into a column is not repeated among the attributes, and what
//! could not be used (a position that is no number) stays there.

use crate::names::{Name, Names, Spellings};
use crate::span::{AttributeView, Raw};

/// Where the values are: index into the span's attributes, or past them into the link's.
pub(crate) type Slots = [u16; 128];

/// See the module.
pub(crate) struct Fields<'v, 'a> {
    pub own: &'v [AttributeView<'a>],
    pub link: &'v [AttributeView<'a>],
    pub slots: &'v Slots,
    /// Names that have a value.
    pub present: Names,
    /// Names whose value went into a column.
    pub taken: Names,
}

impl<'v, 'a> Fields<'v, 'a> {
    /// True when any of these has a value.
    #[inline(always)]
    pub(crate) fn has(&self, names: Names) -> bool {
        self.present & names != 0
    }

    #[inline(always)]
    pub(crate) fn raw(&self, name: Name) -> Option<&'v Raw<'a>> {
        if !self.has(name.bit()) {
            return None;
        }
        let slot = usize::from(self.slots[name as usize]);
        let found = self.own.get(slot).or_else(|| self.link.get(slot.wrapping_sub(self.own.len())));
        found.map(|attribute| &attribute.value)
    }

    /// Text without taking it; the empty one is absent.
    #[inline(always)]
    pub(crate) fn peek(&self, name: Name) -> Option<&'a [u8]> {
        match self.raw(name)? {
            Raw::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// Text, taken.
    #[inline(always)]
    pub(crate) fn text(&mut self, name: Name) -> Option<&'a [u8]> {
        let text = self.peek(name)?;
        self.take(name.bit());
        Some(text)
    }

    /// Text of the newest spelling that has one; all spellings are taken.
    #[inline(always)]
    pub(crate) fn first(&mut self, of: &Spellings) -> Option<&'a [u8]> {
        if !self.has(of.set) {
            return None;
        }
        let text = of.names.iter().find_map(|name| self.peek(*name))?;
        self.take(of.set);
        Some(text)
    }

    /// Integer, taken; also one that was sent as decimal text.
    #[inline(always)]
    pub(crate) fn int(&mut self, name: Name) -> Option<i64> {
        let number = self.peek_int(name)?;
        self.take(name.bit());
        Some(number)
    }

    /// Integer without taking it.
    #[inline(always)]
    pub(crate) fn peek_int(&self, name: Name) -> Option<i64> {
        match self.raw(name)? {
            Raw::Int(number) => Some(*number),
            Raw::Text(text) => std::str::from_utf8(text).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// Integer of the newest spelling that has one, if it passes; all spellings are taken.
    #[inline(always)]
    pub(crate) fn first_int(&mut self, of: &Spellings, passes: fn(i64) -> bool) -> Option<i64> {
        if !self.has(of.set) {
            return None;
        }
        let number =
            of.names.iter().find_map(|name| self.peek_int(*name).filter(|number| passes(*number)))?;
        self.take(of.set);
        Some(number)
    }

    /// Marks names as taken.
    #[inline(always)]
    pub(crate) fn take(&mut self, names: Names) {
        self.taken |= names;
    }
}
