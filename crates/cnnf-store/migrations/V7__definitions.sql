-- What operators call services, and what those are called without.
CREATE TABLE definitions (
    name        TEXT    NOT NULL PRIMARY KEY,
    position    INTEGER NOT NULL,
    body        TEXT    NOT NULL,
    changed_by  TEXT    NOT NULL,
    changed     INTEGER NOT NULL
);

INSERT INTO counters (name, value) VALUES ('definitions', 0);

ALTER TABLE instances ADD COLUMN natural TEXT NOT NULL DEFAULT '[]';
