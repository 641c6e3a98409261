//! The one door to the clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

static SHIFT_NS: AtomicI64 = AtomicI64::new(0);

/// Now, nanoseconds since the Unix epoch. Before 1970 it says 0, after 2262 the largest value.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ns = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
    now_ns.saturating_add(SHIFT_NS.load(Ordering::Relaxed))
}

/// Lets this process believe that it is that instant now. For benches that fill weeks within minutes.
#[doc(hidden)]
pub fn set_now_ns(believed_ns: i64) {
    let before = SHIFT_NS.load(Ordering::Relaxed);
    SHIFT_NS.store(believed_ns.saturating_sub(now_ns().saturating_sub(before)), Ordering::Relaxed);
}
