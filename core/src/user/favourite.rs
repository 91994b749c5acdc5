//! Favourites: goods that a user keeps, counted by the goods.
//!
//! A favourite waits until the partition of its goods has counted it, or says that there are no such goods. What is no favourite
//! any more is only told: both partitions see the steps of a user in the order of the log, so a count is never of what is gone.

use std::ops::ControlFlow;

use emshop_proto::errors::Code;
use emshop_proto::internal::{FavouriteReply, FavouriteRequest, FavouriteRow, Owner, OwnerKind, Step, Waiter, step};
use emshop_proto::partitioner::Place;
use emshop_proto::v1::{AddFavouriteRequest, Favourite, RemoveFavouriteRequest, outcome};

use crate::context::Context;
use crate::effects::{Answer, Effects};
use crate::state::State;

/// Most favourites that a user may have.
pub const FAVOURITES_MAX: usize = 2_000;

pub fn add(state: &mut State, ctx: &Context, request: &AddFavouriteRequest, waiter: Waiter, fx: &mut Effects) -> Option<Answer> {
    let key = (request.user_id, request.goods_id);
    if let Some(row) = state.favourites.get(&key) {
        let answer = (!is_waiting(row)).then(|| answer(request.goods_id, row).repeated());
        if answer.is_none() {
            let row = state.favourites.change(&key).expect("it was just there");
            row.waiters.push(Waiter { repeated: true, ..waiter });
        }
        return answer;
    }
    let mut others = 0;
    each(state, request.user_id, |_, _| others += 1);
    if others >= FAVOURITES_MAX {
        return Some(Code::FavouritesFull.into());
    }
    state.favourites.insert(key, FavouriteRow { added_at_ms: ctx.time_ms, waiters: vec![waiter] });
    ask(ctx, request.user_id, request.goods_id, false, fx);
    None
}

pub fn remove(state: &mut State, ctx: &Context, request: &RemoveFavouriteRequest, fx: &mut Effects) -> Answer {
    let key = (request.user_id, request.goods_id);
    let answer = match state.favourites.get(&key) {
        None => return Code::FavouriteNotFound.into(),
        Some(row) if is_waiting(row) => return Code::FavouriteInProgress.into(),
        Some(row) => answer(request.goods_id, row),
    };
    state.favourites.remove(&key);
    ask(ctx, request.user_id, request.goods_id, true, fx);
    answer
}

fn ask(ctx: &Context, user_id: u64, goods_id: u64, remove: bool, fx: &mut Effects) {
    let body = step::Body::FavouriteRequest(FavouriteRequest { goods_id, remove });
    fx.step(ctx.partitioner.of_goods(goods_id), Step { owner: Some(ctx.owner(OwnerKind::User, user_id)), body: Some(body) });
}

/// Counts, in the partition of the goods.
pub fn serve(state: &mut State, owner: Owner, request: &FavouriteRequest, fx: &mut Effects) {
    let goods = state.goods.change(&request.goods_id);
    if request.remove {
        if let Some(goods) = goods {
            // An entry that was removed and made again begins at 0, and may hear of what was counted before.
            goods.favourites = goods.favourites.saturating_sub(1);
        }
        return;
    }
    let refused_code = match goods {
        Some(goods) => {
            goods.favourites += 1;
            0
        }
        None => Code::GoodsNotFound.number(),
    };
    let body = step::Body::FavouriteReply(FavouriteReply { goods_id: request.goods_id, refused_code });
    let to = Place { log: owner.log, partition: owner.partition };
    fx.step(to, Step { owner: Some(owner), body: Some(body) });
}

/// Takes the reply of the goods' partition, and tells everyone who waits for it.
pub fn reply(state: &mut State, ctx: &Context, user_id: u64, reply: &FavouriteReply, fx: &mut Effects) {
    let key = (user_id, reply.goods_id);
    let row = state.favourites.change(&key).filter(|row| is_waiting(row));
    let row = row.unwrap_or_else(|| panic!("a reply to user {user_id} about goods {} nobody asked", reply.goods_id));
    let waiters = std::mem::take(&mut row.waiters);
    let answer = match Code::from_number(reply.refused_code) {
        None => answer(reply.goods_id, row),
        Some(code) => {
            state.favourites.remove(&key);
            code.into()
        }
    };
    for waiter in waiters {
        let answer = if waiter.repeated { answer.clone().repeated() } else { answer.clone() };
        fx.outcome(waiter, answer.into_outcome(ctx.position()));
    }
}

pub fn find(state: &mut State, user_id: u64, goods_id: u64) -> Option<Favourite> {
    let row = state.favourites.get(&(user_id, goods_id))?;
    (!is_waiting(row)).then(|| view(goods_id, row))
}

/// All that are counted, by ascending goods id.
pub fn of_user(state: &State, user_id: u64) -> Vec<Favourite> {
    let mut favourites = Vec::new();
    each(state, user_id, |goods_id, row| favourites.extend((!is_waiting(row)).then(|| view(goods_id, row))));
    favourites
}

fn each(state: &State, user_id: u64, mut visit: impl FnMut(u64, &FavouriteRow)) {
    state.favourites.scan(&(user_id, 0), |&(user, goods_id), row| {
        if user != user_id {
            return ControlFlow::Break(());
        }
        visit(goods_id, row);
        ControlFlow::Continue(())
    });
}

/// Somebody, perhaps with ticket 0, is in the list until the reply has come.
pub fn is_waiting(row: &FavouriteRow) -> bool {
    !row.waiters.is_empty()
}

fn view(goods_id: u64, row: &FavouriteRow) -> Favourite {
    Favourite { goods_id, added_at_ms: row.added_at_ms }
}

fn answer(goods_id: u64, row: &FavouriteRow) -> Answer {
    Answer::new(outcome::Result::Favourite(view(goods_id, row)))
}
