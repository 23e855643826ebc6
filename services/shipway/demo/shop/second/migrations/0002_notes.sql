-- Rows of the program before have no note: it neither reads nor writes the column.
ALTER TABLE items ADD COLUMN note TEXT NOT NULL DEFAULT '';
