//! What a process says at its admin port: the text format of Prometheus, read back.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use reqwest::header::ACCEPT;
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;
use tokio::time::Instant;

use crate::http;

const BYTES_MAX: usize = 16 << 20;

/// The labels of a series.
pub type Labels = BTreeMap<String, String>;

/// A value of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: Labels,
    pub value: f64,
}

/// A SKU that is asked for often, and in how many of these times there was not enough.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct HotGoods {
    pub goods_id: u64,
    pub log: u32,
    pub asked: u64,
    pub short: u64,
}

/// What a process said, or why it said nothing.
pub struct Look {
    pub address: String,
    pub at: Instant,
    pub samples: Result<Vec<Sample>>,
    /// Why calls should not go there, a line each.
    pub reasons: String,
    /// What its engines are asked for most.
    pub hot: Vec<HotGoods>,
}

/// Asks a process.
pub async fn look(client: &Client, admin: &Url) -> Look {
    let address = admin.authority().to_owned();
    let (samples, reasons, hot) = match asked(client, admin).await {
        Ok((samples, reasons, hot)) => (Ok(samples), reasons, hot),
        Err(error) => (Err(error), String::new(), Vec::new()),
    };
    Look { address, at: Instant::now(), samples, reasons, hot }
}

async fn asked(client: &Client, admin: &Url) -> Result<(Vec<Sample>, String, Vec<HotGoods>)> {
    let (status, metrics) = get(client, admin, "metrics").await?;
    ensure!(status.is_success(), "{} answers with status {status}", admin.authority());
    let samples = read(&metrics).with_context(|| format!("{} tells no metrics", admin.authority()))?;
    let (status, reasons) = get(client, admin, "readyz").await?;
    let reasons = if status.is_success() { String::new() } else { reasons };
    let (_, hot) = get(client, admin, "hot").await?;
    Ok((samples, reasons, read_hot(&hot).with_context(|| format!("{} tells no hot goods", admin.authority()))?))
}

fn read_hot(text: &str) -> Result<Vec<HotGoods>> {
    #[derive(Deserialize)]
    struct Told {
        goods: Vec<HotGoods>,
    }
    Ok(serde_json::from_str::<Told>(text)?.goods)
}

async fn get(client: &Client, admin: &Url, path: &str) -> Result<(StatusCode, String)> {
    let request = client.get(admin.join(path)?).header(ACCEPT, "application/json, */*;q=0.1");
    let answer = request.send().await.map_err(|error| unreached(admin, error))?;
    let status = answer.status();
    Ok((status, String::from_utf8(http::body(answer, BYTES_MAX).await?)?))
}

fn unreached(admin: &Url, error: reqwest::Error) -> anyhow::Error {
    anyhow::Error::new(error.without_url()).context(format!("{} does not answer", admin.authority()))
}

/// Reads the lines that are no comments.
fn read(text: &str) -> Result<Vec<Sample>> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| sample(line).with_context(|| format!("{line:?} is no value of a metric"))).collect()
}

fn sample(line: &str) -> Option<Sample> {
    let name_end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(name_end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Labels::new(), rest),
    };
    // A time may follow.
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// What is between braces, and what follows them.
fn labels(mut rest: &str) -> Option<(Labels, &str)> {
    let mut labels = Labels::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let (value, behind) = unquoted(quoted)?;
        labels.insert(name.trim().to_owned(), value);
        rest = behind;
    }
}

/// What is up to the next quotation mark, and what follows it.
fn unquoted(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            character => value.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_format_is_read_back() {
        let text = "# HELP a What it is.\n# TYPE a counter\na 1\n\nb{log=\"0\",code=\"OK\"} 2.5e3\n\
                    c{why=\"a \\\"b\\\" \\\\ \\n, }\",} +Inf 1700000000000\nd{} NaN\n";
        let samples = read(text).expect("it is one");
        let told: Vec<_> = samples.iter().map(|sample| (sample.name.as_str(), sample.value)).collect();
        assert_eq!(told[..3], [("a", 1.0), ("b", 2_500.0), ("c", f64::INFINITY)]);
        assert!(told[3].0 == "d" && told[3].1.is_nan());
        let label = |of: usize, name: &str| samples[of].labels.get(name).map(String::as_str);
        assert_eq!(
            [label(1, "log"), label(1, "code"), label(2, "why"), label(0, "log")],
            [Some("0"), Some("OK"), Some("a \"b\" \\ \n, }"), None]
        );
        for bad in ["a", "a{", "a{b=\"c} 1", "a{b} 1", "a many", "{"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
