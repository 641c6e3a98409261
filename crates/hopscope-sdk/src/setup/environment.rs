//! OpenTelemetry's environment variables, read once, at the set-up.

use crate::{Root, Sampler, Sampling};
use std::fmt;
use std::str::FromStr;

/// Where variables are looked up: the process's, or a test's.
#[derive(Clone, Copy)]
pub(super) struct Environment<'a>(&'a dyn Fn(&str) -> Option<String>);

impl fmt::Debug for Environment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}

/// The process's own.
pub(super) const PROCESS: Environment<'static> = Environment(&|name| std::env::var(name).ok());

impl<'a> Environment<'a> {
    #[cfg(test)]
    pub const NOTHING: Environment<'static> = Environment(&|_| None);

    #[cfg(test)]
    pub fn of(variables: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self(variables)
    }

    /// The value; one that is empty counts as none.
    pub fn text(&self, name: &str) -> Option<String> {
        (self.0)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The value; one that makes no sense is told to the log and counts as none, as OpenTelemetry wants it.
    pub fn parse<T>(&self, name: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.text(name)?;
        let value = read(&text);
        if value.is_none() {
            tracing::warn!(name, value = text, "an environment variable makes no sense and is not used");
        }
        value
    }

    /// A number.
    pub fn number<T: FromStr>(&self, name: &str) -> Option<T> {
        self.parse(name, |text| text.parse().ok())
    }

    /// Whether it says `true`.
    pub fn is_true(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// `OTEL_EXPORTER_OTLP_TRACES_*` and its like, else `OTEL_EXPORTER_OTLP_*`.
    pub fn otlp<T>(&self, signal: &str, name: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.parse(&format!("OTEL_EXPORTER_OTLP_{signal}_{name}"), &read)
            .or_else(|| self.parse(&format!("OTEL_EXPORTER_OTLP_{name}"), &read))
    }

    /// `OTEL_TRACES_SAMPLER` and its argument.
    pub fn sampling(&self) -> Option<Sampling> {
        let ratio = || {
            let share = |text: &str| text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
            self.parse("OTEL_TRACES_SAMPLER_ARG", share).unwrap_or(1.0)
        };
        let sampler = self.parse("OTEL_TRACES_SAMPLER", |name| match name {
            "always_on" => Some(Sampler::Always),
            "always_off" => Some(Sampler::Never),
            "traceidratio" => Some(Sampler::Ratio(ratio())),
            "parentbased_always_on" => Some(Sampler::ParentBased(Root::Always)),
            "parentbased_always_off" => Some(Sampler::ParentBased(Root::Never)),
            "parentbased_traceidratio" => Some(Sampler::ParentBased(Root::Ratio(ratio()))),
            _ => None,
        });
        sampler.map(Sampling::all)
    }
}

/// `name=value,name=value`, percent-encoded as W3C's baggage is. `None` where it makes no sense.
pub(super) fn headers(text: &str) -> Option<Vec<(String, String)>> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            Some((pair.split_once('=')?.0.trim().to_owned(), decoded(pair.split_once('=')?.1.trim())?))
        })
        .collect()
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some(byte) = rest.split_off_first() {
        match byte {
            b'%' => {
                let digits = std::str::from_utf8(rest.split_off(..2)?).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
            }
            byte => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samplers_have_opentelemetrys_names() {
        for (name, sampler) in [
            ("always_off", Some(Sampler::Never)),
            ("traceidratio", Some(Sampler::Ratio(0.25))),
            ("parentbased_traceidratio", Some(Sampler::ParentBased(Root::Ratio(0.25)))),
            ("jaeger_remote", None),
        ] {
            let variables = |variable: &str| match variable {
                "OTEL_TRACES_SAMPLER" => Some(name.to_owned()),
                "OTEL_TRACES_SAMPLER_ARG" => Some("0.25".to_owned()),
                _ => None,
            };
            assert_eq!(Environment::of(&variables).sampling(), sampler.map(Sampling::all), "{name}");
        }
    }

    #[test]
    fn a_signals_own_variable_goes_first() {
        let variables = |variable: &str| match variable {
            "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT" => Some("1".to_owned()),
            "OTEL_EXPORTER_OTLP_TIMEOUT" => Some("2".to_owned()),
            _ => None,
        };
        let timeout =
            |signal| Environment::of(&variables).otlp(signal, "TIMEOUT", |text| text.parse::<u32>().ok());
        assert_eq!((timeout("TRACES"), timeout("METRICS")), (Some(1), Some(2)));
    }

    #[test]
    fn headers_are_percent_encoded_pairs() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let read = headers(" api-key = s%20e=c , tenant=a,");
        assert_eq!(read, Some(vec![pair("api-key", "s e=c"), pair("tenant", "a")]));
        for nonsense in ["key", "key=%2", "key=%zz", "key=%ff"] {
            assert_eq!(headers(nonsense), None, "{nonsense}");
        }
    }
}
