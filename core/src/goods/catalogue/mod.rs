//! What goods refer to: categories, brands and the shop's own numbers; and banners. One log has them all, for they depend on each
//! other and are few.

mod banner;
mod brand;
mod category;
mod link;
mod references;

pub use banner::view as view_banner;
pub(crate) use banner::{create_banner, delete_banner, update_banner};
pub use brand::view as view_brand;
pub(crate) use brand::{create_brand, delete_brand, update_brand};
pub use category::{LEVELS, view as view_category};
pub(crate) use category::{create_category, delete_category, update_category};
pub(crate) use link::{link_brand, unlink_brand};

use emshop_proto::errors::Code;
use emshop_proto::internal::CountersRow;

use crate::effects::Answer;
use crate::state::State;

/// Bounds of what there may be of a kind. With each entry at its longest a client can still take all of them in one answer of 4 MiB.
pub const CATEGORIES_MAX: u64 = 5_000;
/// Most brands of a shop.
pub const BRANDS_MAX: u64 = 5_000;
/// Most banners of a shop.
pub const BANNERS_MAX: u64 = 1_000;
/// Most links between categories and brands.
pub const LINKS_MAX: u64 = 20_000;

/// Counts one more of a kind, unless there are `most` of it.
fn add_one(state: &mut State, count: fn(&mut CountersRow) -> &mut u64, most: u64) -> Result<(), Code> {
    let count = count(state.counters.entry(&()));
    if *count >= most {
        return Err(Code::CatalogueFull);
    }
    *count += 1;
    Ok(())
}

fn remove_some(state: &mut State, count: fn(&mut CountersRow) -> &mut u64, some: u64) {
    let count = count(state.counters.entry(&()));
    *count = count.checked_sub(some).expect("what is removed was counted");
}

/// A command without what it is about; the ingress refuses it before.
fn no_body() -> Answer {
    Code::ValidationFailed.into()
}
