//! What a product's settings promise, and the check that they make of themselves.

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};

use crate::{path::KeyPath, problem::Problem, tree::Tree};

/// Settings of a product.
///
/// Every struct in them wants `#[serde(default)]`, so that problems can be found in one go. `flatten`, `untagged` and
/// internally tagged enums lose places and must not be used.
///
/// ```
/// use conf::{Check, Format, Layers, Settings};
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, JsonSchema, Default)]
/// #[serde(default)]
/// struct Scanner {
///     batch_size: u32,
/// }
///
/// impl Settings for Scanner {
///     fn check(&self, check: &mut Check<'_>) {
///         if !(10..=1000).contains(&self.batch_size) {
///             check.problem("batch_size", "must lie between 10 and 1000", None);
///         }
///     }
/// }
///
/// let problems = Layers::new().file("s.toml", "batch_size = 5", Format::Toml).load::<Scanner>().err().unwrap();
/// assert_eq!(problems.iter().next().unwrap().place().unwrap().to_string(), "s.toml:1:14");
/// ```
pub trait Settings: DeserializeOwned + Serialize + JsonSchema + Default {
    /// Keys whose default says too little, such as an empty list of sections, each with a value in JSON that
    /// [`annotated_example`](crate::annotated_example) shows besides.
    fn examples() -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// Reports what types alone cannot say: ranges, keys that exclude or need one another.
    fn check(&self, check: &mut Check<'_>) {
        let _ = check;
    }
}

/// Takes the problems that [`Settings::check`] finds; the place of each is that of its key.
#[derive(Debug)]
pub struct Check<'a> {
    tree: &'a Tree,
    faulty: &'a [KeyPath],
    pub(crate) problems: Vec<Problem>,
}

impl<'a> Check<'a> {
    pub(crate) fn new(tree: &'a Tree, faulty: &'a [KeyPath]) -> Self {
        Self {
            tree,
            faulty,
            problems: Vec::new(),
        }
    }

    /// Whether a key is set by any layer, and not merely by default.
    pub fn is_set(&self, key: &str) -> bool {
        self.tree.get(key).is_some()
    }

    /// The value of `key` will not do. Nothing is reported if that value could not be read in the first place.
    pub fn problem(&mut self, key: &str, message: impl Into<String>, help: Option<&str>) {
        self.conflict(&[key], message, help);
    }

    /// The values of several keys do not go together. It is shown at the first; nothing is reported if one of them
    /// could not be read in the first place.
    pub fn conflict(&mut self, keys: &[&str], message: impl Into<String>, help: Option<&str>) {
        self.report(keys, Problem::error(message), help);
    }

    /// The value of `key` will do, but does not what one may think.
    pub fn warning(&mut self, key: &str, message: impl Into<String>, help: Option<&str>) {
        self.report(&[key], Problem::warning(message), help);
    }

    fn report(&mut self, keys: &[&str], mut problem: Problem, help: Option<&str>) {
        let paths: Vec<KeyPath> = keys.iter().map(|key| KeyPath::parse(key)).collect();
        // A key left out for another problem has its default here: what is said of that would mislead.
        if paths
            .iter()
            .any(|path| self.faulty.iter().any(|faulty| path.touches(faulty)))
        {
            return;
        }
        // The first key of these may be at its default: then the one that was written is shown.
        let written = paths.iter().find(|path| self.tree.at(path).is_some()).or(paths.first());
        if let Some((node, entry)) = written.and_then(|path| self.tree.nearest_above(path)) {
            let is_itself = written.is_some_and(|path| self.tree.at(path).is_some());
            problem = problem.at(entry.filter(|_| !is_itself).map_or(&node.at, |entry| &entry.at));
        }
        problem.help = help.map(str::to_owned);
        self.problems
            .push(problem.with_key(paths.first().map(KeyPath::to_string).unwrap_or_default()));
    }
}
