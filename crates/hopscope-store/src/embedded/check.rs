//! Looking for damage in one tenant's folder. Reads only.

use super::folder::Folder;
use super::manifest;
use super::read::{Cancel, Read, Source};
use super::segment::{Damaged, Segment};
use super::wal;
use crate::{CheckReport, Depth, Error, Finding};

impl Folder {
    /// Adds to the report what is found here.
    pub fn check(&self, depth: Depth, report: &mut CheckReport) -> Result<(), Error> {
        let cancel = Cancel::default();
        let tenant = self.tenant.name();
        let file = |name: &str| format!("{tenant}/{name}");
        for gap in self.state().gaps.iter() {
            report.findings.push(Finding {
                file: file(&gap.file),
                what: gap.what.clone(),
                received_ns: gap.received_ns,
                events: gap.events,
            });
        }
        report.files += 1;
        if manifest::read(&*self.dir, tenant).is_err() {
            let what = "the manifest cannot be read any more; it is written anew with the next segment";
            let (received_ns, events) = (None, None);
            report.findings.push(Finding {
                file: file(manifest::FILE),
                what: what.to_owned(),
                received_ns,
                events,
            });
        }
        // Settled first, so that nothing counts twice.
        let read = Read::begin(self, &cancel)?;
        for source in &read.sources {
            match source {
                Source::Table(table, _) => {
                    report.events += table.read().events() as u64;
                    self.check_log(table.log, depth, report);
                }
                Source::Segment(segment) => {
                    report.files += 4;
                    report.bytes += segment.entry.bytes;
                    report.events += u64::from(segment.entry.rows);
                    let opened = Segment::open(&self.dir, &self.tenant, &segment.entry, &self.caches);
                    let sound = opened.and_then(|opened| match depth {
                        Depth::Quick => Ok(()),
                        Depth::Full => opened.verify(),
                    });
                    if let Err(Damaged { file: name, what, .. }) = sound
                        && self.has_still(segment)
                    {
                        let received_ns = Some(segment.entry.received_ns);
                        let finding = Finding { file: file(&name), what, received_ns, events: None };
                        // A read may have come upon it before.
                        if !report
                            .findings
                            .iter()
                            .any(|known| (&known.file, &known.what) == (&finding.file, &finding.what))
                        {
                            report.findings.push(finding);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a segment was neither merged nor dropped since.
    fn has_still(&self, segment: &Segment) -> bool {
        self.state().segments.iter().any(|other| other.id() == segment.id())
    }

    fn check_log(&self, number: u64, depth: Depth, report: &mut CheckReport) {
        let name = wal::file_name(number);
        let path = format!("{}/{name}", self.tenant.name());
        report.files += 1;
        let mut find = |what: String, received_ns: Option<(i64, i64)>, events: Option<u64>| {
            // It may have been sealed while it was looked at.
            if number < self.state().first_log {
                return;
            }
            let finding = Finding { file: path.clone(), what, received_ns, events };
            if !report.findings.contains(&finding) {
                report.findings.push(finding);
            }
        };
        match depth {
            Depth::Quick => {
                if let Err(error) = self.dir.open(&path) {
                    find(format!("cannot open: {error}"), None, None);
                }
            }
            Depth::Full => match self.dir.open(&path).and_then(|file| wal::verify(number, file)) {
                Err(error) => find(format!("cannot read: {error}"), None, None),
                Ok((damage, bytes)) => {
                    for damage in damage {
                        let what = format!("bytes {} to {} cannot be read", damage.from, damage.to);
                        let received_ns = damage.of.map(|(_, received_ns)| (received_ns, received_ns));
                        find(what, received_ns, damage.of.map(|(rows, _)| u64::from(rows)));
                    }
                    report.bytes += bytes;
                }
            },
        }
    }
}
