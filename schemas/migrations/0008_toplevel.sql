-- Reports to the top-level node: the outbox, what was answered, and the keys that sign.

-- One message: a table for a period, or one part of it, as absolute values. Its body is fixed when it is written; what
-- changes later is a message of the next revision. state: waiting, sent (the receipt says "later"), accepted, refused
-- (the whole, or some rows: see outbox_refusals), dead (72 hours without an answer), replaced (by a later revision,
-- before it was accepted).
CREATE TABLE outbox (
    message_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),   -- the Idempotency-Key of every attempt
    number bigint GENERATED ALWAYS AS IDENTITY,
    table_name text NOT NULL,
    period text NOT NULL,                           -- a day, or `current`
    prefix text COLLATE "C" NOT NULL,               -- the secondary prefix that reports
    part int4 NOT NULL,
    revision int4 NOT NULL,
    parts int4 NOT NULL,
    path text NOT NULL,
    state text NOT NULL DEFAULT 'waiting'
        CHECK (state IN ('waiting', 'sent', 'accepted', 'refused', 'dead', 'replaced')),
    body bytea,                                     -- null once it was accepted long ago
    encoding text NOT NULL DEFAULT '',              -- of the body: empty or gzip
    content_sha256 bytea NOT NULL,                  -- of its rows: equal content is not sent again
    row_count int4 NOT NULL,
    provisional boolean NOT NULL DEFAULT false,
    reason text NOT NULL DEFAULT '',
    created timestamptz NOT NULL,
    waiting_since timestamptz NOT NULL,             -- the 72 hours begin here
    next_at timestamptz NOT NULL,
    attempts int4 NOT NULL DEFAULT 0,
    attempted timestamptz,
    answered timestamptz,
    answer_status int4,                             -- HTTP; null: no answer
    receipt_id text NOT NULL DEFAULT '',
    code text NOT NULL DEFAULT '',                  -- what the top-level node calls the trouble
    trouble text NOT NULL DEFAULT '',               -- what went wrong last, in words
    UNIQUE (table_name, period, prefix, part, revision)
);
CREATE INDEX outbox_due ON outbox (next_at, number) WHERE state IN ('waiting', 'sent');
CREATE INDEX outbox_troubled ON outbox (number) WHERE state IN ('refused', 'dead');
CREATE INDEX outbox_by_age ON outbox (answered) WHERE state IN ('accepted', 'replaced') AND body IS NOT NULL;

CREATE TABLE outbox_refusals (
    message_id uuid NOT NULL REFERENCES outbox ON DELETE CASCADE,
    row_number int4 NOT NULL,                       -- from 0; -1: the message itself
    field text NOT NULL,
    code text NOT NULL,
    row_key text NOT NULL DEFAULT '',
    message text NOT NULL DEFAULT '',               -- as the top-level node words it
    PRIMARY KEY (message_id, row_number, field, code)
);

-- The keys that sign. Only one is active; the private half is sealed with the node's secret key.
CREATE TABLE toplevel_keys (
    key_id text PRIMARY KEY,
    algorithm text NOT NULL,
    public_key text NOT NULL,
    sealed bytea NOT NULL,
    state text NOT NULL CHECK (state IN ('new', 'active', 'retired')),
    created timestamptz NOT NULL,
    changed timestamptz NOT NULL
);
CREATE UNIQUE INDEX toplevel_keys_active ON toplevel_keys ((true)) WHERE state = 'active';

-- What the top-level node decided, beside our own decisions. kind: enterprise (subject: certificate code), prefix.
CREATE TABLE toplevel_decisions (
    kind text NOT NULL,
    subject text NOT NULL,
    decision text NOT NULL,                         -- approved or refused
    reason text NOT NULL DEFAULT '',
    at timestamptz NOT NULL,
    received timestamptz NOT NULL,
    applied timestamptz,                            -- when a prefix that waited for it was enabled
    PRIMARY KEY (kind, subject)
);

-- What the top-level node asks us to do; kind: resend, correction, freeze, rotateKey.
CREATE TABLE toplevel_tasks (
    task_id text PRIMARY KEY,
    kind text NOT NULL,
    document jsonb NOT NULL,
    state text NOT NULL CHECK (state IN ('received', 'done', 'failed')),
    result text NOT NULL DEFAULT '',
    received timestamptz NOT NULL,
    finished timestamptz,
    reported timestamptz
);

-- Comparisons after a day was reported: counts, sums and Merkle roots of both sides.
CREATE TABLE toplevel_reconciliations (
    table_name text NOT NULL,
    period text NOT NULL,
    prefix text COLLATE "C" NOT NULL,
    ours jsonb NOT NULL,
    theirs jsonb NOT NULL,
    equal boolean NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (table_name, period, prefix)
);

-- When the agent last did what it does at intervals, and how far it has reported the change log.
CREATE TABLE reporting_marks (
    name text PRIMARY KEY,
    value text NOT NULL,
    at timestamptz NOT NULL
);

-- Enterprises' own nodes (domain.md §f.6) ---------------------------------------------------------------------------

-- route: what the node says it can be reached under. It goes live after a probe has found it: state proposed, active,
-- failed (it did not answer, or may not be probed) or waiting (the prefix is hosted here).
CREATE TABLE enterprise_nodes (
    prefix_id int4 PRIMARY KEY REFERENCES prefixes,
    software text NOT NULL DEFAULT '',
    route jsonb,
    route_state text NOT NULL DEFAULT 'proposed' CHECK (route_state IN ('proposed', 'active', 'failed', 'waiting')),
    trouble text NOT NULL DEFAULT '',
    probed timestamptz,
    attached timestamptz NOT NULL,
    seen timestamptz NOT NULL
);

-- What those nodes say of their days; never part of our own counters.
CREATE TABLE enterprise_node_days (
    prefix_id int4 NOT NULL REFERENCES prefixes,
    day date NOT NULL,
    revision int4 NOT NULL,
    registered_new bigint NOT NULL,
    registered_total bigint NOT NULL,
    resolutions bigint NOT NULL,
    resolutions_ok bigint NOT NULL,
    received timestamptz NOT NULL,
    PRIMARY KEY (prefix_id, day)
);

-- Nonces of their calls, kept ten minutes.
CREATE TABLE enterprise_node_nonces (
    access_key text NOT NULL,
    nonce text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (access_key, nonce)
);
