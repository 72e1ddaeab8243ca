-- For how long the node's resolvers answered the agent's round of every minute, by day at UTC+8 (the monthly report).
CREATE TABLE operating_days (
    day date PRIMARY KEY,
    milliseconds bigint NOT NULL
);
