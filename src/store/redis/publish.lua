-- Publishes one set: all of it or nothing.
-- KEYS: current, log, the set's key, the staging key, the key of the set that is superseded
-- ARGV: epoch, generation and digest that `current` must have ('0', '0', '' where nothing is published; epoch '*': whatever is there); epoch and generation to write; the
--       set's digest; seconds that the superseded set stays; then names and values of further fields
local now = { ARGV[1], ARGV[2], ARGV[3] }
local kind = redis.call('TYPE', KEYS[1]).ok
if ARGV[1] ~= '*' or kind == 'hash' then
  now = redis.call('HMGET', KEYS[1], 'epoch', 'generation', 'digest')
  local readable = tonumber(now[1] or '') and tonumber(now[2] or '') and string.match(now[3] or '', '^%x+$')
  -- it was garbage when it was looked at: somebody else has mended it meanwhile
  if ARGV[1] == '*' and readable then return 'conflict' end
  if ARGV[1] == '*' then now = { ARGV[1], ARGV[2], ARGV[3] } end
end
if (now[1] or '0') ~= ARGV[1] or (now[2] or '0') ~= ARGV[2] or (now[3] or '') ~= ARGV[3] then
  return 'conflict'
end

local manifest = redis.call('HGET', KEYS[4], 'manifest')
if not manifest then return 'missing' end
local files = 0
for sum, path in string.gmatch(manifest, '(%x+) ([^\n]+)\n') do
  local bytes = redis.call('HGET', KEYS[4], path)
  if not bytes or redis.sha1hex(bytes) ~= sum then return 'broken' end
  files = files + 1
end
if redis.call('HLEN', KEYS[4]) ~= files + 1 then return 'broken' end

redis.call('RENAME', KEYS[4], KEYS[3])
redis.call('PERSIST', KEYS[3])
if KEYS[5] ~= KEYS[3] then redis.call('EXPIRE', KEYS[5], ARGV[7]) end

-- garbage in its place would fail the last step, when all others are done
local log = redis.call('TYPE', KEYS[2]).ok
if log ~= 'stream' and log ~= 'none' then redis.call('DEL', KEYS[2]) end

local time = redis.call('TIME')
local record = { 'epoch', ARGV[4], 'generation', ARGV[5], 'digest', ARGV[6], 'at', time[1] .. string.format('%03d', math.floor(time[2] / 1000)) }
for i = 8, #ARGV do record[#record + 1] = ARGV[i] end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(record))
redis.call('XADD', KEYS[2], 'MAXLEN', '~', '10000', '*', unpack(record))
return 'published'
