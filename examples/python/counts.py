"""Messages counted by OpenTelemetry's own Python SDK: nothing of Hopscope is imported.

    python counts.py grpc http://127.0.0.1:4317 cumulative 300
    python counts.py http http://127.0.0.1:4318/v1/metrics delta 300

It stands for any service that samples its spans and counts everything: so many messages sent and as many consumed,
every tenth in vain. What it counts is exported twice, in the middle and at the end, as a running service would.
"""

import os
import sys

from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

# Only when it is told to: the test wants to know when.
NEVER_MS = 3_600_000


def exporter(protocol, endpoint, temporality):
    of = AggregationTemporality.DELTA if temporality == "delta" else AggregationTemporality.CUMULATIVE
    options = {"endpoint": endpoint, "preferred_temporality": {Counter: of, Histogram: of}}
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

        return OTLPMetricExporter(insecure=True, **options)
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    return OTLPMetricExporter(**options)


def main(protocol, endpoint, temporality, messages):
    reader = PeriodicExportingMetricReader(
        exporter(protocol, endpoint, temporality), export_interval_millis=NEVER_MS
    )
    resource = Resource.create({"service.name": "python-counter", "service.instance.id": str(os.getpid())})
    provider = MeterProvider(metric_readers=[reader], resource=resource)
    meter = provider.get_meter("counts.py")
    sent = meter.create_counter("messaging.client.sent.messages", "{message}")
    consumed = meter.create_counter("messaging.client.consumed.messages", "{message}")
    # As the conventions advise; the SDK's own buckets begin at five seconds.
    duration = meter.create_histogram(
        "messaging.process.duration", "s", explicit_bucket_boundaries_advisory=[0.005, 0.01, 0.1, 1.0, 10.0]
    )
    requests = meter.create_counter("http.server.requests")  # says nothing of messages
    place = {"messaging.system": "kafka", "messaging.destination.name": "python-counts"}
    group = {**place, "messaging.consumer.group.name": "python-group"}
    for number in range(int(messages)):
        failed = {"error.type": "ValueError"} if number % 10 == 0 else {}
        sent.add(1, {**place, "messaging.operation.name": "send"})
        consumed.add(1, {**group, "messaging.operation.name": "poll"})
        duration.record(0.004, {**group, "messaging.operation.name": "process", **failed})
        requests.add(1)
        if number == int(messages) // 2 and not provider.force_flush(10_000):
            sys.exit("not everything was exported")
    if not provider.force_flush(10_000):
        sys.exit("not everything was exported")
    provider.shutdown()


if __name__ == "__main__":
    if len(sys.argv) != 5 or sys.argv[1] not in ("grpc", "http") or sys.argv[3] not in ("cumulative", "delta"):
        sys.exit(__doc__)
    main(*sys.argv[1:])
