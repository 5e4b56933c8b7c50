-- The partition and an account: read, and formatted to be written.

-- Read one tally, "debited held"; one that is not there yet is zero.
local function parse_tally(text)
  if not text then return { done = 0, held = 0, was = '0 0' } end
  local done, held = match(text, '^(%d+) (%d+)$')
  if not done then damaged('a tally') end
  return { done = whole(done, 'a tally'), held = whole(held, 'a tally'), was = text }
end

-- Read the partition's own line; nil where nothing was ever written. `now_ms` never runs back;
-- `asked_ms` is the time of who asks, and lots go by that alone: whoever wrote last may have had a
-- clock that was far ahead.
local function parse_meta(text, now_ms)
  if not text then return nil end
  local epoch, n, nonce, time_ms, small_until_ms = match(text, '^(%d+) (%d+) (%S+) (%d+) (%d+)$')
  if not epoch then damaged('meta') end
  return {
    epoch = epoch, n = whole(n, 'meta'), nonce = nonce, entries = {},
    now_ms = max(now_ms, whole(time_ms, 'meta')), small_until_ms = whole(small_until_ms, 'meta'),
    asked_ms = now_ms,
  }
end

-- Read an account's flags and held sums; nil where it was never opened. What is summed up over its
-- life counts here from 0 on: what is to be added to the text that was read.
local function parse_account(tenant, flags, money)
  if not flags and not money then return nil end
  local digest, frozen, lots_due_ms, limit = match(flags or '', '^(%S+) ([01]) (%d+) ?(%d*)$')
  local available, reserved, post_paid = match(money or '', '^(%S+) (%d+) (%d+)$')
  if not digest or not available then damaged('an account') end
  return {
    tenant = tenant, digest = digest, frozen = frozen == '1',
    lots_due_ms = whole(lots_due_ms, 'flags'), limit = limit ~= '' and whole(limit, 'flags') or 0,
    available = available ~= '-' and signed(available, 'money') or nil,
    reserved = whole(reserved, 'money'),
    post_paid = 0, post_paid_was = post_paid, flags_was = flags, money_was = money,
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
  acct.funded_was, acct.debited_was, acct.refunded_was = funded, debited, refunded
  acct.expired_was, acct.voided_was, acct.owed = expired, voided, whole(owed, 'totals')
  acct.funded, acct.debited, acct.refunded, acct.expired, acct.voided = 0, 0, 0, 0, 0
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

-- Add a field to what changed, if it did.
local function put(changes, field, value, was)
  if value ~= was then
    local n = #changes
    changes[n + 1], changes[n + 2] = field, value
  end
end

-- Format what changed in an account, as field, value, field, value ...
local function account_changes(acct)
  local tenant, changes = acct.tenant, {}
  if acct.lots then
    put(changes, 'lots/' .. tenant, lots_text(acct), acct.lots_was)
    put(changes, 'totals/' .. tenant, concat({ add_sum(acct.funded_was, acct.funded, 'totals'),
      add_sum(acct.debited_was, acct.debited, 'totals'),
      add_sum(acct.refunded_was, acct.refunded, 'totals'),
      add_sum(acct.expired_was, acct.expired, 'totals'),
      add_sum(acct.voided_was, acct.voided, 'totals'), digits(acct.owed) }, ' '), acct.totals_was)
  end
  -- Most have no credit limit, and the quick way round knows none.
  put(changes, 'flags/' .. tenant, format('%s %d %d', acct.digest, acct.frozen and 1 or 0,
    acct.lots_due_ms) .. (acct.limit > 0 and ' ' .. digits(acct.limit) or ''), acct.flags_was)
  put(changes, 'money/' .. tenant, (acct.available and digits(acct.available) or '-')
    .. ' ' .. digits(acct.reserved) .. ' '
    .. add_sum(acct.post_paid_was, acct.post_paid, 'money'), acct.money_was)
  for field, tally in pairs(acct.tally) do
    put(changes, field, format('%d %d', exact(tally.done), exact(tally.held)), tally.was)
  end
  for field, count in pairs(acct.running) do
    if count ~= acct.running_was[field] then put(changes, field, digits(count)) end
  end
  return changes
end
