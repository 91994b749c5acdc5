//! Words of Chinese and English text, as they are indexed and as they are looked for.
//!
//! Text is cut into pieces: runs of letters, runs of digits, and runs of Chinese characters. Each piece takes a position, a Chinese
//! character one each, and what stands between them takes none. So a word that is looked for as its pieces one after the other is found however
//! it is written: `WH-1000XM5`, `wh1000xm5` and `WH 1000 XM5` are the same pieces.
//!
//! In Chinese, every word of the dictionary that the text holds is indexed at its first character, and those into which the text is cut once
//! more: 鞋子和服装 (shoes and clothes) is found by 和服 (kimono) too, but after a kimono. A keyword is cut into the fewest words. What the
//! dictionary does not know, a brand for instance, is looked for as its characters one after the other.

use std::sync::LazyLock;

use jieba_rs::Jieba;
use tantivy::tokenizer::{
    AsciiFoldingFilter, Language, RawTokenizer, Stemmer, StopWordFilter, TextAnalyzer, Token, TokenStream, Tokenizer,
};
use unicode_normalization::UnicodeNormalization;

/// The dictionary takes half a second and 33 MB, so it is loaded by the first Chinese text.
static DICTIONARY: LazyLock<Jieba> = LazyLock::new(Jieba::new);

/// Chinese words that say nothing of goods; the list for English comes with tantivy.
const STOP_WORDS: [&str; 8] = ["的", "了", "和", "与", "及", "或", "之", "在"];

/// Terms one after the other; mostly one.
pub type Phrase = Vec<String>;

/// A word that is looked for: any of these.
pub type Word = Vec<Phrase>;

/// Makes terms of text that is indexed.
pub fn analyzer() -> TextAnalyzer {
    TextAnalyzer::builder(Pieces).filter(AsciiFoldingFilter).filter(Stemmer::new(Language::English)).build()
}

/// The words of a keyword, without those that say nothing, unless there are no others. None at all of punctuation.
pub fn keywords(text: &str) -> Vec<Word> {
    let pieces = pieces(text);
    let mut words = Vec::new();
    for run in pieces.chunk_by(|left, right| right.join != Join::Apart && left.script.is_spaced() == right.script.is_spaced()) {
        if run[0].script.is_spaced() {
            words.push(spaced(run));
            continue;
        }
        for piece in run {
            match piece.script {
                Script::Chinese => chinese(&piece.text, &mut words),
                _ => words.push(vec![characters(&piece.text).collect()]),
            }
        }
    }
    let (told, stop_words): (Vec<_>, Vec<_>) = words.into_iter().partition(|word| !is_stop_word(word));
    if told.is_empty() { stop_words } else { told }.into_iter().map(terms).collect()
}

/// How text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Script {
    Letters,
    Digits,
    Chinese,
    /// Of Japanese and Korean, whose words we do not know.
    Syllables,
}

impl Script {
    fn of(character: char) -> Option<Self> {
        match character {
            '\u{3005}'..='\u{3007}'
            | '\u{3400}'..='\u{4DBF}'
            | '\u{4E00}'..='\u{9FFF}'
            | '\u{F900}'..='\u{FAFF}'
            | '\u{20000}'..='\u{3FFFF}' => Some(Self::Chinese),
            '\u{3041}'..='\u{3096}' | '\u{30A1}'..='\u{30FF}' | '\u{31F0}'..='\u{31FF}' | '\u{AC00}'..='\u{D7AF}' => {
                Some(Self::Syllables)
            }
            _ if character.is_numeric() => Some(Self::Digits),
            _ if character.is_alphabetic() => Some(Self::Letters),
            _ => None,
        }
    }

    /// Whether its words stand apart.
    fn is_spaced(self) -> bool {
        matches!(self, Self::Letters | Self::Digits)
    }
}

/// How a piece follows the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Join {
    /// After space or punctuation.
    Apart,
    /// After a hyphen or the like.
    Hyphen,
    Direct,
}

