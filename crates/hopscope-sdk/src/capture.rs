//! [`Capture`]: what of a message is written down beside what names it.

use crate::{Headers, PerDestination};
use smallvec::SmallVec;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// What of a message is written down beside what names it. Headers, keys and bodies may hold what must not leave the
/// process: headers are only taken where they are named here, keys can be left out, and of a body there is never more than
/// its size and, if wanted, a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    headers: Vec<(String, &'static str)>,
    pub(crate) keys: PerDestination<bool>,
    pub(crate) body_hash: PerDestination<bool>,
}

impl Default for Capture {
    fn default() -> Self {
        Self { headers: Vec::new(), keys: true.into(), body_hash: false.into() }
    }
}

impl Capture {
    /// These headers too, on sends and receives: `messaging.header.{name}`, the name in small letters, all values as a
    /// list. Names are compared without regard to ASCII case.
    pub fn with_headers<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.headers.extend(names.into_iter().map(|name| {
            let name: String = name.into();
            let attribute = known(format!("messaging.header.{}", name.to_lowercase()));
            (name, attribute)
        }));
        self
    }

    /// Whether keys are recorded: Kafka's record key, and business keys. Default: they are.
    pub fn with_keys(mut self, keys: impl Into<PerDestination<bool>>) -> Self {
        self.keys = keys.into();
        self
    }

    /// Whether a hash of the body is recorded, `hopscope.body.hash`: XXH3 of 128 bits, in hexadecimal. It tells whether two
    /// messages have the same body; it keeps no secret where there are few possible bodies. Default: it is not.
    pub fn with_body_hash(mut self, body_hash: impl Into<PerDestination<bool>>) -> Self {
        self.body_hash = body_hash.into();
        self
    }

    /// Calls `found` with each header that is to be recorded and that is there, as text.
    pub(crate) fn read(&self, headers: &dyn Headers, found: &mut dyn FnMut(&'static str, &[&str])) {
        for (name, attribute) in &self.headers {
            let mut values: SmallVec<[String; 2]> = SmallVec::new();
            headers.get_all(name, &mut |value| {
                if values.len() < VALUES_MAX {
                    values.push(String::from_utf8_lossy(value.unwrap_or_default()).into_owned());
                }
            });
            if !values.is_empty() {
                let values: SmallVec<[&str; 2]> = values.iter().map(String::as_str).collect();
                found(attribute, &values);
            }
        }
    }

    pub(crate) fn has_headers(&self) -> bool {
        !self.headers.is_empty()
    }
}

/// Values of one header that are recorded; a message that repeats one thousands of times is somebody's mistake.
const VALUES_MAX: usize = 16;

/// The name of an attribute, as all attributes of a step have it: there are as few as are set up, and each is kept once for
/// the life of the process.
fn known(name: String) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name.as_str()) {
        return known;
    }
    let name: &'static str = name.leak();
    names.insert(name);
    name
}

/// A body, to be hashed where that is wanted. Its content is in no log and no debug output.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Body<'a>(pub &'a [u8]);

impl std::fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Body<'_> {
    /// As it is written.
    pub(crate) fn hash(self) -> String {
        format!("{:032x}", xxhash_rust::xxh3::xxh3_128(self.0))
    }
}
