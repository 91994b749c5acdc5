//! What a filter finds, in which order.

use std::ops::Bound;

use emshop_proto::v1::GoodsSort;
use tantivy::collector::sort_key::{SortBySimilarityScore, SortByStaticFastValue};
use tantivy::collector::{Count, SortKeyComputer, TopDocs};
use tantivy::query::{BooleanQuery, BoostQuery, ConstScoreQuery, Occur, PhraseQuery, Query, RangeQuery, TermQuery, TermSetQuery};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{IndexReader, Order, Term};

use crate::index::{CREATED_AT_MS, Fields, GOODS_ID, PRICE_MINOR, State};
use crate::words::{self, Phrase, Word};

/// Results beyond this are not looked up, since each page costs the ones before it.
pub const RESULTS_MAX: usize = 10_000;

// What it is worth to find a word there.
const IN_NAME: f32 = 4.0;
const IN_BRIEF: f32 = 2.0;
const IN_DESCRIPTION: f32 = 1.0;

/// Which goods, in which order, and which page of them.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Plain words, each of which must be in name, brief or description; any goods when there are none.
    pub keywords: String,
    /// Both included.
    pub price_min_minor: Option<i64>,
    pub price_max_minor: Option<i64>,
    pub only_hot: bool,
    pub only_new: bool,
    /// Of one of these; of any when not set.
    pub category_ids: Option<Vec<u64>>,
    pub brand_id: Option<u64>,
    pub include_off_sale: bool,
    pub sort: GoodsSort,
    /// Of the page; its end is at most [`RESULTS_MAX`].
    pub offset: usize,
    pub limit: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub goods_ids: Vec<u64>,
    /// All that the filter lets through, over all pages.
    pub total: u64,
}

/// The index for reading. Cheap to clone.
#[derive(Clone)]
pub struct Listing {
    reader: IndexReader,
    fields: Fields,
}

impl Listing {
    pub fn new(reader: IndexReader, fields: Fields) -> Self {
        Self { reader, fields }
    }

    /// # Panics
    /// When the page is empty or ends beyond [`RESULTS_MAX`].
    pub fn list(&self, filter: &Filter) -> tantivy::Result<Page> {
        assert!(filter.limit > 0 && filter.offset.saturating_add(filter.limit) <= RESULTS_MAX, "no such page: {filter:?}");
        let words = words::keywords(&filter.keywords);
        let query = self.query(filter, &words);
        let by = SortByStaticFastValue::<i64>::for_field;
        match filter.sort {
            GoodsSort::Unspecified if !words.is_empty() => self.page(&query, filter, (SortBySimilarityScore, Order::Desc)),
            GoodsSort::Unspecified | GoodsSort::Newest => self.page(&query, filter, (by(CREATED_AT_MS), Order::Desc)),
            GoodsSort::PriceAscending => self.page(&query, filter, (by(PRICE_MINOR), Order::Asc)),
            GoodsSort::PriceDescending => self.page(&query, filter, (by(PRICE_MINOR), Order::Desc)),
        }
    }

    /// Equals by goods id.
    fn page<Key>(
        &self,
        query: &dyn Query,
        filter: &Filter,
        order: impl SortKeyComputer<SortKey = Key> + Send + 'static,
    ) -> tantivy::Result<Page>
    where
        Key: 'static + Clone + Send + Sync + std::fmt::Debug,
    {
        let goods_id = SortByStaticFastValue::<u64>::for_field(GOODS_ID);
        let top = TopDocs::with_limit(filter.limit).and_offset(filter.offset).order_by((order, (goods_id, Order::Asc)));
        let (found, total) = self.reader.searcher().search(query, &(top, Count))?;
        let goods_ids = found.into_iter().map(|((_, goods_id), _)| goods_id.expect("every document has one")).collect();
        Ok(Page { goods_ids, total: total as u64 })
    }

    /// Only the words count for relevance.
    fn query(&self, filter: &Filter, words: &[Word]) -> BooleanQuery {
        let fields = self.fields;
        let mut all: Vec<Box<dyn Query>> = Vec::new();
        let mut filtered = |query: Box<dyn Query>| all.push(Box::new(ConstScoreQuery::new(query, 0.0)));
        let states: &[State] = if filter.include_off_sale { &[State::OnSale, State::OffSale] } else { &[State::OnSale] };
        filtered(any_of(fields.state, states.iter().map(|state| *state as u64)));
        if let Some(categories) = &filter.category_ids {
            filtered(any_of(fields.category_id, categories.iter().copied()));
        }
        if let Some(brand_id) = filter.brand_id {
            filtered(any_of(fields.brand_id, [brand_id]));
        }
        for (only, field) in [(filter.only_hot, fields.is_hot), (filter.only_new, fields.is_new)] {
            if only {
                filtered(term(Term::from_field_bool(field, true), IndexRecordOption::Basic));
            }
        }
        if filter.price_min_minor.is_some() || filter.price_max_minor.is_some() {
            let bound = |minor: Option<i64>| {
                minor.map_or(Bound::Unbounded, |minor| Bound::Included(Term::from_field_i64(fields.price_minor, minor)))
            };
            filtered(Box::new(RangeQuery::new(bound(filter.price_min_minor), bound(filter.price_max_minor))));
        }
        all.extend(words.iter().map(|word| self.found(word)));
        BooleanQuery::new(all.into_iter().map(|query| (Occur::Must, query)).collect())
    }

    /// Where a word is found.
    fn found(&self, word: &Word) -> Box<dyn Query> {
        let Fields { name, brief, description, .. } = self.fields;
        let mut places: Vec<(Occur, Box<dyn Query>)> = Vec::new();
        for (field, worth) in [(name, IN_NAME), (brief, IN_BRIEF), (description, IN_DESCRIPTION)] {
            for phrase in word {
                places.push((Occur::Should, Box::new(BoostQuery::new(written(field, phrase), worth))));
            }
        }
        Box::new(BooleanQuery::new(places))
    }
}

fn written(field: Field, phrase: &Phrase) -> Box<dyn Query> {
    let mut terms = phrase.iter().map(|text| Term::from_field_text(field, text));
    match phrase.len() {
        1 => term(terms.next().expect("its length is 1"), IndexRecordOption::WithFreqs),
        _ => Box::new(PhraseQuery::new(terms.collect())),
    }
}

fn term(term: Term, option: IndexRecordOption) -> Box<dyn Query> {
    Box::new(TermQuery::new(term, option))
}

fn any_of(field: Field, values: impl IntoIterator<Item = u64>) -> Box<dyn Query> {
    Box::new(TermSetQuery::new(values.into_iter().map(|value| Term::from_field_u64(field, value))))
}
