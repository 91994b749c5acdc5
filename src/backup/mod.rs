//! `emshop backup`, `emshop repair`, `emshop restore`: a shop becomes an archive, while it runs or of what is left of it, and the archive
//! becomes a shop again, in a new epoch.
//!
//! ```text
//! manifest.json     what the archive is of, and a hash of each file; written last
//! state-<n>         the rows of log n's state
//! log-<n>           the entries of log n behind that state
//! cluster.key       seals the entries; auth.key beside it signs tokens, if a data folder has it
//! EMSHOP_EVENTS, EMSHOP_CATALOGUE    the events of what state and entries make up
//! EMSHOP_AUDIT      the audit trail
//! ```
//!
//! Reading order: [`mod@emshop_engine::cut`] (which entries fit together), [`archive`] (the files), [`source`] (what it is made of),
//! [`take`] (an archive is made), [`mod@restore`].

mod archive;
mod restore;
mod source;
mod take;

pub use restore::run as restore;
pub use take::{backup, repair};
