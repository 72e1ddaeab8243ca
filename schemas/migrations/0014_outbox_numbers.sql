-- Messages are listed newest first and looked up by their number.
CREATE UNIQUE INDEX outbox_numbers ON outbox (number);
