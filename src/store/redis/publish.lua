-- Publishes one set: all of it or nothing.
-- KEYS: current, log, the set's key, the staging key, the key of the set that is superseded
-- ARGV: epoch, generation and digest that `current` must have ('0', '0', '' where nothing is published); epoch and generation to write; the
--       set's digest; seconds that the superseded set stays; '1' where the set was staged, else '0'; then names and values of further fields
local now = redis.call('HMGET', KEYS[1], 'epoch', 'generation', 'digest')
if (now[1] or '0') ~= ARGV[1] or (now[2] or '0') ~= ARGV[2] or (now[3] or '') ~= ARGV[3] then
  return 'conflict'
end

local from = KEYS[3]
if ARGV[8] == '1' then from = KEYS[4] end
local manifest = redis.call('HGET', from, 'manifest')
if not manifest then return 'missing' end
local files = 0
for sum, path in string.gmatch(manifest, '(%x+) ([^\n]+)\n') do
  local bytes = redis.call('HGET', from, path)
  if not bytes or redis.sha1hex(bytes) ~= sum then return 'broken' end
  files = files + 1
end
if redis.call('HLEN', from) ~= files + 1 then return 'broken' end

if from ~= KEYS[3] then redis.call('RENAME', from, KEYS[3]) end
redis.call('PERSIST', KEYS[3])
if KEYS[5] ~= KEYS[3] then redis.call('EXPIRE', KEYS[5], ARGV[7]) end

local time = redis.call('TIME')
local record = { 'epoch', ARGV[4], 'generation', ARGV[5], 'digest', ARGV[6], 'at', time[1] .. string.format('%03d', math.floor(time[2] / 1000)) }
for i = 9, #ARGV do record[#record + 1] = ARGV[i] end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(record))
redis.call('XADD', KEYS[2], 'MAXLEN', '~', '10000', '*', unpack(record))
return 'published'
