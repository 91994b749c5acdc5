//! Pictures to be read by a human.

/// Draws captchas.
pub trait CaptchaProvider: Send + Sync {
    fn draw(&self) -> Drawing;
}

/// A picture, and what it says.
pub struct Drawing {
    pub answer: String,
    pub image: Vec<u8>,
    /// Such as `image/svg+xml`.
    pub media_type: &'static str,
}

/// Keeps nobody out: who develops knows the answer.
pub struct Development;

impl CaptchaProvider for Development {
    fn draw(&self) -> Drawing {
        let answer = "12345";
        let image = format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="120" height="40"><rect width="120" height="40" fill="white"/><text x="60" y="28" font-family="monospace" font-size="24" letter-spacing="4" text-anchor="middle">{answer}</text></svg>"#
        );
        Drawing { answer: answer.to_owned(), image: image.into_bytes(), media_type: "image/svg+xml" }
    }
}
