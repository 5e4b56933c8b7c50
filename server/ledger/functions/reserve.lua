-- reserve: what is asked most is answered at once, anything else the long way round.

-- Arguments of the only leg of a question.
local GATEWAY, ASKED, DECISION, REFUSAL, WANTED, RUNNING, FACTS, EXPLANATION, ANNOUNCED =
  5, 6, 7, 8, 9, 11, 12, 13, 14

-- The grant that is being made: one table for all, of which each field is set each time. Lua's
-- garbage is a good part of what a reserve costs.
local grant = {}
-- By what they are made of; forgotten when there are too many.
local named, named_count, waits, waits_count = {}, 0, {}, 0

-- Name the fields of a tenant's account.
local function names_of(tenant)
  local names = named[tenant]
  if names then return names end
  if named_count >= REMEMBERED then named, named_count = {}, 0 end
  names = { flags = 'flags/' .. tenant, money = 'money/' .. tenant }
  named[tenant], named_count = names, named_count + 1
  return names
end

-- Give the texts of a grant of so many seconds, of which none is used yet.
local function waits_of(seconds)
  local texts = waits[seconds]
  if texts then return texts end
  if waits_count >= REMEMBERED then waits, waits_count = {}, 0 end
  local validity_ms = seconds * 1000 + RING_LIMIT_MS
  local expire_ms = EXPIRE_VALIDITIES * validity_ms
  texts = { expire_ms = expire_ms, answer = format(' %d %d 0 0 0 ', validity_ms, expire_ms),
    segment = format('0 0 %d ', seconds) }
  waits[seconds], waits_count = texts, waits_count + 1
  return texts
end

-- Take from a plan that has plenty. Returns whether it has.
local function take_minutes(purses, values, wanted)
  local purse = purses[1]
  local sizes = purse.sizes
  for i = 2, #sizes do
    if values[3 + i] and tonumber(match(values[3 + i], '^(%d+) ')) >= sizes[i] then return false end
  end
  local done, held = match(values[4] or '0 0', '^(%d+) (%d+)$')
  local left = sizes[1] - done - held - wanted
  if done + 0 >= sizes[1] or left < wanted * (PLENTY - 1) then return false end
  grant.seconds, grant.held, grant.field = wanted, '0', purse.field
  grant.text, grant.minutes_left = done .. ' ' .. digits(held + wanted), digits(left)
  grant.credits_left = purses.has.C and grant.available or '-'
  return true
end

-- Price what is wanted: the seconds in whole increments, what they cost, and what plenty would.
local function price_wanted(purse, wanted)
  if purse.wanted == wanted then return purse.seconds, purse.held, purse.plenty end
  local seconds = charged_seconds(purse, wanted)
  local most = max(wanted * PLENTY, seconds + 1)
  if most > purse.priceable then return nil end
  purse.wanted, purse.seconds, purse.held, purse.plenty = wanted, seconds,
    price_micros(purse, seconds) + purse.fee, price_micros(purse, most) + purse.fee
  return purse.seconds, purse.held, purse.plenty
end

-- Take from credits that are plenty. Returns whether they are.
local function take_credits(purses, names, wanted, post_paid)
  local purse = purses[1]
  if purse.limit or purses.has.P or grant.available == '-' then return false end
  local available = grant.available + 0
  local seconds, held, enough = price_wanted(purse, wanted)
  if not seconds or (purse.positive and available <= 0) then return false end
  if not purse.post_paid and available + purse.overdraft < enough then return false end
  grant.available, grant.reserved = digits(available - held), digits(grant.reserved + held)
  grant.seconds, grant.held, grant.field = seconds, digits(held), names.money
  grant.text = grant.available .. ' ' .. grant.reserved .. ' ' .. post_paid
  grant.credits_left, grant.minutes_left = grant.available, '-'
  return true
end

-- Put together the texts of a first grant and write it; each key was read.
local function grant_first(keys, args, epoch, n, nonce)
  local tenant, gateway, asked, decision, facts = args[2], args[GATEWAY], args[ASKED],
    args[DECISION], args[FACTS]
  local texts, now, unfunded = waits_of(grant.seconds), grant.now, grant.unfunded
  local place, line = digits(n + 1), ' ' .. now .. ' ' .. grant.small
  local id, segments = place .. '-0', texts.segment .. grant.held
  local answer = now .. texts.answer .. grant.credits_left .. ' ' .. grant.minutes_left
  local held, member = segments .. '||' .. NOTHING_USED, sub(keys[4], -REFERENCE_BYTES) .. ':'
    .. tenant
  local record = 'live\n' .. gateway .. '\n' .. asked .. '\n' .. decision .. '\n\n' .. answer
    .. '\n' .. held .. '\n\n' .. unfunded .. '\n' .. facts .. '\n'
  local body = 'tenant=' .. tenant .. '\ncall=' .. member .. '\ngateway=' .. gateway .. '\nopened='
    .. decision .. '\nasked=' .. asked .. '\nsegments=' .. segments
    .. '\nuses=\nbefore=\nheld_before=\nreport=' .. NOTHING_USED .. '\nunfunded=' .. unfunded
    .. '\nlots=\navailable=' .. grant.available .. '\nreserved=' .. grant.reserved
    .. '\nfacts=' .. facts
  local entry = epoch .. ' ' .. decision .. ' ' .. nonce .. line
  local meta, expire_ms = epoch .. ' ' .. place .. ' ' .. decision .. line,
    digits(grant.now_ms + texts.expire_ms)
  call('ZADD', keys[2], expire_ms, member)
  call('XADD', keys[3], id, 'meta', entry, 'kind', 'reserved', 'body', body)
  call('HSET', keys[1], 'meta', meta, grant.field, grant.text)
  call('SET', keys[4], record)
  try('SPUBLISH', keys[3], id)
  return 'OK\28' .. decision .. '\28' .. answer .. '\28' .. held .. '\28live\28\28'
