//! The binary `emshop`: command line and wiring. The work is done in the crates `emshop-ingress` and `emshop-engine`.
//!
//! Reading order: [`cli`], [`config`], [`node`] (what runs in a process), [`admin`] (what tells of it), [`discovery`] (who is told where it is),
//! [`centre`] (settings that change while it runs), [`mod@serve`], [`mod@demo`], [`mod@inspect`], [`mod@status`], [`mod@top`], [`mod@operate`], [`mod@backup`], [`mod@void`], [`mod@token`],
//! [`key`], [`mod@consumer`], [`mod@consume`], [`manual`].

mod admin;
mod backup;
mod centre;
mod certificates;
mod cli;
mod cluster_key;
mod config;
mod consume;
mod consumer;
mod demo;
mod discovery;
mod disk;
mod exit;
mod folder;
mod http;
mod inspect;
mod json;
mod key;
mod manual;
mod nats;
mod node;
mod open_files;
mod operate;
mod reach;
mod secret;
mod serve;
mod signals;
mod status;
mod table;
mod telemetry;
mod token;
mod top;
mod void;

use anyhow::{Context, Error, Result, bail};
use clap::Parser;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use cli::{
    ApiFlags, ArchiveFlags, Cli, Command, ConfigCommand, ConsumeFlags, ConsumerFlags, DemoFlags, KeyCommand, Override,
    RestoreFlags, RotateFlags, ServeFlags, StatusFlags, TokenFlags, TopFlags, VoidFlags,
};
use config::{QUIET_LOG, SERVE_LOG, Settings, Shared, Sources, Telemetry, Unacceptable};
use exit::ExitCode;
use operate::{Api, CallError};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

// Exit statuses, as `emshop --help` tells them.
const EXIT_FAILED: u8 = 1;
const EXIT_USAGE: u8 = 2;
const EXIT_BROKEN: u8 = 3;
const EXIT_REFUSED: u8 = 4;
const EXIT_UNANSWERED: u8 = 5;
const EXIT_BUG: u8 = 101;
const EXIT_INTERRUPTED: u8 = 130;

fn main() -> ! {
    let cli = Cli::parse();
    let ended = match &cli.command {
        Command::Serve(flags) => serve(&cli, flags),
        Command::Demo(flags) => demo(&cli, flags),
        Command::Inspect(flags) => quietly(inspect::run(flags)),
        Command::Status(flags) => status(&cli, flags),
        Command::Top(flags) => top(&cli, flags),
        Command::Orders(command) => operate(&cli, command.api(), async |api| operate::orders::run(command, api).await),
        Command::Stock(command) => operate(&cli, command.api(), async |api| operate::stock::run(command, api).await),
        Command::Sagas(command) => operate(&cli, command.api(), async |api| operate::sagas::run(command, api).await),
        Command::Config(command) => config_of_cluster(&cli, command),
        Command::Backup(flags) => archive(&cli, flags, async |settings| backup::backup(flags, settings).await),
        Command::Repair(flags) => archive(&cli, flags, async |settings| backup::repair(flags, settings).await),
        Command::Restore(flags) => restore(&cli, flags),
        Command::Void(flags) => void(&cli, flags),
        Command::Token(flags) => token(&cli, flags),
        Command::Key(command) => keys(&cli, command),
        Command::DevCertificates(flags) => certificates::make(flags),
        Command::ConsumerCredentials(flags) => consumer_credentials(&cli, flags),
        Command::Consume(flags) => consume(&cli, flags),
        Command::Completions(flags) => manual::completions(flags),
        Command::Man(flags) => manual::pages(flags),
    };
    exit::in_order(ended.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(status_of(&error))
    }))
}

fn serve(cli: &Cli, flags: &ServeFlags) -> Result<ExitCode> {
    let Some((settings, sources)) = load(cli, &flags.overrides(), SERVE_LOG)? else { return Ok(ExitCode::SUCCESS) };
    Runtime::new()?.block_on(serve::run(&settings, &sources))
}

fn demo(cli: &Cli, flags: &DemoFlags) -> Result<ExitCode> {
    // Removed again when this function returns.
    let scratch = match flags.data {
        Some(_) => None,
        None => Some(TempDir::with_prefix("emshop-demo-").context("there is no place for the demo's data")?),
    };
    let mut overrides = flags.overrides();
    if let Some(scratch) = &scratch {
        overrides.push(("data", scratch.path().to_str()));
    }
    let Some((_, sources)) = load(cli, &overrides, QUIET_LOG)? else { return Ok(ExitCode::SUCCESS) };
    Runtime::new()?.block_on(demo::run(flags, &sources))
}

/// Runs what has no settings.
fn quietly(command: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    telemetry::start(&Telemetry { log: QUIET_LOG.to_owned(), ..Telemetry::default() })?;
    Runtime::new()?.block_on(command)
}

fn status(cli: &Cli, flags: &StatusFlags) -> Result<ExitCode> {
    let Some(settings) = settings(cli, &flags.overrides(), QUIET_LOG)? else { return Ok(ExitCode::SUCCESS) };
    Runtime::new()?.block_on(status::run(flags, &settings))
}

