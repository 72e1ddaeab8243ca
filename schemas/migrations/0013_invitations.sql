-- Invitations: who holds the link makes himself an account with these roles, once. Of the link only its hash stands here.
CREATE TABLE invitations (
    invitation_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token_hash bytea NOT NULL UNIQUE,
    roles text[] NOT NULL,
    enterprise_id int4 REFERENCES enterprises,
    organisation text NOT NULL,                     -- unified social credit code of a partner
    area text NOT NULL,                             -- of a regulator, as it was written
    remark text NOT NULL,                           -- for whom it is, in the words of who invited
    created timestamptz NOT NULL,
    created_by text NOT NULL,                       -- the actor, as histories call him
    expires timestamptz NOT NULL,
    used timestamptz,
    used_by text,                                   -- the user name that was chosen
    revoked timestamptz
);
CREATE INDEX invitations_unused ON invitations (enterprise_id, invitation_id) WHERE used IS NULL AND revoked IS NULL;
