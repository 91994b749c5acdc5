//! What threads and tasks hand things over with: the primitives of std and of tokio, under one name each.
//!
//! With the feature `shuttle` they run below a model checker, [shuttle](https://docs.rs/shuttle): it lets one thread or task run at a time, and
//! chooses at each use of a primitive which one goes on. `check` runs a test under many of these choices. Without the feature nothing is left
//! of this crate but names.

#[cfg(feature = "shuttle")]
mod checked;
#[cfg(feature = "shuttle")]
mod checker;

#[cfg(feature = "shuttle")]
pub use self::checker::{all, block_on, chance, check, spawn};
#[cfg(feature = "shuttle")]
#[doc(hidden)]
pub use tokio;

/// Of threads.
pub mod threads {
    #[cfg(feature = "shuttle")]
    pub use shuttle::{
        sync::{Mutex, MutexGuard, atomic, mpsc},
        thread,
    };

    #[cfg(not(feature = "shuttle"))]
    pub use std::{
        sync::{Mutex, MutexGuard, atomic, mpsc},
        thread,
    };
}

/// Of tasks.
pub mod tasks {
    #[cfg(not(feature = "shuttle"))]
    pub use tokio::{
        select,
        sync::{Notify, Semaphore, mpsc, oneshot},
        task::spawn_blocking,
        time::{sleep, sleep_until},
    };

    #[cfg(feature = "shuttle")]
    pub use crate::{checked::*, select};
}
