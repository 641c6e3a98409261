//! [`Fault`]: an operation of the simulated disk that fails.

use crate::kit::random::Random;
use rustix::io::Errno;
use std::io;

/// Operations that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A file that is there is opened.
    Open,
    /// Bytes of a file are read.
    Read,
    /// Bytes are written, or an entry of a folder is made, renamed or removed.
    Write,
    /// A file or a folder is synced.
    Sync,
}

/// How it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The device cannot (`EIO`).
    Broken,
    /// There is no space left (`ENOSPC`).
    Full,
    /// The process has as many files open as it may (`EMFILE`).
    TooManyFiles,
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Broken => Errno::IO.into(),
            Failure::Full => Errno::NOSPC.into(),
            Failure::TooManyFiles => Errno::MFILE.into(),
        }
    }
}

/// Some operations of one kind that fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which kind.
    pub operation: Operation,
    /// So many go well before.
    pub after: u64,
    /// So many fail then.
    pub times: u64,
    /// How they fail.
    pub failure: Failure,
}

impl Fault {
    /// Some fault of writes, syncs or opens within the next `operations` ones.
    pub fn random(random: &mut Random, operations: u64) -> Self {
        let (operation, failure) = match random.below(4) {
            0 => (Operation::Sync, Failure::Broken),
            1 => (Operation::Write, Failure::Broken),
            2 => (Operation::Open, Failure::TooManyFiles),
            _ => (Operation::Write, Failure::Full),
        };
        let times = [1, 1, 2, 10][random.below(4) as usize];
        Self { operation, after: random.below(operations), times, failure }
    }

    /// Whether this operation fails.
    pub(super) fn strikes(&mut self, operation: Operation) -> Option<Failure> {
        if self.operation != operation || self.times == 0 {
            return None;
        }
        if self.after > 0 {
            self.after -= 1;
            return None;
        }
        self.times -= 1;
        Some(self.failure)
    }
}
