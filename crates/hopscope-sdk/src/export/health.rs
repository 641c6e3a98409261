//! [`Health`]: what the log is told about an export.

use super::target::Verdict;
use std::time::Duration;
use tokio::time::Instant;

/// Tells the log when things go wrong and when they go right again, and what is lost once a minute at most.
#[derive(Debug)]
pub(super) struct Health {
    /// What is exported.
    what: &'static str,
    is_failing: bool,
    told_loss: Option<Instant>,
}

impl Health {
    pub fn of(what: &'static str) -> Self {
        Self { what, is_failing: false, told_loss: None }
    }

    /// What became of that many spans or requests.
    pub fn see(&mut self, verdict: &Verdict, number: u64) {
        let what = self.what;
        match verdict {
            Verdict::Taken { rejected: 0, .. } => {
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!(what, "exported again");
                }
            }
            Verdict::Taken { rejected, why } => self.see_loss(*rejected, why),
            Verdict::Never { why } | Verdict::TooLarge { why } => self.see_loss(number, why),
            Verdict::Later { why, .. } => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::warn!(what, why, "cannot be exported now, kept");
                }
            }
        }
    }

    /// That many are lost.
    pub fn see_loss(&mut self, number: u64, why: &str) {
        if self.told_loss.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            self.told_loss = Some(Instant::now());
            tracing::error!(what = self.what, number, why, "lost");
        }
    }
}

const TOLD_EVERY: Duration = Duration::from_secs(60);
