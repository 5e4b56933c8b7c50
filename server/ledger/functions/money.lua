-- Money in and out, each change once by an id of its own.

-- Say what answers a change by an id of which something is known.
local function known_reply(known, what)
  if known == what or sub(known, 1, #what + 1) == what .. ' ' then return { 'OK' } end
  return { sub(known, 1, #RULED_OUT) == RULED_OUT and 'RULED_OUT' or 'REUSED' }
end

-- Begin the plan of a change of money that has an id of its own. Returns also what is known of the
-- id, or the reply that ends it.
local function open_money(keys, args, what)
  local part, acct = load(keys, args[1], args[3], {}, true)
  if not acct then return nil, nil, { 'NO_ACCOUNT' } end
  local known = call('HGET', keys[1], 'known/' .. args[3] .. '/' .. args[4])
  if known and what then return nil, nil, known_reply(known, what) end
  expire_lots(keys, acct, part, args[2])
  return new_plan(acct, part), known
end

-- rule_out: let nothing be made by an id any more, unless it was.
--   KEYS   accounts, expiry, journal
--   ARGV   now_ms, nonce, tenant, id of a lot, debit or refund
--   reply  OK | MADE | NO_ACCOUNT
local function rule_out(keys, args)
  if not call then bind() end
  local plan, known, reply = open_money(keys, args)
  if not plan then return reply end
  if known then return { sub(known, 1, #RULED_OUT) == RULED_OUT and 'OK' or 'MADE' } end
  local acct, part = plan.acct, plan.part
  note(part, 'ruled_out', args[2], 'tenant=' .. acct.tenant .. '\nid=' .. args[4]
    .. money_lines(acct))
  plan.known = { 'known/' .. acct.tenant .. '/' .. args[4], RULED_OUT .. ' ' .. digits(part.now_ms) }
  commit(keys, plan)
  return { 'OK' }
end

-- top_up: fund an account with a lot, once per lot id.
--   KEYS   accounts, expiry, journal
--   ARGV   now_ms, nonce, tenant, lot id, micros, expire_ms
--   reply  OK | REUSED | RULED_OUT | NO_ACCOUNT | LOT_DUE | TOO_LARGE | AHEAD, the partition's time
local function top_up(keys, args)
  if not call then bind() end
  local micros, expire_ms = whole(args[5], 'micros'), whole(args[6], 'expire_ms')
  local plan, _, reply = open_money(keys, args, format('lot %d %d', micros, expire_ms))
  if not plan then return reply end
  if expire_ms <= plan.part.asked_ms then return { 'LOT_DUE' } end
  if expire_ms <= plan.part.now_ms then return { 'AHEAD', digits(plan.part.now_ms) } end
  if not has_space(plan.acct, micros) then return { 'TOO_LARGE' } end
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
    lot.voided, lot.expire_ms = true, LONG_DUE_MS
    sort_lots(acct.lots)
    acct.lots_due_ms = LONG_DUE_MS
  end
  note(part, 'lot_voided', args[2], 'tenant=' .. acct.tenant .. '\nlot=' .. args[4]
    .. money_lines(acct))
  expire_lots(keys, acct, part, args[2] .. 'v')
  plan.known = { 'known/' .. acct.tenant .. '/' .. args[4], known .. ' voided' }
  commit(keys, plan)
  return { 'OK' }
end

-- take_back: void what a provider took back of a lot's price, once per id, as far as it is there;
-- what running calls hold of it goes as they give it back.
--   KEYS   accounts, expiry, journal
--   ARGV   now_ms, nonce, tenant, id, micros, lot id
--   reply  OK, micros that were there | NO_LOT | REUSED | RULED_OUT | NO_ACCOUNT
local function take_back(keys, args)
  if not call then bind() end
  local what = format('taken %d %s', whole(args[5], 'micros'), args[6])
  local plan, known, reply = open_money(keys, args)
  if not plan then return reply end
  if known then
    reply = known_reply(known, what)
    if reply[1] == 'OK' then reply[2] = sub(known, #what + 2) end
    return reply
  end
  local acct, part, tenant = plan.acct, plan.part, plan.acct.tenant
  if not match(call('HGET', keys[1], 'known/' .. tenant .. '/' .. args[6]) or '', '^lot ') then
    return { 'NO_LOT' }
  end
  local lot = find_lot(acct, args[6])
  local usable = lot and not lot.voided and lot.expire_ms > part.asked_ms
  local found = usable and min(lot.left, whole(args[5], 'micros')) or 0
  local apart_id = 'taken:' .. args[4]
  plan.known = { 'known/' .. tenant .. '/' .. args[4], what .. ' ' .. digits(found) }
  if found > 0 then
    local apart = { id = apart_id, expire_ms = LONG_DUE_MS, bought_ms = part.now_ms,
      left = found, voided = true }
    lot.left = lot.left - found
    acct.lots[#acct.lots + 1] = apart
    sort_lots(acct.lots)
    acct.lots_due_ms = LONG_DUE_MS
    plan.known[3], plan.known[4] = 'known/' .. tenant .. '/' .. apart_id,
      format('lot %d %d voided', found, LONG_DUE_MS)
  end
  note(part, 'taken_back', args[2], 'tenant=' .. tenant .. '\nid=' .. args[4] .. '\nmicros='
    .. args[5] .. '\nlot=' .. args[6] .. '\nfound=' .. digits(found) .. '\napart=' .. apart_id
    .. money_lines(acct))
  expire_lots(keys, acct, part, args[2] .. 'v')
  commit(keys, plan)
  return { 'OK', digits(found) }
end

-- debit: take money that no call holds, once per debit id: all of it or nothing.
--   KEYS   accounts, expiry, journal
--   ARGV   now_ms, nonce, tenant, debit id, micros, overdraft_micros; '': never below zero, whatever
--          the account's limit
--   reply  OK | SHORT, micros | REUSED | RULED_OUT | NO_ACCOUNT
local function debit(keys, args)
  if not call then bind() end
  local micros = whole(args[5], 'micros')
  local what = format('debit %d', micros)
  local plan, _, reply = open_money(keys, args, what)
  if not plan then return reply end
  local acct = plan.acct
  local below_zero = args[6] == '' and 0 or max(whole(args[6], 'overdraft'), acct.limit)
  local short = micros - (acct.available and acct.available + below_zero or 0)
  if short > 0 then
    if #plan.part.entries > 0 then commit(keys, plan) end
    return { 'SHORT', digits(min(short, MAX_WHOLE)) }
  end
  acct.available, acct.debited = acct.available - micros, acct.debited + micros
  local paid = pay_from_lots(acct, micros)
  note(plan.part, 'debited', args[2], 'tenant=' .. acct.tenant .. '\nid=' .. args[4] .. '\nmicros='
    .. digits(micros)
    .. '\nlots=' .. paid .. money_lines(acct))
  plan.known = { 'known/' .. acct.tenant .. '/' .. args[4], what .. ' ' .. digits(plan.part.now_ms) }
  commit(keys, plan)
  return { 'OK' }
end

-- Choose the lot that a refund goes into: its own while that lasts, else a new one of a short life.
local function refund_lot(acct, part, lot_id, known, refund_id)
  local lot, expire_ms = find_lot(acct, lot_id), nil
  if lot and not lot.voided and lot.expire_ms > part.asked_ms then return lot end
  expire_ms = match(known or '', '^lot %d+ (%d+)$')
  if not lot and expire_ms and whole(expire_ms, 'known') > part.asked_ms then
    lot = { id = lot_id, expire_ms = whole(expire_ms, 'known') }
  else
    lot = { id = 'refund:' .. refund_id, expire_ms = part.asked_ms + REFUND_LIFETIME_MS }
  end
  lot.bought_ms, lot.left, lot.voided = part.now_ms, 0, false
  acct.lots[#acct.lots + 1] = lot
  sort_lots(acct.lots)
  return lot
end

-- Let what is given back count for a spend limit no longer; returns the line that says so.
local function free_spend(keys, acct, field, micros)
  local text = call('HGET', keys[1], field)
  local tally = text and parse_tally(text)
  local freed = tally and min(tally.done, micros) or 0
  if freed == 0 then return '' end
  tally.done, acct.tally[field] = tally.done - freed, tally
  return '\nspend=' .. field .. '\31' .. digits(freed)
end

-- Say why a refund cannot be; nil where it can.
local function refund_trouble(keys, args, acct, micros)
  local of = args[9] and args[9] ~= ''
    and (call('HGET', keys[1], 'known/' .. acct.tenant .. '/' .. args[9]) or '')
  if of and not match(of, '^debit ') then return 'NO_DEBIT' end
  if micros > sum_difference(acct.debited_was, acct.refunded_was, 'totals') then
    return 'TOO_MUCH'
  end
  if not acct.available or args[7] == '1' then
    return micros > sum_difference(acct.post_paid_was, '0', 'money') and 'TOO_MUCH' or nil
  end
  return acct.available + acct.reserved > MAX_WHOLE - micros and 'TOO_LARGE' or nil
end

-- refund: give debited money back into the lot it came from, once per refund id.
--   KEYS   accounts, expiry, journal
--   ARGV   now_ms, nonce, tenant, refund id, micros, lot id, 1 of what was invoiced or '', tally of
--          the spend limit that it counted for or '', debit that must be known or ''
--   reply  OK | NO_DEBIT | TOO_MUCH | TOO_LARGE | REUSED | RULED_OUT | NO_ACCOUNT
local function refund(keys, args)
  if not call then bind() end
  local micros = whole(args[5], 'micros')
  local what = format('refund %d %s', micros, args[6])
  local plan, _, reply = open_money(keys, args, what)
  if not plan then return reply end
  local acct, part, tenant = plan.acct, plan.part, plan.acct.tenant
  local trouble = refund_trouble(keys, args, acct, micros)
  if trouble then return { trouble } end
  local invoiced = not acct.available or args[7] == '1'
  local freed = args[8] and args[8] ~= '' and free_spend(keys, acct, args[8], micros) or ''
  local known = call('HGET', keys[1], 'known/' .. tenant .. '/' .. args[6])
  acct.refunded = acct.refunded + micros
  plan.known = { 'known/' .. tenant .. '/' .. args[4], what .. ' ' .. digits(part.now_ms) }
  local lot_id, expire_ms = '', ''
  if not invoiced then
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
    .. '\nof=' .. args[6] .. '\nlot=' .. lot_id .. '\nexpire_ms=' .. expire_ms
    .. freed .. money_lines(acct))
  commit(keys, plan)
  return { 'OK' }
end

-- Begin the plan of what says how an account is, and not what moves. `asked`, where it is known, is
-- when it was asked for: what was asked before the last one of its kind is superseded, however late
-- it comes; so what changes nothing is noted as well. Returns also the reply that ends it.
local function open_setting(keys, args, kind, asked)
  local part, acct = load(keys, args[1], args[3], {}, true)
  if not acct then return nil, { 'NO_ACCOUNT' } end
  local plan, field = new_plan(acct, part), kind .. '/' .. acct.tenant
  if asked and asked ~= '' then
    local asked_ms, last = whole(asked, 'asked_ms'), whole(call('HGET', keys[1], field) or 0, field)
    if asked_ms < last then return nil, { 'SUPERSEDED' } end
    plan.known = { field, digits(asked_ms) }
    plan.is_newer, plan.asked_line = asked_ms > last, '\nasked=' .. digits(asked_ms)
  end
  return plan
end

-- freeze: grant nothing more of an account, or again.
--   KEYS   accounts, expiry, journal
--   ARGV   now_ms, nonce, tenant, frozen (0 or 1), when that was asked for or ''
--   reply  OK | SUPERSEDED | NO_ACCOUNT
local function freeze(keys, args)
  if not call then bind() end
  local plan, reply = open_setting(keys, args, 'freezing', args[5])
  if not plan then return reply end
  local acct, frozen = plan.acct, args[4] == '1'
  if acct.frozen ~= frozen or plan.is_newer then
    acct.frozen = frozen
    note(plan.part, 'frozen', args[2], 'tenant=' .. acct.tenant .. '\nfrozen=' .. args[4]
      .. (plan.asked_line or '') .. money_lines(acct))
  end
  commit(keys, plan)
  return { 'OK' }
end

-- set_limit: let an account go so far below zero, whatever its facts say.
--   KEYS   accounts, expiry, journal
--   ARGV   now_ms, nonce, tenant, micros, when that was asked for or ''
--   reply  OK | SUPERSEDED | NO_ACCOUNT
local function set_limit(keys, args)
  if not call then bind() end
  local micros = whole(args[4], 'micros')
  local plan, reply = open_setting(keys, args, 'limiting', args[5])
  if not plan then return reply end
  local acct = plan.acct
  if acct.limit ~= micros or plan.is_newer then
    acct.limit = micros
    -- What was never funded has a balance from here on: one of nothing, that may go below.
    if micros > 0 then acct.available = acct.available or 0 end
    note(plan.part, 'limit_set', args[2], 'tenant=' .. acct.tenant .. '\nmicros=' .. digits(micros)
      .. (plan.asked_line or '') .. money_lines(acct))
  end
  commit(keys, plan)
  return { 'OK' }
end

redis.register_function('callgate_v1_set_limit', set_limit)
redis.register_function('callgate_v1_rule_out', rule_out)
redis.register_function('callgate_v1_top_up', top_up)
redis.register_function('callgate_v1_void_lot', void_lot)
redis.register_function('callgate_v1_take_back', take_back)
redis.register_function('callgate_v1_debit', debit)
redis.register_function('callgate_v1_refund', refund)
redis.register_function('callgate_v1_freeze', freeze)
