//! Who this process is.

use super::Setup;
use opentelemetry::{Key, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

/// What the code says, then `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, then an instance id by chance.
pub(super) fn resource(setup: &Setup) -> Resource {
    let environment = Resource::builder().build();
    let instance = Key::from_static_str("service.instance.id");
    let instance = match environment.get(&instance) {
        Some(instance) if setup.instance.is_empty() => instance.to_string(),
        _ if setup.instance.is_empty() => random_uuid(),
        _ => setup.instance.clone(),
    };
    let mut builder = Resource::builder()
        .with_attribute(KeyValue::new("service.instance.id", instance))
        .with_attributes(setup.resource.iter().cloned());
    if !setup.service.is_empty() {
        builder = builder.with_service_name(setup.service.clone());
    }
    if !setup.version.is_empty() {
        builder = builder.with_attribute(KeyValue::new("service.version", setup.version.clone()));
    }
    builder.build()
}

/// A random (version 4) UUID.
fn random_uuid() -> String {
    let mut bytes = RandomIdGenerator::default().new_trace_id().to_bytes();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instance_ids_are_random_uuids() {
        let (one, two) = (random_uuid(), random_uuid());
        assert_ne!(one, two);
        let lengths: Vec<_> = one.split('-').map(str::len).collect();
        assert_eq!((lengths, &one[14..15]), (vec![8, 4, 4, 4, 12], "4"));
    }
}
