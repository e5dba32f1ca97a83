//! Layers of settings, laid over one another and read as one.

use std::collections::HashSet;

use crate::{
    environment::{self, EnvironmentSpec},
    format::Format,
    inline,
    interpolate::{self, Lookup},
    loaded::Loaded,
    parse,
    path::KeyPath,
    problem::{Problem, Problems, Severity},
    read::{self, hide_secrets},
    schema::Keys,
    secret::Secrets,
    settings::{Check, Settings},
    source::{Kind, Source},
    tree::{Node, Tree, Value},
};

/// Layers of settings: defaults < files < controller < environment < command line.
///
/// ```
/// # use schemars::JsonSchema;
/// # use serde::{Deserialize, Serialize};
/// use conf::{Format, Layers, Settings};
///
/// #[derive(Serialize, Deserialize, JsonSchema, Default)]
/// #[serde(default)]
/// struct Server { url: String, retries: u32 }
/// impl Settings for Server {}
///
/// let loaded = Layers::new()
///     .file("server.yaml", "url: https://${HOST}/api\nretries: 3", Format::Yaml)
///     .option("--retries", "retries", "5")
///     .interpolate(|name| (name == "HOST").then(|| "example.com".to_owned()))
///     .load::<Server>()
///     .unwrap();
/// assert_eq!((loaded.value.url.as_str(), loaded.value.retries), ("https://example.com/api", 5));
/// ```
#[derive(Default)]
pub struct Layers {
    documents: Vec<(Source, Format)>,
    forbidden: Vec<String>,
    environment: Option<(EnvironmentSpec, Vec<(String, String)>)>,
    options: Vec<Node>,
    lookup: Option<Box<Lookup>>,
    meaningless: Vec<(String, String)>,
}

impl Layers {
    /// No layer but the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file. Of several, each lies over those before it.
    #[must_use]
    pub fn file(self, name: impl Into<String>, text: impl Into<String>, format: Format) -> Self {
        self.document(Source::new(name, text, Kind::File), format)
    }

    /// Adds what a controller sent, over all files. Variables (`${…}`) are refused in it.
    #[must_use]
    pub fn controller(self, name: impl Into<String>, text: impl Into<String>, format: Format) -> Self {
        self.document(Source::new(name, text, Kind::Controller), format)
    }

    /// Names keys, such as `server.api_key`, that a controller must not set: each it sets is a problem. A section's
    /// name stands for all that is in it.
    #[must_use]
    pub fn controller_forbidden(mut self, keys: &[&str]) -> Self {
        self.forbidden.extend(keys.iter().map(|key| (*key).to_owned()));
        self
    }

    /// Adds environment variables, over files and controller. Replaces those of an earlier call.
    #[must_use]
    pub fn environment(mut self, spec: EnvironmentSpec, vars: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment = Some((spec, vars.into_iter().collect()));
        self
    }

    /// Adds an option of the command line, such as `--log-level` for the key `logging.level`, over all else.
    #[must_use]
    pub fn option(mut self, name: impl Into<String>, key: &str, value: impl Into<String>) -> Self {
        self.options.push(environment::overlay(
            &name.into(),
            value.into(),
            Kind::CommandLine,
            &KeyPath::parse(key),
        ));
        self
    }

    /// Has `${NAME}`, `${NAME:-default}` and `$$` replaced in the values of files. Without this call they stay.
    #[must_use]
    pub fn interpolate(mut self, lookup: impl Fn(&str) -> Option<String> + 'static) -> Self {
        self.lookup = Some(Box::new(lookup));
        self
    }

    /// Names a key of older documents that has no meaning any more: it is left out with a warning that says `why`.
    #[must_use]
    pub fn meaningless(mut self, key: &str, why: &str) -> Self {
        self.meaningless.push((key.to_owned(), why.to_owned()));
        self
    }

    /// Makes one typed value of all layers.
    ///
    /// # Errors
    ///
    /// Every problem of every layer at once: syntax, unknown keys, values of the wrong kind, variables that are not
    /// set or name no key, and what [`Settings::check`] finds. A key that a higher layer sets is judged by that layer.
    pub fn load<T: Settings>(self) -> Result<Loaded<T>, Problems> {
        let (loaded, wrong) = self.load_what_can_be()?;
        wrong.map_or(Ok(loaded), Err)
    }

