-- The console keeps nothing of its own: this number stands for no change.
SELECT 1;
