//! `emshop consume`: prints events as lines of JSON. It reads streams by position and keeps nothing at the server, so that whoever breaks it
//! off leaves nothing behind, and it goes on where it was when the connection comes back.
//!
//! Reading order: [`begin`] (from where), [`sources`] (what comes next), [`line`](mod@line) (what is printed of it).

mod begin;
mod line;
mod sources;

use std::future::pending;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::{Error, Result, ensure};
use clap::CommandFactory;
use clap::error::ErrorKind as UsageError;
use emshop_log::LogError;
use emshop_log::jetstream::{API, Access, Connection, NatsServer, User};
use emshop_proto::events::EventType;
use emshop_proto::subjects::{self, EVENT_STREAMS};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::watch;
use tokio::time::sleep;

pub use self::begin::Begin;
use self::begin::at_ms;
use self::line::Lines;
use self::sources::Sources;
use crate::cli::{Cli, ConsumeFlags};
use crate::config::Settings;
use crate::consumer::Credentials;
use crate::exit::ExitCode;
use crate::folder::{DataFolder, Layout};
use crate::nats;
use crate::signals::Signals;

/// How soon it is seen that something has come.
const POLL: Duration = Duration::from_millis(100);
/// Between two attempts to find the server again.
const RETRY: Duration = Duration::from_secs(1);

/// # Errors
/// When the events cannot be reached, or are not what is asked for.
pub async fn run(flags: &ConsumeFlags, settings: &Settings) -> Result<ExitCode> {
    let wanted = wanted(flags);
    let mut stopped = stopped()?;
    let server = serve_stopped_shop(flags, settings).await?;
    let entrance = Entrance { flags, settings };
    // What was printed was printed as whole lines, wherever this is broken off.
    let done = tokio::select! {
        biased;
        _ = stopped.wait_for(|stopped| *stopped) => Ok(()),
        () = unread() => Ok(()),
        printed = print(flags, &entrance, &wanted) => printed,
    };
    if let Some((server, _folder)) = server {
        server.stop().await;
    }
    match done {
        Err(error) if is_closed_pipe(&error) => Ok(ExitCode::SUCCESS),
        done => done.map(|()| ExitCode::SUCCESS),
    }
}

/// The types to print, all where none is named.
fn wanted(flags: &ConsumeFlags) -> Vec<EventType> {
    let types = if flags.types.is_empty() { EventType::ALL.to_vec() } else { flags.types.clone() };
    let streams: Vec<_> =
        EVENT_STREAMS.into_iter().filter(|stream| types.iter().any(|it| subjects::stream_of(*it) == *stream)).collect();
    if matches!(flags.from, Begin::Sequence(_)) && streams.len() > 1 {
        let sentence = format!(
            "--from SEQUENCE is a position in one stream, but the events are in {}: name types of one of them (--type)",
            streams.join(", ")
        );
        Cli::command().error(UsageError::ArgumentConflict, sentence).exit();
    }
    types
}

async fn print(flags: &ConsumeFlags, entrance: &Entrance<'_>, wanted: &[EventType]) -> Result<()> {
    let (connection, api) = entrance.open().await?;
    let mut sources = Sources::open(&connection, &api, wanted, flags.from).await?;
    let mut lines = Lines::new(wanted, flags, at_ms(flags.from))?;
    let mut out = BufWriter::new(io::stdout().lock());
    loop {
        let next = match sources.next().await {
            Ok(None) => {
                out.flush()?;
                if !flags.follow {
                    return Ok(());
                }
                sleep(POLL).await;
                sources.look().await
            }
            Ok(Some((stream, message))) => {
                lines.write(&mut out, stream, &message)?;
                Ok(())
            }
            Err(error) => Err(error),
        };
        match next {
            Err(error @ LogError::Unreachable(_)) if flags.follow => {
                out.flush()?;
                tracing::warn!(%error, "the events are out of reach; going on when they are back");
                let (connection, api) = entrance.open_again().await;
                sources.go_on(&connection, &api);
            }
            next => next?,
        }
    }
}

/// The nats-server of a shop that does not run, for as long as events are printed.
async fn serve_stopped_shop(flags: &ConsumeFlags, settings: &Settings) -> Result<Option<(NatsServer, DataFolder)>> {
    if flags.credentials.is_some() || settings.nats.url.is_some() {
        return Ok(None);
    }
    let Some(folder) = DataFolder::try_open(&settings.data)? else { return Ok(None) };
    ensure!(!flags.follow, "no process serves {}: nothing comes that could be followed", settings.data.display());
    let (server, _) = nats::start(&settings.nats, &folder, User::Operator).await?;
    Ok(server.map(|server| (server, folder)))
}

/// The way to the events.
struct Entrance<'a> {
    flags: &'a ConsumeFlags,
    settings: &'a Settings,
}

impl Entrance<'_> {
    /// With what the subjects of JetStream's API begin there. The passwords of a server that emshop starts are new each time.
    async fn open(&self) -> Result<(Connection, String)> {
        let (access, api): (Access, String) = match &self.flags.credentials {
            Some(file) => Credentials::read(file)?.access(&self.settings.nats)?,
            None => (nats::running(&self.settings.nats, &Layout::of(&self.settings.data), User::Operator)?, API.to_owned()),
        };
        let connection = Connection::open_until_lost(&access).await?;
        // What becomes of it shows in what is read.
        connection.expect_end();
        Ok((connection, api))
    }

    async fn open_again(&self) -> (Connection, String) {
        loop {
            match self.open().await {
                Ok(opened) => return opened,
                Err(error) => tracing::debug!("{error:#}"),
            }
            sleep(RETRY).await;
        }
    }
}

/// Becomes true at the first signal. A second one ends the process, though it may wait for whoever reads what it prints.
fn stopped() -> Result<watch::Receiver<bool>> {
    let mut signals = Signals::listen()?;
    let (tell, told) = watch::channel(false);
    tokio::spawn(async move {
        signals.next().await;
        tell.send_replace(true);
        signals.unless_repeated(pending::<()>()).await;
    });
    Ok(told)
}

/// Comes when nobody is left who reads what is printed, also while nothing is.
async fn unread() {
    loop {
        sleep(POLL).await;
        let out = io::stdout();
        // Errors are told whatever is asked for.
        let mut asked = [PollFd::new(out.as_fd(), PollFlags::empty())];
        let is_told = poll(&mut asked, PollTimeout::ZERO).is_ok();
        if is_told && asked[0].revents().is_some_and(|told| told.contains(PollFlags::POLLERR)) {
            return;
        }
    }
}

fn is_closed_pipe(error: &Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
