//! Text to tree, one module for each format.

mod json;
mod toml;
mod yaml;

use crate::{
    format::Format,
    problem::{Problem, Problems},
    read::hide_secrets,
    secret::Secrets,
    source::{Kind, Source},
    tree::{Node, Tree},
};

/// How deep sections and lists may lie in one another: beyond any real settings, and safe for the stack.
const MAX_DEPTH: usize = 100;

/// Parses a text into a tree with places. Pure: looks at nothing but its arguments.
///
/// `name` is what problems call the text: a file's path as the administrator knows it. A text without any content
/// is an empty section.
///
/// # Errors
///
/// All that is wrong with the syntax. TOML reports every mistake, YAML and JSON all repeated keys but only the first
/// place at which the text cannot be read on.
///
/// ```
/// use conf::{Format, parse};
///
/// let tree = parse("task.yaml", "name: web\nports: [80, 443]\n", Format::Yaml).unwrap();
/// assert_eq!(tree.get("ports[1]").unwrap().place().column, 13);
///
/// let problems = parse("task.yaml", "name: web\nname: db\n", Format::Yaml).unwrap_err();
/// assert_eq!(problems.iter().next().unwrap().message(), "the key `name` is given twice");
/// ```
pub fn parse(name: impl Into<String>, text: impl Into<String>, format: Format) -> Result<Tree, Problems> {
    let source = Source::new(name, text, Kind::File);
    let (root, mut problems) = read(&source, format);
    let tree = root.map(Tree::new);
    hide_secrets(&mut problems, tree.as_ref(), Secrets::Named);
    match (tree, Problems::collect(problems)) {
        (Some(tree), None) => Ok(tree),
        (_, Some(problems)) => Err(problems),
        (None, None) => Err(Problems::one(
            Problem::error("the text could not be read").at(&source.span(0..0)),
        )),
    }
}

/// Parses a text as far as it goes: what was read, if it could be read at all, and what is wrong with it.
pub(crate) fn read(source: &Source, format: Format) -> (Option<Node>, Vec<Problem>) {
    match format {
        Format::Toml => toml::read(source),
        Format::Yaml => yaml::read(source),
        Format::Json => json::read(source),
    }
}

fn too_deep(at: &crate::source::Span) -> Problem {
    Problem::syntax(
        format!("sections and lists lie more than {MAX_DEPTH} deep in one another"),
        at,
    )
}

fn twice(key: &str, at: &crate::source::Span, first: &crate::source::Span) -> Problem {
    Problem::error(format!("the key `{key}` is given twice"))
        .at(at)
        .with_help(format!(
            "it was first given in line {}: keep one of the two",
            first.place().line
        ))
}
