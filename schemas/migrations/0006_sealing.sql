-- Figures of any period from running totals, and days that are closed and sealed.

-- Rollups --------------------------------------------------------------------------------------------------------

-- One row for each prefix and day with something to count: what was added on that day, and the sum of all days up to
-- and including it. The figure of any period is the difference of two rows. prefix_id 0: prefixes that are not ours.
-- Not partitioned, as it is no large table: 1.3 million rows a year for 3,500 prefixes.
CREATE TABLE prefix_days (
    prefix_id int4 NOT NULL,
    day date NOT NULL,
    registered bigint NOT NULL,                     -- rows and members of ranges
    range_minted bigint NOT NULL,
    gone bigint NOT NULL,                           -- retired less restored
    resolutions bigint NOT NULL,
    resolutions_ok bigint NOT NULL,
    uncounted bigint NOT NULL,
    registered_sum bigint NOT NULL,
    range_minted_sum bigint NOT NULL,
    gone_sum bigint NOT NULL,
    resolutions_sum bigint NOT NULL,
    resolutions_ok_sum bigint NOT NULL,
    uncounted_sum bigint NOT NULL,
    PRIMARY KEY (prefix_id, day)
);

-- The same for each template, sums alone. moved: net records that came from other templates.
CREATE TABLE template_days (
    prefix_id int4 NOT NULL,
    template_id int4 NOT NULL,
    day date NOT NULL,
    registered_sum bigint NOT NULL,
    range_minted_sum bigint NOT NULL,
    gone_sum bigint NOT NULL,
    moved_sum bigint NOT NULL,
    resolutions_sum bigint NOT NULL,
    resolutions_ok_sum bigint NOT NULL,
    uncounted_sum bigint NOT NULL,
    PRIMARY KEY (prefix_id, template_id, day)
) PARTITION BY HASH (prefix_id);

DO $$
BEGIN
    FOR part IN 0..15 LOOP
        EXECUTE format('CREATE TABLE template_days_%s PARTITION OF template_days'
                       ' FOR VALUES WITH (MODULUS 16, REMAINDER %s)', part, part);
    END LOOP;
END $$;

-- All prefixes of the node together.
CREATE TABLE node_days (
    day date PRIMARY KEY,
    registered bigint NOT NULL,
    range_minted bigint NOT NULL,
    gone bigint NOT NULL,
    resolutions bigint NOT NULL,
    resolutions_ok bigint NOT NULL,
    uncounted bigint NOT NULL
);

-- Templates that have rows in template_days.
CREATE TABLE counted_templates (
    prefix_id int4 NOT NULL,
    template_id int4 NOT NULL,
    PRIMARY KEY (prefix_id, template_id)
);

