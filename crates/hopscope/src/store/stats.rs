//! `hopscope store stats`: what the store takes.

use super::args::StatsArgs;
use super::{Reading, bytes_text, config_of, failure};
use crate::draw;
use crate::exit::Exit;
use crate::output;
use hopscope_client::api::{Int64, StoreAnswer, StoredTenant};
use hopscope_server::{now_ns, storage};
use hopscope_store::embedded::Disk;
use std::path::Path;

/// Lines of a table in a terminal.
const LINES_MAX: usize = 20;

pub async fn run(args: &StatsArgs) -> anyhow::Result<Exit> {
    let config = config_of(&args.folder)?;
    let data = config.data.clone();
    let reading = tokio::task::spawn_blocking(move || Reading::open(Path::new(&data))).await??;
    let space = reading.store.space().await.map_err(failure)?;
    let disk = Disk::of(Path::new(&config.data)).ok();
    let answer = storage::answer(&space, disk, &config, now_ns());
    if args.json {
        output::json(&answer)?;
    } else {
        output::print(&as_text(&answer));
    }
    Ok(Exit::Done)
}

fn bytes(value: Int64) -> String {
    bytes_text(value.0.unsigned_abs())
}

fn as_text(answer: &StoreAnswer) -> String {
    let mut text = format!("store      {}\ntakes      {}\n", answer.data, bytes(answer.bytes));
    if let (Some(free), Some(all)) = (answer.disk_free_bytes, answer.disk_bytes) {
        text += &format!("disk       {} free of {}\n", bytes(free), bytes(all));
    }
    if let Some(growth) = answer.growth_bytes_per_day {
        text += &format!("grows      {} a day\n", bytes(growth));
    }
    text += &format!("forecast   {}\n", answer.forecast);
    for tenant in &answer.tenants {
        text += &of_tenant(tenant);
    }
    if answer.tenants.is_empty() {
        text += "\nnothing is stored yet\n";
    }
    text
}

fn of_tenant(tenant: &StoredTenant) -> String {
    let per_event = match tenant.bytes_per_event {
        Some(bytes) => format!(", {bytes:.1} bytes each with all indexes"),
        None => String::new(),
    };
    let mut text = format!(
        "\ntenant {}: {} events in segments of {}{per_event}; {} events in the log of {}\n",
        tenant.tenant,
        tenant.segment_events.0,
        bytes(tenant.segment_bytes),
        tenant.log_events.0,
        bytes(tenant.log_bytes)
    );
    let days = tenant.days.iter().rev().map(|day| {
        [
            &day.day,
            &day.level.to_string(),
            &day.segments.0.to_string(),
            &day.events.0.to_string(),
            &bytes(day.bytes),
        ]
        .map(String::clone)
    });
    text += &table(&["RECEIVED", "LEVEL", "SEGMENTS", "EVENTS", "BYTES"], days);
    let destinations = tenant.destinations.iter().map(|destination| {
        let name =
            if destination.destination.is_empty() { "(no destination)" } else { &destination.destination };
        [
            destination.system.clone(),
            name.to_owned(),
            destination.events.0.to_string(),
            bytes(destination.bytes),
        ]
    });
    text += &table(&["SYSTEM", "DESTINATION", "EVENTS", "BYTES (ESTIMATE)"], destinations);
    if tenant.unattributed_bytes.0 > 0 {
        text += &format!("{} are of no destination that could be told\n", bytes(tenant.unattributed_bytes));
    }
    if !tenant.destinations.is_empty() {
        text += "estimate: the bytes of a segment are divided among its destinations by events\n";
    }
    for gap in &tenant.gaps {
        text += &format!("missing    {}  {}\n", gap.file, gap.what);
    }
    let dropped = tenant.dropped.iter().rev().map(|day| {
        let why = if day.why == "age" { "too old" } else { "too many bytes" };
        [
            draw::clock(day.at_ns.0),
            day.day.clone(),
            why.to_owned(),
            day.events.0.to_string(),
            bytes(day.bytes),
        ]
    });
    text + &table(&["DROPPED AT", "RECEIVED", "WHY", "EVENTS", "BYTES"], dropped)
}

/// A table with the first of its lines; nothing without any.
fn table<const N: usize>(header: &[&str; N], rows: impl ExactSizeIterator<Item = [String; N]>) -> String {
    let more = rows.len().saturating_sub(LINES_MAX);
    let rows: Vec<[String; N]> = rows.take(LINES_MAX).collect();
    if rows.is_empty() {
        return String::new();
    }
    let table = draw::table(header, &rows);
    let more = if more > 0 { format!("and {more} more; --json has all of them\n") } else { String::new() };
    format!("\n{table}{more}")
}
