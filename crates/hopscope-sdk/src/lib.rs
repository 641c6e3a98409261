//! Traced send, receive, process and settle for message clients, on the OpenTelemetry API.
