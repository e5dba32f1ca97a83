//! The three formats that settings are written in.

use std::path::Path;

/// A format of configuration text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// TOML 1.0.
    Toml,
    /// YAML 1.2, core schema; one document, no merge keys, no custom tags.
    Yaml,
    /// JSON; comments and trailing commas are allowed.
    Json,
}

impl Format {
    /// The format that a file's extension names, if it names one.
    ///
    /// ```
    /// use conf::Format;
    /// use std::path::Path;
    ///
    /// assert_eq!(Format::of_path(Path::new("/etc/scanner/config.yml")), Some(Format::Yaml));
    /// assert_eq!(Format::of_path(Path::new("README")), None);
    /// ```
    pub fn of_path(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "toml" => Some(Self::Toml),
            "yaml" | "yml" => Some(Self::Yaml),
            "json" | "jsonc" => Some(Self::Json),
            _ => None,
        }
    }
}
