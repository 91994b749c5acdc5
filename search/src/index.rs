//! The index in its folder: made, opened, and changed by commits that say how far they go.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use emshop_proto::v1::Goods;
use tantivy::columnar::Column;
use tantivy::fastfield::AliveBitSet;
use tantivy::indexer::{IndexWriterOptions, LogMergePolicy};
use tantivy::schema::{FAST, Field, INDEXED, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::{
    DocSet, IndexReader, IndexWriter, InvertedIndexReader, ReloadPolicy, Searcher, TantivyDocument, TantivyError, Term,
};

use crate::change::Change;
use crate::listing::Listing;
use crate::{SearchError, words};

/// Of schema, words and position together: another one makes the index anew.
const FORMAT: u32 = 1;

const ANALYZER: &str = "words";

/// Segments that have lost this part of their documents are merged.
const DELETED_RATIO_MAX: f32 = 0.3;

/// What a document is; every number that [`State`] has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum State {
    /// What is left of an entry, so that an older event does not bring it back.
    Deleted = 0,
    OffSale = 1,
    OnSale = 2,
}

/// One document an entry, for ever.
#[derive(Clone, Copy, Debug)]
pub struct Fields {
    pub goods_id: Field,
    /// Of the last event applied.
    pub number: Field,
    pub state: Field,
    pub name: Field,
    pub brief: Field,
    pub description: Field,
    pub price_minor: Field,
    pub created_at_ms: Field,
    pub category_id: Field,
    pub brand_id: Field,
    pub is_hot: Field,
    pub is_new: Field,
}

// Names of the fields that are read by name.
pub const GOODS_ID: &str = "goods_id";
pub const NUMBER: &str = "number";
pub const PRICE_MINOR: &str = "price_minor";
pub const CREATED_AT_MS: &str = "created_at_ms";

impl Fields {
    fn schema() -> (Schema, Self) {
        let mut schema = Schema::builder();
        let text =
            TextFieldIndexing::default().set_tokenizer(ANALYZER).set_index_option(IndexRecordOption::WithFreqsAndPositions);
        let text = TextOptions::default().set_indexing_options(text);
        let fields = Self {
            goods_id: schema.add_u64_field(GOODS_ID, INDEXED | FAST),
            number: schema.add_u64_field(NUMBER, FAST),
            state: schema.add_u64_field("state", INDEXED),
            name: schema.add_text_field("name", text.clone()),
            brief: schema.add_text_field("brief", text.clone()),
            description: schema.add_text_field("description", text),
            price_minor: schema.add_i64_field(PRICE_MINOR, FAST),
            created_at_ms: schema.add_i64_field(CREATED_AT_MS, FAST),
            category_id: schema.add_u64_field("category_id", INDEXED),
            brand_id: schema.add_u64_field("brand_id", INDEXED),
            is_hot: schema.add_bool_field("is_hot", INDEXED),
            is_new: schema.add_bool_field("is_new", INDEXED),
        };
        (schema.build(), fields)
    }

    fn document(&self, change: &Change) -> TantivyDocument {
        let mut document = TantivyDocument::new();
        document.add_u64(self.goods_id, change.goods_id);
        document.add_u64(self.number, change.number);
        match &change.goods {
            Some(goods) => self.describe(&mut document, goods),
            None => document.add_u64(self.state, State::Deleted as u64),
        }
        document
    }

    fn describe(&self, document: &mut TantivyDocument, goods: &Goods) {
        let state = if goods.on_sale.unwrap_or(true) { State::OnSale } else { State::OffSale };
        document.add_u64(self.state, state as u64);
        document.add_text(self.name, &goods.name);
        document.add_text(self.brief, &goods.brief);
        document.add_text(self.description, &goods.description);
        document.add_i64(self.price_minor, goods.unit_price.as_ref().map_or(0, |price| price.amount_minor));
        document.add_i64(self.created_at_ms, goods.created_at_ms);
        document.add_u64(self.category_id, goods.category_id);
        document.add_u64(self.brand_id, goods.brand_id);
        document.add_bool(self.is_hot, goods.is_hot);
        document.add_bool(self.is_new, goods.is_new);
    }
}

