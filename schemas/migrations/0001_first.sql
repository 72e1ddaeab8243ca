-- The first schema. PostgreSQL >= 15. Large tables are hash-partitioned by prefix_id and could be distributed by it:
-- nothing unique or referenced crosses a prefix, and no sequence is drawn per row.

-- The change log -------------------------------------------------------------------------------------------------

-- One row: which log this is (new after a restore), the last position given, and the last link of the chain.
CREATE TABLE change_log (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    log_id uuid NOT NULL DEFAULT gen_random_uuid(),
    position bigint NOT NULL DEFAULT 0,
    link bytea NOT NULL DEFAULT ''
);
INSERT INTO change_log DEFAULT VALUES;

-- kind: 1 created, 2 changed, 3 retired, 4 restored, 5 frozen, 6 unfrozen, 7 range created, 8 range changed,
-- 9 prefix, 10 template, 11 grant, 12 enterprise. What was touched, never its content.
CREATE TABLE changes_pending (
    pending_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind smallint NOT NULL,
    prefix_id int4 NOT NULL,
    template_id int4 NOT NULL DEFAULT 0,
    old_template_id int4,                      -- where a change moved records to another template
    suffix_keys text[] COLLATE "C" NOT NULL DEFAULT '{}',
    members bigint NOT NULL DEFAULT 0,         -- identifiers touched: the suffixes, or the members of a range
    at timestamptz NOT NULL,                   -- time of the records, not of the numbering
    actor text NOT NULL,
    reason text NOT NULL DEFAULT ''
);

CREATE TABLE changes (
    position bigint PRIMARY KEY,
    kind smallint NOT NULL,
    prefix_id int4 NOT NULL,
    template_id int4 NOT NULL,
    old_template_id int4,
    suffix_keys text[] COLLATE "C" NOT NULL,
    members bigint NOT NULL,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    link bytea NOT NULL                        -- sha256 of the link before and of this entry
);

-- Moves what has committed into the numbered log. Positions are given after commit, by one process at a time: an
-- identity column would let a smaller number appear after a reader has moved past it. The lock and the move must
-- be two statements (each sees what was committed before it began), which a VOLATILE function guarantees.
CREATE FUNCTION number_changes() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    entry changes_pending%ROWTYPE;
    last_position bigint;
    last_link bytea;
    moved bigint := 0;
BEGIN
    IF NOT EXISTS (SELECT FROM changes_pending) THEN
        RETURN 0;
    END IF;
    IF NOT pg_try_advisory_xact_lock(7241001) THEN
        RETURN 0;
    END IF;
    SELECT position, link INTO last_position, last_link FROM change_log FOR UPDATE;
    FOR entry IN
        WITH taken AS (
            DELETE FROM changes_pending
            WHERE pending_id IN (SELECT pending_id FROM changes_pending ORDER BY pending_id LIMIT 1000)
            RETURNING *)
        SELECT * FROM taken ORDER BY pending_id
    LOOP
        last_position := last_position + 1;
        last_link := sha256(last_link || convert_to(concat_ws('|', last_position, entry.kind, entry.prefix_id,
            entry.template_id, coalesce(entry.old_template_id, -1), entry.members,
            extract(epoch FROM entry.at), entry.actor, entry.reason, entry.suffix_keys::text), 'UTF8'));
        INSERT INTO changes VALUES (last_position, entry.kind, entry.prefix_id, entry.template_id,
            entry.old_template_id, entry.suffix_keys, entry.members, entry.at, entry.actor, entry.reason, last_link);
        moved := moved + 1;
    END LOOP;
    UPDATE change_log SET position = last_position, link = last_link;
    RETURN moved;
END $$;

-- Enterprises ----------------------------------------------------------------------------------------------------

-- A town or park an enterprise reports under; siblings below one division.
CREATE TABLE units (
    unit_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    division_code text NOT NULL,
    name text NOT NULL,
    UNIQUE (division_code, name)
);

