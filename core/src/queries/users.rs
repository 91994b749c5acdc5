//! Users, and what is theirs.

use std::cmp::Reverse;
use std::ops::ControlFlow;

use emshop_proto::errors::Code;
use emshop_proto::internal::query_reply::Body as Answer;
use emshop_proto::internal::{
    BalanceRow, CodeState, Credentials, FavouriteQuery, Messages, MobileQuery, PageQuery, UseCode, UserQuery, UserRow, Users,
    UsersQuery,
};
use emshop_proto::v1::{CartItems, ListAddressesResponse, ListFavouritesResponse, MessageKind};

use super::{LOOKED_AT_MAX, refused};
use crate::replica::Replica;
use crate::state::rows::Newest;
use crate::user;
use crate::user::{address, balance, cart, code as codes, favourite};

/// Whether a code is right, as of log time. Nothing is used up, and no try is counted.
pub fn code(replica: &mut Replica, query: &UseCode) -> Answer {
    let time_ms = replica.log_time_ms();
    Answer::Code(CodeState { is_right: codes::is_known(&mut replica.state, time_ms, &query.key, &query.code_hash) })
}

/// All items, newest first.
pub fn cart(replica: &Replica, query: &UserQuery) -> Answer {
    let mut items = cart::items(&replica.state, query.user_id);
    items.sort_by_key(|item| Reverse((item.added_at_ms, item.goods_id)));
    Answer::Cart(CartItems { items })
}

pub fn favourite(replica: &mut Replica, query: &FavouriteQuery) -> Answer {
    match favourite::find(&mut replica.state, query.user_id, query.goods_id) {
        Some(favourite) => Answer::Favourite(favourite),
        None => refused(Code::FavouriteNotFound),
    }
}

/// Newest first; the cursor is when the last one was added, and its goods id.
pub fn favourites(replica: &Replica, query: &PageQuery) -> Answer {
    let favourites = favourite::of_user(&replica.state, query.user_id);
    let (favourites, total) = page_of(favourites, query, |favourite| (favourite.added_at_ms, favourite.goods_id));
    Answer::Favourites(ListFavouritesResponse { favourites, total, ..ListFavouritesResponse::default() })
}

/// The default one first, then newest first; the cursor is 1 for the default one or 0, and the address id.
pub fn addresses(replica: &Replica, query: &PageQuery) -> Answer {
    let addresses = address::of_user(&replica.state, query.user_id);
    let (addresses, total) = page_of(addresses, query, |address| (i64::from(address.is_default), address.address_id));
    Answer::Addresses(ListAddressesResponse { addresses, total, ..ListAddressesResponse::default() })
}

/// What comes after the cursor by descending `position`, and how many there are in all.
fn page_of<T>(mut all: Vec<T>, query: &PageQuery, position: impl Fn(&T) -> (i64, u64)) -> (Vec<T>, u64) {
    let total = all.len() as u64;
    if query.after != 0 {
        all.retain(|item| position(item) < (query.after_ms, query.after));
    }
    all.sort_by_key(|item| Reverse(position(item)));
    all.truncate(query.limit as usize);
    (all, total)
}

/// Newest first; the cursor is the message id.
pub fn messages(replica: &Replica, query: &PageQuery) -> Answer {
    let first = Newest { user_id: query.user_id, number: if query.after == 0 { u64::MAX } else { query.after - 1 } };
    let is_wanted = |kind: MessageKind| query.filter == 0 || kind as u32 == query.filter;
    let (mut page, mut last, mut looked_at) = (Messages::default(), 0, 0);
    replica.state.messages.scan(&first, |key, row| {
        if key.user_id != query.user_id {
            return ControlFlow::Break(());
        }
        if page.messages.len() == query.limit as usize || looked_at == LOOKED_AT_MAX {
            page.after = last;
            return ControlFlow::Break(());
        }
        (last, looked_at) = (key.number, looked_at + 1);
        let message = row.message.as_ref().expect("a row of a message has one");
        page.messages.extend(is_wanted(message.kind()).then(|| message.clone()));
        ControlFlow::Continue(())
    });
    Answer::Messages(page)
}

pub fn user(replica: &mut Replica, query: &UserQuery) -> Answer {
    match existing(replica, query.user_id) {
        Some(row) => Answer::User(user::view(query.user_id, row)),
        None => refused(Code::UserNotFound),
    }
}

pub fn credentials(replica: &mut Replica, query: &UserQuery) -> Answer {
    match existing(replica, query.user_id) {
        Some(row) => Answer::Credentials(Credentials {
            user: Some(user::view(query.user_id, row)),
            password_hash: row.password_hash.clone(),
            key_hash: row.key_hash.clone(),
        }),
        None => refused(Code::UserNotFound),
    }
}

fn existing(replica: &mut Replica, user_id: u64) -> Option<&UserRow> {
    user::existing(&mut replica.state, user_id)
}

/// Whose a mobile number is.
pub fn mobile(replica: &Replica, query: &MobileQuery) -> Answer {
    match replica.state.mobiles.peek(&query.mobile, |row| row.user_id) {
        Some(user_id) => Answer::Mobile(UserQuery { user_id }),
        None => refused(Code::UserNotFound),
    }
}

/// Users by ascending id.
pub fn page(replica: &Replica, query: &UsersQuery) -> Answer {
    let wanted = |row: &UserRow| {
        let of_role = query.role == 0 || row.role == query.role;
        let of_kind = !query.service_accounts || !row.key_hash.is_empty();
        !row.registering && of_role && of_kind && (query.status == 0 || row.status == query.status)
    };
    let total = replica.state.counters.peek(&(), |counters| counters.users).unwrap_or(0);
    let (mut page, mut looked_at) = (Users { total, ..Users::default() }, 0);
    replica.state.users.scan(&query.after_user_id.saturating_add(1), |user_id, row| {
        if page.users.len() == query.limit as usize || looked_at == LOOKED_AT_MAX {
            page.after = user_id - 1;
            return ControlFlow::Break(());
        }
        looked_at += 1;
        page.users.extend(wanted(row).then(|| user::view(*user_id, row)));
        ControlFlow::Continue(())
    });
    Answer::Users(page)
}

pub fn balance(replica: &Replica, query: &UserQuery) -> Answer {
    let row = replica.state.balances.peek(&query.user_id, BalanceRow::clone).unwrap_or_default();
    Answer::Balance(balance::view(query.user_id, &row))
}
