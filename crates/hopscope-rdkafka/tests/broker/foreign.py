"""A Python service as people write it by hand with kafka-python: no instrumentation, the context in a header it makes itself.

foreign.py <servers> send <topic> <traceparent>      sends one record with that header
foreign.py <servers> receive <topic>                 prints the headers and the value of the first record as JSON
"""

import json
import sys

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

servers, what, topic = sys.argv[1:4]

if what == "send":
    producer = KafkaProducer(bootstrap_servers=servers)
    headers = [("traceparent", sys.argv[4].encode()), ("order", b"order-1"), ("raw", b"\xff\x00")]
    producer.send(topic, value=b"from python", key=b"4711", headers=headers).get(timeout=30)
    producer.close()
else:
    consumer = KafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest", consumer_timeout_ms=30_000)
    consumer.assign([TopicPartition(topic, 0)])
    consumer.seek_to_beginning()
    record = next(consumer)
    headers = {name: value.decode("latin-1") for name, value in record.headers}
    print(json.dumps({"headers": headers, "value": record.value.decode()}))
    consumer.close()
