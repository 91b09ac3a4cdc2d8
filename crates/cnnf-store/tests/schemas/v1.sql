-- What version 1 of the schema wrote, as a dump.
PRAGMA foreign_keys = OFF;
BEGIN TRANSACTION;
CREATE TABLE counters (
    name        TEXT    NOT NULL PRIMARY KEY,
    value       INTEGER NOT NULL
);
INSERT INTO "counters" VALUES('revision',1);
INSERT INTO "counters" VALUES('rule',1);
INSERT INTO "counters" VALUES('event',1);
CREATE TABLE cursors (
    host        TEXT    NOT NULL PRIMARY KEY REFERENCES hosts (id) ON DELETE CASCADE,
    epoch       TEXT    NOT NULL,
    seq         INTEGER NOT NULL
);
INSERT INTO "cursors" VALUES('h-1','a',1);
CREATE TABLE edges (
    client      TEXT    NOT NULL,
    server      TEXT    NOT NULL,
    protocol    TEXT    NOT NULL,
    port        INTEGER NOT NULL,
    connections INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,
    first_seen  INTEGER NOT NULL,
    last_seen   INTEGER NOT NULL,
    PRIMARY KEY (client, server, protocol, port)
);
INSERT INTO "edges" VALUES('unit:a','unit:b','tcp',80,1,100,100,101);
CREATE TABLE endpoints (
    host        TEXT    NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    service     TEXT    NOT NULL,
    protocol    TEXT    NOT NULL,
    address     TEXT    NOT NULL, -- empty for the wildcard
    port        INTEGER NOT NULL,
    PRIMARY KEY (host, service, protocol, address, port)
);
INSERT INTO "endpoints" VALUES('h-1','unit:b','tcp','',80);
CREATE TABLE events (
    id             INTEGER NOT NULL PRIMARY KEY,
    fold           TEXT    NOT NULL, -- what equal events have in common
    kind           TEXT    NOT NULL,
    client_service TEXT    NOT NULL, -- empty for none; so is model
    server_service TEXT    NOT NULL,
    model          TEXT    NOT NULL,
    connection     TEXT    NOT NULL, -- empty for the system's own events
    host           TEXT    NOT NULL, -- empty for a connection's
    message        TEXT    NOT NULL,
    samples        TEXT    NOT NULL,
    count          INTEGER NOT NULL,
    first_seen     INTEGER NOT NULL,
    last_seen      INTEGER NOT NULL,
    acknowledged   INTEGER NOT NULL
);
INSERT INTO "events" VALUES(1,'rule_alertunit:aunit:btcp80rule 1','rule_alert','unit:a','unit:b','','{"Connection":{"client":{"service":"unit:a","host":null,"address":"10.0.0.1","port":0},"server":{"service":"unit:b","host":null,"address":"10.0.0.2","port":80},"protocol":"tcp","reason":{"Rule":{"id":1,"name":"watch","revision":1}},"side":"Client"}}','','','[{"pid":3,"exe":"/usr/bin/curl","cmdline":"","user":"","unit":"","cgroup":"","missing":""},{"pid":2,"exe":"/usr/bin/curl","cmdline":"","user":"","unit":"","cgroup":"","missing":""},{"pid":1,"exe":"/usr/bin/curl","cmdline":"","user":"","unit":"","cgroup":"","missing":""}]',3,200,202,0);
CREATE TABLE generations (
    host        TEXT    NOT NULL PRIMARY KEY REFERENCES hosts (id) ON DELETE CASCADE,
    generation  INTEGER NOT NULL,
    content     TEXT    NOT NULL
);
INSERT INTO "generations" VALUES('h-1',3,'hash');
CREATE TABLE host_addresses (
    host        TEXT    NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    address     TEXT    NOT NULL,
    PRIMARY KEY (host, address)
);
INSERT INTO "host_addresses" VALUES('h-1','10.0.0.1');
CREATE TABLE hosts (
    id          TEXT    NOT NULL PRIMARY KEY,
    name        TEXT    NOT NULL UNIQUE,
    labels      TEXT    NOT NULL,
    mode        TEXT    NOT NULL,
    serial      TEXT    NOT NULL,
    revoked     INTEGER NOT NULL,
    created     INTEGER NOT NULL,
    last_seen   INTEGER NOT NULL,
    version     TEXT    NOT NULL
);
INSERT INTO "hosts" VALUES('h-1','h-1','{"env":"prod"}','observe','01ab',0,10,101,'');
CREATE TABLE instances (
    host        TEXT    NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    service     TEXT    NOT NULL,
    live        INTEGER NOT NULL,
    PRIMARY KEY (host, service)
);
INSERT INTO "instances" VALUES('h-1','unit:b',1);
CREATE TABLE model_edges (
    service     TEXT    NOT NULL REFERENCES models (service) ON DELETE CASCADE,
    client      TEXT    NOT NULL,
    server      TEXT    NOT NULL,
    protocol    TEXT    NOT NULL,
    port        INTEGER NOT NULL,
    connections INTEGER NOT NULL,
    first_seen  INTEGER NOT NULL,
    last_seen   INTEGER NOT NULL,
    PRIMARY KEY (service, client, server, protocol, port)
);
INSERT INTO "model_edges" VALUES('unit:b','unit:a','unit:b','tcp',80,3,1,2);
CREATE TABLE models (
    service     TEXT    NOT NULL PRIMARY KEY,
    phase       TEXT    NOT NULL,
    since       INTEGER NOT NULL,
    observed_ms INTEGER NOT NULL,
    runs        INTEGER NOT NULL,
    last_live   INTEGER NOT NULL,
    live        INTEGER NOT NULL,
    connections INTEGER NOT NULL,
    effect      TEXT    NOT NULL, -- empty for the global one
    resume      TEXT    NOT NULL
);
INSERT INTO "models" VALUES('unit:b','learning',100,0,0,100,0,0,'','learning');
CREATE TABLE objects (
    name        TEXT    NOT NULL PRIMARY KEY,
    addresses   TEXT    NOT NULL
);
INSERT INTO "objects" VALUES('office','["10.8.0.0/16"]');
CREATE TABLE refinery_schema_history(
             version int4 PRIMARY KEY,
             name VARCHAR(255),
             applied_on VARCHAR(255),
             checksum VARCHAR(255));
