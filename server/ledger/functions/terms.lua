-- Terms: what may pay a call from here on, where today's facts say other than those it began with.
--
-- A purse is known again by what it is, so that what it paid stays its own: a pool by its plan and
-- counter, credits by being credits. It has today's size and limits; the month is the one in which
-- the call began, and the rate stays. What may pay no more is written behind a `G`.

local RATE_FIELDS, PURSE_FIELDS = 6, 5 -- Of what a context tells of rate and purses.

-- Find the place of a purse among those of a call.
local function place_of(purses, what)
  for index, purse in ipairs(purses) do
    if purse.what == what then return index end
  end
end

-- Write a purse of today as that of a call that began with `before`.
local function as_it_began(purse, before, keeps_rate)
  local text = purse.written
  if purse.kind == 'C' and keeps_rate then
    text = match(before.written, '^C\31%d+\31%d+\31%d+\31%d+')
      .. match(text, '^C\31%d+\31%d+\31%d+\31%d+(.*)$')
  end
  local began = before.field and purse.field and match(before.field, '^%l+/[^/]*/')
  if not began then return text end
  return (gsub(text, '\31%l+/[^/]*/', function() return '\31' .. began end))
end

-- Split what a context tells of rate and purses; nil where it is not told for each of them.
local function told_fields(facts, count)
  local text = match(facts, '^[^\29]*\29[^\29]*\29.-\31\31(.*)$')
  local fields = {}
  for field in gmatch(gsub(text or '', '\31', '') .. '|', '([^|]*)|') do
    fields[#fields + 1] = field
  end
  return #fields == RATE_FIELDS + PURSE_FIELDS * count and fields or nil
end

-- Tell of rate and purses by these terms: each purse as it was told of first.
local function told_by(c, terms)
  local before, today = told_fields(c.facts, #c.purses), told_fields(terms.today, terms.count)
  if not before or not today then return nil end
  local told = {}
  for i = 1, RATE_FIELDS do told[i] = terms.keeps_rate and before[i] or today[i] end
  for i, place in ipairs(terms.from) do
    local fields = place > 0 and before or today
    local at = RATE_FIELDS + PURSE_FIELDS * ((place > 0 and place or i) - 1)
    for k = 1, PURSE_FIELDS do told[#told + 1] = fields[at + k] end
  end
  return concat(told, '|')
end

-- Put the terms into facts: their list, and what their context tells of rate and purses.
local function write_terms(c, terms, facts)
  local call_id, context = match(facts, '^([^\29]*\29)[^\29]*(\29.*)$')
  local head, told = match(context, '^(.-)\31\31'), told_by(c, terms)
  if head and told then context = head .. '\31\31' .. told end
  return call_id .. terms.list .. context
end

-- Compare the purses of a call with those of today; nil where these may pay as they did. `today` are
-- facts as a question has them; `facts` those of the call, to be told by the terms.
local function terms_of(c, today, facts, keeps_rate)
  local list = match(today, '^[^\29]*\29([^\29]*)\29') or damaged('a question')
  if list == '' or list == c.list then return nil end
  local purses, texts, from, stays = parse_purses(list), {}, {}, {}
  for i, purse in ipairs(purses) do
    local place = place_of(c.purses, purse.what)
    texts[i], from[i] = purse.written, place or 0
    if place then
      texts[i], stays[place] = as_it_began(purse, c.purses[place], keeps_rate), true
    end
  end
  for place, purse in ipairs(c.purses) do
    if not stays[place] then
      texts[#texts + 1], from[#from + 1] = 'G\31' .. purse.written, place
    end
  end
  local merged = concat(texts, '\30')
  if merged == c.list then return nil end
  local terms = { list = merged, purses = parse_purses(merged), from = from, today = today,
    count = #purses, keeps_rate = keeps_rate and place_of(c.purses, 'C') ~= nil }
  terms.facts = write_terms(c, terms, facts)
  return terms
end

-- Let a call that holds nothing be paid by these purses, which paid this much of it so far.
local function pay_by(c, terms, uses)
  c.facts, c.list, c.purses, c.uses = terms.facts, terms.list, terms.purses, uses
  c.granted, c.before = {}, uses_text(uses)
  for index, use in pairs(uses) do c.granted[index] = use.seconds end
end

-- Take a call over to its terms: what it holds is given back, what was paid stays with who paid it.
-- Returns how many seconds it held.
local function take_terms(c, acct)
  local terms, held, uses = c.terms, c.to - c.used, {}
  give_back(c, acct)
  for index, place in ipairs(terms.from) do uses[index] = c.uses[place] end
  c.as_granted = { facts = c.facts, list = c.list, purses = c.purses, uses = c.uses }
  c.other_purses = c.list
  pay_by(c, terms, uses)
  return held
end

-- Go back to the terms by which a call was granted, unless those that followed paid something: what
-- it talks until it is ended is paid as it was granted.
local function end_as_granted(c)
  local before = c.as_granted
  if not before or uses_text(c.uses) ~= c.before then return end
  c.other_purses = nil
  pay_by(c, before, before.uses)
end

-- Take a cumulative report on a call that goes on: what was granted is used as it was granted, and
-- told by an entry of its own where other terms follow.
local function report_by_terms(plan, question, c)
  local acct = plan.acct
  if c.terms then
    use_segments(c, acct, question.used)
    if uses_text(c.uses) ~= c.before then
      local paid = c.debit > 0 and pay_from_lots(acct, c.debit) or ''
      note_call(plan, 'extended', question, c, question.decision .. 't', paid)
      c.debit, c.held_before = 0, segments_text(c.segments)
    end
    question.wanted = max(question.wanted, take_terms(c, acct))
  end
  report_used(c, acct, question.used)
end