#[derive(Debug)]
struct Piece {
    script: Script,
    text: String,
    join: Join,
}

fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut between = String::new();
    for character in folded(text).chars() {
        let Some(script) = Script::of(character) else {
            between.push(character);
            continue;
        };
        match pieces.last_mut() {
            Some(piece) if piece.script == script && between.is_empty() => piece.text.push(character),
            _ => {
                let join = match between.as_str() {
                    "" => Join::Direct,
                    "-" | "'" | "." | "/" | "_" | "&" | "+" => Join::Hyphen,
                    _ => Join::Apart,
                };
                pieces.push(Piece { script, text: character.into(), join });
                between.clear();
            }
        }
    }
    pieces
}

/// In lower case, without the forms that only look different (such as full width), and without commas among thousands.
fn folded(text: &str) -> String {
    let characters: Vec<char> = text.nfkc().flat_map(char::to_lowercase).collect();
    let is_digit = |index: usize| characters.get(index).is_some_and(char::is_ascii_digit);
    let is_thousands =
        |comma: usize| comma > 0 && is_digit(comma - 1) && (comma + 1..=comma + 3).all(is_digit) && !is_digit(comma + 4);
    let kept = characters.iter().enumerate().filter(|(index, character)| **character != ',' || !is_thousands(*index));
    kept.map(|(_, character)| if *character == '’' { '\'' } else { *character }).collect()
}

fn characters(text: &str) -> impl Iterator<Item = String> + '_ {
    text.chars().map(String::from)
}

/// Pieces that hang together: one after the other, or written as one where hyphens part letters (`wi-fi`, `wifi`).
fn spaced(run: &[Piece]) -> Word {
    let apart: Phrase = run.iter().map(|piece| piece.text.clone()).collect();
    let joined: Phrase = run.chunk_by(are_parted_letters).map(joined).collect();
    if joined.len() < apart.len() { vec![apart, joined] } else { vec![apart] }
}

fn are_parted_letters(left: &Piece, right: &Piece) -> bool {
    right.join == Join::Hyphen && [left.script, right.script] == [Script::Letters; 2]
}

fn joined(pieces: &[Piece]) -> String {
    pieces.iter().map(|piece| piece.text.as_str()).collect()
}

fn chinese(text: &str, words: &mut Vec<Word>) {
    let mut unknown = Phrase::new();
    let end = |unknown: &mut Phrase, words: &mut Vec<Word>| {
        if !unknown.is_empty() {
            words.push(vec![std::mem::take(unknown)]);
        }
    };
    for token in DICTIONARY.cut(text, false) {
        let is_known = token.end - token.start > 1 && DICTIONARY.has_word(token.word);
        if is_known || STOP_WORDS.contains(&token.word) {
            end(&mut unknown, words);
            words.push(vec![vec![token.word.to_owned()]]);
        } else {
            unknown.extend(characters(token.word));
        }
    }
    end(&mut unknown, words);
}

fn is_stop_word(word: &Word) -> bool {
    static ENGLISH: LazyLock<TextAnalyzer> = LazyLock::new(|| {
        let stop_words = StopWordFilter::new(Language::English).expect("tantivy has a list for English");
        TextAnalyzer::builder(RawTokenizer::default()).filter(stop_words).build()
    });
    let [phrase] = word.as_slice() else { return false };
    let [only] = phrase.as_slice() else { return false };
    STOP_WORDS.contains(&only.as_str()) || !ENGLISH.clone().token_stream(only).advance()
}

/// As the index has them.
fn terms(word: Word) -> Word {
    let filters = TextAnalyzer::builder(RawTokenizer::default()).filter(AsciiFoldingFilter);
    let mut filters = filters.filter(Stemmer::new(Language::English)).build();
    let mut term = |text: String| {
        let mut term = String::new();
        filters.token_stream(&text).process(&mut |token| term.clone_from(&token.text));
        term
    };
    word.into_iter().map(|phrase| phrase.into_iter().map(&mut term).collect()).collect()
}

