-- The purses of a call, as wire.py writes them.

-- Read a pool: its own tally first, then those of the plan that can stop it as well.
local function pool_purse(reason, field, size, others)
  local purse = { kind = 'P', reason = whole(reason, 'reason'), field = field, tallies = { field },
    sizes = { whole(size, 'size') } }
  for other, other_size in gmatch(others, '\31([^\31]+)\31(%d+)') do
    table.insert(purse.tallies, other)
    table.insert(purse.sizes, whole(other_size, 'size'))
  end
  return purse
end

-- Read credits: their rate, how far below zero they may go, and what one account may spend.
local function credits_purse(text)
  local per_minute, fee, first, following, overdraft, post_paid, positive, why, limit, spend =
    match(
    text, '^C\31(%d+)\31(%d+)\31(%d+)\31(%d+)\31(%d+)\31([01])\31([01])\31(%d+)\31(%d*)\31(.*)$')
  if not per_minute then damaged('a purse') end
  local purse = {
    kind = 'C', reason = whole(why, 'reason'), per_minute = whole(per_minute, 'rate'),
    fee = whole(fee, 'rate'),
    first = whole(first, 'rate'), following = whole(following, 'rate'),
    overdraft = whole(overdraft, 'overdraft'),
    post_paid = post_paid == '1', positive = positive == '1', tallies = {},
  }
  if limit ~= '' then
    purse.limit, purse.field, purse.tallies = whole(limit, 'limit'), spend, { spend }
  end
  purse.priceable = priceable_seconds(purse)
  return purse
end

-- Read one purse. One that is gone pays nothing more, and is there for what it has paid. `what` says
-- which it is, whatever its size, its terms or the month.
local function read_purse(text)
  local gone = match(text, '^G\31(.*)$')
  local written = gone or text
  local reason, field, size, others = match(written, '^P\31(%d+)\31([^\31]+)\31(%d+)(.*)$')
  local purse = written == 'F' and { kind = 'F', tallies = {} }
    or reason and pool_purse(reason, field, size, others) or credits_purse(written)
  purse.written, purse.gone = written, gone ~= nil
  purse.what = reason and match(field, '^pool/[^/]*(/.*)$') or purse.kind
  if gone then purse.tallies = {} end
  return purse
end

-- Read a list of purses as wire.py wrote it. It is never changed, but for what a purse remembers of
-- other texts.
local parse_purses = remembering(function(list)
  local purses = {}
  for text in gmatch(list, '[^\30]+') do
    purses[#purses + 1] = read_purse(text)
  end
  -- The fields of the account that these purses touch, and whether credits are among them.
  purses.fields, purses.has = {}, {}
  for _, purse in ipairs(purses) do
    purses.has[purse.kind] = true
    for _, field in ipairs(purse.tallies) do purses.fields[#purses.fields + 1] = field end
  end
  return purses
end)
