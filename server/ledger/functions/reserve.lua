-- reserve_first: what is asked most, answered at once where that can be; else the long way round.
--
-- What a text says is kept beside it, and read again only where the store has another text by now.

-- Put together the texts of a grant of so many seconds for so much, of which none is used yet.
local function grant_texts(seconds, micros)
  local validity_ms = seconds * 1000 + RING_LIMIT_MS
  local expire_ms = EXPIRE_VALIDITIES * validity_ms
  local segments = format('0 0 %d %d', seconds, exact(micros))
  return { expire_ms = expire_ms, answer = format(' %d %d 0 0 0 ', validity_ms, expire_ms),
    segments = segments, held = segments .. '||' .. NOTHING_USED }
end

local minutes_texts = remembering(function(seconds) return grant_texts(seconds, 0) end)

-- What is remembered of a partition, and of an account.
local line_of = remembering(function() return { unheard_ms = 0 } end)
local account_of = remembering(function() return {} end)

-- Read what is the same in all questions that are decided alike, as wire.py writes it.
local alike_of = remembering(function(text)
  local tenant, digest, refusal, floor, running, list =
    match(text, '^([^\29]+)\29([^\29]*)\29(%d*)\29(%d+)\29([^\29]*)\29([^\29]*)$')
  if not tenant then damaged('a question') end
  local purses = parse_purses(list)
  local first = purses[1]
  return {
    tenant = tenant, digest = digest, refusal = refusal, floor = floor, running = running,
    purses = purses, first = first, middle = '\29' .. list .. '\29', account = account_of(tenant),
    money = 'money/' .. tenant, member_end = ':' .. tenant,
    names = { 'meta', 'flags/' .. tenant, 'money/' .. tenant, unpack(purses.fields) },
    body = 'tenant=' .. tenant .. '\ncall=', reason = refusal ~= '' and digits(whole(refusal)),
    at_once = running == '' and (first == nil) == (refusal ~= '') and not purses.has.F,
  }
end)

-- Read the partition's line. Returns whether it is there and whole.
local function read_line(line, text)
  if line.text == text then return true end
  local epoch, n, nonce, time, small =
    match(text or '', '^(%d+) (%d+) (%S+) (%d+) (%d+)$')
  if not epoch then return false end
  line.text, line.epoch, line.n, line.nonce = text, epoch, n + 0, nonce
  line.time, line.time_ms, line.small, line.small_ms = time, time + 0, small, small + 0
  return true
end

-- Read flags and held sums of an account. Returns whether they are there and usual.
local function read_account(account, flags, money)
  if account.flags ~= flags then
    local digest, due_ms = match(flags or '', '^(%S+) 0 (%d+)$')
    if not digest then return false end
    account.flags, account.digest, account.due_ms = flags, digest, due_ms + 0
  end
  if account.money ~= money then
    local available, reserved, post_paid = match(money or '', '^(%-?%d*) (%d+) (%d+)$')
    if not (available == '-' or tonumber(available)) then return false end
    account.money, account.available_text, account.available = money, available, tonumber(available)
    account.reserved_text, account.reserved, account.post_paid = reserved, reserved + 0, post_paid
  end
  return true
end

-- The grant that is being made: one table for all, of which each field is set each time. Lua's
-- garbage is a good part of what a reserve costs.
local grant = {}

-- Take from a plan that has plenty. Returns whether it has; a tally that cannot be read is left to
-- the long way round, which looks for an earlier answer first.
local function take_minutes(alike, values, wanted)
  local purse, text = alike.first, values[4]
  local sizes = purse.sizes
  for i = 2, #sizes do
    local done = match(values[3 + i] or '0 0', '^(%d+) %d+$')
    if not done or done + 0 >= sizes[i] then return false end
  end
  if purse.text ~= text then
    local done, held = match(text or '0 0', '^(%d+) (%d+)$')
    if not done then return false end
    purse.text, purse.done_text, purse.done, purse.held = text, done, done + 0, held + 0
  end
  local held = purse.held + wanted
  local left = sizes[1] - purse.done - held
  if purse.done >= sizes[1] or left < wanted * (PLENTY - 1) then return false end
  text = purse.done_text .. ' ' .. digits(held)
  purse.text, purse.held = text, held
  grant.texts, grant.field, grant.text = minutes_texts(wanted), purse.field, text
  grant.credits_left = alike.purses.has.C and alike.account.available_text or '-'
  grant.minutes_left = digits(left)
  return true
