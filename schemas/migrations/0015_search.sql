-- What the console's search needs at 20 million rows. Frozen and retired records are few: a live one is in neither page
-- nor write of the first index. Rows of one import share their times, so the second takes about 7 bytes each.
-- On a large database both can be made partition by partition beforehand (CREATE INDEX CONCURRENTLY on records_0 …
-- records_15, docs/operations.md): PostgreSQL then attaches what it finds, and this takes no time.
CREATE INDEX records_not_live ON records (prefix_id, state, suffix_key) WHERE state <> 0;
CREATE INDEX records_by_time ON records (prefix_id, created);
