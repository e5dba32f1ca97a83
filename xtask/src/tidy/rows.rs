//! The table of promises in docs/rows.md: every test that it names must be there.
//!
//! The last cell of a line of the table names tests in backticks, each by the name of its function, with or without
//! modules before it.
use super::Source;
use std::collections::BTreeSet;

/// What is wrong with the table.
pub(super) fn check(table: &str, sources: &[Source]) -> Vec<String> {
    let known: BTreeSet<&str> = sources
        .iter()
        .filter(|source| source.path.ends_with(".rs"))
        .flat_map(|source| tests(&source.text))
        .collect();
    let named = table.lines().filter(|line| line.starts_with('|')).flat_map(named);
    let lost = named.filter(|name| !known.contains(name.rsplit("::").next().unwrap_or(name)));
    lost.map(|name| format!("docs/rows.md names the test `{name}`, which is not there"))
        .collect()
}

/// The tests that a line of the table names. What is in backticks without an underscore is a command or a crate.
fn named(line: &str) -> impl Iterator<Item = &str> {
    let line = line.trim_end().trim_end_matches('|');
    let proofs = line.rsplit('|').next().unwrap_or_default();
    let is_name =
        |name: &&str| name.contains('_') && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-:".contains(c));
    proofs.split('`').skip(1).step_by(2).filter(is_name)
}

/// The names of the test functions in a source.
fn tests(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim_start) {
        if let Some(attribute) = line.strip_prefix("#[") {
            is_test |= attribute.starts_with("test]") || attribute.starts_with("tokio::test");
        } else if let Some((before, rest)) = line.split_once("fn ")
            && before
                .split_whitespace()
                .all(|word| matches!(word, "async" | "pub" | "pub(crate)"))
        {
            if is_test {
                names.extend(rest.split(['(', '<']).next());
            }
            is_test = false;
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_is_named_and_not_there_is_found() {
        let text = "\
            fn a_helper() {}\n\
            #[test]\n\
            #[cfg(unix)]\n\
            fn a_move_is_told() {\n\
                // A call to some_fn (here) is no function.\n\
            }\n\
            #[tokio::test(start_paused = true)]\n\
            async fn time_stands_still() {}\n";
        let sources = [Source {
            path: "crates/a/src/lib.rs".to_owned(),
            text: text.to_owned(),
        }];
        let table = "\
            | row | state | proof |\n\
            | --- | --- | --- |\n\
            | `snake_case` name | done | `a_move_is_told`, `it::time_stands_still`, `cargo xtask demo` |\n\
            | F3 | done | `a_helper`, `gone_for_good` |\n\
            Text with `any_word` is no table.\n";
        let wrong = check(table, &sources);
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(wrong[0].contains("a_helper") && wrong[1].contains("gone_for_good"));
    }
}
