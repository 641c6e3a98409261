//! [`Failure`]: how a question is refused: always JSON, always with what to do next where there is something.

use axum::Json;
use axum::response::{IntoResponse, Response};
use hopscope_client::api::{ErrorAnswer, ErrorBody};
use hopscope_store::ErrorKind;
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};

/// A refusal.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    code: &'static str,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// The question itself is wrong.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "invalid", message: message.into(), hint: None }
    }

    /// There is no such thing.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, code: "not_found", message: message.into(), hint: None }
    }

    /// Too many questions at once.
    pub(crate) fn busy(message: impl Into<String>) -> Self {
        Self { status: StatusCode::TOO_MANY_REQUESTS, code: "busy", message: message.into(), hint: None }
    }

    /// Not now.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: "unavailable",
            message: message.into(),
            hint: None,
        }
    }

    /// The same with another status of the 4xx.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The same with the next step.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<hopscope_store::Error> for Failure {
    fn from(error: hopscope_store::Error) -> Self {
        match error.kind {
            ErrorKind::Invalid => Self::invalid(error.to_string()),
            ErrorKind::Unavailable => Self::unavailable(error.to_string()),
            ErrorKind::Corrupt | ErrorKind::Internal => {
                tracing::error!(%error, "a read failed");
                Self {
                    status: StatusCode::INTERNAL_SERVER_ERROR,
                    code: "internal",
                    message: error.to_string(),
                    hint: Some("look at the store with `hopscope store check`".to_owned()),
                }
            }
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let retryable = matches!(self.code, "busy" | "unavailable");
        let error =
            ErrorBody { code: self.code.to_owned(), message: self.message, hint: self.hint, retryable };
        let mut response = (self.status, Json(ErrorAnswer { error })).into_response();
        if retryable {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
