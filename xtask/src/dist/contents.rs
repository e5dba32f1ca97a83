//! What lies in a product's archive.
use super::{Product, archive::Entry};
use crate::process;
use anyhow::{Context, Result, ensure};
use std::{fs, path::Path, process::Command};

/// A shell, and the name under which it looks for completions; `{}` is the program's.
const SHELLS: [(&str, &str); 3] = [("bash", "{}.bash"), ("zsh", "_{}"), ("fish", "{}.fish")];

/// Every file: the program, what it prints of itself, and the pages of the workspace.
pub(super) fn gather(product: &Product, program: &Path) -> Result<Vec<Entry>> {
    let Product { name, page, is_daemon } = product;
    let bytes = fs::read(program).with_context(|| format!("could not read {}", program.display()))?;
    let mut entries = vec![
        Entry::program(*name, bytes),
        page_of("README.md")?,
        page_of("LICENSE")?,
        page_of("CHANGELOG.md")?,
        page_of(&format!("docs/{page}"))?,
    ];
    if *is_daemon {
        entries.extend(of_daemon(name, program)?);
    }
    // Not every product has a user of its own, or something to add to its unit.
    for more in [
        format!("sysusers.d/{name}.conf"),
        format!("systemd/{name}-quarantine.conf"),
    ] {
        let page = format!("packaging/{more}");
        if process::root().join(&page).is_file() {
            entries.push(Entry::file(more, read(&page)?));
        }
    }
    for (shell, file) in SHELLS {
        let script = printed(program, &["completions", shell])?;
        entries.push(Entry::file(
            format!("completions/{}", file.replace("{}", name)),
            script.into_bytes(),
        ));
    }
    entries.extend(manual(program)?);
    Ok(entries)
}

/// What it takes to stay up: a configuration, and a unit.
fn of_daemon(name: &str, program: &Path) -> Result<Vec<Entry>> {
    let unit = read(&format!("packaging/systemd/{name}.service"))?;
    Ok(vec![
        page_of("docs/configuration.md")?,
        Entry::file(
            format!("{name}.example.yaml"),
            printed(program, &["config", "init"])?.into_bytes(),
        ),
        Entry::file(format!("systemd/{name}.service"), unit),
    ])
}

/// A file of the workspace that lies at the same place in the archive, so that its links hold.
fn page_of(path: &str) -> Result<Entry> {
    Ok(Entry::file(path, read(path)?))
}

fn read(path: &str) -> Result<Vec<u8>> {
    fs::read(process::root().join(path)).with_context(|| format!("could not read {path}"))
}

/// What a program prints, run away from the settings of whoever runs this.
fn printed(program: &Path, args: &[&str]) -> Result<String> {
    let home = tempfile::tempdir().context("could not make a folder")?;
    let mut command = Command::new(program);
    command.args(args).current_dir(home.path()).env_clear();
    command.env("HOME", home.path()).env("LC_ALL", "C.UTF-8");
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    let shown = process::shown(&command);
    let text = process::output(command)?;
    ensure!(!text.trim().is_empty(), "{shown} prints nothing");
    Ok(text)
}

/// The manual pages that a program writes.
fn manual(program: &Path) -> Result<Vec<Entry>> {
    let folder = tempfile::tempdir().context("could not make a folder")?;
    let pages = folder.path().join("man");
    let mut command = Command::new(program);
    command.args(["man", "--dir"]).arg(&pages).current_dir(folder.path());
    process::output(command)?;
    let mut entries = Vec::new();
    for page in fs::read_dir(&pages).context("no manual pages were written")? {
        let page = page.context("could not list the manual pages")?;
        let bytes = fs::read(page.path()).context("could not read a manual page")?;
        entries.push(Entry::file(
            format!("man/{}", page.file_name().to_string_lossy()),
            bytes,
        ));
    }
    ensure!(!entries.is_empty(), "no manual pages were written");
    Ok(entries)
}
