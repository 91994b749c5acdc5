//! What comes next of several streams, by the time at which they took it.

use std::collections::VecDeque;

use emshop_log::LogError;
use emshop_log::jetstream::{Browser, Connection, Message};
use emshop_proto::events::EventType;
use emshop_proto::subjects::{self, EVENT_STREAMS};

use super::Begin;

/// The streams that have events of the types that are asked for.
pub struct Sources(Vec<Source>);

struct Source {
    stream: &'static str,
    /// What is read of it, with wildcards.
    subject: String,
    browser: Browser,
    /// The sequence to go on with,
    next: u64,
    /// and the last one that the stream had when it was looked at.
    end: u64,
    /// Read, and not yet handed out.
    read: VecDeque<Message>,
}

impl Sources {
    /// What they have now comes first.
    ///
    /// # Errors
    /// When one of them is not there, or not so long.
    pub async fn open(connection: &Connection, api: &str, wanted: &[EventType], from: Begin) -> Result<Self, LogError> {
        let mut sources = Vec::new();
        for stream in EVENT_STREAMS {
            let types: Vec<_> = wanted.iter().filter(|wanted| subjects::stream_of(**wanted) == stream).collect();
            let subject = match types[..] {
                [] => continue,
                [only] => subjects::events(only.name()),
                _ => "emshop.event.>".to_owned(),
            };
            sources.push(Source::open(Browser::new(connection, api, stream), stream, subject, from).await?);
        }
        Ok(Self(sources))
    }

    /// The next message and its stream; `None` when all that they had at the last look has come.
    ///
    /// # Errors
    /// When a stream cannot be read; what comes next is then the same as before.
    pub async fn next(&mut self) -> Result<Option<(&'static str, Message)>, LogError> {
        for source in &mut self.0 {
            source.fill().await?;
        }
        let first = self.0.iter_mut().filter(|source| !source.read.is_empty()).min_by_key(|source| source.read[0].stored_at);
        Ok(first.and_then(|source| Some((source.stream, source.read.pop_front()?))))
    }

    /// Looks how far the streams go now.
    ///
    /// # Errors
    /// When one of them does not tell, or was replaced.
    pub async fn look(&mut self) -> Result<(), LogError> {
        for source in &mut self.0 {
            source.look().await?;
        }
        Ok(())
    }

    /// Goes on by another connection.
    pub fn go_on(&mut self, connection: &Connection, api: &str) {
        for source in &mut self.0 {
            source.browser = Browser::new(connection, api, source.stream);
        }
    }
}

impl Source {
    async fn open(browser: Browser, stream: &'static str, subject: String, from: Begin) -> Result<Self, LogError> {
        let bounds = browser.bounds().await?;
        let behind = bounds.last + 1;
        let next = match from {
            Begin::Start => bounds.first,
            Begin::End => behind,
            Begin::Sequence(sequence) if sequence > behind => {
                return Err(LogError::Unfit(format!("stream {stream} ends at sequence {}, before {sequence}", bounds.last)));
            }
            Begin::Sequence(sequence) => sequence,
            Begin::Time(time) => browser.since(time).await?.unwrap_or(behind),
        };
        if next < bounds.first {
            tracing::warn!(
                stream,
                from = next,
                "what is asked for is not there any more: the stream begins at sequence {}",
                bounds.first
            );
        }
        Ok(Self { stream, subject, browser, next, end: bounds.last, read: VecDeque::new() })
    }

    /// Reads on, unless there is something, or nothing more is known to be there.
    async fn fill(&mut self) -> Result<(), LogError> {
        while self.read.is_empty() && self.next <= self.end {
            let messages = self.browser.read(self.next, &self.subject).await?;
            // What has come since the last look comes after what other streams had by then.
            self.read.extend(messages.into_iter().take_while(|message| message.sequence <= self.end));
            self.next = self.read.back().map_or(self.end, |last| last.sequence) + 1;
        }
        Ok(())
    }

    async fn look(&mut self) -> Result<(), LogError> {
        let bounds = self.browser.bounds().await?;
        if bounds.last + 1 < self.next {
            return Err(LogError::Unfit(format!(
                "stream {} ends at sequence {}, but {} was read from it before: it was replaced. Begin anew",
                self.stream,
                bounds.last,
                self.next - 1
            )));
        }
        if bounds.first > self.next {
            tracing::warn!(
                stream = self.stream,
                "messages {} to {} were dropped before they were read",
                self.next,
                bounds.first - 1
            );
        }
        self.end = bounds.last;
        Ok(())
    }
}
