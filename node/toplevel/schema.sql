-- The book of the rehearsal top-level node (SQLite). Times are unix milliseconds.

CREATE TABLE IF NOT EXISTS apps (
    app TEXT NOT NULL,
    prefix TEXT NOT NULL,
    enrolled INTEGER NOT NULL,
    PRIMARY KEY (app, prefix)
);
CREATE TABLE IF NOT EXISTS keys (
    app TEXT NOT NULL,
    key_id TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    public_key TEXT NOT NULL,
    state TEXT NOT NULL,                            -- active or retired
    created INTEGER NOT NULL,
    PRIMARY KEY (app, key_id)
);
CREATE TABLE IF NOT EXISTS nonces (
    app TEXT NOT NULL,
    nonce TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (app, nonce)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS receipts (
    app TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    digest TEXT NOT NULL,
    status INTEGER NOT NULL,
    answer TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (app, idempotency_key)
);
-- One message of the highest revision that arrived.
CREATE TABLE IF NOT EXISTS messages (
    table_name TEXT NOT NULL,
    period TEXT NOT NULL,
    prefix TEXT NOT NULL,
    part INTEGER NOT NULL,
    rev INTEGER NOT NULL,
    parts INTEGER NOT NULL,
    digest TEXT NOT NULL,                           -- of its rows
    row_count INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (prefix, table_name, period, part)
);
CREATE TABLE IF NOT EXISTS rows (
    table_name TEXT NOT NULL,
    period TEXT NOT NULL,
    prefix TEXT NOT NULL,
    part INTEGER NOT NULL,
    row_key TEXT NOT NULL,
    rev INTEGER NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (prefix, table_name, period, part, row_key)
) WITHOUT ROWID;
-- What came beside the rows of a form, of the highest revision.
CREATE TABLE IF NOT EXISTS files (
    prefix TEXT NOT NULL,
    table_name TEXT NOT NULL,
    period TEXT NOT NULL,
    name TEXT NOT NULL,
    media_type TEXT NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (prefix, table_name, period)
);
CREATE TABLE IF NOT EXISTS prefixes (
    prefix TEXT PRIMARY KEY,
    shr_prefix TEXT NOT NULL,
    uscc TEXT NOT NULL,
    encoding TEXT NOT NULL,
    state INTEGER,
    reason TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS decisions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    prefix TEXT NOT NULL,                           -- of the node that asked
    kind TEXT NOT NULL,                             -- enterprise or prefix
    subject TEXT NOT NULL,
    decision TEXT NOT NULL,
    reason TEXT NOT NULL,
    by_hand INTEGER NOT NULL DEFAULT 0,
    at INTEGER NOT NULL,
    UNIQUE (prefix, kind, subject)
);
CREATE TABLE IF NOT EXISTS tasks (
    task_id TEXT PRIMARY KEY,
    prefix TEXT NOT NULL,
    document TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'open',             -- open, done or failed
    result TEXT NOT NULL DEFAULT '',
    at INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS heartbeats (
    prefix TEXT PRIMARY KEY,
    document TEXT NOT NULL,
    at INTEGER NOT NULL,
    beats INTEGER NOT NULL DEFAULT 1
);
-- What was not believed or not accepted, newest 10,000.
CREATE TABLE IF NOT EXISTS refusals (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    app TEXT NOT NULL,
    path TEXT NOT NULL,
    code TEXT NOT NULL,
    field TEXT NOT NULL,
    row_key TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS behaviour (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
