-- A standby that is promoted may lack the last entries of the log it copied, and gives their positions to other ones:
-- its log is another log (design decision 3). PostgreSQL begins a new timeline with every promotion, and with every
-- recovery to a point in time; the first who asks for numbers on it gives the log a new name.
ALTER TABLE change_log ADD COLUMN timeline text;
UPDATE change_log SET timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8);

-- What this database itself noted of the log is as old as the log, and still holds. What was sent upwards and is lost
-- here may be written anew with other content: revisions begin with the minute, as after a restore.
CREATE FUNCTION rename_log(new_timeline text) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    old_id uuid;
    new_id uuid := gen_random_uuid();
BEGIN
    SELECT log_id INTO old_id FROM change_log WHERE timeline IS DISTINCT FROM new_timeline FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;  -- somebody else was faster
    END IF;
    UPDATE change_log SET log_id = new_id, timeline = new_timeline;
    UPDATE counted_changes SET log_id = new_id WHERE log_id = old_id;
    UPDATE reporting_marks SET value = new_id || substr(value, 37) WHERE name = 'master' AND value LIKE old_id || ':%';
    INSERT INTO node_facts (name, value)
        VALUES ('least_revision', floor(extract(epoch FROM clock_timestamp()) / 60)::bigint::text)
        ON CONFLICT (name) DO UPDATE SET value = excluded.value;
END $$;

CREATE OR REPLACE FUNCTION number_changes() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    entry changes_pending%ROWTYPE;
    last_position bigint;
    last_link bytea;
    moved bigint := 0;
    current_timeline text;
BEGIN
    IF current_setting('transaction_read_only') = 'on' THEN
        RETURN 0;  -- a standby only reads
    END IF;
    current_timeline := left(pg_walfile_name(pg_current_wal_lsn()), 8);
    IF NOT EXISTS (SELECT FROM change_log WHERE timeline = current_timeline) THEN
        PERFORM rename_log(current_timeline);
    END IF;
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
