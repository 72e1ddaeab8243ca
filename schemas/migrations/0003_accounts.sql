-- Accounts, roles, sessions, the terms of access keys, and the audit trail. All of it stays on one server.

-- A person, or a system of an enterprise. What it stands for depends on its roles: an enterprise, an organisation
-- (partner), an area (regulator: a division, and a unit of it where the right is narrower).
CREATE TABLE accounts (
    account_id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_name text NOT NULL,
    user_name_key text COLLATE "C" NOT NULL UNIQUE, -- folded: two names that look alike to a reader are one
    password_hash text NOT NULL,                    -- argon2id of sha256hex(password)
    hashed_signin bytea,                            -- sha256hex(password), sealed; only where that sign-in is allowed
    enterprise_id int4 REFERENCES enterprises,
    organisation text NOT NULL DEFAULT '',          -- unified social credit code of a partner
    division_code text NOT NULL DEFAULT '',
    unit_id int4 REFERENCES units,
    personal bytea,                                 -- e-mail, mobile, remarks, sealed
    email_hash bytea UNIQUE,                        -- keyed hashes, so that each is used once
    mobile_hash bytea UNIQUE,
    totp_secret bytea,                              -- sealed; null: no second factor
    totp_counter bigint NOT NULL DEFAULT 0,         -- the last time step a code was taken for: each opens once
    created timestamptz NOT NULL,
    changed timestamptz NOT NULL,
    password_changed timestamptz NOT NULL,
    disabled timestamptz
);
CREATE INDEX accounts_of_enterprise ON accounts (enterprise_id);

-- role: operator, engineer, reviewer, enterprise_admin, enterprise_user, partner, regulator
CREATE TABLE account_roles (
    account_id int4 NOT NULL REFERENCES accounts,
    role text NOT NULL,
    PRIMARY KEY (account_id, role)
);

-- Of a bearer token only its number stands here, of a cookie the sha256.
CREATE TABLE sessions (
    session_id uuid PRIMARY KEY,
    cookie_hash bytea UNIQUE,
    account_id int4 REFERENCES accounts,
    access_key text REFERENCES access_keys,
    how text NOT NULL,                              -- password, hashed, console
    address text NOT NULL,
    user_agent text NOT NULL,
    created timestamptz NOT NULL,
    seen timestamptz NOT NULL,                      -- to the minute
    expires timestamptz NOT NULL,
    ended timestamptz,
    CHECK ((account_id IS NULL) <> (access_key IS NULL))
);
CREATE INDEX sessions_of_account ON sessions (account_id);
CREATE INDEX sessions_of_key ON sessions (access_key);
CREATE INDEX sessions_by_expiry ON sessions (expires);

-- Wrong passwords since the last right one, by name as given (folded) and address.
CREATE TABLE sign_in_failures (
    user_name_key text COLLATE "C" NOT NULL,
    address text NOT NULL,
    failures int4 NOT NULL,
    last_at timestamptz NOT NULL,
    last_wrong bytea NOT NULL,                      -- keyed hash: the same wrong password again is no further guess
    PRIMARY KEY (user_name_key, address)
);
CREATE INDEX sign_in_failures_by_time ON sign_in_failures (last_at);

-- Access keys made before have all scopes, no networks, no expiry and no hashed sign-in.
ALTER TABLE access_keys ADD COLUMN hashed_signin bytea;         -- sha256hex(secret), sealed
ALTER TABLE access_keys ADD COLUMN organisation text NOT NULL DEFAULT '';   -- a partner's key
ALTER TABLE access_keys ADD COLUMN scopes text[];               -- null: all
ALTER TABLE access_keys ADD COLUMN networks text[] NOT NULL DEFAULT '{}';   -- empty: from anywhere
ALTER TABLE access_keys ADD COLUMN expires timestamptz;

CREATE INDEX grants_of_organisation ON grants (organisation) WHERE revoked IS NULL;

-- The audit trail --------------------------------------------------------------------------------------------------

-- Every write, every sign-in, every look at private data by someone else. Chained like the change log: positions and
-- links are given after commit, by one process at a time.
CREATE TABLE audit_head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    position bigint NOT NULL DEFAULT 0,
    link bytea NOT NULL DEFAULT ''
);
INSERT INTO audit_head DEFAULT VALUES;

CREATE TABLE audit_pending (
    pending_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    address text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    outcome text NOT NULL,
    reason text NOT NULL
);

CREATE TABLE audit (
    position bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    address text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    outcome text NOT NULL,                          -- ok, or the code of what was wrong
    reason text NOT NULL,
    link bytea NOT NULL                             -- sha256 of the link before and of this entry
);

-- Every text with its length before it, so that nothing can be moved from one column to the next.
CREATE FUNCTION audit_link(before bytea, entry audit) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT sha256(before || convert_to(entry.position || '|' || extract(epoch FROM entry.at)
        || (SELECT string_agg('|' || length(part) || ':' || part, '' ORDER BY place)
            FROM unnest(ARRAY[entry.actor, entry.address, entry.action, entry.subject, entry.outcome, entry.reason])
                WITH ORDINALITY AS parts (part, place)), 'UTF8'))
$$;

CREATE FUNCTION number_audit() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    taken audit_pending%ROWTYPE;
    entry audit%ROWTYPE;
    head audit_head%ROWTYPE;
    moved bigint := 0;
BEGIN
    IF NOT EXISTS (SELECT FROM audit_pending) OR NOT pg_try_advisory_xact_lock(7241002) THEN
        RETURN 0;
    END IF;
    SELECT * INTO head FROM audit_head FOR UPDATE;
    FOR taken IN
        WITH moving AS (
            DELETE FROM audit_pending
            WHERE pending_id IN (SELECT pending_id FROM audit_pending ORDER BY pending_id LIMIT 1000)
            RETURNING *)
        SELECT * FROM moving ORDER BY pending_id
    LOOP
        head.position := head.position + 1;
        entry := (head.position, taken.at, taken.actor, taken.address, taken.action, taken.subject, taken.outcome,
            taken.reason, '');
        head.link := audit_link(head.link, entry);
        entry.link := head.link;
        INSERT INTO audit SELECT entry.*;
        moved := moved + 1;
    END LOOP;
    UPDATE audit_head SET position = head.position, link = head.link;
    RETURN moved;
END $$;
