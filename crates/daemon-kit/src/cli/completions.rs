//! Shell completions.

use clap::Command;
use clap_complete::Shell;
use std::io::{self, Write};

/// Print the completions for a shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
pub struct CompletionsArgs {
    /// The shell that is to complete.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Writes the script that has `shell` complete the program of `command`, under the name that `command` bears.
///
/// # Errors
/// When `out` cannot be written.
pub fn completions(mut command: Command, shell: Shell, out: &mut impl Write) -> io::Result<()> {
    let name = command.get_name().to_owned();
    // Into memory first: the generator panics on an error of its writer, such as a closed pipe.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name.as_str(), &mut script);
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if shell == Shell::Bash {
        script = with_one_name(&script, &name);
    }
    out.write_all(script.as_bytes())?;
    out.flush()
}

/// The generator writes a program's name with hyphens in two ways into one script for bash, so that nothing is completed
/// after a command. Where it does not, nothing changes.
fn with_one_name(script: &str, name: &str) -> String {
    let wrong = format!("{}__subcmd__", name.replace('-', "__subcmd__"));
    let right = format!("{}__subcmd__", name.replace('-', "__"));
    script.replace(&wrong, &right)
}

impl CompletionsArgs {
    /// Prints the completions of `command` to standard output. That nobody reads any more is no failure.
    ///
    /// # Errors
    /// When standard output cannot be written for another reason.
    pub fn run(self, command: Command) -> io::Result<()> {
        let mut script = Vec::new();
        completions(command, self.shell, &mut script)?;
        crate::print::to_stdout(String::from_utf8_lossy(&script))
    }
}
