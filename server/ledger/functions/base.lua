#!lua name=callgate_v1
-- The ledger: takes from the purses of a call, in their order, what there is; one atomic step a
-- function. The sources beside this one follow it in the order of library.py, as one library.
--
-- Keys, all of one partition (spelled in keys.py; docs/ledger.md describes each field):
--   accounts  hash    the partition's own line `meta`, and per tenant sums, flags, lots, tallies
--   expiry    zset    "<call reference>:<tenant>" by the time at which a reservation lapses
--   journal   stream  one entry a change, ids n-0; its name is also the channel of its wake-ups
--   call      string  one call and the last answer about it, line by line
--   other     string  what one gateway was answered about a call id that another one has by now
--
-- A failing command leaves what was written before it. So every function reads, checks and formats
-- first, and `commit` alone writes, with no branch or conversion in it that could still fail; and
-- `write_first`, which takes back what it wrote.

local MAX_WHOLE = 9007199254740991 -- Doubles skip whole numbers above it.
local SECONDS_PER_MINUTE = 60
local MAX_INCREMENT_SECONDS = 3600
local RING_LIMIT_MS = 180000 -- A called party may ring this long before the first report is due.
local REPORT_GRACE_MS = 30000 -- A report may come this long after the granted seconds.
local EXPIRE_VALIDITIES = 2
local REFUSAL_LIFETIME_MS = 900000
local REFUND_LIFETIME_MS = 2592000000
local LONG_DUE_MS = 1 -- When a voided lot expires: it is due whatever the clock says.
local PLENTY = 4 -- A contended purse gives a quarter of what is left of it, or the floor.
local LONGEST_UNKNOWN_SECONDS = 86400 -- A call of which no grant is known may have run so long.
local REMEMBERED = 1000 -- Parsed texts of one kind.
local REFERENCE_BYTES = 22
local UNTOLD_MS = 100 -- Who begins to listen looks again after it (wakeups.py).

local FROZEN, BALANCE_MISSING, SPEND_LIMIT_REACHED = 4, 13, 15
local CONCURRENT_CALLS, CALL_ID_IN_USE = 16, 17
-- What is told only where the number of calls and the call id are in order (precedence of reasons).
local TOLD_LAST = { [18] = true, [19] = true, [20] = true }
local NOTHING_USED = '0 0 0 0 0'
local RULED_OUT = 'ruled_out 0' -- Of an id by which nothing is made any more; when, behind it.
local NOT_ASKED = '?' -- In place of the decision that began a call.

-- Make a function of one text that remembers what `make` made of it, until there are too many.
local function remembering(make)
  local kept, count = {}, 0
  return function(text)
    local made = kept[text]
    if made then return made end
    made = make(text)
    if count >= REMEMBERED then kept, count = {}, 0 end
    kept[text], count = made, count + 1
    return made
  end
end

-- Numbers and text ----------------------------------------------------------------------------

local call, try, format, match, gmatch, gsub, find, sub, concat, fmod, min, max

-- Look Lua's own functions up once: it is forbidden while a library is loaded, and slow each time.
local function bind()
  call, try, format, match, gmatch = redis.call, redis.pcall, string.format, string.match,
    string.gmatch
  gsub, find, sub = string.gsub, string.find, string.sub
  concat, fmod, min, max = table.concat, math.fmod, math.min, math.max
end

-- Stop with an error that names the damaged record; nothing has been written yet.
local function damaged(what)
  error(redis.error_reply('DAMAGED ' .. what))
end

-- Read a whole number that is not negative.
local function whole(text, what)
  local number = tonumber(text)
  if not number or number < 0 or number > MAX_WHOLE or number % 1 ~= 0 then damaged(what) end
  return number
end

-- Read a whole number.
local function signed(text, what)
  local number = tonumber(text)
  if not number or number < -MAX_WHOLE or number > MAX_WHOLE or number % 1 ~= 0 then
    damaged(what)
  end
  return number
end

-- Let a number pass that is exact as a double. Redis would be sent 1e+17 else, and refuses it.
local function exact(number)
  if not (number <= MAX_WHOLE and number >= -MAX_WHOLE) then damaged('a sum') end
  return number
end

-- Write a whole number, never as -0.
local function digits(number)
  return format('%d', exact(number))
end

-- Divide whole numbers and round down; exact, as the quotient of two doubles is not.
local function floor_div(number, divisor)
  return (number - fmod(number, divisor)) / divisor
end

-- Divide whole numbers and round up.
local function ceil_div(number, divisor)
  return floor_div(number + divisor - 1, divisor)
end

-- Sums over the life of an account, which outgrow exact doubles: kept as text, of which the last 15
-- digits and those before them are added apart.
local SUM_DIGITS, SUM_BASE = 15, 1e15
local MOST_SUM_DIGITS = 19 -- The archive keeps 64 bits.

-- Split a sum into what stands before its last 15 digits, and those.
local function split_sum(text, what)
  if #text > MOST_SUM_DIGITS or not find(text, '^%d+$') then damaged(what) end
  return tonumber(sub(text, 1, -SUM_DIGITS - 1)) or 0, tonumber(sub(text, -SUM_DIGITS))
end

-- Add a whole number to a sum.
local function add_sum(text, number, what)
  if number == 0 then return text end
  local high, low = split_sum(text, what)
  local rest = fmod(exact(number), SUM_BASE)
  high, low = high + (number - rest) / SUM_BASE, low + rest
  if low < 0 then high, low = high - 1, low + SUM_BASE end
  if low >= SUM_BASE then high, low = high + 1, low - SUM_BASE end
  if high < 0 then damaged(what) end
  local sum = high > 0 and format('%d%015d', high, low) or format('%d', low)
  if #sum > MOST_SUM_DIGITS then damaged(what) end
  return sum
end

-- Say by how much one sum is larger than another; not to the micro beyond exact doubles.
local function sum_difference(larger, smaller, what)
  local high, low = split_sum(larger, what)
  local other_high, other_low = split_sum(smaller, what)
  return (high - other_high) * SUM_BASE + low - other_low
end

-- Rating: policy/rating.py in Lua -------------------------------------------------------------

-- Round talked seconds up to whole increments.
local function charged_seconds(rate, seconds)
  if seconds <= 0 then return 0 end
  return rate.first + ceil_div(max(0, seconds - rate.first), rate.following) * rate.following
end

-- Price seconds of one purse in one call, without the connection fee, rounded up to a micro.
local function price_micros(rate, seconds)
  local product = rate.per_minute * charged_seconds(rate, seconds)
  if product > MAX_WHOLE - SECONDS_PER_MINUTE then damaged('a price') end
  return ceil_div(product, SECONDS_PER_MINUTE)
end

-- Say how many seconds, in whole increments, `micros` buys: at least the first or 0.
local function affordable_seconds(rate, micros, limit_seconds)
  if price_micros(rate, limit_seconds) <= micros then
    return charged_seconds(rate, limit_seconds)
  end
  if price_micros(rate, rate.first) > micros then return 0 end
  local bought = floor_div(micros * SECONDS_PER_MINUTE, rate.per_minute)
  return rate.first + floor_div(bought - rate.first, rate.following) * rate.following
end

-- Say up to which second a call may be priced at all without leaving the exact numbers.
local function priceable_seconds(rate)
  return floor_div(MAX_WHOLE, rate.per_minute + 1) - 3 * MAX_INCREMENT_SECONDS
end
