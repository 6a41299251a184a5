#!lua name=ancestral2

-- What must happen at once in the broker. A function's keys lie in one cluster slot: those of a job
-- ({job:ID}, {job:ID}:out), of a queue (q:{MODEL}:…), of the bytes held, of the workers, or dead. Times
-- are seconds since the epoch by the caller's clock, except for leases and heartbeats, which the
-- server measures. The number in the names is that of this contract.

local GROUP = 'workers'
local FINAL = {done = true, failed = true, canceled = true}

local function append(keys, number, event, data, payload, exact)
  redis.call('XADD', keys[2], number .. '-0', 'event', event, 'data', data,
    'payload', payload, 'exact', exact)
  redis.call('HSET', keys[1], 'entries', number)
  if FINAL[event] then
    local ttl = redis.call('HGET', keys[1], 'ttl')
    redis.call('HSET', keys[1], 'state', event)
    redis.call('PEXPIRE', keys[1], ttl)
    redis.call('PEXPIRE', keys[2], ttl)
  end
end

local function read(key, ...)
  local names, found = {...}, {}
  local values = redis.call('HMGET', key, ...)
  for i, name in ipairs(names) do found[name] = values[i] or nil end
  return found
end

-- {job}; digest, lane, then fields and values: 'new', 'same' or 'other'
local function create(keys, args)
  if redis.call('EXISTS', keys[1]) == 1 then
    local known = read(keys[1], 'digest', 'lane', 'entry', 'state')
    if known.digest ~= args[1] or known.lane ~= args[2] then return 'other' end
    if not known.entry and known.state == 'queued' then return 'new' end
    return 'same'
  end
  local fields = {'state', 'queued', 'attempt', 0, 'stalls', 0, 'entries', 0}
  for i = 3, #args do fields[#fields + 1] = args[i] end
  redis.call('HSET', keys[1], 'digest', args[1], 'lane', args[2], unpack(fields))
  redis.call('EXPIRE', keys[1], 60)  -- until it is queued
  return 'new'
end

local function undelivered(key)
  local pending = redis.pcall('XPENDING', key, GROUP)
  local held = 0
  if not pending.err then held = pending[1] end
  return redis.call('XLEN', key) - held
end

-- {stream}: entries that no worker has taken
local function count_undelivered(keys)
  return undelivered(keys[1])
end

-- {stream}: milliseconds since the first entry that no worker has taken was added; 0 without one
local function oldest(keys)
  local groups, last = redis.pcall('XINFO', 'GROUPS', keys[1]), '0-0'
  if groups.err then return 0 end
  for _, flat in ipairs(groups) do
    local group = {}
    for i = 1, #flat, 2 do group[flat[i]] = flat[i + 1] end
    if group.name == GROUP then last = group['last-delivered-id'] end
  end
  local first = redis.call('XRANGE', keys[1], '(' .. last, '+', 'COUNT', 1)[1]
  if not first then return 0 end
  local now = redis.call('TIME')
  local added = tonumber(string.match(first[1], '%d+'))
  return math.max(0, math.floor(now[1] * 1000 + now[2] / 1000 - added))
end

