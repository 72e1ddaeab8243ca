-- A prefix of an enterprise for trying things out: it has no row in prefix_owners, so that whatever counts by owner
-- leaves it out. What is under it is deleted every day; sandbox_reset is the last time.
ALTER TABLE prefixes
    ADD COLUMN sandbox_of int4 REFERENCES enterprises,
    ADD COLUMN sandbox_reset timestamptz;
CREATE UNIQUE INDEX prefixes_sandbox_of ON prefixes (sandbox_of) WHERE sandbox_of IS NOT NULL;

-- Members that a change of a range touched: all of it but those with records of their own by then.
ALTER TABLE range_history ADD COLUMN members bigint NOT NULL DEFAULT 0;

-- Streams of writes that were sent with an Idempotency-Key: how far they are done, and what became of each row, written
-- in the transaction of the rows themselves. Kept as long as other answers.
CREATE TABLE streams (
    stream_id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account text NOT NULL,
    route text NOT NULL,
    key text NOT NULL,
    body_sha256 bytea NOT NULL,
    at timestamptz NOT NULL,
    chunks_done int4 NOT NULL DEFAULT 0,
    UNIQUE (account, route, key)
);
CREATE INDEX streams_at ON streams (at);
CREATE TABLE stream_chunks (
    stream_id int8 NOT NULL REFERENCES streams ON DELETE CASCADE,
    chunk int4 NOT NULL,
    outcomes bytea NOT NULL,
    PRIMARY KEY (stream_id, chunk)
);
