-- What was decided about a model is read with it.
CREATE INDEX audit_by_subject ON audit (subject);
