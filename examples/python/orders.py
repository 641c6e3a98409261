"""An order sent and handled, told by OpenTelemetry's own Python SDK: nothing of Hopscope is imported.

    python orders.py grpc http://127.0.0.1:4317 order-1
    python orders.py http http://127.0.0.1:4318/v1/traces order-1

It stands for any instrumented service: what a Kafka producer and consumer would record, with the older and the
current attribute names mixed as they are in the field. Prints the trace id.
"""

import sys

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def exporter(protocol, endpoint):
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter(endpoint=endpoint, insecure=True)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=endpoint)


def tracer(service, protocol, endpoint, providers):
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(exporter(protocol, endpoint)))
    providers.append(provider)
    return provider.get_tracer("orders.py")


def main(protocol, endpoint, key):
    providers = []
    shop = tracer("python-shop", protocol, endpoint, providers)
    billing = tracer("python-billing", protocol, endpoint, providers)
    with shop.start_as_current_span("send python-orders", kind=trace.SpanKind.PRODUCER) as send:
        send.set_attributes(
            {
                "messaging.system": "kafka",
                "messaging.operation": "publish",  # the older spelling
                "messaging.destination.name": "python-orders",
                "messaging.kafka.destination.partition": 2,  # the older spelling
                "messaging.kafka.message.offset": 41,  # the older spelling
                "messaging.kafka.message.key": key,
            }
        )
        created = send.get_span_context()
    link = trace.Link(created)
    with billing.start_as_current_span("process python-orders", kind=trace.SpanKind.CONSUMER, links=[link]) as process:
        process.set_attributes(
            {
                "messaging.system": "kafka",
                "messaging.operation.type": "process",
                "messaging.operation.name": "process",
                "messaging.destination.name": "python-orders",
                "messaging.destination.partition.id": "2",
                "messaging.kafka.offset": 41,
                "messaging.consumer.group.name": "billing",
                "messaging.message.body.size": 17,
            }
        )
        process.record_exception(ValueError("no such card"))
        process.set_attribute("error.type", "ValueError")
        process.set_status(trace.StatusCode.ERROR, "no such card")
    for provider in providers:
        if not provider.force_flush(10_000):
            sys.exit("not everything was exported")
        provider.shutdown()
    print(trace.format_trace_id(created.trace_id))


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ("grpc", "http"):
        sys.exit(__doc__)
    main(*sys.argv[1:])
