//! `${NAME}`, `${NAME:-default}` and `$$` inside scalars, after parsing: what is put in can never become structure.

use crate::{
    path::KeyPath,
    problem::Problem,
    secret,
    source::Kind,
    tree::{Node, Value},
};

/// Looks a variable up by name.
pub(crate) type Lookup = dyn Fn(&str) -> Option<String>;

/// Replaces variables in every scalar of files. Gives what is wrong, with the id of the node at fault.
///
/// What a controller sent is never filled in from this machine's variables, for it could carry them away. What
/// variables and options hold is taken as it stands.
pub(crate) fn interpolate(root: &mut Node, lookup: &Lookup) -> Vec<(u32, Problem)> {
    let mut changed = Vec::new();
    let mut problems = Vec::new();
    root.walk(&mut KeyPath::default(), &mut |path, node| {
        let Some(text) = node.text().filter(|text| text.contains('$')) else {
            return;
        };
        let none: &Lookup = &|_| None;
        let result = match node.at.source.kind() {
            Kind::Environment | Kind::CommandLine => return,
            Kind::File => fill(text, lookup),
            Kind::Controller => match fill(text, none) {
                Ok(Filled {
                    has_variable: false,
                    text,
                }) => Ok(Filled {
                    has_variable: false,
                    text,
                }),
                _ => Err(Fault {
                    message: "what the controller sends must not use `${…}`".to_owned(),
                    help: None,
                }),
            },
        };
        match result {
            Ok(filled) => changed.push((node.id, filled)),
            Err(fault) => {
                let mut problem = Problem::error(fault.message).at(&node.at).with_key(path.to_string());
                problem.help = fault.help;
                if secret::is_secret_path(path) && text.contains(":-") {
                    problem.hidden.push(node.at.start..node.at.end);
                }
                problems.push((node.id, problem));
            }
        }
    });
    let mut changed = changed.into_iter().peekable();
    root.each_mut(&mut |node| {
        if let Some((_, filled)) = changed.next_if(|(id, _)| *id == node.id) {
            node.value = match (&node.value, filled.has_variable) {
                (Value::Str(_), false) => Value::Str(filled.text),
                _ => Value::Plain(filled.text),
            };
        }
    });
    problems
}

struct Filled {
    text: String,
    has_variable: bool,
}

struct Fault {
    message: String,
    help: Option<String>,
}

fn fill(text: &str, lookup: &Lookup) -> Result<Filled, Fault> {
    let mut filled = Filled {
        text: String::with_capacity(text.len()),
        has_variable: false,
    };
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        filled.text.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            filled.text.push('$');
            rest = after;
        } else if let Some(inner) = after.strip_prefix('{') {
            let Some((inner, after)) = inner.split_once('}') else {
                return Err(Fault {
                    message: "`${` is not closed".to_owned(),
                    help: Some("write `}` after the variable's name, or `$$` for a dollar sign".to_owned()),
                });
            };
            filled.text.push_str(&variable(inner, lookup)?);
            filled.has_variable = true;
            rest = after;
        } else {
            filled.text.push('$');
            rest = after;
        }
    }
    filled.text.push_str(rest);
    Ok(filled)
}

fn variable(inner: &str, lookup: &Lookup) -> Result<String, Fault> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let first_fits = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !first_fits || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(Fault {
            message: "`${…}` holds no name of a variable".to_owned(),
            help: Some("write `${NAME}` or `${NAME:-default}`, or `$$` for a dollar sign".to_owned()),
        });
    }
    match (lookup(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(Fault {
            message: format!("the variable `{name}` is not set and has no default"),
            help: Some(format!("set it, or write `${{{name}:-default}}`")),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<String, String> {
        let lookup = |name: &str| {
            (name == "A")
                .then(|| "x: [1]".to_owned())
                .or((name == "E").then(String::new))
        };
        fill(text, &lookup)
            .map(|filled| filled.text)
            .map_err(|fault| fault.message)
    }

    #[test]
    fn forms() {
        for (text, expected) in [
            ("${A}", "x: [1]"),
            ("-${A}-${B:-b}-", "-x: [1]-b-"),
            ("$$A $${A} $$$$", "$A ${A} $$"),
            ("a$ $b", "a$ $b"),
            ("${E:-d}|${E}|${B:-}", "d||"),
        ] {
            assert_eq!(filled(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn faults() {
        assert!(filled("${B}").unwrap_err().contains("`B` is not set"));
        assert!(filled("${A").unwrap_err().contains("not closed"));
        assert!(filled("${}").is_err() && filled("${a b}").is_err() && filled("${1}").is_err());
    }
}
