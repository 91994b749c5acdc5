//! The figures as tables of `docs/BENCHMARKS.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use crate::life::{ACCOUNT, MILLIONS, REPLAY};
use crate::peers;
use crate::results::{Figures, Spread, THIS};

const BEGIN: &str = "<!-- figures: begin, written by `make figures` -->";
const END: &str = "<!-- figures: end -->";
/// A page that is nothing but figures.
pub const EMPTY: &str = "<!-- figures: begin, written by `make figures` -->\n<!-- figures: end -->\n";

/// A line of the table.
struct Row {
    title: &'static str,
    figure: &'static str,
    value: &'static str,
    unit: &'static str,
}

const fn row(title: &'static str, figure: &'static str, value: &'static str, unit: &'static str) -> Row {
    Row { title, figure, value, unit }
}

const ROWS: [Row; 31] = [
    row("submit, stream", "submit", "orders_per_s", "/s"),
    row("checkout, stream", "checkout", "orders_per_s", "/s"),
    row("flash, stream", "flash", "orders_per_s", "/s"),
    row("unary, 1,000 callers", "unary", "orders_per_s", "/s"),
    row("… p50", "unary", "p50_ms", " ms"),
    row("… p99", "unary", "p99_ms", " ms"),
    row("lone unary caller, p50", "lone", "p50_ms", " ms"),
    row("… p99", "lone", "p99_ms", " ms"),
    row("stream at half of its own maximum, offered", "half", "offered_per_s", "/s"),
    row("… p50", "half", "p50_ms", " ms"),
    row("… p99", "half", "p99_ms", " ms"),
    row("two logs in one process, submit", "two_logs", "orders_per_s", "/s"),
    row("four logs in one process, submit", "four_logs", "orders_per_s", "/s"),
    row("submit beside 4 readers of an account with few orders", ACCOUNT, "few_orders_per_s", "/s"),
    row("… of one with a million orders", ACCOUNT, "million_orders_per_s", "/s"),
    row("page of an account with few orders beside that, p50", ACCOUNT, "few_read_p50_ms", " ms"),
    row("… p99", ACCOUNT, "few_read_p99_ms", " ms"),
    row("page of one with a million orders, p50", ACCOUNT, "million_read_p50_ms", " ms"),
    row("… p99", ACCOUNT, "million_read_p99_ms", " ms"),
    row("replay of the whole log", REPLAY, "orders_per_s", "/s"),
    row("start after `kill -9`, 1 M orders, little to replay", REPLAY, "start_with_little_s", " s"),
    row("… much to replay", REPLAY, "start_with_much_s", " s"),
    row("start after `kill -9`, 5 M orders, little to replay", MILLIONS, "start_with_little_s", " s"),
    row("… much to replay", MILLIONS, "start_with_much_s", " s"),
    row("first million", MILLIONS, "orders_per_s_1", "/s"),
    row("second million", MILLIONS, "orders_per_s_2", "/s"),
    row("third million", MILLIONS, "orders_per_s_3", "/s"),
    row("fourth million", MILLIONS, "orders_per_s_4", "/s"),
    row("fifth million", MILLIONS, "orders_per_s_5", "/s"),
    row("peak memory to 1 M orders", MILLIONS, "memory_mb_1", " MB"),
    row("peak memory to 5 M orders", MILLIONS, "memory_mb_5", " MB"),
];

/// CPU time of an order.
const COSTS: [(&str, &str); 3] = [("load generator", "generator_us"), ("server", "server_us"), ("nats-server", "nats_us")];
const THREAD_FIGURES: [&str; 3] = ["submit", "checkout", "unary"];
const COST_FIGURES: [&str; 6] = ["submit", "checkout", "flash", "unary", "half", "two_logs"];

/// Puts the tables where the page has a place for them.
pub fn put_into(page: &str, figures: &Figures) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{}{END}{after}", tables(figures)))
}

