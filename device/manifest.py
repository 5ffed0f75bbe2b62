"""For freezing Latchpin into firmware: boards/<BOARD>/manifest.py includes it.

Not written by hand: python -m boards.package.
"""

# ruff: noqa: F821

metadata(description="PIN in, token out", version="0.1.0")
package(
    "latchpin",
    files=(
        "__init__.py",
        "adapters/__init__.py",
        "adapters/flash_journal.py",
        "adapters/hands.py",
        "adapters/https_post.py",
        "adapters/identity.py",
        "adapters/keypad_matrix.py",
        "adapters/lcd_hd44780.py",
        "adapters/led.py",
        "adapters/mqtt_link.py",
        "adapters/mqtt_opening.py",
        "adapters/qr_code.py",
        "adapters/serial_console.py",
        "adapters/settings.py",
        "adapters/stream.py",
        "adapters/tls_stream.py",
        "adapters/wifi.py",
        "agent/__init__.py",
        "agent/agent.py",
        "agent/authorization.py",
        "agent/conversation.py",
        "agent/dpop.py",
        "agent/events.py",
        "agent/mcp.py",
        "agent/pin_entry.py",
        "agent/prompts.py",
        "agent/token_keeper.py",
        "crypto/__init__.py",
        "crypto/ccm.py",
        "crypto/kdf.py",
        "crypto/p256.py",
        "runner.py",
        "runtime.py",
        "wire/__init__.py",
        "wire/cbor.py",
        "wire/check_digit.py",
        "wire/edhoc.py",
        "wire/errors.py",
        "wire/messages.py",
        "wire/session.py",
        "wire/topics.py",
    ),
    base_path=".",
)
