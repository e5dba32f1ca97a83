-- What makes the record of a scan a proof, and the way to the newest scan of all of a rule.

-- JSON; none of what an agent of before told.
ALTER TABLE malware_scan ADD COLUMN proof TEXT;
ALTER TABLE malware_scan ADD COLUMN is_whole INTEGER NOT NULL DEFAULT 0;
-- What an agent of before did by itself was all of a rule.
UPDATE malware_scan SET is_whole = 1 WHERE cause IN ('schedule', 'catch_up', 'resume', 'local');
CREATE INDEX malware_scan_whole ON malware_scan (agent, rule, status, ended_at, id) WHERE is_whole = 1;
