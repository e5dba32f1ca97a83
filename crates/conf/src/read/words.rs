//! serde's words in an administrator's.

use serde::de::Unexpected;

/// What a section is called where one was expected.
pub(super) const SECTION: &str = "a section of keys and values";
/// How that begins, and what sections say of themselves (`a section such as …`).
pub(super) const A_SECTION: &str = "a section";

/// What was expected. Texts that serde itself writes are put into plain words; those that types write of themselves
/// (`a duration such as `30s``) stay.
pub(super) fn expected(said: &str) -> String {
    if let Some(range) = whole_number(said.trim_start_matches("a nonzero ")) {
        let zero = if said.starts_with("a nonzero ") {
            " other than 0"
        } else {
            ""
        };
        return format!("{range}{zero}");
    }
    match said {
        "a string" | "a borrowed string" | "string" | "str" => "text".to_owned(),
        "path string" | "a borrowed path" | "os string" => "a path".to_owned(),
        "a boolean" | "boolean" => "`true` or `false`".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a sequence" | "an array" | "array" => "a list".to_owned(),
        "a map" | "a HashMap" => SECTION.to_owned(),
        "a character" => "a single character".to_owned(),
        "unit" => "nothing".to_owned(),
        "IP address" => "an IP address".to_owned(),
        "IPv4 address" => "an IPv4 address".to_owned(),
        "IPv6 address" => "an IPv6 address".to_owned(),
        "socket address" => "an address with a port, such as `127.0.0.1:8080`".to_owned(),
        _ => {
            if said.starts_with("struct ") || said.starts_with("struct variant ") || said.contains("tagged enum") {
                return SECTION.to_owned();
            }
            if let Some(size) = said
                .strip_prefix("a tuple of size ")
                .or(said.strip_prefix("an array of length "))
            {
                return format!("a list of {size} values");
            }
            if said.starts_with("tuple struct ") || said.starts_with("tuple variant ") {
                return "a list".to_owned();
            }
            said.to_owned()
        }
    }
}

/// The range of an integer type, by its Rust name.
pub(super) fn whole_number(name: &str) -> Option<String> {
    let between = |from: &str, to: &str| Some(format!("a whole number from {from} to {to}"));
    match name {
        "u8" => between("0", "255"),
        "u16" => between("0", "65535"),
        "u32" => between("0", "4294967295"),
        "u64" | "u128" | "usize" => Some("a whole number, 0 or more".to_owned()),
        "i8" => between("-128", "127"),
        "i16" => between("-32768", "32767"),
        "i32" => between("-2147483648", "2147483647"),
        "i64" | "i128" | "isize" => Some("a whole number".to_owned()),
        _ => None,
    }
}

pub(super) fn found(found: &Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(number) => format!("the number `{number}`"),
        Unexpected::Signed(number) => format!("the number `{number}`"),
        Unexpected::Float(number) => format!("the number `{number}`"),
        Unexpected::Char(c) => format!("the text `{c}`"),
        Unexpected::Str("") => "an empty text".to_owned(),
        Unexpected::Str(text) => format!("the text `{}`", short(text)),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map | Unexpected::StructVariant => "a section".to_owned(),
        Unexpected::Other(text) => (*text).to_owned(),
        _ => "another kind of value".to_owned(),
    }
}

/// At most sixty characters of a text.
pub(super) fn short(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_types_own_words_stay() {
        assert_eq!(expected("a duration such as `30s`"), "a duration such as `30s`");
        assert_eq!(expected("struct Server"), "a section of keys and values");
        assert_eq!(expected("a nonzero u8"), "a whole number from 0 to 255 other than 0");
    }

    #[test]
    fn long_values_are_cut() {
        assert_eq!(short(&"ä".repeat(80)).chars().count(), 61);
    }
}
