//! Manual pages.

use clap::{Command, ValueHint};
use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

/// Print the manual page, or write one for each command.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct ManArgs {
    /// Directory to write a page for the program and one for each command into; existing pages are replaced.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
}

/// Why pages could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ManError {
    /// A page could not be put into words, or standard output could not be written.
    #[error("could not print the manual page")]
    Print(#[source] io::Error),
    /// The directory could not be made.
    #[error("could not make the directory `{path}` for the manual pages")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A page could not be written.
    #[error("could not write the manual page `{path}`")]
    Write {
        /// The page.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Writes the manual page of `command` itself, without those of its subcommands.
///
/// # Errors
/// When `out` cannot be written.
pub fn man(command: Command, out: &mut impl Write) -> io::Result<()> {
    clap_mangen::Man::new(command).render(out)
}

impl ManArgs {
    /// Prints the page of `command` to standard output; with a directory it writes `scanner.1`, `scanner-run.1` and so
    /// on there, and returns their paths in order.
    ///
    /// # Errors
    /// See [`ManError`].
    pub fn run(&self, command: Command) -> Result<Vec<PathBuf>, ManError> {
        let Some(dir) = &self.dir else {
            let mut page = Vec::new();
            man(command, &mut page).map_err(ManError::Print)?;
            crate::print::to_stdout(String::from_utf8_lossy(&page)).map_err(ManError::Print)?;
            return Ok(Vec::new());
        };
        fs::create_dir_all(dir).map_err(|source| ManError::Directory {
            path: dir.clone(),
            source,
        })?;
        let mut command = command.disable_help_subcommand(true);
        // Building hands the options of every command down, so that each page names them.
        command.build();
        let mut written = Vec::new();
        write_pages(&command, dir, &mut written)?;
        Ok(written)
    }
}

fn write_pages(command: &Command, dir: &Path, written: &mut Vec<PathBuf>) -> Result<(), ManError> {
    let page = clap_mangen::Man::new(command.clone());
    let path = dir.join(page.get_filename());
    let mut text = Vec::new();
    page.render(&mut text).map_err(ManError::Print)?;
    fs::write(&path, text).map_err(|source| ManError::Write {
        path: path.clone(),
        source,
    })?;
    written.push(path);
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        write_pages(subcommand, dir, written)?;
    }
    Ok(())
}
