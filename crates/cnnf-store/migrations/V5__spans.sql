-- What was counted for each edge by the hour, and by the day once that is old.
CREATE TABLE edge_names (
    id          INTEGER NOT NULL PRIMARY KEY,
    client      TEXT    NOT NULL,
    server      TEXT    NOT NULL,
    protocol    TEXT    NOT NULL,
    port        INTEGER NOT NULL,
    UNIQUE (client, server, protocol, port)
);

CREATE TABLE edge_spans (
    edge        INTEGER NOT NULL REFERENCES edge_names (id) ON DELETE CASCADE,
    width       INTEGER NOT NULL, -- 3600000 or 86400000
    start       INTEGER NOT NULL, -- a whole number of widths
    connections INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,
    first_seen  INTEGER NOT NULL,
    last_seen   INTEGER NOT NULL,
    PRIMARY KEY (edge, width, start)
);
CREATE INDEX edge_spans_by_time ON edge_spans (width, start);
