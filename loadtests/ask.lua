-- Asks for the paths of a file, one per line, in its order (which is random), again from the first at the end.
-- wrk … -s ask.lua URL -- FILE FIRST COUNT   (of its lines, COUNT from the one after FIRST lines on)
local threads = {}

function setup(thread)
    threads[#threads + 1] = thread
end

local requests = {}
local at = 0

function init(args)
    local first, count, number = tonumber(args[2]), tonumber(args[3]), 0
    for line in io.lines(args[1]) do
        number = number + 1
        if number > first + count then break end
        if number > first then requests[#requests + 1] = wrk.format("GET", line) end
    end
    ready = os.clock() -- processor time: what comes before is no load
end

function request()
    at = at + 1
    if at > #requests then at = 1 end
    return requests[at]
end

function done(summary, latency)
    local errors, latest = summary.errors, 0
    for _, thread in ipairs(threads) do latest = math.max(latest, thread:get("ready")) end
    io.write(string.format("RESULT %d %d %d %d %d %d\n", summary.requests, summary.duration,
        errors.connect + errors.read + errors.write + errors.timeout, errors.status, latency:percentile(99),
        (os.clock() - latest) * 1e6))
end
