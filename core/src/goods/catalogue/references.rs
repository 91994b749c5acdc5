//! The side of the catalogue that goods refer to: how many goods a category and a brand have, and whose a number of the shop is.

use emshop_proto::errors::Code;
use emshop_proto::internal::{CatalogueReferences, CatalogueReply, CatalogueRequest, Owner, Step, step};
use emshop_proto::partitioner::Place;

use crate::effects::Effects;
use crate::state::State;

/// Moves the references of a goods entry, as a whole or not at all, and replies to the entry.
pub fn serve(state: &mut State, owner: Owner, request: &CatalogueRequest, fx: &mut Effects) {
    let refused = refusal(state, request);
    if refused.is_none() {
        let (release, take) = (request.release.as_ref(), request.take.as_ref());
        release.into_iter().for_each(|references| release_all(state, request.goods_id, references));
        take.into_iter().for_each(|references| take_all(state, request.goods_id, references));
    }
    let reply = CatalogueReply { refused_code: refused.map_or(0, Code::number) };
    let to = Place { log: owner.log, partition: owner.partition };
    fx.step(to, Step { owner: Some(owner), body: Some(step::Body::CatalogueReply(reply)) });
}

fn refusal(state: &mut State, request: &CatalogueRequest) -> Option<Code> {
    let take = request.take.as_ref()?;
    if take.category_id != 0 && state.categories.get(&take.category_id).is_none() {
        Some(Code::CategoryNotFound)
    } else if take.brand_id != 0 && state.brands.get(&take.brand_id).is_none() {
        Some(Code::BrandNotFound)
    } else if state.goods_sns.get(&take.goods_sn).is_some_and(|owner| *owner != request.goods_id) {
        Some(Code::GoodsSnTaken)
    } else {
        None
    }
}

fn release_all(state: &mut State, goods_id: u64, references: &CatalogueReferences) {
    let CatalogueReferences { category_id, brand_id, goods_sn } = references;
    let counted = "what goods refer to is there, and counts them";
    if *category_id != 0 {
        let category = state.categories.change(category_id).expect(counted);
        category.goods = category.goods.checked_sub(1).expect(counted);
    }
    if *brand_id != 0 {
        let brand = state.brands.change(brand_id).expect(counted);
        brand.goods = brand.goods.checked_sub(1).expect(counted);
    }
    if !goods_sn.is_empty() {
        assert_eq!(state.goods_sns.get(goods_sn), Some(&goods_id), "the number {goods_sn} was not that of goods {goods_id}");
        state.goods_sns.remove(goods_sn);
    }
}

fn take_all(state: &mut State, goods_id: u64, references: &CatalogueReferences) {
    let CatalogueReferences { category_id, brand_id, goods_sn } = references;
    let there = "what goods may refer to is there";
    if *category_id != 0 {
        state.categories.change(category_id).expect(there).goods += 1;
    }
    if *brand_id != 0 {
        state.brands.change(brand_id).expect(there).goods += 1;
    }
    if !goods_sn.is_empty() {
        state.goods_sns.insert(goods_sn.clone(), goods_id);
    }
}
