#!lua name=callgate_v1
-- The ledger: takes from the purses of a call, in their order, what there is. One atomic step a function.
--
-- Keys (all of one partition; spelled in keys.py, described in docs/ledger.md):
--   account   hash    sums of money, tallies of pools and of spending, running calls, flags
--   lots      hash    lot id -> "expire_ms purchase_ms left_micros voided", those with something left
--   known     hash    id of a top-up, debit or refund -> what it was, so that it is applied once
--   call      hash    one call and the last answer about it
--   other     hash    the refusal of a call whose id another gateway has in use
--   expiry    zset    "<call>:<tenant>" by the time at which its reservation lapses
--   journal   stream  one entry a change; the last one is also the partition's epoch, place and time
--
-- A failing command leaves what was written before it. So every function reads, checks and formats
-- first, and `commit` alone writes, without a branch that could still fail.

local MAX_WHOLE = 9007199254740991 -- Doubles skip whole numbers above it.
local SECONDS_PER_MINUTE = 60
local RING_LIMIT_MS = 180000 -- A called party may ring this long before the first report is due.
local REPORT_GRACE_MS = 30000 -- A report may come this long after the granted seconds.
local REFUSAL_LIFETIME_MS = 120000
local PLENTY = 4 -- A contended purse gives a quarter of what is left of it, or the floor.
local CHUNK_BYTES = 64 -- One longer value would cost a hash its compact encoding.

local FROZEN, BALANCE_MISSING, SPEND_LIMIT_REACHED = 4, 13, 15
local CONCURRENT_CALLS, CALL_ID_IN_USE = 16, 17
-- What is told only where the number of calls and the call id are in order (precedence of reasons).
local TOLD_LAST = { [18] = true, [19] = true, [20] = true }

local ACCOUNT_FLAGS = { 'digest', 'frozen', 'watched_until_ms', 'lots_due_ms' }
local HELD_SUMS = { 'available', 'reserved', 'post_paid' }
local ALL_SUMS = {
  'available', 'reserved', 'post_paid', 'funded', 'debited', 'refunded', 'expired', 'voided', 'owed',
}

-- Numbers and text ----------------------------------------------------------------------------

-- Stop with an error that names the damaged record; nothing has been written yet.
local function damaged(what)
  error(redis.error_reply('DAMAGED ' .. what))
end

-- Read a whole number that is not negative.
local function whole(text, what)
  local number = text and string.find(text, '^%d+$') and tonumber(text)
  if not number or number > MAX_WHOLE then damaged(what) end
  return number
end

-- Read a whole number.
local function signed(text, what)
  if text and string.find(text, '^%-[1-9]%d*$') then return -whole(string.sub(text, 2), what) end
  return whole(text, what)
end

-- Write a whole number. Redis would be sent 1e+17 and -0 otherwise, and refuses them.
local function digits(number)
  if not (number <= MAX_WHOLE and number >= -MAX_WHOLE) then damaged('a sum') end
  return string.format('%d', number)
end

-- Divide whole numbers and round down; exact, as the quotient of two doubles is not.
local function floor_div(number, divisor)
  return (number - math.fmod(number, divisor)) / divisor
end

-- Divide whole numbers and round up.
local function ceil_div(number, divisor)
  return floor_div(number + divisor - 1, divisor)
end

-- Rating: policy/rating.py in Lua -------------------------------------------------------------

-- Round talked seconds up to whole increments.
local function charged_seconds(rate, seconds)
  if seconds <= 0 then return 0 end
  local beyond_first = math.max(0, seconds - rate.first)
  return rate.first + ceil_div(beyond_first, rate.following) * rate.following
end

-- Price seconds of one purse in one call, without the connection fee, rounded up to a micro.
local function price_micros(rate, seconds)
  local product = rate.per_minute * charged_seconds(rate, seconds)
  if product > MAX_WHOLE - SECONDS_PER_MINUTE then damaged('a price') end
  return ceil_div(product, SECONDS_PER_MINUTE)
end

-- Say how many seconds, in whole increments, `micros` buys: at least the first or 0.
local function affordable_seconds(rate, micros, limit_seconds)
  if price_micros(rate, limit_seconds) <= micros then return charged_seconds(rate, limit_seconds) end
  if price_micros(rate, rate.first) > micros then return 0 end
  local bought = floor_div(micros * SECONDS_PER_MINUTE, rate.per_minute)
  return rate.first + floor_div(bought - rate.first, rate.following) * rate.following
end

-- Purses --------------------------------------------------------------------------------------

-- Read a pool: its own tally first, then those of the plan that can stop it.
local function pool_purse(reason, field, size, others)
  local purse = { kind = 'P', reason = reason, tallies = { field }, sizes = { whole(size, 'size') } }
  for other, other_size in string.gmatch(others, '\31([^\31]+)\31(%d+)') do
    table.insert(purse.tallies, other)
    table.insert(purse.sizes, whole(other_size, 'size'))
  end
  return purse
end

-- Read one purse as RedisLedger wrote it: F, P or C and its fields.
local function parse_purse(text)
  if text == 'F' then return { kind = 'F' } end
  local reason, field, size, others = string.match(text, '^P\31(%d+)\31([^\31]+)\31(%d+)(.*)$')
  if reason then return pool_purse(reason, field, size, others) end
  local per_minute, fee, first, following, overdraft, post_paid, positive, why, limit, spend = string.match(
    text, '^C\31(%d+)\31(%d+)\31(%d+)\31(%d+)\31(%d+)\31([01])\31([01])\31(%d+)\31(%d*)\31(.*)$')
  if not per_minute then damaged('a purse') end
  return {
    kind = 'C', reason = why, per_minute = whole(per_minute, 'rate'), fee = whole(fee, 'rate'),
    first = whole(first, 'rate'), following = whole(following, 'rate'),
    overdraft = whole(overdraft, 'overdraft'), post_paid = post_paid == '1', positive = positive == '1',
    limit = limit ~= '' and whole(limit, 'limit'), tallies = spend ~= '' and { spend } or {},
  }
end

-- Read the purses out of what a call was asked with: its id, its purses, the context of its answer.
local function parse_facts(facts)
  local list = string.match(facts, '^[^\29]*\29([^\29]*)\29')
  if not list then damaged('the facts of a call') end
  local purses = {}
  for text in string.gmatch(list, '[^\30]+') do table.insert(purses, parse_purse(text)) end
  return purses, list
end

-- The partition: journal and time -------------------------------------------------------------

