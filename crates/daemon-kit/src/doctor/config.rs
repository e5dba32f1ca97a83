//! Whether the configuration can be used, and who can read and change it.

use crate::{
    doctor::Finding,
    load::{ConfigError, Loaded, is_one_variable},
};
use conf::Settings;
use std::{fs, path::Path};

const CONFIGURATION: &str = "configuration";
const PERMISSIONS: &str = "config permissions";

/// Whether the configuration can be used: which files were read, or every problem with its place.
pub fn configuration<T>(loaded: Result<&Loaded<T>, &ConfigError>) -> Finding {
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            let remedy = match error {
                ConfigError::Find(_) => "correct what it names, or name the file to use with `--config FILE`",
                ConfigError::Read { .. } => "see that the user of this process may read it, and that it is UTF-8",
                ConfigError::Invalid(_) => "correct the lines shown; `config check` shows what is left",
            };
            return Finding::failure(CONFIGURATION, error.render(false).trim_end(), remedy);
        }
    };
    let mut found = match &loaded.found.config {
        Some(file) => format!("{} is valid (named by {})", file.path.display(), file.named_by),
        None => "no configuration file: the defaults and the environment are used".to_owned(),
    };
    if let Some(env) = &loaded.found.env {
        found.push_str(&format!("\n{} is read", env.path.display()));
    }
    let warnings = &loaded.settings.warnings;
    if warnings.is_empty() {
        return Finding::ok(CONFIGURATION, found);
    }
    for warning in warnings {
        found.push_str(&format!("\n{}", warning.to_string().trim_end()));
    }
    Finding::warning(
        CONFIGURATION,
        found,
        "see to each of them: what a warning names has no effect, or not the one that was meant",
    )
}

/// Whether others may change the configuration file, or read secrets that are written out in it.
pub fn config_permissions<T: Settings>(loaded: &Loaded<T>) -> Finding {
    let Some(file) = &loaded.found.config else {
        return Finding::skipped(PERMISSIONS, "no configuration file");
    };
    let path = &file.path;
    let mode = match mode(path) {
        Ok(Some(mode)) => mode,
        Ok(None) => return Finding::skipped(PERMISSIONS, "this system has no permission bits"),
        Err(error) => {
            let remedy = format!("see that this user may look at {}", path.display());
            return Finding::failure(PERMISSIONS, format!("{}: {error}", path.display()), remedy);
        }
    };
    let shown = format!("{} has mode {mode:04o}", path.display());
    if mode & 0o022 != 0 {
        return Finding::warning(
            PERMISSIONS,
            format!("{shown}: other users may change what this process does"),
            format!("run `chmod go-w {}`", path.display()),
        );
    }
    let secrets = written_out(loaded, path, file.format);
    if mode & 0o044 == 0 || secrets.is_empty() {
        return Finding::ok(PERMISSIONS, shown);
    }
    Finding::warning(
        PERMISSIONS,
        format!("{shown}, and other users may read the secret in {}", secrets.join(", ")),
        format!(
            "run `chmod go-r {}`, or write `${{NAME}}` there and the secret into an `env` file beside it",
            path.display()
        ),
    )
}

/// The keys whose value is a secret that stands in the file as it is.
fn written_out<T: Settings>(loaded: &Loaded<T>, path: &Path, format: conf::Format) -> Vec<String> {
    // The text is read anew: in what was loaded, variables are filled in already.
    let text = fs::read_to_string(path).unwrap_or_default();
    let Ok(tree) = conf::parse(path.display().to_string(), text, format) else {
        return Vec::new();
    };
    let is_literal = |key: &String| {
        let text = tree.get(key).and_then(conf::Node::text);
        text.is_some_and(|text| !text.is_empty() && !is_one_variable(text))
    };
    let secrets = loaded.settings.effective().into_iter();
    secrets
        .filter(|effective| effective.value == "***")
        .map(|effective| effective.key)
        .filter(is_literal)
        .map(|key| format!("`{key}`"))
        .collect()
}

#[cfg(unix)]
fn mode(path: &Path) -> std::io::Result<Option<u32>> {
    use std::os::unix::fs::PermissionsExt;
    Ok(Some(fs::metadata(path)?.permissions().mode() & 0o7777))
}

#[cfg(not(unix))]
fn mode(path: &Path) -> std::io::Result<Option<u32>> {
    fs::metadata(path).map(|_| None)
}
