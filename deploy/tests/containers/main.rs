//! The image of emshop, and the shop of several processes that `deploy/compose` makes of it: built, started and looked at with the
//! programs of this build. As root, with a store of images of its own, which is gone afterwards: `make shipped`.

mod base;
mod composition;
mod image;
mod store;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Instant;

use crate::store::Store;

/// What is looked at, in this order: all of it needs the image, and building one takes longer than the rest.
const CHECKS: [(&str, fn(&Store)); 5] = [
    ("the image is small and says what it is", image::is_small_and_says_what_it_is),
    ("the image shows the demo", image::shows_the_demo),
    ("the image is not healthy where nothing serves", image::is_not_healthy_where_nothing_serves),
    ("the image serves a shop, stops in order and goes on", image::serves_a_shop_stops_in_order_and_goes_on),
    ("the composition serves a shop, stops in order and goes on", composition::serves_a_shop_stops_in_order_and_goes_on),
];

fn main() {
    let user = fs::metadata("/proc/self").expect("Linux").uid();
    assert_eq!(user, 0, "images are built and containers are started by root here");
    let store = Store::new();
    timed("the image is built", || image::build(&store));
    for (name, check) in CHECKS {
        timed(name, || check(&store));
    }
}

fn timed(name: &str, work: impl FnOnce()) {
    let began = Instant::now();
    work();
    println!("{name}: {:.1} s", began.elapsed().as_secs_f64());
}
