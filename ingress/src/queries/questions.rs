//! What can be asked of an engine, and with what each question is answered.

use emshop_proto::internal::query::Body as Asked;
use emshop_proto::internal::query_reply::Body as Answered;
use emshop_proto::internal::{self, *};
use emshop_proto::v1;

/// Goods that are asked for like one.
const FEW: usize = 8;

/// A question whose answer has one type.
pub trait Question {
    type Reply;

    fn into_query(self) -> Asked;

    /// `None` when it answers another question.
    fn reply(answer: Answered) -> Option<Self::Reply>;
}

macro_rules! questions {
    ($($question:ident($query:ty) => $reply:ident($answer:ty),)*) => {$(
        #[derive(Clone)]
        pub struct $question(pub $query);

        impl Question for $question {
            type Reply = $answer;

            fn into_query(self) -> Asked {
                Asked::$question(self.0)
            }

            fn reply(answer: Answered) -> Option<$answer> {
                match answer {
                    Answered::$reply(reply) => Some(reply),
                    _ => None,
                }
            }
        }
    )*};
}

/// Whether an answer may have many rows: an engine takes longer for it, and it is large.
pub fn is_long(asked: &Asked) -> bool {
    match asked {
        Asked::Stock(query) | Asked::Availability(query) | Asked::Goods(query) => query.goods_ids.len() > FEW,
        Asked::UserOrders(_) | Asked::Waiting(_) | Asked::Stocks(_) | Asked::StockChanges(_) | Asked::Owners(_) => true,
        Asked::Catalogue(_) | Asked::Favourites(_) | Asked::Addresses(_) | Asked::Messages(_) | Asked::Users(_) => true,
        _ => false,
    }
}

questions! {
    Order(OrderQuery) => Order(v1::Order),
    UserOrders(UserOrdersQuery) => UserOrders(Orders),
    Payment(OrderQuery) => Payment(v1::Payment),
    LogisticsOrder(OrderQuery) => LogisticsOrder(v1::LogisticsOrder),
    LogisticsOrderByNumber(OrderNumberQuery) => LogisticsOrder(v1::LogisticsOrder),
    Tracks(OrderQuery) => Tracks(v1::ListTracksResponse),
    TracksByNumber(OrderNumberQuery) => Tracks(v1::ListTracksResponse),
    Stock(GoodsQuery) => Stock(v1::BatchGetStockResponse),
    Availability(GoodsQuery) => Availability(v1::GetAvailabilityResponse),
    Stocks(PageQuery) => Stocks(internal::Stocks),
    StockChanges(StockChangesQuery) => StockChanges(internal::StockChanges),
    Owners(OwnersQuery) => Owners(internal::Owners),
    Goods(GoodsQuery) => Goods(GoodsEntries),
    Catalogue(CatalogueQuery) => Catalogue(internal::Catalogue),
    Cart(UserQuery) => Cart(v1::CartItems),
    Favourite(FavouriteQuery) => Favourite(v1::Favourite),
    Favourites(PageQuery) => Favourites(v1::ListFavouritesResponse),
    Addresses(PageQuery) => Addresses(v1::ListAddressesResponse),
    Messages(PageQuery) => Messages(internal::Messages),
    User(UserQuery) => User(v1::User),
    Users(UsersQuery) => Users(internal::Users),
    Credentials(UserQuery) => Credentials(internal::Credentials),
    Mobile(MobileQuery) => Mobile(UserQuery),
    Code(UseCode) => Code(CodeState),
    Waiting(WaitingQuery) => Waiting(WaitingOrders),
    Balance(UserQuery) => Balance(v1::Balance),
    HotGoods(HotGoodsQuery) => HotGoods(v1::ListHotGoodsResponse),
    Inspect(v1::InspectRequest) => Inspection(v1::LogInspection),
}
