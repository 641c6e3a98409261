//! Traced producer and consumer for lapin.
