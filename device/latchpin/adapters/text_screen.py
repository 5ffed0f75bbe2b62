"""Rows of characters: title, the text below it, what is typed at the end; page after page where the text is longer.

Not for a part: each display says with `put` how characters get onto it, and with `paint` a QR code, if it can. Not for decisions.
"""

import asyncio

from latchpin import runtime

PAGE_S = 2


class TextScreen:
    """columns, rows: what fits. A display calls this when it is blank, and has `put(row, column, text)`."""

    def __init__(self, columns: int, rows: int):
        self._columns = columns
        self._shown = [" " * columns for _ in range(rows)]
        self._pages = [[]]
        self._turning = None
        self._view = None
        self._choice = ""
        self._code = ""

    def show(self, view) -> None:
        """view: title, text, entry, and `get("qr")`: what a QR code beside them says. With two rows the entry stands beside the
        title, else in the last row."""
        self._view = view
        rows = len(self._shown)
        code = view.get("qr") or ""
        if code != self._code:
            self._code = code
            columns = self._draw_code(code)
            if columns:
                self._columns = columns
                self._shown = ["\x00" * columns] * rows
        foot = view.entry + (" " if view.entry and self._choice else "") + self._choice
        gap = self._columns - len(view.title) - len(foot)
        head = view.title
        if foot and rows < 3:
            head = head + " " * gap + foot if gap > 0 else foot
            foot = ""
        body = rows - (2 if foot else 1)
        lines = wrap(view.text, self._columns)
        if len(head) > self._columns:
            title = wrap(head, self._columns)
            head = title[0]
            lines = title[1:] + lines
        pages = [lines[at : at + body] for at in range(0, len(lines), body)] or [[]]
        self._pages = [[head] + page + [""] * (body - len(page)) + [foot] for page in pages]
        if self._turning is not None:
            self._turning.cancel()
            self._turning = None
        self._draw(0)
        if len(pages) > 1:
            self._turning = asyncio.create_task(self._turn())

    def choose(self, key: str) -> None:
        """Show the key that a dial stands at: it is not typed yet."""
        self._choice = "<" + key + ">"
        if self._view is not None:
            self.show(self._view)

    def put(self, row: int, column: int, text: str) -> None:
        """Each display's own: write from there on."""

    def paint(self, code: str) -> int:
        """Each display's own: the QR code of this text; without one, the place where it stood is dark again. Gives the columns
        that are left for text, 0 where it cannot. Raises ValueError: too long, and nothing was painted."""
        return 0

    def _draw_code(self, code):
        try:
            return self.paint(code)
        except (ValueError, MemoryError):
            return self.paint("")
        finally:
            runtime.make_room("adapters.qr_drawing", "adapters.qr_code")

    async def _turn(self):
        page = 0
        while True:
            await asyncio.sleep(PAGE_S)
            page = (page + 1) % len(self._pages)
            self._draw(page)

    def _draw(self, page):
        for row, shown in enumerate(self._shown):
            line = self._pages[page][row][: self._columns]
            line += " " * (self._columns - len(line))
            if line == shown:
                continue
            # Only what changed: a display is slow, and so is a person's patience.
            first = 0
            while line[first] == shown[first]:
                first += 1
            last = self._columns
            while line[last - 1] == shown[last - 1]:
                last -= 1
            self._shown[row] = line
            self.put(row, first, line[first:last])


def wrap(text: str, columns: int) -> list[str]:
    """Lines of at most `columns` characters, broken at blanks where there are any, else behind a hyphen or a slash."""
    lines = []
    line = ""
    for word in text.split():
        while len(word) > columns:
            if line:
                lines.append(line)
                line = ""
            end = max(word.rfind("-", 0, columns), word.rfind("/", 0, columns)) + 1 or columns
            lines.append(word[:end])
            word = word[end:]
        if line and len(line) + 1 + len(word) > columns:
            lines.append(line)
            line = word
        else:
            line = line + " " + word if line else word
    if line:
        lines.append(line)
    return lines
