#!lua name=callgate_keeping_v1
-- What the keeper does to the ledger: it trims what is archived, buries what is over, and fills a
-- partition anew whose store was lost. One atomic step a function; each checks again what it was
-- told, so that a keeper that slept through the work of another changes nothing.
--
-- While a partition is filled anew its hash of accounts has no `meta`, so that nothing is decided in
-- it, but the field `rebuild`: the epoch it is being filled for.

local BATCH = 1000 -- Values in one command; Lua's stack holds no more than some thousands.

-- Read the epoch, place and nonce of a journal's last entry; nil where there is none.
local function last_entry(journal)
  local last = redis.call('XREVRANGE', journal, '+', '-', 'COUNT', 1)[1]
  if not last then return nil end
  local epoch, nonce = string.match(last[2][2], '^(%d+) (%S+) ')
  return { epoch = tonumber(epoch), n = string.match(last[1], '^(%d+)'), nonce = nonce }
end

-- Say whether a partition is being filled for this very epoch.
local function is_filled_for(accounts, epoch)
  return redis.call('HGET', accounts, 'rebuild') == epoch
end

-- trim: drop archived entries, all before one that is archived itself and stays.
--   KEYS   journal
--   ARGV   n of the entry that stays, its nonce, epoch
--   reply  how many were dropped, or -1 where that entry is not there or another one
local function trim(keys, args)
  local id = args[1] .. '-0'
  local entry = redis.call('XRANGE', keys[1], id, id)[1]
  if not entry or string.match(entry[2][2], '^%d+ %S+ ') ~= args[3] .. ' ' .. args[2] .. ' ' then
    return -1
  end
  return redis.call('XTRIM', keys[1], 'MINID', id)
end

-- bury: let records of calls go some time after their ends were archived, but of none that runs.
--   KEYS   calls
--   ARGV   lifetime_ms
--   reply  how many will go
local function bury(keys, args)
  local buried = 0
  for _, key in ipairs(keys) do
    local record = redis.call('GET', key)
    if record and string.sub(record, 1, 5) ~= 'live\n' then buried = buried + redis.call('PEXPIRE', key, args[1]) end
  end
  return buried
end

-- look: read fields of a partition and its index of reservations as they are at one moment.
--   KEYS   accounts, expiry
--   ARGV   the fields
--   reply  how many reservations the index names, then the fields' values
local function look(keys, args)
  local reply = { redis.call('ZCARD', keys[2]) }
  for start = 1, #args, BATCH do
    local values = redis.call('HMGET', keys[1], unpack(args, start, math.min(start + BATCH - 1, #args)))
    for i = 1, #values do reply[#reply + 1] = values[i] end
  end
  return reply
end

-- close: empty a lost partition; from here on nothing is decided in it.
--   KEYS   accounts, expiry, journal
--   ARGV   epoch that will follow, n and nonce of the last entry or '' and ''
--   reply  1 | 0 where the journal ends elsewhere or another rebuild was faster
local function close(keys, args)
  local epoch, last = tonumber(args[1]), last_entry(keys[3])
  local begun = redis.call('HGET', keys[1], 'rebuild')
  if begun and tonumber(begun) >= epoch then return 0 end
  if last and (last.epoch >= epoch or last.n ~= args[2] or last.nonce ~= args[3]) then return 0 end
  if not last and args[2] ~= '' then return 0 end
  redis.call('DEL', keys[1], keys[2], keys[3])
  redis.call('HSET', keys[1], 'rebuild', args[1])
  return 1
end

-- drop: delete records of calls of a partition that is being filled anew.
--   KEYS   accounts, the calls
--   ARGV   epoch
--   reply  1 | 0 where another rebuild was faster
local function drop(keys, args)
  if not is_filled_for(keys[1], args[1]) then return 0 end
  for i = 2, #keys do redis.call('DEL', keys[i]) end
  return 1
end

-- restore: write fields of accounts anew, as the archive knows them.
--   KEYS   accounts
--   ARGV   epoch, then field, value ...
--   reply  1 | 0 where another rebuild was faster
local function restore(keys, args)
  if not is_filled_for(keys[1], args[1]) then return 0 end
  for start = 2, #args, BATCH do
    redis.call('HSET', keys[1], unpack(args, start, math.min(start + BATCH - 1, #args)))
  end
  return 1
end

-- reopen: begin the journal of a partition whose accounts are all written.
--   KEYS   accounts, journal
--   ARGV   epoch, n, nonce, nonce before it, now_ms, time until which grants are small
--   reply  1 | 0 where another rebuild was faster
local function reopen(keys, args)
  if not is_filled_for(keys[1], args[1]) then return 0 end
  local epoch, n, nonce, previous, times = args[1], args[2], args[3], args[4], args[5] .. ' ' .. args[6]
  redis.call('XADD', keys[2], n .. '-0', 'meta', table.concat({ epoch, nonce, previous, times }, ' '),
    'kind', 'reopened', 'body', '')
  redis.call('HSET', keys[1], 'meta', table.concat({ epoch, n, nonce, times }, ' '))
  redis.call('HDEL', keys[1], 'rebuild')
  return 1
end

-- hold: take a lease that nobody holds, or hold one's own for longer.
--   KEYS   lease
--   ARGV   who, lifetime_ms
--   reply  1 | 0 where somebody else holds it
local function hold(keys, args)
  local holder = redis.call('GET', keys[1])
  if holder and holder ~= args[1] then return 0 end
  redis.call('SET', keys[1], args[1], 'PX', args[2])
  return 1
end

-- let_go: give one's own lease back.
--   KEYS   lease
--   ARGV   who
--   reply  1 | 0 where somebody else holds it
local function let_go(keys, args)
  if redis.call('GET', keys[1]) ~= args[1] then return 0 end
  return redis.call('DEL', keys[1])
end

-- sweep: forget tallies of past periods that hold nothing, and debits and refunds of long ago.
--   KEYS   accounts
--   ARGV   the fields
--   reply  how many were forgotten
local function sweep(keys, args)
  local gone = {}
  for _, field in ipairs(args) do
    local text = redis.call('HGET', keys[1], field)
    if text and (string.find(text, '^%d+ 0$') or string.find(text, '^debit ')
      or string.find(text, '^refund ')) then table.insert(gone, field) end
  end
  return #gone > 0 and redis.call('HDEL', keys[1], unpack(gone)) or 0
end

redis.register_function('callgate_keeping_v1_look', look)
redis.register_function('callgate_keeping_v1_trim', trim)
redis.register_function('callgate_keeping_v1_bury', bury)
redis.register_function('callgate_keeping_v1_close', close)
redis.register_function('callgate_keeping_v1_drop', drop)
redis.register_function('callgate_keeping_v1_restore', restore)
redis.register_function('callgate_keeping_v1_reopen', reopen)
redis.register_function('callgate_keeping_v1_hold', hold)
redis.register_function('callgate_keeping_v1_let_go', let_go)
redis.register_function('callgate_keeping_v1_sweep', sweep)
