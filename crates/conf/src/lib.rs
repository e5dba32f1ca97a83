//! Configuration text with places: TOML, YAML or JSON in, a typed value or every problem out.
//!
//! A text becomes a [`Tree`] whose every value knows its file, line and column. [`Layers`] lays several over one
//! another and makes a typed value of them, or [`Problems`]: all of them at once, each with its line, with what was
//! expected, and with the nearest known name. [`Loaded::effective`] tells where each value came from, [`schema`] gives
//! the JSON Schema, and [`annotated_example`] a file to begin with.
//!
//! What is secret is never shown: values of keys that are named like secrets, and those of types whose schema is named
//! `Secret`, with the sections, maps and lists around them where these are not what they should be.
//!
//! It finds no files, reads no environment and watches nothing: all text is handed in.
//!
//! ```
//! use conf::{Format, Layers, Settings};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, JsonSchema, Default)]
//! #[serde(default)]
//! struct Scanner {
//!     batch_size: u32,
//!     scan_paths: Vec<String>,
//! }
//! impl Settings for Scanner {}
//!
//! let text = "batch_sise: 100\nscan_paths: /data\n";
//! let problems = Layers::new().file("scanner.yaml", text, Format::Yaml).load::<Scanner>().err().unwrap();
//! let found: Vec<_> = problems.iter().map(|problem| (problem.place().unwrap().to_string(), problem.help().unwrap())).collect();
//! assert_eq!(found[0], ("scanner.yaml:1:1".to_owned(), "did you mean `batch_size`?"));
//! assert_eq!(found[1], ("scanner.yaml:2:13".to_owned(), "write it as a list: `[\"/data\"]`"));
//! ```

mod environment;
mod example;
mod format;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod inline;
mod interpolate;
mod layers;
mod loaded;
mod nearest;
mod parse;
mod path;
mod problem;
mod read;
mod render;
mod schema;
mod secret;
mod settings;
mod source;
mod tree;

pub use environment::EnvironmentSpec;
pub use example::{annotated_example, annotated_example_toml};
pub use format::Format;
pub use layers::Layers;
pub use loaded::{Effective, Loaded, Origin};
pub use parse::parse;
pub use problem::{Problem, Problems, Severity};
pub use read::{from_node, from_tree};
pub use schema::schema;
pub use settings::{Check, Settings};
pub use source::Place;
pub use tree::{Entry, Node, Tree, Value};