/// The tokenizer for tantivy.
#[derive(Clone)]
struct Pieces;

impl Tokenizer for Pieces {
    type TokenStream<'a> = Tokens;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Tokens {
        Tokens { tokens: tokens(text).into_iter(), token: Token::default() }
    }
}

struct Tokens {
    tokens: std::vec::IntoIter<Token>,
    token: Token,
}

impl TokenStream for Tokens {
    fn advance(&mut self) -> bool {
        self.tokens.next().map(|token| self.token = token).is_some()
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

/// By position. Offsets into the text, which only snippets need, are left out.
fn tokens(text: &str) -> Vec<Token> {
    let pieces = pieces(text);
    let mut tokens = Vec::new();
    let mut position = 0;
    for run in pieces.chunk_by(are_parted_letters) {
        if run.len() > 1 {
            tokens.push(token(joined(run), position));
        }
        for piece in run {
            if piece.script.is_spaced() {
                tokens.push(token(piece.text.clone(), position));
                position += 1;
                continue;
            }
            let first = position;
            for character in characters(&piece.text) {
                tokens.push(token(character, position));
                position += 1;
            }
            if piece.script == Script::Chinese {
                let known = DICTIONARY.cut_all(&piece.text).into_iter();
                let words = known.chain(DICTIONARY.cut(&piece.text, false)).filter(|word| word.end - word.start > 1);
                tokens.extend(words.map(|word| token(word.word.to_owned(), first + word.start)));
            }
        }
    }
    tokens.sort_by_key(|token| token.position);
    tokens
}

fn token(text: String, position: usize) -> Token {
    Token { text, position, ..Token::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words apart by space, what may be written instead apart by `|`, and what follows on each other joined by `+`.
    fn told(text: &str) -> String {
        let word = |word: &Word| word.iter().map(|phrase| phrase.join("+")).collect::<Vec<_>>().join("|");
        keywords(text).iter().map(word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn keywords_are_plain_words() {
        for (text, words) in [
            ("", ""),
            (" !?。，「」🎁 -- ", ""),
            ("Running SHOES", "run shoe"),
            ("WH-1000XM5", "wh+1000+xm+5"),
            ("wh1000xm5", "wh+1000+xm+5"),
            ("Wi-Fi", "wi+fi|wifi"),
            ("Women’s", "women+s|women"),
            ("U.S.A.", "u+s+a|usa"),
            ("T-shirt2", "t+shirt+2|tshirt+2"),
            ("10,000 mAh", "10000 mah"),
            ("1,5", "1 5"),
            ("ＵＳＢ－Ｃ", "usb+c|usbc"),
            ("Café", "cafe"),
            ("名称:手机 OR \"x\"^2 AND NOT [a TO b] *", "名称 手机 x 2 b"),
            ("case for the iPhone", "case iphon"),
            ("The Who", "who"),
            ("to be or not", "to be or not"),
            ("红色的连衣裙", "红色 连衣裙"),
            ("的", "的"),
            ("华为Mate60手机", "华为 mate+60 手机"),
            ("杭研大厦", "杭+研 大厦"),
            ("T恤", "t 恤"),
            ("ワイヤレス", "ワ+イ+ヤ+レ+ス"),
        ] {
            assert_eq!(told(text), words, "{text}");
        }
    }

    #[test]
    fn text_is_indexed_as_it_may_be_looked_for() {
        let text = "Wi-Fi耳机 2,000";
        let mut terms = Vec::new();
        analyzer().token_stream(text).process(&mut |token| terms.push((token.position, token.text.clone())));
        let expected = [(0, "wifi"), (0, "wi"), (1, "fi"), (2, "耳"), (2, "耳机"), (2, "耳机"), (3, "机"), (4, "2000")];
        assert_eq!(terms, expected.map(|(position, term)| (position, term.to_owned())));
    }
}
