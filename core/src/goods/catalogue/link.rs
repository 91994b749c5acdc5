//! Which categories carry which brands. A link goes with either end of it.

use std::ops::ControlFlow;

use emshop_proto::errors::Code;
use emshop_proto::internal::CountersRow;
use emshop_proto::v1::{CategoryBrand, LinkBrandRequest, UnlinkBrandRequest, outcome};

use super::{LINKS_MAX, add_one, remove_some};
use crate::effects::Answer;
use crate::state::State;

pub(crate) fn link_brand(state: &mut State, request: &LinkBrandRequest) -> Answer {
    let LinkBrandRequest { category_id, brand_id } = *request;
    if state.categories.get(&category_id).is_none() {
        return Code::CategoryNotFound.into();
    }
    if state.brands.get(&brand_id).is_none() {
        return Code::BrandNotFound.into();
    }
    let answer = answer(category_id, brand_id);
    if state.category_brands.get(&(category_id, brand_id)).is_some() {
        return answer.repeated();
    }
    if let Err(code) = add_one(state, count, LINKS_MAX) {
        return code.into();
    }
    state.category_brands.insert((category_id, brand_id), ());
    answer
}

pub(crate) fn unlink_brand(state: &mut State, request: &UnlinkBrandRequest) -> Answer {
    let link = (request.category_id, request.brand_id);
    if state.category_brands.get(&link).is_none() {
        return Code::CategoryBrandNotFound.into();
    }
    remove(state, &[link]);
    answer(link.0, link.1)
}

pub(crate) fn remove_of_category(state: &mut State, category_id: u64) {
    let mut links = Vec::new();
    state.category_brands.scan(&(category_id, 0), |link, ()| {
        if link.0 != category_id {
            return ControlFlow::Break(());
        }
        links.push(*link);
        ControlFlow::Continue(())
    });
    remove(state, &links);
}

pub(crate) fn remove_of_brand(state: &mut State, brand_id: u64) {
    let mut links = Vec::new();
    state.category_brands.scan(&(0, 0), |link, ()| {
        if link.1 == brand_id {
            links.push(*link);
        }
        ControlFlow::Continue(())
    });
    remove(state, &links);
}

fn remove(state: &mut State, links: &[(u64, u64)]) {
    remove_some(state, count, links.len() as u64);
    links.iter().for_each(|link| state.category_brands.remove(link));
}

fn count(counters: &mut CountersRow) -> &mut u64 {
    &mut counters.category_brands
}

fn answer(category_id: u64, brand_id: u64) -> Answer {
    Answer::new(outcome::Result::CategoryBrand(CategoryBrand { category_id, brand_id }))
}
