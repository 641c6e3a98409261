//! What the store takes, told; and retention, done: a task beside the receivers that drops what the configuration no
//! longer keeps.

use crate::clock::now_ns;
use crate::config::{Config, policy};
use hopscope_client::api::{
    DroppedDay, Int64, StoreAnswer, StoredDay, StoredDestination, StoredGap, StoredTenant,
};
use hopscope_model::Tenant;
use hopscope_model::query::instant_text;
use hopscope_store::embedded::{self, Disk, Embedded, Growth, Space, TenantSpace, day_begins_ns};
use hopscope_store::{Finding, Policy, Why};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often retention looks. It drops whole days: more often would change nothing.
const EVERY: Duration = Duration::from_secs(600);

const DAY_NS: i64 = 86_400_000_000_000;

/// Drops what is no longer kept, now and from time to time, until it is stopped.
pub(crate) async fn retain_until(store: Arc<Embedded>, config: Config, stop: CancellationToken) {
    if config.retention.is_empty() {
        return;
    }
    loop {
        retain(&store, &config).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

async fn retain(store: &Embedded, config: &Config) {
    for tenant in store.tenants() {
        let policy = policy(&config.retention, &config.legal_holds, &tenant);
        if policy.keeps_everything() {
            continue;
        }
        match store.apply(&tenant, &policy, now_ns()).await {
            Ok(retained) if retained.dropped_events == 0 && retained.freed_bytes == 0 => {}
            Ok(retained) => tracing::info!(
                tenant = tenant.name(),
                events = retained.dropped_events,
                bytes = retained.freed_bytes,
                "retention dropped what is no longer kept"
            ),
            Err(error) => {
                tracing::warn!(tenant = tenant.name(), %error, "retention failed, and is tried again")
            }
        }
    }
}

/// The answer of `/api/v1/store` and of `hopscope store stats`. `disk` is absent where the file system does not tell.
pub fn answer(space: &Space, disk: Option<Disk>, config: &Config, now_ns: i64) -> StoreAnswer {
    let growth = space.growth(now_ns);
    let policy = policy(&config.retention, &config.legal_holds, &Tenant::default());
    // The store stops before the file system is full.
    let free = disk.map(|disk| disk.free_bytes.saturating_sub(config.disk_reserve_bytes as u64));
    let (full_ns, forecast) = forecast(space.bytes(), growth, free, &policy, now_ns);
    StoreAnswer {
        now_ns: Int64(now_ns),
        data: config.data.clone(),
        bytes: int(space.bytes()),
        disk_free_bytes: disk.map(|disk| int(disk.free_bytes)),
        disk_bytes: disk.map(|disk| int(disk.total_bytes)),
        growth_bytes_per_day: growth.map(|growth| int(growth.bytes_per_day())),
        full_ns: full_ns.map(Int64),
        forecast,
        tenants: space.tenants.iter().map(tenant).collect(),
    }
}

fn int(value: u64) -> Int64 {
    Int64(i64::try_from(value).unwrap_or(i64::MAX))
}

/// When the disk is full, and a sentence that says how that was computed.
fn forecast(
    bytes: u64,
    growth: Option<Growth>,
    free: Option<u64>,
    policy: &Policy,
    now_ns: i64,
) -> (Option<i64>, String) {
    let Some(growth) = growth else {
        return (None, "too early to tell: what came in is looked at over an hour at least".to_owned());
    };
    let Some(free) = free else { return (None, "the file system does not tell how much is free".to_owned()) };
    let per_day = growth.bytes_per_day();
    let over = hours(growth.over_ns);
    // What retention lets it grow to, with the day that it is.
    let by_age = policy.days_max().map(|days| per_day.saturating_mul(u64::from(days) + 1));
    let most = by_age.into_iter().chain(policy.bytes_max).min();
    if let Some(most) = most.filter(|most| most.saturating_sub(bytes) <= free) {
        return (
            None,
            format!(
                "never: retention holds it at about {most} bytes, at {per_day} bytes a day over the last {over}"
            ),
        );
    }
    match growth.full_ns(free, now_ns) {
        Some(full_ns) => {
            let day = day_text(full_ns.div_euclid(DAY_NS));
            (
                Some(full_ns),
                format!(
                    "full on {day}: {free} bytes free above the reserve, {per_day} bytes a day over the last {over}"
                ),
            )
        }
        None => (
            None,
            format!(
                "not within a hundred years: {free} bytes free above the reserve, {per_day} bytes a day over the last {over}"
            ),
        ),
    }
}

fn hours(over_ns: i64) -> String {
    let hours = over_ns / (DAY_NS / 24);
    if hours < 48 { format!("{hours} h") } else { format!("{} days", hours / 24) }
}

fn day_text(day: i64) -> String {
    instant_text(day_begins_ns(day)).chars().take_while(|character| *character != 'T').collect()
}

fn tenant(space: &TenantSpace) -> StoredTenant {
    let (bytes, events) = (space.segment_bytes(), space.segment_events());
    StoredTenant {
        tenant: space.tenant.name().to_owned(),
        segment_bytes: int(bytes),
        segment_events: int(events),
        bytes_per_event: (events > 0).then(|| bytes as f64 / events as f64),
        log_bytes: int(space.log_bytes),
        log_events: int(space.log_events),
        from_ns: space.received_ns.map(|(from, _)| Int64(from)),
        to_ns: space.received_ns.map(|(_, to)| Int64(to)),
        days: space.days.iter().map(day).collect(),
        destinations: space.destinations.iter().map(destination).collect(),
        unattributed_bytes: int(space.unattributed_bytes),
        gaps: space.gaps.iter().map(gap).collect(),
        dropped: space.dropped.iter().map(dropped).collect(),
    }
}

fn day(day: &embedded::DaySpace) -> StoredDay {
    StoredDay {
        day: day_text(day.day),
        level: day.level,
        segments: int(day.segments),
        events: int(day.events),
        bytes: int(day.bytes),
    }
}

fn destination(of: &embedded::DestinationSpace) -> StoredDestination {
    StoredDestination {
        system: of.system.clone(),
        destination: of.destination.clone(),
        events: int(of.events),
        bytes: int(of.bytes),
    }
}

fn gap(gap: &Finding) -> StoredGap {
    StoredGap {
        file: gap.file.clone(),
        what: gap.what.clone(),
        from_ns: gap.received_ns.map(|(from, _)| Int64(from)),
        to_ns: gap.received_ns.map(|(_, to)| Int64(to)),
        events: gap.events.map(int),
    }
}

fn dropped(day: &embedded::DroppedDay) -> DroppedDay {
    DroppedDay {
        at_ns: Int64(day.at_ns),
        day: day_text(day.day),
        why: match day.why {
            Why::Age => "age".to_owned(),
            Why::Bytes => "bytes".to_owned(),
        },
        segments: int(day.segments),
        events: int(day.events),
        bytes: int(day.bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hopscope_store::Age;

    const NOW_NS: i64 = 20_000 * DAY_NS;

    fn told(free_bytes: u64, policy: &Policy) -> (Option<i64>, String) {
        let growth = Growth { bytes: 2_000, over_ns: 2 * DAY_NS };
        forecast(5_000, Some(growth), Some(free_bytes), policy, NOW_NS)
    }

    #[test]
    fn the_day_on_which_the_disk_is_full() {
        let (full_ns, told) = told(10_000, &Policy::default());
        assert_eq!(full_ns, Some(NOW_NS + 10 * DAY_NS));
        assert_eq!(
            told,
            "full on 2024-10-14: 10000 bytes free above the reserve, 1000 bytes a day over the last 2 days"
        );
    }

    #[test]
    fn retention_may_hold_it_or_not() {
        let ages = vec![Age { destination: "*".into(), days: Some(13) }];
        let policy = Policy { ages, ..Policy::default() };
        // 14 days at 1,000 bytes a day are 9,000 more than there are.
        assert!(told(9_000, &policy).1.starts_with("never: retention holds it at about 14000 bytes"));
        assert!(told(8_999, &policy).1.starts_with("full on"));
    }

    #[test]
    fn too_early_is_said() {
        assert!(forecast(0, None, None, &Policy::default(), NOW_NS).1.starts_with("too early"));
    }
}
