-- The shop that PostgreSQL is measured with. It keeps the promises of emshop's submit:
--   an order id counts once, whoever sends it how often and at the same time;
--   an order gets all of its lines or is refused, and stock is never below 0;
--   order, lines and payment are durable when the call returns (synchronous_commit, fsync).
-- It has less to do than emshop: no events, no timeline, no expiry, no orders by user.

CREATE TABLE goods (
    goods_id bigint PRIMARY KEY,
    unit_price bigint NOT NULL,
    available bigint NOT NULL CHECK (available >= 0),
    reserved bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);  -- room for new versions of a row in its page

CREATE TABLE orders (
    order_id text PRIMARY KEY,
    user_id bigint NOT NULL,
    accepted boolean NOT NULL DEFAULT true,
    address text NOT NULL,
    receiver text NOT NULL,
    phone text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE order_lines (
    order_id text NOT NULL,
    goods_id bigint NOT NULL,
    quantity bigint NOT NULL,
    unit_price bigint NOT NULL,
    PRIMARY KEY (order_id, goods_id)
);

CREATE TABLE payments (
    order_id text PRIMARY KEY,
    method smallint NOT NULL,
    amount bigint NOT NULL,
    paid boolean NOT NULL DEFAULT false
);

-- Takes orders, each id at most once in a call, and their lines. Returns how many are accepted, those that were before included.
CREATE FUNCTION submit_orders(
    ids text[], users bigint[], addresses text[], receivers text[], phones text[], methods smallint[],
    line_orders text[], line_goods bigint[], line_quantities bigint[]
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    fresh text[];
    taken text[] := '{}';
    candidate text;
    enough boolean;
BEGIN
    -- Who comes second with an id waits here for the first.
    WITH made AS (
        INSERT INTO orders (order_id, user_id, address, receiver, phone)
        SELECT * FROM unnest(ids, users, addresses, receivers, phones) AS o (order_id, user_id, address, receiver, phone)
        ORDER BY o.order_id
        ON CONFLICT DO NOTHING
        RETURNING order_id
    )
    SELECT coalesce(array_agg(made.order_id), '{}') INTO fresh FROM made;

    -- In one order by all, so that nobody waits in a circle.
    PERFORM FROM goods WHERE goods_id = ANY (line_goods) ORDER BY goods_id FOR UPDATE;

    SELECT coalesce(bool_and(coalesce(goods.available >= wanted.quantity, false)), true) INTO enough
    FROM (
        SELECT l.goods_id, sum(l.quantity) AS quantity
        FROM unnest(line_orders, line_goods, line_quantities) AS l (order_id, goods_id, quantity)
        JOIN unnest(fresh) AS f (order_id) USING (order_id)
        GROUP BY l.goods_id
    ) AS wanted
    LEFT JOIN goods USING (goods_id);

    IF enough THEN
        taken := fresh;
        UPDATE goods SET available = available - wanted.quantity, reserved = reserved + wanted.quantity
        FROM (
            SELECT l.goods_id, sum(l.quantity) AS quantity
            FROM unnest(line_orders, line_goods, line_quantities) AS l (order_id, goods_id, quantity)
            JOIN unnest(fresh) AS f (order_id) USING (order_id)
            GROUP BY l.goods_id
        ) AS wanted
        WHERE goods.goods_id = wanted.goods_id;
    ELSE
        -- Somebody gets nothing: one after the other finds out who.
        FOREACH candidate IN ARRAY fresh LOOP
            PERFORM FROM unnest(line_orders, line_goods, line_quantities) AS l (order_id, goods_id, quantity)
            LEFT JOIN goods USING (goods_id)
            WHERE l.order_id = candidate AND coalesce(goods.available < l.quantity, true);
            IF NOT FOUND THEN
                taken := taken || candidate;
                UPDATE goods SET available = available - l.quantity, reserved = reserved + l.quantity
                FROM unnest(line_orders, line_goods, line_quantities) AS l (order_id, goods_id, quantity)
                WHERE l.order_id = candidate AND goods.goods_id = l.goods_id;
            END IF;
        END LOOP;
        UPDATE orders SET accepted = false WHERE order_id = ANY (fresh) AND order_id <> ALL (taken);
    END IF;

    WITH lines AS (
        INSERT INTO order_lines (order_id, goods_id, quantity, unit_price)
        SELECT l.order_id, l.goods_id, l.quantity, goods.unit_price
        FROM unnest(line_orders, line_goods, line_quantities) AS l (order_id, goods_id, quantity)
        JOIN unnest(taken) AS t (order_id) USING (order_id)
        JOIN goods USING (goods_id)
        RETURNING order_id, quantity * unit_price AS amount
    )
    INSERT INTO payments (order_id, method, amount)
    SELECT o.order_id, o.method, sum(lines.amount)
    FROM unnest(ids, methods) AS o (order_id, method)
    JOIN lines USING (order_id)
    GROUP BY o.order_id, o.method;

    IF cardinality(taken) = cardinality(ids) THEN
        RETURN cardinality(ids);
    END IF;
    RETURN (SELECT count(*) FROM orders WHERE order_id = ANY (ids) AND accepted);
END
$$;
