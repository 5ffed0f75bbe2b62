"""EMQX's acl.conf, made from the registry's table (EMQX 5.0 and newer).

Not EMQX's configuration and not its users: the head of the file says which settings go with it.
"""

from collections.abc import Sequence

from broker_bridge.registry import ACL, bridge_grants

HEAD = """\
%% Made by Latchpin. It names no device: what is not granted is denied, and ${username} keeps devices apart.
%% What goes with it in emqx.conf:
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
_ACTIONS = {"write": "publish", "read": "subscribe"}


def acl_lines(bridges: Sequence[str] = ("bridge",)) -> str:
    """acl.conf, rules as Erlang terms. ValueError: a bridge's name that is none."""
    rules = [
        _rule(f'{{username, "{name}"}}', access, topics)
        for name, granted in bridge_grants(bridges).items()
        for access, topics in granted.items()
    ]
    rules += [
        _rule("all", access, [topic.replace("%u", "${username}") for topic in ACL["device"][access]]) for access in _ACTIONS
    ]
    return "\n".join([HEAD, *rules, "{deny, all}."]) + "\n"


def _rule(who: str, access: str, topics: Sequence[str]) -> str:
    quoted = ", ".join(f'"{topic}"' for topic in topics)
    return f"{{allow, {who}, {_ACTIONS[access]}, [{quoted}]}}."
