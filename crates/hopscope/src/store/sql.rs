//! `hopscope store sql`: the events for DuckDB, as a view with documentation.

use super::args::SqlArgs;
use super::parquet::{has_tenant, tenant_of};
use super::{Reading, failure, folder_of};
use crate::exit::{Exit, Failure};
use crate::output;
use hopscope_store::embedded::{COLUMNS, parquet_files};
use std::path::{Path, PathBuf};
use std::process::Command;

pub async fn run(args: &SqlArgs) -> anyhow::Result<Exit> {
    let data = std::path::absolute(folder_of(&args.folder)?)?;
    let tenant = tenant_of(&args.tenant)?;
    let Some(query) = &args.query else {
        let files = parquet_files(&data, &tenant).map_err(failure)?;
        output::print(&script(&data, &files));
        return Ok(Exit::Done);
    };
    // The query sees one moment, with what is in the log only: sealed in the snapshot, never in the store.
    let reading = tokio::task::spawn_blocking(move || Reading::open(&data)).await??;
    has_tenant(&reading.store, &tenant)?;
    reading.store.seal().await.map_err(failure)?;
    let files = parquet_files(&reading.path, &tenant).map_err(failure)?;
    duckdb(&script(&reading.path, &files), query, args.json)
}

fn duckdb(script: &str, query: &str, json: bool) -> anyhow::Result<Exit> {
    let mut command = Command::new("duckdb");
    command.args(json.then_some("-json")).args([":memory:", "-c", script, "-c", query]);
    match command.status() {
        Ok(status) if status.success() => Ok(Exit::Done),
        Ok(status) => Err(Failure::new(Exit::Failed, format!("duckdb failed {status}"))
            .hint("`hopscope store sql` alone prints the view and its columns")
            .into()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Failure::new(
            Exit::NotFound,
            "duckdb is not installed",
        )
        .hint("`hopscope store sql` alone prints a script for DuckDB elsewhere; duckdb.org has the program")
        .into()),
        Err(error) => Err(error.into()),
    }
}

/// The view and what its columns mean.
fn script(data: &Path, files: &[PathBuf]) -> String {
    let folder = data.display();
    let mut text = format!(
        "-- Events of the Hopscope store in {folder}, for DuckDB.\n\
         -- The files are those of now: merging and retention remove them, then print this again.\n\
         -- What is in the log only is not in them; `hopscope store sql \"select ...\"` and `store export` have it too.\n"
    );
    if files.is_empty() {
        return text + "-- Nothing is sealed into segments yet.\n";
    }
    let files: Vec<String> =
        files.iter().map(|file| format!("    {}", quoted(&file.display().to_string()))).collect();
    let columns: Vec<String> = COLUMNS
        .iter()
        .map(|column| match column.sql {
            sql if sql == column.name => format!("    \"{sql}\""),
            sql => format!("    {sql} AS \"{}\"", column.name),
        })
        .collect();
    text += &format!(
        "CREATE OR REPLACE VIEW events AS SELECT\n{}\nFROM read_parquet([\n{}\n], union_by_name = true);\n",
        columns.join(",\n"),
        files.join(",\n")
    );
    text += "COMMENT ON VIEW events IS 'What happened to messages: one row an event.';\n";
    for column in COLUMNS {
        text += &format!("COMMENT ON COLUMN events.\"{}\" IS {};\n", column.name, quoted(column.doc));
    }
    text
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
