//! Goods entries: what orders take their names and prices from, and all else that a shop shows of them.
//!
//! Two rows make an entry: what orders need is small and stays in memory, the rest is read when somebody wants it. Before what an entry
//! refers to changes, the catalogue is asked; until it replies the entry is as it was.

pub mod catalogue;

use emshop_proto::errors::Code;
use emshop_proto::events::EventType;
use emshop_proto::internal::{
    CatalogueReferences, CatalogueReply, CatalogueRequest, GoodsChangeRow, GoodsDetailRow, GoodsRow, OwnerKind,
};
use emshop_proto::money::{currency_code, currency_text};
use emshop_proto::v1::{
    CreateGoodsRequest, DeleteGoodsRequest, Goods, Money, SetOnSaleRequest, UpdateGoodsRequest, event, outcome,
};

use crate::context::{Turn, WAITERS_MAX};
use crate::effects::{Answer, Answered, Effects, Handled};
use crate::state::State;

pub(crate) fn create(turn: &mut Turn, request: CreateGoodsRequest) -> Handled {
    let goods = request.goods.ok_or(Code::ValidationFailed)?;
    let (goods_id, off_sale) = (goods.goods_id, goods.on_sale == Some(false));
    let entry = Entry::given(goods, off_sale);
    match Entry::load(turn.state, goods_id) {
        Some(existing) if entry.keeping(&existing) == existing => unchanged(turn.state, goods_id, &existing),
        Some(_) => Err(Code::GoodsExists.into()),
        None if is_changing(turn.state, goods_id) => join(turn, goods_id, Some(&entry)),
        None => change(turn, goods_id, None, Some(entry)),
    }
}

pub(crate) fn update(turn: &mut Turn, request: UpdateGoodsRequest) -> Handled {
    let goods = request.goods.ok_or(Code::ValidationFailed)?;
    let goods_id = goods.goods_id;
    let existing = existing(turn.state, goods_id)?;
    let off_sale = goods.on_sale.map_or(existing.order.off_sale, |on_sale| !on_sale);
    let entry = Entry::given(goods, off_sale).keeping(&existing);
    if is_changing(turn.state, goods_id) {
        join(turn, goods_id, Some(&entry))
    } else if entry == existing {
        unchanged(turn.state, goods_id, &existing)
    } else {
        change(turn, goods_id, Some(&existing), Some(entry))
    }
}

pub(crate) fn delete(turn: &mut Turn, request: DeleteGoodsRequest) -> Handled {
    let goods_id = request.goods_id;
    let existing = existing(turn.state, goods_id)?;
    if is_changing(turn.state, goods_id) { join(turn, goods_id, None) } else { change(turn, goods_id, Some(&existing), None) }
}

/// Answers with no more than what it was about: a batch of these in one turn would otherwise tell many whole entries at once.
pub(crate) fn set_on_sale(turn: &mut Turn, request: SetOnSaleRequest) -> Handled {
    let goods_id = request.goods_id;
    let mut entry = existing(turn.state, goods_id)?;
    if is_changing(turn.state, goods_id) {
        return Err(Code::GoodsInProgress.into());
    }
    let done = Goods { goods_id, on_sale: Some(request.on_sale), ..Goods::default() };
    let answer = Answer::new(outcome::Result::Goods(Box::new(done)));
    if entry.order.off_sale != request.on_sale {
        return answer.repeated().now();
    }
    entry.order.off_sale = !request.on_sale;
    put(turn, goods_id, entry);
    answer.now()
}

/// The catalogue has moved the references of a change, or refused to: the change is made or dropped.
pub(crate) fn catalogue_reply(turn: &mut Turn, goods_id: u64, reply: CatalogueReply) {
    let pending = turn.state.goods_changes.get(&goods_id).cloned();
    let pending = pending.unwrap_or_else(|| panic!("a reply to goods {goods_id}, which nobody is changing"));
    turn.state.goods_changes.remove(&goods_id);
    let answer: Answer = match Code::from_number(reply.refused_code) {
        Some(code) => code.into(),
        None => {
            assert_eq!(reply.refused_code, 0, "a reply to goods {goods_id} has a code that is not in the table");
            let entry = pending.goods.map(|goods| {
                let off_sale = goods.on_sale == Some(false);
                Entry::given(goods, off_sale)
            });
            write(turn, goods_id, entry)
        }
    };
    turn.tell(pending.waiters, &answer);
}

