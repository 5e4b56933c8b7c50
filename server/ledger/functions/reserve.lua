-- reserve: what is asked most is answered at once, anything else the long way round.

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

redis.register_function('callgate_v1_reserve', reserve)
