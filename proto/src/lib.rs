//! What all parts of emshop agree on: the API, the log and row formats, where keys live, and what refusals are called.
//!
//! Reading order: [`partitioner`] and [`routing`] (which log and partition a key or command lives in), [`ids`], [`commands`], [`envelope`] (bytes of a log message), [`seal`] (who wrote them),
//! [`errors`] (the table of codes), [`access`] (who may call what), [`token_keys`] (the file of the keys that sign tokens), `codec` (requests that cannot be decoded), [`events`] (types of events), [`continuity`] (how they are consumed), [`logistics`] (carrying parcels), [`subjects`] (names on NATS), [`trace`] (what of a call goes on through all of it). Pure: no I/O in here.

#![warn(missing_docs)]

pub mod access;
#[cfg(feature = "services")]
pub mod codec;
pub mod commands;
pub mod continuity;
pub mod envelope;
pub mod errors;
pub mod events;
pub mod ids;
pub mod inventory;
pub mod letters;
pub mod logistics;
pub mod money;
pub mod partitioner;
pub mod routing;
pub mod seal;
pub mod subjects;
pub mod token_keys;
pub mod trace;

/// Nested as the protobuf packages are, since generated code refers to its neighbours.
#[allow(clippy::all, missing_docs, rustdoc::invalid_html_tags)]
mod generated {
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/emshop.v1.rs"));
        #[cfg(feature = "services")]
        include!(concat!(env!("OUT_DIR"), "/servers/emshop.v1.rs"));
    }

    pub mod internal {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/emshop.internal.v1.rs"));
        }
    }
}

/// Log records and state rows, generated from `proto/emshop/internal/v1`.
pub use generated::internal::v1 as internal;
/// The public API, generated from `proto/emshop/v1`.
pub use generated::v1;

/// Encoded descriptors of the API alone, for gRPC reflection.
pub const API_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/public.bin"));

/// Encoded descriptors of all the protos.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/emshop.bin"));