/// An entry as clients see it, with what was counted; `None` when there is none.
pub fn view(state: &State, goods_id: u64) -> Option<Goods> {
    let entry = Entry::load(state, goods_id)?;
    Some(counted(state, &entry, entry.goods(goods_id)))
}

/// An entry as its two rows have it.
#[derive(Clone, PartialEq)]
struct Entry {
    /// What orders need.
    order: GoodsRow,
    detail: GoodsDetailRow,
}

impl Entry {
    /// Kept no longer than it is looked at: catalogues are read as a whole.
    fn load(state: &State, goods_id: u64) -> Option<Self> {
        let order = state.goods.peek(&goods_id, GoodsRow::clone)?;
        let detail = state.goods_details.peek(&goods_id, GoodsDetailRow::clone).unwrap_or_default();
        Some(Self { order, detail })
    }

    /// What a client wants it to be; what the engine counts and notes is left empty.
    fn given(goods: Goods, off_sale: bool) -> Self {
        let price = goods.unit_price.unwrap_or_default();
        let order = GoodsRow {
            name: goods.name,
            currency: currency_code(&price.currency),
            unit_price_minor: price.amount_minor,
            weight_grams: goods.weight_grams,
            off_sale,
            favourites: 0,
            user_units_max: goods.user_units_max,
        };
        let detail = GoodsDetailRow {
            category_id: goods.category_id,
            brand_id: goods.brand_id,
            goods_sn: goods.goods_sn,
            ship_free: goods.ship_free,
            is_new: goods.is_new,
            is_hot: goods.is_hot,
            market_price_minor: goods.market_price.map_or(0, |price| price.amount_minor),
            brief: goods.brief,
            description: goods.description,
            images: goods.images,
            description_images: goods.description_images,
            front_image: goods.front_image,
            created_at_ms: 0,
            updated_at_ms: 0,
        };
        Self { order, detail }
    }

    /// With what the engine counted and noted of the entry so far.
    fn keeping(&self, existing: &Self) -> Self {
        let mut kept = self.clone();
        kept.order.favourites = existing.order.favourites;
        kept.detail.created_at_ms = existing.detail.created_at_ms;
        kept.detail.updated_at_ms = existing.detail.updated_at_ms;
        kept
    }

    fn references(&self) -> CatalogueReferences {
        let GoodsDetailRow { category_id, brand_id, goods_sn, .. } = &self.detail;
        CatalogueReferences { category_id: *category_id, brand_id: *brand_id, goods_sn: goods_sn.clone() }
    }

    /// All but what is counted: `sold` and `favourites`.
    fn goods(&self, goods_id: u64) -> Goods {
        let Self { order, detail } = self;
        let money = |amount_minor| Money { amount_minor, currency: currency_text(order.currency) };
        Goods {
            goods_id,
            name: order.name.clone(),
            unit_price: Some(money(order.unit_price_minor)),
            weight_grams: order.weight_grams,
            category_id: detail.category_id,
            brand_id: detail.brand_id,
            goods_sn: detail.goods_sn.clone(),
            on_sale: Some(!order.off_sale),
            ship_free: detail.ship_free,
            is_new: detail.is_new,
            is_hot: detail.is_hot,
            market_price: (detail.market_price_minor != 0).then(|| money(detail.market_price_minor)),
            brief: detail.brief.clone(),
            description: detail.description.clone(),
            images: detail.images.clone(),
            description_images: detail.description_images.clone(),
            front_image: detail.front_image.clone(),
            sold: 0,
            favourites: 0,
            created_at_ms: detail.created_at_ms,
            updated_at_ms: detail.updated_at_ms,
            user_units_max: order.user_units_max,
        }
    }
}

