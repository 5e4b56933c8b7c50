-- The walk over the purses of a call: holding, giving back, using.

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
    local below_zero = max(purse.overdraft, acct.limit)
    by_balance = acct.available and acct.available + below_zero or -math.huge
  end
  if purse.limit then
    local tally = acct.tally[purse.field]
    by_limit = purse.limit - tally.done - tally.held
  end
  return by_balance, by_limit
end

-- Say how many of these seconds credits pay before money expires that none follows: what a lot loses
-- then pays nothing after it, and a lot's last increment ends with the lot.
local function lasting(purse, c, acct, had, seconds)
  local gone, below_zero = 0 - c.debit, max(purse.overdraft, acct.limit)
  for _, lot in ipairs(acct.lots) do
    local lasts_s = c.used + floor_div(max(0, lot.expire_ms - acct.ends_from_ms), 1000)
    local until_s = max(0, lasts_s - c.to)
    if until_s >= seconds then break end
    gone = gone + lot.left
    local fee = c.to == 0 and until_s == 0 and purse.fee or 0
    local left = acct.available - max(0, min(gone, acct.available)) + below_zero - fee
    local bought = price_micros(purse, had + until_s)
    local paid = affordable_seconds(purse, bought + max(0, left),
      had + seconds + MAX_INCREMENT_SECONDS)
    if price_micros(purse, paid) <= bought then paid = had + until_s end
    seconds = min(seconds, paid - had)
  end
  return seconds
end

-- Say how many seconds a purse can give this call, no more than those that cover `limit`.
local function room(purse, index, c, acct, limit)
  if purse.gone then return 0 end
  if purse.kind == 'F' then return limit end
  if purse.kind == 'P' then return min(pool_room(purse, acct), limit) end
  local had = c.granted[index] or 0
  if purse.positive and had == 0 and not (acct.available and acct.available > 0) then return 0 end
  local money = min(spendable(purse, acct)) - (c.to == 0 and purse.fee or 0)
  limit = min(limit, purse.priceable - had)
  if money < 0 or limit <= 0 then return 0 end
  local seconds = affordable_seconds(purse, money + price_micros(purse, had), had + limit) - had
  if not acct.ends_from_ms or purse.post_paid or purse.per_minute == 0 then return seconds end
  return lasting(purse, c, acct, had, seconds)
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
  if purse.gone then return false end
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
    if purse.kind == 'C' and not purse.gone then
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
