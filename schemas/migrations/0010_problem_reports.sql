-- What people who scanned a code say is wrong with it. They need no account; how to reach them is sealed.
CREATE TABLE problem_reports (
    report_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    prefix_id int4 NOT NULL REFERENCES prefixes,
    suffix_key text COLLATE "C" NOT NULL,
    identifier text NOT NULL,                       -- as it was first written
    kind text NOT NULL,                             -- mismatch, counterfeit, data, damaged, other
    description text NOT NULL,
    contact bytea,                                  -- sealed; null: none was given, or it was forgotten
    state text NOT NULL,                            -- open, in_work, closed
    source_hash bytea NOT NULL,                     -- keyed hash of the address it came from
    created timestamptz NOT NULL,
    changed timestamptz NOT NULL
);
CREATE INDEX problem_reports_of_prefix ON problem_reports (prefix_id, report_id);
CREATE INDEX problem_reports_waiting ON problem_reports (prefix_id, state) WHERE state <> 'closed';
CREATE INDEX problem_reports_of_identifier ON problem_reports (prefix_id, suffix_key, created);
CREATE INDEX problem_reports_of_source ON problem_reports (source_hash, created);

CREATE TABLE problem_report_decisions (
    decision_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    report_id bigint NOT NULL REFERENCES problem_reports,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    state text NOT NULL,
    note text NOT NULL
);
CREATE INDEX problem_report_decisions_of_report ON problem_report_decisions (report_id);
