-- Files that belong to dossiers: licences, identity cards, contracts. The content stands sealed beside the database,
-- under attachments/<ab>/<cd>/<file_id>; what is not bound to a dossier within a day is deleted with its row.
CREATE TABLE attachments (
    attachment_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    file_id uuid NOT NULL UNIQUE,
    name text NOT NULL,                             -- as its owner called it, with the ending of what it really is
    kind text NOT NULL CHECK (kind IN ('jpeg', 'png', 'bmp', 'pdf')),
    size_bytes int4 NOT NULL,
    sha256 bytea NOT NULL,                          -- of the content before it was sealed
    enterprise_id int4 REFERENCES enterprises,      -- null: whoever uploaded it owns it until it is bound
    actor text NOT NULL,
    created timestamptz NOT NULL,
    bound_as text,                                  -- the member of the dossier, such as contact.front_image_id
    bound_at timestamptz
);
CREATE INDEX attachments_of_enterprise ON attachments (enterprise_id);
CREATE INDEX attachments_unbound ON attachments (created) WHERE bound_as IS NULL;

-- When the file of an ended job and the outcomes of its rows were deleted; what the job came to stays.
ALTER TABLE jobs ADD COLUMN cleared timestamptz;
CREATE INDEX jobs_to_clear ON jobs (finished) WHERE cleared IS NULL;
