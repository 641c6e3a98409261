//! `hopscope store`: what is done to a store as a whole. Commands that only read work on a snapshot, so that they may run
//! beside the server; those that change something want the folder for themselves.

mod args;
mod backup;
mod check;
mod parquet;
mod repair;
mod rollup;
mod sql;
mod stats;

pub use args::{CheckArgs, StoreCommand};
pub use check::run as check;

use crate::args::ServeArgs;
use crate::config;
use crate::exit::{Exit, Failure};
use args::FolderArgs;
use hopscope_server::Config;
use hopscope_store::embedded::{Embedded, Options, Snapshot};
use hopscope_store::{Error, ErrorKind};
use std::path::{Path, PathBuf};

pub async fn run(command: &StoreCommand) -> anyhow::Result<Exit> {
    match command {
        StoreCommand::Check(args) => check::run(args).await,
        StoreCommand::Repair(args) => repair::run(args).await,
        StoreCommand::Rollup(args) => rollup::run(args).await,
        StoreCommand::Stats(args) => stats::run(args).await,
        StoreCommand::Backup(args) => backup::run(args).await,
        StoreCommand::Restore(args) => backup::restore(args).await,
        StoreCommand::Export(args) => parquet::export(args).await,
        StoreCommand::Import(args) => parquet::import(args).await,
        StoreCommand::Sql(args) => sql::run(args).await,
    }
}

/// The configuration that names the folder.
fn config_of(folder: &FolderArgs) -> anyhow::Result<Config> {
    let args = ServeArgs { data: folder.data.clone(), config: folder.config.clone(), ..ServeArgs::default() };
    let config = config::load(&args)?.config;
    if config.data == config::MEMORY {
        return Err(Failure::new(Exit::Usage, "data=memory keeps nothing on disk")
            .hint("--data names the folder of a store")
            .into());
    }
    Ok(config)
}

fn folder_of(folder: &FolderArgs) -> anyhow::Result<PathBuf> {
    Ok(PathBuf::from(config_of(folder)?.data))
}

/// A store to read: a snapshot, gone when this is dropped, or the folder itself where there are no snapshots.
struct Reading {
    store: Embedded,
    path: PathBuf,
    /// Dropped after the store.
    _snapshot: Option<Snapshot>,
}

impl Reading {
    /// Opens the store in that folder for reading. Blocks: links, and the replay of the log.
    fn open(data: &Path) -> anyhow::Result<Self> {
        let (path, snapshot) = match Snapshot::take(data) {
            Ok(snapshot) => (snapshot.path().to_owned(), Some(snapshot)),
            // Without hard links the folder itself will do, where no server has it.
            Err(error) if error.kind == ErrorKind::Unavailable => (data.to_owned(), None),
            Err(error) => return Err(failure(error)),
        };
        // Merging is the server's work, and a snapshot is gone soon.
        let options = Options { compact: false, ..Options::default() };
        let store = Embedded::open(&path, options).map_err(failure)?;
        Ok(Self { store, path, _snapshot: snapshot })
    }
}

/// The store, for this command alone.
fn open_alone(data: &Path) -> anyhow::Result<Embedded> {
    // Opening makes a folder: a wrong one must not become a store by being looked at.
    Snapshot::look(data).map_err(failure)?;
    Embedded::open(data, Options::default()).map_err(failure)
}

/// The store's errors with exit codes and a next step.
fn failure(error: Error) -> anyhow::Error {
    let message = error.to_string();
    let (exit, hint) = match error.kind {
        ErrorKind::Invalid if message.starts_with("no store there") => {
            (Exit::NotFound, Some("--data names the folder that the server was started with"))
        }
        ErrorKind::Invalid if message.starts_with("no backup there") => {
            (Exit::NotFound, Some("give the folder that `hopscope store backup` wrote to"))
        }
        ErrorKind::Invalid if message.contains("newer hopscope") => {
            (Exit::Usage, Some("use that version of hopscope, or a newer one"))
        }
        ErrorKind::Invalid => (Exit::Usage, Some("give another folder or file")),
        ErrorKind::Unavailable if message.contains("another hopscope") => {
            (Exit::Failed, Some("stop the server that uses it first"))
        }
        ErrorKind::Unavailable => (Exit::Unavailable, Some("try again")),
        ErrorKind::Corrupt => (Exit::Damaged, Some("`hopscope store check --deep` looks at everything")),
        ErrorKind::Internal => (Exit::Failed, None),
    };
    let hint = hint.filter(|_| !message.contains("hint:")).map(str::to_owned);
    Failure { exit, message, hint }.into()
}

/// Bytes as people read them: `512 B`, `1.5 MiB`.
fn bytes_text(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in units {
        if value < 1_024.0 {
            break;
        }
        (value, unit) = (value / 1_024.0, next);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}