end

-- Keep a refusal of the rules to a first question; it moves nothing.
local function refuse_first(keys, args)
  local answer = grant.now .. ' 0 0 0 ' .. digits(whole(args[REFUSAL], 'refusal')) .. ' 0 - -'
  local record = 'refused\n' .. args[GATEWAY] .. '\n' .. args[ASKED] .. '\n' .. args[DECISION]
    .. '\n\n' .. answer .. '\n||' .. NOTHING_USED .. '\n\n' .. grant.unfunded .. '\n' .. args[FACTS]
    .. '\n'
  call('SET', keys[4], record, 'PX', REFUSAL_LIFETIME_MS)
  return 'OK\28' .. args[DECISION] .. '\28' .. answer .. '\28||' .. NOTHING_USED
    .. '\28refused\28\28'
end

-- Set what is the same in every first answer: the time, and the money as it stands. Returns epoch,
-- place and nonce of the last entry, and what is invoiced; nil where the long way has to look.
local function open_grant(args, names, values)
  local epoch, n, nonce, time_ms, small_ms =
    match(values[1] or '', '^(%d+) (%d+) (%S+) (%d+) (%d+)$')
  local digest, due_ms = match(values[2] or '', '^(%S+) 0 (%d+)$')
  local available, reserved, post_paid = match(values[3] or '', '^(%-?%d*) (%d+) (%d+)$')
  if not epoch or digest ~= args[3] or not available then return nil end
  local now_ms, time = args[1] + 0, time_ms + 0
  grant.now, grant.now_ms = args[1], now_ms
  if time > now_ms then grant.now, grant.now_ms = time_ms, time end
  local lots_are_due = due_ms ~= '0' and due_ms + 0 <= grant.now_ms
  if lots_are_due or (small_ms ~= '0' and small_ms + 0 > grant.now_ms) then return nil end
  grant.small, grant.available, grant.reserved = small_ms, available, reserved
  grant.unfunded = available == '-' and '1' or ''
  return epoch, n, nonce, post_paid
end

-- Answer what is asked most: the first question about a call, whose first purse has plenty or that
-- the rules refuse. The same as the long way round, in fewer steps. Returns nil, and what was read,
-- where it is not so.
local function reserve_at_once(keys, args)
  if #args ~= HEAD_ARGUMENTS + LEG_ARGUMENTS or args[4] == 'd' or args[RUNNING] ~= ''
    or args[EXPLANATION] ~= '' or args[ANNOUNCED] ~= '' then return nil end
  if call('GET', keys[4]) then return nil end
  local facts, wanted, names = args[FACTS], args[WANTED] + 0, names_of(args[2])
  local from = find(facts, '\29', 1, true)
  local purses = parse_purses(sub(facts, from + 1, find(facts, '\29', from + 1, true) - 1))
  local first, refused = purses[1], args[REFUSAL] ~= ''
  local values = call('HMGET', keys[1], 'meta', names.flags, names.money, unpack(purses.fields))
  local epoch, n, nonce, post_paid = open_grant(args, names, values)
  if not epoch then return nil, values end
  if refused and not first then return refuse_first(keys, args) end
  if refused or not first or wanted < 1 or purses.has.F then return nil, values end
  local taken
  if first.kind == 'P' then
    taken = take_minutes(purses, values, wanted)
  else
    taken = take_credits(purses, names, wanted, post_paid)
  end
  if not taken then return nil, values end
  return grant_first(keys, args, epoch, n, nonce)
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
--   reply  an answer, or a list of one per leg | REUSED | NO_ACCOUNT | STALE, digest | EXPIRE_FIRST
--          | ASIDE, per leg the gateway whose call is over and whose id is taken, or ''
local function reserve(keys, args)
  if not call then bind() end
  local mode, second = args[4], false
  if mode ~= '' then
    mode, second = string.lower(mode), find(mode, '%u')
    args[4] = mode
  end
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

redis.register_function('callgate_v1_reserve', reserve)
