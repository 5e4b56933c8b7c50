-- Lots: what money is taken from, oldest first.

-- Read totals and lots of an account that was loaded without them.
local function read_lots(keys, acct)
  local values = call('HMGET', keys[1], 'totals/' .. acct.tenant, 'lots/' .. acct.tenant)
  deepen(acct, values[1], values[2])
end

-- Take from lots that are due what no running call holds.
local function expire_lots(keys, acct, part, nonce)
  if acct.lots_due_ms == 0 or acct.lots_due_ms > part.asked_ms
    or (acct.available or 0) <= 0 then return end
  if not acct.lots then read_lots(keys, acct) end
  local moved = {}
  for _, lot in ipairs(acct.lots) do
    local micros = min(lot.left, acct.available)
    if lot.expire_ms <= part.asked_ms and micros > 0 then
      local sum = lot.voided and 'voided' or 'expired'
      lot.left, acct.available, acct[sum] = lot.left - micros, acct.available - micros,
        acct[sum] + micros
      moved[#moved + 1] = lot.id .. '\31' .. digits(micros) .. '\31' .. sum
    end
  end
  if #moved == 0 then return end
  note(part, 'lots_expired', nonce .. 'x', 'tenant=' .. acct.tenant .. '\nlots='
    .. concat(moved, '\30') .. money_lines(acct))
end

-- Say whether a lot expires while a grant of so many seconds may last, in whole increments.
local function lots_end(acct, part, wanted)
  local due_ms = acct.lots_due_ms
  if acct.lots then
    due_ms = 0
    for i = #acct.lots, 1, -1 do
      if acct.lots[i].left > 0 then due_ms = acct.lots[i].expire_ms end
    end
  end
  return due_ms > 0 and due_ms <= part.asked_ms + (wanted + MAX_INCREMENT_SECONDS) * 1000
end

-- Take debited money out of the lots, oldest first; what no lot has is owed to the next one.
local function pay_from_lots(acct, micros)
  local paid = {}
  for _, lot in ipairs(acct.lots) do
    local part = min(lot.left, micros)
    if part > 0 then
      lot.left, micros = lot.left - part, micros - part
      paid[#paid + 1] = lot.id .. '\31' .. digits(part)
    end
  end
  acct.owed = acct.owed + micros
  return concat(paid, '\30')
end

-- Order lots as money leaves them.
local function sort_lots(lots)
  table.sort(lots, function(a, b)
    if a.expire_ms ~= b.expire_ms then return a.expire_ms < b.expire_ms end
    if a.bought_ms ~= b.bought_ms then return a.bought_ms < b.bought_ms end
    return a.id < b.id
  end)
end

-- Find a lot that still has something.
local function find_lot(acct, id)
  for _, lot in ipairs(acct.lots) do
    if lot.id == id and lot.left > 0 then return lot end
  end
end

-- Put money into a lot, less what is owed already.
local function fill_lot(acct, lot, micros)
  local owed = min(acct.owed, micros)
  acct.owed, lot.left = acct.owed - owed, lot.left + micros - owed
end
