//! `attr.NAME:value`: what an event says beside its columns, its own attributes and those of its resource.

use super::text_fits;
use crate::{Attribute, Cell, EventRef, Texts};
use std::borrow::Cow;

/// What stands before the name of an attribute in a query.
pub(super) const PREFIX: &str = "attr.";

/// Whether the event or its resource has an attribute of that name with that value.
pub(super) fn matches(name: &str, wanted: &str, event: EventRef<'_>) -> bool {
    let texts = event.batch().texts();
    let fits = |(key, cell): &Attribute| texts.get(*key) == name && text_fits(wanted, &text_of(texts, *cell));
    event.own_attributes().iter().any(fits) || event.resource_attributes().iter().any(fits)
}

/// The value as it is shown: see the `Display` of [`Value`](crate::Value).
fn text_of(texts: &Texts, cell: Cell) -> Cow<'_, str> {
    match cell {
        Cell::Text(text) | Cell::Bytes(text) | Cell::Json(text) => Cow::Borrowed(texts.get(text)),
        Cell::Int(number) => Cow::Owned(number.to_string()),
        Cell::Double(number) => Cow::Owned(number.to_string()),
        Cell::Bool(truth) => Cow::Borrowed(if truth { "true" } else { "false" }),
    }
}
