//! `doctor`: the checks that every product needs, those of the product between, and the support bundle at the end.

use crate::{
    bundle,
    cli::{CommonArgs, Product, start::path_of},
    doctor::{self, Report, Style},
    exit::Exit,
    find::DataDir,
    load::{ConfigError, Loaded},
    print::to_stdout,
    redact::Redactor,
    surroundings::Surroundings,
    verbs::ShowAs,
};
use clap::{Args, ValueEnum, ValueHint};
use core_model::{ByteSize, Secret};
use std::path::{Path, PathBuf};

/// Test this installation and say the remedy of what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct DoctorArgs {
    /// Write what somebody who helps has to see into FILE (tar.gz): findings, configuration, end of the log; without
    /// secrets.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub bundle: Option<PathBuf>,
}

/// A doctor at work. It goes on where a command could not begin: with a configuration that is wrong, or none.
///
/// ```no_run
/// # use daemon_kit::{Exit, cli::{CommonArgs, DoctorArgs, Product}, doctor};
/// # fn state() -> Result<&'static str, std::io::Error> { Ok("sound") }
/// async fn examine<T: Product>(common: &CommonArgs, args: &DoctorArgs) -> anyhow::Result<Exit> {
///     let mut checkup = common.check_up::<T>();
///     checkup.report.add(doctor::outcome("state", state(), "run `scanner state restore`"));
///     checkup.finish(args, "scanner 1.2.3", common.output.into())
/// }
/// ```
#[derive(Debug)]
pub struct Checkup<T> {
    /// What was found so far.
    pub report: Report,
    /// The configuration, or why there is none.
    pub loaded: Result<Loaded<T>, ConfigError>,
    /// The process's surroundings.
    pub around: Surroundings,
    /// Where the state lies, where anything says so.
    pub data_dir: Option<DataDir>,
    redactor: Redactor,
}

/// Below this, or below so many files, a disk soon stops the work.
const LEAST_FREE: ByteSize = ByteSize::new(256 << 20);
const LEAST_FILES: u64 = 1000;

/// For connections, the state and a walk of directories.
const LEAST_DESCRIPTORS: u64 = 1024;

impl<O: ValueEnum + Clone + Send + Sync + 'static> CommonArgs<O> {
    /// Looks at what every product needs: the configuration and who can read it, the data directory and the room on
    /// its disk, open files, proxies. No log is started.
    pub fn check_up<T: Product>(&self) -> Checkup<T> {
        let around = Surroundings::of_this_process();
        let loaded = self.load::<T>(&[], &around);
        let mut report = Report::default();
        report.add(doctor::configuration(loaded.as_ref()));
        let (variables, redactor) = match &loaded {
            Ok(loaded) => {
                report.add(doctor::config_permissions(loaded));
                (&loaded.variables, Redactor::of_loaded(loaded))
            }
            Err(_) => (&around.variables, Redactor::of_variables(&around.variables)),
        };
        let finder = T::SPEC.finder;
        let data_dir = finder.data_dir(finder.product, self.data_dir.as_deref(), variables, &around);
        match &data_dir {
            Ok(dir) => {
                report.add(doctor::data_dir(&dir.path));
                report.add(doctor::disk("data disk", &dir.path, LEAST_FREE, LEAST_FILES));
            }
            Err(error) => report.add(doctor::outcome(
                "data directory",
                Err::<String, _>(error),
                "name a directory with --data-dir",
            )),
        }
        report.add(doctor::file_descriptors(LEAST_DESCRIPTORS));
        report.add(doctor::proxy_variables(&around));
        Checkup {
            report,
            loaded,
            around,
            data_dir: data_dir.ok(),
            redactor,
        }
    }
}

impl<T: Product> Checkup<T> {
    /// The settings, where the configuration can be used.
    pub fn settings(&self) -> Option<&T> {
        self.loaded.as_ref().ok().map(|loaded| &loaded.settings.value)
    }

    /// As [`Started::path`](crate::cli::Started::path), where both configuration and data directory are known.
    pub fn path(&self, key: &str, configured: Option<&Path>, name: &str) -> Option<PathBuf> {
        let (loaded, data_dir) = (self.loaded.as_ref().ok()?, self.data_dir.as_ref()?);
        Some(path_of(loaded, data_dir, key, configured, name))
    }

    /// Has a secret that the configuration does not hold, such as the key that enrolment gave, kept out of the bundle.
    pub fn hide(&mut self, secret: &Secret) {
        self.redactor = std::mem::take(&mut self.redactor).with(secret);
    }

    /// Prints the report, writes the bundle that `args` ask for, and gives the exit status. `version` is what `--version`
    /// prints.
    ///
    /// # Errors
    /// When the report cannot be printed or the bundle cannot be written.
    pub fn finish(self, args: &DoctorArgs, version: &str, show_as: ShowAs) -> anyhow::Result<Exit> {
        to_stdout(self.report.show(show_as, Style::of_stdout(&self.around)))?;
        if let Some(path) = &args.bundle {
            let mut entries = bundle::entries(version, &self.report, self.loaded.as_ref());
            entries.extend(
                self.settings()
                    .and_then(|settings| bundle::log_tail(settings.logging())),
            );
            bundle::write(path, &entries, &self.redactor)?;
            // Not to standard output, which may be read as JSON.
            eprintln!("wrote {}", path.display());
        }
        Ok(self.report.exit())
    }
}
