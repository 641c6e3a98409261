//! [`Policy`]: what of one tenant is kept, and for how long. Pure: days and bytes in, an answer out.
//!
//! Days are those of *receipt*, in UTC, counted from the epoch: a client's clock may say anything. Whole days go at
//! once, the oldest first, and never the day that it is today.

use std::collections::BTreeSet;

/// What of one tenant is kept. The default keeps everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// How long; the first that fits a destination decides, and what none fits is kept for ever.
    pub ages: Vec<Age>,
    /// Most bytes of the tenant's segments.
    pub bytes_max: Option<u64>,
    /// What is never dropped, whatever its age and however little room there is.
    pub holds: Vec<Hold>,
}

/// How long destinations are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Age {
    /// A name, or with `*` at its end the begin of names.
    pub destination: String,
    /// Whole days after the day of receipt; `None` for ever.
    pub days: Option<u32>,
}

/// A legal hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// A name, or with `*` at its end the begin of names.
    pub destination: String,
    /// First day that is held.
    pub first_day: i64,
    /// Last day that is held.
    pub last_day: i64,
}

/// Something that is kept or dropped as a whole: a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Days of the first and the last receipt in it.
    pub days: (i64, i64),
    /// What dropping it gives back.
    pub bytes: u64,
    /// Destinations in it; `None` or empty where they are not known, which may be any.
    pub destinations: Option<BTreeSet<String>>,
}

/// Why something is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It is too old.
    Age,
    /// There are too many bytes, and it is the oldest.
    Bytes,
}

impl Policy {
    /// Whether nothing is ever dropped.
    pub fn keeps_everything(&self) -> bool {
        self.bytes_max.is_none() && self.ages.iter().all(|age| age.days.is_none())
    }

    /// Whether an event of that destination, received on that day, is kept today: for whoever rewrites segments
    /// and can leave single events out.
    pub fn keeps(&self, destination: &str, received_day: i64, today: i64) -> bool {
        self.holds(destination, (received_day, received_day))
            || !self.is_over(destination, received_day, today)
    }

    /// The units that go, by their number, the oldest first.
    pub fn drops(&self, units: &[Unit], today: i64) -> Vec<(usize, Why)> {
        let mut oldest_first: Vec<usize> =
            (0..units.len()).filter(|unit| !self.holds_any_of(&units[*unit])).collect();
        oldest_first.sort_by_key(|unit| (units[*unit].days.1, *unit));
        let (mut dropped, rest): (Vec<_>, Vec<_>) = oldest_first
            .into_iter()
            .map(|unit| (unit, Why::Age))
            .partition(|(unit, _)| self.all_is_over(&units[*unit], today));
        let gone: BTreeSet<usize> = dropped.iter().map(|(unit, _)| *unit).collect();
        let left = units.iter().enumerate().filter(|(unit, _)| !gone.contains(unit));
        let mut bytes: u64 = left.map(|(_, unit)| unit.bytes).sum();
        for day in rest.chunk_by(|one, other| units[one.0].days.1 == units[other.0].days.1) {
            if self.bytes_max.is_none_or(|most| bytes <= most) || units[day[0].0].days.1 >= today {
                break;
            }
            bytes -= day.iter().map(|(unit, _)| units[*unit].bytes).sum::<u64>();
            dropped.extend(day.iter().map(|(unit, _)| (*unit, Why::Bytes)));
        }
        dropped.sort_by_key(|(unit, _)| (units[*unit].days.1, *unit));
        dropped
    }

    /// Days after which the last destination goes; `None` where one is kept for ever.
    pub fn days_max(&self) -> Option<u32> {
        let all = self.ages.iter().position(|age| age.destination == "*")?;
        let days: Option<Vec<u32>> = self.ages[..=all].iter().map(|age| age.days).collect();
        days?.into_iter().max()
    }

    fn is_over(&self, destination: &str, received_day: i64, today: i64) -> bool {
        let age = self.ages.iter().find(|age| fits(&age.destination, destination));
        age.and_then(|age| age.days).is_some_and(|days| received_day < today.saturating_sub(i64::from(days)))
    }

    fn all_is_over(&self, unit: &Unit, today: i64) -> bool {
        match unit.destinations.as_ref().filter(|all| !all.is_empty()) {
            Some(all) => all.iter().all(|destination| self.is_over(destination, unit.days.1, today)),
            None => self.days_max().is_some_and(|days| unit.days.1 < today.saturating_sub(i64::from(days))),
        }
    }

    fn holds(&self, destination: &str, days: (i64, i64)) -> bool {
        self.holds.iter().any(|hold| hold.is_in(days) && fits(&hold.destination, destination))
    }

    fn holds_any_of(&self, unit: &Unit) -> bool {
        match unit.destinations.as_ref().filter(|all| !all.is_empty()) {
            Some(all) => all.iter().any(|destination| self.holds(destination, unit.days)),
            None => self.holds.iter().any(|hold| hold.is_in(unit.days)),
        }
    }
}

impl Hold {
    fn is_in(&self, days: (i64, i64)) -> bool {
        self.first_day <= days.1 && days.0 <= self.last_day
    }
}

