-- Answers, and plans of writes: all is formatted before the first command.

local REUSED = { 'REUSED' }

-- Give the stored answer of a record again. An answer is one text, for each string of a reply has
-- its price: status, decision, answer, held, state, facts and explanation, by file separators.
local function stored_answer(record, status)
  return concat({ status, record.decision, record.answer, record.held, record.state, record.facts,
    record.explanation }, '\28')
end

-- Say what was answered before, if this question or a later one was asked before.
local function earlier_answer(record, asked)
  local last, content = match(record.asked, '^(%d+) (.+)$')
  if not last then damaged('a call') end
  local sequence, asked_content = match(asked, '^(%d+) (.+)$')
  sequence, last = whole(sequence, 'sequence'), whole(last, 'sequence')
  if sequence > last then return nil end
  if sequence < last then return stored_answer(record, 'SUPERSEDED') end
  if content ~= asked_content then return REUSED end
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
    local kind = not purse.gone and purse.kind
    if kind == 'C' and acct.available then available = digits(acct.available) end
    if kind == 'P' and pool_left == '-' then pool_left = digits(pool_room(purse, acct)) end
  end
  local final = reason == 0 and (c.last or is_final(c, acct)) and 1 or 0
  local expire_ms = EXPIRE_VALIDITIES * validity_ms
  return format('%d %d %d %d %d %d %s %s', part.now_ms, validity_ms, expire_ms, final,
    max(0, reason), exact(shortfall),
    available, pool_left), part.now_ms + expire_ms
end

-- Say why the walk found nothing: the reason of the last purse, and what credits lack.
local function refusal_of(c, acct)
  local reason, shortfall = nil, 0
  for index, purse in ipairs(c.purses) do
    reason = not purse.gone and purse.reason or reason
    if purse.kind == 'C' and not purse.gone then
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

-- Plan the record of a call with its last answer.
local function record_call(plan, question, c, state, answer)
  local decision, held = question.decision, concat({ held_texts(c) }, '|')
  local now_ms, opened = plan.part.now_ms, ''
  local began = c.began or max(0, now_ms - c.used * 1000)
  if c.opened ~= decision or began ~= now_ms then
    opened = c.opened .. ' ' .. digits(began)
  end
  plan.calls[#plan.calls + 1] = {
    key = question.key,
    text = concat({ state, question.gateway, question.asked, decision, opened, answer, held,
      c.counted or '', c.unfunded and '1' or '', c.facts, question.explanation or '' }, '\n'),
    lifetime = state == 'refused' and REFUSAL_LIFETIME_MS, aside = question.aside_key,
    left = question.left,
  }
  -- The answer tells the facts where they are not those of the question.
  local told = c.facts ~= question.facts and c.facts or ''
  return concat({ 'OK', decision, answer, held, state, told, '' }, '\28')
end

-- Plan the journal entry of a change of a call.
local function note_call(plan, kind, question, c, nonce, paid)
  local acct, segments, uses, report = plan.acct, held_texts(c)
  note(plan.part, kind, nonce, 'tenant=' .. acct.tenant .. '\ncall=' .. question.member
    .. '\ngateway=' .. question.gateway
    .. '\nopened=' .. c.opened .. '\nasked=' .. question.asked .. '\nsegments=' .. segments
      .. '\nuses=' .. uses
    .. '\nbefore=' .. c.before .. '\nheld_before=' .. c.held_before
    .. (c.other_purses and '\nother_purses=' .. c.other_purses or '')
    .. (c.taken_up and '\ntaken_up=1' or '') .. '\nreport=' .. report
    .. '\nunfunded=' .. (c.unfunded and '1' or '') .. '\nlots=' .. paid .. money_lines(acct)
      .. '\nfacts=' .. c.facts)
end

-- Write a plan. Everything is formatted before the first command; each key was read before.
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
    if record.aside then call('RENAME', record.key, record.aside) end
    if record.left then call('DEL', record.left) end
    if record.lifetime then
      call('SET', record.key, record.text, 'PX', record.lifetime)
    else
      call('SET', record.key, record.text)
    end
  end
  if #plan.over > 0 then call('ZREM', keys[2], unpack(plan.over)) end
  -- Only a wake-up: who misses it reads the journal a little later.
  if #entries > 0 then try('SPUBLISH', keys[3], entries[#entries][1]) end
end
