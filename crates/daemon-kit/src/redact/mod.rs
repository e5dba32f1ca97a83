//! Takes secrets out of text that leaves the machine.

mod line;

use crate::{env_file::names_a_secret, load::Loaded};
use conf::Settings;
use core_model::Secret;
use serde_json::Value;
use std::{borrow::Cow, collections::BTreeMap};
use url::Url;

const MASK: &str = "***";

/// A known secret shorter than this is not looked for by its text: `ab` stands in half of all words.
const SHORTEST: usize = 4;

/// Takes secrets out of text: those that are known by their text, and whatever stands where secrets stand.
///
/// ```
/// use daemon_kit::Redactor;
/// let redactor = Redactor::new(["hunter2"]);
/// assert_eq!(redactor.redact("sent hunter2; X-API-KEY: abc"), "sent ***; X-API-KEY: ***");
/// ```
#[derive(Clone, Default)]
pub struct Redactor {
    // The longest first: of two of which one contains the other, the whole has to go.
    secrets: Vec<String>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor")
            .field("secrets", &self.secrets.len())
            .finish()
    }
}

impl Redactor {
    /// Knows these secrets.
    pub fn new<S: AsRef<str>>(secrets: impl IntoIterator<Item = S>) -> Self {
        let mut redactor = Self::default();
        for secret in secrets {
            redactor.add(secret.as_ref());
        }
        redactor
    }

    /// Knows every secret that a configuration was made of: the values of its keys that are masked, and the variables
    /// of the environment and the `env` file that are named like secrets.
    pub fn of_loaded<T: Settings>(loaded: &Loaded<T>) -> Self {
        let tree = loaded.settings.tree();
        let masked = loaded.settings.effective().into_iter();
        let masked = masked.filter(|effective| effective.value == MASK);
        let values: Vec<String> = masked
            .filter_map(|effective| tree.get(&effective.key)?.text().map(str::to_owned))
            .collect();
        let mut redactor = Self::of_variables(&loaded.variables);
        for value in &values {
            redactor.add(value);
        }
        redactor
    }

    /// Knows the variables that are named like secrets, for where there is no configuration to know more from.
    pub fn of_variables(variables: &BTreeMap<String, String>) -> Self {
        let secrets = variables.iter().filter(|(name, _)| names_a_secret(name));
        Self::new(secrets.map(|(_, value)| value))
    }

    /// Knows one more, such as the key that enrolment gave.
    #[must_use]
    pub fn with(mut self, secret: &Secret) -> Self {
        self.add(secret.reveal());
        self
    }

    fn add(&mut self, secret: &str) {
        let mut forms = vec![secret.to_owned(), secret.trim().to_owned()];
        // As it stands in a line of JSON.
        let quoted = Value::from(secret).to_string();
        forms.extend(quoted.get(1..quoted.len() - 1).map(str::to_owned));
        // Of an address with a password, the password alone, as it is written and as it is meant.
        if let Some(password) = Url::parse(secret).ok().as_ref().and_then(Url::password) {
            forms.extend([password.to_owned(), percent_decoded(password)]);
        }
        for form in forms {
            if form.len() >= SHORTEST && !self.secrets.contains(&form) {
                self.secrets.push(form);
            }
        }
        self.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }

    /// The text without secrets. Too much may go, as in `token: none`; nothing that looks like one stays.
    pub fn redact(&self, text: &str) -> String {
        let mut redacted = String::with_capacity(text.len());
        let mut in_key = false;
        for line in self
            .without_known(text, |secret| secret.contains('\n'))
            .split_inclusive('\n')
        {
            // A private key in PEM is many lines without a word that tells what they are.
            let names_a_key = line.contains("PRIVATE KEY-----");
            if let Some(line) = self.json(line) {
                redacted.push_str(&line);
            } else if in_key || (names_a_key && line.contains("-----BEGIN")) {
                redacted.push_str(if in_key { "" } else { "*** private key\n" });
                in_key = !line.contains("-----END");
            } else if names_a_key && line.contains("-----END") {
                // The text began within a key.
                redacted.truncate(without_base64_at_end(&redacted).len());
                redacted.push_str("*** private key\n");
            } else {
                line::redact(&self.without_known(line, |_| true), &mut redacted);
            }
        }
        redacted
    }

