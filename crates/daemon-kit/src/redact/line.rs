//! What stands in a line where secrets stand.

use super::MASK;

/// Names after which a secret stands, in small letters and with `_` for `-`. The value of the first group goes on to the
/// end of the line or of its quotes, for it has spaces in it.
const LINES: [&str; 4] = ["authorization", "cookie", "private_key", "passphrase"];
const WORDS: [&str; 9] = [
    "api_key",
    "apikey",
    "access_key",
    "token",
    "password",
    "passwd",
    "secret",
    "credential",
    "signature",
];

/// Where a secret is found.
#[derive(Clone, Copy)]
enum Pattern {
    /// After a name; whether its value goes on to the end of the line.
    Name(&'static str, bool),
    /// After `Bearer` or `Basic`.
    Scheme(&'static str),
    /// Before the `@` of an address.
    Address,
}

#[derive(Clone, Copy)]
struct Range {
    start: usize,
    end: usize,
}

/// Copies a line without the values of names above, without tokens after `Bearer` and `Basic`, and without what stands
/// before the `@` of an address.
pub(super) fn redact(line: &str, out: &mut String) {
    let folded = folded(line);
    let names = LINES.iter().map(|name| Pattern::Name(name, true));
    let names = names.chain(WORDS.iter().map(|name| Pattern::Name(name, false)));
    let patterns = names.chain([Pattern::Scheme("bearer "), Pattern::Scheme("basic "), Pattern::Address]);
    // Each pattern walks the line once, however many secrets are in it: a log may be one line of a megabyte.
    let mut found: Vec<(Pattern, Range)> = patterns
        .filter_map(|pattern| Some((pattern, pattern.next(line, &folded, 0)?)))
        .collect();
    let mut from = 0;
    while let Some(Range { start, end }) = found.iter().map(|(_, range)| *range).min_by_key(|range| range.start) {
        out.push_str(&line[from..start]);
        out.push_str(MASK);
        from = end;
        found.retain_mut(|(pattern, range)| {
            if range.start >= from {
                return true;
            }
            pattern.next(line, &folded, from).map(|next| *range = next).is_some()
        });
    }
    out.push_str(&line[from..]);
}

/// Whether what bears this name is a secret.
pub(super) fn names_a_secret(name: &str) -> bool {
    let folded = folded(name);
    LINES.iter().chain(&WORDS).any(|word| folded.contains(word))
}

/// As the names above are written. Every character keeps its place.
fn folded(text: &str) -> String {
    let fold = |c: char| if c == '-' { '_' } else { c.to_ascii_lowercase() };
    text.chars().map(fold).collect()
}

impl Pattern {
    /// The next secret that begins at `from` or behind it.
    fn next(self, line: &str, folded: &str, from: usize) -> Option<Range> {
        match self {
            Self::Name(name, to_line_end) => {
                let mut at = from;
                loop {
                    at += folded.get(at..)?.find(name)? + name.len();
                    if let Some(range) = value(line, at, to_line_end) {
                        return Some(range);
                    }
                }
            }
            Self::Scheme(scheme) => after_scheme(line, folded, scheme, from),
            Self::Address => user_info(line, from),
        }
    }
}

/// The value that follows a name which ends at `at`: after the rest of a longer name (`token_file`), a quote or bracket,
/// and `:` or `=`. `None` where the name is a mere word of a sentence.
fn value(line: &str, at: usize, to_line_end: bool) -> Option<Range> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let after_name = line[at..].trim_start_matches(is_name);
    let quote = ['"', '\'', '`', '\\', ')', ']'];
    let after_quote = after_name.trim_start_matches(quote);
    // As Rust prints a pair: `("x-api-key", "…")`.
    let is_quoted = after_quote.len() < after_name.len();
    let after_quote = after_quote.trim_start_matches([' ', '\t']);
    let value = after_quote.strip_prefix(|c| c == ':' || c == '=' || (is_quoted && c == ','))?;
    let value = value.trim_start_matches(['=', '>', ' ', '\t', '(', '[']);
    // As JSON stands within JSON: `\"token\":\"…\"`.
    let bare = value.trim_start_matches('\\');
    let is_escaped = bare.len() < value.len();
    let (value, closing) = match bare.chars().next()? {
        quote @ ('"' | '\'' | '`') => (&bare[1..], Some(quote)),
        _ => (bare, None),
    };
    let length = match closing {
        Some(_) if is_escaped => value.find("\\\"").unwrap_or(value.len()),
        Some(quote) => quoted_length(value, quote),
        None if to_line_end => value.find(['\r', '\n', '"']).unwrap_or(value.len()),
        None => value
            .find(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '&' | '"' | '\'' | '}' | ')' | ']'))
            .unwrap_or(value.len()),
    };
    // The backslash belongs to the quote that ended the value: without it, JSON would be JSON no more.
    let is_half = closing.is_none() && value[..length].ends_with('\\') && value[length..].starts_with('"');
    let length = length - usize::from(is_half);
    let start = line.len() - value.len();
    // What is masked already, or empty, needs no second mask; the search must go on behind it.
    (!value[..length].trim_matches(['*', ' ']).is_empty()).then_some(Range {
        start,
        end: start + length,
    })
}

/// Up to the closing quote; one after a backslash does not close.
fn quoted_length(value: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (index, c) in value.char_indices() {
        match c {
            '\n' => return index,
            c if c == quote && !is_escaped => return index,
            c => is_escaped = c == '\\' && !is_escaped,
        }
    }
    value.len()
}

/// The token after `Bearer` or `Basic`, wherever it stands.
fn after_scheme(line: &str, folded: &str, scheme: &str, from: usize) -> Option<Range> {
    let mut at = from;
    loop {
        let start = at + folded.get(at..)?.find(scheme)? + scheme.len();
        let is_token = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
        let rest = &line[start..];
        let length = rest.find(|c| !is_token(c)).unwrap_or(rest.len());
        // Shorter ones are words: "basic set-up".
        if length >= 12 {
            let end = start + length;
            return Some(Range { start, end });
        }
        at = start;
    }
}

/// `user:password` of `scheme://user:password@host`.
fn user_info(line: &str, from: usize) -> Option<Range> {
    let mut at = from;
    loop {
        let start = line.get(at..)?.find("://")? + at + 3;
        let rest = &line[start..];
        let end = rest
            .find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | '`'))
            .unwrap_or(rest.len());
        match rest[..end].rfind('@').filter(|length| &rest[..*length] != MASK) {
            Some(length) => {
                return Some(Range {
                    start,
                    end: start + length,
                });
            }
            None => at = start,
        }
    }
}
