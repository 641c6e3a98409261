//! `hopscope store rollup --rebuild`: the counts of all segments, made anew out of their events.

use super::args::RollupArgs;
use super::{failure, folder_of};
use crate::exit::Exit;
use crate::output;
use hopscope_store::embedded::{self, Repaired};
use serde_json::json;

pub async fn run(args: &RollupArgs) -> anyhow::Result<Exit> {
    let data = folder_of(&args.folder)?;
    let rebuild = move || embedded::rebuild_rollups(&data);
    let done: Vec<Repaired> = tokio::task::spawn_blocking(rebuild).await?.map_err(failure)?;
    if args.json {
        let rows = done.iter().map(|one| json!({ "file": one.file, "what": one.what }));
        output::json(&json!({ "changed": rows.collect::<Vec<_>>() }))?;
    } else {
        done.iter().for_each(|one| output::line(&format!("{}  {}", one.file, one.what)));
        output::line(match done.is_empty() {
            true => "made anew; all of them were as they are",
            false => "done",
        });
    }
    Ok(Exit::Done)
}
