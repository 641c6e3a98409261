//! The columns of the events for engines that read Parquet: what they are called, what they mean, and which files hold
//! them now. Ids that another column says as well are null in the files of segments (`segment/implied.rs`).

use super::manifest::{self, Unreadable};
use super::real_dir::RealDir;
use crate::{Error, ErrorKind};
use hopscope_model::Tenant;
use std::path::{Path, PathBuf};

/// A column of a view over the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in the view.
    pub name: &'static str,
    /// What it is made of, in DuckDB's SQL over the columns of the files.
    pub sql: &'static str,
    /// One sentence.
    pub doc: &'static str,
}

macro_rules! columns {
    ($($name:literal = $sql:expr, $doc:literal;)*) => {
        /// Every column, in order.
        pub const COLUMNS: &[Column] = &[$(Column { name: $name, sql: $sql, doc: $doc },)*];
    };
}

columns! {
    "start" = "make_timestamp_ns(start_ns)", "When it began, by the clock of whoever told it, UTC.";
    "stage" = "stage", "What happened: create, send, broker, receive, process, settle, or work for an ordinary span.";
    "outcome" = "outcome", "ok, failed or unknown.";
    "reason" = "reason", "Why it failed: a type of error.";
    "disposition" = "disposition", "What was asked of the broker when it was settled.";
    "operation" = "operation", "Name of the operation as the service told it.";
    "system" = "system", "kafka, rabbitmq, nats, rocketmq ...; null for spans that are about no message.";
    "cluster" = "cluster", "Name of the cluster, where it is known.";
    "destination" = "destination", "Topic, queue, stream or exchange.";
    "address" = "address", "Subject or routing key, where it differs from the destination.";
    "lane" = "lane", "Partition, or broker and queue.";
    "position" = "position", "Offset or sequence within the lane.";
    "group" = "\"group\"", "Consumer group, durable consumer or queue.";
    "service" = "service", "Service that told it.";
    "instance" = "instance", "Instance of the service.";
    "client" = "client", "Client id.";
    "server" = "server", "Address of the broker.";
    "attempt" = "attempt", "Number of the delivery, from 1, where it is known.";
    "duration_ms" = "duration_ns / 1e6", "How long it took, milliseconds.";
    "body_bytes" = "body_bytes", "Size of the message.";
    "message_id" = "message_id", "Id of the message.";
    "correlation_id" = "correlation_id", "Id that a reply names.";
    "keys" = "keys", "Business keys.";
    "trace_id" = "nullif(lower(hex(trace)), repeat('0', 32))", "Trace, in hexadecimal digits.";
    "span_id" = "nullif(lower(hex(span)), repeat('0', 16))", "Span.";
    "parent_span_id" = "nullif(lower(hex(coalesce(parent, creation_span, span))), repeat('0', 16))", "Span above it.";
    "creation_trace_id" = "nullif(lower(hex(coalesce(creation_trace, trace))), repeat('0', 32))", "Trace in which the message was created: with creation_span_id it is the message.";
    "creation_span_id" = "nullif(lower(hex(coalesce(creation_span, span))), repeat('0', 16))", "Span in which the message was created.";
    "received" = "make_timestamp_ns(received_ns)", "When Hopscope received it: what retention goes by.";
    "broker_time" = "make_timestamp_ns(broker_ns)", "The broker's own time of the message.";
    "origin_time" = "make_timestamp_ns(origin_ns)", "When the message was first created, where it was copied since.";
    "start_ns" = "start_ns", "As start: nanoseconds since 1970.";
    "duration_ns" = "duration_ns", "As duration_ms: nanoseconds.";
    "received_ns" = "received_ns", "As received: nanoseconds since 1970.";
    "source" = "source", "Where it was read from.";
    "grade" = "grade", "How sure it is: observed, broker, inferred.";
    "attributes" = "attributes", "Further attributes of the span, a JSON object.";
    "resource" = "resource", "Attributes of the resource, a JSON object.";
    "links" = "links", "Linked spans: 16 bytes of trace and 8 of span each.";
}

/// The Parquet files that hold the events of a tenant now, oldest first. Nothing is locked: merging and retention may
/// remove them any time.
pub fn parquet_files(data: &Path, tenant: &Tenant) -> Result<Vec<PathBuf>, Error> {
    super::Snapshot::look(data)?;
    let dir = RealDir::open(data).map_err(super::folder::io_error("cannot open the folder"))?;
    let manifest = match manifest::read(&dir, tenant.name()) {
        Ok(manifest) => manifest,
        Err(Unreadable::Missing) => {
            let message = format!("nothing is stored of that tenant tenant={}", tenant.name());
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        Err(unreadable) => return Err(super::backup::unreadable_manifest(tenant.name(), unreadable)),
    };
    let with_events = manifest.segments.iter().filter(|entry| entry.rows > 0);
    let file = |entry: &manifest::SegmentEntry| {
        let [events, ..] = entry.id().file_names();
        data.join(tenant.name()).join(events)
    };
    Ok(with_events.map(file).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_of_a_segment_is_documented() {
        for field in super::super::segment::schema().fields() {
            let name = field.name();
            let named = COLUMNS.iter().any(|column| {
                column.sql.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name)
            });
            assert!(named, "{name}");
        }
    }
}