-- Makes all rollups again from the counters; nobody may count meanwhile (the caller holds the lock of the rollups).
CREATE FUNCTION rebuild_rollups() RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    DELETE FROM template_days;
    DELETE FROM prefix_days;
    DELETE FROM node_days;
    DELETE FROM counted_templates;
    INSERT INTO template_days (prefix_id, template_id, day, registered_sum, range_minted_sum, gone_sum, moved_sum,
                               resolutions_sum, resolutions_ok_sum, uncounted_sum)
    SELECT prefix_id, template_id, day, sum(registered) OVER w, sum(minted) OVER w, sum(gone) OVER w,
           sum(moved) OVER w, sum(resolutions) OVER w, sum(ok) OVER w, sum(uncounted) OVER w
    FROM (SELECT prefix_id, template_id, day, coalesce(r.registered + r.range_minted, 0) AS registered,
                 coalesce(r.range_minted, 0) AS minted, coalesce(r.retired - r.restored, 0) AS gone,
                 coalesce(r.moved, 0) AS moved, coalesce(d.resolutions, 0) AS resolutions,
                 coalesce(d.resolutions_ok, 0) AS ok, coalesce(d.uncounted, 0) AS uncounted
          FROM registration_counts r FULL JOIN resolution_days d USING (prefix_id, template_id, day)) AS daily
    WINDOW w AS (PARTITION BY prefix_id, template_id ORDER BY day);
    INSERT INTO counted_templates SELECT DISTINCT prefix_id, template_id FROM template_days;
    INSERT INTO prefix_days (prefix_id, day, registered, range_minted, gone, resolutions, resolutions_ok, uncounted,
                             registered_sum, range_minted_sum, gone_sum, resolutions_sum, resolutions_ok_sum,
                             uncounted_sum)
    SELECT prefix_id, day, registered, minted, gone, resolutions, ok, uncounted, sum(registered) OVER w,
           sum(minted) OVER w, sum(gone) OVER w, sum(resolutions) OVER w, sum(ok) OVER w, sum(uncounted) OVER w
    FROM (SELECT prefix_id, day, sum(registered) AS registered, sum(minted) AS minted, sum(gone) AS gone,
                 sum(resolutions) AS resolutions, sum(ok) AS ok, sum(uncounted) AS uncounted
          FROM (SELECT prefix_id, day, registered + range_minted AS registered, range_minted AS minted,
                       retired - restored AS gone, 0 AS resolutions, 0 AS ok, 0 AS uncounted
                FROM registration_counts
                UNION ALL
                SELECT prefix_id, day, 0, 0, 0, resolutions, resolutions_ok, uncounted FROM resolution_days) AS daily
          GROUP BY 1, 2) AS daily
    WINDOW w AS (PARTITION BY prefix_id ORDER BY day);
    INSERT INTO node_days (day, registered, range_minted, gone, resolutions, resolutions_ok, uncounted)
    SELECT day, sum(registered), sum(range_minted), sum(gone), sum(resolutions), sum(resolutions_ok), sum(uncounted)
    FROM prefix_days WHERE prefix_id <> 0 GROUP BY day;
END $$;
SELECT rebuild_rollups();

-- The day --------------------------------------------------------------------------------------------------------

-- Up to when the agent of a log directory has counted everything that stands in it.
CREATE TABLE log_directories (
    directory uuid PRIMARY KEY,
    counted_until timestamptz NOT NULL
);

-- A statement on one day of one secondary prefix; revision 1 is the sealed figure, later ones hold only the rows that
-- changed. sequence: its place in the chain of the secondary prefix. seal: sha256 over the head, the rows and the seal
-- before (node.day_seals). figures: what is no figure of one prefix. gaps: what the log was known to lack.
CREATE TABLE day_closes (
    node_prefix text COLLATE "C" NOT NULL,
    day date NOT NULL,
    revision int4 NOT NULL,
    sequence int4 NOT NULL,
    closed_at timestamptz NOT NULL,
    reason text NOT NULL DEFAULT '',
    row_count int4 NOT NULL,
    figures jsonb NOT NULL,
    gaps jsonb NOT NULL DEFAULT '[]',
    previous_seal bytea NOT NULL,
    seal bytea NOT NULL,
    PRIMARY KEY (node_prefix, day, revision),
    UNIQUE (node_prefix, sequence)
);

-- What was stated of a prefix on a day: absolute values. templates: [template_id, registered_new, range_minted,
-- resolutions, resolutions_ok] of those with something on that day.
CREATE TABLE closed_rows (
    prefix_id int4 NOT NULL,
    day date NOT NULL,
    revision int4 NOT NULL,
    node_prefix text COLLATE "C" NOT NULL,
    prefix text COLLATE "C" NOT NULL,
    enterprise_id int4,
    registered_new bigint NOT NULL,
    range_minted bigint NOT NULL,
    registered_total bigint NOT NULL,
    registered_live bigint NOT NULL,
    retired_total bigint NOT NULL,
    resolutions bigint NOT NULL,
    resolutions_ok bigint NOT NULL,
    resolutions_uncounted bigint NOT NULL,
    templates jsonb NOT NULL DEFAULT '[]',
    PRIMARY KEY (prefix_id, day, revision)
);
CREATE INDEX closed_rows_of_day ON closed_rows (day);

-- The end of the chain of a secondary prefix, so that a seal cut off its end is missed.
CREATE TABLE seal_ends (
    node_prefix text COLLATE "C" PRIMARY KEY,
    sequence int4 NOT NULL,
    seal bytea NOT NULL
);

-- Closed days to which something was added afterwards and that wait for a revision.
CREATE TABLE late_days (
    day date PRIMARY KEY,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    reason text NOT NULL                            -- registrations, resolutions or both
);
