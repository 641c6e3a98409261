//! Receivers, ingest, read API and web interface.