-- state: 0 draft, 1 pending, 2 reviewing, 3 approved, 4 refused, 5 suspended, 6 closed, 7 change pending
CREATE TABLE enterprises (
    enterprise_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    certificate_type smallint NOT NULL DEFAULT 1,   -- 1 unified social credit code, 2 other
    certificate_code text NOT NULL,
    name text NOT NULL,
    state smallint NOT NULL DEFAULT 0,
    verification smallint NOT NULL DEFAULT 0,       -- 0 none, 1 pending, 2 pass, 3 fail, 4 unavailable
    connected_on date,                              -- from the file, or the day a prefix was first enabled
    dossier jsonb NOT NULL DEFAULT '{}',            -- what may be read by who reads the enterprise
    personal bytea,                                 -- contacts and legal person, sealed (schemas.sealing)
    proposed bytea,                                 -- the dossier that waits in state 7, sealed
    missing text[] NOT NULL DEFAULT '{}',           -- the to-do list: fields a complete dossier needs
    registered_capital_yuan bigint,
    created timestamptz NOT NULL,
    changed timestamptz NOT NULL,
    revision int4 NOT NULL DEFAULT 1,
    UNIQUE (certificate_type, certificate_code)
);

-- Where an enterprise belonged and when; the open row is the present. to_day is exclusive.
CREATE TABLE placements (
    enterprise_id int4 NOT NULL REFERENCES enterprises,
    from_day date NOT NULL,
    to_day date,
    division_code text NOT NULL,                    -- empty: not known yet
    unit_id int4 REFERENCES units,                  -- null: reports to no unit
    industry text[] NOT NULL,                       -- four codes of GB/T 4754, or empty
    PRIMARY KEY (enterprise_id, from_day)
);

CREATE TABLE tags (
    tag_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,                             -- above_scale, industrial_chain, pilot_batch, …
    name text NOT NULL,
    UNIQUE (kind, name)
);
CREATE TABLE enterprise_tags (
    enterprise_id int4 NOT NULL REFERENCES enterprises,
    tag_id int4 NOT NULL REFERENCES tags,
    PRIMARY KEY (enterprise_id, tag_id)
);

