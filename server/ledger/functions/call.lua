-- A call: read out of its record, and formatted for it.

-- The lines of a record: state, gateway, last question, decision, the one that began the call and
-- when, where they are not those of the answer, answer, held, field of running calls, unfunded, facts; the rest is an
-- explanation.
local RECORD = '^(%l+)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n'
  .. '([^\n]*)\n([^\n]*)\n(.*)$'

-- Read the record of a call; nil where there is none.
local function read_record(key)
  local text = call('GET', key)
  if not text then return nil end
  local state, gateway, asked, decision, opened, answer, held, counted, unfunded, facts,
    explanation = match(text, RECORD)
  if not state then damaged('a call') end
  local began, began_ms = match(opened, '^(%S*) ?(%d*)$')
  if not began then damaged('a call') end
  return {
    text = text, state = state, gateway = gateway, asked = asked, decision = decision,
    opened = began ~= '' and began or decision, began = began ~= '' and began_ms, answer = answer, held = held,
    counted = counted ~= '' and counted or nil, unfunded = unfunded == '1', facts = facts,
    explanation = explanation,
  }
end

-- Say how much to grant where nothing more can follow for now: a short slice, and after a grant that
-- was final already nothing.
local function last_wanted(record, wanted, floor)
  return record and match(record.answer, '^%d+ %d+ %d+ 1 ') and 0 or min(wanted, floor)
end

-- Write segments as "purse from to held", joined by commas.
local function segments_text(segments)
  local parts = {}
  for i, s in ipairs(segments) do
    parts[i] = format('%d %d %d %d', s.purse - 1, s.from, s.to, exact(s.held))
  end
  return concat(parts, ',')
end

-- Read segments, and nothing but segments.
local function parse_segments(text)
  local segments = {}
  for purse, from, to, held in gmatch(text, '(%d+) (%d+) (%d+) (%d+)') do
    segments[#segments + 1] = {
      purse = whole(purse, 'held') + 1, from = whole(from, 'held'), to = whole(to, 'held'),
      held = whole(held, 'held'),
    }
  end
  if segments_text(segments) ~= text then damaged('held') end
  return segments
end

-- Write what the purses paid so far as "purse seconds micros", joined by commas.
local function uses_text(uses)
  local parts = {}
  for index, use in pairs(uses) do
    parts[#parts + 1] = format('%d %d %d', index - 1, use.seconds, exact(use.micros))
  end
  table.sort(parts)
  return concat(parts, ',')
end

-- Read what the purses paid so far.
local function parse_uses(text)
  local uses = {}
  for purse, seconds, micros in gmatch(text, '(%d+) (%d+) (%d+)') do
    uses[whole(purse, 'held') + 1] = { seconds = whole(seconds, 'held'),
      micros = whole(micros, 'held') }
  end
  if uses_text(uses) ~= text then damaged('held') end
  return uses
end

-- Write what a call holds, what its purses paid, and its report: seconds used, talked beyond all
-- grants, paid by nobody, what those would have cost, whether it was reported late, and what was
-- reported beyond what can have passed.
local function held_texts(c)
  local report = NOTHING_USED
  if c.used > 0 or c.late or c.implausible > 0 then
    report = format('%d %d %d %d %d', exact(c.used), exact(c.overrun), c.unpaid_seconds,
      exact(c.unpaid_micros), c.late and 1 or 0)
      .. (c.implausible > 0 and ' ' .. digits(c.implausible) or '')
  end
  return segments_text(c.segments), uses_text(c.uses), report
end

-- Begin a call of which nothing is known yet. Its facts: call id, purses, context of the answer.
local function new_call(facts, opened, counted)
  local list = match(facts, '^[^\29]*\29([^\29]*)\29')
  if not list then damaged('the facts of a call') end
  return {
    facts = facts, list = list, purses = parse_purses(list), opened = opened, counted = counted,
    unfunded = false,
    is_new = true, uses = {}, granted = {}, segments = {}, used = 0, to = 0, granted_until = 0,
    debit = 0,
    overrun = 0, unpaid_seconds = 0, unpaid_micros = 0, late = false, before = '', held_before = '',
    implausible = 0,
  }
end

-- Unfold the record of a call that holds something, or may be reported on late.
local function open_call(record)
  local c = new_call(record.facts, record.opened, record.counted)
  local segments, uses, used, overrun, unpaid_seconds, unpaid_micros, late, implausible =
    match(record.held, '^([^|]*)|([^|]*)|(%d+) (%d+) (%d+) (%d+) ([01]) ?(%d*)$')
  if not segments or c.opened == '' then damaged('a call') end
  -- Of calls that began before this was written down it is not known.
  local began = record.began or match(record.answer, '^%d+')
  c.began = began ~= '' and whole(began, 'answer') or nil
  c.implausible = implausible ~= '' and whole(implausible, 'held') or 0
  c.is_new, c.unfunded, c.late = false, record.unfunded, late == '1'
  c.used, c.overrun = whole(used, 'held'), whole(overrun, 'held')
  c.unpaid_seconds, c.unpaid_micros = whole(unpaid_seconds, 'held'), whole(unpaid_micros, 'held')
  c.segments, c.uses, c.to = parse_segments(segments), parse_uses(uses), c.used
  c.before, c.held_before = uses, record.state == 'live' and segments or ''
  for index, use in pairs(c.uses) do c.granted[index] = use.seconds end
  c.granted_until = #c.segments > 0 and c.segments[#c.segments].to or c.used
  -- What is over holds nothing; its segments are those of its last answer.
  if record.state ~= 'live' then c.segments = {} end
  for _, segment in ipairs(c.segments) do
    local index = segment.purse
    if not c.purses[index] or segment.to < segment.from then damaged('held') end
    c.granted[index] = (c.granted[index] or 0) + segment.to - segment.from
    c.to = segment.to
  end
  return c
end

-- Say how much of a report is believed: what can have passed since the call was first granted, and a
-- tolerance. The rest is held apart, and nothing is debited for it. Without a tolerance all is.
local function believed(c, part, used, tolerance)
  c.implausible = 0
  if not tolerance or tolerance == '' then return used end
  local most = LONGEST_UNKNOWN_SECONDS
  if c.began then
    most = ceil_div(max(0, part.now_ms - c.began), 1000)
  elseif not c.is_new then
    return used
  end
  local taken = min(used, max(most + whole(tolerance, 'tolerance'), c.used))
  c.implausible = used - taken
  return taken
end
