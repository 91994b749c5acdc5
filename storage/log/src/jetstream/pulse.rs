//! Whether the server stores what it is given, judged by what comes of appends.
//!
//! A nats-server whose disk was full for a moment goes on to answer questions, but its streams take nothing more, and say nothing, until it
//! is started again. So nothing but an append tells.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What came of the last appends of one process, by stream. Cheap to clone; clones share it.
///
/// Whoever appends does so again until there is an answer, so a stream that is back shows by itself.
#[derive(Clone, Default)]
pub struct Pulse {
    silent: Arc<Mutex<BTreeMap<String, Silence>>>,
}

/// Appends that had no answer, and none with one in between.
#[derive(Clone, Copy)]
struct Silence {
    first: Instant,
    last: Instant,
}

impl Pulse {
    /// An append to this stream was stored, or refused for a reason that says that the stream works.
    pub fn answered(&self, stream: &str) {
        let mut silent = self.lock();
        if !silent.is_empty() {
            silent.remove(stream);
        }
    }

    /// An append to this stream was not answered, or failed.
    pub fn unanswered(&self, stream: &str) {
        self.unanswered_at(stream, Instant::now());
    }

    /// The server begins anew: what was before says nothing about it.
    pub fn begin(&self) {
        self.lock().clear();
    }

    /// The stream to which all appends have failed over this time or longer, if there is one.
    pub fn silent_for(&self, time: Duration) -> Option<String> {
        let silent = self.lock();
        let mut long = silent.iter().filter(|(_, silence)| silence.last - silence.first >= time);
        long.next().map(|(stream, _)| stream.clone())
    }

    fn unanswered_at(&self, stream: &str, now: Instant) {
        self.lock().entry(stream.to_owned()).or_insert(Silence { first: now, last: now }).last = now;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Silence>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn only_appends_that_fail_one_after_the_other_are_silence() {
        let (pulse, begin) = (Pulse::default(), Instant::now());
        pulse.unanswered_at("a", begin);
        assert_eq!(pulse.silent_for(SECOND), None, "one is not enough, however long ago");
        pulse.unanswered_at("b", begin + SECOND);
        assert_eq!(pulse.silent_for(SECOND), None, "that is another stream");
        pulse.unanswered_at("a", begin + SECOND);
        assert_eq!(pulse.silent_for(SECOND).as_deref(), Some("a"));
        pulse.answered("b");
        assert_eq!(pulse.silent_for(2 * SECOND), None);
        assert_eq!(pulse.silent_for(SECOND).as_deref(), Some("a"), "another stream says nothing about this one");
        pulse.answered("a");
        pulse.unanswered_at("a", begin + 9 * SECOND);
        assert_eq!(pulse.silent_for(SECOND), None, "it has answered in between");
    }

    #[test]
    fn a_server_that_begins_anew_is_not_judged_by_what_was_before() {
        let (pulse, begin) = (Pulse::default(), Instant::now());
        pulse.unanswered_at("a", begin);
        pulse.begin();
        pulse.unanswered_at("a", begin + SECOND);
        assert_eq!(pulse.silent_for(SECOND), None);
    }
}
