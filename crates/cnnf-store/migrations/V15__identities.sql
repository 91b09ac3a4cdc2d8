-- Who signs in elsewhere: what a provider knows a user by. It goes with its user.
CREATE TABLE identities (
    issuer       TEXT    NOT NULL,
    subject      TEXT    NOT NULL,
    user         TEXT    NOT NULL UNIQUE REFERENCES users (name) ON DELETE CASCADE,
    PRIMARY KEY (issuer, subject)
);
