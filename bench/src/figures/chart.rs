//! The figures as a picture: orders a second as bars, and the rate as the orders grow to millions as lines.

use std::fmt::Write as _;

use crate::life::{MILLIONS, MILLIONS_STEPS};
use crate::peers;
use crate::results::{Figures, Spread};

const WIDTH: f64 = 860.0;
/// Where bars begin, and how long the longest may be.
const LEFT: f64 = 190.0;
const LENGTH: f64 = 560.0;
const BAR: f64 = 16.0;
const GAP: f64 = 12.0;
const CURVES: f64 = 200.0;
/// Of the subjects, in their order.
const COLOURS: [&str; 4] = ["#1f6feb", "#8b949e", "#2da44e", "#d1242f"];

const BARS: [(&str, &str); 7] = [
    ("submit", "submit, stream"),
    ("checkout", "checkout, stream"),
    ("flash", "flash, stream"),
    ("unary", "unary, 1,000 callers"),
    ("two_logs", "two logs"),
    (peers::FIGURES[0], "peers, 256 a call"),
    (peers::FIGURES[1], "peers, one a call"),
];

struct Picture {
    body: String,
    /// Where the next thing goes.
    y: f64,
}

/// An SVG.
pub fn svg(figures: &Figures) -> String {
    let mut picture = Picture { body: String::new(), y: 24.0 };
    picture.legend(figures);
    picture.bars(figures);
    picture.curves(figures);
    let Picture { body, y } = picture;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y:.0}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{body}</svg>\n"
    )
}

fn colour(figures: &Figures, subject: &str) -> &'static str {
    let index = figures.subjects.iter().position(|other| other.name == subject).unwrap_or_default();
    COLOURS[index % COLOURS.len()]
}

impl Picture {
    fn text(&mut self, x: f64, y: f64, anchor: &str, text: &str) {
        let _ = writeln!(self.body, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#24292f\">{text}</text>");
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ = writeln!(
            self.body,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\" stroke-width=\"1.5\"/>"
        );
    }

    fn rectangle(&mut self, x: f64, y: f64, width: f64, height: f64, colour: &str) {
        let _ = writeln!(
            self.body,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>"
        );
    }

    fn legend(&mut self, figures: &Figures) {
        for (index, subject) in figures.subjects.iter().enumerate() {
            let x = 20.0 + 160.0 * index as f64;
            self.rectangle(x, self.y - 10.0, 12.0, 12.0, colour(figures, &subject.name));
            self.text(x + 18.0, self.y, "start", &subject.name);
        }
        self.y += 2.0 * GAP;
    }

    /// Orders a second: the bar is the median, the line on it goes from the least to the most.
    fn bars(&mut self, figures: &Figures) {
        let of = |subject: &str, figure: &str| figures.spread(subject, figure, "orders_per_s");
        let all = BARS.iter().flat_map(|(figure, _)| figures.subjects_of(figure).into_iter().map(move |name| (name, figure)));
        let most = all.filter_map(|(name, figure)| of(name, figure)).fold(1.0, |most: f64, seen| most.max(seen.most));
        for (figure, title) in BARS {
            let subjects = figures.subjects_of(figure);
            if subjects.is_empty() {
                continue;
            }
            self.text(LEFT - 10.0, self.y + BAR * subjects.len() as f64 / 2.0 + 4.0, "end", title);
            for subject in subjects {
                let Some(Spread { median, least, most: top }) = of(subject, figure) else { continue };
                let x = |rate: f64| LEFT + LENGTH * rate / most;
                self.rectangle(LEFT, self.y, x(median) - LEFT, BAR - 2.0, colour(figures, subject));
                let middle = self.y + BAR / 2.0 - 1.0;
                self.line((x(least), middle), (x(top), middle), "#24292f");
                self.text(x(top) + 6.0, self.y + BAR - 5.0, "start", &format!("{:.0}/s", median));
                self.y += BAR;
            }
            self.y += GAP;
        }
    }

    /// The rate of each million.
    fn curves(&mut self, figures: &Figures) {
        let subjects = figures.subjects_of(MILLIONS);
        let rate = |subject: &str, step: u64| {
            figures.spread(subject, MILLIONS, &format!("orders_per_s_{step}")).map_or(0.0, |seen| seen.median)
        };
        let rates = subjects.iter().flat_map(|subject| (1..=MILLIONS_STEPS).map(|step| rate(subject, step)));
        let most = rates.fold(0.0, f64::max);
        if most == 0.0 {
            return;
        }
        self.text(LEFT - 10.0, self.y + CURVES / 2.0, "end", "submit, by the million");
        let bottom = self.y + CURVES;
        self.line((LEFT, bottom), (LEFT + LENGTH, bottom), "#d0d7de");
        let at = |step: u64, rate: f64| {
            (LEFT + LENGTH * step as f64 / (MILLIONS_STEPS + 1) as f64, bottom - (CURVES - 20.0) * rate / most)
        };
        for subject in subjects {
            for step in 1..MILLIONS_STEPS {
                self.line(at(step, rate(subject, step)), at(step + 1, rate(subject, step + 1)), colour(figures, subject));
            }
            for step in 1..=MILLIONS_STEPS {
                let (x, y) = at(step, rate(subject, step));
                self.text(x, y - 6.0, "middle", &format!("{:.0}", rate(subject, step)));
            }
        }
        for step in 1..=MILLIONS_STEPS {
            self.text(at(step, 0.0).0, bottom + 16.0, "middle", &step.to_string());
        }
        self.y = bottom + 30.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::figures;

    #[test]
    fn every_subject_has_its_bar() {
        let svg = svg(&figures());
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert!(svg.contains(">150/s<") && svg.contains(">75/s<"), "{svg}");
    }
}
