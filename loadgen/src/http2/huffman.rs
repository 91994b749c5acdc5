//! The code that headers are written in (RFC 7541, appendix B). It is canonical: codes of one length follow each other, in the order of
//! their bytes, so their lengths say all.

use std::sync::LazyLock;

const LENGTH_MAX: usize = 30;

/// Bits of the code of each byte.
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28,
    28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7,
    7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23,
    24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21,
    22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27,
    27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25,
    25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// Bytes in the order of their codes.
static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut bytes: Vec<_> = (0..=u8::MAX).collect();
    bytes.sort_by_key(|byte| LENGTHS[usize::from(*byte)]);
    bytes
});

/// How many codes have each length.
const COUNTS: [u32; LENGTH_MAX + 1] = {
    let mut counts = [0; LENGTH_MAX + 1];
    let mut byte = 0;
    while byte < LENGTHS.len() {
        counts[LENGTHS[byte] as usize] += 1;
        byte += 1;
    }
    counts
};

/// What is written; `None` when it is no code.
pub fn decode(coded: &[u8]) -> Option<Vec<u8>> {
    let mut bits = coded.iter().flat_map(|byte| (0..8).rev().map(move |bit| u32::from(byte >> bit) & 1));
    let mut decoded = Vec::with_capacity(coded.len() * 2);
    loop {
        let (mut code, mut first, mut place) = (0, 0, 0);
        let mut length = 0;
        let byte = loop {
            let Some(bit) = bits.next() else {
                // The last byte is filled up with ones.
                return (length < 8 && code + 1 == 1 << length).then_some(decoded);
            };
            (code, first, length) = ((code << 1) | bit, first << 1, length + 1);
            let count = *COUNTS.get(length)?;
            if code < first + count {
                break BYTES[(place + code - first) as usize];
            }
            (first, place) = (first + count, place + count);
        };
        decoded.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 7541, appendix C.
    #[test]
    fn what_others_wrote_is_read() {
        for (coded, text) in [
            ("f1e3c2e5f23a6ba0ab90f4ff", "www.example.com"),
            ("a8eb10649cbf", "no-cache"),
            ("25a849e95ba97d7f", "custom-key"),
            ("d07abe941054d444a8200595040b8166e082a62d1bff", "Mon, 21 Oct 2013 20:13:21 GMT"),
            ("", ""),
        ] {
            assert_eq!(decode(&hex::decode(coded).unwrap()).as_deref(), Some(text.as_bytes()));
        }
        for wrong in ["ffffffff", "f1e3c2e5f23a6ba0ab90f4", "00ff00ffffffffffff"] {
            assert_eq!(decode(&hex::decode(wrong).unwrap()).as_deref(), None, "{wrong}");
        }
    }
}
