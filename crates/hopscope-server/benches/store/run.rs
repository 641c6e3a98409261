//! The run: part by part into the server, what it cost so far in a file beside the store.

use crate::fill::{DAYS, Known, PART_SPANS, Requests};
use crate::measured::{Measured, figure};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// The store's folder in that of the run.
pub const DATA: &str = "data";
const STATE: &str = "state.json";
/// Requests that are made before they are sent: what generating costs is not in between.
const AT_A_TIME: usize = 128;
const MIB: f64 = 1_048_576.0;

/// What was done and what it cost.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct State {
    pub parts: u64,
    pub parts_done: u64,
    pub sent_bytes: u64,
    /// Of the server, from the first request until it is quiet, its starts included.
    pub cpu_seconds: f64,
    pub written_bytes: u64,
    /// Most bytes of the store's folder that were seen between two requests.
    pub folder_bytes_max: u64,
    pub resident_bytes_max: u64,
    pub known: Known,
}

impl State {
    pub fn read(folder: &Path) -> Self {
        let text = std::fs::read_to_string(folder.join(STATE)).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    fn write(&self, folder: &Path) {
        let text = serde_json::to_string(self).expect("is JSON");
        let new = folder.join("state.new");
        std::fs::write(&new, text).expect("written");
        std::fs::rename(new, folder.join(STATE)).expect("renamed");
    }
}

/// Fills and looks.
pub async fn run(folder: &Path, records: u64) {
    std::fs::create_dir_all(folder).expect("a folder");
    let parts = records.div_ceil(PART_SPANS);
    let mut state = State::read(folder);
    if state.parts_done == 0 {
        state = State { parts, ..State::default() };
    }
    assert_eq!(state.parts, parts, "the folder holds a run of another size: give --folder another one");
    while state.parts_done < parts {
        // The first million is looked into by itself: growth is measured against it.
        let until = if state.parts_done == 0 { 1 } else { parts };
        let mut server = Measured::start(&folder.join(DATA)).await;
        let mut meter = Meter::default();
        while state.parts_done < until {
            part(folder, &mut server, &mut state, &mut meter).await;
        }
        server.quiet().await;
        meter.read(folder, &server, &mut state);
        server.stop().await;
        state.write(folder);
        look(folder);
    }
    tell(folder, &state);
    idle(folder).await;
}

/// What of a server's process has been counted already: from its start on everything is.
#[derive(Default)]
struct Meter {
    cpu_seconds: f64,
    written_bytes: u64,
}

impl Meter {
    fn read(&mut self, folder: &Path, server: &Measured, state: &mut State) {
        let (cpu, written) = (server.cpu_seconds(), server.written_bytes());
        state.cpu_seconds += cpu - self.cpu_seconds;
        state.written_bytes += written - self.written_bytes;
        (self.cpu_seconds, self.written_bytes) = (cpu, written);
        state.folder_bytes_max = state.folder_bytes_max.max(folder_bytes(&folder.join(DATA)));
        state.resident_bytes_max = state.resident_bytes_max.max(server.resident_bytes());
    }
}

/// One part, all of it acknowledged at the end.
async fn part(folder: &Path, server: &mut Measured, state: &mut State, meter: &mut Meter) {
    let (begin, cpu) = (Instant::now(), server.cpu_seconds());
    let mut requests = Requests::of(state.parts_done, state.parts);
    loop {
        server.set_now_ns(requests.now_ns()).await;
        let bodies: Vec<_> = std::iter::from_fn(|| requests.next()).take(AT_A_TIME).collect();
        if bodies.is_empty() {
            break;
        }
        state.sent_bytes += bodies.iter().map(|body| body.len() as u64).sum::<u64>();
        server.send_all(bodies).await;
        meter.read(folder, server, state);
    }
    state.parts_done += 1;
    state.known.extend(requests.known);
    state.write(folder);
    eprintln!(
        "part {} of {}: {:.1} s, server CPU {:.2} µs/span, {:.1} B/record on disk, RSS {:.0} MiB",
        state.parts_done,
        state.parts,
        begin.elapsed().as_secs_f64(),
        (server.cpu_seconds() - cpu) * 1e6 / PART_SPANS as f64,
        folder_bytes(&folder.join(DATA)) as f64 / (state.parts_done * PART_SPANS) as f64,
        server.resident_bytes() as f64 / MIB,
    );
}

/// In a process of its own, so that its memory is its own.
fn look(folder: &Path) {
    let own = std::env::current_exe().expect("a path");
    let status = Command::new(own).arg("look").arg(folder).status().expect("this program again");
    assert!(status.success(), "{status}");
}

fn tell(folder: &Path, state: &State) {
    let records = (state.parts * PART_SPANS) as f64;
    let bytes = folder_bytes(&folder.join(DATA)) as f64;
    let named = |name: &str| format!("store.{name}");
    figure(&named("records"), records, "spans of W1", None);
    figure(&named("received_days"), DAYS as f64, "days", None);
    figure(&named("bytes_per_span_sent"), state.sent_bytes as f64 / records, "B", None);
    let per_core = records / state.cpu_seconds;
    figure(&named("spans_per_core_second"), per_core, "spans/s per server core", Some((250_000.0, true)));
    figure(&named("bytes_per_record"), bytes / records, "B", Some((64.0, false)));
    figure(&named("written_to_final"), state.written_bytes as f64 / bytes, "×", Some((6.0, false)));
    figure(&named("peak_to_final"), state.folder_bytes_max as f64 / bytes, "×", Some((1.5, false)));
    figure(&named("rss_ingesting"), state.resident_bytes_max as f64 / MIB, "MiB", Some((1_024.0, false)));
}

/// Starts once more, and does nothing.
async fn idle(folder: &Path) {
    let begin = Instant::now();
    let server = Measured::start(&folder.join(DATA)).await;
    figure("store.start", begin.elapsed().as_secs_f64(), "s", None);
    server.quiet().await;
    figure("store.rss_idle", server.resident_bytes() as f64 / MIB, "MiB", Some((300.0, false)));
    server.stop().await;
}

fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    bytes.sum()
}
