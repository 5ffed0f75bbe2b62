"""The pins of this board by name. None: it has its serial line, and that has its own.

Not for wiring: board.md.
"""
