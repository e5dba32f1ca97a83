//! What a fleet controller can have this agent do about scans, and where that meets the loop of scans. It can name no
//! program, and no path that this machine does not allow.
use crate::{
    rounds::Made,
    scan::{How, Progress, Report, Wanted},
    settings::Live,
};
use daemon_kit::real_path;
use fleet_link::{
    CommandContext, CommandError,
    agent::{Ended, Reply, reply},
};
use fleet_wire::ScanCause;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::Span;

/// So many detections are in the answer to a command; all of them are records of their own.
const SHOWN: usize = 100;

/// A scan that somebody wants beside the schedules.
pub(crate) struct Asked {
    pub(crate) wanted: Wanted,
    pub(crate) how: How,
    pub(crate) cause: ScanCause,
    /// That of the command, whose trace the scan belongs to.
    pub(crate) span: Span,
    /// Cancelled when it is wanted no longer.
    pub(crate) cancel: CancellationToken,
    /// Shown while it lasts.
    pub(crate) progress: Arc<Progress>,
    reply: Option<Reply>,
}

impl Asked {
    /// Tells whoever asked how it ended.
    pub(crate) fn ended(self, made: &Made) {
        let Some(reply) = self.reply else { return };
        let ended = match made {
            Made::Report(report, was_stopped) => Ok(Ended {
                was_stopped: *was_stopped,
                report: short(report),
            }),
            Made::Failed(why) => Err(why.clone()),
        };
        reply.ended(ended);
    }
}

/// The report with its first detections and failures only.
fn short(report: &Report) -> Value {
    let mut value = serde_json::to_value(report).unwrap_or_default();
    for key in ["detections", "failures"] {
        if let Some(list) = value.get_mut(key).and_then(Value::as_array_mut) {
            let all = list.len();
            list.truncate(SHOWN);
            if all > SHOWN {
                value[format!("{key}_in_all")] = json!(all);
            }
        }
    }
    value
}

/// Where commands, watched directories and the loop of scans meet. Clones are the same.
#[derive(Clone)]
pub(crate) struct Orders(Arc<Inner>);

struct Inner {
    asked: Mutex<Vec<Asked>>,
    wake: Arc<Notify>,
    /// The same for what a watch could not follow.
    lost: Notify,
}

impl Orders {
    /// `wake` wakes the loop of scans.
    pub(crate) fn new(wake: Arc<Notify>) -> Self {
        Self(Arc::new(Inner {
            asked: Mutex::default(),
            wake,
            lost: Notify::new(),
        }))
    }

    /// The next scan that was asked for and is still wanted, but for those of a watch.
    pub(crate) fn take(&self) -> Option<Asked> {
        self.take_where(|asked| asked.cause != ScanCause::Watch)
    }

    /// The next scan of what a watch could not follow.
    pub(crate) async fn lost(&self) -> Asked {
        loop {
            if let Some(asked) = self.take_where(|asked| asked.cause == ScanCause::Watch) {
                return asked;
            }
            self.0.lost.notified().await;
        }
    }

    fn take_where(&self, fits: impl Fn(&Asked) -> bool) -> Option<Asked> {
        let mut asked = self.asked();
        asked.retain(|asked| !asked.cancel.is_cancelled());
        let at = asked.iter().position(fits)?;
        Some(asked.remove(at))
    }