-- Read the partition's state, which is its journal's last entry; nil where there is none.
local function open_partition(journal, now_ms)
  local last = redis.call('XREVRANGE', journal, '+', '-', 'COUNT', 1)[1]
  if not last then return nil end
  local n = string.match(last[1], '^(%d+)%-0$')
  local epoch, nonce, time_ms, small_until_ms =
    string.match(last[2][2], '^(%d+) (%S+) %S+ (%d+) (%d+)$')
  if not n or not epoch then damaged('journal') end
  return {
    epoch = epoch, n = whole(n, 'journal'), nonce = nonce, small_until_ms = whole(small_until_ms, 'journal'),
    now_ms = math.max(whole(now_ms, 'now_ms'), whole(time_ms, 'journal')), entries = {},
  }
end

-- Plan the partition's next journal entry.
local function note(part, kind, nonce, body)
  part.n = part.n + 1
  local meta = part.epoch .. ' ' .. nonce .. ' ' .. part.nonce .. ' ' .. digits(part.now_ms) .. ' '
    .. digits(part.small_until_ms)
  part.nonce = nonce
  table.insert(part.entries, { digits(part.n) .. '-0', meta, kind, table.concat(body, '\n') })
end

-- The account ---------------------------------------------------------------------------------

-- Read one tally, "debited held"; one that is not there yet is zero.
local function parse_tally(text)
  if not text then return { done = 0, held = 0, was = '0 0' } end
  local done, held = string.match(text, '^(%d+) (%d+)$')
  if not done then damaged('a tally') end
  return { done = whole(done, 'a tally'), held = whole(held, 'a tally'), was = text }
end

-- List the account's fields that these calls touch: tallies of their purses, counts of running calls.
local function fields_of(calls)
  local tallies, counts, seen = {}, {}, {}
  for _, call in ipairs(calls) do
    for _, purse in ipairs(call.purses) do
      for _, field in ipairs(purse.tallies or {}) do
        if not seen[field] then table.insert(tallies, field) end
        seen[field] = true
      end
    end
    if call.counted ~= '' and not seen[call.counted] then
      table.insert(counts, call.counted)
      seen[call.counted] = true
    end
  end
  return tallies, counts
end

-- Read an account: flags, `sums`, and what `calls` touch; nil where it was never opened.
local function load_account(key, sums, calls)
  local tallies, counts = fields_of(calls)
  local names, n = {}, 0
  for _, list in ipairs({ ACCOUNT_FLAGS, sums, tallies, counts }) do
    for _, name in ipairs(list) do
      n = n + 1
      names[n] = name
    end
  end
  local values = redis.call('HMGET', key, unpack(names))
  if not values[1] then return nil end
  local acct = { key = key, digest = values[1], frozen = values[2] == '1', sums = sums, tally = {}, count = {}, was = {} }
  acct.watched_until_ms = values[3] and whole(values[3], 'watched_until_ms') or 0
  acct.lots_due_ms = whole(values[4], 'lots_due_ms')
  acct.lots_due_was = acct.lots_due_ms
  n = #ACCOUNT_FLAGS
  for i, name in ipairs(sums) do
    local text = values[n + i]
    if text or name ~= 'available' then acct[name] = signed(text, name) end
    acct.was[name] = acct[name]
  end
  n = n + #sums
  for i, field in ipairs(tallies) do acct.tally[field] = parse_tally(values[n + i]) end
  n = n + #tallies
  for i, field in ipairs(counts) do acct.count[field] = whole(values[n + i] or '0', field) end
  acct.count_was = {}
  for field, count in pairs(acct.count) do acct.count_was[field] = count end
  return acct
end

-- Format what changed in an account, as field, value, field, value ...
local function account_changes(acct)
  local changes = {}
  local function put(field, value)
    table.insert(changes, field)
    table.insert(changes, value)
  end
  for _, name in ipairs(acct.sums) do
    if acct[name] ~= acct.was[name] then put(name, digits(acct[name])) end
  end
  for field, tally in pairs(acct.tally) do
    local text = digits(tally.done) .. ' ' .. digits(tally.held)
    if text ~= tally.was then put(field, text) end
  end
  for field, count in pairs(acct.count) do
    if count ~= acct.count_was[field] then put(field, digits(count)) end
  end
  if acct.lots_due_ms ~= acct.lots_due_was then put('lots_due_ms', digits(acct.lots_due_ms)) end
  return changes
end

-- A call --------------------------------------------------------------------------------------

-- Read a hash as a table; nil where there is none.
local function read_hash(key)
  local flat = redis.call('HGETALL', key)
  if #flat == 0 then return nil end
  local record = {}
  for i = 1, #flat, 2 do record[flat[i]] = flat[i + 1] end
  return record
end

-- Write segments as "purse from to held", joined by commas.
local function segments_text(segments)
  local parts = {}
  for i, s in ipairs(segments) do
    parts[i] = digits(s.purse - 1) .. ' ' .. digits(s.from) .. ' ' .. digits(s.to) .. ' ' .. digits(s.held)
  end
  return table.concat(parts, ',')
end

-- Read segments, and nothing but segments.
local function parse_segments(text)
  local segments = {}
  for purse, from, to, held in string.gmatch(text or '', '(%d+) (%d+) (%d+) (%d+)') do
    table.insert(segments, {
      purse = whole(purse, 'segments') + 1, from = whole(from, 'segments'),
      to = whole(to, 'segments'), held = whole(held, 'segments'),
    })
  end
  if segments_text(segments) ~= text then damaged('segments') end
  return segments
end

-- Write what the purses paid so far as "purse seconds micros", joined by commas.
local function uses_text(uses)
  local parts = {}
  for index, use in pairs(uses) do
    if use.seconds > 0 then
      table.insert(parts, digits(index - 1) .. ' ' .. digits(use.seconds) .. ' ' .. digits(use.micros))
    end
  end
  table.sort(parts)
  return table.concat(parts, ',')
end

-- Read what the purses paid so far.
local function parse_uses(text)
  local uses = {}
  for purse, seconds, micros in string.gmatch(text or '', '(%d+) (%d+) (%d+)') do
    uses[whole(purse, 'uses') + 1] = { seconds = whole(seconds, 'uses'), micros = whole(micros, 'uses') }
  end
  if uses_text(uses) ~= text then damaged('uses') end
  return uses
end

-- Join the chunks of a record's facts.
local function facts_of(record)
  local chunks, i = {}, 1
  while record['facts' .. i] do
    chunks[i] = record['facts' .. i]
    i = i + 1
  end
  return table.concat(chunks)
end

