//! [`Formats`]: how contexts are read and written, one setting for an estate.

use crate::{CarrierMut, Origin, carrier};
use hopscope_model::context::{Format, Headers};
use opentelemetry::Context;
use std::fmt;
use std::str::FromStr;

/// How contexts are read and written: one setting for an estate.
///
/// In code, or as OpenTelemetry's `OTEL_PROPAGATORS` has it ([`from_environment`](Self::from_environment)):
///
/// ```
/// use hopscope_sdk::{Format, Formats};
///
/// let formats: Formats = "tracecontext,b3,baggage".parse()?;
/// assert_eq!(formats.write, [Format::W3c, Format::B3Single]);
/// # Ok::<(), hopscope_sdk::UnknownFormat>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formats {
    /// Tried in this order; the first that holds a valid context counts.
    pub read: Vec<Format>,
    /// All of them are written; where there is none, headers are not touched.
    pub write: Vec<Format>,
    /// Which W3C baggage is read and written too.
    pub baggage: BaggageRules,
}

/// Reads every format, W3C first; writes W3C; lets all baggage pass.
impl Default for Formats {
    fn default() -> Self {
        Self { read: Format::READ_ORDER.to_vec(), write: vec![Format::W3c], baggage: BaggageRules::default() }
    }
}

/// Which baggage passes, in both directions: a service neither takes in nor gives away what is not in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaggageRules {
    /// Keys that pass; `*` in one stands for any run of characters. With none, the header is neither read nor written.
    pub keys: Vec<String>,
    /// Most members that are read or written; what comes after is left out.
    pub members_max: usize,
    /// Longest header, bytes; members that do not fit are left out.
    pub bytes_max: usize,
}

/// Every key, within what W3C wants every platform to pass on (W3C Baggage §3.3.2).
impl Default for BaggageRules {
    fn default() -> Self {
        Self { keys: vec!["*".to_owned()], members_max: 64, bytes_max: 8192 }
    }
}

impl BaggageRules {
    /// No baggage at all.
    pub fn none() -> Self {
        Self::of::<&str>([])
    }

    /// These keys alone, within the usual limits.
    pub fn of<K: Into<String>>(keys: impl IntoIterator<Item = K>) -> Self {
        Self { keys: keys.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// True where any key may pass.
    pub fn is_on(&self) -> bool {
        !self.keys.is_empty() && self.members_max > 0
    }

    /// True where that key passes.
    pub fn allows(&self, key: &str) -> bool {
        self.keys.iter().any(|pattern| crate::per_destination::fits(pattern.as_bytes(), key.as_bytes()))
    }
}

impl Formats {
    /// No context is read or written: every process begins a trace of its own.
    pub fn none() -> Self {
        Self { read: Vec::new(), write: Vec::new(), baggage: BaggageRules::none() }
    }

    /// Reads context and baggage, for whoever has headers that no adapter knows.
    pub fn extract(&self, headers: &dyn Headers) -> Origin {
        carrier::extract(self, headers)
    }

    /// Writes the current span and the baggage of that context. Every older context in the headers is removed, all other
    /// headers stay as they are; without a valid span nothing is touched.
    pub fn inject(&self, context: &Context, headers: &mut dyn CarrierMut) {
        carrier::inject(self, context, headers);
    }

    /// What `OTEL_PROPAGATORS` says, as in the text form; `None` where it is not set.
    ///
    /// # Errors
    /// A name that is none.
    pub fn from_environment() -> Result<Option<Self>, UnknownFormat> {
        match std::env::var("OTEL_PROPAGATORS") {
            Ok(list) if !list.trim().is_empty() => list.parse().map(Some),
            _ => Ok(None),
        }
    }
}

/// Names of formats ([`Format::name`]) and `baggage`, with commas between them; `none` alone is [`Formats::none`]. What is
/// listed is written, and read in that order; the first that is found counts.
impl FromStr for Formats {
    type Err = UnknownFormat;

    fn from_str(list: &str) -> Result<Self, UnknownFormat> {
        let mut formats = Self::none();
        let names: Vec<&str> = list.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        for &name in &names {
            match (name, Format::from_name(name)) {
                ("baggage", _) => formats.baggage = BaggageRules::default(),
                ("none", _) if names.len() == 1 => {}
                (_, Some(format)) if formats.write.contains(&format) => {}
                (_, Some(format)) => formats.write.push(format),
                (_, None) => return Err(UnknownFormat(name.to_owned())),
            }
        }
        formats.read.clone_from(&formats.write);
        Ok(formats)
    }
}

/// A format of that name does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFormat(pub String);

impl fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<&str> = Format::ALL.iter().map(|format| format.name()).collect();
        write!(f, "unknown propagation format; name={} known={},baggage,none", self.0, known.join(","))
    }
}

impl std::error::Error for UnknownFormat {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_opentelemetry() {
        let parse = |list: &str| list.parse::<Formats>();
        let formats = parse("tracecontext, baggage,b3,b3multi,jaeger,xray,ottrace,b3").expect("known");
        let listed =
            [Format::W3c, Format::B3Single, Format::B3Multi, Format::Jaeger, Format::XRay, Format::OtTrace];
        assert_eq!((&formats.write[..], &formats.read[..]), (&listed[..], &listed[..]));
        assert_eq!(formats.baggage, BaggageRules::default());
        assert_eq!(parse("b3").expect("known").baggage, BaggageRules::none());
        assert_eq!(parse("none"), Ok(Formats::none()));
        assert_eq!(parse(""), Ok(Formats::none()));
        assert_eq!(parse("tracecontext,none"), Err(UnknownFormat("none".into())), "a contradiction");
        let error = parse("tracecontext,b4").expect_err("unknown");
        assert!(error.to_string().contains("name=b4 known=tracecontext,b3,"), "{error}");
        for format in Format::ALL {
            assert_eq!(parse(format.name()).expect("known").write, [*format]);
        }
    }

    #[test]
    fn keys_and_beginnings() {
        let rules = BaggageRules::of(["tenant", "app.*"]);
        assert!(rules.allows("tenant") && rules.allows("app.") && rules.allows("app.x"));
        assert!(!rules.allows("tenant2") && !rules.allows("Tenant") && !rules.allows("app"));
        assert!(BaggageRules::default().allows("anything") && !BaggageRules::none().is_on());
    }
}
