"""Times, spans and PINs as a page says them.

Not for languages other than English; a browser with JavaScript shows times as its owner reads them.
"""

import time

from markupsafe import Markup


def moment(at_s: int) -> Markup:
    """A time in epoch seconds, to the minute, in UTC."""
    at = time.gmtime(at_s)
    shown = f"{at.tm_mday} {time.strftime('%b %Y, %H:%M', at)} UTC"  # no %-d: Windows has none
    return Markup('<time datetime="{}">{}</time>').format(time.strftime("%Y-%m-%dT%H:%M:%SZ", at), shown)


def ago(at_s: int, now_s: int) -> str:
    """How long ago that was, in one unit."""
    for unit, seconds in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if now_s - at_s >= seconds:
            return f"{count((now_s - at_s) // seconds, unit)} ago"
    return "just now"


def span(seconds: int) -> str:
    """A length of time, in the largest unit that fits."""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            return count(seconds // size, unit)
    return count(seconds, "second")


def count(number: int, thing: str) -> str:
    return f"{number} {thing}" + ("" if number == 1 else "s")


def threes(pin: str) -> list[str]:
    """A PIN as people read and type it: 3-3-3."""
    return [pin[at : at + 3] for at in range(0, len(pin), 3)]


def capitalised(text: str) -> str:
    """A refusal of the console line as a sentence."""
    return text[:1].upper() + text[1:] + "."