end

-- Price what is wanted: the seconds in whole increments, what they cost, and what plenty would.
local function price_wanted(purse, wanted)
  local price = purse.price
  if price and price.wanted == wanted then return price end
  local seconds = charged_seconds(purse, wanted)
  local most = max(wanted * PLENTY, seconds + 1)
  if most > purse.priceable then return nil end
  local held = price_micros(purse, seconds) + purse.fee
  purse.price = { wanted = wanted, held = held, plenty = price_micros(purse, most) + purse.fee,
    texts = grant_texts(seconds, held) }
  return purse.price
end

-- Take from credits that are plenty. Returns whether they are.
local function take_credits(alike, wanted, asked_ms)
  local purse, account = alike.first, alike.account
  local available = account.available
  if purse.limit or alike.purses.has.P or not available then return false end
  local price = price_wanted(purse, wanted)
  if not price or (purse.positive and available <= 0) then return false end
  local reach_ms = (wanted + MAX_INCREMENT_SECONDS) * 1000
  if account.due_ms > 0 and account.due_ms <= asked_ms + reach_ms then return false end
  if not purse.post_paid and available + purse.overdraft < price.plenty then return false end
  local reserved = account.reserved + price.held
  available = available - price.held
  local available_text, reserved_text = digits(available), digits(reserved)
  local text = available_text .. ' ' .. reserved_text .. ' ' .. account.post_paid
  account.money, account.available, account.reserved = text, available, reserved
  account.available_text, account.reserved_text = available_text, reserved_text
  grant.texts, grant.field, grant.text = price.texts, alike.money, text
  grant.credits_left, grant.minutes_left = available_text, '-'
  return true
end

-- Write a first grant, all or nothing. Returns whether nothing was known of the call.
local function write_first(keys, member, record, id, entry, body, meta)
  if not call('SET', keys[4], record, 'NX') then return false end
  local failed = try('ZADD', keys[2], grant.expire_ms, member)
  if type(failed) == 'number' then
    failed = try('XADD', keys[3], id, 'meta', entry, 'kind', 'reserved', 'body', body)
  end
  if type(failed) == 'table' then
    call('DEL', keys[4])
    error(failed)
  end
  call('HSET', keys[1], 'meta', meta, grant.field, grant.text)
  return true
end

-- Wake those who follow the journal; where nobody did, nobody is told of first grants for a moment.
local function wake(line, journal, id, now_ms)
  local since_ms = now_ms - line.unheard_ms
  if since_ms >= 0 and since_ms < UNTOLD_MS then return end
  if try('SPUBLISH', journal, id) == 0 then line.unheard_ms = now_ms end
end

-- Put together the texts of a first grant and write it. Returns nil where the call is known.
local function grant_first(keys, args, alike, line, now, now_ms)
  local _, _, gateway, asked, decision, _, call_id, context = unpack(args)
  local account, texts, n = alike.account, grant.texts, line.n + 1
  local place = digits(n)
  local id = place .. '-0'
  local member = sub(keys[4], -REFERENCE_BYTES) .. alike.member_end
  local answer = now .. texts.answer .. grant.credits_left .. ' ' .. grant.minutes_left
  local unfunded = account.available and '' or '1'
  local record = 'live\n' .. gateway .. '\n' .. asked .. '\n' .. decision .. '\n\n' .. answer
    .. '\n' .. texts.held .. '\n\n' .. unfunded .. '\n' .. call_id .. alike.middle .. context
    .. '\n'
  local body = alike.body .. member .. '\ngateway=' .. gateway .. '\nopened='
    .. decision .. '\nasked=' .. asked .. '\nsegments=' .. texts.segments
    .. '\nuses=\nbefore=\nheld_before=\nreport=' .. NOTHING_USED .. '\nunfunded=' .. unfunded
    .. '\nlots=\navailable=' .. account.available_text .. '\nreserved=' .. account.reserved_text
    .. '\nfacts=' .. call_id .. alike.middle .. context
  local entry = line.epoch .. ' ' .. decision .. ' ' .. line.nonce .. ' ' .. now .. ' '
    .. line.small
  local meta = line.epoch .. ' ' .. place .. ' ' .. decision .. ' ' .. now .. ' ' .. line.small
  grant.expire_ms = digits(now_ms + texts.expire_ms)
  if not write_first(keys, member, record, id, entry, body, meta) then return nil end
  line.text, line.n, line.nonce, line.time, line.time_ms = meta, n, decision, now, now_ms
  wake(line, keys[3], id, args[1] + 0)
  return 'OK\28' .. decision .. '\28' .. answer .. '\28' .. texts.held .. '\28live\28\28'
