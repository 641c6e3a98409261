//! [`Error`]: why an answer could not be had, and what to do next.

use crate::api::ErrorBody;
use std::fmt;

/// What the caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Nobody answers at that address: is the server running?
    Unreachable,
    /// The server does not know it.
    NotFound,
    /// The request itself is wrong: the same one will always fail.
    Invalid,
    /// Try again later: busy, stopping, too slow.
    Unavailable,
    /// A defect of the server, or something that is not a Hopscope server.
    Internal,
}

/// Why there is no answer.
#[derive(Debug)]
pub struct Error {
    /// What to do about it.
    pub kind: ErrorKind,
    /// One sentence, lower case, values last.
    pub message: String,
    /// The next step, where there is one.
    pub hint: Option<String>,
    /// What lies under it.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub(crate) fn answered(body: ErrorBody) -> Self {
        let kind = match body.code.as_str() {
            "not_found" => ErrorKind::NotFound,
            "invalid" => ErrorKind::Invalid,
            "busy" | "unavailable" => ErrorKind::Unavailable,
            _ if body.retryable => ErrorKind::Unavailable,
            _ => ErrorKind::Internal,
        };
        Self { kind, message: body.message, hint: body.hint, source: None }
    }

    pub(crate) fn transport(base: &str, source: reqwest::Error) -> Self {
        if source.is_builder() {
            let message = format!("not the address of a server address={base}");
            let hint = Some("write it as http://host:port".to_owned());
            return Self { kind: ErrorKind::Invalid, message, hint, source: Some(Box::new(source)) };
        }
        let (kind, message, hint) = if source.is_timeout() {
            (ErrorKind::Unavailable, "the server did not answer in time", "ask for less, or try again")
        } else if source.is_decode() {
            (ErrorKind::Internal, "the answer is not one of a Hopscope server", "is this the right port?")
        } else {
            (ErrorKind::Unreachable, "no server answers", "start one with `hopscope serve`")
        };
        let message = format!("{message} address={base}");
        Self { kind, message, hint: Some(hint.to_owned()), source: Some(Box::new(source)) }
    }

    pub(crate) fn strange(base: &str, status: u16) -> Self {
        Self {
            kind: ErrorKind::Internal,
            message: format!("the answer is not one of a Hopscope server address={base} status={status}"),
            hint: Some("is this the right port?".to_owned()),
            source: None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}
