//! [`Error`]: why the server cannot start or go on, with the next step for whoever started it.

use std::fmt;
use std::net::SocketAddr;

/// What the person who started the server should look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The configuration: a wrong flag, file, value or name.
    Usage,
    /// Something else holds it: a port, the store's folder.
    Taken,
    /// The system says no: permissions, a full disk.
    Denied,
    /// A defect, or an I/O error without a better name.
    Internal,
}

/// Why the server cannot.
#[derive(Debug)]
pub struct Error {
    /// What to look at.
    pub kind: ErrorKind,
    /// One sentence, lower case, values last.
    pub message: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error without hint and cause.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, source: None }
    }

    /// The same with the next step.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with its cause.
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The next step, where there is one.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Why `address` could not be listened on; `setting` is the name of what set it.
    pub(crate) fn listen(setting: &str, address: SocketAddr, source: std::io::Error) -> Self {
        use std::io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
        let flag = setting.replace('_', "-");
        let (kind, message, hint) = match source.kind() {
            AddrInUse => (
                ErrorKind::Taken,
                "the port is in use",
                format!("stop what listens there, or choose another with --{flag} (port 0 takes a free one)"),
            ),
            PermissionDenied => (
                ErrorKind::Denied,
                "no permission to listen on this port",
                format!("ports below 1024 need rights: choose another with --{flag}"),
            ),
            AddrNotAvailable => (
                ErrorKind::Usage,
                "this machine does not have that address",
                format!("give one of its own with --{flag}"),
            ),
            _ => (ErrorKind::Internal, "cannot listen", format!("choose another address with --{flag}")),
        };
        Self::new(kind, format!("{message} setting={setting} address={address}"))
            .with_hint(hint)
            .because(source)
    }

    /// Why the store in `data` could not be opened.
    pub(crate) fn open(data: &str, source: hopscope_store::Error) -> Self {
        let io = io_kind(&source);
        let (kind, hint) = match (source.kind, io) {
            (_, Some(std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem)) => (
                ErrorKind::Denied,
                "give the user that runs hopscope write access to it, or choose another with --data",
            ),
            (_, Some(std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)) => {
                (ErrorKind::Denied, "make room on the disk, or choose another folder with --data")
            }
            (_, Some(std::io::ErrorKind::NotADirectory | std::io::ErrorKind::AlreadyExists)) => {
                (ErrorKind::Usage, "that is a file: choose a folder with --data")
            }
            (_, Some(std::io::ErrorKind::NotFound)) => {
                (ErrorKind::Denied, "a folder cannot be made there: choose another with --data")
            }
            (hopscope_store::ErrorKind::Unavailable, _) => {
                (ErrorKind::Taken, "is another hopscope running on this folder? one process a folder")
            }
            (hopscope_store::ErrorKind::Invalid, _) => {
                (ErrorKind::Usage, "choose another folder with --data")
            }
            (hopscope_store::ErrorKind::Corrupt, _) => {
                (ErrorKind::Denied, "look at it with `hopscope store check`")
            }
            (hopscope_store::ErrorKind::Internal, _) => {
                (ErrorKind::Internal, "look at it with `hopscope store check`")
            }
        };
        Self::new(kind, format!("{source} data={data}")).with_hint(hint).because(source)
    }
}

/// The first I/O error under `error`.
fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<std::io::ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        next = error.source();
    }
    None
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
