-- By which CA a host's newest certificate is signed (SHA-256 of the CA's, hex; empty: by the one before a change was possible) and until
-- when it holds.
ALTER TABLE hosts ADD COLUMN issuer TEXT NOT NULL DEFAULT '';
ALTER TABLE hosts ADD COLUMN certificate_ends INTEGER NOT NULL DEFAULT 0;

-- Labels that a token gives to its hosts, whatever they say themselves.
ALTER TABLE tokens ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';
ALTER TABLE hosts ADD COLUMN bound_labels TEXT NOT NULL DEFAULT '{}';
