//! `make figures`: measures emshop, another build of it and what people would take instead, in turns, and writes it down.
//!
//! [`loads`] and [`life`] measure a [`server`] by a [`generator`], [`peers`] the others; all of it becomes one JSON ([`results`]), and
//! that a [`table`] and a [`chart`].

mod chart;
mod generator;
mod life;
mod loads;
mod machine;
mod peers;
mod results;
mod server;
mod settings;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, Result};
use clap::Parser;

use crate::generator::Generator;
use crate::loads::LOADS;
use crate::machine::{Machine, said_by};
use crate::results::{Figures, LeftOut, Run, Subject, THIS};
use crate::settings::Settings;

const AGAINST: &str = "other build";
const JSON: &str = "figures.json";

/// A sitting.
pub struct Bench {
    settings: Settings,
    generator: Generator,
    emshop: PathBuf,
    figures: Figures,
}

fn main() -> Result<ExitCode> {
    let settings = Settings::parse();
    let out = settings.out.clone();
    if settings.render {
        let json = fs::read(out.join(JSON)).with_context(|| format!("{} cannot be read", out.join(JSON).display()))?;
        render(&serde_json::from_slice(&json)?, &out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut bench = Bench::new(settings)?;
    bench.measure()?;
    render(&bench.figures, &out)?;
    let missing = bench.figures.left_out.iter().any(|left_out| left_out.subject == THIS);
    Ok(if missing { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn render(figures: &Figures, out: &Path) -> Result<()> {
    fs::write(out.join("figures.svg"), chart::svg(figures))?;
    let page = out.join("BENCHMARKS.md");
    let text = fs::read_to_string(&page).unwrap_or_else(|_| table::EMPTY.to_owned());
    fs::write(&page, table::put_into(&text, figures).with_context(|| format!("{} has no place for figures", page.display()))?)?;
    println!("{} is written", page.display());
    Ok(())
}

impl Bench {
    fn new(settings: Settings) -> Result<Self> {
        // All programs of a build lie in one folder.
        let programs = std::env::current_exe()?.parent().context("a program is in a folder")?.to_owned();
        let emshop = programs.join("emshop");
        let mut subjects = vec![subject_of(THIS, &emshop)];
        subjects.extend(settings.against.as_ref().map(|other| subject_of(AGAINST, other)));
        let figures = Figures {
            taken_at: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            commit: said_by("git", &["describe", "--always", "--dirty", "--abbrev=12"]),
            rounds: settings.rounds,
            quick: settings.quick,
            machine: Machine::look(&settings.scratch)?,
            subjects,
            runs: Vec::new(),
            left_out: Vec::new(),
        };
        Ok(Self { settings, generator: Generator { program: programs.join("emshop-loadgen") }, emshop, figures })
    }

    fn program(&self, subject: &str) -> &Path {
        match &self.settings.against {
            Some(other) if subject == AGAINST => other,
            _ => &self.emshop,
        }
    }

    fn measure(&mut self) -> Result<()> {
        let mut peers = peers::all(&self.settings)?;
        self.figures.subjects.extend(peers.iter().map(|peer| peer.subject()));
        for round in 1..=self.settings.rounds {
            for load in &LOADS {
                self.take_turns(load.figure, round, |bench, subject| load.measure(bench, subject, round));
            }
            if round <= self.settings.long_rounds() {
                self.take_turns(life::REPLAY, round, |bench, subject| life::replay(bench, subject, round));
                self.take_turns(life::ACCOUNT, round, |bench, subject| life::account(bench, subject, round));
                self.take_turns(life::MILLIONS, round, |bench, subject| life::millions(bench, subject, round));
            }
            for peer in &mut peers {
                for figure in peers::FIGURES {
                    if self.settings.wants(figure) {
                        let run = peer.measure(&self.settings, figure, round);
                        self.note(&peer.subject().name, figure, round, run);
                    }
                }
            }
            self.write()?;
        }
        Ok(())
    }

    /// After each round, so that a sitting which is broken off is not lost.
    fn write(&self) -> Result<()> {
        let out = &self.settings.out;
        fs::create_dir_all(out)?;
        Ok(fs::write(out.join(JSON), serde_json::to_string_pretty(&self.figures)? + "\n")?)
    }

    /// Measures all builds, the other one first in every second round.
    fn take_turns(&mut self, figure: &str, round: u32, measure: impl Fn(&Self, &str) -> Result<Run>) {
        let mut subjects = vec![THIS];
        subjects.extend(self.settings.against.as_ref().map(|_| AGAINST));
        if round.is_multiple_of(2) {
            subjects.reverse();
        }
        for subject in subjects {
            if self.settings.wants(figure) {
                let run = measure(self, subject);
                self.note(subject, figure, round, run);
            }
        }
    }

    fn note(&mut self, subject: &str, figure: &str, round: u32, run: Result<Run>) {
        match run {
            Ok(run) => {
                let values: Vec<_> = run.values.iter().map(|(name, value)| format!("{name} {value:.1}")).collect();
                println!("{round} {subject}: {figure}: {}", values.join(", "));
                self.figures.runs.push(run);
            }
            Err(error) => {
                let reason = format!("{error:#}");
                println!("{round} {subject}: {figure}: left out: {reason}");
                self.figures.left_out.push(LeftOut { subject: subject.to_owned(), figure: figure.to_owned(), round, reason });
            }
        }
    }
}

fn subject_of(name: &str, emshop: &Path) -> Subject {
    Subject { name: name.to_owned(), version: said_by(emshop, &["--version"]), setup: None }
}
