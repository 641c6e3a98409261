//! The command line of `hopscope store`.

use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Look for damage. Reads only; a server may be running on it.
    Check(CheckArgs),
    /// Put damaged files aside, rebuild what can be rebuilt, remove what was left behind. The server must be stopped.
    Repair(RepairArgs),
    /// Make the counts that dashboards are answered from anew out of the events. The server must be stopped.
    Rollup(RollupArgs),
    /// What it takes, by day and destination; how fast it grows; when the disk will be full.
    Stats(StatsArgs),
    /// Bring a backup up to date, while the server runs or not. Only new files are copied.
    Backup(BackupArgs),
    /// Make a store out of a backup, in an empty folder.
    Restore(RestoreArgs),
    /// Write the events of a range to a Parquet file, for DuckDB, pandas, Spark.
    Export(ExportArgs),
    /// Store the events of files that `export` wrote; what is stored already is left out. The server must be stopped.
    Import(ImportArgs),
    /// Print a DuckDB script with a view of all events, or run a query where `duckdb` is installed.
    Sql(SqlArgs),
}

/// Which store.
#[derive(Debug, Args)]
pub struct FolderArgs {
    /// Folder of the store.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub data: Option<PathBuf>,
    /// Configuration file (TOML), which may name the folder.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Read every block and every log record, not only the manifest and the footers.
    #[arg(long, alias = "full")]
    pub deep: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct RepairArgs {
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Only say what would be done.
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct RollupArgs {
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Make all of them anew, and say which were others before.
    #[arg(long, required = true)]
    pub rebuild: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct StatsArgs {
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Print JSON: what `/api/v1/store` answers.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct BackupArgs {
    /// Folder of the backup: new, empty, or that of the last backup of this store.
    #[arg(value_name = "TO", value_hint = ValueHint::DirPath)]
    pub to: PathBuf,
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Copy everything, also where hard links would do: a link is no help against a broken disk.
    #[arg(long)]
    pub copy: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// Folder of the backup.
    #[arg(value_name = "FROM", value_hint = ValueHint::DirPath)]
    pub from: PathBuf,
    /// Folder of the store to make: missing or empty.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub data: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// File to write, which must not be there.
    #[arg(value_name = "TO.parquet", value_hint = ValueHint::FilePath)]
    pub to: PathBuf,
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Begin of the range: `24h`, `2026-11-21`, an instant. Absent: from the beginning.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// End of the range.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Only this destination.
    #[arg(long, value_name = "NAME")]
    pub destination: Option<String>,
    /// Whose.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub tenant: String,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Files that `export` wrote.
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Whose.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub tenant: String,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct SqlArgs {
    /// A query over the view `events`, run by `duckdb`; absent: the script is printed.
    pub query: Option<String>,
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Whose.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub tenant: String,
    /// Have DuckDB print JSON.
    #[arg(long, requires = "query")]
    pub json: bool,
}
