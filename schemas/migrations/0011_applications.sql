-- What else is reported upwards: applications (T5, T10) and how quickly the node answers (M1, M2).

-- An application that uses identifiers: of the node, where `prefix` is its secondary prefix, or of an enterprise.
-- kind: 1 app, 2 mini program, 3 web page, 4 PC client, 5 other.
CREATE TABLE applications (
    application_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    prefix text COLLATE "C" NOT NULL,
    name text NOT NULL,
    kind int2 NOT NULL CHECK (kind BETWEEN 1 AND 5),
    intro text NOT NULL DEFAULT '',
    users bigint CHECK (users >= 0),                -- null: not known
    developer text NOT NULL DEFAULT '',
    recursion text NOT NULL DEFAULT '',             -- the recursive node it resolves through
    recursion_ip text NOT NULL DEFAULT '',
    recursion_port int4,
    actor text NOT NULL,                            -- who wrote it last
    created timestamptz NOT NULL,
    changed timestamptz NOT NULL,
    retired timestamptz
);
CREATE UNIQUE INDEX applications_present ON applications (prefix, name) WHERE retired IS NULL;

-- How long answers took, by prefix (0: the whole node) and day at UTC+8; kind: resolve (asked by the agent every
-- minute, as anybody would) or register (every request that registered).
CREATE TABLE monitor_days (
    prefix_id int4 NOT NULL,
    day date NOT NULL,
    kind text NOT NULL CHECK (kind IN ('resolve', 'register')),
    number bigint NOT NULL,
    total_us bigint NOT NULL,
    longest_us bigint NOT NULL,
    longest_at timestamptz NOT NULL,
    shortest_us bigint NOT NULL,
    shortest_at timestamptz NOT NULL,
    PRIMARY KEY (prefix_id, day, kind)
);

-- The second of a day with most requests in the resolution log, by prefix (0: the whole node).
CREATE TABLE monitor_peaks (
    prefix_id int4 NOT NULL,
    day date NOT NULL,
    requests bigint NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (prefix_id, day)
);

-- What enterprises' own nodes say of how they answer (M2); never part of our own figures.
CREATE TABLE enterprise_node_monitors (
    prefix_id int4 NOT NULL REFERENCES prefixes,
    day date NOT NULL,
    revision int4 NOT NULL,
    document jsonb NOT NULL,
    received timestamptz NOT NULL,
    PRIMARY KEY (prefix_id, day)
);
