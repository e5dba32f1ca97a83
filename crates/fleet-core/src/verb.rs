//! Which commands agents of which kind take, and with which arguments: looked at before a command is accepted.
use crate::file::MAX_PATH_BYTES;
use serde_json::{Map, Value};

/// Paths of one scan.
const MOST_PATHS: usize = 1_000;
/// Bytes of a rule's name, and of an id.
const LONGEST_NAME: usize = 255;

/// A verb of one kind of agent.
struct Verb {
    kind: &'static str,
    name: &'static str,
    check: fn(&Value) -> Result<(), String>,
}

const fn verb(kind: &'static str, name: &'static str, check: fn(&Value) -> Result<(), String>) -> Verb {
    Verb { kind, name, check }
}

/// Every verb that there is. What erases malware for good is none: that is for whoever stands at the machine.
const VERBS: &[Verb] = &[
    // Always of all scan paths: moves are paired, and deletions told, only by a scan that has looked everywhere.
    verb("scanner", "scan", nothing),
    verb("scanner", "stop", nothing),
    verb("scanner", "restart", nothing),
    verb("reef-agent", "scan", malware_scan),
    verb("reef-agent", "stop", nothing),
    verb("reef-agent", "restart", nothing),
    verb("reef-agent", "reload", nothing),
    verb("reef-agent", "update-signatures", nothing),
    verb("reef-agent", "quarantine-restore", quarantine_restore),
];

/// Why a verb is not for an agent of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VerbError {
    /// No agent of this kind takes it.
    Unknown,
    /// Its arguments are not what it takes.
    Args(String),
}

/// Whether agents of `kind` take `verb` with `args`.
pub(crate) fn check(kind: &str, verb: &str, args: &Value) -> Result<(), VerbError> {
    let known = VERBS.iter().find(|known| known.kind == kind && known.name == verb);
    let known = known.ok_or(VerbError::Unknown)?;
    (known.check)(args).map_err(VerbError::Args)
}

/// The verbs of any kind, for whoever typed one that there is not.
pub(crate) fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = VERBS.iter().map(|verb| verb.name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether `args` is nothing, or an object without fields.
fn nothing(args: &Value) -> Result<(), String> {
    fields(args, &[]).map(drop)
}

/// By which rule, of which paths, and whether what is known is judged anew.
fn malware_scan(args: &Value) -> Result<(), String> {
    let Some(args) = fields(args, &["rule", "paths", "fresh"])? else {
        return Ok(());
    };
    args.get("rule").map_or(Ok(()), |rule| name("rule", rule))?;
    flag(args, "fresh")?;
    let Some(paths) = args.get("paths") else {
        return Ok(());
    };
    match paths.as_array() {
        Some(paths) if (1..=MOST_PATHS).contains(&paths.len()) => {
            paths.iter().try_for_each(|path| absolute("a path of `paths`", path))
        }
        _ => Err(format!("`paths` is a list of 1 to {MOST_PATHS} absolute paths")),
    }
}

/// Which item, where to, and whether over what lies there.
fn quarantine_restore(args: &Value) -> Result<(), String> {
    let missing = || "`id` is missing: which item of the quarantine".to_owned();
    let args = fields(args, &["id", "to", "force"])?.ok_or_else(missing)?;
    name("id", args.get("id").ok_or_else(missing)?)?;
    flag(args, "force")?;
    args.get("to").map_or(Ok(()), |to| absolute("`to`", to))
}

/// The fields of an object, all of which are among `known`; none where nothing was given.
fn fields<'a>(args: &'a Value, known: &[&str]) -> Result<Option<&'a Map<String, Value>>, String> {
    let object = match args {
        Value::Null => return Ok(None),
        Value::Object(object) => object,
        _ => return Err("arguments are an object".to_owned()),
    };
    match object.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) if known.is_empty() => Err(format!("there is no argument `{name}`: this verb takes none")),
        Some(name) => Err(format!(
            "there is no argument `{name}`: this verb takes {}",
            known.join(", ")
        )),
        None => Ok(Some(object)),
    }
}

fn name(what: &str, value: &Value) -> Result<(), String> {
    let fits = |text: &str| (1..=LONGEST_NAME).contains(&text.len()) && !text.chars().any(char::is_control);
    match value.as_str() {
        Some(text) if fits(text) => Ok(()),
        _ => Err(format!(
            "`{what}` is a text of 1 to {LONGEST_NAME} bytes without control characters"
        )),
    }
}

