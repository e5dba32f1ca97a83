//! The `signatures` section.
use conf::Check;
use core_model::Period;
use daemon_kit::ScheduleSettings;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// How clamd's signatures are kept fresh.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct SignatureSettings {
    /// Whether the agent may run freshclam, and which: `true` for the one in `PATH`, `false` for none, or its path.
    pub(crate) freshclam: Freshclam,
    /// Its configuration file [default: its own].
    pub(crate) config: Option<PathBuf>,
    /// When it is run [default: only when told to]. Debian and most others run freshclam as a service of its own: leave
    /// this out there.
    pub(crate) schedule: ScheduleSettings,
    /// Signatures older than this are news: an error in the log, a degraded health, a metric.
    pub(crate) max_age: Period,
    /// How long freshclam may take, and then once more clamd until it judges by what freshclam brought.
    pub(crate) timeout: Period,
}

impl Default for SignatureSettings {
    fn default() -> Self {
        Self {
            freshclam: Freshclam::Found,
            config: None,
            schedule: ScheduleSettings::default(),
            max_age: Period::from_secs(7 * 24 * 3600),
            timeout: Period::from_secs(15 * 60),
        }
    }
}

impl SignatureSettings {
    pub(super) fn check(&self, check: &mut Check<'_>) {
        let relative = |path: Option<&Path>| path.is_some_and(Path::is_relative);
        if relative(self.freshclam.path()) {
            check.problem("signatures.freshclam", "must be absolute", Some("or write `true`"));
        }
        if relative(self.config.as_deref()) {
            check.problem("signatures.config", "must be absolute", None);
        }
        if self.freshclam == Freshclam::Off && self.schedule.when.is_some() {
            let keys = ["signatures.schedule.when", "signatures.freshclam"];
            check.conflict(&keys, "says when freshclam is run, and it may not be", None);
        }
        self.schedule.check("signatures.schedule", check);
        if self.max_age.get().is_zero() {
            check.problem("signatures.max_age", "must be longer than zero", Some("write `7d`"));
        }
        if self.timeout.get().as_secs() < 10 {
            check.problem("signatures.timeout", "must be at least 10 s", Some("write `15m`"));
        }
    }
}

/// Which freshclam is run.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "BoolOrPath")]
pub(crate) enum Freshclam {
    /// None.
    Off,
    /// The one that is found.
    Found,
    /// This one.
    At(PathBuf),
}

impl Freshclam {
    fn path(&self) -> Option<&Path> {
        match self {
            Self::At(path) => Some(path),
            Self::Off | Self::Found => None,
        }
    }
}

/// What the JSON Schema says.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is only described, never made")]
enum BoolOrPath {
    Bool(bool),
    Path(PathBuf),
}

impl Serialize for Freshclam {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_bool(false),
            Self::Found => serializer.serialize_bool(true),
            Self::At(path) => path.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Freshclam {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Freshclam;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`true`, `false` or the path of freshclam")
            }

            fn visit_bool<E: de::Error>(self, yes: bool) -> Result<Freshclam, E> {
                Ok(if yes { Freshclam::Found } else { Freshclam::Off })
            }

            // Variables of the environment and options are always text.
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Freshclam, E> {
                Ok(match text {
                    "true" => Freshclam::Found,
                    "false" => Freshclam::Off,
                    path => Freshclam::At(path.into()),
                })
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
