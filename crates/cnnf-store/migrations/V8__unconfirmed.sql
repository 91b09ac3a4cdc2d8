-- The change of the rules that is undone at its deadline unless it is confirmed: at most one, and always the newest.
CREATE TABLE unconfirmed (
    revision    INTEGER NOT NULL PRIMARY KEY,
    base        INTEGER NOT NULL, -- rules and objects become what they were after this revision
    who         TEXT    NOT NULL,
    at          INTEGER NOT NULL,
    until       INTEGER NOT NULL
);

-- What became of a change that had to be confirmed.
ALTER TABLE revisions ADD COLUMN note TEXT NOT NULL DEFAULT '';