/// The entry of goods that are there. Goods whose creation is still on its way are not missing either.
fn existing(state: &mut State, goods_id: u64) -> Result<Entry, Code> {
    match Entry::load(state, goods_id) {
        Some(entry) => Ok(entry),
        None if is_changing(state, goods_id) => Err(Code::GoodsInProgress),
        None => Err(Code::GoodsNotFound),
    }
}

fn is_changing(state: &mut State, goods_id: u64) -> bool {
    state.goods_changes.get(&goods_id).is_some()
}

/// Waits with a change that is on its way, if that is the same one.
fn join(turn: &mut Turn, goods_id: u64, wanted: Option<&Entry>) -> Handled {
    let waiter = turn.ctx.repeated_waiter();
    let pending = turn.state.goods_changes.get(&goods_id).expect("the goods are being changed");
    if pending.waiters.len() >= WAITERS_MAX || pending.goods != wanted.map(|entry| entry.goods(goods_id)) {
        return Err(Code::GoodsInProgress.into());
    }
    turn.state.goods_changes.change(&goods_id).expect("the goods are being changed").waiters.push(waiter);
    Ok(Answered::Later)
}

/// Makes an entry what `after` says, or removes it; asks the catalogue first when it then refers to something else.
fn change(turn: &mut Turn, goods_id: u64, before: Option<&Entry>, after: Option<Entry>) -> Handled {
    let references = |entry: Option<&Entry>| entry.map(Entry::references).unwrap_or_default();
    let (release, take) = (references(before), references(after.as_ref()));
    if release == take {
        return write(turn, goods_id, after).now();
    }
    let pending = GoodsChangeRow { goods: after.map(|entry| entry.goods(goods_id)), waiters: vec![turn.ctx.waiter.clone()] };
    turn.state.goods_changes.insert(goods_id, pending);
    let owner = turn.ctx.owner(OwnerKind::Goods, goods_id);
    if let Some(reply) = turn.ask(owner, CatalogueRequest { goods_id, release: Some(release), take: Some(take) }) {
        catalogue_reply(turn, goods_id, reply);
    }
    Ok(Answered::Later)
}

fn write(turn: &mut Turn, goods_id: u64, after: Option<Entry>) -> Answer {
    let goods = match after {
        Some(entry) => put(turn, goods_id, entry),
        None => remove(turn.state, goods_id, turn.fx),
    };
    Answer::new(outcome::Result::Goods(Box::new(goods)))
}

fn put(turn: &mut Turn, goods_id: u64, entry: Entry) -> Goods {
    let (mut entry, event) = match Entry::load(turn.state, goods_id) {
        Some(existing) => (entry.keeping(&existing), EventType::GoodsChanged),
        None => (entry, EventType::GoodsCreated),
    };
    if event == EventType::GoodsCreated {
        entry.detail.created_at_ms = turn.ctx.time_ms;
    }
    entry.detail.updated_at_ms = turn.ctx.time_ms;
    let goods = entry.goods(goods_id);
    turn.fx.event(event, event::Body::Goods(Box::new(goods.clone())));
    let goods = counted(turn.state, &entry, goods);
    turn.state.goods.insert(goods_id, entry.order);
    turn.state.goods_details.insert(goods_id, entry.detail);
    goods
}

/// Only the entry goes: its stock stays, and what its favourites count is gone with it.
fn remove(state: &mut State, goods_id: u64, fx: &mut Effects) -> Goods {
    state.goods.remove(&goods_id);
    state.goods_details.remove(&goods_id);
    let goods = Goods { goods_id, ..Goods::default() };
    fx.event(EventType::GoodsDeleted, event::Body::Goods(Box::new(goods.clone())));
    goods
}

fn counted(state: &State, entry: &Entry, goods: Goods) -> Goods {
    let sold = state.stocks.peek(&goods.goods_id, |stock| stock.sold).unwrap_or(0);
    Goods { sold, favourites: entry.order.favourites, ..goods }
}

fn unchanged(state: &mut State, goods_id: u64, entry: &Entry) -> Handled {
    let goods = counted(state, entry, entry.goods(goods_id));
    Answer::new(outcome::Result::Goods(Box::new(goods))).repeated().now()
}
