-- Who signs in, with what, and what they changed.
CREATE TABLE users (
    name         TEXT    NOT NULL PRIMARY KEY,
    role         TEXT    NOT NULL,
    password     TEXT    NOT NULL, -- its hash in the PHC form; empty for one who signs in elsewhere
    must_change  INTEGER NOT NULL,
    disabled     INTEGER NOT NULL,
    created      INTEGER NOT NULL,
    last_sign_in INTEGER NOT NULL -- 0 for never
);

CREATE TABLE sessions (
    secret_hash  TEXT    NOT NULL PRIMARY KEY,
    user         TEXT    NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    created      INTEGER NOT NULL,
    last_used    INTEGER NOT NULL
);

CREATE TABLE api_tokens (
    name         TEXT    NOT NULL PRIMARY KEY,
    secret_hash  TEXT    NOT NULL UNIQUE,
    role         TEXT    NOT NULL,
    created_by   TEXT    NOT NULL,
    created      INTEGER NOT NULL,
    expires      INTEGER NOT NULL,
    last_used    INTEGER NOT NULL -- 0 for never
);

-- Only ever added to. Each hash is over the one before it and its own row.
CREATE TABLE audit (
    id           INTEGER NOT NULL PRIMARY KEY,
    at           INTEGER NOT NULL,
    actor        TEXT    NOT NULL,
    via          TEXT    NOT NULL,
    address      TEXT    NOT NULL,
    action       TEXT    NOT NULL,
    subject      TEXT    NOT NULL,
    before       TEXT    NOT NULL,
    after        TEXT    NOT NULL,
    hash         TEXT    NOT NULL
);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN SELECT raise(ABORT, 'the audit log is only added to'); END;
CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit BEGIN SELECT raise(ABORT, 'the audit log is only added to'); END;

-- "audit": the newest entry's number.
INSERT INTO counters (name, value) VALUES ('audit', 0);
