//! Brands, by names that are unique.

use std::ops::ControlFlow;

use emshop_proto::errors::Code;
use emshop_proto::internal::{BrandRow, CountersRow};
use emshop_proto::v1::{Brand, CreateBrandRequest, DeleteBrandRequest, UpdateBrandRequest, outcome};

use super::{BRANDS_MAX, add_one, link, no_body, remove_some};
use crate::effects::Answer;
use crate::state::State;

pub(crate) fn create_brand(state: &mut State, request: &CreateBrandRequest) -> Answer {
    let Some(brand) = &request.brand else { return no_body() };
    let brand_id = brand.brand_id;
    if let Some(row) = state.brands.get(&brand_id) {
        let same = (&row.name, &row.logo) == (&brand.name, &brand.logo);
        return if same { answer(brand_id, row).repeated() } else { Code::BrandExists.into() };
    }
    if is_taken(state, &brand.name, brand_id) {
        return Code::BrandNameTaken.into();
    }
    if let Err(code) = add_one(state, count, BRANDS_MAX) {
        return code.into();
    }
    let row = BrandRow { name: brand.name.clone(), logo: brand.logo.clone(), goods: 0 };
    let answer = answer(brand_id, &row);
    state.brands.insert(brand_id, row);
    answer
}

pub(crate) fn update_brand(state: &mut State, request: &UpdateBrandRequest) -> Answer {
    let Some(brand) = &request.brand else { return no_body() };
    let brand_id = brand.brand_id;
    let Some(row) = state.brands.get(&brand_id) else {
        return Code::BrandNotFound.into();
    };
    let changed = BrandRow { name: brand.name.clone(), logo: brand.logo.clone(), goods: row.goods };
    let answer = answer(brand_id, &changed);
    if changed == *row {
        return answer.repeated();
    }
    if is_taken(state, &brand.name, brand_id) {
        return Code::BrandNameTaken.into();
    }
    state.brands.insert(brand_id, changed);
    answer
}

/// Answers with what is gone.
pub(crate) fn delete_brand(state: &mut State, request: &DeleteBrandRequest) -> Answer {
    let brand_id = request.brand_id;
    let row = match state.brands.get(&brand_id) {
        None => return Code::BrandNotFound.into(),
        Some(row) if row.goods > 0 => return Code::BrandInUse.into(),
        Some(row) => row.clone(),
    };
    link::remove_of_brand(state, brand_id);
    remove_some(state, count, 1);
    state.brands.remove(&brand_id);
    answer(brand_id, &row)
}

/// A brand as clients see it.
pub fn view(brand_id: u64, row: &BrandRow) -> Brand {
    Brand { brand_id, name: row.name.clone(), logo: row.logo.clone(), goods: row.goods }
}

/// Whether another brand has this name, in large letters or small as far as ASCII has them: tables of others change with the toolchain, and
/// a replay must find what was found. Brands are named rarely, so an index of names would cost more than it saves.
fn is_taken(state: &State, name: &str, brand_id: u64) -> bool {
    let mut taken = false;
    state.brands.scan(&0, |other, row| {
        taken = row.name.eq_ignore_ascii_case(name) && *other != brand_id;
        if taken { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    taken
}

fn count(counters: &mut CountersRow) -> &mut u64 {
    &mut counters.brands
}

fn answer(brand_id: u64, row: &BrandRow) -> Answer {
    Answer::new(outcome::Result::Brand(view(brand_id, row)))
}
