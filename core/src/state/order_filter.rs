//! Which order ids may be there: a filter in memory, so that the id of a new order asks no disk.
//!
//! The filter itself is not stored, since each order changes a few bits all over it. What is stored are the hashes that it is made of, a
//! page for every so many orders once they are all there; a start reads the pages, and the ids of the orders after them.

use fastbloom::BloomFilter;

/// Orders of one page.
pub const PAGE_ORDERS: u64 = 8_192;

/// Ids that the first filter is made for; each further one is made for twice as many as the one before, so that there are few to ask.
const FIRST_IDS: usize = 1 << 20;

/// About one new id in a thousand asks the disk in vain.
const FALSE_POSITIVES: f64 = 0.001;

/// The hashes are made elsewhere, so this seeds nothing that matters; it is fixed since chance has no place here.
const SEED: u128 = 0;

/// Ids of all orders of a log, with few too many.
#[derive(Default)]
pub struct OrderFilter {
    /// Each with the ids that still go into it; only the last one has room.
    filters: Vec<(BloomFilter, usize)>,
    /// Hashes of the orders after the last full page.
    open: Vec<u64>,
    /// Full pages.
    pages: u64,
}

/// The hashes of a full page, as a row has them.
pub struct Page {
    /// 0, 1, 2 …
    pub number: u64,
    /// Little-endian, in the order of the orders' numbers.
    pub hashes: Vec<u8>,
}

impl OrderFilter {
    /// Takes the next page from the store.
    pub fn load(&mut self, hashes: &[u8]) {
        for hash in hashes.chunks_exact(size_of::<u64>()) {
            self.insert(u64::from_le_bytes(hash.try_into().expect("8 bytes")));
        }
        self.pages += 1;
    }

    /// The number of the first order that no page tells of.
    pub fn first_open_order(&self) -> u64 {
        self.pages * PAGE_ORDERS + 1
    }

    /// `false`: there is no order whose id has this hash.
    pub fn may_have(&self, hash: u64) -> bool {
        self.filters.iter().any(|(filter, _)| filter.contains_hash(hash))
    }

    /// Adds the hash of the next order's id. Returns the page that it makes full.
    pub fn add(&mut self, hash: u64) -> Option<Page> {
        self.insert(hash);
        self.open.push(hash);
        if (self.open.len() as u64) < PAGE_ORDERS {
            return None;
        }
        let hashes = self.open.drain(..).flat_map(u64::to_le_bytes).collect();
        self.pages += 1;
        Some(Page { number: self.pages - 1, hashes })
    }

    fn insert(&mut self, hash: u64) {
        let room = self.filters.last().map_or(0, |(_, room)| *room);
        if room == 0 {
            let ids = FIRST_IDS << self.filters.len();
            self.filters.push((BloomFilter::with_false_pos(FALSE_POSITIVES).seed(&SEED).expected_items(ids), ids));
        }
        let (filter, room) = self.filters.last_mut().expect("there is one with room");
        filter.insert_hash(hash);
        *room -= 1;
    }
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    fn hash(name: &str, number: u64) -> u64 {
        xxh3_64(format!("{name}-{number}").as_bytes())
    }

    #[test]
    fn it_knows_all_that_were_added_and_few_others_over_its_growth() {
        let mut filter = OrderFilter::default();
        let orders = FIRST_IDS as u64 + 20_000;
        let pages: Vec<Page> = (0..orders).filter_map(|number| filter.add(hash("order", number))).collect();
        assert_eq!((pages.len() as u64, filter.filters.len()), (orders / PAGE_ORDERS, 2));

        let mut loaded = OrderFilter::default();
        pages.iter().for_each(|page| loaded.load(&page.hashes));
        let open = loaded.first_open_order() - 1;
        assert_eq!(open, orders / PAGE_ORDERS * PAGE_ORDERS);
        (open..orders).for_each(|number| assert!(loaded.add(hash("order", number)).is_none()));
        for filter in [filter, loaded] {
            assert!((0..orders).step_by(7).all(|number| filter.may_have(hash("order", number))));
            let others = (0..100_000).filter(|number| filter.may_have(hash("other", *number))).count();
            assert!(others < 400, "{others} of 100,000");
        }
    }
}
