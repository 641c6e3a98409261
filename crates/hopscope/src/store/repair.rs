//! `hopscope store repair`: what can be done about damage.

use super::args::RepairArgs;
use super::{failure, folder_of};
use crate::exit::Exit;
use crate::output;
use hopscope_store::embedded::{self, Repaired};
use serde_json::json;

pub async fn run(args: &RepairArgs) -> anyhow::Result<Exit> {
    let (data, dry_run) = (folder_of(&args.folder)?, args.dry_run);
    let repair = move || embedded::repair(&data, dry_run);
    let done: Vec<Repaired> = tokio::task::spawn_blocking(repair).await?.map_err(failure)?;
    let lost = done.iter().any(|one| one.is_loss);
    if args.json {
        let rows = done.iter().map(|one| json!({ "file": one.file, "what": one.what, "loss": one.is_loss }));
        output::json(&json!({ "dry_run": dry_run, "done": rows.collect::<Vec<_>>() }))?;
    } else {
        let kind = |one: &Repaired| if one.is_loss { "lost    " } else { "repaired" };
        done.iter().for_each(|one| output::line(&format!("{}  {}  {}", kind(one), one.file, one.what)));
        output::line(match (done.is_empty(), dry_run) {
            (true, _) => "nothing to repair",
            (false, true) => "nothing was changed: this is what would be done",
            (false, false) => "done",
        });
    }
    Ok(if lost { Exit::Damaged } else { Exit::Done })
}
