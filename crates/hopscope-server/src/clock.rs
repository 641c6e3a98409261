//! The one door to the clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, nanoseconds since the Unix epoch. Before 1970 it says 0, after 2262 the largest value.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