    fn asked(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has something scanned beside the schedules, and waits for nothing. What waits already for the same reason is
    /// scanned together with it.
    pub(crate) fn want(&self, wanted: Wanted, cause: ScanCause) {
        let mut asked = self.asked();
        let same = asked
            .iter_mut()
            .find(|asked| asked.cause == cause && asked.reply.is_none() && asked.wanted.rule == wanted.rule);
        if let Some(same) = same {
            let paths = &mut same.wanted.paths;
            for path in wanted.paths {
                if !paths.iter().any(|other| path.starts_with(other)) {
                    paths.retain(|other| !other.starts_with(&path));
                    paths.push(path);
                }
            }
            return;
        }
        drop(asked);
        self.push(Asked {
            wanted,
            how: How::default(),
            cause,
            span: Span::current(),
            cancel: CancellationToken::new(),
            progress: Arc::default(),
            reply: None,
        });
    }

    fn push(&self, asked: Asked) {
        let wake = if asked.cause == ScanCause::Watch {
            &self.0.lost
        } else {
            &*self.0.wake
        };
        self.asked().push(asked);
        wake.notify_one();
    }

    /// The command `scan`.
    pub(crate) async fn scan(
        &self,
        args: Value,
        live: Arc<Live>,
        context: CommandContext,
    ) -> Result<Value, CommandError> {
        let (wanted, how) = wanted(args, &live)?;
        let mut reports = Vec::with_capacity(wanted.len());
        let is_one = wanted.len() == 1;
        for wanted in wanted {
            let report = self.scan_one(wanted, how.clone(), &context).await?;
            if is_one {
                return Ok(report);
            }
            reports.push(report);
        }
        Ok(json!({"scans": reports}))
    }

    async fn scan_one(&self, wanted: Wanted, how: How, context: &CommandContext) -> Result<Value, CommandError> {
        let (reply, awaited) = reply();
        let progress = Arc::<Progress>::default();
        let rule = wanted.rule.clone();
        self.push(Asked {
            wanted,
            how,
            cause: ScanCause::Command,
            span: Span::current(),
            cancel: context.cancel.clone(),
            progress: Arc::clone(&progress),
            reply: Some(reply),
        });
        awaited
            .end(context, "scan_failed", "the scan was stopped before its end", || {
                let now = progress.snapshot();
                if now.files > 0 {
                    let text = format!("files looked at by `{rule}`");
                    context.progress.tell(now.files, now.expected, text);
                }
            })
            .await
    }
}

/// What `scan` takes.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ScanArguments {
    /// By this rule; without one by all, or, with paths, as the command line does.
    rule: Option<String>,
    /// Only these.
    paths: Option<Vec<PathBuf>>,
    /// Scan what is known to be clean, too.
    fresh: bool,
}

/// What a controller wants scanned, as far as this machine allows it.
fn wanted(args: Value, live: &Live) -> Result<(Vec<Wanted>, How), CommandError> {
    let args: ScanArguments = match args {
        Value::Null => ScanArguments::default(),
        args => serde_json::from_value(args).map_err(|error| {
            CommandError::invalid_args(format!(
                "`scan` takes `rule`, `paths` and `fresh` (absolute paths, in a list): {error}"
            ))
        })?,
    };
    let how = How {
        is_fresh: args.fresh,
        ..How::default()
    };
    let paths = args.paths.map(|paths| allowed(paths, live)).transpose()?;
    let rules = match &args.rule {
        Some(name) => {
            let rule = live.rules.iter().find(|rule| rule.name == *name);
            let rule = rule.ok_or_else(|| CommandError::invalid_args(no_rule(name, live)))?;
            vec![Wanted::of(rule)]
        }
        None if paths.is_some() => vec![Wanted::beside_rules("command")],
        None => live.rules.iter().map(Wanted::of).collect(),
    };
    if rules.is_empty() {
        return Err(CommandError::failed(
            "nothing_to_scan",
            "no rule is configured (`rules`): give the agent one, or name paths",
        ));
    }
    let rules = match paths {
        Some(paths) => rules.iter().map(|rule| rule.only(paths.clone())).collect(),
        None => rules,
    };
    Ok((rules, how))
}

fn no_rule(name: &str, live: &Live) -> String {
    let known: Vec<&str> = live.rules.iter().map(|rule| rule.name.as_str()).collect();
    format!("there is no rule `{name}`: there are {}", known.join(", "))
}

/// Paths that lie where this machine lets a controller have something scanned.
fn allowed(paths: Vec<PathBuf>, live: &Live) -> Result<Vec<PathBuf>, CommandError> {
    let roots = live.allowed_roots();
    for path in &paths {
        if path.is_relative() {
            let text = format!("`{}` is not absolute", path.display());
            return Err(CommandError::invalid_args(text));
        }
        let is_allowed = roots.iter().any(|root| real_path(path).starts_with(root));
        if !is_allowed {
            return Err(CommandError::failed(
                "not_allowed",
                format!(
                    "`{}` lies outside of what this machine lets a controller have scanned (`allowed_roots`, or the paths of \
                     its rules)",
                    path.display()
                ),
            ));
        }
    }
    Ok(paths)
}
