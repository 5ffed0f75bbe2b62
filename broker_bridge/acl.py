"""What devices and bridges may do on a broker, and the files in which EMQX, NanoMQ, HiveMQ and VerneMQ want it said.

Not for mosquitto's files, which mosquitto.py writes from the same table, nor for accounts: each head says whence they come.
"""

import re
from collections.abc import Sequence
from xml.sax.saxutils import escape

from latchpin.wire import bridge_side

# What the two kinds of client may do on a broker; what is not granted is denied. `%u` is the name that the password proved,
# never one that the client chose (SECURITY-NOTES 4.1). Our broker and mosquitto read this table too.
ACL = {
    "device": {
        "write": ("latchpin/1/%u/hello", "latchpin/1/%u/up/+", "latchpin/1/%u/state"),
        "read": ("latchpin/1/%u/down",),
    },
    "bridge": {
        "write": ("latchpin/1/+/down",),
        "read": (bridge_side.SHARED_HELLO, "latchpin/1/+/up/+", "latchpin/1/+/state"),
    },
}
_ACTIONS = {"write": "publish", "read": "subscribe"}

# https://docs.emqx.com/en/emqx/latest/access-control/authz/file.html; a filter is compared without $share/GROUP/
# (emqx_channel.erl: "subscribe authz check only cares the real topic filter when shared-sub").
_EMQX = """\
%% acl.conf of EMQX 5.0 or newer, made by Latchpin. It names no device: what is not granted is denied, and ${username} keeps
%% devices apart. What goes with it in emqx.conf:
%%   authorization.no_match = deny
%%   authorization.deny_action = ignore
%%   authorization.sources = [{type = file, enable = true, path = "etc/acl.conf"}]     and no other source before it
%%   mqtt.use_username_as_clientid = true     so that no client can take over another one's connection
%%   mqtt.max_packet_size = 8192              a frame is at most 4,096 bytes; CONNECT and properties come on top
%%   mqtt.retain_available = true
%%   mqtt.shared_subscription = true
%%   listeners.tcp.default.enable = false     and .ws, .wss: TLS (listeners.ssl) is the only way in
%% and an authenticator that lets nobody in without a password: a user for each bridge, and one for each device under its id.
"""
# https://nanomq.io/docs/en/latest/access-control/acl.html and .../config-description/acl.html. Whether a filter is compared with
# $share/GROUP/ or without stands nowhere: both are granted.
_NANOMQ = """\
## nanomq_acl.conf of NanoMQ, made by Latchpin. It names no device: what is not granted is denied, and ${username} keeps devices
## apart. What goes with it in nanomq.conf:
##   auth {allow_anonymous = false, no_match = deny, deny_action = ignore
##         password = {include "/etc/nanomq_pwd.conf"}, acl = {include "/etc/nanomq_acl.conf"}}
##   mqtt.max_packet_size = 8KB        and listeners.ssl alone, no listeners.tcp, no listeners.ws: TLS is the only way in
## nanomq_pwd.conf holds passwords as they are: a user for each bridge, and one for each device under its id. Its HTTP
## authentication asks a server of yours instead. NanoMQ does not bind a client id to its user: a device with an account can end
## another one's connection by taking its client id. It cannot read or speak for it.
"""
# https://github.com/hivemq/hivemq-file-rbac-extension (README.adoc): permissions name the filter without $share/GROUP/.
_HIVEMQ = """\
<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<!-- conf/credentials.xml of HiveMQ's File RBAC Extension, made by Latchpin. It names no device's topic: what is not granted is
     denied, and ${{username}} keeps devices apart. extension-config.xml: <password-type>HASHED</password-type>.
     Each bridge wants a user with the role "bridge", each device one with the role "device" under its id; its password's hash is
     that of the registry, $7$ITERATIONS$SALT$HASH, as SALT:ITERATIONS:HASH. A TLS listener is the only one.
     Changes reach connected clients when they connect again. The extension does not bind a client id to its user: a device with
     an account can end another one's connection by taking its client id. It cannot read or speak for it. -->
"""
# https://docs.vernemq.com/configuring-vernemq/file-auth; vmq_acl.erl compares the filter as it came, $share/GROUP/ included, and
# vernemq issue 1897 asks for a line break at the end and for no line that is empty.
_VERNEMQ = """\
# vmq.acl of VerneMQ, made by Latchpin. It names no device: what is not granted is denied, and %u keeps devices apart.
# What goes with it in vernemq.conf:
#   allow_anonymous = off
#   allow_multiple_sessions = off
#   plugins.vmq_passwd = on          vmq-passwd makes a user for each bridge, and one for each device under its id
#   plugins.vmq_acl = on
#   vmq_acl.acl_file = /etc/vernemq/vmq.acl
#   listener.ssl.allowed_protocol_versions = 5       and no listener.tcp, no listener.ws: TLS is the only way in
#   max_message_size = 8192
# vmq_passwd does not bind a client id to its user: a device with an account can end another one's connection by taking its client
# id. It cannot read or speak for it. vmq_diversity can compare the two at auth_on_register_m5.
"""


