"""The tables, version by version.

Not for what is read or written in them: one file for each group of tables stands beside this one.
"""

# Each entry lifts the file by one version (PRAGMA user_version). Entries are only ever added.
MIGRATIONS = (
    """
    CREATE TABLE devices (
        device TEXT PRIMARY KEY, client_id TEXT NOT NULL, first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL, locked INTEGER
    );
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY, client_id TEXT NOT NULL, device TEXT NOT NULL, asserted INTEGER NOT NULL, decoy INTEGER NOT NULL,
        jkt TEXT, scope TEXT NOT NULL, resource TEXT NOT NULL, code_challenge TEXT NOT NULL, binding_word TEXT NOT NULL,
        challenges TEXT NOT NULL, step INTEGER NOT NULL, tries INTEGER NOT NULL, requests INTEGER NOT NULL,
        created INTEGER NOT NULL, expires INTEGER NOT NULL, handle BLOB NOT NULL UNIQUE, handle_before BLOB UNIQUE
    );
    CREATE INDEX asserted_sessions ON sessions (device) WHERE asserted = 1;
    CREATE INDEX claimed_sessions ON sessions (client_id) WHERE asserted = 0;
    CREATE TABLE pins (session TEXT PRIMARY KEY, digest BLOB NOT NULL, expires INTEGER NOT NULL);
    CREATE TABLE families (
        id TEXT PRIMARY KEY, session TEXT NOT NULL, client_id TEXT NOT NULL, subject TEXT NOT NULL, device TEXT,
        scope TEXT NOT NULL, resource TEXT NOT NULL, jkt TEXT, created INTEGER NOT NULL, expires INTEGER NOT NULL, revoked INTEGER
    );
    CREATE INDEX families_by_session ON families (session);
    CREATE TABLE codes (
        digest BLOB PRIMARY KEY, session TEXT NOT NULL, client_id TEXT NOT NULL, subject TEXT NOT NULL, device TEXT,
        scope TEXT NOT NULL, resource TEXT NOT NULL, jkt TEXT, code_challenge TEXT NOT NULL, expires INTEGER NOT NULL,
        used INTEGER, family TEXT, revoked INTEGER
    );
    CREATE INDEX codes_by_session ON codes (session);
    CREATE TABLE refresh_tokens (
        digest BLOB PRIMARY KEY, family TEXT NOT NULL, expires INTEGER NOT NULL, used INTEGER
    ) WITHOUT ROWID;
    CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires);
    CREATE TABLE proofs (digest BLOB PRIMARY KEY, expires INTEGER NOT NULL) WITHOUT ROWID;
    """,
    """
    ALTER TABLE refresh_tokens ADD COLUMN predecessor BLOB;
    CREATE INDEX sessions_by_code_challenge ON sessions (code_challenge)
    """,
    """
    ALTER TABLE pins RENAME COLUMN session TO holder;
    ALTER TABLE pins ADD COLUMN account TEXT;
    ALTER TABLE sessions ADD COLUMN account TEXT;
    ALTER TABLE sessions ADD COLUMN acr TEXT;
    CREATE TABLE failures (
        subject BLOB PRIMARY KEY, since INTEGER NOT NULL, today INTEGER NOT NULL, in_a_row INTEGER NOT NULL,
        known INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
)
