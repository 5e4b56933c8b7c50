-- reserve: for one call or for several, the long way round.

local HEAD_ARGUMENTS, LEG_ARGUMENTS, HEAD_KEYS, LEG_KEYS = 4, 10, 3, 2

-- Read one leg of a question, and the record that may hold its answer; nil where that may be under
-- a key that was not given.
local function read_leg(keys, args, i)
  local at, k = HEAD_ARGUMENTS + (i - 1) * LEG_ARGUMENTS, HEAD_KEYS + (i - 1) * LEG_KEYS
  local key = keys[k + 1]
  local record = read_record(key)
  local leg = {
    key = key, record = record, member = sub(key, -REFERENCE_BYTES) .. ':'
      .. args[2],
    gateway = args[at + 1], asked = args[at + 2], decision = args[at + 3], refusal = args[at + 4],
    wanted = tonumber(args[at + 5]), floor = tonumber(args[at + 6]), running = args[at + 7],
    facts = args[at + 8],
    explanation = args[at + 9], announced = args[at + 10], used = 0, fresh = true,
    kind = 'reserved',
  }
  if leg.announced ~= '' then
    local used, uses, opened, last, began, tolerance = match(leg.announced,
      '^(%d+)|([^|]*)|?([^|]*)|?(1?)|?(%d*)|?(%d*)$')
    leg.used, leg.uses, leg.not_asked = whole(used, 'used'), uses, opened == NOT_ASKED
    leg.opened = leg.not_asked and '' or opened
    leg.last, leg.tolerance = last == '1', tolerance
    leg.began = began ~= '' and whole(began, 'began_ms') or nil
  end
  if leg.running ~= '' then leg.limit, leg.counted = match(leg.running, '^(%d+) (.+)$') end
  if record and record.gateway ~= leg.gateway then
    if not keys[k + 2] then return nil end
    local other = read_record(keys[k + 2])
    leg.record, leg.in_use = other, record.state == 'live'
    if leg.in_use then
      leg.key = keys[k + 2]
    else
      leg.holder, leg.left = record.gateway, other and keys[k + 2]
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
      missing = missing or named[i] ~= holder
    end
  end
  return missing and holders or nil
end

-- Take over what is known of a call before this question: one that runs and used nothing so far, or
-- one that somebody else says to have paid.
local function go_on(c, leg)
  local before = leg.live
  if before then
    c.opened, c.late, c.held_before = before.opened, before.late, before.held_before
    if before.list ~= c.list then c.other_purses = before.list end
  elseif leg.announced ~= '' and not leg.in_use then
    c.uses, c.taken_up = parse_uses(leg.uses), leg.opened ~= ''
    if c.taken_up then c.opened = leg.opened end
    c.began = leg.began
    for _, use in pairs(c.uses) do c.used = c.used + use.seconds end
  end
  for index, use in pairs(c.uses) do c.granted[index] = use.seconds end
  c.to, c.granted_until, c.before = c.used, leg.used, uses_text(c.uses)
end

-- Give facts whose answer is rendered from what is known today, of a call that is paid as it began:
-- what its context tells of purses, from two separators on, stays with them.
local function paid_as_it_began(before, facts)
  local call_id, context = match(facts, '^([^\29]*\29)[^\29]*(\29.*)$')
  local today = match(context, '^(.-)\31\31')
  local paying = match(before.facts, '^[^\29]*\29[^\29]*\29.-(\31\31.*)$')
  if today and paying then context = today .. paying end
  return call_id .. before.list .. context
end

-- Say whether a record that was set aside may yet be settled: no question may do away with it.
local function may_be_settled(record)
  return record.state == 'expired' or record.state == 'ended'
end

-- Read which number a call leads to out of its facts; nil where their context does not tell.
local function far_end(facts)
  local context = match(facts, '^[^\29]*\29[^\29]*\29(.-)\31\31')
  return context and match(gsub(context, '\31', ''), '^[^|]*|[^|]*|[^|]*|([^|]*)|')
end

-- Say whether a question is about the call of the record as it stands, not about a new one: what is
-- used is cumulative, also where the reservation lapsed or a refusal ended it.
local function goes_on(leg, before)
  if #before.purses == 0 then return false end
  return leg.used > 0 or leg.aside
    or before.used > 0 and (leg.record.state == 'live' or may_be_settled(leg.record))
end