def check_names(bridges: Sequence[str]) -> None:
    """ValueError: a bridge's name is none; it could be read as more than a name in a broker's file."""
    if not all(re.fullmatch("[a-z0-9-]{1,23}", name) for name in bridges):
        raise ValueError("a bridge's MQTT username is 1 to 23 of a-z, 0-9 and hyphens")


def bridge_grants(names: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """{bridge's username: {"write": topics, "read": filters}} of the table, without $share/GROUP/, as most brokers compare them.

    ValueError as check_names.
    """
    check_names(names)
    granted = {access: [_unshared(topic) for topic in topics] for access, topics in ACL["bridge"].items()}
    return {name: granted for name in names}


def emqx(bridges: Sequence[str] = ("bridge",)) -> str:
    """acl.conf, rules as Erlang terms. ValueError as check_names."""
    rules = [
        _erlang(f'{{username, "{name}"}}', access, topics)
        for name, granted in bridge_grants(bridges).items()
        for access, topics in granted.items()
    ]
    rules += [_erlang("all", access, _of_device(access, "${username}")) for access in _ACTIONS]
    return "\n".join([_EMQX, *rules, "{deny, all}."]) + "\n"


def nanomq(bridges: Sequence[str] = ("bridge",)) -> str:
    """nanomq_acl.conf, in HOCON. ValueError as check_names."""
    check_names(bridges)
    both = {access: list(dict.fromkeys([*topics, *map(_unshared, topics)])) for access, topics in ACL["bridge"].items()}
    rules = [_hocon(access, topics, name) for name in bridges for access, topics in both.items()]
    rules += [_hocon(access, _of_device(access, "${username}")) for access in _ACTIONS]
    return "\n".join([_NANOMQ + "rules = [", *(f"  {rule}" for rule in rules), '  {"permit": "deny"}', "]"]) + "\n"


def hivemq(bridges: Sequence[str] = ("bridge",)) -> str:
    """credentials.xml without passwords. ValueError as check_names."""
    granted = bridge_grants(bridges)[bridges[0]]
    lines = [_HIVEMQ + "<file-rbac>", "  <users>"]
    lines += [
        f"    <user><name>{name}</name><password>SALT:ITERATIONS:HASH</password><roles><id>bridge</id></roles></user>"
        for name in bridges
    ]
    lines += ["  </users>", "  <roles>"]
    for role, topics_of in (
        ("bridge", granted),
        ("device", {access: _of_device(access, "${{username}}") for access in _ACTIONS}),
    ):
        lines += [f"    <role><id>{role}</id><permissions>"]
        for access, topics in topics_of.items():
            activity = f"<activity>{_ACTIONS[access].upper()}</activity>"
            lines += [f"      <permission><topic>{escape(topic)}</topic>{activity}</permission>" for topic in topics]
        lines += ["    </permissions></role>"]
    return "\n".join([*lines, "  </roles>", "</file-rbac>"]) + "\n"


def vernemq(bridges: Sequence[str] = ("bridge",)) -> str:
    """vmq.acl. ValueError as check_names."""
    check_names(bridges)
    lines = [f"pattern {access} {topic}" for access, topics in ACL["device"].items() for topic in topics]
    for name in bridges:
        lines += [f"user {name}"]
        lines += [f"topic {access} {topic}" for access, topics in ACL["bridge"].items() for topic in topics]
    return _VERNEMQ + "\n".join(lines) + "\n"


def _unshared(topic: str) -> str:
    return re.sub("^[$]share/[^/]+/", "", topic)


def _of_device(access: str, name: str) -> list[str]:
    return [topic.replace("%u", name) for topic in ACL["device"][access]]


def _erlang(who: str, access: str, topics: Sequence[str]) -> str:
    quoted = ", ".join(f'"{topic}"' for topic in topics)
    return f"{{allow, {who}, {_ACTIONS[access]}, [{quoted}]}}."


def _hocon(access: str, topics: Sequence[str], name: str | None = None) -> str:
    who = f'"username": "{name}", ' if name is not None else ""
    quoted = ", ".join(f'"{topic}"' for topic in topics)
    return f'{{"permit": "allow", {who}"action": "{_ACTIONS[access]}", "topics": [{quoted}]}}'
