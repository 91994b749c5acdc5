//! `emshop top`: what a shop does right now, from what its processes measure. On a terminal it is looked at again and again in one place;
//! elsewhere each look is a line.
//!
//! Reading order: [`scrape`] (what a process says), [`rates`] (what was between two looks), [`view`] (what is shown of it).

mod rates;
mod scrape;
mod view;

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use console::{Term, truncate_str};
use futures::future::join_all;
use reqwest::{Client, Url};
use tokio::time::{MissedTickBehavior, interval};

use self::rates::Between;
use self::scrape::Look;
use crate::cli::TopFlags;
use crate::config::Settings;
use crate::exit::ExitCode;
use crate::operate::{CallError, print};
use crate::signals::Signals;
use crate::{EXIT_UNANSWERED, http, reach};

/// A process that has not answered by then is shown as one that does not.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// # Errors
/// When an address is none, no process has answered that was to be looked at once, or nothing more can be printed.
pub async fn run(flags: &TopFlags, settings: &Settings) -> Result<ExitCode> {
    let processes = Processes::new(flags, settings)?;
    let mut signals = Signals::listen()?;
    let shown = async { if flags.once { once(flags, &processes).await } else { on_and_on(flags, &processes).await } };
    let term = Term::stdout();
    let ended = tokio::select! {
        ended = shown => ended,
        () = signals.next() => Ok(ExitCode::SUCCESS),
    };
    if term.is_term() && !flags.once {
        term.show_cursor()?;
    }
    ended
}

async fn once(flags: &TopFlags, processes: &Processes) -> Result<ExitCode> {
    let before = processes.look().await;
    if let Some(reason) = before.iter().map(|look| look.samples.as_ref().err()).collect::<Option<Vec<_>>>() {
        let reason = reason.first().map(ToString::to_string).unwrap_or_default();
        return Err(CallError::Unanswered(format!("no process answers at its admin port (--admin): {reason}")).into());
    }
    tokio::time::sleep(flags.interval).await;
    let now = processes.look().await;
    print::out(&view::page(&Between::new(&before, &now)))?;
    let are_there = now.iter().all(|look| look.samples.is_ok());
    Ok(if are_there { ExitCode::SUCCESS } else { ExitCode::from(EXIT_UNANSWERED) })
}

async fn on_and_on(flags: &TopFlags, processes: &Processes) -> Result<ExitCode> {
    let term = Term::buffered_stdout();
    let is_term = term.is_term();
    if is_term {
        term.hide_cursor()?;
        term.clear_screen()?;
        term.flush()?;
    }
    let mut beat = interval(flags.interval);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat.tick().await;
    let mut before = processes.look().await;
    loop {
        beat.tick().await;
        let now = processes.look().await;
        let between = Between::new(&before, &now);
        if is_term {
            draw(&term, &view::page(&between))?;
        } else {
            print::out(&view::line(&between, SystemTime::now()))?;
        }
        before = now;
    }
}

/// Puts a page in place of the one before: as much of it as there is room for.
fn draw(term: &Term, page: &str) -> Result<()> {
    let (height, width) = term.size();
    term.move_cursor_to(0, 0)?;
    for line in page.lines().take(usize::from(height).saturating_sub(1)) {
        term.write_str(&truncate_str(line, width.into(), "…"))?;
        // What the line before had behind that.
        term.write_str("\x1b[K\n")?;
    }
    term.clear_to_end_of_screen()?;
    Ok(term.flush()?)
}

/// Whom to ask.
struct Processes {
    client: Client,
    admins: Vec<Url>,
}

impl Processes {
    fn new(flags: &TopFlags, settings: &Settings) -> Result<Self> {
        let addresses = if flags.admin.is_empty() { vec![here(settings)?] } else { flags.admin.clone() };
        let admin = |address: &String| http::server(address).with_context(|| format!("--admin {address}"));
        let admins = addresses.iter().map(admin).collect::<Result<_>>()?;
        let client = http::with_tls(http::client(ANSWER_WAIT), &flags.tls)?.build()?;
        Ok(Self { client, admins })
    }

    /// All of them at once.
    async fn look(&self) -> Vec<Look> {
        join_all(self.admins.iter().map(|admin| scrape::look(&self.client, admin))).await
    }
}

/// Where the admin port of these settings is reached from its own machine.
fn here(settings: &Settings) -> Result<String> {
    let listen = settings.admin.listen.0.filter(|listen| listen.port() != 0);
    let listen = listen.context("the settings tell no address of an admin port: say where it is (--admin)")?;
    let is_tls = settings.tls.cert.is_some() && !listen.ip().is_loopback();
    Ok(reach::url_of(listen, is_tls))
}
