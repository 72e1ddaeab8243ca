-- What enterprises' own nodes tell beside the figures of their days: templates, events, master data and logs. None of
-- it is ever added to our own figures.

-- The list of templates is told whole; the highest revision holds.
ALTER TABLE enterprise_nodes
    ADD COLUMN metadata_revision int4,
    ADD COLUMN metadata_sha256 bytea,
    ADD COLUMN metadata_at timestamptz;

-- number: drawn with those of our own templates, since both go up in the parts of one table, by their numbers.
CREATE TABLE enterprise_node_templates (
    prefix_id int4 NOT NULL REFERENCES prefixes,
    handle text COLLATE "C" NOT NULL,
    number int4 NOT NULL DEFAULT nextval('templates_template_id_seq'),
    document jsonb NOT NULL,                        -- a row of T11
    PRIMARY KEY (prefix_id, handle)
);

-- Rows of M3. told: when it was written into the outbox.
CREATE TABLE enterprise_node_events (
    number int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    prefix_id int4 NOT NULL REFERENCES prefixes,
    event_id text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    document jsonb NOT NULL,
    received timestamptz NOT NULL,
    told timestamptz,
    UNIQUE (prefix_id, event_id)
);
CREATE INDEX enterprise_node_events_received ON enterprise_node_events (prefix_id, received);
CREATE INDEX enterprise_node_events_at ON enterprise_node_events (at);
CREATE INDEX enterprise_node_events_untold ON enterprise_node_events (number) WHERE told IS NULL;

-- Rows of T9 by day and part. added, retired and changed count identifiers, members of ranges among them.
CREATE TABLE enterprise_node_master (
    prefix_id int4 NOT NULL REFERENCES prefixes,
    day date NOT NULL,
    part int4 NOT NULL,
    revision int4 NOT NULL,
    row_count int4 NOT NULL,
    added bigint NOT NULL,
    retired bigint NOT NULL,
    changed bigint NOT NULL,
    content_sha256 bytea NOT NULL,                  -- of the rows as they are kept
    body bytea,                                     -- the rows as lines, gzip; null: forgotten
    size int4 NOT NULL,                             -- bytes of it
    received timestamptz NOT NULL,
    goes_up boolean NOT NULL,                       -- false: the prefix was hosted here, and our own records go
    told_part int4,                                 -- of T9 of that day
    told_revision int4,                             -- ours, of which it was told
    PRIMARY KEY (prefix_id, day, part)
);
CREATE INDEX enterprise_node_master_day ON enterprise_node_master (day);
CREATE INDEX enterprise_node_master_untold ON enterprise_node_master (received)
    WHERE goes_up AND body IS NOT NULL AND told_revision IS DISTINCT FROM revision;

-- Parts of their logs; kind: register or resolve.
CREATE TABLE enterprise_node_logs (
    prefix_id int4 NOT NULL REFERENCES prefixes,
    day date NOT NULL,
    kind text NOT NULL CHECK (kind IN ('register', 'resolve')),
    part int4 NOT NULL,
    revision int4 NOT NULL,
    line_count int4 NOT NULL,
    ok_count int4 NOT NULL,
    timed_count int4 NOT NULL,                      -- lines that say how long the answer took
    total_us bigint NOT NULL,
    longest_us bigint NOT NULL,
    content_sha256 bytea NOT NULL,                  -- of the lines
    body bytea NOT NULL,                            -- the lines, gzip
    size int4 NOT NULL,                             -- bytes of it
    received timestamptz NOT NULL,
    PRIMARY KEY (prefix_id, day, kind, part)
);
CREATE INDEX enterprise_node_logs_day ON enterprise_node_logs (day);
