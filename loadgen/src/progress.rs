//! What people see while a run goes on: a line that moves on a terminal, a line for each phase elsewhere, nothing with JSON.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::schedule::Arrivals;

const REDRAW: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    quiet: bool,
}

impl Progress {
    pub fn new(quiet: bool) -> Self {
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(style("{spinner} {msg}"));
        Self { bar, quiet }
    }

    pub fn phase(&self, name: &'static str) {
        if !self.quiet && !std::io::stderr().is_terminal() {
            eprintln!("{name}");
        }
        self.bar.set_message(name);
        self.bar.tick();
    }

    /// Shows how many orders have begun until `work` is done.
    pub async fn during<T>(&self, arrivals: &Arrivals, work: impl Future<Output = T>) -> T {
        self.bar.set_style(style(match arrivals.expected() {
            Some(_) => "{bar:30} {pos}/{len} orders, {per_sec}, {eta} left",
            None => "{spinner} {elapsed} {pos} orders, {per_sec}",
        }));
        if let Some(orders) = arrivals.expected() {
            self.bar.set_length(orders);
        }
        self.bar.reset();
        tokio::pin!(work);
        let mut redraw = tokio::time::interval(REDRAW);
        let result = loop {
            tokio::select! {
                result = &mut work => break result,
                _ = redraw.tick() => self.bar.set_position(arrivals.taken()),
            }
        };
        self.bar.set_style(style("{spinner} {msg}"));
        result
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates above are sound")
}
