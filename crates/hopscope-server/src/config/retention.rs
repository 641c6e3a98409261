//! What is kept for how long, and what is never dropped: rules of the configuration, and the [`Policy`] of a tenant that
//! they make.

use super::sources::{Source, Table};
use super::value::{self, Given};
use hopscope_model::{Query, Tenant};
use hopscope_store::embedded::day_of;
use hopscope_store::{Age, Hold, Policy};

/// Rules of one kind.
const RULES_MAX: usize = 1_000;

/// How long something is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionRule {
    /// Of this tenant; of every one where it is not given.
    pub tenant: Option<Tenant>,
    /// A name, or with `*` at its end the begin of names.
    pub destination: String,
    /// Whole days after the day of receipt; `Some(None)` for ever.
    pub age: Option<Option<u32>>,
    /// Most bytes of the whole tenant.
    pub bytes: Option<usize>,
}

/// What is never dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldRule {
    /// As in [`RetentionRule`].
    pub tenant: Option<Tenant>,
    /// As in [`RetentionRule`].
    pub destination: String,
    /// First day of receipt, as it was given; from the beginning where it was not.
    pub since: Option<String>,
    /// Last day of receipt, as it was given; without end where it was not.
    pub until: Option<String>,
}

/// What a tenant keeps.
pub fn policy(rules: &[RetentionRule], holds: &[HoldRule], tenant: &Tenant) -> Policy {
    let of = |rule: &Option<Tenant>| rule.as_ref().is_none_or(|of| of == tenant);
    let own = || rules.iter().filter(|rule| of(&rule.tenant));
    let age = |rule: &RetentionRule| rule.age.map(|days| Age { destination: rule.destination.clone(), days });
    let day = |text: &Option<String>| text.as_deref().and_then(day_of_text);
    let hold = |rule: &HoldRule| Hold {
        destination: rule.destination.clone(),
        first_day: day(&rule.since).unwrap_or(i64::MIN),
        last_day: day(&rule.until).unwrap_or(i64::MAX),
    };
    Policy {
        ages: own().filter_map(age).collect(),
        bytes_max: own().find_map(|rule| rule.bytes).map(|bytes| bytes as u64),
        holds: holds.iter().filter(|rule| of(&rule.tenant)).map(hold).collect(),
    }
}

impl Source for RetentionRule {
    const WANTED: &'static str = "tables with `age` (30d, or forever) for all or for a `destination`, `bytes` (500GiB) \
                                  for all, and `tenant` where it is not for every one";
    const MAX: usize = RULES_MAX;

    fn read(mut table: Table) -> Option<Self> {
        let tenant = tenant_of(&mut table)?;
        let destination = table.take("destination");
        let age = match table.take("age") {
            Some(text) => Some(age_of(&text)?),
            None => None,
        };
        let bytes = match table.take("bytes") {
            Some(text) => Some(value::bytes(&Given::Text(text)).ok()?),
            None => None,
        };
        let says_something = age.is_some() || (bytes.is_some() && destination.is_none());
        // Bytes are of all: those of one destination are not known exactly.
        let right = says_something && (bytes.is_none() || destination.is_none()) && table.0.is_empty();
        let destination = destination.unwrap_or_else(|| "*".to_owned());
        right.then_some(Self { tenant, destination, age, bytes })
    }

    fn shown(&self) -> Vec<(&str, String)> {
        let mut shown = shown_tenant(&self.tenant);
        if self.destination != "*" {
            shown.push(("destination", self.destination.clone()));
        }
        shown.extend(self.age.map(|age| match age {
            Some(days) => ("age", format!("{days}d")),
            None => ("age", "forever".to_owned()),
        }));
        shown
            .extend(self.bytes.map(|bytes| ("bytes", value::show_bytes(bytes).trim_matches('"').to_owned())));
        shown
    }
}

impl Source for HoldRule {
    const WANTED: &'static str = "tables with `since` and `until` (days as 2026-11-21, each may be left out) for all or for \
                                  a `destination`, and `tenant` where it is not for every one";
    const MAX: usize = RULES_MAX;

    fn read(mut table: Table) -> Option<Self> {
        let hold = Self {
            tenant: tenant_of(&mut table)?,
            destination: table.take("destination").unwrap_or_else(|| "*".to_owned()),
            since: table.take("since"),
            until: table.take("until"),
        };
        let is_day = |text: &Option<String>| text.as_deref().is_none_or(|text| day_of_text(text).is_some());
        (is_day(&hold.since) && is_day(&hold.until) && table.0.is_empty()).then_some(hold)
    }

    fn shown(&self) -> Vec<(&str, String)> {
        let mut shown = shown_tenant(&self.tenant);
        shown.push(("destination", self.destination.clone()));
        let days = [("since", &self.since), ("until", &self.until)];
        shown.extend(days.into_iter().filter_map(|(key, day)| Some((key, day.clone()?))));
        shown
    }
}

fn shown_tenant(tenant: &Option<Tenant>) -> Vec<(&'static str, String)> {
    tenant.iter().map(|tenant| ("tenant", tenant.name().to_owned())).collect()
}

/// `None` where it is wrong.
fn tenant_of(table: &mut Table) -> Option<Option<Tenant>> {
    match table.take("tenant") {
        Some(name) => Tenant::new(&name).map(Some),
        None => Some(None),
    }
}

/// `Some(None)` is for ever, `None` is wrong.
fn age_of(text: &str) -> Option<Option<u32>> {
    match text {
        "forever" => Some(None),
        _ => text.strip_suffix('d')?.parse().ok().map(Some),
    }
}

/// The day of `2026-11-21`: as queries write it.
fn day_of_text(text: &str) -> Option<i64> {
    let is_date = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let query: Query = is_date.then(|| format!("since:{text}").parse().ok())??;
    Some(day_of(query.range(0).0))
}

#[cfg(test)]
mod tests {
    use super::super::merge;
    use super::*;

    fn policy_of(retention: &str, holds: &str) -> Result<Policy, String> {
        let flag = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let loaded = merge(None, [], &[flag("retention", retention), flag("legal_holds", holds)]);
        let config = loaded.map_err(|error| error.to_string())?.config;
        Ok(policy(&config.retention, &config.legal_holds, &Tenant::default()))
    }

    #[test]
    fn rules_make_the_policy_of_a_tenant() {
        let policy = policy_of(
            "tenant=other age=1d; destination=audit.* age=forever; age=30d bytes=500GiB",
            "destination=orders since=2026-11-01 until=2026-11-21",
        )
        .expect("right");
        assert_eq!(policy.ages.len(), 2);
        assert_eq!(policy.bytes_max, Some(500 << 30));
        let today = day_of_text("2027-11-21").expect("a day");
        let keeps = |name: &str, day: &str| policy.keeps(name, day_of_text(day).expect("a day"), today);
        assert!(keeps("audit.login", "2020-01-01") && keeps("orders", "2026-11-21"));
        assert!(!keeps("orders", "2026-11-22") && !keeps("payments", "2026-11-21"));
    }

    #[test]
    fn what_is_written_wrong_is_refused() {
        for wrong in [
            "age=30",
            "age=1h",
            "bytes=5GiB destination=a",
            "destination=a",
            "age=3d frob=1",
            "tenant=A age=1d",
        ] {
            assert!(policy_of(wrong, "").is_err(), "{wrong}");
        }
        for wrong in ["since=yesterday", "since=2026-13-01", "from=2026-11-01"] {
            assert!(policy_of("", wrong).is_err(), "{wrong}");
        }
    }
}