fn tables(figures: &Figures) -> String {
    let mut text = head(figures);
    text += &main_table(figures);
    text += &costs(figures);
    text += &threads(figures);
    text += &beside_peers(figures);
    text += &left_out(figures);
    text
}

fn head(figures: &Figures) -> String {
    let machine = &figures.machine;
    let mut text = String::new();
    let quick = if figures.quick {
        " A quick sitting, for a first look only: runs are short, and 60,000 orders stand for a million."
    } else {
        ""
    };
    let _ = writeln!(
        text,
        "Commit {}, {}, {} rounds.{quick} {} cores of {}, {} GB, {}; {}; {}. An append of 16 KiB with `fdatasync` took {} ms (median of {} to {}).",
        figures.commit,
        figures.taken_at,
        figures.rounds,
        machine.cores,
        machine.processor,
        machine.memory_gb,
        machine.kernel,
        machine.nats_server,
        machine.rustc,
        machine.fsync.median_ms,
        machine.fsync.least_ms,
        machine.fsync.most_ms,
    );
    for subject in &figures.subjects {
        let setup = subject.setup.as_ref().map_or_else(String::new, |setup| format!(" ({setup})"));
        let _ = writeln!(text, "- {}: {}{setup}", subject.name, subject.version);
    }
    text + "\nEach cell is the median of the rounds, with the least and the most that was seen.\n\n![Orders a second](figures.svg)\n\n"
}

fn main_table(figures: &Figures) -> String {
    let other = figures.subjects.iter().map(|subject| subject.name.as_str()).find(|name| *name == crate::AGAINST);
    let mut text = match other {
        Some(other) => format!("| figure | {THIS} | {other} | ratio |\n|---|---|---|---|\n"),
        None => format!("| figure | {THIS} |\n|---|---|\n"),
    };
    for Row { title, figure, value, unit } in ROWS {
        if figures.subjects_of(figure).is_empty() {
            continue;
        }
        let of = |subject| figures.spread(subject, figure, value).map_or_else(|| "–".to_owned(), |seen| cell(seen, unit));
        let Some(other) = other else {
            let _ = writeln!(text, "| {title} | {} |", of(THIS));
            continue;
        };
        let ratio = figures.ratio(other, figure, value).map_or_else(|| "–".to_owned(), |ratio| format!("{:.2}", ratio.median));
        let _ = writeln!(text, "| {title} | {} | {} | {ratio} |", of(THIS), of(other));
    }
    text
}

fn costs(figures: &Figures) -> String {
    let mut text = "\nCPU time of an order in µs, median:\n\n| workload | whose |".to_owned();
    for (title, _) in COSTS {
        let _ = write!(text, " {title} |");
    }
    text += "\n|---|---|---|---|---|\n";
    for figure in COST_FIGURES {
        for subject in figures.subjects_of(figure) {
            let _ = write!(text, "| {figure} | {subject} |");
            for (_, value) in COSTS {
                let cost = figures.spread(subject, figure, value);
                let _ = write!(text, " {} |", cost.map_or_else(|| "–".to_owned(), |cost| number(cost.median)));
            }
            text.push('\n');
        }
    }
    text
}

/// Where the time of an order goes, thread by thread, of this build.
fn threads(figures: &Figures) -> String {
    let mut seen = BTreeMap::<(String, String), BTreeMap<&str, Vec<f64>>>::new();
    for run in figures.runs.iter().filter(|run| run.subject == THIS && THREAD_FIGURES.contains(&run.figure.as_str())) {
        let report = run.report.as_ref();
        let Some(Value::Array(processes)) = report.and_then(|report| report.pointer("/cost/server")) else { continue };
        for process in processes {
            let Some(threads) = process["threads_us"].as_object() else { continue };
            for (thread, spent_us) in threads {
                let name = (process["name"].as_str().unwrap_or_default().to_owned(), thread.clone());
                seen.entry(name).or_default().entry(&run.figure).or_default().extend(spent_us.as_f64());
            }
        }
    }
    if seen.is_empty() {
        return String::new();
    }
    let mut text = format!("\nCPU time of an order by thread in µs, median, {THIS}:\n\n| process | threads |");
    text += &THREAD_FIGURES.map(|figure| format!(" {figure} |")).concat();
    let _ = writeln!(text, "\n|---|---|{}", "---|".repeat(THREAD_FIGURES.len()));
    for ((process, thread), mut by_figure) in seen {
        let cells = THREAD_FIGURES.map(|figure| {
            let spread = Spread::of(by_figure.remove(figure).unwrap_or_default());
            spread.map_or_else(|| " – |".to_owned(), |spent| format!(" {} |", number(spent.median)))
        });
        let _ = writeln!(text, "| {process} | {thread} |{}", cells.concat());
    }
    text
}