/// How far a commit goes, and in which stream; its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Position {
    cluster_id: String,
    /// Of the last message whose changes are in.
    sequence: u64,
}

impl Position {
    fn to_payload(&self) -> String {
        format!("{FORMAT} {} {}", self.cluster_id, self.sequence)
    }

    /// `None` when it is of another format.
    fn from_payload(payload: &str) -> Option<Self> {
        let mut parts = payload.split(' ');
        let (format, cluster_id, sequence) = (parts.next()?, parts.next()?, parts.next()?);
        (format.parse() == Ok(FORMAT)).then_some(())?;
        Some(Self { cluster_id: cluster_id.to_owned(), sequence: sequence.parse().ok()? })
    }
}

/// Why an index that is there is made anew.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("it is of another format")]
    Format,
    #[error("it is of cluster {0}")]
    Cluster(String),
    #[error("its files are damaged: {0:?}")]
    Damaged(Vec<String>),
    #[error(transparent)]
    Tantivy(#[from] TantivyError),
}

pub struct Index {
    index: tantivy::Index,
    fields: Fields,
    reader: IndexReader,
    /// None after an error, which leaves it in no known state.
    writer: Option<IndexWriter>,
    position: Position,
}

impl Index {
    /// Opens the index in a folder, or makes it anew when there is none that fits.
    pub fn open(folder: &Path, cluster_id: &str) -> Result<Self, SearchError> {
        let unusable = |error| SearchError::Unusable { folder: folder.to_owned(), error };
        if folder.join("meta.json").exists() {
            match Self::reopen(folder, cluster_id) {
                Ok(index) => return Ok(index),
                Err(Unfit::Tantivy(error @ TantivyError::LockFailure(..))) => return Err(unusable(error)),
                Err(unfit) => {
                    tracing::warn!(event = "search.rebuilt", folder = %folder.display(), "the search index is made anew: {unfit}")
                }
            }
        }
        empty(folder).map_err(|error| SearchError::Folder { folder: folder.to_owned(), error })?;
        Self::create(folder, cluster_id).map_err(unusable)
    }

    fn reopen(folder: &Path, cluster_id: &str) -> Result<Self, Unfit> {
        let index = tantivy::Index::open_in_dir(folder)?;
        let (schema, fields) = Fields::schema();
        let position = index.load_metas()?.payload.as_deref().and_then(Position::from_payload).ok_or(Unfit::Format)?;
        if position.cluster_id != cluster_id {
            return Err(Unfit::Cluster(position.cluster_id));
        }
        if index.schema() != schema {
            return Err(Unfit::Format);
        }
        let damaged = index.validate_checksum()?;
        if !damaged.is_empty() {
            return Err(Unfit::Damaged(damaged.iter().map(|path| path.display().to_string()).collect()));
        }
        Ok(Self::with(index, fields, position)?)
    }

    fn create(folder: &Path, cluster_id: &str) -> tantivy::Result<Self> {
        let (schema, fields) = Fields::schema();
        let index = tantivy::Index::create_in_dir(folder, schema)?;
        let position = Position { cluster_id: cluster_id.to_owned(), sequence: 0 };
        let mut index = Self::with(index, fields, position)?;
        index.commit(0)?;
        Ok(index)
    }