fn flag(args: &Map<String, Value>, name: &str) -> Result<(), String> {
    match args.get(name) {
        None | Some(Value::Bool(_)) => Ok(()),
        Some(_) => Err(format!("`{name}` is true or false")),
    }
}

/// A path that means the same wherever the agent stands: from the root, or on Windows from a drive or a share.
fn absolute(what: &str, value: &Value) -> Result<(), String> {
    let begins = |text: &str| {
        let drive = |text: &[u8]| matches!(text, [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic());
        text.starts_with('/') || text.starts_with(r"\\") || drive(text.as_bytes())
    };
    match value.as_str() {
        Some(text) if begins(text) && text.len() <= MAX_PATH_BYTES && !text.contains('\0') => Ok(()),
        _ => Err(format!("{what} is no absolute path, such as /srv/www")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn takes(kind: &str, right: &[(&str, Value)], wrong: &[(&str, Value)]) {
        for (verb, args) in right {
            assert_eq!(check(kind, verb, args), Ok(()), "{verb} {args}");
        }
        for (verb, args) in wrong {
            let refused = check(kind, verb, args);
            assert!(matches!(refused, Err(VerbError::Args(_))), "{verb} {args}: {refused:?}");
        }
    }

    #[test]
    fn arguments_are_those_of_the_verb() {
        let right = [
            ("scan", json!(null)),
            ("scan", json!({})),
            ("stop", json!({})),
            ("restart", json!(null)),
        ];
        let wrong = [
            ("scan", json!([])),
            ("scan", json!({"paths": ["/srv"]})),
            ("restart", json!("now")),
            ("stop", json!({"now": true})),
        ];
        takes("scanner", &right, &wrong);
        assert_eq!(check("scanner", "exec", &json!({})), Err(VerbError::Unknown));
        assert_eq!(check("toaster", "scan", &json!({})), Err(VerbError::Unknown));
    }

    #[test]
    fn a_scan_for_malware_is_of_a_rule_and_of_absolute_paths() {
        let right = [
            ("scan", json!(null)),
            (
                "scan",
                json!({"rule": "web", "paths": ["/srv", "C:\\data"], "fresh": true}),
            ),
            ("stop", json!(null)),
            ("restart", json!({})),
            ("reload", json!(null)),
            ("update-signatures", json!({})),
        ];
        let wrong = [
            ("scan", json!({"path": "/srv"})),
            ("scan", json!({"rule": ""})),
            ("scan", json!({"rule": "a\nb"})),
            ("scan", json!({"rule": 1})),
            ("scan", json!({"paths": []})),
            ("scan", json!({"paths": "/srv"})),
            ("scan", json!({"paths": ["srv"]})),
            ("scan", json!({"paths": ["/a\u{0}b"]})),
            ("scan", json!({"paths": vec!["/srv"; 1_001]})),
            ("scan", json!({"fresh": "yes"})),
            ("reload", json!({"rule": "web"})),
            ("update-signatures", json!({"force": true})),
        ];
        takes("reef-agent", &right, &wrong);
    }

    #[test]
    fn what_comes_back_from_quarantine_is_named_and_nothing_is_erased_from_afar() {
        let right = [
            ("quarantine-restore", json!({"id": "01HZ"})),
            (
                "quarantine-restore",
                json!({"id": "01HZ", "to": "/srv/x", "force": false}),
            ),
        ];
        let wrong = [
            ("quarantine-restore", json!(null)),
            ("quarantine-restore", json!({})),
            ("quarantine-restore", json!({"id": ""})),
            ("quarantine-restore", json!({"id": "01HZ", "to": "x"})),
            ("quarantine-restore", json!({"id": "01HZ", "force": 1})),
            ("quarantine-restore", json!({"id": "01HZ", "all": true})),
        ];
        takes("reef-agent", &right, &wrong);
        let erased = check("reef-agent", "quarantine-delete", &json!({"id": "01HZ"}));
        assert_eq!(erased, Err(VerbError::Unknown));
        let expected = [
            "quarantine-restore",
            "reload",
            "restart",
            "scan",
            "stop",
            "update-signatures",
        ];
        assert_eq!(names(), expected);
    }
}
