//! [`Failure`]: how something went wrong, small enough for a span.

use std::borrow::Cow;
use std::fmt::Display;

/// Longest message of a [`Failure`], bytes.
pub const MESSAGE_BYTES_MAX: usize = 1024;

/// How something went wrong.
///
/// Any `&error` becomes one: its type's name is the kind, its text the message.
/// ```
/// use hopscope_sdk::Failure;
/// let failure = Failure::from(&std::fmt::Error);
/// assert_eq!(failure.kind(), "core::fmt::Error");
/// let failure = Failure::new("SYSTEM_BUSY", "the broker is busy, queue=4");
/// assert_eq!(failure.kind(), "SYSTEM_BUSY");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    kind: Cow<'static, str>,
    message: String,
}

impl Failure {
    /// `kind` becomes `error.type`: of few values, best the broker's own code. `message` is for people, cut at
    /// 1024 bytes.
    pub fn new(kind: impl Into<Cow<'static, str>>, message: impl Display) -> Self {
        let mut message = message.to_string();
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        Self { kind: kind.into(), message }
    }

    /// `error.type`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The text for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The payload of a caught panic: its kind is `panic`, its message what was given to `panic!`.
    pub fn panic(payload: &(dyn std::any::Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self::new("panic", text.unwrap_or_default())
    }
}

impl<E: std::error::Error> From<&E> for Failure {
    fn from(error: &E) -> Self {
        Self::new(std::any::type_name::<E>(), error)
    }
}
