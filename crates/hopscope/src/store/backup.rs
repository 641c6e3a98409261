//! `hopscope store backup` and `restore`.

use super::args::{BackupArgs, RestoreArgs};
use super::{bytes_text, failure, folder_of};
use crate::draw::clock;
use crate::exit::{Exit, Failure};
use crate::output;
use hopscope_server::now_ns;
use hopscope_store::embedded::{self, BackedUp, Embedded, Options, Snapshot};
use hopscope_store::{Depth, Store};
use serde_json::json;

pub async fn run(args: &BackupArgs) -> anyhow::Result<Exit> {
    let (data, to, links) = (folder_of(&args.folder)?, args.to.clone(), !args.copy);
    if std::path::absolute(&to)?.starts_with(std::path::absolute(&data)?) {
        return Err(Failure::new(Exit::Usage, "a backup cannot lie inside of the store")
            .hint("give a folder elsewhere, best on another disk")
            .into());
    }
    let backup = move || {
        let snapshot = Snapshot::take(&data)?;
        embedded::backup(snapshot.path(), &to, links, now_ns())
    };
    let done = tokio::task::spawn_blocking(backup).await?.map_err(failure)?;
    if args.json {
        output::json(&as_json(&done))?;
    } else {
        output::print(&as_text(&done, &args.to.display().to_string()));
    }
    Ok(if done.damaged.is_empty() { Exit::Done } else { Exit::Damaged })
}

fn as_text(done: &BackedUp, to: &str) -> String {
    let mut text = String::new();
    for file in &done.damaged {
        text +=
            &format!("damaged  {file}  its checksum does not hold in the store; it was copied as it is\n");
    }
    let linked = match done.linked_files {
        0 => String::new(),
        files => format!(" ({files} of them linked: they share their bytes with the store)"),
    };
    text + &format!(
        "backed up {} files of {} to {to}: {} new files of {}{linked}, read back and compared; {} old files removed\n",
        done.files,
        bytes_text(done.bytes),
        done.new_files,
        bytes_text(done.new_bytes),
        done.removed_files
    )
}

fn as_json(done: &BackedUp) -> serde_json::Value {
    json!({
        "files": done.files.to_string(),
        "bytes": done.bytes.to_string(),
        "new_files": done.new_files.to_string(),
        "new_bytes": done.new_bytes.to_string(),
        "linked_files": done.linked_files.to_string(),
        "removed_files": done.removed_files.to_string(),
        "segments": done.segments.to_string(),
        "segment_events": done.events.to_string(),
        "damaged": done.damaged,
    })
}

pub async fn restore(args: &RestoreArgs) -> anyhow::Result<Exit> {
    let (from, data) = (args.from.clone(), args.data.clone());
    let work = move || {
        let restored = embedded::restore(&from, &data)?;
        Ok::<_, hopscope_store::Error>((restored, Embedded::open(&data, Options::default())?))
    };
    let (restored, store) = tokio::task::spawn_blocking(work).await?.map_err(failure)?;
    // Every checksum held already: this is for what was damaged before it was backed up.
    let report = store.check(Depth::Quick).await.map_err(failure)?;
    if args.json {
        output::json(&json!({
            "made_ns": restored.made_ns.to_string(),
            "files": restored.files.to_string(),
            "bytes": restored.bytes.to_string(),
            "events": report.events.to_string(),
            "findings": report.findings.len(),
        }))?;
    } else {
        output::line(&format!(
            "restored {} files of {}, every checksum held; {} events, as of {} UTC",
            restored.files,
            bytes_text(restored.bytes),
            report.events,
            clock(restored.made_ns)
        ));
        for finding in &report.findings {
            output::line(&format!("damaged before it was backed up  {}  {}", finding.file, finding.what));
        }
    }
    Ok(if report.findings.is_empty() { Exit::Done } else { Exit::Damaged })
}
