"""A Python service as people write it by hand with nats-py: no instrumentation, the context in a header it makes itself.

foreign.py <address> send <subject> <traceparent>    publishes one message with that header to JetStream
foreign.py <address> receive <stream> <subject>      prints the headers of the last message there as JSON
"""

import asyncio
import json
import sys

import nats


async def main():
    address, what, where, more = sys.argv[1:5]
    client = await nats.connect(address)
    jetstream = client.jetstream()
    if what == "send":
        headers = {"traceparent": more, "order": "order-1", "Nats-Msg-Id": "python-1"}
        await jetstream.publish(where, b"from python", headers=headers)
    else:
        message = await jetstream.get_last_msg(where, more)
        print(json.dumps({"headers": message.headers, "body": message.data.decode()}))
    await client.close()


asyncio.run(main())
