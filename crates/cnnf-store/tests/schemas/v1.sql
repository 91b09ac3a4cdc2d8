-- What version 1 of the schema wrote, as a dump.
BEGIN TRANSACTION;
COMMIT;
