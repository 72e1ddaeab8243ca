-- Plans: what a district or its towns and parks shall reach, and figures the node does not measure, entered by hand.

CREATE TABLE plans (
    plan_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    actor text NOT NULL,                            -- who loaded it last
    loaded timestamptz NOT NULL
);

-- A target is of a division, or of a unit below it. Without period_start it is a state on the deadline.
CREATE TABLE plan_targets (
    plan_id int4 NOT NULL REFERENCES plans ON DELETE CASCADE,
    position int4 NOT NULL,                         -- the order of the file
    area text NOT NULL,                             -- as the file names it
    division_code text NOT NULL,
    unit_id int4 REFERENCES units,
    indicator text NOT NULL,
    comparison text NOT NULL CHECK (comparison IN ('>=', '>')),
    counted_in text NOT NULL,                       -- enterprises, sites, …
    period_start date,
    deadline date NOT NULL,
    target bigint NOT NULL,
    PRIMARY KEY (plan_id, position)
);

-- Append-only: the last entry on a day stands, the ones before it stay visible.
CREATE TABLE plan_entries (
    entry_id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    plan_id int4 NOT NULL REFERENCES plans ON DELETE CASCADE,
    division_code text NOT NULL,
    unit_id int4 REFERENCES units,
    indicator text NOT NULL,
    day date NOT NULL,                              -- the day the figure is of
    value bigint NOT NULL CHECK (value >= 0),
    note text NOT NULL,
    actor text NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX plan_entries_of_plan ON plan_entries (plan_id, indicator, day);
