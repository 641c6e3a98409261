//! Smaller requests.

use std::borrow::Cow;
use std::io::Write;

/// How requests are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// zstd: smaller and faster than gzip; ask whether the receiver reads it.
    #[cfg(feature = "zstd")]
    Zstd,
}

impl Compression {
    /// Its name in `content-encoding`, `grpc-encoding` and the environment.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("gzip"),
            #[cfg(feature = "zstd")]
            Self::Zstd => Some("zstd"),
        }
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        match name {
            "none" => Some(Self::None),
            "gzip" => Some(Self::Gzip),
            #[cfg(feature = "zstd")]
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The request, compressed; quickly rather than well, the CPU is the application's.
    pub(crate) fn apply(self, request: &[u8]) -> std::io::Result<Cow<'_, [u8]>> {
        match self {
            Self::None => Ok(request.into()),
            Self::Gzip => {
                let out = Vec::with_capacity(request.len() / 4);
                let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
                encoder.write_all(request)?;
                encoder.finish().map(Cow::Owned)
            }
            #[cfg(feature = "zstd")]
            Self::Zstd => zstd::bulk::compress(request, 1).map(Cow::Owned),
        }
    }
}