fn beside_peers(figures: &Figures) -> String {
    let [batches, calls] = peers::FIGURES;
    let peers = figures.subjects_of(batches);
    if peers.is_empty() {
        return String::new();
    }
    let mut text = "\nBeside others, the same orders and promises, orders a second:\n\n".to_owned();
    text +=
        "| who | 256 orders a call | one order a call | CPU of an order in µs: client / server, batches |\n|---|---|---|---|\n";
    let rate = |subject: &str, figure: &str| {
        figures.spread(subject, figure, "orders_per_s").map_or_else(|| "–".to_owned(), |seen| cell(seen, ""))
    };
    let cost = |subject: &str, figure: &str, value: &str| {
        figures.spread(subject, figure, value).map_or_else(|| "–".to_owned(), |cost| number(cost.median))
    };
    let mut line = |who: &str, batches: &str, calls: &str| {
        let (client, server) = (cost(who, batches, "generator_us"), cost(who, batches, "server_us"));
        let _ = writeln!(text, "| {who} | {} | {} | {client} / {server} |", rate(who, batches), rate(who, calls));
    };
    line(THIS, "submit", "unary");
    for peer in peers {
        line(peer, batches, calls);
    }
    text
}

fn left_out(figures: &Figures) -> String {
    if figures.left_out.is_empty() {
        return String::new();
    }
    let mut text = "\nLeft out:\n\n".to_owned();
    for left_out in &figures.left_out {
        let reason = left_out.reason.replace('\n', " ");
        let _ = writeln!(text, "- {}, {}, round {}: {reason}", left_out.subject, left_out.figure, left_out.round);
    }
    text
}

fn cell(Spread { median, least, most }: Spread, unit: &str) -> String {
    if least == most {
        return format!("{}{unit}", number(median));
    }
    format!("**{}**{unit} ({} – {})", number(median), number(least), number(most))
}

/// Three digits that count, thousands apart.
fn number(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => thousands(value.round() as i64),
    }
}

fn thousands(value: i64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::life::MILLIONS_STEPS;
    use crate::results::tests::figures;

    #[test]
    fn every_step_of_the_millions_has_a_line() {
        let lines = ROWS.iter().filter(|row| row.figure == MILLIONS && row.value.starts_with("orders_per_s_"));
        assert_eq!(lines.count() as u64, MILLIONS_STEPS);
    }

    #[test]
    fn numbers_are_read_easily() {
        let texts = [0.0, 0.873, 15.55, 999.6, 12_345.4, 1_234_567.0].map(number);
        assert_eq!(texts, ["0.00", "0.87", "15.6", "1,000", "12,345", "1,234,567"]);
    }

    #[test]
    fn the_tables_go_where_the_page_has_a_place() {
        let page = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let with = put_into(&page, &figures()).expect("it has a place");
        assert!(with.starts_with("before\n") && with.ends_with("\nafter\n") && !with.contains("old\n"), "{with}");
        assert!(with.contains("| submit, stream | **150**/s (100 – 200) | **75.0**/s (50.0 – 100) | 2.00 |"), "{with}");
        assert_eq!(put_into(&with, &figures()), Some(with), "once more changes nothing");
        assert_eq!(put_into("nothing", &figures()), None);
    }
}
