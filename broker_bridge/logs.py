"""Log lines of every service: JSON, one event a line on stderr, names and numbers only.

Not for secrets, frames or texts from outside: a line has a closed set of members, none with room for a PIN, a code, a token or
an auth_session, and an exception gives its class and place.
"""

import functools
import json
import logging
import sys
import time
from types import TracebackType
from typing import Any

MEMBERS = {
    *("rid", "request", "device", "client", "session", "family", "step", "outcome", "code", "error", "why", "detail", "note"),
    *("status", "tries_left", "ms", "count", "address", "replica", "retry_s", "decoded"),
}

# Their debug lines quote payloads, tokens and requests (authlib: "Issue token %r"): never below WARNING, whatever our own level.
_CHATTY = ("lakers", "pyreqwest", "paho", "authlib", "joserfc", "uvicorn", "asyncio", "anyio", "multipart", "mcp")

_logger = logging.getLogger("latchpin")
_encode = json.JSONEncoder(separators=(",", ":")).encode
_write_time = functools.lru_cache(1)(lambda second: time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)))


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        ours = record.name == _logger.name
        line: dict[str, object] = {
            "time": _write_time(int(record.created)) + ".%03dZ" % record.msecs,
            "level": record.levelname.lower(),
            "event": record.msg if ours else "library",
        }
        if not ours:
            line["library"] = record.name
        line.update(getattr(record, "members", {}))
        if record.exc_info and record.exc_info[0]:
            line["exception"] = record.exc_info[0].__name__
            line.update(_place(record.exc_info[2]))
        return _encode(line)


class _Stderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)


def _place(trace: TracebackType | None) -> dict[str, str]:
    while trace and trace.tb_next:
        trace = trace.tb_next
    return {"at": f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"} if trace else {}


def start(level: str) -> None:
    """Sends every line of the process to stderr in this form, our own from `level` (debug, info, warning, error) on."""
    handler = _Stderr()
    handler.setFormatter(_Lines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    _logger.setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    sys.unraisablehook = _unraisable


def _unraisable(failed: Any) -> None:
    # The MQTT codec tells its panics here first, with the bytes that it met.
    line("unraisable", logging.WARNING, failed.exc_value)


def debugging() -> bool:
    """True where lines at debug are written: only then is what they say worth making."""
    return _logger.isEnabledFor(logging.DEBUG)


def line(event: str, level: int = logging.INFO, failure: BaseException | None = None, **members: str | int | None) -> None:
    """One line about `event`, a fixed word. `members` are of MEMBERS; None is left out."""
    if _logger.isEnabledFor(level):
        shown = {name: value for name, value in members.items() if value is not None and name in MEMBERS}
        # Without a search for the caller, whom nobody asks for: a line costs half of what Logger.log takes.
        trace = (type(failure), failure, failure.__traceback__) if failure is not None else None
        record = logging.LogRecord(_logger.name, level, "", 0, event, None, trace)
        record.members = shown
        _logger.handle(record)
