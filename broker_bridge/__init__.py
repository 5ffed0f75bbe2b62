"""The translator between sealed MQTT messages and an authorization server."""
