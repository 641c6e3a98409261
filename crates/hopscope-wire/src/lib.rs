//! Which bytes are which batch: OTLP traces in protobuf and JSON.
