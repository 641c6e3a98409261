//! Values as they are given: text from flags and the environment, TOML from the file.

use crate::{Error, ErrorKind};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};

/// A value before its setting has read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// From a flag, a variable, or a plain value of the file.
    Text(String),
    /// An array of the file.
    List(Vec<String>),
    /// A table of the file.
    Pairs(Vec<(String, String)>),
    /// An array of tables of the file.
    Tables(Vec<Vec<(String, String)>>),
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::List(items) => f.write_str(&items.join(", ")),
            Self::Pairs(pairs) => {
                f.write_str(&pairs.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(", "))
            }
            // Only sources are tables, and they may hold passwords.
            Self::Tables(tables) => write!(f, "({} tables)", tables.len()),
        }
    }
}

/// The settings of a TOML text, in order.
pub(super) fn of_file(name: &str, text: &str) -> Result<Vec<(String, Given)>, Error> {
    let table: toml::Table = toml::from_str(text).map_err(|source| {
        let at = source.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
        Error::new(ErrorKind::Usage, format!("the configuration file is not TOML file={name} line={at}"))
            .with_hint(source.message().to_owned())
    })?;
    table
        .into_iter()
        .map(|(key, value)| match given(value) {
            Some(given) => Ok((key, given)),
            None => Err(Error::new(ErrorKind::Usage, format!("wrong value setting={key} file={name}"))
                .with_hint("values are text, numbers, true or false, lists of text, tables of text, or lists of such tables")),
        })
        .collect()
}

fn given(value: toml::Value) -> Option<Given> {
    Some(match value {
        toml::Value::Array(items) if items.first().is_some_and(toml::Value::is_table) => {
            Given::Tables(items.into_iter().map(table).collect::<Option<_>>()?)
        }
        toml::Value::Array(items) => Given::List(items.into_iter().map(plain).collect::<Option<_>>()?),
        table @ toml::Value::Table(_) => Given::Pairs(self::table(table)?),
        other => Given::Text(plain(other)?),
    })
}

/// Names with dots may be written without quotation marks: TOML then nests tables.
fn table(value: toml::Value) -> Option<Vec<(String, String)>> {
    let toml::Value::Table(pairs) = value else { return None };
    let mut flat = Vec::new();
    for (key, value) in pairs {
        match value {
            inner @ toml::Value::Table(_) => {
                flat.extend(table(inner)?.into_iter().map(|(rest, value)| (format!("{key}.{rest}"), value)));
            }
            value => flat.push((key, plain(value)?)),
        }
    }
    Some(flat)
}

fn plain(value: toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}

type Wanted = &'static str;

pub(super) fn text(given: &Given) -> Result<String, Wanted> {
    match given {
        Given::Text(text) if !text.is_empty() => Ok(text.clone()),
        _ => Err("one text"),
    }
}

pub(super) fn address(given: &Given) -> Result<SocketAddr, Wanted> {
    const WANTED: Wanted = "an address and a port, as 127.0.0.1:7400";
    let text = text(given).map_err(|_| WANTED)?;
    let local = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    // Numbers only, apart from localhost: a name may resolve to something else at the next start.
    local.as_deref().unwrap_or(&text).parse::<SocketAddr>().ok().or_else(|| wildcard(&text)).ok_or(WANTED)
}

/// `:7400`, as many write "every address".
fn wildcard(text: &str) -> Option<SocketAddr> {
    let port = text.strip_prefix(':')?.parse::<u16>().ok()?;
    ("0.0.0.0", port).to_socket_addrs().ok()?.next()
}

pub(super) fn switch(given: &Given) -> Result<bool, Wanted> {
    match text(given).unwrap_or_default().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("true or false"),
    }
}

pub(super) fn count(given: &Given) -> Result<usize, Wanted> {
    const WANTED: Wanted = "a whole number, at least 1";
    text(given).ok().and_then(|text| text.replace('_', "").parse().ok()).filter(|n| *n > 0).ok_or(WANTED)
}

