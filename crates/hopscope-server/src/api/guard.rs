//! What every request has to pass, and what every answer carries. The data is other people's, and there is no
//! authentication yet: a page of another site must not be able to ask, nor to frame, nor to inject.

use super::{Api, Failure};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::uri::Authority;
use http::{HeaderValue, Method, StatusCode};
use std::net::IpAddr;
use std::sync::Arc;

/// Longest query string: a pasted log line fits.
const QUERY_BYTES_MAX: usize = 32 << 10;

/// Scripts only from ourselves. Styles may stand in the page: Svelte's transitions write them.
const POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// Around everything.
pub(super) async fn guard(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let mut response = match refusal(&api, &request) {
        Some(failure) => failure.into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

fn refusal(api: &Api, request: &Request) -> Option<Failure> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let failure = Failure::invalid("only GET is answered here");
        return Some(failure.with_status(StatusCode::METHOD_NOT_ALLOWED));
    }
    if request.uri().query().is_some_and(|query| query.len() > QUERY_BYTES_MAX) {
        let failure = Failure::invalid(format!("the query is too long bytes_max={QUERY_BYTES_MAX}"));
        return Some(failure.with_status(StatusCode::URI_TOO_LONG));
    }
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    if !host.is_some_and(|host| is_allowed(host, &api.config.hosts)) {
        let failure =
            Failure::invalid(format!("this name is not one of the server's host={}", host.unwrap_or("")));
        let hint = "ask by address, or add the name to the setting hosts";
        return Some(failure.with_hint(hint).with_status(StatusCode::MISDIRECTED_REQUEST));
    }
    None
}

/// An address, a loopback name, or a configured name. A page of another site can make a browser ask us under a
/// name that it owns (DNS rebinding), never under an address.
fn is_allowed(host: &str, names: &[String]) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    name.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
        || names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_are_not_answered() {
        let names = ["hopscope.example".to_owned()];
        let allowed = [
            "127.0.0.1:7400",
            "[::1]:7400",
            "localhost",
            "LOCALHOST:1",
            "a.localhost:1",
            "Hopscope.example:7400",
            "10.1.2.3",
        ];
        for host in allowed {
            assert!(is_allowed(host, &names), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            "a b",
            "hopscope.example.evil",
        ] {
            assert!(!is_allowed(host, &names), "{host}");
        }
    }
}
