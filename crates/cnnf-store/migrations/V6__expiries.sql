-- Up to when operators were told of rules that expire, in milliseconds since the epoch; 0 for never.
INSERT INTO counters (name, value) VALUES ('expiries', 0);