    fn with(index: tantivy::Index, fields: Fields, position: Position) -> tantivy::Result<Self> {
        index.tokenizers().register(ANALYZER, words::analyzer());
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).doc_store_cache_num_blocks(0).try_into()?;
        let writer = Some(writer(&index)?);
        Ok(Self { index, fields, reader, writer, position })
    }

    /// What is found, always as of the last commit.
    pub fn listing(&self) -> Listing {
        Listing::new(self.reader.clone(), self.fields)
    }

    /// Sequence of the last message whose changes are in.
    pub fn sequence(&self) -> u64 {
        self.position.sequence
    }

    /// Applies the changes of all messages up to `sequence`, and commits them with it. Of an entry, the one with the highest number counts,
    /// in whatever order they come and however often.
    ///
    /// # Errors
    /// Nothing is changed then.
    pub fn apply(&mut self, changes: Vec<Change>, sequence: u64) -> tantivy::Result<()> {
        self.attempt(|index| {
            let mut latest: BTreeMap<u64, Change> = BTreeMap::new();
            for change in changes {
                if latest.get(&change.goods_id).is_none_or(|other| other.number < change.number) {
                    latest.insert(change.goods_id, change);
                }
            }
            let applied = Applied::look(&index.reader.searcher(), index.fields)?;
            let fields = index.fields;
            for change in latest.values() {
                if applied.number(change.goods_id)?.is_none_or(|number| number < change.number) {
                    let writer = index.writer()?;
                    writer.delete_term(Term::from_field_u64(fields.goods_id, change.goods_id));
                    writer.add_document(fields.document(change))?;
                }
            }
            index.commit(sequence)
        })
    }

    /// Begins anew, from the first message on.
    pub fn clear(&mut self) -> tantivy::Result<()> {
        self.attempt(|index| {
            index.writer()?.delete_all_documents()?;
            index.commit(0)
        })
    }

    /// Waits for what goes on in the background.
    pub fn close(mut self) -> tantivy::Result<()> {
        self.writer.take().map_or(Ok(()), IndexWriter::wait_merging_threads)
    }

    /// Takes back what an attempt that failed has left in the writer.
    fn attempt(&mut self, work: impl FnOnce(&mut Self) -> tantivy::Result<()>) -> tantivy::Result<()> {
        let done = work(self);
        if done.is_err() {
            self.writer = None;
        }
        done
    }

    fn writer(&mut self) -> tantivy::Result<&mut IndexWriter> {
        match &mut self.writer {
            Some(writer) => Ok(writer),
            none => Ok(none.insert(writer(&self.index)?)),
        }
    }

    fn commit(&mut self, sequence: u64) -> tantivy::Result<()> {
        let position = Position { sequence, ..self.position.clone() };
        let mut commit = self.writer()?.prepare_commit()?;
        commit.set_payload(&position.to_payload());
        commit.commit()?;
        self.reader.reload()?;
        self.position = position;
        Ok(())
    }
}

/// One thread, and the least memory that tantivy allows (15 MB): goods change rarely, and the machine has other work.
fn writer(index: &tantivy::Index) -> tantivy::Result<IndexWriter> {
    let options = IndexWriterOptions::builder().num_worker_threads(1).num_merge_threads(1).build();
    let writer = index.writer_with_options(options)?;
    let mut merging = LogMergePolicy::default();
    merging.set_del_docs_ratio_before_merge(DELETED_RATIO_MAX);
    writer.set_merge_policy(Box::new(merging));
    Ok(writer)
}

/// For nobody but this user, as all that a shop has.
fn empty(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::DirBuilder::new().recursive(true).mode(0o700).create(folder),
    }
}

/// The numbers of the last events applied.
struct Applied {
    fields: Fields,
    segments: Vec<(Arc<InvertedIndexReader>, Column<u64>, Option<AliveBitSet>)>,
}

impl Applied {
    fn look(searcher: &Searcher, fields: Fields) -> tantivy::Result<Self> {
        let segments = searcher.segment_readers().iter().map(|segment| {
            let number = segment.fast_fields().u64(NUMBER)?;
            Ok((segment.inverted_index(fields.goods_id)?, number, segment.alive_bitset().cloned()))
        });
        Ok(Self { fields, segments: segments.collect::<tantivy::Result<_>>()? })
    }

    fn number(&self, goods_id: u64) -> tantivy::Result<Option<u64>> {
        let term = Term::from_field_u64(self.fields.goods_id, goods_id);
        for (index, number, alive) in &self.segments {
            let Some(mut documents) = index.read_postings(&term, IndexRecordOption::Basic)? else { continue };
            while documents.doc() != tantivy::TERMINATED {
                if alive.as_ref().is_none_or(|alive| alive.is_alive(documents.doc())) {
                    return Ok(number.first(documents.doc()));
                }
                documents.advance();
            }
        }
        Ok(None)
    }
}
