-- Who asked an enterprise's own node, as it says: pairs of address and count, the others' count left out.
ALTER TABLE enterprise_node_days ADD COLUMN sources jsonb NOT NULL DEFAULT '[]'::jsonb;
