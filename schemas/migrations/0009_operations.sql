-- Alarms of all machines: one open row for one cause and subject, kept when it is over. What decides is a file of the
-- machine, since an alarm must go out while this database is away; the rows are for lists and pages.
CREATE TABLE alarms (
    alarm_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    machine text NOT NULL,
    cause text NOT NULL,                            -- a key of CAUSES in node/alarms.py
    subject text NOT NULL DEFAULT '',               -- which worker, disk or certificate
    raised timestamptz NOT NULL,
    sent timestamptz,                               -- when somebody was told last
    cleared timestamptz,
    details jsonb NOT NULL DEFAULT '{}'
);
CREATE UNIQUE INDEX alarms_open ON alarms (machine, cause, subject) WHERE cleared IS NULL;
CREATE INDEX alarms_by_time ON alarms (raised);