-- Applications and what was decided on them; prefix is null where the enterprise itself is meant. decision: a key of
-- ENTERPRISE_DECISIONS or PREFIX_DECISIONS in schemas, or moved, transferred, hosting, tags, verification, revealed.
CREATE TABLE decisions (
    decision_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    enterprise_id int4 NOT NULL REFERENCES enterprises,
    prefix text,
    decision text NOT NULL,
    reason text NOT NULL DEFAULT '',
    actor text NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX decisions_of_enterprise ON decisions (enterprise_id, decision_id);

-- Prefixes -------------------------------------------------------------------------------------------------------

-- state: 0 stopped, 1 enabled, 2 to be deleted, 3 refused, 4 pending, 5 reviewing; hosting: 1 not hosted, 2 applied,
-- 3 refused, 4 hosted. site: HS_SITE record (handle-protocol 3.4) of an enterprise that runs its own server.
CREATE TABLE prefixes (
    prefix_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    prefix text COLLATE "C" NOT NULL UNIQUE,
    scheme text NOT NULL DEFAULT 'handle' CHECK (scheme IN ('handle', 'oid')),
    folds_case boolean NOT NULL DEFAULT true,
    state smallint NOT NULL,
    hosting smallint NOT NULL DEFAULT 4,
    site bytea,
    created timestamptz NOT NULL,
    changed timestamptz NOT NULL,
    enabled_on date
);

-- Counters belong to the owner of that day. to_day is exclusive.
CREATE TABLE prefix_owners (
    prefix_id int4 NOT NULL REFERENCES prefixes,
    enterprise_id int4 NOT NULL REFERENCES enterprises,
    from_day date NOT NULL,
    to_day date,
    PRIMARY KEY (prefix_id, from_day)
);
CREATE INDEX prefix_owners_of_enterprise ON prefix_owners (enterprise_id);

CREATE TABLE access_keys (
    access_key text PRIMARY KEY,
    secret_hash bytea NOT NULL,                     -- sha256 of a random secret of 256 bits
    enterprise_id int4 REFERENCES enterprises,      -- null: acts for the operator
    note text NOT NULL DEFAULT '',
    created timestamptz NOT NULL,
    revoked timestamptz
);
CREATE INDEX access_keys_of_enterprise ON access_keys (enterprise_id);

-- Organisations an enterprise has named as partners, prefix by prefix; they need not be enterprises of the node.
CREATE TABLE grants (
    prefix_id int4 NOT NULL REFERENCES prefixes,
    organisation text NOT NULL,                     -- unified social credit code
    created timestamptz NOT NULL,
    revoked timestamptz,
    PRIMARY KEY (prefix_id, organisation, created)
);

-- Templates ------------------------------------------------------------------------------------------------------

CREATE TABLE templates (
    template_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    prefix_id int4 NOT NULL REFERENCES prefixes,
    version text NOT NULL,
    suffix_key text COLLATE "C" NOT NULL,           -- of the template's own record, which counts as no registration
    document jsonb NOT NULL,                        -- as schemas.templates formats it
    created timestamptz NOT NULL,
    changed timestamptz NOT NULL,
    deleted timestamptz,                            -- the row stays: a version never gets another meaning
    UNIQUE (prefix_id, version),
    UNIQUE (prefix_id, suffix_key)
);

-- Records --------------------------------------------------------------------------------------------------------

-- One row per identifier, for ever. state: 0 live, 1 frozen, 2 retired. suffix is null where it equals its key.
-- from_range: a member that got a record of its own; its range has counted it.
CREATE TABLE records (
    created timestamptz NOT NULL,
    changed timestamptz NOT NULL,
    prefix_id int4 NOT NULL,
    revision int4 NOT NULL DEFAULT 1,
    template_id int4 NOT NULL DEFAULT 0,
    state smallint NOT NULL DEFAULT 0,
    from_range boolean NOT NULL DEFAULT false,
    suffix_key text COLLATE "C" NOT NULL,
    suffix text COLLATE "C",
    packed bytea NOT NULL,
    note text,
    PRIMARY KEY (prefix_id, suffix_key)
) PARTITION BY HASH (prefix_id);

-- What a record was until `until`. A created record that never changed has no row here.
CREATE TABLE record_history (
    until timestamptz NOT NULL,
    since timestamptz NOT NULL,
    prefix_id int4 NOT NULL,
    revision int4 NOT NULL,
    template_id int4 NOT NULL,
    state smallint NOT NULL,
    action smallint NOT NULL,                       -- kind of the change that ended this revision
    suffix_key text COLLATE "C" NOT NULL,
    packed bytea NOT NULL,
    note text,
    actor text NOT NULL,                            -- who ended it
    reason text NOT NULL DEFAULT '',
    PRIMARY KEY (prefix_id, suffix_key, revision)
) PARTITION BY HASH (prefix_id);

CREATE TABLE ranges (
    prefix_id int4 NOT NULL,
    head_key text COLLATE "C" NOT NULL,
    width smallint NOT NULL,
    checked boolean NOT NULL DEFAULT false,
    first bigint NOT NULL,
    last bigint NOT NULL CHECK (last >= first),
    head text COLLATE "C" NOT NULL,
    template_id int4 NOT NULL,
    state smallint NOT NULL DEFAULT 0,
    revision int4 NOT NULL DEFAULT 1,
    created timestamptz NOT NULL,
    changed timestamptz NOT NULL,
    packed bytea NOT NULL,
    note text,
    PRIMARY KEY (prefix_id, head_key, width, checked, first)
) PARTITION BY HASH (prefix_id);

CREATE TABLE range_history (
    until timestamptz NOT NULL,
    since timestamptz NOT NULL,
    prefix_id int4 NOT NULL,
    head_key text COLLATE "C" NOT NULL,
    width smallint NOT NULL,
    checked boolean NOT NULL,
    first bigint NOT NULL,
    last bigint NOT NULL,
    revision int4 NOT NULL,
    template_id int4 NOT NULL,
    state smallint NOT NULL,
    action smallint NOT NULL,
    packed bytea NOT NULL,
    note text,
    actor text NOT NULL,
    reason text NOT NULL DEFAULT '',
    PRIMARY KEY (prefix_id, head_key, width, checked, first, revision)
) PARTITION BY HASH (prefix_id);

-- Counters -------------------------------------------------------------------------------------------------------

-- Registrations by day (UTC+8) of the record's created time; total and live are sums over days.
CREATE TABLE registration_counts (
    prefix_id int4 NOT NULL,
    day date NOT NULL,
    template_id int4 NOT NULL,
    registered bigint NOT NULL DEFAULT 0,           -- rows
    range_minted bigint NOT NULL DEFAULT 0,         -- members of ranges
    retired bigint NOT NULL DEFAULT 0,
    restored bigint NOT NULL DEFAULT 0,
    moved bigint NOT NULL DEFAULT 0,                -- net records that came from other templates
    PRIMARY KEY (prefix_id, day, template_id)
) PARTITION BY HASH (prefix_id);

-- prefix_id 0: identifiers of prefixes that are not ours. transport, outcome, client_class: schemas.resolution_log.
CREATE TABLE resolution_counts (
    prefix_id int4 NOT NULL,
    day date NOT NULL,
    hour smallint NOT NULL,
    template_id int4 NOT NULL,
    transport smallint NOT NULL,
    outcome smallint NOT NULL,
    client_class smallint NOT NULL,
    answers bigint NOT NULL,
    PRIMARY KEY (prefix_id, day, hour, template_id, transport, outcome, client_class)
) PARTITION BY HASH (prefix_id);

-- The same by day alone, for pages and reports. uncounted: answers to classes that are shown apart.
CREATE TABLE resolution_days (
    prefix_id int4 NOT NULL,
    day date NOT NULL,
    template_id int4 NOT NULL,
    resolutions bigint NOT NULL,
    resolutions_ok bigint NOT NULL,
    uncounted bigint NOT NULL,
    PRIMARY KEY (prefix_id, day, template_id)
) PARTITION BY HASH (prefix_id);

-- The first 1,000 addresses of a prefix, day and client class by name, the rest as '::'; their sum is all answers of
-- that class, and the sum of the counted classes is `resolutions`.
CREATE TABLE resolution_clients (
    prefix_id int4 NOT NULL,
    day date NOT NULL,
    client_class smallint NOT NULL,
    address inet NOT NULL,
    answers bigint NOT NULL,
    PRIMARY KEY (prefix_id, day, client_class, address)
) PARTITION BY HASH (prefix_id);

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['records', 'record_history', 'ranges', 'range_history', 'registration_counts',
                                'resolution_counts', 'resolution_days', 'resolution_clients'] LOOP
        FOR part IN 0..15 LOOP
            EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS 16, REMAINDER %s)',
                           name || '_' || part, name, part);
        END LOOP;
    END LOOP;
