//! An entry of the log as a turn takes it. It is read apart from the engine's thread.
//!
//! Of a new order only what the turn needs is read: names and addresses stay the bytes that they came as.

use bytes::Bytes;
use emshop_proto::commands::name_of;
use emshop_proto::envelope::DecodeError;
use emshop_proto::internal::{
    AccountCommand, Channel, Envelope, OrderCommand, OrderRequest, Record, Rules, ShopLimits, Step, order_command, record,
};
use emshop_proto::trace::Trace;
use emshop_proto::v1::{Command, Operator};
use prost::Message;

use crate::order::row;
use crate::state::order_index::IdHash;

/// The records of one envelope.
pub struct Entry {
    /// Tells it from any other that could stand in its place; 0 when it is in no log.
    pub identity: u64,
    /// Nobody who has the cluster's key wrote it: it is counted, and nothing is done by it but what is due.
    pub is_strange: bool,
    /// Who wrote it; 0 for an engine.
    pub writer: u64,
    /// Set when the records come from another log.
    pub channel: Option<Channel>,
    /// In the order in which they are applied.
    pub records: Vec<EntryRecord>,
}

/// One record, read as far as its turn needs it.
pub struct EntryRecord {
    /// Finds the client that waits; 0 when none does.
    pub ticket: u64,
    /// Tells a repeat from another command under the same key.
    pub body_hash: u64,
    /// Who gave the command.
    pub operator: Option<Operator>,
    /// The span that led to it, when that is traced.
    pub trace: Option<Trace>,
    /// What is to be done.
    pub body: Body,
}

/// What a record asks for.
pub enum Body {
    /// An order is submitted.
    NewOrder(NewOrder),
    /// All other commands.
    Command(Box<Command>),
    /// What only an ingress may give.
    AccountCommand(AccountCommand),
    /// An aggregate of another log asks or replies.
    Step(Step),
    /// Timers are due. It is this late, in Unix milliseconds.
    Tick {
        /// By the engine that says so; 0 when it does not.
        time_ms: i64,
        /// When the engine sent it, by its own clock.
        sent_ms: i64,
    },
    /// The rules change.
    Rules(Rules),
    /// What the shop allows its users changes.
    ShopLimits(ShopLimits),
    /// An entry before this one counts as empty: who reads the log knows, and here it changes nothing.
    Void,
}

/// An order that somebody submits, or a cart that they check out.
pub struct NewOrder {
    /// Hash of its id.
    pub id: IdHash,
    /// As it came: the order keeps it.
    pub bytes: Bytes,
    /// What the turn needs of it.
    pub request: OrderRequest,
    /// It takes its lines out of the cart.
    pub from_cart: bool,
}

impl Entry {
    /// Reads the commands of an envelope.
    ///
    /// # Errors
    /// [`DecodeError::Body`] when a record is not what it has to be. To skip it would change what later ones mean.
    pub fn read(envelope: Envelope) -> Result<Self, DecodeError> {
        let records = envelope.records.into_iter().map(EntryRecord::read).collect::<Result<_, _>>()?;
        Ok(Self { identity: 0, is_strange: false, writer: envelope.writer, channel: envelope.channel, records })
    }

    /// One that counts as empty.
    pub fn empty(is_strange: bool) -> Self {
        Self { identity: 0, is_strange, writer: 0, channel: None, records: Vec::new() }
    }

    /// The latest time that its ticks carry; `None` when it has none.
    pub fn tick_ms(&self) -> Option<i64> {
        let ticks = self.records.iter().filter_map(|record| match record.body {
            Body::Tick { time_ms, .. } => Some(time_ms),
            _ => None,
        });
        ticks.max()
    }

    /// When its tick was sent, by the clock of the engine that sent it; `None` when it is none.
    pub fn tick_sent_ms(&self) -> Option<i64> {
        self.records.iter().find_map(|record| match record.body {
            Body::Tick { sent_ms, .. } => Some(sent_ms),
            _ => None,
        })
    }
}

