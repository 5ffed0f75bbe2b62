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
    """
    CREATE TABLE accounts (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, password TEXT NOT NULL, created INTEGER NOT NULL,
        totp BLOB, knowledge TEXT
    );
    CREATE TABLE sign_ins (
        digest BLOB PRIMARY KEY, account TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE, created INTEGER NOT NULL,
        seen INTEGER NOT NULL, expires INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE limited (digest BLOB PRIMARY KEY, tries INTEGER NOT NULL, expires INTEGER NOT NULL) WITHOUT ROWID;
    ALTER TABLE devices ADD COLUMN owner TEXT REFERENCES accounts (id);
    ALTER TABLE devices ADD COLUMN name TEXT;
    ALTER TABLE devices ADD COLUMN place TEXT;
    CREATE TABLE transfers (
        device TEXT PRIMARY KEY, giver TEXT NOT NULL REFERENCES accounts (id), taker TEXT NOT NULL, expires INTEGER NOT NULL
    );
    CREATE TABLE audit (
        id INTEGER PRIMARY KEY, at INTEGER NOT NULL, account TEXT, action TEXT NOT NULL, subject TEXT NOT NULL, concerns TEXT
    );
    CREATE INDEX audit_by_account ON audit (account);
    CREATE INDEX audit_by_concern ON audit (concerns);
    CREATE INDEX devices_by_owner ON devices (owner);
    CREATE INDEX families_by_subject ON families (subject);
    """,
    """
    ALTER TABLE accounts ADD COLUMN totp_step INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE sessions ADD COLUMN claimed TEXT;
    ALTER TABLE sessions ADD COLUMN refused INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE pairing_codes (
        session TEXT PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE, code BLOB NOT NULL UNIQUE,
        approved INTEGER NOT NULL DEFAULT 0, account TEXT
    );
    CREATE TABLE given (
        session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE, name TEXT NOT NULL, digest BLOB NOT NULL,
        PRIMARY KEY (session, name)
    ) WITHOUT ROWID
    """,
    """
    DROP INDEX asserted_sessions;
    CREATE INDEX asserted_sessions ON sessions (device, expires) WHERE asserted = 1
    """,
    """
    ALTER TABLE sessions ADD COLUMN auth_time INTEGER;
    ALTER TABLE codes ADD COLUMN redirect_uri TEXT;
    ALTER TABLE codes ADD COLUMN acr TEXT;
    ALTER TABLE codes ADD COLUMN auth_time INTEGER;
    ALTER TABLE families ADD COLUMN acr TEXT;
    ALTER TABLE families ADD COLUMN auth_time INTEGER;
    CREATE TABLE added_clients (
        id TEXT PRIMARY KEY, name TEXT, secret BLOB, redirect_uris TEXT NOT NULL, dpop_bound_access_tokens INTEGER NOT NULL,
        resource TEXT, created INTEGER NOT NULL
    );
    CREATE TABLE pushed_requests (
        digest BLOB PRIMARY KEY, client_id TEXT NOT NULL, fields TEXT NOT NULL, expires INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX pushed_requests_by_client ON pushed_requests (client_id, expires);
    CREATE TABLE consents (
        account TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE, client_id TEXT NOT NULL, resource TEXT NOT NULL,
        scope TEXT NOT NULL, given INTEGER NOT NULL, PRIMARY KEY (account, client_id, resource, scope)
    ) WITHOUT ROWID;
    CREATE TABLE device_grants (
        digest BLOB PRIMARY KEY, user_code BLOB NOT NULL UNIQUE, client_id TEXT NOT NULL, device TEXT NOT NULL,
        asserted INTEGER NOT NULL, jkt TEXT, scope TEXT NOT NULL, resource TEXT NOT NULL, acr TEXT, created INTEGER NOT NULL,
        expires INTEGER NOT NULL, interval_s INTEGER NOT NULL, not_before INTEGER NOT NULL, approved INTEGER, account TEXT,
        auth_time INTEGER, family TEXT
    );
    CREATE INDEX device_grants_by_client ON device_grants (client_id, expires) WHERE approved IS NULL;
    CREATE INDEX device_grants_by_device ON device_grants (device) WHERE approved IS NULL AND asserted = 1
    """,
    """
    DROP TABLE refresh_tokens;
    ALTER TABLE families ADD COLUMN token BLOB;
    ALTER TABLE families ADD COLUMN token_before BLOB;
    ALTER TABLE families ADD COLUMN token_expires INTEGER NOT NULL DEFAULT 0;
    DROP INDEX sessions_by_code_challenge;
    DROP INDEX claimed_sessions;
    CREATE INDEX claimed_sessions ON sessions (client_id, code_challenge) WHERE asserted = 0;
    ALTER TABLE pins RENAME TO pins_by_rowid;
    CREATE TABLE pins (
        holder TEXT PRIMARY KEY, digest BLOB NOT NULL, expires INTEGER NOT NULL, account TEXT
    ) WITHOUT ROWID;
    INSERT INTO pins SELECT holder, digest, expires, account FROM pins_by_rowid;
    DROP TABLE pins_by_rowid
    """,
    """
    DROP TABLE proofs;
    CREATE TABLE proofs (expires INTEGER NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (expires, digest)) WITHOUT ROWID;
    CREATE INDEX owners ON devices (device, owner);
    CREATE INDEX provers ON accounts (name, id, totp, knowledge, totp_step)
    """,
)
