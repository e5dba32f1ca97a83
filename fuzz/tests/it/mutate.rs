//! Inputs made of others, the same again for the same seed.
use testkit::Random;

/// Texts on which parsers turn, put in as they are.
const WORDS: [&[u8]; 30] = [
    b"\"",
    b"'",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"\n",
    b"\r\n",
    b"\t",
    b"  ",
    b"- ",
    b"#",
    b"//",
    b"\\u0000",
    b"\\",
    b"*",
    b"&",
    b"!",
    b"${",
    b"null",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xf0\x9f\x98\x80",
    b"-1",
    b"18446744073709551616",
    b"1e999",
    b"..",
];

/// No input grows beyond this.
const LONGEST: usize = 4096;

/// One input of `corpus`, changed in one to eight places.
pub(crate) fn mutated(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = random.pick(corpus).clone();
    for _ in 0..=random.below(8) {
        change(&mut input, corpus, random);
    }
    input.truncate(LONGEST);
    input
}

fn change(input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len() as u64 + 1) as usize;
    let end = at + random.below((input.len() - at).min(64) as u64 + 1) as usize;
    match random.below(9) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = random.next_u64() as u8,
        2 if at < input.len() => input[at] = *random.pick(&[0, 1, 0x7f, 0x80, 0xff, b'0', b'9', b' ']),
        3 => drop(input.drain(at..end)),
        4 => {
            let again = input[at..end].to_vec();
            for _ in 0..=random.below(4) {
                input.splice(at..at, again.iter().copied());
            }
        }
        5 => input.truncate(at),
        6 => {
            let other = random.pick(corpus);
            let from = random.below(other.len() as u64 + 1) as usize;
            let until = from + random.below((other.len() - from) as u64 + 1) as usize;
            input.splice(at..at, other[from..until].iter().copied());
        }
        7 => {
            let other = random.pick(corpus);
            let from = random.below(other.len() as u64 + 1) as usize;
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        _ => drop(input.splice(at..at, random.pick(&WORDS).iter().copied())),
    }
}
