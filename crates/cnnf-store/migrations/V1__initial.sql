-- Times are milliseconds since the epoch. Peers, protocols and services are in the text forms of their types.

CREATE TABLE hosts (
    id          TEXT    NOT NULL PRIMARY KEY,
    name        TEXT    NOT NULL UNIQUE,
    labels      TEXT    NOT NULL,
    mode        TEXT    NOT NULL,
    serial      TEXT    NOT NULL,
    revoked     INTEGER NOT NULL,
    created     INTEGER NOT NULL,
    last_seen   INTEGER NOT NULL,
    version     TEXT    NOT NULL
);

CREATE TABLE host_addresses (
    host        TEXT    NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    address     TEXT    NOT NULL,
    PRIMARY KEY (host, address)
);

CREATE TABLE instances (
    host        TEXT    NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    service     TEXT    NOT NULL,
    live        INTEGER NOT NULL,
    PRIMARY KEY (host, service)
);

CREATE TABLE endpoints (
    host        TEXT    NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    service     TEXT    NOT NULL,
    protocol    TEXT    NOT NULL,
    address     TEXT    NOT NULL, -- empty for the wildcard
    port        INTEGER NOT NULL,
    PRIMARY KEY (host, service, protocol, address, port)
);

-- The newest report of each host that was taken in.
CREATE TABLE cursors (
    host        TEXT    NOT NULL PRIMARY KEY REFERENCES hosts (id) ON DELETE CASCADE,
    epoch       TEXT    NOT NULL,
    seq         INTEGER NOT NULL
);

-- The newest policy of each host, by the hash of its content.
CREATE TABLE generations (
    host        TEXT    NOT NULL PRIMARY KEY REFERENCES hosts (id) ON DELETE CASCADE,
    generation  INTEGER NOT NULL,
    content     TEXT    NOT NULL
);

CREATE TABLE tokens (
    secret_hash TEXT    NOT NULL PRIMARY KEY,
    created     INTEGER NOT NULL,
    expires     INTEGER NOT NULL,
    uses_left   INTEGER NOT NULL
);

CREATE TABLE edges (
    client      TEXT    NOT NULL,
    server      TEXT    NOT NULL,
    protocol    TEXT    NOT NULL,
    port        INTEGER NOT NULL,
    connections INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,
    first_seen  INTEGER NOT NULL,
    last_seen   INTEGER NOT NULL,
    PRIMARY KEY (client, server, protocol, port)
);

CREATE TABLE models (
    service     TEXT    NOT NULL PRIMARY KEY,
    phase       TEXT    NOT NULL,
    since       INTEGER NOT NULL,
    observed_ms INTEGER NOT NULL,
    runs        INTEGER NOT NULL,
    last_live   INTEGER NOT NULL,
    live        INTEGER NOT NULL,
    connections INTEGER NOT NULL,
    effect      TEXT    NOT NULL, -- empty for the global one
    resume      TEXT    NOT NULL
);

CREATE TABLE model_edges (
    service     TEXT    NOT NULL REFERENCES models (service) ON DELETE CASCADE,
    client      TEXT    NOT NULL,
    server      TEXT    NOT NULL,
    protocol    TEXT    NOT NULL,
    port        INTEGER NOT NULL,
    connections INTEGER NOT NULL,
    first_seen  INTEGER NOT NULL,
    last_seen   INTEGER NOT NULL,
    PRIMARY KEY (service, client, server, protocol, port)
);

CREATE TABLE rules (
    id          INTEGER NOT NULL PRIMARY KEY,
    position    INTEGER NOT NULL,
    body        TEXT    NOT NULL,
    hits        INTEGER NOT NULL,
    last_used   INTEGER NOT NULL -- 0 for never
);

CREATE TABLE objects (
    name        TEXT    NOT NULL PRIMARY KEY,
    addresses   TEXT    NOT NULL
);

CREATE TABLE service_modes (
    service     TEXT    NOT NULL PRIMARY KEY,
    mode        TEXT    NOT NULL
);

CREATE TABLE settings (
    name        TEXT    NOT NULL PRIMARY KEY,
    value       TEXT    NOT NULL
);

-- "revision": of the rules. "rule": the newest rule's number. "event": the newest event's number.
CREATE TABLE counters (
    name        TEXT    NOT NULL PRIMARY KEY,
    value       INTEGER NOT NULL
);
INSERT INTO counters (name, value) VALUES ('revision', 0), ('rule', 0), ('event', 0);

CREATE TABLE events (
    id             INTEGER NOT NULL PRIMARY KEY,
    fold           TEXT    NOT NULL, -- what equal events have in common
    kind           TEXT    NOT NULL,
    client_service TEXT    NOT NULL, -- empty for none; so is model
    server_service TEXT    NOT NULL,
    model          TEXT    NOT NULL,
    connection     TEXT    NOT NULL, -- empty for the system's own events
    host           TEXT    NOT NULL, -- empty for a connection's
    message        TEXT    NOT NULL,
    samples        TEXT    NOT NULL,
    count          INTEGER NOT NULL,
    first_seen     INTEGER NOT NULL,
    last_seen      INTEGER NOT NULL,
    acknowledged   INTEGER NOT NULL
);
CREATE INDEX events_by_fold ON events (fold, last_seen);
CREATE INDEX events_by_time ON events (last_seen, id);