    fn without_known<'a>(&self, text: &'a str, is_meant: impl Fn(&str) -> bool) -> Cow<'a, str> {
        let mut known = Cow::Borrowed(text);
        for secret in self.secrets.iter().filter(|secret| is_meant(secret)) {
            if known.contains(secret) {
                known = Cow::Owned(known.replace(secret, MASK));
            }
        }
        known
    }

    /// A line that is JSON, with its texts redacted one by one, so that it stays JSON; `None` for any other.
    fn json(&self, line: &str) -> Option<String> {
        if !line.starts_with(['{', '[']) {
            return None;
        }
        let before: Value = serde_json::from_str(line).ok()?;
        let mut after = before.clone();
        self.value(&mut after, false);
        let end = if line.ends_with('\n') { "\n" } else { "" };
        let json = if after == before {
            line.to_owned()
        } else {
            format!("{after}{end}")
        };
        // An escape such as `\f` can end where a secret begins, which no text of the line then holds: the line goes as
        // plain text.
        (!self.secrets.iter().any(|secret| json.contains(secret))).then_some(json)
    }

    fn value(&self, value: &mut Value, is_secret: bool) {
        match value {
            Value::String(text) if is_secret && !text.is_empty() => *text = MASK.to_owned(),
            Value::String(text) => *text = self.redact(text),
            Value::Array(elements) => elements.iter_mut().for_each(|element| self.value(element, is_secret)),
            Value::Object(members) => {
                let redacted = std::mem::take(members).into_iter().map(|(key, mut value)| {
                    self.value(&mut value, line::names_a_secret(&key));
                    (self.redact(&key), value)
                });
                *members = redacted.collect();
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// `text` without the lines at its end that are nothing but base64.
fn without_base64_at_end(text: &str) -> &str {
    let mut rest = text;
    while let Some(without_end) = rest.strip_suffix('\n') {
        let begin = without_end.rfind('\n').map_or(0, |end| end + 1);
        let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '\r');
        if !without_end[begin..].chars().all(is_base64) {
            break;
        }
        rest = &rest[..begin];
    }
    rest
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = (byte == b'%')
            .then(|| after.get(..2))
            .flatten()
            .and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match escaped {
            Some(escaped) => {
                bytes.push(escaped);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn redacted(text: &str) -> String {
        Redactor::new(["hunter2", "http://me:p%40ss-word@proxy:3128", "say \"yes\""]).redact(text)
    }

    #[test]
    fn known_secrets_go_in_every_form() {
        for (text, expected) in [
            ("hunter2", "***"),
            ("xhunter2x hunter2", "x***x ***"),
            ("asked http://me:p%40ss-word@proxy:3128 in vain", "asked *** in vain"),
            ("password was p@ss-word, or p%40ss-word", "password was ***, or ***"),
            (r#"{"answer":"say \"yes\""}"#, r#"{"answer":"***"}"#),
            (r#"{"path":"\unter2","n":1}"#, r#"{"path":"\unter2","n":1}"#),
            (r#"{"url":"\bhunter2"}"#, r#"{"url":"\b***"}"#),
        ] {
            assert_eq!(redacted(text), expected);
        }
    }

    #[test]
    fn what_stands_where_secrets_stand_goes() {
        for (text, expected) in [
            ("X-API-KEY: abc", "X-API-KEY: ***"),
            ("authorization: Bearer a.b c", "authorization: ***"),
            (
                r#"{"Authorization":"Basic dXNlcjpwYXNz","b":1}"#,
                r#"{"Authorization":"***","b":1}"#,
            ),
            (
                r#"{"fields":{"api_key":"a\"b","n":1}}"#,
                r#"{"fields":{"api_key":"***","n":1}}"#,
            ),
            (r#"text: {\"token\":\"abcdef\"}"#, r#"text: {\"token\":\"***\"}"#),
            (
                "SCANNER_JOIN_TOKEN=abc SCANNER_LOG_LEVEL=info",
                "SCANNER_JOIN_TOKEN=*** SCANNER_LOG_LEVEL=info",
            ),
            ("proxy https://user:pa:ss@proxy/x", "proxy https://***@proxy/x"),
            ("GET /x?token=abc&a=1", "GET /x?token=***&a=1"),
            ("sent Bearer abcdefghijklmnop today", "sent Bearer *** today"),
            (
                r#"{"found":"said \"password: abc\" twice"}"#,
                r#"{"found":"said \"password: ***\" twice"}"#,
            ),
            (
                r#"{"found":"Authorization: abc\""}"#,
                r#"{"found":"Authorization: ***\""}"#,
            ),
            ("password = 'two words', next", "password = '***', next"),
            (
                "headers [(\"x-api-key\", \"abc\")]",
                "headers [(\"x-api-key\", \"***\")]",
            ),
            ("Cookie: a=b; c=d\nnext", "Cookie: ***\nnext"),
            ("api_key: *** token: abc", "api_key: *** token: ***"),
            ("ein Schlüssel: ü, token=ü€x ü", "ein Schlüssel: ü, token=*** ü"),
        ] {
            assert_eq!(redacted(text), expected);
        }
        let pem = "a\n-----BEGIN EC PRIVATE KEY-----\nMHcCAQ\n-----END EC PRIVATE KEY-----\nb\n";
        assert_eq!(redacted(pem), "a\n*** private key\nb\n");
        assert_eq!(
            redacted(&format!("all is well\n{}", &pem[40..])),
            "all is well\n*** private key\nb\n"
        );
        assert_eq!(
            redacted(&pem[40..]),
            "*** private key\nb\n",
            "a text that begins within a key"
        );
    }

    #[test]
    fn a_megabyte_in_one_line_is_one_walk() {
        let line = "token=abcdef, https://a:b@c ".repeat(40_000);
        assert_eq!(redacted(&line), "token=***, https://***@c ".repeat(40_000));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn whatever_the_text_a_known_secret_goes(text in "[a-zA-Z0-9 :=\"'\\\\{},@/ü\n-]{0,80}", at in 0usize..80) {
            let mut text = text;
            let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.insert_str(at, "hunter2");
            prop_assert!(!redacted(&text).contains("hunter2"));
        }

        #[test]
        fn json_stays_json(key in "(X-API-KEY|token|authorization|message)", value in "[a-zA-Z :=\"'\\\\{},@/\n-]{0,40}(token=|Authorization: |://a:b@)?[a-z\"\\\\ ]{0,20}", more in any::<String>()) {
            let text = serde_json::json!({key.clone(): value, "more": more, "nested": serde_json::json!({key: value}).to_string()}).to_string();
            let redacted = redacted(&text);
            prop_assert!(serde_json::from_str::<Value>(&redacted).is_ok(), "{text}\n{redacted}");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "the token was refused",
            "basic set-up done",
            "https://fleet.example.com/health: 200",
            "user@example.com wrote",
            "files: 12345; errors: 0\n",
        ] {
            assert_eq!(redacted(text), text);
        }
    }
}
