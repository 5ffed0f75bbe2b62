"""A world on one PC: device, broker, bridge, authorization server and MCP server."""
