-- Applies one event to its tag's snapshot, delta stream and meta hash, all or nothing. Returns
--   1 applied;
--   0 nothing changes: it is not newer than the tag's version (redelivered, or late from a worker that lost the partition);
--   3 nothing changes: its producer wrote it at an earlier offset already (a retry after an unknown ack);
--   2 nothing changes: the tag is behind what the worker was told, so what came in between has to be stored first.
-- KEYS: snapshot, delta, meta
-- ARGV: generation, offset + 1, run, field of the producer's last sequence ('' for a foreign event), sequence, name,
--       data, approximate length of the stream, offset + 1 of the event that the tag must have at least (0 for none)
local meta = redis.call('HMGET', KEYS[3], 'version', 'run', ARGV[4])
local version = meta[1] or '0-0'
local generation, position = string.match(version, '^(%d+)-(%d+)$')
if not generation or (meta[3] and not tonumber(meta[3])) then
  return redis.error_reply('WRONGTYPE ' .. KEYS[3] .. ' is not what the store writes')
end
generation, position = tonumber(generation), tonumber(position)
local own = tonumber(ARGV[1])
if generation > own then return 0 end
if generation == own and position >= tonumber(ARGV[2]) then return 0 end
local same_run = meta[2] == ARGV[3]
if same_run and ARGV[4] ~= '' and meta[3] and tonumber(meta[3]) >= tonumber(ARGV[5]) then return 3 end

-- A script is not rolled back: whatever can fail comes before the first write that cannot.
redis.call('HLEN', KEYS[1])
local least = tonumber(ARGV[9])
if least > 0 and (generation < own or position < least) then return 2 end
local id = ARGV[1] .. '-' .. ARGV[2]
local added = redis.pcall('XADD', KEYS[2], 'MAXLEN', '~', ARGV[8], id, 'name', ARGV[6], 'data', ARGV[7], 'previous', version)
if type(added) == 'table' and added.err then
  -- Where Redis has evicted the meta hash and kept the stream, the stream has this event, or a newer one of ours.
  local newer = not meta[1] and redis.pcall('XRANGE', KEYS[2], id, '+', 'COUNT', 1)
  local entry = newer and newer[1]
  if entry and string.match(entry[1], '^(%d+)') == ARGV[1] and entry[2][5] == 'previous' then return 0 end
  return added
end
redis.call('HSET', KEYS[1], ARGV[6], ARGV[7])
if ARGV[4] == '' then
  redis.call('HSET', KEYS[3], 'version', id)
elseif same_run then
  redis.call('HSET', KEYS[3], 'version', id, ARGV[4], ARGV[5])
else
  -- Sequences of another run say nothing of this one, and would pile up.
  if meta[2] then redis.call('DEL', KEYS[3]) end
  redis.call('HSET', KEYS[3], 'version', id, 'run', ARGV[3], ARGV[4], ARGV[5])
end
return 1
