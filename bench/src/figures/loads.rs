//! Loads of some seconds on a server that starts empty.

use anyhow::Context;
use tempfile::TempDir;

use crate::Bench;
use crate::generator::values;
use crate::results::Run;
use crate::server::Server;

/// One load.
pub struct Load {
    pub figure: &'static str,
    /// Arguments of the load generator, but for how long.
    arguments: &'static str,
    seconds: u32,
    logs: u32,
    /// An open loop at half of what the subject does on streams in a closed one.
    at_half: bool,
}

/// What [`Load::at_half`] is half of; it is measured before.
pub const SUBMIT: &str = "submit";
const SECONDS_QUICK: u32 = 2;

pub const LOADS: [Load; 8] = [
    Load::stream(SUBMIT, "--mode stream --workload submit", 1),
    Load::stream("flash", "--mode stream --workload flash", 1),
    Load::stream("checkout", "--mode stream --workload checkout", 1),
    Load::stream("unary", "--mode unary --workload submit --clients 1000", 1),
    Load::stream("lone", "--mode unary --workload submit --clients 1", 1),
    Load { at_half: true, ..Load::stream("half", "--mode stream --workload submit", 1) },
    Load::stream("two_logs", "--mode stream --workload submit", 2),
    Load::stream("four_logs", "--mode stream --workload submit", 4),
];

impl Load {
    const fn stream(figure: &'static str, arguments: &'static str, logs: u32) -> Self {
        Self { figure, arguments, seconds: 8, logs, at_half: false }
    }

    /// Measures it once.
    pub fn measure(&self, bench: &Bench, subject: &str, round: u32) -> anyhow::Result<Run> {
        let mut arguments: Vec<_> = self.arguments.split(' ').map(str::to_owned).collect();
        let seconds = if bench.settings.quick { SECONDS_QUICK } else { self.seconds };
        arguments.extend(["--duration".to_owned(), format!("{seconds}s")]);
        if self.at_half {
            let most = bench.figures.spread(subject, SUBMIT, "orders_per_s").context("its maximum is not known")?;
            arguments.extend(["--rate".to_owned(), format!("{:.0}", most.median / 2.0)]);
        }
        let folder = TempDir::new_in(&bench.settings.scratch)?;
        let server = Server::start(bench.program(subject), folder.path(), self.logs)?;
        let report = bench.generator.run(&server, &arguments)?;
        server.stop()?;
        Ok(Run {
            subject: subject.to_owned(),
            figure: self.figure.to_owned(),
            round,
            values: values(&report),
            report: Some(report),
        })
    }
}
