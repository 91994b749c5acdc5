//! Why a call is refused: what its caller is told, and what only those learn who read the log lines.

use emshop_proto::errors::Code;
use emshop_proto::v1::Operator;
use serde_json::Value;

/// Characters of what a token says, and of all that is said of it.
const QUOTE_MAX: usize = 100;
const CAUSE_MAX: usize = 400;

/// Why a call is refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// All that its caller is told: whoever forges tokens learns nothing by trying.
    pub code: Code,
    /// Which check failed, and what was there.
    pub cause: Option<String>,
    /// Who it is, when that is certain.
    pub by: Option<Operator>,
}

impl Refused {
    pub fn because(code: Code, cause: &str) -> Self {
        Self { cause: Some(plain(cause, CAUSE_MAX)), ..code.into() }
    }
}

impl From<Code> for Refused {
    fn from(code: Code) -> Self {
        Self { code, cause: None, by: None }
    }
}

/// What a token says. It may be anybody's, so a line has not more of it than it takes to find out whose.
pub fn quote(said: &Value) -> String {
    plain(&said.to_string(), QUOTE_MAX)
}

/// The beginning of a text, in which nothing moves what is written around it.
fn plain(text: &str, characters_max: usize) -> String {
    let mut plain = String::new();
    for character in text.chars().take(characters_max) {
        if character.is_alphanumeric() || character.is_ascii_graphic() || [' ', '…'].contains(&character) {
            plain.push(character);
        } else {
            plain.extend(character.escape_unicode());
        }
    }
    if text.chars().nth(characters_max).is_some() {
        plain.push('…');
    }
    plain
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_token_says_is_quoted_in_part_and_harmless() {
        assert_eq!(quote(&json!(["account", "others"])), r#"["account","others"]"#);
        assert_eq!(quote(&json!("a\nb \"c\" \u{1b}[31m")), r#""a\nb \"c\" \u001b[31m""#);
        assert_eq!(quote(&json!("left\u{202e}thgir\u{85}")), "\"left\\u{202e}thgir\\u{85}\"");
        let long = quote(&json!("ü".repeat(8_000)));
        assert_eq!((long.chars().count(), long.chars().last()), (QUOTE_MAX + 1, Some('…')));
        let cause = Refused::because(Code::TokenInvalid, &format!("it is {long}\n{}", "x".repeat(8_000))).cause.expect("a cause");
        assert!(
            cause.starts_with("it is \"üü") && cause.contains("…\\u{a}x") && cause.chars().count() < 2 * CAUSE_MAX,
            "{cause}"
        );
    }
}
