-- Who watches events goes on from the newest change that they have seen.
ALTER TABLE events ADD COLUMN change INTEGER NOT NULL DEFAULT 0;
CREATE INDEX events_by_change ON events (change);
INSERT INTO counters (name, value) VALUES ('event_change', 0);
