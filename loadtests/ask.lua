-- Asks for the paths of a file, one per line, in its order (which is random), again from the start at its end.
-- wrk … -s ask.lua URL -- FILE FIRST_LINE
local requests = {}
local at = 0

function init(args)
    for line in io.lines(args[1]) do
        requests[#requests + 1] = wrk.format("GET", line)
    end
    at = (tonumber(args[2]) or 0) % #requests
end

function request()
    at = at + 1
    if at > #requests then at = 1 end
    return requests[at]
end

function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format("RESULT %d %d %d %d %d\n", summary.requests, summary.duration,
        errors.connect + errors.read + errors.write + errors.timeout, errors.status, latency:percentile(99)))
end
