-- Learning that was started by hand, how long what is counted was counted, and how each edge came into a model.
ALTER TABLE models ADD COLUMN manual INTEGER NOT NULL DEFAULT 0;
ALTER TABLE models ADD COLUMN live_since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE models ADD COLUMN exposed_ms INTEGER NOT NULL DEFAULT 0;
UPDATE models SET exposed_ms = observed_ms, live_since = last_live;
ALTER TABLE model_edges ADD COLUMN origin TEXT NOT NULL DEFAULT 'learned';