END $$;

-- How far the agent has counted: the change log (one row), and each segment of the resolution log.
CREATE TABLE counted_changes (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    log_id uuid NOT NULL,
    position bigint NOT NULL
);
-- directory: which log directory (of several machines) it stands in. state: open (may get more), closed (all counted),
-- compressed, purged, damaged (counted up to what cannot be read), lost (the file is gone).
CREATE TABLE counted_segments (
    name text PRIMARY KEY,
    directory uuid NOT NULL,
    counted_bytes bigint NOT NULL,
    records bigint NOT NULL,
    first_at timestamptz,
    last_at timestamptz,
    state text NOT NULL DEFAULT 'open',
    changed timestamptz NOT NULL
);
-- Times for which the resolution log is known to lack answers. reason: no_room (answered while the disk was full),
-- damaged, lost, purged_for_room. missing is null where nobody can know.
CREATE TABLE log_gaps (
    gap_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    segment text NOT NULL,
    reason text NOT NULL,
    from_at timestamptz,
    to_at timestamptz,
    missing bigint,
    details text NOT NULL DEFAULT '',
    UNIQUE (segment, reason)
);

-- Jobs -----------------------------------------------------------------------------------------------------------

-- state: queued, running, done, failed, cancelled
CREATE TABLE jobs (
    job_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind text NOT NULL,
    prefix_id int4 NOT NULL,
    template_id int4 NOT NULL,
    file_name text NOT NULL,
    file_sha256 bytea NOT NULL,
    options jsonb NOT NULL,
    state text NOT NULL DEFAULT 'queued',
    rows_done bigint NOT NULL DEFAULT 0,            -- rows whose outcome is stored
    last_row bigint NOT NULL DEFAULT 0,             -- number of the last of them in the file
    rows_total bigint,
    counts jsonb NOT NULL DEFAULT '{}',
    summary jsonb NOT NULL DEFAULT '{}',
    error jsonb,
    actor text NOT NULL,
    created timestamptz NOT NULL,
    changed timestamptz NOT NULL,
    finished timestamptz
);
CREATE INDEX jobs_open ON jobs (created) WHERE state IN ('queued', 'running');

-- The outcome of every row, chunk by chunk: JSON lines [row, outcome, identifier, code, details], compressed.
CREATE TABLE job_chunks (
    job_id uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
    chunk int4 NOT NULL,
    outcomes bytea NOT NULL,
    PRIMARY KEY (job_id, chunk)
);

-- Answers to requests that carried an Idempotency-Key, kept 7 days per account and route.
CREATE TABLE idempotency (
    account text NOT NULL,
    route text NOT NULL,
    key text NOT NULL,
    body_sha256 bytea NOT NULL,
    status smallint NOT NULL,
    answer bytea NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (account, route, key)
);
CREATE INDEX idempotency_by_age ON idempotency (at);

-- What the node holds: real enterprises or the demonstration, never both.
CREATE TABLE node_facts (
    name text PRIMARY KEY,
    value text NOT NULL
);
