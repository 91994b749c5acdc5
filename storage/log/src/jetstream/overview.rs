//! What a server tells of a cluster, also to whoever has not its key: its streams, and who has its logs.

use async_nats::jetstream::stream::Info;
use emshop_proto::subjects::{self, AUDIT_STREAM, EVENT_STREAMS, Epoch};

use super::cluster::{self, Identity};
use super::{Connection, FORMAT, Leases};
use crate::lease::Holder;
use crate::{Bounds, LogError, RESERVED_PART};

/// A cluster at one moment.
#[derive(Debug)]
pub struct Overview {
    /// Its id.
    pub cluster: String,
    /// Of its history.
    pub epoch: Epoch,
    /// That of its streams, which this release knows.
    pub format: u32,
    /// By their numbers; `None` where the stream is not there.
    pub logs: Vec<Option<LogOverview>>,
    /// What is missing or does not belong together, each a sentence.
    pub faults: Vec<String>,
}

/// One of its logs.
#[derive(Debug)]
pub struct LogOverview {
    /// Of the entries that it has.
    pub bounds: Bounds,
    /// Space that it takes,
    pub bytes: u64,
    /// and may take, if there is a limit.
    pub bytes_max: Option<u64>,
    /// Which engine has it, as far as is written down, and since when in Unix milliseconds by the clock of its machine.
    pub holder: Option<(Holder, i64)>,
}

impl LogOverview {
    /// Whether it takes no more commands until it is trimmed.
    pub fn is_full(&self) -> bool {
        self.bytes_max.is_some_and(|max| self.bytes >= max - max / RESERVED_PART)
    }
}

impl Overview {
    /// Looks at a cluster that was made before.
    ///
    /// # Errors
    /// [`LogError::Unfit`] when there is none, or one that this release does not know; [`LogError::Unreachable`].
    pub async fn look(connection: &Connection) -> Result<Self, LogError> {
        let link = &connection.read;
        let first = subjects::log_stream(0);
        let unfit = |sentence: String| Err(LogError::Unfit(sentence));
        let Some(info) = cluster::find(link, &first).await? else {
            return unfit(format!("the nats-server has no stream {first}: it has no shop yet, or its storage was lost"));
        };
        let Some(identity) = Identity::from_metadata(&info.config.metadata) else {
            return unfit(format!("stream {first} was not made by emshop"));
        };
        identity.check_whole()?;
        let mut faults = Vec::new();
        for name in EVENT_STREAMS.into_iter().chain([AUDIT_STREAM]) {
            fault_of(name, cluster::find(link, name).await?.as_ref(), &identity, &mut faults);
        }
        let name = subjects::lease_stream();
        let info = cluster::find(link, &name).await?;
        fault_of(&name, info.as_ref(), &identity, &mut faults);
        let leases = if info.is_some() { Some(Leases::open(connection, identity.epoch).await?) } else { None };
        let mut logs = Vec::new();
        for log in 0..identity.logs {
            let name = subjects::log_stream(log);
            let info = cluster::find(link, &name).await?;
            fault_of(&name, info.as_ref(), &identity, &mut faults);
            let holder = match &leases {
                Some(leases) => leases.holder(log).await?,
                None => None,
            };
            logs.push(info.map(|info| LogOverview::of(&info, holder)));
        }
        Ok(Self { cluster: identity.cluster, epoch: identity.epoch, format: FORMAT, logs, faults })
    }
}

impl LogOverview {
    fn of(info: &Info, holder: Option<(Holder, i64)>) -> Self {
        let bounds = Bounds { first: info.state.first_sequence.max(1), last: info.state.last_sequence };
        Self { bounds, bytes: info.state.bytes, bytes_max: info.config.max_bytes.try_into().ok(), holder }
    }
}

fn fault_of(stream: &str, info: Option<&Info>, identity: &Identity, faults: &mut Vec<String>) {
    let Some(info) = info else {
        faults.push(format!("stream {stream} is missing: its storage was lost"));
        return;
    };
    if Identity::from_metadata(&info.config.metadata).as_ref() != Some(identity) {
        faults.push(format!("stream {stream} is not of cluster {}, or of another moment of it", identity.cluster));
    }
}