INSERT INTO "refinery_schema_history" VALUES(1,'initial','2026-11-24T07:56:13.119548465Z','10965476560802719660');
CREATE TABLE rules (
    id          INTEGER NOT NULL PRIMARY KEY,
    position    INTEGER NOT NULL,
    body        TEXT    NOT NULL,
    hits        INTEGER NOT NULL,
    last_used   INTEGER NOT NULL -- 0 for never
);
INSERT INTO "rules" VALUES(1,0,'{"id":1,"name":"watch","enabled":true,"source":"Any","destination":{"Service":{"pattern":"unit:b","labels":{}}},"ports":["tcp/80"],"effect":"alert","on_failure":"open","learned_allow":false,"expires_at":null,"owner":"","ticket":"","notes":"","revision":1}',3,202);
CREATE TABLE service_modes (
    service     TEXT    NOT NULL PRIMARY KEY,
    mode        TEXT    NOT NULL
);
INSERT INTO "service_modes" VALUES('unit:b','enforce');
CREATE TABLE settings (
    name        TEXT    NOT NULL PRIMARY KEY,
    value       TEXT    NOT NULL
);
INSERT INTO "settings" VALUES('learn_for','5s');
CREATE TABLE tokens (
    secret_hash TEXT    NOT NULL PRIMARY KEY,
    created     INTEGER NOT NULL,
    expires     INTEGER NOT NULL,
    uses_left   INTEGER NOT NULL
);
INSERT INTO "tokens" VALUES('token of h-1',1,1000,0);
CREATE INDEX events_by_fold ON events (fold, last_seen);
CREATE INDEX events_by_time ON events (last_seen, id);
COMMIT;
