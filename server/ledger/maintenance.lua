#!lua name=callgate_keeping_v2
-- What the keeper does to the ledger: it trims what is archived, buries what is over, and fills a
-- partition anew whose store was lost. One atomic step a function; each checks again what it was
-- told, so that a keeper that slept through the work of another changes nothing.
--
-- While a partition is filled anew its hash of accounts has no `meta`, so that nothing is decided in
-- it, but the field `rebuild`: the epoch it is being filled for. Where the journal alone was lost all
-- else stays, and `carried` is what `meta` was. `archived` is epoch, place and nonce of the last entry
-- that was archived.

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

-- trim: drop archived entries, all before one that is archived itself and stays; note which that is.
--   KEYS   journal, accounts
--   ARGV   n of the entry that stays, its nonce, epoch
--   reply  how many were dropped, or -1 where that entry is not there or another one
local function trim(keys, args)
  local id = args[1] .. '-0'
  local entry = redis.call('XRANGE', keys[1], id, id)[1]
  if not entry or string.match(entry[2][2], '^%d+ %S+ ') ~= args[3] .. ' ' .. args[2] .. ' ' then
    return -1
  end
  if redis.call('HEXISTS', keys[2], 'meta') == 1 then
    redis.call('HSET', keys[2], 'archived', args[3] .. ' ' .. args[1] .. ' ' .. args[2])
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

-- look: read fields of a partition, its index of reservations and the end of its journal as they are
-- at one moment.
--   KEYS   accounts, expiry, journal
--   ARGV   the fields
--   reply  how many reservations the index names, place of the last entry, then the fields' values
local function look(keys, args)
  local last = last_entry(keys[3])
  local reply = { redis.call('ZCARD', keys[2]), last and tonumber(last.n) or 0 }
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

-- Say whether a journal that begins with `first` lacks entries on the way to where the partition
-- stands, `n`, though the one at which the archive stands is there.
local function is_cut(journal, at, first, n, nonce)
  local there = redis.call('XRANGE', journal, at.n .. '-0', at.n .. '-0')[1]
  if not there or string.match(there[2][2], '^%d+ (%S+) ') ~= at.nonce then return false end
  local last = last_entry(journal)
  if last.n + 0 > n or (last.n + 0 == n and last.nonce ~= nonce) then return false end
  return redis.call('XLEN', journal) ~= n - first + 1
end

-- Say whether a partition lost nothing but its journal, or some of it: its line goes on from where
-- the archive stands, but the entry at that place is gone, though nothing after it was ever archived,
-- or some after it are.
local function lost_its_journal(accounts, journal, at)
  local epoch, n, nonce = string.match(redis.call('HGET', accounts, 'meta') or '', '^(%d+) (%d+) (%S+) ')
  if not epoch or n + 0 < at.n or (n + 0 == at.n and nonce ~= at.nonce) then return false end
  local first = redis.call('XRANGE', journal, '-', '+', 'COUNT', 1)[1]
  local from = first and string.match(first[1], '^%d+') + 0
  if from and from <= at.n then return is_cut(journal, at, from, n + 0, nonce) end
  local of_epoch, of_n, of_nonce =
    string.match(redis.call('HGET', accounts, 'archived') or '', '^(%d+) (%d+) (%S+)$')
  -- Nobody wrote it down before this version: then a journal that is there may have been trimmed.
  if not of_epoch then return epoch == at.epoch and not first end
  if of_n + 0 == at.n and of_nonce == at.nonce then return true end
  return epoch == at.epoch and of_epoch == epoch and of_n + 0 < at.n
end

-- set_aside: shut a partition that lost its journal alone, and leave all else in it as it is.
--   KEYS   accounts, journal
--   ARGV   epoch that will follow; epoch, n and nonce at which the archive stands
--   reply  1 | 0 where it lost something else, or another rebuild was faster
local function set_aside(keys, args)
  local begun = redis.call('HGET', keys[1], 'rebuild')
  if begun and tonumber(begun) >= tonumber(args[1]) then return 0 end
  if redis.call('HEXISTS', keys[1], 'carried') == 0 then
    local at = { epoch = args[2], n = tonumber(args[3]), nonce = args[4] }
    if not lost_its_journal(keys[1], keys[2], at) then return 0 end
    redis.call('HSET', keys[1], 'carried', redis.call('HGET', keys[1], 'meta'))
    redis.call('HDEL', keys[1], 'meta')
    redis.call('DEL', keys[2])
  end
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
  redis.call('HSET', keys[1], 'meta', table.concat({ epoch, n, nonce, times }, ' '),
    'archived', table.concat({ epoch, n, nonce }, ' '))
  redis.call('HDEL', keys[1], 'rebuild', 'carried')
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

-- sweep: forget tallies of past periods that hold nothing, and lots, debits and refunds of long ago.
--   KEYS   accounts
--   ARGV   the fields
--   reply  how many were forgotten
local function sweep(keys, args)
  local gone = {}
  for _, field in ipairs(args) do
    local text = redis.call('HGET', keys[1], field)
    local kind = string.match(text or '', '^%l[%l_]+')
    local is_known = kind == 'debit' or kind == 'refund' or kind == 'ruled_out' or kind == 'lot'
    if text and (string.find(text, '^%d+ 0$') or is_known) then table.insert(gone, field) end
  end
  return #gone > 0 and redis.call('HDEL', keys[1], unpack(gone)) or 0
end

redis.register_function('callgate_keeping_v2_look', look)
redis.register_function('callgate_keeping_v2_trim', trim)
redis.register_function('callgate_keeping_v2_bury', bury)
redis.register_function('callgate_keeping_v2_close', close)
redis.register_function('callgate_keeping_v2_set_aside', set_aside)
redis.register_function('callgate_keeping_v2_drop', drop)
redis.register_function('callgate_keeping_v2_restore', restore)
redis.register_function('callgate_keeping_v2_reopen', reopen)
redis.register_function('callgate_keeping_v2_hold', hold)
redis.register_function('callgate_keeping_v2_let_go', let_go)
redis.register_function('callgate_keeping_v2_sweep', sweep)
