//! OTLP over HTTP: what the answers mean (OTLP specification 1.9, "OTLP/HTTP Response").

use super::protobuf::{Field, fields};
use super::target::Verdict;
use hyper::StatusCode;
use hyper::header::{HeaderMap, RETRY_AFTER};
use std::time::Duration;

/// What an answer with that status, those headers and that body means.
pub(super) fn verdict(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Verdict {
    let why = || format!("the endpoint answered {status}");
    match status.as_u16() {
        200..300 => partial_success(body),
        429 | 502 | 503 | 504 => Verdict::Later { pause: retry_after(headers), why: why() },
        413 => Verdict::TooLarge { why: why() },
        _ => Verdict::never(why()),
    }
}

/// Seconds; the other form, a date, would need a clock that agrees with the endpoint's.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Reads an `Export*ServiceResponse`: what was rejected, of what was otherwise taken.
pub(super) fn partial_success(response: &[u8]) -> Verdict {
    let partial = fields(response).find_map(|field| match field {
        (1, Field::Bytes(partial)) => Some(partial),
        _ => None,
    });
    let (mut rejected, mut why) = (0, String::new());
    for field in fields(partial.unwrap_or_default()) {
        match field {
            (1, Field::Varint(number)) => rejected = number,
            (2, Field::Bytes(text)) => why = String::from_utf8_lossy(text).into_owned(),
            _ => {}
        }
    }
    // Rejected is a signed number; a negative one is nonsense.
    Verdict::Taken { rejected: if rejected > i64::MAX as u64 { 0 } else { rejected }, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_that_say_so_are_tried_again() {
        let of = |status: u16| verdict(StatusCode::from_u16(status).expect("valid"), &HeaderMap::new(), &[]);
        assert_eq!(of(200), Verdict::TAKEN);
        for status in [429, 502, 503, 504] {
            assert!(matches!(of(status), Verdict::Later { pause: None, .. }), "{status}");
        }
        for status in [301, 400, 401, 403, 404, 500, 501] {
            assert!(matches!(of(status), Verdict::Never { .. }), "{status}");
        }
        assert!(matches!(of(413), Verdict::TooLarge { .. }));
    }

    #[test]
    fn a_pause_is_read_in_seconds_only() {
        for (value, pause) in
            [("7", Some(7)), (" 0 ", Some(0)), ("-1", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None)]
        {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().expect("a value"))]);
            assert_eq!(retry_after(&headers), pause.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn a_partial_success_is_read_and_nonsense_is_none() {
        let response = [0x0a, 7, 0x08, 3, 0x12, 3, b'o', b'l', b'd'];
        assert_eq!(partial_success(&response), Verdict::Taken { rejected: 3, why: "old".into() });
        for cut in 0..response.len() {
            assert!(matches!(partial_success(&response[..cut]), Verdict::Taken { .. }), "cut={cut}");
        }
        let mut negative = vec![0x0a, 11, 0x08];
        negative.extend([0xff; 9]);
        negative.push(1);
        assert_eq!(partial_success(&negative), Verdict::TAKEN);
    }
}
