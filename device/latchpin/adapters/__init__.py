"""The hands: one part each, no decisions."""
