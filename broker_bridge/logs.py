"""Log lines: JSON, one event a line on stderr, names and numbers only.

Not for secrets, frames or texts from outside: a line has a closed set of members, and an exception gives its class and place.
"""

import json
import logging
import sys
import time

MEMBERS = ("rid", "device", "step", "outcome", "code", "status", "ms", "count", "replica", "retry_s", "decoded")

# Their debug lines quote payloads: never below WARNING, whatever the level of the bridge's own lines.
_CHATTY = ("lakers", "pyreqwest", "asyncio", "paho")

_logger = logging.getLogger("latchpin.bridge")


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        ours = record.name == _logger.name
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + ".%03dZ" % record.msecs,
            "level": record.levelname.lower(),
            "event": record.msg if ours else "library",
        }
        if not ours:
            line["code"] = record.name
        line.update(getattr(record, "members", {}))
        if record.exc_info and record.exc_info[0]:
            line["exception"] = record.exc_info[0].__name__
            trace = record.exc_info[2]
            while trace and trace.tb_next:
                trace = trace.tb_next
            if trace:
                line["at"] = f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
        return json.dumps(line, separators=(",", ":"))


def start(level: str) -> None:
    """Sends every line of the process to stderr in this form, from `level` (debug, info, warning, error) on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    _logger.setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def debugging() -> bool:
    """True where lines at debug are written: only then is what they say worth making."""
    return _logger.isEnabledFor(logging.DEBUG)


def line(event: str, level: int = logging.INFO, failure: BaseException | None = None, **members: str | int | None) -> None:
    """One line about `event`, a fixed word. `members` are of MEMBERS; None is left out."""
    if _logger.isEnabledFor(level):
        shown = {name: members[name] for name in MEMBERS if members.get(name) is not None}
        _logger.log(level, event, extra={"members": shown}, exc_info=failure)