fn top(cli: &Cli, flags: &TopFlags) -> Result<ExitCode> {
    let Some(settings) = settings(cli, &[], QUIET_LOG)? else { return Ok(ExitCode::SUCCESS) };
    Runtime::new()?.block_on(top::run(flags, &settings))
}

/// Runs what operators do over the API.
fn operate(cli: &Cli, flags: &ApiFlags, work: impl AsyncFnOnce(&Api<'_>) -> Result<()>) -> Result<ExitCode> {
    let Some(settings) = settings(cli, &flags.overrides(), QUIET_LOG)? else { return Ok(ExitCode::SUCCESS) };
    Runtime::new()?.block_on(async { work(&Api::open(flags, &settings).await?).await })?;
    Ok(ExitCode::SUCCESS)
}

fn config_of_cluster(cli: &Cli, command: &ConfigCommand) -> Result<ExitCode> {
    let Some(settings) = settings(cli, &command.shop().overrides(), QUIET_LOG)? else { return Ok(ExitCode::SUCCESS) };
    // What is shown is what servers go by.
    let sources = Sources::read(cli.config.as_deref(), &command.shop().overrides(), SERVE_LOG)?;
    Runtime::new()?.block_on(centre::run(command, &sources, &settings))
}

fn archive(cli: &Cli, flags: &ArchiveFlags, work: impl AsyncFnOnce(&Settings) -> Result<ExitCode>) -> Result<ExitCode> {
    let Some(settings) = settings(cli, &flags.overrides(), QUIET_LOG)? else { return Ok(ExitCode::SUCCESS) };
    if let Some(missing) = flags.data.iter().find(|data| !data.is_dir()) {
        bail!("there is no data folder {}: name that of an engine (--data)", missing.display());
    }
    Runtime::new()?.block_on(work(&settings))
}

fn restore(cli: &Cli, flags: &RestoreFlags) -> Result<ExitCode> {
    let Some(settings) = settings(cli, &flags.overrides(), QUIET_LOG)? else { return Ok(ExitCode::SUCCESS) };
    Runtime::new()?.block_on(backup::restore(flags, &settings))
}

fn void(cli: &Cli, flags: &VoidFlags) -> Result<ExitCode> {
    let Some(settings) = settings(cli, &flags.shop.overrides(), QUIET_LOG)? else { return Ok(ExitCode::SUCCESS) };
    Runtime::new()?.block_on(void::run(flags, &settings))
}

fn token(cli: &Cli, flags: &TokenFlags) -> Result<ExitCode> {
    let Some(settings) = settings(cli, &flags.overrides(), QUIET_LOG)? else { return Ok(ExitCode::SUCCESS) };
    println!("{}", token::sign(flags, &settings)?);
    Ok(ExitCode::SUCCESS)
}

fn keys(cli: &Cli, command: &KeyCommand) -> Result<ExitCode> {
    let (KeyCommand::Rotate(RotateFlags { key: flags, .. }) | KeyCommand::List(flags)) = command;
    let Some(settings) = settings(cli, &flags.overrides(), QUIET_LOG)? else { return Ok(ExitCode::SUCCESS) };
    let listed = match command {
        KeyCommand::Rotate(flags) => key::rotate(flags, &settings)?,
        KeyCommand::List(_) => key::list(&settings)?,
    };
    print!("{listed}");
    Ok(ExitCode::SUCCESS)
}

fn consumer_credentials(cli: &Cli, flags: &ConsumerFlags) -> Result<ExitCode> {
    let Some(settings) = settings(cli, &flags.overrides(), QUIET_LOG)? else { return Ok(ExitCode::SUCCESS) };
    Runtime::new()?.block_on(consumer::run(flags, &settings))
}

fn consume(cli: &Cli, flags: &ConsumeFlags) -> Result<ExitCode> {
    let Some(settings) = settings(cli, &flags.overrides(), QUIET_LOG)? else { return Ok(ExitCode::SUCCESS) };
    Runtime::new()?.block_on(consume::run(flags, &settings))
}

/// Loads the settings and starts the log lines; `None` when the settings were only to be shown.
fn settings(cli: &Cli, overrides: &[Override], log_default: &str) -> Result<Option<Settings>> {
    Ok(load(cli, overrides, log_default)?.map(|(settings, _)| settings))
}

/// As [`settings`], with where they come from.
fn load(cli: &Cli, overrides: &[Override], log_default: &str) -> Result<Option<(Settings, Sources)>> {
    let sources = Sources::read(cli.config.as_deref(), overrides, log_default)?;
    let settings = sources.settings(&Shared::new())?;
    if cli.print_config {
        Runtime::new()?.block_on(centre::print(&sources, &settings))?;
        return Ok(None);
    }
    telemetry::start(&settings.telemetry)?;
    Ok(Some((settings, sources)))
}

/// Of a process that ends with this.
fn status_of(error: &Error) -> u8 {
    match error.downcast_ref() {
        Some(CallError::Refused(_)) => EXIT_REFUSED,
        Some(CallError::Unanswered(_)) => EXIT_UNANSWERED,
        None if error.is::<Unacceptable>() => EXIT_USAGE,
        None => EXIT_FAILED,
    }
}
