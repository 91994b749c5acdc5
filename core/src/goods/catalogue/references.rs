//! The side of the catalogue that goods refer to: how many goods a category and a brand have, and whose a number of the shop is.

use emshop_proto::errors::Code;
use emshop_proto::internal::{CatalogueReferences, CatalogueReply, CatalogueRequest, Owner, step};
use emshop_proto::partitioner::{Partitioner, Place};

use crate::context::{Ask, Turn};
use crate::state::State;

impl Ask for CatalogueRequest {
    type Reply = CatalogueReply;

    fn place(&self, partitioner: &Partitioner) -> Place {
        partitioner.of_catalogue()
    }

    /// Moves the references of a goods entry, as a whole or not at all.
    fn serve(&self, turn: &mut Turn, _owner: &Owner) -> CatalogueReply {
        let refused = refusal(turn.state, self);
        if refused.is_none() {
            let (release, take) = (self.release.as_ref(), self.take.as_ref());
            release.into_iter().for_each(|references| release_all(turn.state, self.goods_id, references));
            take.into_iter().for_each(|references| take_all(turn.state, self.goods_id, references));
        }
        CatalogueReply { refused_code: refused.map_or(0, Code::number) }
    }

    fn into_body(self) -> step::Body {
        step::Body::CatalogueRequest(self)
    }
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
