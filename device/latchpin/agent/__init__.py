"""The mind: events in, effects out; no I/O."""
