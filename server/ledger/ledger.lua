#!lua name=callgate_v1
-- The ledger: takes from the purses of a call, in their order, what there is; one atomic step a
-- function.
--
-- Keys, all of one partition (spelled in keys.py; docs/ledger.md describes each field):
--   accounts  hash    the partition's own line `meta`, and per tenant sums, flags, lots, tallies
--   expiry    zset    "<call reference>:<tenant>" by the time at which a reservation lapses
--   journal   stream  one entry a change, ids n-0; its name is also the channel of its wake-ups
--   call      hash    one call and the last answer about it
--   other     hash    what one gateway was answered about a call id that another one has by now
--
-- A failing command leaves what was written before it. So every function reads, checks and formats
-- first, and `commit` alone writes, with no branch or conversion in it that could still fail.

local MAX_WHOLE = 9007199254740991 -- Doubles skip whole numbers above it.
local SECONDS_PER_MINUTE = 60
local MAX_INCREMENT_SECONDS = 3600
local RING_LIMIT_MS = 180000 -- A called party may ring this long before the first report is due.
local REPORT_GRACE_MS = 30000 -- A report may come this long after the granted seconds.
local EXPIRE_VALIDITIES = 2
local REFUSAL_LIFETIME_MS = 120000
-- A call that is over and gave its id to another gateway's still answers its own this long.
local ASIDE_LIFETIME_MS = 900000
local REFUND_LIFETIME_MS = 2592000000
local PLENTY = 4 -- A contended purse gives a quarter of what is left of it, or the floor.
local CHUNK_BYTES = 64 -- One longer value would cost a hash its compact encoding.
local REMEMBERED_PURSES = 1000
local REFERENCE_BYTES = 22

local FROZEN, BALANCE_MISSING, SPEND_LIMIT_REACHED = 4, 13, 15
local CONCURRENT_CALLS, CALL_ID_IN_USE = 16, 17
-- What is told only where the number of calls and the call id are in order (precedence of reasons).
local TOLD_LAST = { [18] = true, [19] = true, [20] = true }
local NOTHING_USED = '0 0 0 0 0'

-- Numbers and text ----------------------------------------------------------------------------

local call, format, match, gmatch, sub, concat, fmod, min, max

-- Look Lua's own functions up once: it is forbidden while a library is loaded, and slow each time.
local function bind()
  call, format, match, gmatch, sub = redis.call, string.format, string.match, string.gmatch,
    string.sub
  concat, fmod, min, max = table.concat, math.fmod, math.min, math.max
end

-- Stop with an error that names the damaged record; nothing has been written yet.
local function damaged(what)
  error(redis.error_reply('DAMAGED ' .. what))
end

-- Read a whole number that is not negative.
local function whole(text, what)
  local number = tonumber(text)
  if not number or number < 0 or number > MAX_WHOLE or number % 1 ~= 0 then damaged(what) end
  return number
end

-- Read a whole number.
local function signed(text, what)
  local number = tonumber(text)
  if not number or number < -MAX_WHOLE or number > MAX_WHOLE or number % 1 ~= 0 then
    damaged(what)
  end
  return number
end

-- Let a number pass that is exact as a double. Redis would be sent 1e+17 else, and refuses it.
local function exact(number)
  if not (number <= MAX_WHOLE and number >= -MAX_WHOLE) then damaged('a sum') end
  return number
end

-- Write a whole number, never as -0.
local function digits(number)
  return format('%d', exact(number))
end

-- Divide whole numbers and round down; exact, as the quotient of two doubles is not.
local function floor_div(number, divisor)
  return (number - fmod(number, divisor)) / divisor
end

-- Divide whole numbers and round up.
local function ceil_div(number, divisor)
  return floor_div(number + divisor - 1, divisor)
end

-- Rating: policy/rating.py in Lua -------------------------------------------------------------

-- Round talked seconds up to whole increments.
local function charged_seconds(rate, seconds)
  if seconds <= 0 then return 0 end
  return rate.first + ceil_div(max(0, seconds - rate.first), rate.following) * rate.following
end

-- Price seconds of one purse in one call, without the connection fee, rounded up to a micro.
local function price_micros(rate, seconds)
  local product = rate.per_minute * charged_seconds(rate, seconds)
  if product > MAX_WHOLE - SECONDS_PER_MINUTE then damaged('a price') end
  return ceil_div(product, SECONDS_PER_MINUTE)
end

-- Say how many seconds, in whole increments, `micros` buys: at least the first or 0.
local function affordable_seconds(rate, micros, limit_seconds)
  if price_micros(rate, limit_seconds) <= micros then
    return charged_seconds(rate, limit_seconds)
  end
  if price_micros(rate, rate.first) > micros then return 0 end
  local bought = floor_div(micros * SECONDS_PER_MINUTE, rate.per_minute)
  return rate.first + floor_div(bought - rate.first, rate.following) * rate.following
end

-- Say up to which second a call may be priced at all without leaving the exact numbers.
local function priceable_seconds(rate)
  return floor_div(MAX_WHOLE, rate.per_minute + 1) - 3 * MAX_INCREMENT_SECONDS
end

-- Purses --------------------------------------------------------------------------------------

-- Read a pool: its own tally first, then those of the plan that can stop it as well.
local function pool_purse(reason, field, size, others)
  local purse = { kind = 'P', reason = whole(reason, 'reason'), field = field, tallies = { field },
    sizes = { whole(size, 'size') } }
  for other, other_size in gmatch(others, '\31([^\31]+)\31(%d+)') do
    table.insert(purse.tallies, other)
    table.insert(purse.sizes, whole(other_size, 'size'))
  end
  return purse
end

-- Read credits: their rate, how far below zero they may go, and what one account may spend.
local function credits_purse(text)
  local per_minute, fee, first, following, overdraft, post_paid, positive, why, limit, spend =
    match(
    text, '^C\31(%d+)\31(%d+)\31(%d+)\31(%d+)\31(%d+)\31([01])\31([01])\31(%d+)\31(%d*)\31(.*)$')
  if not per_minute then damaged('a purse') end
  local purse = {
    kind = 'C', reason = whole(why, 'reason'), per_minute = whole(per_minute, 'rate'),
    fee = whole(fee, 'rate'),
    first = whole(first, 'rate'), following = whole(following, 'rate'),
    overdraft = whole(overdraft, 'overdraft'),
    post_paid = post_paid == '1', positive = positive == '1', tallies = {},
  }
  if limit ~= '' then
    purse.limit, purse.field, purse.tallies = whole(limit, 'limit'), spend, { spend }
  end
  purse.priceable = priceable_seconds(purse)
  return purse
end

-- Lists of purses that were read before, by their text. They are never changed.
local remembered, remembered_count = {}, 0

