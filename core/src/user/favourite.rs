//! Favourites: goods that a user keeps, counted by the goods.
//!
//! A favourite waits until the log of its goods has counted it, or says that there are no such goods. What is no favourite
//! any more is only told: both logs see the steps of a user in the order of the log, so a count is never of what is gone.

use std::ops::ControlFlow;

use emshop_proto::errors::Code;
use emshop_proto::internal::{FavouriteReply, FavouriteRequest, FavouriteRow, Owner, OwnerKind, step};
use emshop_proto::partitioner::{Partitioner, Place};
use emshop_proto::v1::{AddFavouriteRequest, Favourite, RemoveFavouriteRequest, outcome};

use crate::context::{Ask, Turn, WAITERS_MAX};
use crate::effects::{Answer, Answered, Handled};
use crate::state::State;

/// Most favourites that a user may have.
pub const FAVOURITES_MAX: usize = 2_000;

pub(crate) fn add(turn: &mut Turn, request: AddFavouriteRequest) -> Handled {
    let (user_id, goods_id) = (request.user_id, request.goods_id);
    let key = (user_id, goods_id);
    if let Some(row) = turn.state.favourites.get(&key) {
        if !is_waiting(row) {
            return answer(goods_id, row).repeated().now();
        }
        if row.waiters.len() >= WAITERS_MAX {
            return Err(Code::FavouriteInProgress.into());
        }
        let waiter = turn.ctx.repeated_waiter();
        turn.state.favourites.change(&key).expect("it was just there").waiters.push(waiter);
        return Ok(Answered::Later);
    }
    let mut others = 0;
    each(turn.state, user_id, |_, _| others += 1);
    if others >= FAVOURITES_MAX {
        return Err(Code::FavouritesFull.into());
    }
    let row = FavouriteRow { added_at_ms: turn.ctx.time_ms, waiters: vec![turn.ctx.waiter.clone()] };
    turn.state.favourites.insert(key, row);
    if let Some(Some(counted)) = ask(turn, user_id, goods_id, false) {
        reply(turn, user_id, counted);
    }
    Ok(Answered::Later)
}

pub(crate) fn remove(turn: &mut Turn, request: RemoveFavouriteRequest) -> Handled {
    let key = (request.user_id, request.goods_id);
    let answer = match turn.state.favourites.get(&key) {
        None => return Err(Code::FavouriteNotFound.into()),
        Some(row) if is_waiting(row) => return Err(Code::FavouriteInProgress.into()),
        Some(row) => answer(request.goods_id, row),
    };
    turn.state.favourites.remove(&key);
    ask(turn, request.user_id, request.goods_id, true);
    answer.now()
}

/// Of a user who is deleted.
pub(crate) fn forget(turn: &mut Turn, user_id: u64, goods_id: u64) {
    turn.state.favourites.remove(&(user_id, goods_id));
    ask(turn, user_id, goods_id, true);
}

/// Goods whose log has counted them as a favourite of the user.
pub(crate) fn settled(state: &State, user_id: u64) -> Vec<u64> {
    let mut goods_ids = Vec::new();
    each(state, user_id, |goods_id, row| goods_ids.extend((!is_waiting(row)).then_some(goods_id)));
    goods_ids
}

fn ask(turn: &mut Turn, user_id: u64, goods_id: u64, remove: bool) -> Option<Option<FavouriteReply>> {
    let owner = turn.ctx.owner(OwnerKind::User, user_id);
    turn.ask(owner, FavouriteRequest { goods_id, remove })
}

impl Ask for FavouriteRequest {
    /// A favourite less is only told.
    type Reply = Option<FavouriteReply>;

    fn place(&self, partitioner: &Partitioner) -> Place {
        partitioner.of_goods(self.goods_id)
    }

    /// Counts, where the goods are.
    fn serve(&self, turn: &mut Turn, _owner: &Owner) -> Option<FavouriteReply> {
        let goods = turn.state.goods.change(&self.goods_id);
        if self.remove {
            if let Some(goods) = goods {
                // An entry that was removed and made again begins at 0, and may hear of what was counted before.
                goods.favourites = goods.favourites.saturating_sub(1);
            }
            return None;
        }
        let refused_code = match goods {
            Some(goods) if !goods.off_sale => {
                goods.favourites += 1;
                0
            }
            _ => Code::GoodsNotFound.number(),
        };
        Some(FavouriteReply { goods_id: self.goods_id, refused_code })
    }

    fn into_body(self) -> step::Body {
        step::Body::FavouriteRequest(self)
    }
}

/// Takes the reply of the goods, and tells everyone who waits for it.
pub(crate) fn reply(turn: &mut Turn, user_id: u64, reply: FavouriteReply) {
    let key = (user_id, reply.goods_id);
    let row = turn.state.favourites.change(&key).filter(|row| is_waiting(row));
    let row = row.unwrap_or_else(|| panic!("a reply to user {user_id} about goods {} nobody asked", reply.goods_id));
    let waiters = std::mem::take(&mut row.waiters);
    let answer = match Code::from_number(reply.refused_code) {
        None => answer(reply.goods_id, row),
        Some(code) => {
            turn.state.favourites.remove(&key);
            code.into()
        }
    };
    turn.tell(waiters, &answer);
}

/// A favourite of a user.
pub(crate) fn find(state: &mut State, user_id: u64, goods_id: u64) -> Option<Favourite> {
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