end

-- Keep a refusal of the rules to a first question; it moves nothing. Returns nil where the call is
-- known.
local function refuse_first(keys, args, alike, now)
  local _, _, gateway, asked, decision, _, call_id, context = unpack(args)
  local answer = now .. ' 0 0 0 ' .. alike.reason .. ' 0 - -'
  local unfunded = alike.account.available and '' or '1'
  local record = 'refused\n' .. gateway .. '\n' .. asked .. '\n' .. decision .. '\n\n' .. answer
    .. '\n||' .. NOTHING_USED .. '\n\n' .. unfunded .. '\n' .. call_id .. alike.middle .. context
    .. '\n'
  if not call('SET', keys[4], record, 'NX', 'PX', REFUSAL_LIFETIME_MS) then return nil end
  return 'OK\28' .. decision .. '\28' .. answer .. '\28||' .. NOTHING_USED .. '\28refused\28\28'
end

-- Answer the first question about a call, whose first purse has plenty or that the rules refuse, as
-- the long way round would, in fewer steps. Returns nil where it is not so, and what was read.
local function reserve_at_once(keys, args, alike)
  local values, line = call('HMGET', keys[1], unpack(alike.names)), line_of(keys[1])
  local account, now, wanted = alike.account, args[1], args[6] + 0
  local now_ms, asked_ms = now + 0, now + 0
  if not read_line(line, values[1]) or not read_account(account, values[2], values[3])
    or account.digest ~= alike.digest then return nil, values end
  local lots_are_due = account.due_ms > 0 and account.due_ms <= now_ms
  if line.time_ms > now_ms then now, now_ms = line.time, line.time_ms end
  if lots_are_due or line.small_ms > now_ms then return nil, values end
  if alike.reason then return refuse_first(keys, args, alike, now), values end
  local taken = wanted >= 1
  if alike.first.kind == 'P' then
    taken = taken and take_minutes(alike, values, wanted)
  else
    taken = taken and take_credits(alike, wanted, asked_ms)
  end
  return taken and grant_first(keys, args, alike, line, now, now_ms) or nil, values
end

-- reserve_first: as reserve does, for one leg that is mostly the first question about its call.
--   KEYS   accounts, expiry, journal, call
--   ARGV   now_ms, what is the same for calls that are decided alike (tenant, facts_digest, reason
--          of the rules or '', floor_seconds, "limit field" of running calls or '', purses),
--          gateway, "sequence fingerprint", decision_id, wanted_seconds, call id, context
--   reply  as reserve | OTHER: ask reserve, with the key that belongs to this gateway
local function reserve_first(keys, args)
  if not call then bind() end
  local alike, granted, values = alike_of(args[2]), nil, nil
  if alike.at_once then
    granted, values = reserve_at_once(keys, args, alike)
    if granted then return granted end
  end
  local now_ms, _, gateway, asked, decision, wanted, call_id, context = unpack(args)
  return reserve_legs(keys, { now_ms, alike.tenant, alike.digest, '', gateway, asked, decision,
    alike.refusal, wanted, alike.floor, alike.running, call_id .. alike.middle .. context, '', '' },
    false, values)
end

redis.register_function('callgate_v1_reserve_first', reserve_first)
