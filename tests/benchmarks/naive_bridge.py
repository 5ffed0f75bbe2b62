"""What one writes on a Sunday: paho's callback, one `requests.post` for each message, JSON in plaintext.

Not an example to follow. argv: bridge.toml, the replica's name.
"""

import json
import ssl
import sys
from pathlib import Path

import paho.mqtt.client as paho
import requests
from paho.mqtt.enums import CallbackAPIVersion

from broker_bridge import life, settings
from latchpin.wire import bridge_side

configured, replica = settings.load(Path(sys.argv[1])), sys.argv[2]
server, broker = configured.authorization_server, configured.broker
secret = server.secret()
assert secret is not None
login = (server.client_id, secret.get_secret_value())


def on_message(client: paho.Client, data: object, message: paho.MQTTMessage) -> None:
    asked = json.loads(message.payload)
    headers = {"DPoP": asked.pop("dpop")}
    answer = requests.post(
        server.issuer + "/challenge", data=asked, headers=headers, auth=login, verify=str(server.ca), timeout=10
    )
    client.publish(bridge_side.down(message.topic.split("/")[2]), json.dumps(answer.json()), qos=1)


client = paho.Client(CallbackAPIVersion.VERSION2, client_id="bridge-naive", protocol=paho.MQTTv5)
client.username_pw_set("bridge-naive", broker.secret().get_secret_value())
client.tls_set_context(ssl.create_default_context(cafile=str(broker.ca)))
client.on_message = on_message
client.on_connect = lambda client, *_: client.subscribe(bridge_side.replica_filter(replica), qos=1)
client.on_subscribe = lambda *_: life.ready(replica)
client.connect(broker.host, broker.port)
client.loop_forever()
