//! Reads. They run between two turns, so all that one of them sees is as of one log position.

mod catalogue;
mod orders;
mod stocks;
mod users;
mod waiting;

use emshop_proto::errors::Code;
use emshop_proto::internal::query::Body as Question;
use emshop_proto::internal::query_reply::Body as Answer;
use emshop_proto::internal::{Query, QueryReply};
use emshop_proto::v1::{ListHotGoodsResponse, Order, Refusal};
use prost::Message as _;

use crate::replica::Replica;

/// Rows that a page looks at, however few it lets through: each may have to be read from the store, and no turn is made meanwhile.
const LOOKED_AT_MAX: usize = 500;

/// Lists that have grown beyond this are cut: the next page goes on.
const LIST_BYTES_MAX: usize = 512 * 1024;

/// What NATS takes in one message, with room for its head.
const REPLY_BYTES_MAX: usize = 1024 * 1024 - 4096;

/// Answers a query. `None` when the answer comes from the checkpoint thread.
pub fn answer(replica: &mut Replica, query: Query) -> Option<QueryReply> {
    let viewer = query.viewer;
    let mut body = match query.body {
        Some(Question::Order(query)) => orders::order(replica, &query, viewer),
        Some(Question::Payment(query)) => orders::payment(replica, &query, viewer),
        Some(Question::LogisticsOrder(query)) => orders::logistics_order(replica, &query, viewer),
        Some(Question::LogisticsOrderByNumber(query)) => orders::logistics_order_by_number(replica, &query, viewer),
        Some(Question::Tracks(query)) => orders::tracks(replica, &query, viewer),
        Some(Question::TracksByNumber(query)) => orders::tracks_by_number(replica, &query, viewer),
        Some(Question::UserOrders(query)) => orders::of_user(replica, &query),
        Some(Question::Waiting(query)) => waiting::page(replica, &query),
        Some(Question::Owners(query)) => orders::owners(replica, &query),
        Some(Question::Stock(query)) => stocks::stocks(replica, &query.goods_ids),
        Some(Question::Availability(query)) => stocks::availability(replica, &query.goods_ids),
        Some(Question::Stocks(query)) => stocks::page(replica, &query),
        Some(Question::StockChanges(query)) => stocks::changes(replica, &query),
        Some(Question::Goods(query)) => catalogue::goods(replica, &query.goods_ids),
        Some(Question::Catalogue(query)) => catalogue::page(replica, &query),
        Some(Question::Cart(query)) => users::cart(replica, &query),
        Some(Question::Favourite(query)) => users::favourite(replica, &query),
        Some(Question::Favourites(query)) => users::favourites(replica, &query),
        Some(Question::Addresses(query)) => users::addresses(replica, &query),
        Some(Question::Messages(query)) => users::messages(replica, &query),
        Some(Question::User(query)) => users::user(replica, &query),
        Some(Question::Credentials(query)) => users::credentials(replica, &query),
        Some(Question::Mobile(query)) => users::mobile(replica, &query),
        Some(Question::Users(query)) => users::page(replica, &query),
        Some(Question::Code(query)) => users::code(replica, &query),
        Some(Question::Balance(query)) => users::balance(replica, &query),
        Some(Question::HotGoods(_)) => Answer::HotGoods(ListHotGoodsResponse { goods: replica.hot_goods() }),
        Some(Question::Inspect(_)) => return None,
        None => Answer::Refusal(Code::ValidationFailed.refusal()),
    };
    if viewer != 0 {
        leave_out_persons(&mut body);
    }
    let reply = QueryReply { body: Some(body) };
    if reply.encoded_len() <= REPLY_BYTES_MAX {
        return Some(reply);
    }
    // It would never arrive, and the client would not know why.
    let message = "What was asked for is too large for one answer: ask for less at once".to_owned();
    let refusal = Refusal { message, ..Code::ValidationFailed.refusal() };
    Some(QueryReply { body: Some(Answer::Refusal(refusal)) })
}

/// Customers see that one of the staff did something, but not whom an outside issuer knows them as.
fn leave_out_persons(answer: &mut Answer) {
    let of_order = |order: &mut Order| {
        let steps = order.timeline.iter_mut().filter_map(|event| event.operator.as_mut());
        steps.chain(order.history.iter_mut().filter_map(|change| change.operator.as_mut())).for_each(|by| by.subject = None);
    };
    match answer {
        Answer::Order(order) => of_order(order),
        Answer::UserOrders(orders) => orders.orders.iter_mut().filter_map(|listed| listed.order.as_mut()).for_each(of_order),
        Answer::Payment(payment) => {
            payment.log.iter_mut().filter_map(|change| change.operator.as_mut()).for_each(|by| by.subject = None);
        }
        _ => {}
    }
}

fn refused(code: Code) -> Answer {
    Answer::Refusal(code.refusal())
}
