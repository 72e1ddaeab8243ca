-- Connection certificates (接入证明): signed PDFs that say that a firm is connected and which prefixes it was allocated.

-- What they were signed with. The node's own key is sealed with its secret key; that of a configured certificate stays in
-- its file. A certificate remains after its key was replaced, so that what it signed can still be told as ours.
CREATE TABLE signing_certificates (
    fingerprint text PRIMARY KEY,                   -- SHA-256 of the DER, hex
    certificate bytea NOT NULL,                     -- DER
    sealed bytea,                                   -- private key (PKCS #8, DER), sealed; null: in a file
    created timestamptz NOT NULL
);
CREATE UNIQUE INDEX signing_certificates_own ON signing_certificates ((true)) WHERE sealed IS NOT NULL;

-- As issued: nothing of it changes but the revocation.
CREATE TABLE connection_certificates (
    number text PRIMARY KEY,                        -- 80 random bits: whoever knows it was given the certificate
    enterprise_id int4 NOT NULL REFERENCES enterprises,
    enterprise text NOT NULL,
    certificate_code text NOT NULL,
    prefixes text[] NOT NULL,
    connected_on date NOT NULL,
    node_name text NOT NULL,
    issued_at timestamptz NOT NULL,
    issued_by text NOT NULL,
    fingerprint text NOT NULL REFERENCES signing_certificates,
    sha256 bytea NOT NULL UNIQUE,
    file bytea NOT NULL,
    revoked_at timestamptz,
    revoked_by text,
    reason text NOT NULL DEFAULT ''
);
CREATE INDEX connection_certificates_by_enterprise ON connection_certificates (enterprise_id, issued_at);