-- Choose the call a leg speaks of: a new one, one that goes on, one whose reservation is replaced,
-- or one that was set aside and is yet to be settled, while another gateway has its id.
local function call_of(leg)
  local record = leg.record
  local open = record and record.state ~= 'refused' and (not leg.in_use or may_be_settled(record))
  local before = open and open_call(record)
  leg.live = before and record.state == 'live' and before
  leg.aside = leg.in_use and before and #before.purses > 0
  if before and goes_on(leg, before) then
    before.late = before.late or (leg.used > 0 or leg.aside) and record.state == 'expired'
    local facts = paid_as_it_began(before, leg.facts)
    if not leg.aside then
      local keeps_rate = leg.used > 0 or far_end(before.facts) == far_end(leg.facts)
      before.terms = terms_of(before, leg.facts, facts, keeps_rate)
    end
    before.facts = facts
    return before
  end
  leg.unknown = leg.not_asked and not before and not leg.in_use
  local c = new_call(leg.facts, leg.decision, leg.counted)
  -- It may have been answered at its first grant, though no report said so yet.
  if before and (leg.live or may_be_settled(record)) then c.began = before.began end
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
  -- What is granted ends with the money that pays it; what was talked does not.
  acct.ends_from_ms = lots_end(acct, plan.part, question.wanted) and plan.part.asked_ms or nil
  if forced then
    reason, shortfall = forced.reason, forced.shortfall
  else
    reason, shortfall = try_call(question, c, acct, plan.part)
  end
  if reason ~= 0 then
    give_back(c, acct)
    end_as_granted(c)
    c = ended_as_granted(question, c)
    plan.refused = plan.refused or { reason = reason, shortfall = shortfall }
    plan.short = plan.short or (question.refusal == '' and not acct.frozen)
  end
  local paid = c.debit > 0 and pay_from_lots(acct, c.debit) or ''
  c.debit = 0
  local answer, expire_ms = answer_text(c, acct, plan.part, reason, shortfall)
  acct.ends_from_ms = nil
  -- What was granted before may yet be settled, though nothing was reported so far.
  local over = (c.used > 0 or question.live or not c.is_new) and 'ended' or 'refused'
  local state = reason == 0 and 'live' or over
  if state == 'live' then
    count_running(c, acct, 1)
    plan.indexed[#plan.indexed + 1], plan.indexed[#plan.indexed + 2] = digits(expire_ms),
      question.member
    note_call(plan, question.kind, question, c, question.decision, paid)
  elseif state == 'ended' then
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
    -- Asked anew without a report, its reservation is replaced.
    if c ~= live or leg.used == 0 then give_back(live, plan.acct) end
  end
  if c.is_new then
    c.unfunded = plan.acct.available == nil
  elseif not leg.aside then
    c.counted = leg.counted or c.counted
  end
  if leg.used > 0 then leg.used = believed(c, plan.part, leg.used, leg.tolerance) end
  if leg.aside or not leg.in_use then report_by_terms(plan, leg, c) end
  return plan_grant(plan, leg, c, forced)
end

-- Give the only answer as it is, and several as a list.
local function answers_of(replies)
  return #replies > 1 and replies or replies[1]
end

-- Plan all legs. Returns the reply, and the plan if there is one to commit. `values` are those of
-- the only leg's account, where they were read before.
local function plan_reserve(keys, args, forced, values)
  local legs, asked, replies, deep, unknown, wanted = {}, {}, {}, false, false, 0
  for i = 1, (#args - HEAD_ARGUMENTS) / LEG_ARGUMENTS do
    local leg = read_leg(keys, args, i)
    if not leg then return { 'OTHER' } end
    -- What was known of the call may touch other fields.
    if leg.record then values = nil end
    local reply = leg.record and args[4] ~= 'd' and earlier_answer(leg.record, leg.asked)
    if reply == REUSED then return reply end
    legs[i], replies[i] = leg, reply or nil
    if not reply then
      leg.call = call_of(leg)
      if leg.last then
        leg.call.last, leg.wanted = true, last_wanted(leg.record, leg.wanted, leg.floor)
      end
      asked[#asked + 1] = leg.call
      if leg.live then asked[#asked + 1] = leg.live end
      if not leg.call.is_new then
        asked[#asked + 1] = { purses = (leg.call.terms or leg.call).purses, counted = leg.counted }
      end
      deep, unknown = deep or leg.announced ~= '', unknown or leg.unknown
      wanted = max(wanted, leg.wanted)
    end
  end
  if #asked == 0 then return answers_of(replies) end
  local wanting = args[4] ~= 'd' and set_aside(keys, args, legs)
  if wanting then return wanting end
  local part, acct = load(keys, args[1], args[2], asked, deep, values)
  if not acct then return { 'NO_ACCOUNT' } end
  if acct.digest ~= args[3] then return { 'STALE', acct.digest } end
  if unknown then return { 'NO_CALL' } end
  expire_lots(keys, acct, part, legs[1].decision)
  if not acct.lots and lots_end(acct, part, wanted) then read_lots(keys, acct) end
  local plan = new_plan(acct, part)
  for i, leg in ipairs(legs) do
    replies[i] = replies[i] or plan_leg(plan, leg, forced)
  end
  return answers_of(replies), plan
end

-- Go the long way round: plan, and write. `second` where it was asked after expiring.
local function reserve_legs(keys, args, second, values)
  local mode = args[4]
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

-- reserve: hold for each leg what its purses give, once per (call, sequence); all legs have one
-- account.
--   KEYS   accounts, expiry, journal, then per leg: call, other; where the last argument is there,
--          per leg: other of the gateway that it names
--   ARGV   now_ms, tenant, facts_digest, mode (d: dry run, a: all or nothing, or empty; in capitals
--          or S where it was asked after expiring), then per leg: gateway, "sequence fingerprint",
--          decision_id, reason of the rules or '', wanted_seconds, floor_seconds,
--          "limit field" of running calls or '', facts, explanation,
--          "used_seconds|uses|opened|last|began_ms|tolerance" or '' (opened: the decision that
--          began it, nothing, or ? where nobody asked for it; last: 1 if nothing more can follow;
--          tolerance: seconds by which the report may be ahead of time);
--          last, if asked for: the gateways that ASIDE named, each ended by a group separator
--   reply  an answer, or a list of one per leg | REUSED | NO_ACCOUNT | STALE, digest | EXPIRE_FIRST
--          | NO_CALL where a leg says ? and nothing is known that goes on | ASIDE, per leg the
--          gateway whose call is over and whose id is taken, or ''
local function reserve(keys, args)
  if not call then bind() end
  local mode = args[4]
  args[4] = string.lower(mode)
  return reserve_legs(keys, args, find(mode, '%u') ~= nil)
end

redis.register_function('callgate_v1_reserve', reserve)
