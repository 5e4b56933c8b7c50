-- Reports on a call that was granted before, and its end.

-- Read what a question about a call that was granted before looks at, or answer it at once. A fifth
-- key is the call's, where the fourth is the record that was set aside for another gateway's.
local function open_report(keys, args)
  local question = {
    key = keys[4], member = sub(keys[5] or keys[4], -REFERENCE_BYTES) .. ':' .. args[2],
    gateway = args[4], asked = args[5], aside = keys[5] ~= nil,
    decision = args[6], used = whole(args[7], 'used'), second = args[8] == 's', kind = 'extended',
  }
  local record = read_record(keys[4])
  if not record or record.gateway ~= question.gateway then return nil, { 'NO_CALL' } end
  if question.aside and record.state == 'refused' then return nil, { 'NO_CALL' } end
  local earlier = earlier_answer(record, question.asked)
  if earlier then return nil, earlier end
  local state = record.state
  if state ~= 'live' and state ~= 'expired' and state ~= 'ended' then
    return nil, { 'OVER', state }
  end
  question.record = record
  question.live, question.state, question.call = state == 'live', state, open_call(record)
  question.call.late = question.call.late or state == 'expired'
  return question
end

-- Begin the plan of a report: the call is taken up where it was left.
local function open_report_plan(keys, args, question)
  local c = question.call
  local part, acct = load(keys, args[1], args[2], { c, c.terms }, true)
  if not acct then return nil, { 'NO_ACCOUNT' } end
  if args[3] ~= '' and acct.digest ~= args[3] then return nil, { 'STALE', acct.digest } end
  expire_lots(keys, acct, part, question.decision)
  -- Read before the first write, so that the last one, taking the call out of it, cannot fail.
  call('ZSCORE', keys[2], question.member)
  if question.live then count_running(c, acct, -1) end
  return new_plan(acct, part)
end

-- extend: debit what was used and hold more for a call that goes on, also for one that had lapsed.
--   KEYS   accounts, expiry, journal, call | other, call
--   ARGV   now_ms, tenant, facts_digest, gateway, "sequence fingerprint", decision_id,
--          used_seconds,
--          s if asked after expiring, reason of the rules or '', wanted_seconds, floor_seconds,
--          limit of running calls or '', facts of today or '', 1 if nothing more can follow,
--          seconds by which a report may be ahead of time or ''
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
  if args[14] == '1' and question.wanted > 0 then
    c.last, question.wanted = true, last_wanted(question.record, question.wanted, question.floor)
  end
  -- A mere report leaves the grant as it is.
  if question.wanted > 0 and args[13] ~= '' then
    c.terms = terms_of(c, args[13], c.facts, true)
  end
  local plan, trouble = open_report_plan(keys, args, question)
  if not plan then return trouble end
  question.used = believed(c, plan.part, question.used, args[15])
  report_by_terms(plan, question, c)
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
--          s if asked after expiring, seconds by which a report may be ahead of time or ''
--   reply  an answer | REUSED | NO_CALL | OVER, state | NO_ACCOUNT | EXPIRE_FIRST
local function settle(keys, args)
  if not call then bind() end
  local question, reply = open_report(keys, args)
  if not question then return reply end
  local plan, trouble = open_report_plan(keys, args, question)
  if not plan then return trouble end
  local unpaid_seconds = question.call.unpaid_seconds
  question.used = believed(question.call, plan.part, question.used, args[9])
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
  local member, record = args[3], read_record(keys[4])
  local score = call('ZSCORE', keys[2], member)
  if not record or record.state ~= 'live' then
    call('ZREM', keys[2], member)
    return 0
  end
  local c = open_call(record)
  local part, acct = load(keys, args[1], args[2], { c }, false)
  if not acct then damaged('an account') end
  local decided_ms, lapses_in_ms = match(record.answer, '^(%d+) %d+ (%d+) ')
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
  plan.calls[1] = { key = keys[4], text = 'expired' .. sub(record.text, #record.state + 1) }
  plan.over[1] = member
  commit(keys, plan)
  return 1
end

redis.register_function('callgate_v1_extend', extend)
redis.register_function('callgate_v1_settle', settle)
redis.register_function('callgate_v1_release', release)
redis.register_function('callgate_v1_expire', expire)
