-- {bucket}; what fills it in a minute, cost: {granted, what it holds then}, as of this server's clock
local limit, cost = tonumber(ARGV[1]), tonumber(ARGV[2])
local rate = limit / 60
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local known = redis.call('HMGET', KEYS[1], 'held', 'then')
local held = limit
if known[1] then held = math.min(limit, tonumber(known[1]) + math.max(0, now - known[2]) * rate) end
local granted = held >= math.min(cost, limit)
if granted then held = held - cost end
redis.call('HSET', KEYS[1], 'held', string.format('%.17g', held), 'then', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((limit - held) / rate * 1000) + 1000)
return {granted and 1 or 0, string.format('%.17g', held)}
