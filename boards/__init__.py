"""Boards as data, and the tool that flashes them."""