fn fits(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TODAY: i64 = 20_000;

    fn age(destination: &str, days: impl Into<Option<u32>>) -> Age {
        Age { destination: destination.into(), days: days.into() }
    }

    fn unit(days: (i64, i64), bytes: u64, destinations: &[&str]) -> Unit {
        let destinations = destinations.iter().map(|name| (*name).to_owned()).collect();
        Unit { days, bytes, destinations: Some(destinations) }
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let ages = vec![age("orders", 30), age("audit.*", None), age("*", 7)];
        let policy = Policy { ages, ..Policy::default() };
        let keeps = |name, ago| policy.keeps(name, TODAY - ago, TODAY);
        assert!(keeps("orders", 30) && !keeps("orders", 31));
        assert!(keeps("audit.login", 9_000) && keeps("else", 7) && !keeps("else", 8));
        assert!(keeps("else", -3), "a clock that was ahead drops nothing");
        assert_eq!(policy.days_max(), None, "audit is kept for ever");
    }

    #[test]
    fn bytes_take_whole_days_oldest_first_and_never_today() {
        let policy = Policy { bytes_max: Some(100), ..Policy::default() };
        let old = [unit((TODAY - 2, TODAY - 2), 60, &["a"]), unit((TODAY - 3, TODAY - 2), 60, &["b"])];
        let new = [unit((TODAY - 1, TODAY - 1), 90, &["a"]), unit((TODAY, TODAY), 900, &["a"])];
        let all = [&old[..], &new[..]].concat();
        let dropped: Vec<usize> = policy.drops(&all, TODAY).into_iter().map(|(unit, _)| unit).collect();
        assert_eq!(dropped, [0, 1, 2], "today's stay although they are too many");
        assert_eq!(
            policy.drops(&all[..3], TODAY).len(),
            2,
            "a day is dropped whole, and no more than it needs"
        );
    }

    #[test]
    fn what_is_not_known_is_kept_while_anything_could_be() {
        let unknown = Unit { destinations: None, ..unit((TODAY - 50, TODAY - 50), 1, &[]) };
        let drops = |ages: Vec<Age>| {
            Policy { ages, ..Policy::default() }.drops(std::slice::from_ref(&unknown), TODAY)
        };
        assert_eq!(drops(vec![age("*", 7)]).len(), 1);
        assert_eq!(drops(vec![age("a", 90), age("*", 7)]), []);
        assert_eq!(drops(vec![age("a", 7)]), []);
    }

    fn any_name() -> impl Strategy<Value = String> {
        prop::sample::select(vec!["", "orders", "orders.eu", "audit"]).prop_map(str::to_owned)
    }

    fn any_pattern() -> impl Strategy<Value = String> {
        prop::sample::select(vec!["*", "orders", "orders*", "audit", "nothing"]).prop_map(str::to_owned)
    }

    prop_compose! {
        fn any_unit()(
            first in TODAY - 12..=TODAY + 1,
            more in 0i64..3,
            bytes in 0u64..100,
            destinations in prop::option::weighted(0.8, prop::collection::btree_set(any_name(), 0..4)),
        ) -> Unit {
            Unit { days: (first, first + more), bytes, destinations }
        }
    }

    prop_compose! {
        fn any_policy()(
            ages in prop::collection::vec((any_pattern(), prop::option::weighted(0.8, 0u32..10)), 0..4),
            bytes_max in prop::option::of(0u64..1_500),
            holds in prop::collection::vec((any_pattern(), TODAY - 12..=TODAY, 0i64..5), 0..3),
        ) -> Policy {
            let ages = ages.into_iter().map(|(destination, days)| Age { destination, days });
            let holds = holds.into_iter().map(|(destination, first_day, more)| {
                Hold { destination, first_day, last_day: first_day + more }
            });
            Policy { ages: ages.collect(), bytes_max, holds: holds.collect() }
        }
    }

    /// Names that a unit may hold events of.
    fn may_hold(unit: &Unit) -> BTreeSet<String> {
        let any = || ["", "orders", "orders.eu", "audit", "nothing"].map(str::to_owned).into();
        unit.destinations.clone().filter(|all| !all.is_empty()).unwrap_or_else(any)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn nothing_that_is_held_or_newer_is_ever_dropped(
            policy in any_policy(),
            units in prop::collection::vec(any_unit(), 0..40),
        ) {
            let dropped = policy.drops(&units, TODAY);
            let is_dropped = |unit: usize| dropped.iter().any(|(gone, _)| *gone == unit);
            let held = |unit: &Unit| may_hold(unit).iter().any(|name| policy.holds.iter().any(|hold| {
                let days = unit.days.0..=unit.days.1;
                fits(&hold.destination, name) && days.clone().any(|day| (hold.first_day..=hold.last_day).contains(&day))
            }));
            for (unit, why) in &dropped {
                let unit = &units[*unit];
                prop_assert!(!held(unit), "held: {unit:?}");
                match why {
                    Why::Age => for name in may_hold(unit) {
                        prop_assert!(!policy.keeps(&name, unit.days.1, TODAY), "{name} is not too old: {unit:?}");
                    },
                    Why::Bytes => {
                        prop_assert!(unit.days.1 < TODAY, "of today: {unit:?}");
                        let stays = |other: &usize| !is_dropped(*other) && !held(&units[*other]);
                        let older = (0..units.len()).filter(stays).find(|other| units[*other].days.1 <= unit.days.1);
                        prop_assert_eq!(older, None, "older or of the same day, and stays");
                    }
                }
            }
            // No day too many: with the newest day that went for its bytes, there were too many.
            if let Some(newest) = dropped.iter().filter(|(_, why)| *why == Why::Bytes).map(|(unit, _)| units[*unit].days.1).max() {
                let went = |unit: usize| dropped.contains(&(unit, Why::Bytes)) && units[unit].days.1 == newest;
                let with_it = (0..units.len()).filter(|unit| !is_dropped(*unit) || went(*unit));
                let bytes: u64 = with_it.map(|unit| units[unit].bytes).sum();
                prop_assert!(policy.bytes_max.is_some_and(|most| bytes > most));
            }
        }
    }
}
