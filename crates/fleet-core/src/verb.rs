//! Which commands agents of which kind take, and with which arguments: looked at before a command is accepted.
use serde_json::Value;

/// A verb of one kind of agent.
struct Verb {
    kind: &'static str,
    name: &'static str,
    check: fn(&Value) -> Result<(), String>,
}

/// Every verb that there is.
const VERBS: &[Verb] = &[
    Verb {
        kind: "scanner",
        name: "scan",
        // Always of all scan paths: moves are paired, and deletions told, only by a scan that has looked everywhere.
        check: nothing,
    },
    Verb {
        kind: "scanner",
        name: "stop",
        check: nothing,
    },
    Verb {
        kind: "scanner",
        name: "restart",
        check: nothing,
    },
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
    let object = match args {
        Value::Null => return Ok(()),
        Value::Object(object) => object,
        _ => return Err("arguments are an object".to_owned()),
    };
    match object.keys().next() {
        Some(name) => Err(format!("there is no argument `{name}`: this verb takes none")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn arguments_are_those_of_the_verb() {
        let right = [
            ("scan", json!(null)),
            ("scan", json!({})),
            ("stop", json!({})),
            ("restart", json!(null)),
        ];
        for (verb, args) in right {
            assert_eq!(check("scanner", verb, &args), Ok(()), "{verb} {args}");
        }
        let wrong = [
            ("scan", json!([])),
            ("scan", json!({"paths": ["/srv"]})),
            ("restart", json!("now")),
            ("stop", json!({"now": true})),
        ];
        for (verb, args) in wrong {
            assert!(
                matches!(check("scanner", verb, &args), Err(VerbError::Args(_))),
                "{verb} {args}"
            );
        }
        assert_eq!(check("scanner", "exec", &json!({})), Err(VerbError::Unknown));
        assert_eq!(check("toaster", "scan", &json!({})), Err(VerbError::Unknown));
        assert_eq!(names(), ["restart", "scan", "stop"]);
    }
}
