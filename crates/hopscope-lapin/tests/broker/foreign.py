"""A Python service as people write it by hand with pika: no instrumentation, the context in a header it makes itself.

foreign.py <address> send <queue> <traceparent>      publishes one message with that header
foreign.py <address> receive <queue>                 prints the headers of the next message as JSON, and acknowledges it
"""

import json
import sys

import pika

address, what, queue = sys.argv[1:4]
connection = pika.BlockingConnection(pika.URLParameters(address))
channel = connection.channel()
channel.confirm_delivery()

if what == "send":
    headers = {"traceparent": sys.argv[4], "order": "order-1", "count": 3, "nothing": None, "nested": {"a": [1, "b"]}}
    properties = pika.BasicProperties(headers=headers, message_id="python-1", delivery_mode=2)
    channel.basic_publish("", queue, b"from python", properties, mandatory=True)
else:
    method, properties, body = channel.basic_get(queue)
    channel.basic_ack(method.delivery_tag)
    print(json.dumps({"headers": properties.headers, "message_id": properties.message_id, "body": body.decode()}, default=str))
connection.close()