impl EntryRecord {
    fn read(record: Record) -> Result<Self, DecodeError> {
        let Record { ticket, body_hash, operator, trace, body } = record;
        let trace = match &body {
            Some(record::Body::Step(step)) => step.trace,
            _ => trace,
        };
        let body = match body {
            Some(record::Body::Command(bytes)) => Body::read_command(bytes).map_err(DecodeError::Body)?,
            Some(record::Body::AccountCommand(command)) => Body::AccountCommand(command),
            Some(record::Body::Step(step)) => Body::Step(step),
            Some(record::Body::Tick(tick)) => Body::Tick { time_ms: tick.time_ms, sent_ms: tick.sent_ms },
            Some(record::Body::Rules(rules)) => Body::Rules(rules),
            Some(record::Body::ShopLimits(limits)) => Body::ShopLimits(limits),
            Some(record::Body::Void(_)) => Body::Void,
            None => return Err(DecodeError::Body("a record is of no kind that this release knows".to_owned())),
        };
        Ok(Self { ticket, body_hash, operator, trace, body })
    }
}

impl Body {
    /// What it is called in a trace, such as `submit_order`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NewOrder(order) if order.from_cart => "checkout_cart",
            Self::NewOrder(_) => "submit_order",
            Self::Command(command) => command.body.as_ref().map_or("command", name_of),
            Self::AccountCommand(_) => "account_command",
            Self::Step(_) => "step",
            Self::Tick { .. } => "tick",
            Self::Rules(_) => "rules",
            Self::ShopLimits(_) => "shop_limits",
            Self::Void => "void",
        }
    }

    fn read_command(bytes: Bytes) -> Result<Self, String> {
        let (bytes, from_cart) = match OrderCommand::decode(bytes.clone()).map_err(|error| error.to_string())?.body {
            Some(order_command::Body::SubmitOrder(bytes)) => (bytes, false),
            Some(order_command::Body::CheckoutCart(bytes)) => (bytes, true),
            None => {
                let command = Command::decode(bytes).map_err(|error| error.to_string())?;
                return Ok(Self::Command(Box::new(command)));
            }
        };
        let request = OrderRequest::decode(bytes.as_ref()).map_err(|error| error.to_string())?;
        row::check_request(&bytes)?;
        let id = IdHash::of(row::id_in(&bytes).as_bytes());
        Ok(Self::NewOrder(NewOrder { id, bytes, request, from_cart }))
    }
}

#[cfg(test)]
mod tests {
    use emshop_proto::internal::{GoodsName, OrderDestination, OrderRow};
    use emshop_proto::v1::command::Body as CommandBody;
    use emshop_proto::v1::{
        CheckoutCartRequest, GoodsQuantity, Money, PaymentMethod, Receiver, ShippingMethod, SubmitOrderRequest, SubmitWait,
    };
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn read(body: Option<record::Body>) -> Result<Body, DecodeError> {
        let envelope = Envelope { records: vec![Record { body, ..Record::default() }], ..Envelope::default() };
        Entry::read(envelope).map(|entry| entry.records.into_iter().next().expect("a record").body)
    }

    fn new_order(body: CommandBody) -> NewOrder {
        let command = Command { tag: 7, ..body.into() }.encode_to_vec();
        match read(Some(record::Body::Command(command.into()))) {
            Ok(Body::NewOrder(order)) => order,
            _ => panic!("no new order"),
        }
    }

