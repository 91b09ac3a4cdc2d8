-- Where operators are told of events, and how far each is.
CREATE TABLE channels (
    name         TEXT    NOT NULL PRIMARY KEY,
    body         TEXT    NOT NULL, -- what it is, with its secrets; the controller's business
    changed_by   TEXT    NOT NULL,
    changed      INTEGER NOT NULL,
    told         INTEGER NOT NULL, -- events up to this number are told, or do not concern it
    tried        INTEGER NOT NULL, -- a message with events up to this number may have arrived
    sent         INTEGER NOT NULL,
    folded       INTEGER NOT NULL,
    last_success INTEGER NOT NULL, -- 0 for never
    last_error   TEXT    NOT NULL, -- empty once a message arrived
    last_failure INTEGER NOT NULL
);
