//! Replay: the logs that are not in segments become tables again.
//!
//! A log is read record by record, and decoded on a thread of its own while the table is filled: what is in memory
//! beside the tables does not grow with the log.

use super::folder::io_error;
use super::frame;
use super::manifest::Gap;
use super::memtable::Memtable;
use super::options::Options;
use super::recover::Recovery;
use super::table::Table;
use super::wal::{self, Damage, Found, Log, Records, Rest};
use crate::{Error, ErrorKind};
use hopscope_model::{Batch, Tenant};
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Batches that are decoded and not in the table yet, at the most.
const DECODED_MAX: usize = 4;

impl Recovery<'_> {
    /// Reads the logs that are not in segments, each into a table; the log to go on with, where the last one
    /// can be.
    pub(super) fn replay(&mut self, options: &Options) -> Result<(Vec<Table>, Option<Log>), Error> {
        let first_log = self.manifest.first_log;
        let logs: Vec<u64> = self
            .names()?
            .iter()
            .filter_map(|name| wal::log_of(name))
            .filter(|log| *log >= first_log)
            .collect();
        let mut expected = first_log;
        // The very first log may not have come to be; every later one was made before its elder was sealed.
        if logs.is_empty() && first_log > 1 {
            self.missing_log(first_log);
        }
        let mut tables: Vec<Table> = Vec::new();
        let mut last = None;
        for log in logs {
            (expected..log).for_each(|missing| self.missing_log(missing));
            expected = log + 1;
            let (table, resumed) = self.replay_log(log, &tables)?;
            tables.push(table);
            last = resumed;
        }
        let full = tables.last().is_some_and(|table| table.is_due(options, 1))
            || last.as_ref().is_some_and(|log: &Log| log.len() >= options.seal_bytes);
        Ok((tables, last.filter(|_| !full)))
    }

    fn missing_log(&mut self, log: u64) {
        let what = "the log is missing".to_owned();
        self.gap(Gap { file: wal::file_name(log), what, received_ns: None, events: None });
    }

    fn replay_log(&mut self, number: u64, tables: &[Table]) -> Result<(Table, Option<Log>), Error> {
        let name = wal::file_name(number);
        let file = self.dir.open(&self.path(&name)).map_err(io_error("cannot open a log"))?;
        let mut table = Table::new(number);
        let records = Records::of(number, file).map_err(io_error("cannot read a log"))?;
        let (rest, undecodable) = fill(&table, self.tenant, records, tables)?;
        let mut damage = rest.scan.damage;
        damage.extend(undecodable);
        for damage in &damage {
            let what = format!("bytes {} to {} cannot be read", damage.from, damage.to);
            self.gap(Gap {
                file: name.clone(),
                what,
                received_ns: damage.of.map(|(_, received_ns)| (received_ns, received_ns)),
                events: damage.of.map(|(rows, _)| u64::from(rows)),
            });
        }
        let (keep, cut) = (rest.scan.keep, rest.len - rest.scan.keep);
        if cut > 0 {
            tracing::info!(
                tenant = self.tenant.name(),
                file = name,
                bytes = cut,
                "cut off an unfinished write"
            );
        }
        table.damaged = !damage.is_empty();
        let resume = || -> io::Result<Option<Log>> {
            if keep < wal::FILE_HEADER_BYTES {
                return Log::create(&**self.dir, self.tenant.name(), number).map(Some);
            }
            let file = self.dir.open(&self.path(&name))?;
            // A damaged file is left as it is, for whoever wants to look into it.
            if cut > 0 && !table.damaged {
                file.truncate(keep)?;
            }
            // What is shown from now on must be durable: after kill -9 it may not have been.
            file.sync_data()?;
            Ok((!table.damaged).then(|| Log::resume(number, file, keep)))
        };
        let log = resume().map_err(io_error("cannot go on with the log"))?;
        self.dir.sync_dir(self.tenant.name()).map_err(io_error("cannot sync the tenant's folder"))?;
        Ok((table, log))
    }
}

/// Fills a table with what a log holds; what is behind its sound records, and the records that are sound and mean
/// nothing: a defect, or a newer format.
fn fill(
    table: &Table,
    tenant: &Tenant,
    records: Records,
    tables: &[Table],
) -> Result<(Rest, Vec<Damage>), Error> {
    let (send, receive) = sync_channel(DECODED_MAX);
    std::thread::scope(|scope| {
        let decoder = std::thread::Builder::new().name("replay".to_owned());
        let decoder = decoder.spawn_scoped(scope, move || decode(tenant, records, &send));
        let decoder = decoder.map_err(io_error("cannot start a thread"))?;
        let undecodable = insert(table, tables, &receive);
        let rest =
            decoder.join().map_err(|_| Error::new(ErrorKind::Internal, "the replay of a log panicked"))?;
        Ok((rest.map_err(io_error("cannot read a log"))?, undecodable))
    })
}

/// A sound record and its batch, where it is one.
type Decoded = (Found, Option<Batch>);

fn decode(tenant: &Tenant, mut records: Records, send: &SyncSender<Decoded>) -> io::Result<Rest> {
    // Nobody listens any more where the other thread panicked.
    while let Some((found, payload)) = records.next()? {
        let _ = send.send((found, frame::decode(tenant, payload).ok()));
    }
    let rest = records.rest()?;
    for found in &rest.scan.records {
        let _ = send.send((*found, frame::decode(tenant, rest.payload(found)).ok()));
    }
    Ok(rest)
}

fn insert(table: &Table, tables: &[Table], receive: &Receiver<Decoded>) -> Vec<Damage> {
    let others: Vec<_> = tables.iter().map(|table| table.read()).collect();
    let others: Vec<&Memtable> = others.iter().map(|table| &**table).collect();
    let mut undecodable = Vec::new();
    for (found, batch) in receive {
        match batch {
            Some(batch) => drop(table.write().insert(batch, &others)),
            None => undecodable.push(Damage {
                from: found.start,
                to: found.end,
                of: Some((found.rows, found.received_ns)),
            }),
        }
    }
    undecodable
}