-- Unfold a record that holds something, or may be reported on late.
local function open_call(record)
  local facts = facts_of(record)
  local used, overrun, unpaid_seconds, unpaid_micros, late =
    string.match(record.report or '', '^(%d+) (%d+) (%d+) (%d+) ([01])$')
  if not used then damaged('report') end
  local purses, list = parse_facts(facts)
  local call = {
    facts = facts, purses = purses, list = list, counted = record.counted or '',
    unfunded = record.unfunded == '1', opened = record.opened, uses = parse_uses(record.uses),
    used = whole(used, 'report'), overrun = whole(overrun, 'report'), late = late == '1',
    unpaid_seconds = whole(unpaid_seconds, 'report'), unpaid_micros = whole(unpaid_micros, 'report'),
    segments = parse_segments(record.segments), granted = {}, debit = 0,
  }
  call.granted_until = #call.segments > 0 and call.segments[#call.segments].to or call.used
  -- What is over holds nothing; its segments are those of its last answer.
  if record.state ~= 'live' then call.segments = {} end
  for index, use in pairs(call.uses) do call.granted[index] = use.seconds end
  call.to = call.used
  for _, segment in ipairs(call.segments) do
    local index = segment.purse
    if not call.purses[index] or segment.to < segment.from then damaged('segments') end
    call.granted[index] = (call.granted[index] or 0) + segment.to - segment.from
    call.to = segment.to
  end
  return call
end

-- Begin a call of which nothing is known yet.
local function new_call(facts, opened, counted)
  local purses, list = parse_facts(facts)
  return {
    facts = facts, purses = purses, list = list, opened = opened, counted = counted, unfunded = false,
    uses = {}, granted = {}, segments = {}, used = 0, to = 0, overrun = 0, late = false,
    unpaid_seconds = 0, unpaid_micros = 0, granted_until = 0, debit = 0, is_new = true,
  }
end

-- Holding and giving back ---------------------------------------------------------------------

-- Hold money of the account for a call (or give it back, where negative).
local function hold_money(acct, call, purse, micros)
  if call.unfunded and purse.post_paid then
    acct.post_paid = acct.post_paid + micros
  else
    acct.available = acct.available - micros
  end
  acct.reserved = acct.reserved + micros
  for _, field in ipairs(purse.tallies) do acct.tally[field].held = acct.tally[field].held + micros end
end

-- Say how many seconds a plan still gives in the direction of its first tally.
local function pool_room(purse, acct)
  for i, field in ipairs(purse.tallies) do
    if acct.tally[field].done >= purse.sizes[i] then return 0 end
  end
  local tally = acct.tally[purse.tallies[1]]
  return math.max(0, purse.sizes[1] - tally.done - tally.held)
end

-- Say how much money a call may still take by the balance, and by the spend limit.
local function spendable(purse, acct)
  local by_balance, by_limit = math.huge, math.huge
  if not purse.post_paid then
    by_balance = acct.available and acct.available + purse.overdraft or -math.huge
  end
  if purse.limit then
    local tally = acct.tally[purse.tallies[1]]
    by_limit = purse.limit - tally.done - tally.held
  end
  return by_balance, by_limit
end

-- Say how many seconds a purse can give this call, no more than those that cover `limit`.
local function room(purse, index, call, acct, limit)
  if purse.kind == 'F' then return limit end
  if purse.kind == 'P' then return math.min(pool_room(purse, acct), limit) end
  local had = call.granted[index] or 0
  if purse.positive and had == 0 and not (acct.available and acct.available > 0) then return 0 end
  local money = math.min(spendable(purse, acct)) - (call.to == 0 and purse.fee or 0)
  if money < 0 then return 0 end
  return affordable_seconds(purse, money + price_micros(purse, had), had + limit) - had
end

