-- Calls that are made once however often they are sent: who called, the hash of the key they gave, and of what they asked for. Without an
-- answer it was done and nobody knows any more what was said of it.
CREATE TABLE once (
    id           INTEGER PRIMARY KEY,
    caller       TEXT    NOT NULL,
    key          TEXT    NOT NULL,
    request      TEXT    NOT NULL,
    at           INTEGER NOT NULL,
    answer       BLOB,
    UNIQUE (caller, key)
);
CREATE INDEX once_by_time ON once (at);
