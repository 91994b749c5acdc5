//! Consumers of downstream services, made for them: they may make none themselves.

use async_nats::jetstream::consumer::{AckPolicy, pull};
use emshop_proto::subjects::EVENT_STREAMS;

use super::{Cluster, Connection};
use crate::LogError;

const NAME_BYTES_MAX: usize = 64;

/// Makes sure that a downstream service has its consumers: one of its name on each stream of events, from the beginning on.
///
/// One message is under way at a time, and comes again until it is acknowledged, so they come in order. A message has many events.
///
/// # Errors
/// [`LogError::Unfit`] when there are no such streams, or the name is none; [`LogError::Unreachable`].
pub async fn make_consumers(connection: &Connection, name: &str) -> Result<(), LogError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(is_plain) {
        let sentence = format!("{name:?} is no name: it has 1 to {NAME_BYTES_MAX} letters, digits, `-` and `_`");
        return Err(LogError::Unfit(sentence));
    }
    if !Cluster::is_there(connection).await? {
        return Err(LogError::Unfit("the nats-server has no shop yet: start it once".to_owned()));
    }
    let link = &connection.core;
    for stream in EVENT_STREAMS {
        let config = pull::Config {
            durable_name: Some(name.to_owned()),
            description: Some("A downstream service of emshop".to_owned()),
            ack_policy: AckPolicy::Explicit,
            max_ack_pending: 1,
            ..Default::default()
        };
        let made = link.ask(link.jetstream.create_consumer_on_stream(config, stream)).await?;
        made.map_err(|error| LogError::Unfit(format!("consumer {name} of {stream}: {error}")))?;
    }
    Ok(())
}
