-- Applies one event to its tag's snapshot, delta stream and meta hash, all or nothing. Returns 1 when the event was
-- applied, 0 when it changes nothing: it is not newer than the tag's version (redelivered, or late from a worker that
-- has lost the partition), or its producer has already written it at an earlier offset (a retry after an unknown ack).
-- KEYS: snapshot, delta, meta
-- ARGV: generation, offset + 1, run, field of the producer's last sequence ('' for a foreign event), sequence, name,
--       data, approximate length of the stream
local meta = redis.call('HMGET', KEYS[3], 'version', 'run', ARGV[4])
local version = meta[1] or '0-0'
local generation, position = string.match(version, '^(%d+)-(%d+)$')
generation, position = tonumber(generation), tonumber(position)
if generation > tonumber(ARGV[1]) then return 0 end
if generation == tonumber(ARGV[1]) and position >= tonumber(ARGV[2]) then return 0 end
local same_run = meta[2] == ARGV[3]
if same_run and ARGV[4] ~= '' and meta[3] and tonumber(meta[3]) >= tonumber(ARGV[5]) then return 0 end

-- A script is not rolled back: whatever can fail comes before the first write that cannot.
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then
  return redis.error_reply('WRONGTYPE ' .. KEYS[1] .. ' is a ' .. kind .. ', not a snapshot hash')
end
local id = ARGV[1] .. '-' .. ARGV[2]
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[8], id, 'name', ARGV[6], 'data', ARGV[7], 'previous', version)
redis.call('HSET', KEYS[1], ARGV[6], ARGV[7])
if ARGV[4] == '' then
  redis.call('HSET', KEYS[3], 'version', id)
else
  -- Sequences of another run say nothing of this one, and would pile up.
  if not same_run and meta[2] then redis.call('DEL', KEYS[3]) end
  redis.call('HSET', KEYS[3], 'version', id, 'run', ARGV[3], ARGV[4], ARGV[5])
end
return 1
