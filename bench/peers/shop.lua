-- The shop that Redis is measured with. It keeps the promises of emshop's submit:
--   an order id counts once;
--   an order gets all of its lines or is refused, and stock is never below 0;
--   order, lines and payment are durable when the call returns (appendonly yes, appendfsync always).
-- It has less to do than emshop: no events, no timeline, no expiry, no orders by user, and everything must fit into memory.
--
-- Takes orders of two lines each, 10 arguments an order. Returns how many are accepted, those that were before included.

local accepted = 0
for first = 1, #ARGV, 10 do
    local id, user, address, receiver, phone, method = unpack(ARGV, first, first + 5)
    local order = 'order:' .. id
    local before = redis.call('HGET', order, 'accepted')
    if before then
        accepted = accepted + tonumber(before)
    else
        local lines, amount, enough = {}, 0, true
        for line = first + 6, first + 8, 2 do
            local goods, quantity = 'goods:' .. ARGV[line], tonumber(ARGV[line + 1])
            local found = redis.call('HMGET', goods, 'available', 'price')
            enough = enough and found[1] and tonumber(found[1]) >= quantity
            if enough then
                amount = amount + quantity * tonumber(found[2])
                lines[#lines + 1] = { goods, quantity, ARGV[line] .. ':' .. quantity .. ':' .. found[2] }
            end
        end
        if enough then
            for _, line in ipairs(lines) do
                redis.call('HINCRBY', line[1], 'available', -line[2])
                redis.call('HINCRBY', line[1], 'reserved', line[2])
            end
            redis.call('HSET', order, 'accepted', 1, 'user', user, 'address', address, 'receiver', receiver, 'phone', phone,
                'line1', lines[1][3], 'line2', lines[2][3])
            redis.call('HSET', 'payment:' .. id, 'method', method, 'amount', amount, 'paid', 0)
            accepted = accepted + 1
        else
            redis.call('HSET', order, 'accepted', 0, 'user', user)
        end
    end
end
return accepted