    /// Of both requests, so that one reading fits them.
    #[test]
    fn a_narrow_reading_of_an_order_finds_what_the_wide_one_has() {
        let receiver = Receiver { name: "李".to_owned(), phone: "13800000000".to_owned() };
        let total = Money::new(5, "CNY");
        let lines = vec![GoodsQuantity { goods_id: 7, quantity: 2 }, GoodsQuantity { goods_id: 9, quantity: 1 }];
        let submit = SubmitOrderRequest {
            order_id: "order-1".to_owned(),
            user_id: 3,
            lines: lines.clone(),
            address: "路 1".to_owned(),
            receiver: Some(receiver.clone()),
            payment_method: PaymentMethod::Wechat.into(),
            expires_in_seconds: 60,
            expected_total: Some(total.clone()),
            wait: SubmitWait::Accepted.into(),
            logistics_company: 2,
            shipping_method: ShippingMethod::Express.into(),
            insured: true,
        };
        let checkout = CheckoutCartRequest {
            order_id: submit.order_id.clone(),
            user_id: submit.user_id,
            address: submit.address.clone(),
            receiver: submit.receiver.clone(),
            payment_method: submit.payment_method,
            expires_in_seconds: submit.expires_in_seconds,
            expected_total: submit.expected_total.clone(),
            logistics_company: submit.logistics_company,
            shipping_method: submit.shipping_method,
            insured: submit.insured,
            address_id: 4,
        };
        let request = OrderRequest {
            user_id: 3,
            lines,
            payment_method: PaymentMethod::Wechat.into(),
            expires_in_seconds: 60,
            expected_total: Some(total),
            logistics_company: 2,
            shipping_method: ShippingMethod::Express.into(),
            insured: true,
            address_id: 0,
        };
        let (of_submit, of_checkout) =
            (new_order(CommandBody::SubmitOrder(submit)), new_order(CommandBody::CheckoutCart(checkout)));
        assert_eq!((of_submit.from_cart, of_checkout.from_cart), (false, true));
        assert_eq!(of_submit.request, request);
        assert_eq!(of_checkout.request, OrderRequest { lines: Vec::new(), address_id: 4, ..request });
        for order in [of_submit, of_checkout] {
            assert_eq!(row::id_in(&order.bytes), "order-1");
            assert!(order.id == IdHash::of(b"order-1"));
            let mut texts = order.bytes.to_vec();
            row::add_name(&mut texts, 300, "名");
            let order = OrderRow { texts, ..OrderRow::default() };
            assert_eq!((row::id(&order), row::address(&order)), ("order-1", "路 1"));
            assert_eq!(row::names(&order), [GoodsName { goods_id: 300, name: "名".to_owned() }]);
            let destination = OrderDestination { address: "路 1".to_owned(), receiver: Some(receiver.clone()) };
            assert_eq!(row::destination(&order), destination);
        }
    }

    #[test]
    fn the_id_is_found_wherever_it_stands() {
        let ids = [(&b""[..], ""), (b"\x18\x03", ""), (b"\x18\x03\x22\x02\x08\x07\x0a\x01o", "o")];
        for (request, id) in ids {
            assert_eq!(row::id_in(request), id);
        }
    }

    /// One field: a number, or the bytes of a text or of a message.
    fn field() -> impl Strategy<Value = Vec<u8>> {
        let nested = prop_oneof![
            Just(Vec::new()),
            "[a-z]{0,3}".prop_map(String::into_bytes),
            vec(any::<u8>(), 0..4),
            // Of a receiver, and what is not of one.
            (prop_oneof![Just(0x0a), Just(0x12), Just(0x1a), Just(0x08)], 0_u8..3, vec(any::<u8>(), 0..3))
                .prop_map(|(key, length, bytes)| [&[key, length][..], &bytes].concat()),
        ];
        (prop_oneof![Just(1_u8), Just(4), Just(5), Just(6)], 0_u8..4, nested).prop_map(|(field, wire_type, bytes)| {
            let length = if wire_type == 2 { vec![bytes.len() as u8] } else { Vec::new() };
            [&[field << 3 | wire_type][..], &length, &bytes].concat()
        })
    }

    proptest! {
        /// What is read only later never turns out to be unreadable then.
        #[test]
        fn a_request_that_is_let_in_can_be_read(fields in vec(field(), 0..4)) {
            let request = fields.concat();
            let decoded = OrderDestination::decode(request.as_slice());
            match row::check_request(&request) {
                Ok(()) => {
                    let order = OrderRow { texts: request, ..OrderRow::default() };
                    prop_assert_eq!(row::address(&order), decoded.expect("what it goes by").address);
                    row::id(&order);
                }
                Err(error) => prop_assert!(decoded.is_err() || error.starts_with("an order has"), "{}", error),
            }
        }
    }

    /// Such as one of a newer release: what is skipped would change what later ones mean.
    #[test]
    fn an_unknown_record_is_no_entry() {
        assert!(matches!(read(None), Err(DecodeError::Body(_))));
        assert!(matches!(read(Some(record::Body::Command(Bytes::from_static(b"\x12")))), Err(DecodeError::Body(_))));
    }
}
