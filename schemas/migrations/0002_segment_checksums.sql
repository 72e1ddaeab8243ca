-- checksum: CRC-32 of the counted bytes behind the header, so that a damaged byte is noticed wherever it stands; null for
-- what was counted before this column existed.
ALTER TABLE counted_segments ADD COLUMN checksum bigint;
