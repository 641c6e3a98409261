//! [`WalMode`]: the setting of that name.

use super::Given;
use super::value;

/// When a batch is acknowledged; what each costs is in the table of settings and at
/// [`hopscope_store::embedded::WalMode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalMode {
    /// After it is synced.
    Sync,
    /// After it is written; synced once in `wal_interval_ms`.
    Interval,
    /// After it is written.
    None,
}

const NAMES: [(&str, WalMode); 3] =
    [("sync", WalMode::Sync), ("interval", WalMode::Interval), ("none", WalMode::None)];

pub(super) fn read(given: &Given) -> Result<WalMode, &'static str> {
    let text = value::text(given).unwrap_or_default();
    let found = NAMES.iter().find(|(name, _)| *name == text);
    found.map(|(_, mode)| *mode).ok_or("sync, interval or none")
}

pub(super) fn show(mode: WalMode) -> String {
    let name = NAMES.iter().find(|(_, other)| *other == mode).map_or("sync", |(name, _)| name);
    value::show_text(name)
}
