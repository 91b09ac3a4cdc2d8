-- Changes of rules and objects, by whom and why. "change" leads from the revision before to this one, and back.
CREATE TABLE revisions (
    revision    INTEGER NOT NULL PRIMARY KEY,
    at          INTEGER NOT NULL,
    who         TEXT    NOT NULL,
    why         TEXT    NOT NULL,
    summary     TEXT    NOT NULL,
    size        INTEGER NOT NULL, -- bytes of change
    change      TEXT    NOT NULL
);
