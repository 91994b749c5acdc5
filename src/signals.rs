//! Requests from outside to stop.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{EXIT_INTERRUPTED, exit};

/// SIGINT and SIGTERM.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From here on the signals no longer end the process by themselves.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Runs the orderly stop to its end, unless another signal shows that it takes too long.
    pub async fn unless_repeated<T>(&mut self, stop: impl Future<Output = T>) -> T {
        tokio::select! {
            done = stop => done,
            () = self.next() => exit::at_once(EXIT_INTERRUPTED.into()),
        }
    }
}
