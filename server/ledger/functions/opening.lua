-- Opening accounts, and reading them.

-- The account that is opened where there was none.
local function blank_account(tenant, digest)
  return {
    tenant = tenant, digest = digest, frozen = false, lots_due_ms = 0, limit = 0, reserved = 0,
    post_paid = 0, funded = 0, debited = 0, refunded = 0, expired = 0, voided = 0, owed = 0,
    post_paid_was = '0', funded_was = '0', debited_was = '0', refunded_was = '0',
    expired_was = '0', voided_was = '0', lots = {}, tally = {}, running = {},
    running_was = {},
  }
end

-- Say whether an account can hold so much more, now and over its life.
local function has_space(acct, micros)
  return (acct.available or 0) + acct.reserved <= MAX_WHOLE - micros
    and #add_sum(acct.funded_was, micros, 'totals') < MOST_SUM_DIGITS
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

-- Plan the journal entry of an account that is opened, or described anew.
local function note_described(part, kind, args)
  note(part, kind, args[2], 'tenant=' .. args[3] .. '\ncurrency=' .. args[4]
    .. '\ndigest=' .. args[5] .. '\nprepaid=' .. args[6])
end

-- Name the place at which a partition stands.
local function place_of(part)
  return format('%s %d %s', part.epoch, part.n, part.nonce)
end

-- Begin a partition, where there is no archive that would know it.
local function new_part(args)
  local now_ms = whole(args[1], 'now_ms')
  return { epoch = digits(whole(args[7], 'epoch')), n = 0, nonce = '-', small_until_ms = 0,
    now_ms = now_ms, asked_ms = now_ms, entries = {} }
end

-- open: open an account or describe it anew; its opening lot is applied once.
--   KEYS   accounts, expiry, journal
--   ARGV   now_ms, nonce, tenant, currency, facts_digest, prepaid (0 or 1), epoch of a new
--          partition
--          or '', opening_micros or '', id of the opening lot, its expire_ms, the place of the
--          journal up to which an archive knows neither this account nor this lot, or ''
--   reply  OK, the places before and after it, the opening lot if it was given, the version of what
--          describes it now | CURRENCY, the account's | NO_PARTITION | NEW, account or lot: nothing begins before it is known to be
--          new up to here | LOST where only a part of the account is there
local function open(keys, args)
  if not call then bind() end
  local tenant, lot_id = args[3], args[9]
  local part, acct = load(keys, args[1], tenant, {}, true)
  if not part and args[7] == '' then return { 'NO_PARTITION' } end
  part = part or new_part(args)
  local were = call('HMGET', keys[1], 'about/' .. tenant, 'known/' .. tenant .. '/' .. lot_id)
  local owner = acct or blank_account(tenant, args[5])
  local gives = args[8] ~= '' and not were[2] and has_space(owner, whole(args[8], 'micros'))
    and whole(args[10], 'expire_ms') > part.now_ms
  -- What is known of an account is never there in part, nor begins a second time.
  if acct and not were[1] or not acct and (were[1] or were[2]) then return { 'LOST' } end
  local place = place_of(part)
  if args[7] == '' and (gives or not acct) and args[11] ~= place then
    return { 'NEW', acct and 'lot' or 'account' }
  end
  local currency, prepaid, version = match(were[1] or '- - 0', '^(%S+) (%S+) (%d+)$')
  if not currency then damaged('about') end
  if acct and currency ~= args[4] then return { 'CURRENCY', currency } end
  local plan = new_plan(owner, part)
  local about
  version = whole(version, 'about')
  if not acct or acct.digest ~= args[5] or prepaid ~= args[6] then
    version = version + 1
    about = args[4] .. ' ' .. args[6] .. ' ' .. digits(version)
    plan.acct.digest = args[5]
    note_described(part, acct and 'described' or 'opened', args)
  end
  -- One that would be over already, or has no space, is not given yet.
  if gives then
    local lot = { id = lot_id, expire_ms = whole(args[10], 'expire_ms'), bought_ms = part.now_ms,
      left = whole(args[8], 'micros') }
    plan_lot(plan, lot, args[2] .. 'l')
  end
  if about then
    plan.known[#plan.known + 1], plan.known[#plan.known + 2] = 'about/' .. tenant, about
  end
  if #part.entries > 0 then commit(keys, plan) end
  return { 'OK', place, place_of(part), gives and lot_id or '', digits(version) }
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

redis.register_function('callgate_v1_open', open)
redis.register_function('callgate_v1_balance', balance)
