"""Rows of characters: title, the text below it, what is typed at the end; page after page where the text is longer.

Not for a part: each display says with `put` how characters get onto it. Not for decisions.
"""

import asyncio

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

    def show(self, view) -> None:
        """view: title, text, entry. With two rows the entry stands beside the title, else in the last row."""
        self._view = view
        rows = len(self._shown)
        foot = view.entry + (" " if view.entry and self._choice else "") + self._choice
        gap = self._columns - len(view.title) - len(foot)
        head = view.title
        if foot and rows < 3:
            head = head + " " * gap + foot if gap > 0 else foot
            foot = ""
        body = rows - (2 if foot else 1)
        lines = wrap(view.text, self._columns)
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
    """Lines of at most `columns` characters, broken at blanks where there are any."""
    lines = []
    line = ""
    for word in text.split():
        while len(word) > columns:
            if line:
                lines.append(line)
                line = ""
            lines.append(word[:columns])
            word = word[columns:]
        if line and len(line) + 1 + len(word) > columns:
            lines.append(line)
            line = word
        else:
            line = line + " " + word if line else word
    if line:
        lines.append(line)
    return lines
