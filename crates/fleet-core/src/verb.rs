//! Which commands agents of which kind take, and with which arguments: looked at before a command is accepted.
use serde_json::Value;

/// The most paths that one scan may be limited to.
const MAX_PATHS: usize = 256;

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
        check: paths,
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

fn nothing(args: &Value) -> Result<(), String> {
    fields(args, &[])
}

fn paths(args: &Value) -> Result<(), String> {
    fields(args, &["paths"])?;
    let Some(paths) = args.get("paths") else { return Ok(()) };
    let paths = paths.as_array().filter(|paths| (1..=MAX_PATHS).contains(&paths.len()));
    let paths = paths.ok_or_else(|| format!("`paths` is a list of 1 to {MAX_PATHS} paths"))?;
    let is_path = |path: &Value| {
        path.as_str()
            .is_some_and(|path| (1..=crate::MAX_PATH_BYTES).contains(&path.len()) && !path.contains('\0'))
    };
    match paths.iter().find(|path| !is_path(path)) {
        Some(path) => Err(format!("`paths` holds {path}, which is no path")),
        None => Ok(()),
    }
}

/// Whether `args` is an object, or nothing, without other fields than these.
fn fields(args: &Value, known: &[&str]) -> Result<(), String> {
    let object = match args {
        Value::Null => return Ok(()),
        Value::Object(object) => object,
        _ => return Err("arguments are an object".to_owned()),
    };
    match object.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) if known.is_empty() => Err(format!("there is no argument `{name}`: this verb takes none")),
        Some(name) => Err(format!("there is no argument `{name}`; known: {}", known.join(", "))),
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
            ("scan", json!({"paths": ["/srv", "/home"]})),
            ("stop", json!({})),
            ("restart", json!(null)),
        ];
        for (verb, args) in right {
            assert_eq!(check("scanner", verb, &args), Ok(()), "{verb} {args}");
        }
        let wrong = [
            ("scan", json!([])),
            ("scan", json!({"path": "/srv"})),
            ("scan", json!({"paths": "/srv"})),
            ("scan", json!({"paths": []})),
            ("scan", json!({"paths": ["/srv", ""]})),
            ("scan", json!({"paths": ["/s\u{0}rv"]})),
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
