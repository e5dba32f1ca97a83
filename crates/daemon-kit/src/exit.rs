//! What the exit status of every product means.

use crate::{end::wants_color, load::ConfigError};
use std::{
    io::{Write as _, stderr},
    process::{ExitCode, Termination},
};

/// The exit status of a command, the same in every product, so that scripts can rely on it.
///
/// ```
/// use daemon_kit::Exit;
/// assert_eq!(Exit::Configuration.code(), 3);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: done, and there were findings or differences, where that is the command's convention.
    Findings,
    /// 2: the command line was not understood.
    Usage,
    /// 3: the configuration is wrong.
    Configuration,
    /// 4: the surroundings do not allow it, or anything else failed, and nothing was done.
    Environment,
    /// 5: done in part.
    Partial,
}

impl Exit {
    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Findings => 1,
            Self::Usage => 2,
            Self::Configuration => 3,
            Self::Environment => 4,
            Self::Partial => 5,
        }
    }
}

impl Exit {
    /// Says on standard error why a command failed, a configuration with all its mistakes, and gives the exit status,
    /// which is right where nobody reads standard error, too.
    pub fn of_failure(error: &anyhow::Error) -> Self {
        if let Some(config) = error.downcast_ref::<ConfigError>() {
            let _said = write!(stderr(), "{}", config.render(wants_color(&stderr())));
            return Self::Configuration;
        }
        let _said = writeln!(stderr(), "error: {error:#}");
        Self::Environment
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        self.into()
    }
}
