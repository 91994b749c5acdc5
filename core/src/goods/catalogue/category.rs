//! Categories: a tree of three levels.

use emshop_proto::errors::Code;
use emshop_proto::internal::{CategoryRow, CountersRow};
use emshop_proto::v1::{Category, CreateCategoryRequest, DeleteCategoryRequest, UpdateCategoryRequest, outcome};

use super::{CATEGORIES_MAX, add_one, link, no_body, remove_some};
use crate::effects::Answer;
use crate::state::State;

/// How deep categories lie below one another.
pub const LEVELS: u32 = 3;

pub(crate) fn create_category(state: &mut State, request: &CreateCategoryRequest) -> Answer {
    let Some(category) = &request.category else { return no_body() };
    let Category { category_id, parent_id, .. } = *category;
    if let Some(row) = state.categories.get(&category_id) {
        let same =
            (&row.name, row.parent_id, row.is_tab, &row.url) == (&category.name, parent_id, category.is_tab, &category.url);
        return if same { answer(category_id, row).repeated() } else { Code::CategoryExists.into() };
    }
    let level = match level_below(state, parent_id) {
        Ok(level) => level,
        Err(code) => return code.into(),
    };
    if let Err(code) = add_one(state, count, CATEGORIES_MAX) {
        return code.into();
    }
    if parent_id != 0 {
        state.categories.change(&parent_id).expect("the parent was there").children += 1;
    }
    let Category { name, is_tab, url, .. } = category.clone();
    let row = CategoryRow { name, parent_id, level, is_tab, url, goods: 0, children: 0 };
    let answer = answer(category_id, &row);
    state.categories.insert(category_id, row);
    answer
}

/// The parent stays, and the level with it: the request's are not looked at.
pub(crate) fn update_category(state: &mut State, request: &UpdateCategoryRequest) -> Answer {
    let Some(category) = &request.category else { return no_body() };
    let Category { name, is_tab, url, .. } = category.clone();
    let Some(row) = state.categories.get(&category.category_id) else {
        return Code::CategoryNotFound.into();
    };
    let changed = CategoryRow { name, is_tab, url, ..row.clone() };
    let answer = answer(category.category_id, &changed);
    if changed == *row {
        return answer.repeated();
    }
    state.categories.insert(category.category_id, changed);
    answer
}

/// Answers with what is gone.
pub(crate) fn delete_category(state: &mut State, request: &DeleteCategoryRequest) -> Answer {
    let category_id = request.category_id;
    let row = match state.categories.get(&category_id) {
        None => return Code::CategoryNotFound.into(),
        Some(row) if row.children > 0 => return Code::CategoryHasChildren.into(),
        Some(row) if row.goods > 0 => return Code::CategoryInUse.into(),
        Some(row) => row.clone(),
    };
    if row.parent_id != 0 {
        let parent = state.categories.change(&row.parent_id).expect("a category's parent is there");
        parent.children = parent.children.checked_sub(1).expect("a category is counted by its parent");
    }
    link::remove_of_category(state, category_id);
    remove_some(state, count, 1);
    state.categories.remove(&category_id);
    answer(category_id, &row)
}

/// A category as clients see it.
pub fn view(category_id: u64, row: &CategoryRow) -> Category {
    Category {
        category_id,
        name: row.name.clone(),
        parent_id: row.parent_id,
        level: row.level,
        is_tab: row.is_tab,
        url: row.url.clone(),
        goods: row.goods,
    }
}

fn level_below(state: &mut State, parent_id: u64) -> Result<u32, Code> {
    if parent_id == 0 {
        return Ok(1);
    }
    match state.categories.get(&parent_id) {
        None => Err(Code::CategoryNotFound),
        Some(parent) if parent.level >= LEVELS => Err(Code::CategoryLevelInvalid),
        Some(parent) => Ok(parent.level + 1),
    }
}

fn count(counters: &mut CountersRow) -> &mut u64 {
    &mut counters.categories
}

fn answer(category_id: u64, row: &CategoryRow) -> Answer {
    Answer::new(outcome::Result::Category(view(category_id, row)))
}
