//! What a seed draws: how the shop is laid out, and what goes wrong.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// How a shop is put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Everything in one process, which starts its nats-server.
    One,
    /// Engine and ingress in one process, beside a nats-server.
    Beside,
    /// Engine, ingress and nats-server by themselves.
    Apart,
    /// The same, with two logs and an engine for each.
    TwoLogs,
}

impl Layout {
    const ALL: [Self; 4] = [Self::One, Self::Beside, Self::Apart, Self::TwoLogs];

    pub fn name(self) -> &'static str {
        match self {
            Self::One => "one process",
            Self::Beside => "beside a nats-server",
            Self::Apart => "engine and ingress apart",
            Self::TwoLogs => "two logs",
        }
    }

    /// Whether nats-server is a process of the shop's operator, behind a network.
    pub fn has_network(self) -> bool {
        self != Self::One
    }

    pub fn has_ingress_apart(self) -> bool {
        matches!(self, Self::Apart | Self::TwoLogs)
    }

    pub fn logs(self) -> u32 {
        if self == Self::TwoLogs { 2 } else { 1 }
    }
}

/// When a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// While customers order.
    UnderLoad,
    /// While nothing runs.
    AtRest,
}

macro_rules! faults {
    ($($(#[doc = $doc:literal])* $fault:ident $name:literal $when:ident,)*) => {
        /// What goes wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault {
            $($(#[doc = $doc])* $fault,)*
        }

        impl Fault {
            pub const ALL: &[Self] = &[$(Self::$fault,)*];

            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$fault => $name,)*
                }
            }

            pub fn when(self) -> When {
                match self {
                    $(Self::$fault => When::$when,)*
                }
            }
        }
    };
}

faults! {
    KillEngine "kill-engine" UnderLoad,
    KillIngress "kill-ingress" UnderLoad,
    KillServer "kill-server" UnderLoad,
    KillEverything "kill-everything" UnderLoad,
    /// Once more while it starts, and once more.
    KillStart "kill-start" UnderLoad,
    /// In order.
    Restart "restart" UnderLoad,
    PauseEngine "pause-engine" UnderLoad,
    PauseIngress "pause-ingress" UnderLoad,
    PauseServer "pause-server" UnderLoad,
    ServerGone "server-gone" UnderLoad,
    /// An engine is killed and started again before nats-server is back.
    KillInOutage "kill-in-outage" UnderLoad,
    LoseReplies "lose-replies" UnderLoad,
    SlowNetwork "slow-network" UnderLoad,
    CutNetwork "cut-network" UnderLoad,
    /// Another engine for a log, which takes it over when the first one is killed or stands still.
    SecondEngine "second-engine" UnderLoad,
    /// Somebody without the cluster's key publishes to the logs.
    Stranger "stranger" UnderLoad,
    /// nats-server is away for longer than any client waits.
    LongOutage "long-outage" UnderLoad,
    /// No room for the streams, and then room again.
    FullServer "full-server" UnderLoad,
    /// The same of a state.
    FullState "full-state" UnderLoad,
    OlderStore "older-store" AtRest,
    OlderStream "older-stream" AtRest,
    EmptyStore "empty-store" AtRest,
    FlippedBit "flipped-bit" AtRest,
    OlderState "older-state" AtRest,
    MissingFile "missing-file" AtRest,
    FlippedState "flipped-state" AtRest,
}

impl Fault {
    /// Whether it needs a disk that can be full.
    pub fn needs_disk(self) -> bool {
        matches!(self, Self::FullServer | Self::FullState)
    }

    /// Whether nobody waits for it who wants to know soon whether something is broken.
    pub fn is_long(self) -> bool {
        self == Self::LongOutage
    }

    /// Whether it puts something in the place of a newer one.
    pub fn needs_older(self) -> bool {
        matches!(self, Self::OlderStore | Self::OlderStream | Self::OlderState)
    }

    fn fits(self, layout: Layout) -> bool {
        match self {
            Self::KillIngress | Self::PauseIngress | Self::SecondEngine => layout.has_ingress_apart(),
            Self::ServerGone
            | Self::LongOutage
            | Self::KillInOutage
            | Self::LoseReplies
            | Self::SlowNetwork
            | Self::CutNetwork => layout.has_network(),
            _ => true,
        }
    }
}

/// Faults under load in a round.
const LIVE: usize = 3;
/// An outage, in milliseconds: seldom one that others than patient clients notice.
const OUTAGE_MS: std::ops::Range<u64> = 500..4_500;

/// A long one, in seconds.
const LONG_OUTAGE_S: std::ops::Range<u64> = 60..75;

/// A round, as drawn.
pub struct Plan {
    pub seed: u64,
    pub layout: Layout,
    /// Under load, one after the other.
    pub live: Vec<Fault>,
    /// Of the storage, behind them.
    pub stored: Option<Fault>,
    /// Goes on with the same seed for whatever is drawn on the way.
    pub random: StdRng,
}

impl Plan {
    /// Of the faults in `of`.
    pub fn draw(seed: u64, of: &[Fault]) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let layout = *Layout::ALL.choose(&mut random).expect("there are some");
        let fitting = |when| of.iter().copied().filter(|fault| fault.fits(layout) && fault.when() == when).collect::<Vec<_>>();
        let (under_load, at_rest) = (fitting(When::UnderLoad), fitting(When::AtRest));
        let mut live: Vec<_> = (0..LIVE).filter_map(|_| under_load.choose(&mut random).copied()).collect();
        // Of those that are long, one shows as much as three.
        let mut long = false;
        live.retain(|fault| !(fault.is_long() && std::mem::replace(&mut long, true)));
        // A file system of its own is not put aside.
        let moves = !live.iter().any(|fault| fault.needs_disk());
        let stored = at_rest.choose(&mut random).copied().filter(|_| moves);
        Self { seed, layout, live, stored, random }
    }

    /// Customers order for so long until the next fault.
    pub fn moment(&mut self) -> Duration {
        Duration::from_millis(self.random.random_range(150..900))
    }

    pub fn long_outage(&mut self) -> Duration {
        Duration::from_secs(self.random.random_range(LONG_OUTAGE_S))
    }

    pub fn outage(&mut self) -> Duration {
        Duration::from_millis(self.random.random_range(OUTAGE_MS))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let faults: Vec<_> = self.live.iter().chain(&self.stored).map(|fault| fault.name()).collect();
        write!(formatter, "seed {}, {}: {}", self.seed, self.layout.name(), faults.join(", "))
    }
}
