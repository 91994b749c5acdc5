//! Banners: pictures with a link, in an order of the shop's choice.

use emshop_proto::errors::Code;
use emshop_proto::internal::{BannerRow, CountersRow};
use emshop_proto::v1::{Banner, CreateBannerRequest, DeleteBannerRequest, UpdateBannerRequest, outcome};

use super::{BANNERS_MAX, add_one, no_body, remove_some};
use crate::effects::Answer;
use crate::state::State;

pub(crate) fn create_banner(state: &mut State, request: &CreateBannerRequest) -> Answer {
    let Some(banner) = &request.banner else { return no_body() };
    let answer = answer(banner.clone());
    match state.banners.get(&banner.banner_id) {
        Some(existing) if *existing == row(banner) => return answer.repeated(),
        Some(_) => return Code::BannerExists.into(),
        None => {}
    }
    if let Err(code) = add_one(state, count, BANNERS_MAX) {
        return code.into();
    }
    state.banners.insert(banner.banner_id, row(banner));
    answer
}

pub(crate) fn update_banner(state: &mut State, request: &UpdateBannerRequest) -> Answer {
    let Some(banner) = &request.banner else { return no_body() };
    let answer = answer(banner.clone());
    match state.banners.get(&banner.banner_id) {
        None => return Code::BannerNotFound.into(),
        Some(existing) if *existing == row(banner) => return answer.repeated(),
        Some(_) => {}
    }
    state.banners.insert(banner.banner_id, row(banner));
    answer
}

/// Answers with what is gone.
pub(crate) fn delete_banner(state: &mut State, request: &DeleteBannerRequest) -> Answer {
    let banner_id = request.banner_id;
    let Some(row) = state.banners.get(&banner_id) else {
        return Code::BannerNotFound.into();
    };
    let answer = answer(view(banner_id, row));
    remove_some(state, count, 1);
    state.banners.remove(&banner_id);
    answer
}

/// A banner as clients see it.
pub fn view(banner_id: u64, row: &BannerRow) -> Banner {
    Banner { banner_id, image: row.image.clone(), url: row.url.clone(), index: row.index }
}

fn row(banner: &Banner) -> BannerRow {
    BannerRow { image: banner.image.clone(), url: banner.url.clone(), index: banner.index }
}

fn count(counters: &mut CountersRow) -> &mut u64 {
    &mut counters.banners
}

fn answer(banner: Banner) -> Answer {
    Answer::new(outcome::Result::Banner(banner))
}
