-- What an operator noted about an event that was seen to.
ALTER TABLE events ADD COLUMN note TEXT NOT NULL DEFAULT '';