-- {streams by priority …, times of ends}; priority, job, depth (0: none): id or {waiting, times}
local function enqueue(keys, args)
  local limit, waiting = tonumber(args[3]), 0
  for i = 1, #keys - 1 do waiting = waiting + undelivered(keys[i]) end
  if limit > 0 and waiting >= limit then
    return {waiting, redis.call('LRANGE', keys[#keys], 0, -1)}
  end
  local key = keys[tonumber(args[1])]
  redis.pcall('XGROUP', 'CREATE', key, GROUP, '0', 'MKSTREAM')
  return redis.call('XADD', key, '*', 'job', args[2])
end

-- {job}; entry: the job waits in its queue, for as long as it takes
local function queued(keys, args)
  local known = read(keys[1], 'state', 'entry')
  if not known.state then return 0 end
  if not known.entry then redis.call('HSET', keys[1], 'entry', args[1]) end
  if not FINAL[known.state] then redis.call('PERSIST', keys[1]) end
  return 1
end

-- {streams by priority …}; worker, count, lease in ms: {priority, entry, job} …
local function take(keys, args)
  local worker, left, found = args[1], tonumber(args[2]), {}
  local function keep(priority, entries)
    for _, entry in ipairs(entries) do
      found[#found + 1] = {priority, entry[1], entry[2][2]}
      left = left - 1
    end
  end
  for priority, key in ipairs(keys) do
    if left > 0 and redis.call('EXISTS', key) == 1 then
      redis.pcall('XGROUP', 'CREATE', key, GROUP, '0')
      local cursor = '0-0'
      repeat
        local claimed = redis.call('XAUTOCLAIM', key, GROUP, worker, args[3], cursor,
          'COUNT', left)
        cursor = claimed[1]
        keep(priority, claimed[2])
      until cursor == '0-0' or left <= 0
      if left > 0 then
        local new = redis.call('XREADGROUP', 'GROUP', GROUP, worker, 'COUNT', left,
          'STREAMS', key, '>')
        if new then keep(priority, new[1][2]) end
      end
    end
  end
  return found
end

-- {job, out}; entry, worker, now, deliveries, what a late job says: {'begun', attempt, job, payload,
-- entries, whether it is suspect}, or {'ended'}, {'gone'}, {'dead', error}: to be buried and given
-- up, which whoever takes it next is told again until it is done
local function begin(keys, args)
  local job = read(keys[1], 'state', 'attempt', 'deadline', 'stalls', 'entry', 'cancel', 'error',
    'worker', 'entries')
  if not job.state or FINAL[job.state] or (job.entry and job.entry ~= args[1]) then
    return {'gone'}
  end
  local attempt, stalls, number = job.attempt + 1, tonumber(job.stalls), job.entries + 1
  if job.worker and job.worker ~= '' then
    job.error = job.worker .. ' was lost in attempt ' .. job.attempt
  end
  if attempt == 1 and job.deadline ~= '' and tonumber(args[3]) >= tonumber(job.deadline) then
    append(keys, number, 'failed', args[5], '', '')
    return {'ended'}
  end
  local dead = stalls >= tonumber(args[4]) and not job.cancel
  redis.call('HSET', keys[1], 'entry', args[1], 'attempt', attempt,
    'worker', dead and '' or args[2], 'stalls', math.max(1, stalls), 'error', job.error or '')
  redis.call('PERSIST', keys[1])
  if job.cancel then
    append(keys, number, 'canceled', '{}', '', '')
    return {'ended'}
  end
  if dead then return {'dead', job.error or ''} end
  local told = redis.call('HMGET', keys[1], 'job', 'payload')
  return {'begun', attempt, told[1], told[2], redis.call('XRANGE', keys[2], '-', '+'),
    stalls > 0 and 1 or 0}
end

-- {dead}; job, error, now, about how many are kept: once for each job, however often it is said
local function bury(keys, args)
  for _, entry in ipairs(redis.call('XREVRANGE', keys[1], '+', '-', 'COUNT', 100)) do
    if entry[2][2] == args[1] then return 0 end
  end
  redis.call('XADD', keys[1], 'MAXLEN', '~', args[4], '*', 'job', args[1], 'error', args[2],
    'at', args[3])
  return 1
end

-- {job, out}; what it says: ends a job that is buried
local function give_up(keys, args)
  local job = read(keys[1], 'state', 'entries')
  if not job.state or FINAL[job.state] then return 0 end
  append(keys, job.entries + 1, 'failed', args[1], '', '')
  return 1
end

-- {job, out}; attempt, number of the first entry, then event, data, payload, exact, progress of
-- each: 1, or 0 where a newer attempt exists or the job has ended. Repeating it changes nothing.
local function publish(keys, args)
  local job = read(keys[1], 'state', 'attempt', 'entries')
  local first, count = tonumber(args[2]), (#args - 2) / 5
  if not job.state or job.attempt ~= args[1] then return 0 end
  local known = tonumber(job.entries)
  if FINAL[job.state] and first + count - 1 > known then return 0 end
  for i = 0, count - 1 do
    if first + i > known then
      local event, data, payload, exact, progress = unpack(args, 3 + 5 * i, 7 + 5 * i)
      if job.state == 'queued' then redis.call('HSET', keys[1], 'state', 'running') end
      if progress ~= '' then redis.call('HSET', keys[1], 'progress', progress) end
      if event == 'output' then redis.call('HSET', keys[1], 'stalls', 0) end
      append(keys, first + i, event, data, payload, exact)
    end
  end
  return 1
end

-- {job}; attempt: a suspect is tried again
local function risk(keys, args)
  if redis.call('HGET', keys[1], 'attempt') ~= args[1] then return 0 end
  return redis.call('HINCRBY', keys[1], 'stalls', 1)
end

-- {job}; worker, attempt, error: whoever takes it next need not say that this worker was lost
local function let_go(keys, args)
  local job = read(keys[1], 'worker', 'attempt')
  if job.worker ~= args[1] or job.attempt ~= args[2] then return 0 end
  redis.call('HSET', keys[1], 'worker', '')
  if args[3] ~= '' then redis.call('HSET', keys[1], 'error', args[3]) end
  return 1
end

-- {stream}; worker, idle in ms, entries …: those that are still the worker's have that idle time
local function touch(keys, args)
  for i = 3, #args do
    local found = redis.pcall('XPENDING', keys[1], GROUP, args[i], args[i], 1)
    if not found.err and found[1] and found[1][2] == args[1] then
      redis.call('XCLAIM', keys[1], GROUP, args[1], 0, args[i], 'IDLE', args[2], 'JUSTID')
    end
  end
  return 1
end

-- {stream, times of ends}; entry, now, how many times are kept
local function ack(keys, args)
  redis.pcall('XACK', keys[1], GROUP, args[1])
  if redis.call('XDEL', keys[1], args[1]) == 1 then
    redis.call('LPUSH', keys[2], args[2])
    redis.call('LTRIM', keys[2], 0, args[3] - 1)
  end
  return 1
end

-- {job, out}: 'unknown', 'over', 'asked' or 'ended'
local function cancel(keys, args)
  local job = read(keys[1], 'state', 'attempt', 'entries')
  if not job.state then return 'unknown' end
  if FINAL[job.state] then return 'over' end
  redis.call('HSET', keys[1], 'cancel', 1)
  if tonumber(job.attempt) > 0 then return 'asked' end
  append(keys, job.entries + 1, 'canceled', '{}', '', '')
  return 'ended'
end

-- {job}; when it goes on by itself, empty: now: 'unknown', 'over' or 'asked'
local function pause(keys, args)
  local state = redis.call('HGET', keys[1], 'state')
  if not state then return 'unknown' end
  if FINAL[state] then return 'over' end
  if args[1] == '' then
    redis.call('HDEL', keys[1], 'pause')
  else
    redis.call('HSET', keys[1], 'pause', args[1])
  end
  return 'asked'
end

-- {job, out}; what it says: fails a job that no worker has taken; 1 where that was so
local function refuse(keys, args)
  local job = read(keys[1], 'state', 'attempt', 'entries')
  if not job.state or FINAL[job.state] or tonumber(job.attempt) > 0 then return 0 end
  append(keys, job.entries + 1, 'failed', args[1], '', '')
  return 1
end

-- {jobs by when they may go, bytes by job, their sum}; job, bytes, limit, now: 0 or 1 (room), jobs
-- that were dropped for it. Finished jobs go, oldest first, before a new one is refused.
local function hold(keys, args)
  local need, limit, dropped = tonumber(args[2]), tonumber(args[3]), {}
  local sum = tonumber(redis.call('GET', keys[3]) or 0)
  local function drop(jobs)
    for _, job in ipairs(jobs) do
      sum = sum - (redis.call('HGET', keys[2], job) or 0)
      redis.call('HDEL', keys[2], job)
      redis.call('ZREM', keys[1], job)
      dropped[#dropped + 1] = job
    end
    return #jobs > 0
  end
  drop(redis.call('ZRANGEBYSCORE', keys[1], '-inf', args[4], 'LIMIT', 0, 1000))
  if redis.call('HEXISTS', keys[2], args[1]) == 0 then
    while sum + need > limit do
      if not drop(redis.call('ZRANGEBYSCORE', keys[1], '-inf', '(+inf', 'LIMIT', 0, 1)) then
        redis.call('SET', keys[3], sum)
        return {0, dropped}
      end
    end
    redis.call('ZADD', keys[1], args[4] + 60, args[1])  -- until it is queued
    redis.call('HSET', keys[2], args[1], need)
    sum = sum + need
  end
  redis.call('SET', keys[3], sum)
  return {1, dropped}
end

-- {as for hold}; job, the time given to hold: it waits for as long as it takes, unless it has ended
local function keep(keys, args)
  if tonumber(redis.call('ZSCORE', keys[1], args[1]) or 0) == args[2] + 60 then
    redis.call('ZADD', keys[1], '+inf', args[1])
  end
  return 1
end

-- {as for hold}; job: it holds nothing any more
local function unhold(keys, args)
  local held = redis.call('HGET', keys[2], args[1])
  if held then redis.call('INCRBY', keys[3], -held) end
  redis.call('HDEL', keys[2], args[1])
  return redis.call('ZREM', keys[1], args[1])
end

-- {stream}; idle in ms: forget workers that hold nothing and have not pulled for so long
local function tidy(keys, args)
  local found = redis.pcall('XINFO', 'CONSUMERS', keys[1], GROUP)
  if found.err then return 0 end
  for _, one in ipairs(found) do
    local worker = {}
    for i = 1, #one, 2 do worker[one[i]] = one[i + 1] end
    if worker.pending == 0 and worker.idle >= tonumber(args[1]) then
      redis.call('XGROUP', 'DELCONSUMER', keys[1], GROUP, worker.name)
    end
  end
  return 1
end

-- {when, reports}; worker, report
local function beat(keys, args)
  local now = redis.call('TIME')
  redis.call('ZADD', keys[1], now[1] + now[2] / 1e6, args[1])
  redis.call('HSET', keys[2], args[1], args[2])
  return 1
end

-- {when, reports}; seconds after which a worker that says nothing is gone: reports
local function workers(keys, args)
  local now = redis.call('TIME')
  local oldest = now[1] + now[2] / 1e6 - args[1]
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', keys[1], '-inf', oldest)) do
    redis.call('ZREM', keys[1], worker)
    redis.call('HDEL', keys[2], worker)
  end
  return redis.call('HVALS', keys[2])
end

local function register(name, callback)
  redis.register_function('a2_' .. name, callback)
end

local function register_freeing(name, callback)  -- it must work where no memory is left
  redis.register_function{
    function_name = 'a2_' .. name, callback = callback, flags = {'allow-oom'}}
end

register('create', create)
register('enqueue', enqueue)
register('take', take)
register('begin', begin)
register('publish', publish)
register('bury', bury)
register('give_up', give_up)
register('hold', hold)
register('risk', risk)
register_freeing('queued', queued)
register_freeing('undelivered', count_undelivered)
register_freeing('oldest', oldest)
register_freeing('let_go', let_go)
register_freeing('touch', touch)
register_freeing('ack', ack)
register_freeing('cancel', cancel)
register_freeing('pause', pause)
register_freeing('refuse', refuse)
register_freeing('keep', keep)
register_freeing('unhold', unhold)
register_freeing('tidy', tidy)
register_freeing('beat', beat)
register_freeing('workers', workers)
