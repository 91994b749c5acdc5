//! The owner's side of stock: lines that are reserved, sold and given back in the partitions of their SKUs.
//!
//! Orders and the reservations of outside transaction managers both own lines. Each line says where its units are counted, so no
//! reservation needs a row besides its owner's, and a compensation gives back what was taken, whatever the request says.

use std::collections::BTreeMap;

use emshop_proto::internal::{LineRow, LineStock, Owner, Step, StockAction, StockReply, StockRequest, step};
use emshop_proto::partitioner::Place;
use emshop_proto::v1::{GoodsQuantity, Refusal};

use crate::context::Context;
use crate::effects::Effects;
use emshop_proto::errors::Code;

/// The state that an action takes a line from, and the one it leaves it in.
fn transition(action: StockAction) -> (LineStock, LineStock) {
    match action {
        StockAction::Reserve => (LineStock::None, LineStock::Reserved),
        StockAction::Release => (LineStock::Reserved, LineStock::Returned),
        StockAction::Sell => (LineStock::Reserved, LineStock::Sold),
        StockAction::Reback => (LineStock::Sold, LineStock::Returned),
        StockAction::Unspecified => panic!("a stock action without a kind"),
    }
}

/// Asks the partitions of all lines that `action` is for. Returns how many replies are to come.
pub fn request(ctx: &Context, owner: &Owner, lines: &[LineRow], action: StockAction, priced: bool, fx: &mut Effects) -> u32 {
    let (from, _) = transition(action);
    let mut by_place: BTreeMap<Place, Vec<GoodsQuantity>> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.stock() == from) {
        let wanted = GoodsQuantity { goods_id: line.goods_id, quantity: line.quantity };
        by_place.entry(ctx.partitioner.of_goods(line.goods_id)).or_default().push(wanted);
    }
    let replies_due = by_place.len() as u32;
    for (place, lines) in by_place {
        let request = StockRequest { action: action.into(), lines, priced };
        fx.step(place, Step { owner: Some(*owner), body: Some(step::Body::Request(request)) });
    }
    replies_due
}

/// Moves the lines of a reply on. When its partition refused, they stay and `refusal` says why.
pub fn settle(lines: &mut [LineRow], reply: &StockReply, refusal: &mut Option<Refusal>) {
    if let Some(code) = refused(reply) {
        let refusal = refusal.get_or_insert_with(|| code.refusal());
        // What waiting for stock would not help with outweighs a shortage in another partition.
        let lasting = |code| [Code::GoodsNotFound, Code::GoodsOffSale].iter().position(|known| known.number() == code);
        if lasting(code.number()).is_some_and(|rank| lasting(refusal.code).is_none_or(|other| rank < other)) {
            let Refusal { shortages, unknown_goods_ids, off_sale_goods_ids, .. } = std::mem::take(refusal);
            *refusal = Refusal { shortages, unknown_goods_ids, off_sale_goods_ids, ..code.refusal() };
        }
        refusal.shortages.extend_from_slice(&reply.shortages);
        refusal.shortages.sort_by_key(|shortage| shortage.goods_id);
        refusal.unknown_goods_ids.extend_from_slice(&reply.unknown_goods_ids);
        refusal.unknown_goods_ids.sort_unstable();
        refusal.off_sale_goods_ids.extend_from_slice(&reply.off_sale_goods_ids);
        refusal.off_sale_goods_ids.sort_unstable();
        return;
    }
    let (from, to) = transition(reply.action());
    for goods in &reply.goods {
        let line = lines.iter_mut().find(|line| line.goods_id == goods.goods_id && line.stock() == from);
        let line = line.unwrap_or_else(|| panic!("a reply to {:?} for goods {} nobody asked", reply.action(), goods.goods_id));
        line.set_stock(to);
        if let Some(price) = &goods.unit_price {
            line.unit_price_minor = price.amount_minor;
            line.name.clone_from(&goods.name);
            line.weight_grams = goods.weight_grams;
        }
    }
}

/// Some line's units are counted as `stock`.
pub fn any(lines: &[LineRow], stock: LineStock) -> bool {
    lines.iter().any(|line| line.stock() == stock)
}

fn refused(reply: &StockReply) -> Option<Code> {
    if reply.refused {
        Some(Code::StockConfirmFailed)
    } else if reply.released_before {
        Some(Code::StockReservationReleased)
    } else if !reply.unknown_goods_ids.is_empty() {
        Some(Code::GoodsNotFound)
    } else if !reply.off_sale_goods_ids.is_empty() {
        Some(Code::GoodsOffSale)
    } else if !reply.shortages.is_empty() {
        Some(Code::StockInsufficientForReservation)
    } else {
        None
    }
}