    /// The same for who only looks and has to go on: what cannot be read is left at its default, and told beside. What merely
    /// [`Settings::check`] finds stands as it was written.
    ///
    /// ```
    /// # use schemars::JsonSchema;
    /// # use serde::{Deserialize, Serialize};
    /// use conf::{Format, Layers, Settings};
    ///
    /// #[derive(Serialize, Deserialize, JsonSchema, Default)]
    /// #[serde(default)]
    /// struct Server { url: String, retries: u32 }
    /// impl Settings for Server {}
    ///
    /// let text = "url: https://example.com\nretries: many";
    /// let (loaded, wrong) = Layers::new().file("s.yaml", text, Format::Yaml).load_what_can_be::<Server>().unwrap();
    /// assert_eq!((loaded.value.url.as_str(), loaded.value.retries), ("https://example.com", 0));
    /// assert_eq!(wrong.unwrap().iter().next().unwrap().key(), Some("retries"));
    /// ```
    ///
    /// # Errors
    ///
    /// The same as [`load`](Self::load), where not even that gives a value.
    pub fn load_what_can_be<T: Settings>(self) -> Result<(Loaded<T>, Option<Problems>), Problems> {
        let keys = Keys::of::<T>();
        let mut problems = Vec::new();
        let mut broken = Vec::new();
        let nowhere = Source::new("settings", "", Kind::File).span(0..0);
        let mut root = Node::new(nowhere, Value::Map(Vec::new()));
        for is_controller in [false, true] {
            for (source, format) in &self.documents {
                if (source.kind() == Kind::Controller) != is_controller {
                    continue;
                }
                let (node, found) = parse::read(source, *format);
                // Of a text that cannot be read, the lines at fault say nothing true about their keys.
                broken.extend(
                    found
                        .iter()
                        .filter(|problem| problem.is_syntax)
                        .filter_map(Problem::place),
                );
                problems.extend(found);
                if let Some(node) = node.and_then(|node| self.admit(node, source, &mut problems)) {
                    // What is missing at the top is shown in the first text.
                    if root.at.source.text().is_empty() {
                        root = node;
                    } else {
                        root.overlay(node);
                    }
                }
            }
        }
        if let Some((spec, vars)) = self.environment {
            let (nodes, found) = environment::read(&spec, vars, &keys);
            problems.extend(found);
            nodes
                .into_iter()
                .for_each(|node| root.overlay(inline::expanded(node, &keys)));
        }
        self.options
            .into_iter()
            .for_each(|node| root.overlay(inline::expanded(node, &keys)));

        let mut tree = Tree::new(root);
        let mut skip = HashSet::new();
        if let Some(lookup) = &self.lookup {
            for (id, problem) in tree.interpolate(lookup.as_ref()) {
                skip.insert(id);
                problems.push(problem);
            }
        }
        let outcome = read::read::<T>(&tree, skip, Secrets::Typed(&keys));
        let is_whole = broken.is_empty();
        let trustworthy = |problem: &Problem| match problem.place() {
            Some(place) => !broken.iter().any(|at| at.file == place.file && at.line == place.line),
            None => is_whole,
        };
        problems.extend(
            outcome
                .problems
                .into_iter()
                .map(|problem| elsewhere(problem, &keys))
                .filter(trustworthy),
        );
        if let Some(value) = outcome.value.as_ref().filter(|_| is_whole) {
            let mut check = Check::new(&tree, &outcome.faulty);
            value.check(&mut check);
            problems.extend(check.problems);
        }
        hide_secrets(&mut problems, Some(&tree), Secrets::Typed(&keys));
        let failed = problems.iter().any(|problem| problem.severity == Severity::Error);
        let collected = Problems::collect(problems);
        match (outcome.value, collected) {
            (Some(value), Some(wrong)) if failed => Ok((Loaded::new(value, Vec::new(), tree), Some(wrong))),
            (Some(value), warnings) => {
                let warnings = warnings.into_iter().flatten().collect();
                Ok((Loaded::new(value, warnings, tree), None))
            }
            (None, Some(problems)) => Err(problems),
            (None, None) => Err(Problems::one(Problem::error("the settings could not be read"))),
        }
    }

    fn document(mut self, source: Source, format: Format) -> Self {
        self.documents.push((source, format));
        self
    }

    /// A document as a layer, without the keys that may not be in it.
    fn admit(&self, mut node: Node, source: &Source, problems: &mut Vec<Problem>) -> Option<Node> {
        if !matches!(node.value, Value::Map(_)) {
            let problem = Problem::error("settings are a section of keys and values, not a single value or a list");
            problems.push(problem.at(&node.at));
            return None;
        }
        for (key, why) in &self.meaningless {
            if let Some(entry) = take(&mut node, key) {
                let warning = Problem::warning(format!("this key has no meaning here and is ignored: {why}"));
                problems.push(warning.at(&entry.at).with_key(key));
            }
        }
        for key in self.forbidden.iter().filter(|_| source.kind() == Kind::Controller) {
            if let Some(entry) = take(&mut node, key) {
                let problem = Problem::error("the controller must not set this key")
                    .at(&entry.at)
                    .with_key(key);
                problems.push(problem.with_help("set it in the local file, a variable or an option"));
            }
        }
        Some(node)
    }
}

fn take(node: &mut Node, key: &str) -> Option<crate::tree::Entry> {
    let path = KeyPath::parse(key);
    let keys: Vec<&str> = path.keys().collect();
    node.remove(&keys)
}

/// A key that is unknown in its section but known in another was most likely put in the wrong one.
fn elsewhere(problem: Problem, keys: &Keys) -> Problem {
    let is_unknown = problem.message.starts_with("unknown key");
    let is_near = problem
        .help
        .as_deref()
        .is_some_and(|help| help.starts_with("did you mean"));
    let path = KeyPath::parse(problem.key.as_deref().unwrap_or_default());
    let (true, false, Some(name)) = (is_unknown, is_near, path.keys().last()) else {
        return problem;
    };
    let mut homes = keys
        .leaves()
        .into_iter()
        .filter(|leaf| leaf.keys().last() == Some(name));
    let Some(home) = homes.next() else { return problem };
    let section = KeyPath(
        home.0
            .get(..home.0.len().saturating_sub(1))
            .unwrap_or_default()
            .to_vec(),
    );
    if section.is_root() {
        return problem.with_help(format!("`{name}` stands outside all sections: move it there"));
    }
    problem.with_help(format!("`{name}` is a key of the section `{section}`: move it there"))
}

impl Tree {
    fn interpolate(&mut self, lookup: &Lookup) -> Vec<(u32, Problem)> {
        interpolate::interpolate(self.root_mut(), lookup)
    }
}