-- Take seconds from one purse for the end of the call.
local function take(call, acct, index, seconds)
  local purse, had, held = call.purses[index], call.granted[index] or 0, 0
  if purse.kind == 'P' then
    local tally = acct.tally[purse.tallies[1]]
    tally.held = tally.held + seconds
  elseif purse.kind == 'C' then
    held = price_micros(purse, had + seconds) - price_micros(purse, had) + (call.to == 0 and purse.fee or 0)
    hold_money(acct, call, purse, held)
  end
  local last = call.segments[#call.segments]
  if last and last.purse == index then
    last.to = last.to + seconds
    last.held = last.held + held
  else
    table.insert(call.segments, { purse = index, from = call.to, to = call.to + seconds, held = held })
  end
  call.granted[index] = had + seconds
  call.to = call.to + seconds
end

-- Walk over the purses in their order for `wanted` more seconds.
local function walk(call, acct, wanted)
  for index, purse in ipairs(call.purses) do
    if wanted <= 0 then return end
    local seconds = room(purse, index, call, acct, wanted)
    if seconds > 0 then
      take(call, acct, index, seconds)
      wanted = wanted - seconds
    end
  end
end

-- Say what a call holds of one of its purses: seconds of a pool, micros of credits.
local function own_held(call, index)
  local held = 0
  for _, segment in ipairs(call.segments) do
    if segment.purse == index then
      held = held + (call.purses[index].kind == 'P' and segment.to - segment.from or segment.held)
    end
  end
  return held
end

-- Say whether other calls hold something of a purse, which may yet come back to it.
local function others_hold(purse, index, call, acct)
  if purse.kind == 'P' then return acct.tally[purse.tallies[1]].held > own_held(call, index) end
  return purse.kind == 'C' and acct.reserved > own_held(call, index)
end

-- Say whether no listed purse can ever give this call more than it has.
local function is_final(call, acct)
  for index, purse in ipairs(call.purses) do
    if others_hold(purse, index, call, acct) or room(purse, index, call, acct, 1) > 0 then return false end
  end
  return true
end

-- Shorten what is wanted where other calls draw on the same purses and they run low.
local function slice(call, acct, part, wanted, floor)
  local least = math.min(wanted, floor)
  if part.now_ms < part.small_until_ms then return least end
  local plenty, there, contended = wanted * PLENTY, 0, false
  for index, purse in ipairs(call.purses) do
    local seconds = room(purse, index, call, acct, plenty)
    there = there + seconds
    if there >= plenty then return wanted end
    contended = contended or (seconds > 0 and others_hold(purse, index, call, acct))
  end
  return contended and math.max(least, math.min(wanted, floor_div(there, PLENTY))) or wanted
end

-- Give back all that a call holds.
local function give_back(call, acct)
  for _, segment in ipairs(call.segments) do
    local purse = call.purses[segment.purse]
    local seconds = segment.to - segment.from
    if purse.kind == 'P' then
      local tally = acct.tally[purse.tallies[1]]
      tally.held = tally.held - seconds
    elseif purse.kind == 'C' then
      hold_money(acct, call, purse, 0 - segment.held)
    end
    call.granted[segment.purse] = call.granted[segment.purse] - seconds
  end
  call.segments, call.to = {}, call.used
end

-- Count a call among the running ones of its account, or no longer.
local function count_running(call, acct, by)
  if call.counted ~= '' then acct.count[call.counted] = math.max(0, acct.count[call.counted] + by) end
end

-- Using --------------------------------------------------------------------------------------

-- Turn the next seconds of one segment into a debit of its purse.
local function use(call, acct, segment, seconds)
  local index = segment.purse
  local purse, paid = call.purses[index], call.uses[index] or { seconds = 0, micros = 0 }
  local field = purse.tallies and purse.tallies[1]
  local micros, amount = 0, 0
  if purse.kind == 'C' then
    micros = price_micros(purse, paid.seconds + seconds) - price_micros(purse, paid.seconds)
      + (segment.from == 0 and purse.fee or 0)
    acct.reserved, acct.debited, segment.held = acct.reserved - micros, acct.debited + micros, segment.held - micros
    if not (call.unfunded and purse.post_paid) then call.debit = call.debit + micros end
    amount = micros
  elseif purse.kind == 'P' then
    amount = seconds
  end
  if field then
    local tally = acct.tally[field]
    tally.done, tally.held = tally.done + amount, tally.held - amount
  end
  call.uses[index] = { seconds = paid.seconds + seconds, micros = paid.micros + micros }
  segment.from = segment.from + seconds
end

-- Fill the segments in order with the seconds used so far.
local function use_segments(call, acct, used)
  local left = {}
  for _, segment in ipairs(call.segments) do
    local seconds = math.min(segment.to, used) - segment.from
    if seconds > 0 then use(call, acct, segment, seconds) end
    if segment.from < segment.to then table.insert(left, segment) end
  end
  call.segments, call.used = left, math.max(call.used, math.min(used, call.to))
end

-- Write down what was talked and nobody pays: its seconds, and what credits would have cost.
local function leave_unpaid(call, seconds)
  for index, purse in ipairs(call.purses) do
    if purse.kind == 'C' then
      local had = (call.granted[index] or 0) + call.unpaid_seconds
      call.unpaid_micros = call.unpaid_micros + price_micros(purse, had + seconds) - price_micros(purse, had)
        + (call.used == 0 and purse.fee or 0)
    end
  end
  call.unpaid_seconds = call.unpaid_seconds + seconds
end

-- Take a cumulative report: debit what was used, walk on over what was talked beyond the grants.
local function report_used(call, acct, used)
  use_segments(call, acct, used)
  if used <= call.used then return end
  call.overrun = call.overrun + math.max(0, used - math.max(call.granted_until, call.used))
  walk(call, acct, used - call.used)
  use_segments(call, acct, used)
  if used > call.used then
    leave_unpaid(call, used - call.used)
    call.used, call.to = used, used
  end
end

-- Lots ----------------------------------------------------------------------------------------

-- Read the lots that still have something, oldest first.
local function open_lots(key)
  local flat, lots = redis.call('HGETALL', key), {}
  for i = 1, #flat, 2 do
    local expire_ms, bought_ms, left, voided = string.match(flat[i + 1], '^(%d+) (%d+) (%d+) ([01])$')
    if not expire_ms then damaged('a lot') end
    table.insert(lots, {
      id = flat[i], expire_ms = whole(expire_ms, 'a lot'), bought_ms = whole(bought_ms, 'a lot'),
      left = whole(left, 'a lot'), voided = voided == '1', was = flat[i + 1],
    })
  end
  table.sort(lots, function(a, b)
    if a.expire_ms ~= b.expire_ms then return a.expire_ms < b.expire_ms end
    if a.bought_ms ~= b.bought_ms then return a.bought_ms < b.bought_ms end
    return a.id < b.id
  end)
  return lots
end

-- Write one lot.
local function lot_text(lot)
  return digits(lot.expire_ms) .. ' ' .. digits(lot.bought_ms) .. ' ' .. digits(lot.left) .. ' '
    .. (lot.voided and '1' or '0')
end

-- Format what changed in the lots: fields to set, and ids of those used up.
local function lot_changes(lots)
  local set, gone = {}, {}
  for _, lot in ipairs(lots or {}) do
    if lot.left == 0 then
      table.insert(gone, lot.id)
    elseif lot_text(lot) ~= lot.was then
      table.insert(set, lot.id)
      table.insert(set, lot_text(lot))
    end
  end
  return set, gone
end

-- Keep in the account when its next lot falls due.
local function remember_due(acct, lots)
  acct.lots_due_ms = 0
  for _, lot in ipairs(lots) do
    if lot.left > 0 and (acct.lots_due_ms == 0 or lot.expire_ms < acct.lots_due_ms) then
      acct.lots_due_ms = lot.expire_ms
    end
  end
end

-- Read more sums of an account that was opened with fewer.
local function widen(acct)
  if acct.sums == ALL_SUMS then return end
  local values = redis.call('HMGET', acct.key, unpack(ALL_SUMS))
  for i, name in ipairs(ALL_SUMS) do
    if i > #HELD_SUMS then
      acct[name] = signed(values[i], name)
      acct.was[name] = acct[name]
    end
  end
  acct.sums = ALL_SUMS
end

-- Take from lots that are due what no running call holds. Returns the lots if it had to read them.
local function expire_lots(lots_key, acct, part, nonce, tenant, lots)
  if acct.lots_due_ms == 0 or acct.lots_due_ms > part.now_ms or (acct.available or 0) <= 0 then return lots end
  widen(acct)
  lots = lots or open_lots(lots_key)
  local moved = {}
  for _, lot in ipairs(lots) do
    local micros = math.min(lot.left, math.max(0, acct.available))
    if lot.expire_ms <= part.now_ms and micros > 0 then
      local sum = lot.voided and 'voided' or 'expired'
      lot.left, acct.available, acct[sum] = lot.left - micros, acct.available - micros, acct[sum] + micros
      table.insert(moved, lot.id .. '\31' .. digits(micros) .. '\31' .. sum)
    end
  end
  remember_due(acct, lots)
  note(part, 'lots_expired', nonce, {
    'tenant=' .. tenant, 'lots=' .. table.concat(moved, '\30'),
    'available=' .. digits(acct.available), 'reserved=' .. digits(acct.reserved),
  })
  return lots
end

-- Take debited money out of the lots, oldest first; what no lot has is owed to the next one.
local function pay_from_lots(acct, lots, micros)
  local paid = {}
  for _, lot in ipairs(lots) do
    local part = math.min(lot.left, micros)
    if part > 0 then
      lot.left, micros = lot.left - part, micros - part
      table.insert(paid, lot.id .. '\31' .. digits(part))
    end
  end
  acct.owed = acct.owed + micros
  remember_due(acct, lots)
  return table.concat(paid, '\30')
end

-- Answers -------------------------------------------------------------------------------------

-- Give the stored answer of a record again.
local function stored_answer(record, status)
  return {
    status, record.decision or '', record.times or '', record.outcome or '', record.segments or '',
    record.uses or '', record.report or '', facts_of(record), record.explanation or '', record.state or '',
  }
end

-- Say what was answered before, if this question or a later one was asked before.
local function earlier_answer(record, sequence, fingerprint)
  local last = whole(record.sequence, 'sequence')
  if sequence > last then return nil end
  if sequence < last then return stored_answer(record, 'SUPERSEDED') end
  if record.fingerprint ~= fingerprint then return { 'REUSED' } end
  return stored_answer(record, 'REPEATED')
end

-- Say when a grant is to be reported on and when it lapses.
local function times_of(call, now_ms, holds)
  if not holds then return digits(now_ms) .. ' 0 0', 0 end
  local validity_ms = (call.to - call.used) * 1000 + REPORT_GRACE_MS
  if call.used == 0 then validity_ms = call.to * 1000 + RING_LIMIT_MS end
  local expire_ms = now_ms + 2 * validity_ms
  return digits(now_ms) .. ' ' .. digits(now_ms + validity_ms) .. ' ' .. digits(expire_ms), expire_ms
end

-- Describe an answer: final, reason, shortfall, and what is left of credits and of the first pool.
local function outcome_of(call, acct, final, reason, shortfall)
  local available, pool_left = '-', '-'
  for _, purse in ipairs(call.purses) do
    if purse.kind == 'C' and acct.available then available = digits(acct.available) end
    if purse.kind == 'P' and pool_left == '-' then pool_left = digits(pool_room(purse, acct)) end
  end
  return table.concat({ final and '1' or '0', reason, digits(shortfall), available, pool_left }, ' ')
end

-- Say why the walk found nothing: the reason of the last purse, and what credits lack.
local function refusal_of(call, acct)
  local reason, shortfall = nil, 0
  for index, purse in ipairs(call.purses) do
    reason = purse.reason
    if purse.kind == 'C' then
      local had = call.granted[index] or 0
      local need = price_micros(purse, had + 1) - price_micros(purse, had) + (call.to == 0 and purse.fee or 0)
      if purse.positive and had == 0 then need = math.max(1, need) end
      local by_balance, by_limit = spendable(purse, acct)
      if by_limit < need and by_limit <= by_balance then reason = SPEND_LIMIT_REACHED end
      if not acct.available and not purse.post_paid then
        reason, by_balance = BALANCE_MISSING, 0
      end
      shortfall = math.max(0, need - math.min(by_balance, need))
    end
  end
  return tonumber(reason) or damaged('a question without purses'), shortfall
end

-- Name the report of a call: seconds used, talked beyond grants, not paid by anyone, and whether late.
local function report_of(call)
  return table.concat({
    digits(call.used), digits(call.overrun), digits(call.unpaid_seconds), digits(call.unpaid_micros),
    call.late and '1' or '0',
  }, ' ')
end

-- Plan the record of a call with its last answer. `fresh` also writes what a question is asked with.
local function record_call(plan, key, call, state, question, answer, fresh)
  local fields = {
    'state', state, 'sequence', digits(question.sequence), 'fingerprint', question.fingerprint,
    'decision', question.decision, 'times', answer.times, 'outcome', answer.outcome,
    'segments', segments_text(call.segments), 'uses', uses_text(call.uses), 'report', report_of(call),
  }
  local n = #fields
  local function put(field, value)
    fields[n + 1], fields[n + 2] = field, value
    n = n + 2
  end
  if fresh then
    put('gateway', question.gateway)
    put('opened', call.opened)
    if call.counted ~= '' then put('counted', call.counted) end
    if call.unfunded then put('unfunded', '1') end
    if question.explanation ~= '' then put('explanation', question.explanation) end
    for i = 1, math.ceil(#call.facts / CHUNK_BYTES) do
      put('facts' .. i, string.sub(call.facts, (i - 1) * CHUNK_BYTES + 1, i * CHUNK_BYTES))
    end
  end
  table.insert(plan.calls, { key = key, fields = fields, replaced = fresh and question.known, lifetime = answer.lifetime,
    revived = question.record and question.record.state == 'expired' })
  return { 'OK', question.decision, answer.times, answer.outcome, fields[14], fields[16], fields[18], '', '', state }
end

-- Describe a change of a call for the journal.
local function call_body(call, acct, question, tenant, paid)
  return {
    'tenant=' .. tenant, 'call=' .. question.member, 'gateway=' .. question.gateway, 'opened=' .. call.opened,
    'sequence=' .. digits(question.sequence), 'segments=' .. segments_text(call.segments),
    'uses=' .. uses_text(call.uses), 'report=' .. report_of(call), 'lots=' .. (paid or ''),
    'before=' .. (call.before or ''), 'unfunded=' .. (call.unfunded and '1' or ''),
    'available=' .. (acct.available and digits(acct.available) or ''), 'reserved=' .. digits(acct.reserved),
    'facts=' .. call.facts,
  }
end

-- Write a plan. Everything is formatted before the first command; each hash was read before.
local function commit(keys, plan)
  local account_fields = account_changes(plan.acct)
  local lots_set, lots_gone = lot_changes(plan.lots)
  local entries = plan.part.entries
  if #plan.held > 0 then redis.call('ZADD', keys[2], unpack(plan.held)) end
  for _, entry in ipairs(entries) do
    redis.call('XADD', keys[3], entry[1], 'meta', entry[2], 'kind', entry[3], 'body', entry[4])
  end
  if plan.describe then redis.call('HSET', keys[1], unpack(plan.describe)) end
  if #account_fields > 0 then redis.call('HSET', keys[1], unpack(account_fields)) end
  for _, call in ipairs(plan.calls) do
    if call.replaced then redis.call('DEL', call.key) end
    redis.call('HSET', call.key, unpack(call.fields))
    if call.revived then redis.call('PERSIST', call.key) end
    if call.lifetime then redis.call('PEXPIRE', call.key, call.lifetime) end
  end
  if #lots_set > 0 then redis.call('HSET', keys[4], unpack(lots_set)) end
  if #lots_gone > 0 then redis.call('HDEL', keys[4], unpack(lots_gone)) end
  if #plan.known > 0 then redis.call('HSET', keys[6], unpack(plan.known)) end
  if #plan.over > 0 then redis.call('ZREM', keys[2], unpack(plan.over)) end
  if #entries > 0 and plan.acct.watched_until_ms >= plan.part.now_ms then
    -- Only a wake-up: who misses it reads the journal a little later.
    redis.pcall('SPUBLISH', keys[5], entries[#entries][1])
  end
end

-- Begin a plan of writes.
local function new_plan(acct, part, lots)
  return { acct = acct, part = part, lots = lots, held = {}, over = {}, calls = {}, known = {} }
end

-- reserve -------------------------------------------------------------------------------------

local LEG_ARGUMENTS = 14

-- Read one leg of a question, and the record that may hold its answer.
local function read_leg(keys, args, i)
  local at, k = 5 + (i - 1) * LEG_ARGUMENTS, 5 + (i - 1) * 2
  local leg = {
    key = keys[k + 1], member = args[at + 1], gateway = args[at + 2], sequence = whole(args[at + 3], 'sequence'),
    fingerprint = args[at + 4], decision = args[at + 5], refusal = args[at + 6],
    wanted = whole(args[at + 7], 'wanted'), floor = whole(args[at + 8], 'floor'), counted = args[at + 9],
    limit = args[at + 10], facts = args[at + 11], explanation = args[at + 12],
    used = whole(args[at + 13], 'used'), uses = args[at + 14],
  }
  leg.record = read_hash(leg.key)
  leg.known = leg.record ~= nil
  if leg.record and leg.record.gateway ~= leg.gateway then
    local other = read_hash(keys[k + 2])
    leg.in_use = leg.record.state == 'live'
    local answered = other and whole(other.sequence, 'sequence') >= leg.sequence
    if leg.in_use or answered then
      leg.key, leg.record, leg.known = keys[k + 2], other, other ~= nil
    else
      leg.record = nil
    end
  end
  return leg
end

-- Choose the call a leg speaks of: a new one, one that goes on, or one whose reservation is replaced.
local function call_of(leg)
  local record = leg.record
  local before = record and not leg.in_use and record.state ~= 'refused' and open_call(record)
  leg.live = before and record.state == 'live' and before
  if before and leg.used > 0 and #before.purses > 0 then
    before.late = before.late or record.state == 'expired'
    -- It is paid as it began; the answer is rendered from what is known today.
    before.facts = string.gsub(leg.facts, '\29[^\29]*\29', function() return '\29' .. before.list .. '\29' end, 1)
    return before
  end
  local call = new_call(leg.facts, leg.live and leg.live.opened or leg.decision, leg.counted)
  if leg.live then
    -- Seconds that were reported stay paid by the purses that paid them.
    call.used, call.overrun, call.late = leg.live.used, leg.live.overrun, leg.live.late
    call.unpaid_seconds, call.unpaid_micros = leg.live.unpaid_seconds, leg.live.unpaid_micros
    if leg.live.list == call.list then call.uses = leg.live.uses end
  elseif not leg.in_use then
    call.uses = parse_uses(leg.uses)
    for _, use in pairs(call.uses) do call.used = call.used + use.seconds end
  end
  for index, use in pairs(call.uses) do call.granted[index] = use.seconds end
  call.to, call.granted_until, call.before = call.used, leg.used, uses_text(call.uses)
  return call
end

-- Walk for one question; say why not where nothing is granted: reason and shortfall, else 0 and 0.
local function try_call(question, call, acct, part)
  if question.refusal ~= '' then return whole(question.refusal, 'refusal'), 0 end
  if acct.frozen then return FROZEN, 0 end
  local full = question.limit ~= '' and call.counted ~= '' and acct.count[call.counted] >= whole(question.limit, 'limit')
  local objection = full and CONCURRENT_CALLS or question.in_use and CALL_ID_IN_USE
  local wanted = slice(call, acct, part, question.wanted, question.floor)
  walk(call, acct, call.used + wanted - call.to)
  if call.to > call.used then return objection or 0, 0 end
  local reason, shortfall = refusal_of(call, acct)
  if objection and TOLD_LAST[reason] then return objection, 0 end
  return reason, shortfall
end

-- Say whether something of the partition has lapsed and only waits to be given back.
local function something_due(expiry, now_ms)
  return #redis.call('ZRANGEBYSCORE', expiry, '-inf', digits(now_ms), 'LIMIT', 0, 1) > 0
end

-- Plan the outcome of one question for a grant; `lots` are open where the call was reported on.
local function plan_grant(plan, question, call, tenant, forced)
  local acct, part, answer = plan.acct, plan.part, {}
  local reason, shortfall
  if forced then
    reason, shortfall = forced.reason, forced.shortfall
  else
    reason, shortfall = try_call(question, call, acct, part)
  end
  if reason ~= 0 then give_back(call, acct) end
  local paid = call.debit > 0 and pay_from_lots(acct, plan.lots, call.debit) or ''
  answer.outcome = outcome_of(call, acct, reason == 0 and is_final(call, acct), digits(reason), shortfall)
  local expire_ms
  answer.times, expire_ms = times_of(call, part.now_ms, reason == 0)
  local state = reason == 0 and 'live' or call.used > 0 and 'ended' or 'refused'
  if state == 'live' then
    count_running(call, acct, 1)
    table.insert(plan.held, digits(expire_ms))
    table.insert(plan.held, question.member)
    note(part, question.kind, question.decision, call_body(call, acct, question, tenant, paid))
  elseif question.live or call.used > 0 then
    table.insert(plan.over, question.member)
    note(part, 'ended', question.decision, call_body(call, acct, question, tenant, paid))
  end
  if state == 'refused' then answer.lifetime = REFUSAL_LIFETIME_MS end
  if reason ~= 0 and not plan.refused then
    plan.refused = { reason = reason, shortfall = shortfall }
  end
  plan.short = plan.short or (reason ~= 0 and question.refusal == '' and not acct.frozen)
  return record_call(plan, question.key, call, state, question, answer, question.kind == 'reserved')
end

-- Read the legs and their earlier answers; say which calls are to be decided on, and by which sums.
local function read_legs(keys, args)
  local legs, asked, sums = {}, {}, HELD_SUMS
  for i = 1, whole(args[5], 'legs') do
    local leg = read_leg(keys, args, i)
    legs[i], leg.kind = leg, 'reserved'
    if not string.find(args[4], 'd') and leg.record then
      leg.reply = earlier_answer(leg.record, leg.sequence, leg.fingerprint)
    end
    if not leg.reply then
      leg.call = call_of(leg)
      table.insert(asked, leg.call)
      if leg.live then table.insert(asked, leg.live) end
      if leg.used > 0 then sums = ALL_SUMS end
    end
  end
  return legs, asked, sums
end

-- Plan one leg: what it held is free again, what was talked is debited, then the purses are asked.
local function plan_leg(plan, leg, tenant, forced)
  if leg.live then
    count_running(leg.live, plan.acct, -1)
    if leg.call ~= leg.live then give_back(leg.live, plan.acct) end
  end
  if leg.call.is_new then leg.call.unfunded = plan.acct.available == nil end
  if leg.used > 0 and not leg.in_use then report_used(leg.call, plan.acct, leg.used) end
  return plan_grant(plan, leg, leg.call, tenant, forced)
end

-- Plan all legs. Returns the reply, and the plan if there is one to commit.
local function plan_reserve(keys, args, forced)
  local legs, asked, sums = read_legs(keys, args)
  local replies = { 'OK' }
  for i, leg in ipairs(legs) do
    if leg.reply and leg.reply[1] == 'REUSED' then return leg.reply end
    replies[i + 1] = leg.reply
  end
  if #asked == 0 then return replies end
  local part = open_partition(keys[3], args[1])
  local acct = part and load_account(keys[1], sums, asked)
  if not acct then return { 'NO_ACCOUNT' } end
  if acct.digest ~= args[3] then return { 'STALE', acct.digest } end
  local lots = sums == ALL_SUMS and open_lots(keys[4]) or nil
  local plan = new_plan(acct, part, expire_lots(keys[4], acct, part, legs[1].decision, args[2], lots))
  for i, leg in ipairs(legs) do
    replies[i + 1] = leg.reply or plan_leg(plan, leg, args[2], forced)
  end
  if plan.short and not forced and not string.find(args[4], 's') and something_due(keys[2], part.now_ms) then
    return { 'EXPIRE_FIRST' }
  end
  return replies, plan
end

-- reserve: hold for each leg what its purses give, once per (call, sequence); all legs have one account.
--   KEYS   account, expiry, journal, lots, channel, then per leg: call, other
--   ARGV   now_ms, tenant, facts_digest, mode (d: dry run, a: all or nothing, s: asked after expiring),
--          number of legs, then per leg: member, gateway, sequence, fingerprint, decision_id,
--          reason of the rules or '', wanted_seconds, floor_seconds, field of running calls or '',
--          their limit or '', facts, explanation, used_seconds, uses
--   reply  OK and per leg an answer | REUSED | NO_ACCOUNT | STALE, digest | EXPIRE_FIRST
local function reserve(keys, args)
  local reply, plan = plan_reserve(keys, args)
  if plan and plan.refused and string.find(args[4], 'a') then
    -- One leg does not fit, so none is held: all are refused for its reason.
    reply, plan = plan_reserve(keys, args, plan.refused)
  end
  if plan and not string.find(args[4], 'd') then commit(keys, plan) end
  return reply
end

-- Reports -------------------------------------------------------------------------------------

-- Read what one question about a call that was granted before looks at.
local function open_report(keys, args)
  local question = {
    key = keys[6], member = args[4], gateway = args[5], sequence = whole(args[6], 'sequence'),
    fingerprint = args[7], decision = args[8], used = whole(args[9], 'used'), second = args[10] == 's',
  }
  local record = read_hash(keys[6])
  if not record or record.gateway ~= question.gateway then return nil, { 'NO_CALL' } end
  local earlier = earlier_answer(record, question.sequence, question.fingerprint)
  if earlier then return nil, earlier end
  question.live = record.state == 'live'
  question.call = record.state ~= 'refused' and open_call(record)
  question.record = record
  return question
end

-- Open the plan of a report: partition, account and lots.
local function open_report_plan(keys, args, call)
  local part = open_partition(keys[3], args[1])
  local acct = part and load_account(keys[1], ALL_SUMS, { call })
  if not acct then return nil, { 'NO_ACCOUNT' } end
  if args[3] ~= '' and acct.digest ~= args[3] then return nil, { 'STALE', acct.digest } end
  local lots = expire_lots(keys[4], acct, part, args[8], args[2], open_lots(keys[4]))
  -- Read before the first write, so that the last one, taking the call out of it, cannot fail.
  redis.call('ZSCORE', keys[2], args[4])
  return new_plan(acct, part, lots)
end

-- extend: debit what was used and hold more for a call that goes on; also for one that had lapsed.
--   KEYS   account, expiry, journal, lots, channel, call
--   ARGV   now_ms, tenant, facts_digest or '', member, gateway, sequence, fingerprint, decision_id,
--          used_seconds, s if asked after expiring, reason of the rules or '', wanted_seconds,
--          floor_seconds, limit of running calls or ''
--   reply  an answer | REUSED | NO_CALL | OVER, state | NO_ACCOUNT | STALE, digest | EXPIRE_FIRST
local function extend(keys, args)
  local question, reply = open_report(keys, args)
  if not question then return reply end
  local call, state = question.call, question.record.state
  if not call or #call.purses == 0 or state == 'settled' or state == 'released' then return { 'OVER', state } end
  question.refusal, question.wanted, question.floor = args[11], whole(args[12], 'wanted'), whole(args[13], 'floor')
  question.kind, question.limit = 'extended', call.counted ~= '' and args[14] or ''
  local plan, trouble = open_report_plan(keys, args, call)
  if not plan then return trouble end
  if question.live then count_running(call, plan.acct, -1) end
  call.late = call.late or state == 'expired'
  report_used(call, plan.acct, question.used)
  local answer = plan_grant(plan, question, call, args[2])
  if plan.short and not question.second and something_due(keys[2], plan.part.now_ms) then
    return { 'EXPIRE_FIRST' }
  end
  commit(keys, plan)
  answer[8] = call.facts
  return answer
end

-- Plan the end of a call: nothing is held any more.
local function plan_end(plan, call, question, state, tenant)
  local acct = plan.acct
  if question.live then count_running(call, acct, -1) end
  give_back(call, acct)
  local paid = call.debit > 0 and pay_from_lots(acct, plan.lots, call.debit) or ''
  table.insert(plan.over, question.member)
  note(plan.part, state, question.decision, call_body(call, acct, question, tenant, paid))
  local answer = { times = digits(plan.part.now_ms) .. ' 0 0', outcome = outcome_of(call, acct, false, '0', 0) }
  return record_call(plan, question.key, call, state, question, answer, false)
end

-- settle: debit all that a call used and give back the rest; late also after it lapsed.
--   KEYS   account, expiry, journal, lots, channel, call
--   ARGV   now_ms, tenant, '', member, gateway, sequence, fingerprint, decision_id, used_seconds,
--          s if asked after expiring
--   reply  an answer | REUSED | NO_CALL | OVER, state | NO_ACCOUNT | EXPIRE_FIRST
local function settle(keys, args)
  local question, reply = open_report(keys, args)
  if not question then return reply end
  local call, state = question.call, question.record.state
  if not call or state == 'settled' or state == 'released' then return { 'OVER', state } end
  local plan, trouble = open_report_plan(keys, args, call)
  if not plan then return trouble end
  call.late = call.late or state == 'expired'
  local unpaid = call.unpaid_seconds
  report_used(call, plan.acct, question.used)
  if call.unpaid_seconds > unpaid and not question.second and something_due(keys[2], plan.part.now_ms) then
    return { 'EXPIRE_FIRST' }
  end
  local answer = plan_end(plan, call, question, 'settled', args[2])
  commit(keys, plan)
  answer[8] = call.facts
  return answer
end

-- release: give back all that a call holds; the called party never answered.
--   KEYS   account, expiry, journal, lots, channel, call
--   ARGV   now_ms, tenant, '', member, gateway, sequence, fingerprint, decision_id, 0, ''
--   reply  an answer | REUSED | NO_CALL | OVER, state | NO_ACCOUNT
local function release(keys, args)
  local question, reply = open_report(keys, args)
  if not question then return reply end
  if not question.live then return { 'OVER', question.record.state } end
  local plan, trouble = open_report_plan(keys, args, question.call)
  if not plan then return trouble end
  local answer = plan_end(plan, question.call, question, 'released', args[2])
  commit(keys, plan)
  answer[8] = question.call.facts
  return answer
end

-- expire: give back what one call holds if its time has come; the answer it got stays.
--   KEYS   account, expiry, journal, lots, channel, call
--   ARGV   now_ms, tenant, member, nonce
--   reply  1 if it was given back, else 0
local function expire(keys, args)
  local tenant, member = args[2], args[3]
  local part = open_partition(keys[3], args[1])
  local record = read_hash(keys[6])
  local score = redis.call('ZSCORE', keys[2], member)
  local expire_ms = record and record.state == 'live' and string.match(record.times or '', '^%d+ %d+ (%d+)$')
  if not expire_ms then
    redis.call('ZREM', keys[2], member)
    return 0
  end
  local call = open_call(record)
  local acct = part and load_account(keys[1], HELD_SUMS, { call })
  if not acct then damaged('account') end
  if whole(expire_ms, 'times') > part.now_ms then
    if score ~= expire_ms then redis.call('ZADD', keys[2], expire_ms, member) end
    return 0
  end
  count_running(call, acct, -1)
  give_back(call, acct)
  local plan = new_plan(acct, part)
  local question = { member = member, gateway = record.gateway, sequence = whole(record.sequence, 'sequence') }
  note(part, 'expired', args[4], call_body(call, acct, question, tenant))
  table.insert(plan.calls, { key = keys[6], fields = { 'state', 'expired' } })
  table.insert(plan.over, member)
  commit(keys, plan)
  return 1
end

-- Accounts ------------------------------------------------------------------------------------

-- Add money to an account as a lot; what was owed is paid first.
local function add_lot(acct, lots, lot)
  acct.available, acct.funded = (acct.available or 0) + lot.left, acct.funded + lot.left
  local owed = math.min(acct.owed, lot.left)
  acct.owed, lot.left = acct.owed - owed, lot.left - owed
  table.insert(lots, lot)
  remember_due(acct, lots)
end

-- Plan a lot that nobody knew yet, and its journal entry.
local function plan_lot(plan, lot, nonce, tenant)
  local micros = lot.left
  add_lot(plan.acct, plan.lots, lot)
  table.insert(plan.known, lot.id)
  table.insert(plan.known, 'lot ' .. digits(micros) .. ' ' .. digits(lot.expire_ms))
  note(plan.part, 'topped_up', nonce, {
    'tenant=' .. tenant, 'lot=' .. lot.id, 'micros=' .. digits(micros), 'expire_ms=' .. digits(lot.expire_ms),
    'available=' .. digits(plan.acct.available), 'reserved=' .. digits(plan.acct.reserved),
  })
end

-- The account that is opened where there was none.
local function blank_account(key, digest)
  local acct = { key = key, digest = digest, sums = ALL_SUMS, was = {}, tally = {}, count = {}, count_was = {} }
  for _, name in ipairs(ALL_SUMS) do
    if name ~= 'available' then acct[name] = 0 end
  end
  acct.watched_until_ms, acct.lots_due_ms = 0, 0
  return acct
end

-- open: open an account or describe it anew; its opening lot is applied once.
--   KEYS   account, expiry, journal, lots, channel, known
--   ARGV   now_ms, nonce, tenant, currency, facts_digest, prepaid (0 or 1), epoch of a new partition
--          or '', opening_micros or '', id of the opening lot, its expire_ms
--   reply  OK | CURRENCY, the account's | NO_PARTITION
local function open(keys, args)
  local part = open_partition(keys[3], args[1])
  if not part and args[7] == '' then return { 'NO_PARTITION' } end
  part = part or { epoch = digits(whole(args[7], 'epoch')), n = 0, nonce = '-', small_until_ms = 0,
                   now_ms = whole(args[1], 'now_ms'), entries = {} }
  local acct = load_account(keys[1], ALL_SUMS, {})
  local was = redis.call('HMGET', keys[1], 'currency', 'prepaid', 'version')
  if acct and was[1] ~= args[4] then return { 'CURRENCY', was[1] } end
  local lot_known = redis.call('HEXISTS', keys[6], args[9]) == 1
  local plan = new_plan(acct or blank_account(keys[1], args[5]), part, open_lots(keys[4]))
  if not acct or acct.digest ~= args[5] or was[2] ~= args[6] then
    plan.describe = { 'currency', args[4], 'prepaid', args[6], 'digest', args[5],
                      'version', digits(whole(was[3] or '0', 'version') + 1) }
    if not acct then
      plan.describe[9], plan.describe[10] = 'lots_due_ms', '0'
    end
    note(part, acct and 'described' or 'opened', args[2], {
      'tenant=' .. args[3], 'currency=' .. args[4], 'digest=' .. args[5], 'prepaid=' .. args[6] })
  end
  if args[8] ~= '' and not lot_known then
    local lot = { id = args[9], expire_ms = whole(args[10], 'expire_ms'), bought_ms = part.now_ms,
                  left = whole(args[8], 'micros') }
    plan_lot(plan, lot, args[2] .. 'l', args[3])
  end
  if #part.entries > 0 then commit(keys, plan) end
  return { 'OK' }
end

-- balance: read an account's sums, after taking from lots that are due.
--   KEYS   account, expiry, journal, lots, channel
--   ARGV   now_ms, nonce, tenant
--   reply  currency, then the sums in the order of ALL_SUMS | NO_ACCOUNT
local function balance(keys, args)
  local part = open_partition(keys[3], args[1])
  local acct = part and load_account(keys[1], ALL_SUMS, {})
  if not acct then return { 'NO_ACCOUNT' } end
  local lots = expire_lots(keys[4], acct, part, args[2], args[3])
  if lots then commit(keys, new_plan(acct, part, lots)) end
  local reply = { redis.call('HGET', keys[1], 'currency') }
  for _, name in ipairs(ALL_SUMS) do table.insert(reply, acct[name] and digits(acct[name]) or '') end
  return reply
end

redis.register_function('callgate_v1_reserve', reserve)
redis.register_function('callgate_v1_extend', extend)
redis.register_function('callgate_v1_settle', settle)
redis.register_function('callgate_v1_release', release)
redis.register_function('callgate_v1_expire', expire)
redis.register_function('callgate_v1_open', open)
redis.register_function('callgate_v1_balance', balance)