pub(super) fn millis(given: &Given) -> Result<u64, Wanted> {
    const WANTED: Wanted = "milliseconds from 1 to 3600000, or with a unit: 500ms, 10s, 2m";
    let text = text(given).map_err(|_| WANTED)?;
    let text = text.trim();
    let (number, factor) = match text {
        _ if text.ends_with("ms") => (text.trim_end_matches("ms"), 1),
        _ if text.ends_with('s') => (text.trim_end_matches('s'), 1_000),
        _ if text.ends_with('m') => (text.trim_end_matches('m'), 60_000),
        _ => (text, 1),
    };
    let millis = number.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    millis.filter(|millis| (1..=3_600_000).contains(millis)).ok_or(WANTED)
}

pub(super) fn bytes(given: &Given) -> Result<usize, Wanted> {
    const WANTED: Wanted = "bytes, at least 1, or with a unit: 512KiB, 16MiB, 1GiB";
    let text = text(given).map_err(|_| WANTED)?.to_ascii_lowercase();
    let text = text.trim();
    let unit = |name: &str| text.strip_suffix(name).map(str::trim);
    let (number, shift) = if let Some(number) = unit("kib").or_else(|| unit("k")) {
        (number, 10)
    } else if let Some(number) = unit("mib").or_else(|| unit("m")) {
        (number, 20)
    } else if let Some(number) = unit("gib").or_else(|| unit("g")) {
        (number, 30)
    } else {
        (text, 0)
    };
    let number = number.replace('_', "").parse::<usize>().ok();
    number.and_then(|number| number.checked_mul(1 << shift)).filter(|bytes| *bytes > 0).ok_or(WANTED)
}

pub(super) fn list(given: &Given) -> Result<Vec<String>, Wanted> {
    match given {
        Given::Text(text) => {
            Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
        }
        Given::List(items) => Ok(items.clone()),
        Given::Pairs(_) | Given::Tables(_) => Err("a list of texts"),
    }
}

pub(super) fn patterns(given: &Given) -> Result<Vec<String>, Wanted> {
    const WANTED: Wanted = "regular expressions of at most 1 MiB compiled size";
    // Not split at commas: they are common in patterns.
    let patterns = match given {
        Given::Text(text) if text.is_empty() => Vec::new(),
        Given::Text(text) => vec![text.clone()],
        Given::List(items) => items.clone(),
        Given::Pairs(_) | Given::Tables(_) => return Err(WANTED),
    };
    match crate::ingest::redact::compile(&patterns) {
        Ok(_) => Ok(patterns),
        Err(_) => Err(WANTED),
    }
}

pub(super) fn pairs(given: &Given) -> Result<BTreeMap<String, String>, Wanted> {
    const WANTED: Wanted = "pairs, as kafka@broker-1:9092=production";
    match given {
        Given::Pairs(pairs) => Ok(pairs.iter().cloned().collect()),
        Given::Text(text) => text
            .split(',')
            .map(str::trim)
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').ok_or(WANTED))
            .map(|pair| pair.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())))
            .collect(),
        Given::List(_) | Given::Tables(_) => Err(WANTED),
    }
}

pub(super) fn show_bytes(bytes: usize) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.iter().find(|(shift, _)| bytes > 0 && bytes.is_multiple_of(1 << shift)) {
        Some((shift, name)) => format!("\"{}{name}\"", bytes >> shift),
        None => bytes.to_string(),
    }
}

pub(super) fn show_text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

pub(super) fn show_list(items: &[String]) -> String {
    toml::Value::from(items.to_vec()).to_string()
}

pub(super) fn show_pairs(pairs: &BTreeMap<String, String>) -> String {
    let items = pairs.iter().map(|(key, value)| format!("{} = {}", show_text(key), show_text(value)));
    match items.collect::<Vec<_>>().join(", ") {
        all if all.is_empty() => "{}".to_owned(),
        all => format!("{{ {all} }}"),
    }
}