-- Read a list of purses as wire.py wrote it.
local function parse_purses(list)
  local purses = remembered[list]
  if purses then return purses end
  purses = {}
  for text in gmatch(list, '[^\30]+') do
    local reason, field, size, others = match(text, '^P\31(%d+)\31([^\31]+)\31(%d+)(.*)$')
    table.insert(purses, text == 'F' and { kind = 'F', tallies = {} }
      or reason and pool_purse(reason, field, size, others) or credits_purse(text))
  end
  -- The fields of the account that these purses touch, and whether credits are among them.
  purses.fields, purses.has = {}, {}
  for _, purse in ipairs(purses) do
    purses.has[purse.kind] = true
    for _, field in ipairs(purse.tallies) do purses.fields[#purses.fields + 1] = field end
  end
  if remembered_count >= REMEMBERED_PURSES then remembered, remembered_count = {}, 0 end
  remembered[list], remembered_count = purses, remembered_count + 1
  return purses
end

-- The partition and an account ----------------------------------------------------------------

-- Read one tally, "debited held"; one that is not there yet is zero.
local function parse_tally(text)
  if not text then return { done = 0, held = 0, was = '0 0' } end
  local done, held = match(text, '^(%d+) (%d+)$')
  if not done then damaged('a tally') end
  return { done = whole(done, 'a tally'), held = whole(held, 'a tally'), was = text }
end

-- Read the partition's own line; nil where nothing was ever written.
local function parse_meta(text, now_ms)
  if not text then return nil end
  local epoch, n, nonce, time_ms, small_until_ms = match(text, '^(%d+) (%d+) (%S+) (%d+) (%d+)$')
  if not epoch then damaged('meta') end
  return {
    epoch = epoch, n = whole(n, 'meta'), nonce = nonce, entries = {},
    now_ms = max(now_ms, whole(time_ms, 'meta')), small_until_ms = whole(small_until_ms, 'meta'),
  }
end

-- Read an account's flags and held sums; nil where it was never opened.
local function parse_account(tenant, flags, money)
  if not flags and not money then return nil end
  local digest, frozen, lots_due_ms = match(flags or '', '^(%S+) ([01]) (%d+)$')
  local available, reserved, post_paid = match(money or '', '^(%S+) (%d+) (%d+)$')
  if not digest or not available then damaged('an account') end
  return {
    tenant = tenant, digest = digest, frozen = frozen == '1',
    lots_due_ms = whole(lots_due_ms, 'flags'),
    available = available ~= '-' and signed(available, 'money') or nil,
    reserved = whole(reserved, 'money'),
    post_paid = whole(post_paid, 'money'), flags_was = flags, money_was = money,
    tally = {}, running = {}, running_was = {},
  }
end

-- Read the oldest lot first: "expire_ms bought_ms left_micros voided id".
local function parse_lots(text)
  local lots = {}
  for record in gmatch(text, '[^\30]+') do
    local expire_ms, bought_ms, left, voided, id = match(record, '^(%d+) (%d+) (%d+) ([01]) (.+)$')
    if not expire_ms then damaged('lots') end
    lots[#lots + 1] = {
      id = id, expire_ms = whole(expire_ms, 'lots'), bought_ms = whole(bought_ms, 'lots'),
      left = whole(left, 'lots'), voided = voided == '1',
    }
  end
  return lots
end

-- Add what only debits and top-ups need: totals, and lots.
local function deepen(acct, totals, lots)
  local funded, debited, refunded, expired, voided, owed =
    match(totals or '', '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
  if not funded then damaged('totals') end
  acct.funded, acct.debited, acct.refunded = whole(funded, 'totals'), whole(debited, 'totals'),
    whole(refunded, 'totals')
  acct.expired, acct.voided, acct.owed = whole(expired, 'totals'), whole(voided, 'totals'),
    whole(owed, 'totals')
  acct.lots, acct.totals_was, acct.lots_was = parse_lots(lots or ''), totals, lots or ''
end

-- Read partition and account in one command, with the fields that these calls touch; `values` are
-- those of a single new call that were read before.
local function load(keys, now_ms, tenant, calls, deep, values)
  local names = { 'meta', 'flags/' .. tenant, 'money/' .. tenant }
  if deep then names[4], names[5] = 'totals/' .. tenant, 'lots/' .. tenant end
  local first = #names
  for i = 1, #calls do
    for _, field in ipairs(calls[i].purses.fields) do names[#names + 1] = field end
    if calls[i].counted then names[#names + 1] = calls[i].counted end
  end
  values = values or call('HMGET', keys[1], unpack(names))
  local part, acct = parse_meta(values[1], whole(now_ms, 'now_ms')),
    parse_account(tenant, values[2], values[3])
  if not part or not acct then return part end
  if deep then deepen(acct, values[4], values[5]) end
  for i = first + 1, #names do
    local name = names[i]
    if sub(name, 1, 8) == 'running/' then
      acct.running[name] = whole(values[i] or 0, name)
      acct.running_was[name] = acct.running[name]
    else
      acct.tally[name] = acct.tally[name] or parse_tally(values[i])
    end
  end
  return part, acct
end

-- Plan the partition's next journal entry.
local function note(part, kind, nonce, body)
  part.n = part.n + 1
  local meta = format('%s %s %s %d %d', part.epoch, nonce, part.nonce, part.now_ms,
    part.small_until_ms)
  part.nonce = nonce
  part.entries[#part.entries + 1] = { format('%d-0', part.n), meta, kind, body }
end

-- Say what an account has to give and holds, for the journal.
local function money_lines(acct)
  return '\navailable=' .. (acct.available and digits(acct.available) or '-') .. '\nreserved='
    .. digits(acct.reserved)
end

-- Write the lots that have something left; keep in the account when the next one falls due.
local function lots_text(acct)
  local records = {}
  acct.lots_due_ms = 0
  for _, lot in ipairs(acct.lots) do
    if lot.left > 0 then
      if acct.lots_due_ms == 0 then acct.lots_due_ms = lot.expire_ms end
      records[#records + 1] = format('%d %d %d %d %s', lot.expire_ms, lot.bought_ms,
        exact(lot.left), lot.voided and 1 or 0, lot.id)
    end
  end
  return concat(records, '\30')
end

-- Format what changed in an account, as field, value, field, value ...
local function account_changes(acct)
  local tenant, changes = acct.tenant, {}
  local n = 0
  local function put(field, value, was)
    if value ~= was then
      changes[n + 1], changes[n + 2] = field, value
      n = n + 2
    end
  end
  if acct.lots then
    put('lots/' .. tenant, lots_text(acct), acct.lots_was)
    put('totals/' .. tenant, format('%d %d %d %d %d %d', exact(acct.funded), exact(acct.debited),
      exact(acct.refunded),
      exact(acct.expired), exact(acct.voided), exact(acct.owed)), acct.totals_was)
  end
  put('flags/' .. tenant, format('%s %d %d', acct.digest, acct.frozen and 1 or 0, acct.lots_due_ms),
    acct.flags_was)
  put('money/' .. tenant, (acct.available and digits(acct.available) or '-')
    .. format(' %d %d', exact(acct.reserved), exact(acct.post_paid)), acct.money_was)
  for field, tally in pairs(acct.tally) do
    put(field, format('%d %d', exact(tally.done), exact(tally.held)), tally.was)
  end
  for field, count in pairs(acct.running) do
    if count ~= acct.running_was[field] then put(field, digits(count)) end
  end
  return changes
end

-- A call --------------------------------------------------------------------------------------

-- Read a hash as a table; nil where there is none.
local function read_hash(key)
  local flat = call('HGETALL', key)
  if #flat == 0 then return nil end
  local record = {}
  for i = 1, #flat, 2 do record[flat[i]] = flat[i + 1] end
  return record
end

-- Write segments as "purse from to held", joined by commas.
local function segments_text(segments)
  local parts = {}
  for i, s in ipairs(segments) do
    parts[i] = format('%d %d %d %d', s.purse - 1, s.from, s.to, exact(s.held))
  end
  return concat(parts, ',')
end

-- Read segments, and nothing but segments.
local function parse_segments(text)
  local segments = {}
  for purse, from, to, held in gmatch(text, '(%d+) (%d+) (%d+) (%d+)') do
    segments[#segments + 1] = {
      purse = whole(purse, 'held') + 1, from = whole(from, 'held'), to = whole(to, 'held'),
      held = whole(held, 'held'),
    }
  end
  if segments_text(segments) ~= text then damaged('held') end
  return segments
end

-- Write what the purses paid so far as "purse seconds micros", joined by commas.
local function uses_text(uses)
  local parts = {}
  for index, use in pairs(uses) do
    parts[#parts + 1] = format('%d %d %d', index - 1, use.seconds, exact(use.micros))
  end
  table.sort(parts)
  return concat(parts, ',')
end

-- Read what the purses paid so far.
local function parse_uses(text)
  local uses = {}
  for purse, seconds, micros in gmatch(text, '(%d+) (%d+) (%d+)') do
    uses[whole(purse, 'held') + 1] = { seconds = whole(seconds, 'held'),
      micros = whole(micros, 'held') }
  end
  if uses_text(uses) ~= text then damaged('held') end
  return uses
end

-- Write what a call holds, what its purses paid, and its report: seconds used, talked beyond all
-- grants, paid by nobody, what those would have cost, and whether it was reported late.
local function held_texts(c)
  local report = NOTHING_USED
  if c.used > 0 or c.late then
    report = format('%d %d %d %d %d', exact(c.used), exact(c.overrun), c.unpaid_seconds,
      exact(c.unpaid_micros), c.late and 1 or 0)
  end
  return segments_text(c.segments), uses_text(c.uses), report
end

-- Join the chunks of a record's facts.
local function facts_of(record)
  local chunks, i = {}, 1
  while record['facts' .. i] do
    chunks[i] = record['facts' .. i]
    i = i + 1
  end
  return concat(chunks)
end

-- Begin a call of which nothing is known yet. Its facts: call id, purses, context of the answer.
local function new_call(facts, opened, counted)
  local list = match(facts, '^[^\29]*\29([^\29]*)\29')
  if not list then damaged('the facts of a call') end
  return {
    facts = facts, list = list, purses = parse_purses(list), opened = opened, counted = counted,
    unfunded = false,
    is_new = true, uses = {}, granted = {}, segments = {}, used = 0, to = 0, granted_until = 0,
    debit = 0,
    overrun = 0, unpaid_seconds = 0, unpaid_micros = 0, late = false, before = '', held_before = '',
  }
end

-- Unfold the record of a call that holds something, or may be reported on late.
local function open_call(record)
  local c = new_call(facts_of(record), record.opened or record.decision, record.counted)
  local segments, uses, used, overrun, unpaid_seconds, unpaid_micros, late =
    match(record.held or '', '^([^|]*)|([^|]*)|(%d+) (%d+) (%d+) (%d+) ([01])$')
  if not segments or not c.opened then damaged('a call') end
  c.is_new, c.unfunded, c.late = false, record.unfunded == '1', late == '1'
  c.used, c.overrun = whole(used, 'held'), whole(overrun, 'held')
  c.unpaid_seconds, c.unpaid_micros = whole(unpaid_seconds, 'held'), whole(unpaid_micros, 'held')
  c.segments, c.uses, c.to = parse_segments(segments), parse_uses(uses), c.used
  c.before, c.held_before = uses, record.state == 'live' and segments or ''
  for index, use in pairs(c.uses) do c.granted[index] = use.seconds end
  c.granted_until = #c.segments > 0 and c.segments[#c.segments].to or c.used
  -- What is over holds nothing; its segments are those of its last answer.
  if record.state ~= 'live' then c.segments = {} end
  for _, segment in ipairs(c.segments) do
    local index = segment.purse
    if not c.purses[index] or segment.to < segment.from then damaged('held') end
    c.granted[index] = (c.granted[index] or 0) + segment.to - segment.from
    c.to = segment.to
  end
  return c
end

-- Holding and giving back ---------------------------------------------------------------------

-- Hold money of the account for a call (or give it back, where negative).
local function hold_money(acct, c, purse, micros)
  if c.unfunded and purse.post_paid then
    acct.post_paid = acct.post_paid + micros
  else
    acct.available = (acct.available or 0) - micros
  end
  acct.reserved = acct.reserved + micros
  if purse.field then
    local tally = acct.tally[purse.field]
    tally.held = tally.held + micros
  end
end

-- Say how many seconds a plan still gives in the direction of its first tally.
local function pool_room(purse, acct)
  local tallies, sizes = purse.tallies, purse.sizes
  for i = 1, #tallies do
    if acct.tally[tallies[i]].done >= sizes[i] then return 0 end
  end
  local tally = acct.tally[purse.field]
  return max(0, sizes[1] - tally.done - tally.held)
end

-- Say how much money a call may still take by the balance, and by the spend limit.
local function spendable(purse, acct)
  local by_balance, by_limit = math.huge, math.huge
  if not purse.post_paid then
    by_balance = acct.available and acct.available + purse.overdraft or -math.huge
  end
  if purse.limit then
    local tally = acct.tally[purse.field]
    by_limit = purse.limit - tally.done - tally.held
  end
  return by_balance, by_limit
end

-- Say how many seconds a purse can give this call, no more than those that cover `limit`.
local function room(purse, index, c, acct, limit)
  if purse.kind == 'F' then return limit end
  if purse.kind == 'P' then return min(pool_room(purse, acct), limit) end
  local had = c.granted[index] or 0
  if purse.positive and had == 0 and not (acct.available and acct.available > 0) then return 0 end
  local money = min(spendable(purse, acct)) - (c.to == 0 and purse.fee or 0)
  limit = min(limit, purse.priceable - had)
  if money < 0 or limit <= 0 then return 0 end
  return affordable_seconds(purse, money + price_micros(purse, had), had + limit) - had
end

-- Take seconds from one purse for the end of the call.
local function take(c, acct, index, seconds)
  local purse, had, held = c.purses[index], c.granted[index] or 0, 0
  if purse.kind == 'P' then
    local tally = acct.tally[purse.field]
    tally.held = tally.held + seconds
  elseif purse.kind == 'C' then
    held = price_micros(purse, had + seconds) - price_micros(purse, had) + (c.to == 0 and purse.fee
      or 0)
    hold_money(acct, c, purse, held)
  end
  local last = c.segments[#c.segments]
  if last and last.purse == index then
    last.to, last.held = last.to + seconds, last.held + held
  else
    c.segments[#c.segments + 1] = { purse = index, from = c.to, to = c.to + seconds, held = held }
  end
  c.granted[index], c.to = had + seconds, c.to + seconds
end

-- Walk over the purses in their order for `wanted` more seconds.
local function walk(c, acct, wanted)
  for index, purse in ipairs(c.purses) do
    if wanted <= 0 then return end
    local seconds = room(purse, index, c, acct, wanted)
    if seconds > 0 then
      take(c, acct, index, seconds)
      wanted = wanted - seconds
    end
  end
end

-- Say what a call holds of one of its purses: seconds of a pool, micros of credits.
local function own_held(c, index)
  local held, pool = 0, c.purses[index].kind == 'P'
  for _, segment in ipairs(c.segments) do
    if segment.purse == index then
      held = held + (pool and segment.to - segment.from or segment.held)
    end
  end
  return held
end

-- Say whether other calls hold something of a purse, which may yet come back to it.
local function others_hold(purse, index, c, acct)
  if purse.kind == 'P' then return acct.tally[purse.field].held > own_held(c, index) end
  return purse.kind == 'C' and acct.reserved > own_held(c, index)
end

-- Say whether no listed purse can ever give this call more than it has.
local function is_final(c, acct)
  for index, purse in ipairs(c.purses) do
    if room(purse, index, c, acct, 1) > 0 or others_hold(purse, index, c, acct) then
      return false
    end
  end
  return true
end

-- Shorten what is wanted where other calls draw on the same purses and they run low.
local function slice(c, acct, part, wanted, floor)
  local least = min(wanted, floor)
  if part.now_ms < part.small_until_ms then return least end
  local plenty, there, contended = wanted * PLENTY, 0, false
  for index, purse in ipairs(c.purses) do
    local seconds = room(purse, index, c, acct, plenty)
    there = there + seconds
    if there >= plenty then return wanted end
    contended = contended or (seconds > 0 and others_hold(purse, index, c, acct))
  end
  return contended and max(least, min(wanted, floor_div(there, PLENTY))) or wanted
end

-- Give back all that a call holds.
local function give_back(c, acct)
  for _, segment in ipairs(c.segments) do
    local purse, seconds = c.purses[segment.purse], segment.to - segment.from
    if purse.kind == 'P' then
      local tally = acct.tally[purse.field]
      tally.held = tally.held - seconds
    elseif purse.kind == 'C' then
      hold_money(acct, c, purse, 0 - segment.held)
    end
    c.granted[segment.purse] = c.granted[segment.purse] - seconds
  end
  c.segments, c.to = {}, c.used
end

-- Count a call among the running ones of its account, or no longer.
local function count_running(c, acct, by)
  if c.counted then acct.running[c.counted] = max(0, acct.running[c.counted] + by) end
end

-- Using ---------------------------------------------------------------------------------------

-- Turn the next seconds of one segment into a debit of its purse.
local function use(c, acct, segment, seconds)
  local index = segment.purse
  local purse, paid = c.purses[index], c.uses[index] or { seconds = 0, micros = 0 }
  local micros, amount = 0, seconds
  if purse.kind == 'C' then
    micros = price_micros(purse, paid.seconds + seconds) - price_micros(purse, paid.seconds)
      + (segment.from == 0 and purse.fee or 0)
    acct.reserved, acct.debited, segment.held = acct.reserved - micros, acct.debited + micros,
      segment.held - micros
    if not (c.unfunded and purse.post_paid) then c.debit = c.debit + micros end
    amount = micros
  end
  if purse.field then
    local tally = acct.tally[purse.field]
    tally.done, tally.held = tally.done + amount, tally.held - amount
  end
  c.uses[index] = { seconds = paid.seconds + seconds, micros = paid.micros + micros }
  segment.from = segment.from + seconds
end

-- Fill the segments in order with the seconds used so far.
local function use_segments(c, acct, used)
  local left = {}
  for _, segment in ipairs(c.segments) do
    local seconds = min(segment.to, used) - segment.from
    if seconds > 0 then use(c, acct, segment, seconds) end
    if segment.from < segment.to then left[#left + 1] = segment end
  end
  c.segments, c.used = left, max(c.used, min(used, c.to))
end

-- Write down what was talked and nobody pays: its seconds, and what credits would have cost.
local function leave_unpaid(c, seconds)
  for index, purse in ipairs(c.purses) do
    if purse.kind == 'C' then
      local had = (c.granted[index] or 0) + c.unpaid_seconds
      c.unpaid_micros = c.unpaid_micros + (c.used == 0 and purse.fee or 0)
        + price_micros(purse, min(purse.priceable, had + seconds)) - price_micros(purse,
          min(purse.priceable, had))
    end
  end
  c.unpaid_seconds = c.unpaid_seconds + seconds
end

-- Take a cumulative report: debit what was used, walk on over what was talked beyond the grants.
local function report_used(c, acct, used)
  use_segments(c, acct, used)
  if used <= c.used then return end
  c.overrun = c.overrun + max(0, used - max(c.granted_until, c.used))
  walk(c, acct, used - c.used)
  use_segments(c, acct, used)
  if used > c.used then
    leave_unpaid(c, used - c.used)
    c.used, c.to = used, used
  end
end

-- Lots ----------------------------------------------------------------------------------------

-- Take from lots that are due what no running call holds.
local function expire_lots(keys, acct, part, nonce)
  if acct.lots_due_ms == 0 or acct.lots_due_ms > part.now_ms
    or (acct.available or 0) <= 0 then return end
  if not acct.lots then
    local values = call('HMGET', keys[1], 'totals/' .. acct.tenant, 'lots/' .. acct.tenant)
    deepen(acct, values[1], values[2])
  end
  local moved = {}
  for _, lot in ipairs(acct.lots) do
    local micros = min(lot.left, acct.available)
    if lot.expire_ms <= part.now_ms and micros > 0 then
      local sum = lot.voided and 'voided' or 'expired'
      lot.left, acct.available, acct[sum] = lot.left - micros, acct.available - micros,
        acct[sum] + micros
      moved[#moved + 1] = lot.id .. '\31' .. digits(micros) .. '\31' .. sum
    end
  end
  if #moved == 0 then return end
  note(part, 'lots_expired', nonce .. 'x', 'tenant=' .. acct.tenant .. '\nlots='
    .. concat(moved, '\30') .. money_lines(acct))
end

-- Take debited money out of the lots, oldest first; what no lot has is owed to the next one.
local function pay_from_lots(acct, micros)
  local paid = {}
  for _, lot in ipairs(acct.lots) do
    local part = min(lot.left, micros)
    if part > 0 then
      lot.left, micros = lot.left - part, micros - part
      paid[#paid + 1] = lot.id .. '\31' .. digits(part)
    end
  end
  acct.owed = acct.owed + micros
  return concat(paid, '\30')
end

-- Order lots as money leaves them.
local function sort_lots(lots)
  table.sort(lots, function(a, b)
    if a.expire_ms ~= b.expire_ms then return a.expire_ms < b.expire_ms end
    if a.bought_ms ~= b.bought_ms then return a.bought_ms < b.bought_ms end
    return a.id < b.id
  end)
end

-- Find a lot that still has something.
local function find_lot(acct, id)
  for _, lot in ipairs(acct.lots) do
    if lot.id == id and lot.left > 0 then return lot end
  end
end

-- Put money into a lot, less what is owed already.
local function fill_lot(acct, lot, micros)
  local owed = min(acct.owed, micros)
  acct.owed, lot.left = acct.owed - owed, lot.left + micros - owed
end

-- Answers and plans ---------------------------------------------------------------------------

-- Give the stored answer of a record again.
local function stored_answer(record, status)
  return { status, record.decision or '', record.answer or '', record.held or '', record.state
    or '',
           facts_of(record), record.explanation or '' }
end

-- Say what was answered before, if this question or a later one was asked before.
local function earlier_answer(record, asked)
  local last, content = match(record.asked or '', '^(%d+) (.+)$')
  if not last then damaged('a call') end
  local sequence, asked_content = match(asked, '^(%d+) (.+)$')
  sequence, last = whole(sequence, 'sequence'), whole(last, 'sequence')
  if sequence > last then return nil end
  if sequence < last then return stored_answer(record, 'SUPERSEDED') end
  if content ~= asked_content then return { 'REUSED' } end
  return stored_answer(record, 'REPEATED')
end

-- Describe an answer: when it was given, in how many ms to report and to lapse, whether it is the
-- last, why not, what credits lack, and what is left of credits and of the first pool.
local function answer_text(c, acct, part, reason, shortfall)
  local validity_ms, available, pool_left = 0, '-', '-'
  if reason == 0 then
    validity_ms = c.used == 0 and c.to * 1000 + RING_LIMIT_MS
      or (c.to - c.used) * 1000 + REPORT_GRACE_MS
  end
  for _, purse in ipairs(c.purses) do
    if purse.kind == 'C' and acct.available then available = digits(acct.available) end
    if purse.kind == 'P' and pool_left == '-' then pool_left = digits(pool_room(purse, acct)) end
  end
  local final = reason == 0 and is_final(c, acct) and 1 or 0
  local expire_ms = EXPIRE_VALIDITIES * validity_ms
  return format('%d %d %d %d %d %d %s %s', part.now_ms, validity_ms, expire_ms, final,
    max(0, reason), exact(shortfall),
    available, pool_left), part.now_ms + expire_ms
end

-- Say why the walk found nothing: the reason of the last purse, and what credits lack.
local function refusal_of(c, acct)
  local reason, shortfall = nil, 0
  for index, purse in ipairs(c.purses) do
    reason = purse.reason
    if purse.kind == 'C' then
      local had = min(c.granted[index] or 0, purse.priceable)
      local need = price_micros(purse, had + 1) - price_micros(purse, had) + (c.to == 0
        and purse.fee or 0)
      if purse.positive and had == 0 then need = max(1, need) end
      local by_balance, by_limit = spendable(purse, acct)
      if by_limit < need and by_limit <= by_balance then reason = SPEND_LIMIT_REACHED end
      if not acct.available and not purse.post_paid then
        reason, by_balance = BALANCE_MISSING, 0
      end
      shortfall = max(0, need - min(by_balance, need))
    end
  end
  return reason or damaged('a question without purses'), shortfall
end

-- Begin a plan of writes.
local function new_plan(acct, part)
  return { acct = acct, part = part, indexed = {}, over = {}, calls = {}, known = {} }
end

-- Plan the record of a call with its last answer; a fresh one also holds what was asked.
local function record_call(plan, question, c, state, answer)
  local held = concat({ held_texts(c) }, '|')
  local fields = { 'state', state, 'asked', question.asked, 'decision', question.decision, 'answer',
    answer, 'held', held }
  local n = 10
  local function put(field, value)
    fields[n + 1], fields[n + 2] = field, value
    n = n + 2
  end
  if c.opened ~= question.decision then put('opened', c.opened) end
  if question.fresh then
    put('gateway', question.gateway)
    if c.counted then put('counted', c.counted) end
    if c.unfunded then put('unfunded', '1') end
    if question.explanation ~= '' then put('explanation', question.explanation) end
    local facts, chunk = c.facts, 1
    for at = 1, #facts, CHUNK_BYTES do
      put('facts' .. chunk, sub(facts, at, at + CHUNK_BYTES - 1))
      chunk = chunk + 1
    end
  end
  plan.calls[#plan.calls + 1] = {
    key = question.key, fields = fields, replaced = question.fresh and question.known,
    lifetime = state == 'refused' and REFUSAL_LIFETIME_MS or question.aside and ASIDE_LIFETIME_MS,
    revived = question.state and not question.live and not question.aside,
    aside = question.aside_key, aside_lifetime = question.aside_lifetime, left = question.left,
  }
  -- The answer tells the facts where they are not those of the question.
  local told = c.facts ~= question.facts and c.facts or ''
  return { 'OK', question.decision, answer, held, state, told, '' }
end

-- Plan the journal entry of a change of a call.
local function note_call(plan, kind, question, c, nonce, paid)
  local acct, segments, uses, report = plan.acct, held_texts(c)
  note(plan.part, kind, nonce, 'tenant=' .. acct.tenant .. '\ncall=' .. question.member
    .. '\ngateway=' .. question.gateway
    .. '\nopened=' .. c.opened .. '\nasked=' .. question.asked .. '\nsegments=' .. segments
      .. '\nuses=' .. uses
    .. '\nbefore=' .. c.before .. '\nheld_before=' .. c.held_before
    .. (c.other_purses and '\nother_purses=' .. c.other_purses or '') .. '\nreport=' .. report
    .. '\nunfunded=' .. (c.unfunded and '1' or '') .. '\nlots=' .. paid .. money_lines(acct)
      .. '\nfacts=' .. c.facts)
end

-- Write a plan. Everything is formatted before the first command; each hash was read before.
local function commit(keys, plan)
  local part, changes = plan.part, account_changes(plan.acct)
  local entries, n = part.entries, #changes
  if #entries > 0 then
    changes[n + 1], changes[n + 2] = 'meta',
      format('%s %d %s %d %d', part.epoch, exact(part.n), part.nonce, part.now_ms,
        part.small_until_ms)
  end
  for i = 1, #plan.known do changes[#changes + 1] = plan.known[i] end
  if #plan.indexed > 0 then call('ZADD', keys[2], unpack(plan.indexed)) end
  for i = 1, #entries do
    local entry = entries[i]
    call('XADD', keys[3], entry[1], 'meta', entry[2], 'kind', entry[3], 'body', entry[4])
  end
  if #changes > 0 then call('HSET', keys[1], unpack(changes)) end
  for i = 1, #plan.calls do
    local record = plan.calls[i]
    if record.aside then
      call('RENAME', record.key, record.aside)
      if record.aside_lifetime then call('PEXPIRE', record.aside, record.aside_lifetime) end
    end
    if record.left then call('DEL', record.left) end
    if record.replaced then call('DEL', record.key) end
    call('HSET', record.key, unpack(record.fields))
    if record.revived then call('PERSIST', record.key) end
    if record.lifetime then call('PEXPIRE', record.key, record.lifetime) end
  end
  if #plan.over > 0 then call('ZREM', keys[2], unpack(plan.over)) end
  -- Only a wake-up: who misses it reads the journal a little later.
  if #entries > 0 then redis.pcall('SPUBLISH', keys[3], entries[#entries][1]) end
end

-- reserve -------------------------------------------------------------------------------------

local HEAD_ARGUMENTS, LEG_ARGUMENTS, HEAD_KEYS, LEG_KEYS = 4, 10, 3, 2

-- Read one leg of a question, and the record that may hold its answer.
local function read_leg(keys, args, i, values)
  local at, k = HEAD_ARGUMENTS + (i - 1) * LEG_ARGUMENTS, HEAD_KEYS + (i - 1) * LEG_KEYS
  local key = keys[k + 1]
  local record = not values and read_hash(key) or nil
  local leg = {
    key = key, record = record, known = record ~= nil, member = sub(key, -REFERENCE_BYTES) .. ':'
      .. args[2],
    gateway = args[at + 1], asked = args[at + 2], decision = args[at + 3], refusal = args[at + 4],
    wanted = tonumber(args[at + 5]), floor = tonumber(args[at + 6]), running = args[at + 7],
    facts = args[at + 8],
    explanation = args[at + 9], announced = args[at + 10], used = 0, fresh = true,
    kind = 'reserved',
  }
  if leg.announced ~= '' then leg.used = whole(match(leg.announced, '^(%d+)|'), 'used') end
  if leg.running ~= '' then leg.limit, leg.counted = match(leg.running, '^(%d+) (.+)$') end
  if record and record.gateway ~= leg.gateway then
    local other = read_hash(keys[k + 2])
    leg.record, leg.in_use = other, record.state == 'live'
    if leg.in_use then
      leg.key, leg.known = keys[k + 2], other ~= nil
    else
      leg.holder, leg.known, leg.left = record.gateway, false, other and keys[k + 2]
    end
  end
  return leg
end

-- Choose where the record goes of a call that is over and whose id another gateway takes. Returns
-- the reply that asks for the keys of those gateways, where they were not given.
local function set_aside(keys, args, legs)
  local count, named, holders, missing = #legs, {}, { 'ASIDE' }, false
  if #args > HEAD_ARGUMENTS + count * LEG_ARGUMENTS then
    for gateway in gmatch(args[#args], '([^\29]*)\29') do named[#named + 1] = gateway end
  end
  for i, leg in ipairs(legs) do
    local holder = leg.call and leg.holder
    holders[i + 1] = holder or ''
    if holder then
      leg.aside_key = keys[HEAD_KEYS + count * LEG_KEYS + i]
      leg.aside_lifetime = call('PTTL', leg.key) < 0 and ASIDE_LIFETIME_MS
      missing = missing or named[i] ~= holder
    end
  end
  return missing and holders or nil
end

-- Take over what is known of a call before this question: what was reported stays paid.
local function go_on(c, leg)
  local before = leg.live
  if before then
    c.opened, c.used, c.overrun, c.late = before.opened, before.used, before.overrun, before.late
    c.unpaid_seconds, c.unpaid_micros = before.unpaid_seconds, before.unpaid_micros
    c.held_before = before.held_before
    if before.list == c.list then c.uses = before.uses else c.other_purses = before.list end
  elseif leg.announced ~= '' and not leg.in_use then
    c.uses = parse_uses(match(leg.announced, '^%d+|(.*)$'))
    for _, use in pairs(c.uses) do c.used = c.used + use.seconds end
  end
  for index, use in pairs(c.uses) do c.granted[index] = use.seconds end
  c.to, c.granted_until, c.before = c.used, leg.used, uses_text(c.uses)
end

-- Give facts whose answer is rendered from what is known today, of a call that is paid as it began:
-- what its context tells of purses, from the empty string on, stays with them.
local function paid_as_it_began(before, facts)
  local call_id, context = match(facts, '^([^\29]*\29)[^\29]*(\29.*)$')
  local today = match(context .. '\31', '^(.-)\31\31')
  local paying = match(before.facts .. '\31', '^[^\29]*\29[^\29]*\29.-(\31\31.*)$')
  if today and paying then context = today .. sub(paying, 1, -2) end
  return call_id .. before.list .. context
end

-- Choose the call a leg speaks of: a new one, one that goes on, or one whose reservation is
-- replaced.
local function call_of(leg)
  local record = leg.record
  local before = record and not leg.in_use and record.state ~= 'refused' and open_call(record)
  leg.live = before and record.state == 'live' and before
  if before and leg.used > 0 and #before.purses > 0 then
    before.late = before.late or record.state == 'expired'
    before.facts = paid_as_it_began(before, leg.facts)
    return before
  end
  local c = new_call(leg.facts, leg.decision, leg.counted)
  if leg.live or leg.announced ~= '' then go_on(c, leg) end
  return c
end

-- Walk for one question; say why not where nothing is granted: reason and shortfall, else 0 and 0.
local function try_call(question, c, acct, part)
  if question.refusal ~= '' then return whole(question.refusal, 'refusal'), 0 end
  if acct.frozen then return FROZEN, 0 end
  local full = question.limit and c.counted and acct.running[c.counted] >= whole(question.limit,
    'limit')
  local objection = full and CONCURRENT_CALLS or question.in_use and CALL_ID_IN_USE
  local wanted = slice(c, acct, part, question.wanted, question.floor)
  walk(c, acct, c.used + wanted - c.to)
  -- A mere report needs no more than it has.
  if c.to > c.used or question.wanted == 0 then return objection or 0, 0 end
  local reason, shortfall = refusal_of(c, acct)
  if objection and TOLD_LAST[reason] then return objection, 0 end
  return reason, shortfall
end

-- Say whether something of the partition has lapsed and only waits to be given back.
local function something_due(expiry, now_ms)
  return #call('ZRANGEBYSCORE', expiry, '-inf', digits(now_ms), 'LIMIT', 0, 1) > 0
end

-- End a running call that is refused more as it was granted: what it talked is yet to be paid.
local function ended_as_granted(question, c)
  local before = question.live
  if not question.fresh or not before or c == before or #before.purses == 0 then return c end
  before.facts = paid_as_it_began(before, c.facts)
  return before
end

-- Plan the outcome of one question for a grant; where nothing is granted, nothing stays held.
local function plan_grant(plan, question, c, forced)
  local acct = plan.acct
  local reason, shortfall
  if forced then
    reason, shortfall = forced.reason, forced.shortfall
  else
    reason, shortfall = try_call(question, c, acct, plan.part)
  end
  if reason ~= 0 then
    give_back(c, acct)
    c = ended_as_granted(question, c)
    plan.refused = plan.refused or { reason = reason, shortfall = shortfall }
    plan.short = plan.short or (question.refusal == '' and not acct.frozen)
  end
  local paid = c.debit > 0 and pay_from_lots(acct, c.debit) or ''
  local answer, expire_ms = answer_text(c, acct, plan.part, reason, shortfall)
  local state = reason == 0 and 'live' or (c.used > 0 or question.live) and 'ended' or 'refused'
  if state == 'live' then
    count_running(c, acct, 1)
    plan.indexed[#plan.indexed + 1], plan.indexed[#plan.indexed + 2] = digits(expire_ms),
      question.member
    note_call(plan, question.kind, question, c, question.decision, paid)
  elseif question.live or c.used > 0 then
    if not question.aside then plan.over[#plan.over + 1] = question.member end
    note_call(plan, 'ended', question, c, question.decision, paid)
  end
  return record_call(plan, question, c, state, answer)
end

-- Plan one leg: what it held is free again, what was talked is debited, then the purses are asked.
local function plan_leg(plan, leg, forced)
  local c, live = leg.call, leg.live
  if live then
    count_running(live, plan.acct, -1)
    if c ~= live then give_back(live, plan.acct) end
  end
  if c.is_new then c.unfunded = plan.acct.available == nil end
  if leg.used > 0 and not leg.in_use then report_used(c, plan.acct, leg.used) end
  return plan_grant(plan, leg, c, forced)
end

-- Plan all legs. Returns the reply, and the plan if there is one to commit.
local function plan_reserve(keys, args, forced, values)
  local legs, asked, replies, deep = {}, {}, { 'OK' }, false
  for i = 1, (#args - HEAD_ARGUMENTS) / LEG_ARGUMENTS do
    local leg = read_leg(keys, args, i, values)
    local reply = leg.record and args[4] ~= 'd' and earlier_answer(leg.record, leg.asked)
    if reply and reply[1] == 'REUSED' then return reply end
    legs[i], replies[i + 1] = leg, reply or nil
    if not reply then
      leg.call = call_of(leg)
      asked[#asked + 1] = leg.call
      if leg.live then asked[#asked + 1] = leg.live end
      deep = deep or leg.announced ~= ''
    end
  end
  if #asked == 0 then return replies end
  local wanting = args[4] ~= 'd' and set_aside(keys, args, legs)
  if wanting then return wanting end
  local part, acct = load(keys, args[1], args[2], asked, deep, values)
  if not acct then return { 'NO_ACCOUNT' } end
  if acct.digest ~= args[3] then return { 'STALE', acct.digest } end
  expire_lots(keys, acct, part, legs[1].decision)
  local plan = new_plan(acct, part)
  for i, leg in ipairs(legs) do
    replies[i + 1] = replies[i + 1] or plan_leg(plan, leg, forced)
  end
  return replies, plan
end

-- Say what the first purse gives where it has plenty: the seconds, the micros held, the field it
-- changes and its new text, and the texts of credits and of minutes left. nil where it has not.
local function plenty(purses, values, wanted, available, reserved, post_paid)
  local purse = purses[1]
  local sizes = purse.sizes
  if purse.kind == 'P' then
    for i = 2, #sizes do
      if values[3 + i] and tonumber(match(values[3 + i], '^(%d+) ')) >= sizes[i] then return nil end
    end
    local done, held = match(values[4] or '0 0', '^(%d+) (%d+)$')
    local left = sizes[1] - done - held - wanted
    if done + 0 >= sizes[1] or left < wanted * (PLENTY - 1) then return nil end
    return wanted, 0, purse.field, done .. ' ' .. held + wanted, purses.has.C and available or '-',
      left
  end
  if purse.limit or purses.has.P or available == '-' or purse.positive and available + 0 <= 0 then
    return nil
  end
  local seconds = charged_seconds(purse, wanted)
  local most = max(wanted * PLENTY, seconds + 1)
  local held = price_micros(purse, seconds) + purse.fee
  if most > purse.priceable then return nil end
  if not purse.post_paid and available + purse.overdraft < price_micros(purse,
    most) + purse.fee then
    return nil
  end
  available = digits(available - held)
  return seconds, held, 'money', available .. ' ' .. digits(reserved + held) .. ' ' .. post_paid,
    available, '-'
end

local FACTS_FIELDS = { 'facts1', 'facts2', 'facts3', 'facts4', 'facts5', 'facts6', 'facts7',
  'facts8', 'facts9' }

-- Write a first grant: all of its texts are made, and each hash was read.
local function write_first(keys, args, grant)
  local facts = args[12]
  local fields = { 'state', 'live', 'asked', args[6], 'decision', args[7], 'answer', grant.answer,
    'held', grant.kept,
                   'gateway', args[5], 'facts1', sub(facts, 1, CHUNK_BYTES) }
  local n = 14
  for chunk = 2, math.ceil(#facts / CHUNK_BYTES) do
    fields[n + 1], fields[n + 2] = FACTS_FIELDS[chunk] or 'facts' .. chunk,
      sub(facts, (chunk - 1) * CHUNK_BYTES + 1, chunk * CHUNK_BYTES)
    n = n + 2
  end
  if grant.unfunded ~= '' then fields[n + 1], fields[n + 2] = 'unfunded', grant.unfunded end
  call('ZADD', keys[2], grant.expire_ms, grant.member)
  call('XADD', keys[3], grant.id, 'meta', grant.entry, 'kind', 'reserved', 'body', grant.body)
  call('HSET', keys[1], 'meta', grant.meta, grant.field, grant.text)
  call('HSET', keys[4], unpack(fields))
  redis.pcall('SPUBLISH', keys[3], grant.id)
end

-- Put together the texts of a first grant and write it.
local function grant_first(keys, args, meta, grant)
  local tenant, decision, seconds = args[2], args[7], grant.seconds
  local validity_ms, place = seconds * 1000 + RING_LIMIT_MS, exact(meta.n + 1)
  local line, expire_in_ms = ' ' .. meta.now_ms .. ' ' .. meta.small_ms,
    EXPIRE_VALIDITIES * validity_ms
  local segments = '0 0 ' .. seconds .. ' ' .. digits(grant.held)
  grant.answer = meta.now_ms .. ' ' .. validity_ms .. ' ' .. expire_in_ms .. ' 0 0 0 '
    .. grant.credits_left .. ' ' .. grant.minutes_left
  grant.kept, grant.id = segments .. '||' .. NOTHING_USED, place .. '-0'
  grant.member = sub(keys[4], -REFERENCE_BYTES) .. ':' .. tenant
  grant.expire_ms = meta.now_ms + expire_in_ms .. ''
  grant.entry = meta.epoch .. ' ' .. decision .. ' ' .. meta.nonce .. line
  grant.meta = meta.epoch .. ' ' .. place .. ' ' .. decision .. line
  grant.body = 'tenant=' .. tenant .. '\ncall=' .. grant.member .. '\ngateway=' .. args[5]
    .. '\nopened=' .. decision .. '\nasked=' .. args[6] .. '\nsegments=' .. segments
    .. '\nuses=\nbefore=\nheld_before=\nreport=' .. NOTHING_USED .. '\nunfunded=' .. grant.unfunded
    .. '\nlots=\navailable=' .. grant.available .. '\nreserved=' .. grant.reserved
    .. '\nfacts=' .. args[12]
  write_first(keys, args, grant)
  return { 'OK', { 'OK', decision, grant.answer, grant.kept, 'live', '', '' } }
end

-- Grant what is asked most: the first question about a call whose first purse has plenty. The same
-- as the long way round, in fewer steps. Returns nil, and what was read, where it is not so.
local function reserve_at_once(keys, args)
  local tenant, wanted = args[2], args[9] + 0
  local plain = args[8] .. args[11] .. args[13] .. args[14] == '' and args[4] ~= 'd'
  if not plain or #args ~= HEAD_ARGUMENTS + LEG_ARGUMENTS or wanted < 1 then return nil end
  if #call('HGETALL', keys[4]) > 0 then return nil end
  local purses = parse_purses(match(args[12], '^[^\29]*\29([^\29]*)\29'))
  local flags, money = 'flags/' .. tenant, 'money/' .. tenant
  local values = call('HMGET', keys[1], 'meta', flags, money, unpack(purses.fields))
  local epoch, n, nonce, time_ms, small_ms =
    match(values[1] or '', '^(%d+) (%d+) (%S+) (%d+) (%d+)$')
  local digest, due_ms = match(values[2] or '', '^(%S+) 0 (%d+)$')
  local available, reserved, post_paid = match(values[3] or '', '^(%-?%d*) (%d+) (%d+)$')
  if not epoch or digest ~= args[3] or not available then return nil, values end
  if #purses == 0 or purses.has.F then return nil, values end
  local now_ms = max(args[1] + 0, time_ms + 0)
  local lots_are_due = due_ms ~= '0' and due_ms + 0 <= now_ms
  if lots_are_due or small_ms + 0 > now_ms then return nil, values end
  local seconds, held, field, text, credits_left, minutes_left =
    plenty(purses, values, wanted, available, reserved, post_paid)
  if not seconds then return nil, values end
  local unfunded = available == '-' and '1' or ''
  if field == 'money' then
    field, available, reserved = money, credits_left, digits(reserved + held)
  end
  return grant_first(keys, args, { epoch = epoch, n = n, nonce = nonce, small_ms = small_ms,
    now_ms = now_ms }, {
    seconds = seconds, held = held, field = field, text = text, credits_left = credits_left,
    minutes_left = minutes_left, available = available, reserved = reserved, unfunded = unfunded,
  })
end

-- reserve: hold for each leg what its purses give, once per (call, sequence); all legs have one
-- account.
--   KEYS   accounts, expiry, journal, then per leg: call, other; where the last argument is there,
--          per leg: other of the gateway that it names
--   ARGV   now_ms, tenant, facts_digest, mode (d: dry run, a: all or nothing, or empty; in capitals
--          or S where it was asked after expiring), then per leg: gateway, "sequence fingerprint",
--          decision_id, reason of the rules or '', wanted_seconds, floor_seconds,
--          "limit field" of running calls or '', facts, explanation, "used_seconds|uses" or '';
--          last, if asked for: the gateways that ASIDE named, each ended by a group separator
--   reply  OK and per leg an answer | REUSED | NO_ACCOUNT | STALE, digest | EXPIRE_FIRST
--          | ASIDE, per leg the gateway whose call is over and whose id is taken, or ''
local function reserve(keys, args)
  if not call then bind() end
  local mode, second = string.lower(args[4]), string.find(args[4], '%u')
  args[4] = mode
  local granted, values = reserve_at_once(keys, args)
  if granted then return granted end
  local reply, plan = plan_reserve(keys, args, nil, values)
  if not plan then return reply end
  if plan.short and not second and something_due(keys[2], plan.part.now_ms) then
    return { 'EXPIRE_FIRST' }
  end
  if plan.refused and mode == 'a' then
    -- One leg does not fit, so none is held: all are refused for its reason.
    reply, plan = plan_reserve(keys, args, plan.refused)
  end
  if mode ~= 'd' then commit(keys, plan) end
  return reply
end

-- Reports -------------------------------------------------------------------------------------

-- Read what a question about a call that was granted before looks at, or answer it at once. A fifth
-- key is the call's, where the fourth is the record that was set aside for another gateway's.
local function open_report(keys, args)
  local question = {
    key = keys[4], member = sub(keys[5] or keys[4], -REFERENCE_BYTES) .. ':' .. args[2],
    gateway = args[4], asked = args[5], aside = keys[5] ~= nil,
    decision = args[6], used = whole(args[7], 'used'), second = args[8] == 's', kind = 'extended',
  }
  local record = read_hash(keys[4])
  if not record or record.gateway ~= question.gateway then return nil, { 'NO_CALL' } end
  if question.aside and record.state == 'refused' then return nil, { 'NO_CALL' } end
  local earlier = earlier_answer(record, question.asked)
  if earlier then return nil, earlier end
  local state = record.state or damaged('a call')
  if state ~= 'live' and state ~= 'expired' and state ~= 'ended' then
    return nil, { 'OVER', state }
  end
  question.live, question.state, question.call = state == 'live', state, open_call(record)
  question.call.late = question.call.late or state == 'expired'
  return question
end

-- Begin the plan of a report: the call is taken up where it was left.
local function open_report_plan(keys, args, question)
  local part, acct = load(keys, args[1], args[2], { question.call }, true)
  if not acct then return nil, { 'NO_ACCOUNT' } end
  if args[3] ~= '' and acct.digest ~= args[3] then return nil, { 'STALE', acct.digest } end
  expire_lots(keys, acct, part, question.decision)
  -- Read before the first write, so that the last one, taking the call out of it, cannot fail.
  call('ZSCORE', keys[2], question.member)
  if question.live then count_running(question.call, acct, -1) end
  return new_plan(acct, part)
end

-- extend: debit what was used and hold more for a call that goes on, also for one that had lapsed.
--   KEYS   accounts, expiry, journal, call | other, call
--   ARGV   now_ms, tenant, facts_digest, gateway, "sequence fingerprint", decision_id,
--          used_seconds,
--          s if asked after expiring, reason of the rules or '', wanted_seconds, floor_seconds,
--          limit of running calls or ''
--   reply  an answer | REUSED | NO_CALL | OVER, state | NO_ACCOUNT | STALE, digest | EXPIRE_FIRST
local function extend(keys, args)
  if not call then bind() end
  local question, reply = open_report(keys, args)
  if not question then return reply end
  local c = question.call
  if #c.purses == 0 then return { 'OVER', 'ended' } end
  question.refusal, question.wanted, question.floor = args[9], whole(args[10], 'wanted'),
    whole(args[11], 'floor')
  question.limit, question.in_use = args[12] ~= '' and args[12] or nil, question.aside
  local plan, trouble = open_report_plan(keys, args, question)
  if not plan then return trouble end
  report_used(c, plan.acct, question.used)
  local answer = plan_grant(plan, question, c)
  if plan.short and not question.second and something_due(keys[2], plan.part.now_ms) then
    return { 'EXPIRE_FIRST' }
  end
  commit(keys, plan)
  return answer
end

-- Plan the end of a call: nothing is held any more.
local function plan_end(plan, question, state)
  local acct, c = plan.acct, question.call
  local held = c.segments
  give_back(c, acct)
  local paid = c.debit > 0 and pay_from_lots(acct, c.debit) or ''
  -- In the index the name is that of another gateway's call by now.
  if not question.aside then plan.over[1] = question.member end
  note_call(plan, state, question, c, question.decision, paid)
  -- The answer to a release tells what was given back.
  if state == 'released' then c.segments = held end
  -- Below 0 is neither granted nor refused.
  return record_call(plan, question, c, state, (answer_text(c, acct, plan.part, -1, 0)))
end

-- settle: debit all that a call used and give back the rest; late also after it lapsed.
--   KEYS   accounts, expiry, journal, call | other, call
--   ARGV   now_ms, tenant, '', gateway, "sequence fingerprint", decision_id, used_seconds,
--          s if asked after expiring
--   reply  an answer | REUSED | NO_CALL | OVER, state | NO_ACCOUNT | EXPIRE_FIRST
local function settle(keys, args)
  if not call then bind() end
  local question, reply = open_report(keys, args)
  if not question then return reply end
  local plan, trouble = open_report_plan(keys, args, question)
  if not plan then return trouble end
  local unpaid_seconds = question.call.unpaid_seconds
  report_used(question.call, plan.acct, question.used)
  if question.call.unpaid_seconds > unpaid_seconds and not question.second
    and something_due(keys[2], plan.part.now_ms) then return { 'EXPIRE_FIRST' } end
  local answer = plan_end(plan, question, 'settled')
  commit(keys, plan)
  return answer
end

-- release: give back all that a call holds; the called party never answered.
--   KEYS   accounts, expiry, journal, call | other, call
--   ARGV   now_ms, tenant, '', gateway, "sequence fingerprint", decision_id, 0, ''
--   reply  an answer | REUSED | NO_CALL | OVER, state | ANSWERED | NO_ACCOUNT
local function release(keys, args)
  if not call then bind() end
  local question, reply = open_report(keys, args)
  if not question then return reply end
  if not question.live then return { 'OVER', question.state } end
  if question.call.used > 0 then return { 'ANSWERED' } end
  local plan, trouble = open_report_plan(keys, args, question)
  if not plan then return trouble end
  local answer = plan_end(plan, question, 'released')
  commit(keys, plan)
  return answer
end

-- expire: give back what one call holds if its time has come; the answer it got stays.
--   KEYS   accounts, expiry, journal, call
--   ARGV   now_ms, tenant, member, nonce
--   reply  1 if it was given back, else 0
local function expire(keys, args)
  if not call then bind() end
  local member, record = args[3], read_hash(keys[4])
  local score = call('ZSCORE', keys[2], member)
  if not record or record.state ~= 'live' then
    call('ZREM', keys[2], member)
    return 0
  end
  local c = open_call(record)
  local part, acct = load(keys, args[1], args[2], { c }, false)
  if not acct then damaged('an account') end
  local decided_ms, lapses_in_ms = match(record.answer or '', '^(%d+) %d+ (%d+) ')
  if not decided_ms then damaged('a call') end
  local expire_ms = whole(decided_ms, 'answer') + whole(lapses_in_ms, 'answer')
  if expire_ms > part.now_ms then
    if tonumber(score) ~= expire_ms then call('ZADD', keys[2], digits(expire_ms), member) end
    return 0
  end
  count_running(c, acct, -1)
  give_back(c, acct)
  local plan = new_plan(acct, part)
  note_call(plan, 'expired', { member = member, gateway = record.gateway, asked = record.asked }, c,
    args[4], '')
  plan.calls[1] = { key = keys[4], fields = { 'state', 'expired' } }
  plan.over[1] = member
  commit(keys, plan)
  return 1
end

-- Accounts ------------------------------------------------------------------------------------

-- The account that is opened where there was none.
local function blank_account(tenant, digest)
  return {
    tenant = tenant, digest = digest, frozen = false, lots_due_ms = 0, reserved = 0, post_paid = 0,
    funded = 0, debited = 0,
    refunded = 0, expired = 0, voided = 0, owed = 0, lots = {}, tally = {}, running = {},
    running_was = {},
  }
end

-- Plan a lot that nobody knew yet, and its journal entry.
local function plan_lot(plan, lot, nonce)
  local acct, micros = plan.acct, lot.left
  acct.available, acct.funded = (acct.available or 0) + micros, acct.funded + micros
  lot.left = 0
  fill_lot(acct, lot, micros)
  acct.lots[#acct.lots + 1] = lot
  sort_lots(acct.lots)
  plan.known = { 'known/' .. acct.tenant .. '/' .. lot.id,
    format('lot %d %d', micros, lot.expire_ms) }
  note(plan.part, 'topped_up', nonce, 'tenant=' .. acct.tenant .. '\nlot=' .. lot.id .. '\nmicros='
    .. digits(micros)
    .. '\nexpire_ms=' .. digits(lot.expire_ms) .. money_lines(acct))
end

-- open: open an account or describe it anew; its opening lot is applied once.
--   KEYS   accounts, expiry, journal
--   ARGV   now_ms, nonce, tenant, currency, facts_digest, prepaid (0 or 1), epoch of a new
--          partition
--          or '', opening_micros or '', id of the opening lot, its expire_ms
--   reply  OK | CURRENCY, the account's | NO_PARTITION
local function open(keys, args)
  if not call then bind() end
  local tenant, lot_id = args[3], args[9]
  local part, acct = load(keys, args[1], tenant, {}, true)
  if not part and args[7] == '' then return { 'NO_PARTITION' } end
  part = part or { epoch = digits(whole(args[7], 'epoch')), n = 0, nonce = '-', small_until_ms = 0,
                   now_ms = whole(args[1], 'now_ms'), entries = {} }
  local were = call('HMGET', keys[1], 'about/' .. tenant, 'known/' .. tenant .. '/' .. lot_id)
  local currency, prepaid, version = match(were[1] or '- - 0', '^(%S+) (%S+) (%d+)$')
  if not currency then damaged('about') end
  if acct and currency ~= args[4] then return { 'CURRENCY', currency } end
  local plan = new_plan(acct or blank_account(tenant, args[5]), part)
  local about
  if not acct or acct.digest ~= args[5] or prepaid ~= args[6] then
    about = args[4] .. ' ' .. args[6] .. ' ' .. digits(whole(version, 'about') + 1)
    plan.acct.digest = args[5]
    note(part, acct and 'described' or 'opened', args[2], 'tenant=' .. tenant .. '\ncurrency='
      .. args[4]
      .. '\ndigest=' .. args[5] .. '\nprepaid=' .. args[6])
  end
  if args[8] ~= '' and not were[2] then
    local lot = { id = lot_id, expire_ms = whole(args[10], 'expire_ms'), bought_ms = part.now_ms,
      left = whole(args[8], 'micros') }
    plan_lot(plan, lot, args[2] .. 'l')
  end
  if about then
    plan.known[#plan.known + 1], plan.known[#plan.known + 2] = 'about/' .. tenant, about
  end
  if #part.entries > 0 then commit(keys, plan) end
  return { 'OK' }
end

-- balance: read an account's sums, after taking from lots that are due.
--   KEYS   accounts, expiry, journal
--   ARGV   now_ms, nonce, tenant
--   reply  currency, prepaid and version; money; totals; lots | NO_ACCOUNT
local function balance(keys, args)
  if not call then bind() end
  local tenant = args[3]
  local part, acct = load(keys, args[1], tenant, {}, true)
  if not acct then return { 'NO_ACCOUNT' } end
  expire_lots(keys, acct, part, args[2])
  if #part.entries > 0 then commit(keys, new_plan(acct, part)) end
  local values = call('HMGET', keys[1], 'about/' .. tenant, 'money/' .. tenant, 'totals/' .. tenant,
    'lots/' .. tenant)
  return { values[1], values[2], values[3], values[4] or '', acct.frozen and '1' or '0',
    acct.digest }
end

-- Money in and out --------------------------------------------------------------------------------

-- Begin the plan of a change of money that has an id of its own. Returns also what is known of the
-- id, or the reply that ends it.
local function open_money(keys, args, what)
  local part, acct = load(keys, args[1], args[3], {}, true)
  if not acct then return nil, nil, { 'NO_ACCOUNT' } end
  local known = call('HGET', keys[1], 'known/' .. args[3] .. '/' .. args[4])
  if known and what and known ~= what and sub(known, 1, #what + 1) ~= what .. ' ' then
    return nil, nil, { 'REUSED' }
  end
  if known and what then return nil, nil, { 'OK' } end
  expire_lots(keys, acct, part, args[2])
  return new_plan(acct, part), known
end

-- top_up: fund an account with a lot, once per lot id.
--   KEYS   accounts, expiry, journal
--   ARGV   now_ms, nonce, tenant, lot id, micros, expire_ms
--   reply  OK | REUSED | NO_ACCOUNT
local function top_up(keys, args)
  if not call then bind() end
  local micros, expire_ms = whole(args[5], 'micros'), whole(args[6], 'expire_ms')
  local plan, _, reply = open_money(keys, args, format('lot %d %d', micros, expire_ms))
  if not plan then return reply end
  plan_lot(plan, { id = args[4], expire_ms = expire_ms, bought_ms = plan.part.now_ms,
    left = micros }, args[2])
  commit(keys, plan)
  return { 'OK' }
end

-- void_lot: take a lot out of use; what running calls hold of it goes as they give it back.
--   KEYS   accounts, expiry, journal
--   ARGV   now_ms, nonce, tenant, lot id
--   reply  OK | NO_LOT | NO_ACCOUNT
local function void_lot(keys, args)
  if not call then bind() end
  local plan, known, reply = open_money(keys, args)
  if not plan then return reply end
  if not known or not match(known, '^lot ') then return { 'NO_LOT' } end
  if match(known, ' voided$') then return { 'OK' } end
  local acct, part, lot = plan.acct, plan.part, find_lot(plan.acct, args[4])
  if lot then
    lot.voided, lot.expire_ms = true, min(lot.expire_ms, part.now_ms)
    sort_lots(acct.lots)
    acct.lots_due_ms = acct.lots_due_ms > 0 and min(acct.lots_due_ms, lot.expire_ms)
      or lot.expire_ms
  end
  note(part, 'lot_voided', args[2], 'tenant=' .. acct.tenant .. '\nlot=' .. args[4]
    .. money_lines(acct))
  expire_lots(keys, acct, part, args[2] .. 'v')
  plan.known = { 'known/' .. acct.tenant .. '/' .. args[4], known .. ' voided' }
  commit(keys, plan)
  return { 'OK' }
end

-- debit: take money that no call holds, once per debit id: all of it or nothing.
--   KEYS   accounts, expiry, journal
--   ARGV   now_ms, nonce, tenant, debit id, micros, overdraft_micros
--   reply  OK | SHORT, micros | REUSED | NO_ACCOUNT
local function debit(keys, args)
  if not call then bind() end
  local micros = whole(args[5], 'micros')
  local what = format('debit %d', micros)
  local plan, _, reply = open_money(keys, args, what)
  if not plan then return reply end
  local acct = plan.acct
  local short = micros - (acct.available and acct.available + whole(args[6], 'overdraft') or 0)
  if short > 0 then
    if #plan.part.entries > 0 then commit(keys, plan) end
    return { 'SHORT', digits(short) }
  end
  acct.available, acct.debited = acct.available - micros, acct.debited + micros
  local paid = pay_from_lots(acct, micros)
  note(plan.part, 'debited', args[2], 'tenant=' .. acct.tenant .. '\nid=' .. args[4] .. '\nmicros='
    .. digits(micros)
    .. '\nlots=' .. paid .. money_lines(acct))
  plan.known = { 'known/' .. acct.tenant .. '/' .. args[4], what }
  commit(keys, plan)
  return { 'OK' }
end

-- Choose the lot that a refund goes into: its own while that lasts, else a new one of a short life.
local function refund_lot(acct, part, lot_id, known, refund_id)
  local lot, expire_ms = find_lot(acct, lot_id), nil
  if lot and not lot.voided and lot.expire_ms > part.now_ms then return lot end
  expire_ms = match(known or '', '^lot %d+ (%d+)$')
  if not lot and expire_ms and whole(expire_ms, 'known') > part.now_ms then
    lot = { id = lot_id, expire_ms = whole(expire_ms, 'known') }
  else
    lot = { id = 'refund:' .. refund_id, expire_ms = part.now_ms + REFUND_LIFETIME_MS }
  end
  lot.bought_ms, lot.left, lot.voided = part.now_ms, 0, false
  acct.lots[#acct.lots + 1] = lot
  sort_lots(acct.lots)
  return lot
end

-- refund: give debited money back into the lot it came from, once per refund id.
--   KEYS   accounts, expiry, journal
--   ARGV   now_ms, nonce, tenant, refund id, micros, lot id
--   reply  OK | TOO_MUCH | REUSED | NO_ACCOUNT
local function refund(keys, args)
  if not call then bind() end
  local micros = whole(args[5], 'micros')
  local what = format('refund %d %s', micros, args[6])
  local plan, _, reply = open_money(keys, args, what)
  if not plan then return reply end
  local acct, part, tenant = plan.acct, plan.part, plan.acct.tenant
  if micros > acct.debited - acct.refunded then return { 'TOO_MUCH' } end
  local known = call('HGET', keys[1], 'known/' .. tenant .. '/' .. args[6])
  acct.refunded = acct.refunded + micros
  plan.known = { 'known/' .. tenant .. '/' .. args[4], what }
  local lot_id, expire_ms = '', ''
  if acct.available then
    local lot = refund_lot(acct, part, args[6], known, args[4])
    acct.available, lot_id, expire_ms = acct.available + micros, lot.id, digits(lot.expire_ms)
    fill_lot(acct, lot, micros)
    if lot.id ~= args[6] then
      plan.known[3], plan.known[4] = 'known/' .. tenant .. '/' .. lot.id,
        format('lot %d %d', micros, lot.expire_ms)
    end
  else
    acct.post_paid = acct.post_paid - micros
  end
  note(part, 'refunded', args[2], 'tenant=' .. tenant .. '\nid=' .. args[4] .. '\nmicros='
    .. digits(micros)
    .. '\nof=' .. args[6] .. '\nlot=' .. lot_id .. '\nexpire_ms=' .. expire_ms .. money_lines(acct))
  commit(keys, plan)
  return { 'OK' }
end

-- freeze: grant nothing more of an account, or again.
--   KEYS   accounts, expiry, journal
--   ARGV   now_ms, nonce, tenant, frozen (0 or 1)
--   reply  OK | NO_ACCOUNT
local function freeze(keys, args)
  if not call then bind() end
  local part, acct = load(keys, args[1], args[3], {}, true)
  if not acct then return { 'NO_ACCOUNT' } end
  if acct.frozen == (args[4] == '1') then return { 'OK' } end
  acct.frozen = args[4] == '1'
  note(part, 'frozen', args[2], 'tenant=' .. acct.tenant .. '\nfrozen=' .. args[4]
    .. money_lines(acct))
  commit(keys, new_plan(acct, part))
  return { 'OK' }
end

redis.register_function('callgate_v1_top_up', top_up)
redis.register_function('callgate_v1_void_lot', void_lot)
redis.register_function('callgate_v1_debit', debit)
redis.register_function('callgate_v1_refund', refund)
redis.register_function('callgate_v1_freeze', freeze)
redis.register_function('callgate_v1_reserve', reserve)
redis.register_function('callgate_v1_extend', extend)
redis.register_function('callgate_v1_settle', settle)
redis.register_function('callgate_v1_release', release)
redis.register_function('callgate_v1_expire', expire)
redis.register_function('callgate_v1_open', open)
redis.register_function('callgate_v1_balance', balance)
