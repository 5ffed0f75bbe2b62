"""The contract between a device and a bridge: pure bytes, the same on both sides. README.md tells it as a story."""
