//! What a fleet controller can have this agent do: `scan`, `stop`, `restart`, `reload`, `update-signatures`,
//! `quarantine-restore`. It can name no program, and no path that this machine does not allow.
use crate::{parts::Parts, quarantine, settings::taken_again, state::detections};
use chrono::Utc;
use clamd_proto::Daemon;
use core_model::chain;
use daemon_kit::{blocking, live::ReloadCause, real_path};
use fleet_link::{CommandContext, CommandError, Verb, Verbs};
use fleet_wire::{Handled, MalwareRecord, Outcome, WirePath};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

pub(crate) fn all(parts: &Parts) -> Verbs {
    let (scan, reload, update, restore) = (parts.clone(), parts.clone(), parts.clone(), parts.clone());
    parts
        .agent_orders
        .verbs()
        .with(
            "scan",
            Verb::new(move |args, context| {
                let parts = scan.clone();
                async move { parts.orders.scan(args, parts.context.live(), context).await }
            })
            // What was judged is remembered: to go on from there is the same scan.
            .idempotent(),
        )
        .with(
            "reload",
            Verb::new(move |args, _| {
                let parts = reload.clone();
                async move { nothing("reload", &args).map(|()| parts)?.reload().await }
            })
            .idempotent(),
        )
        .with(
            "update-signatures",
            Verb::new(move |args, context| {
                let parts = update.clone();
                async move {
                    nothing("update-signatures", &args)
                        .map(|()| parts)?
                        .update_signatures(context)
                        .await
                }
            })
            .idempotent(),
        )
        .with(
            "quarantine-restore",
            Verb::new(move |args, _| {
                let parts = restore.clone();
                async move { parts.restore(args).await }
            }),
        )
}

/// Refuses arguments where there are none.
fn nothing(verb: &str, args: &Value) -> Result<(), CommandError> {
    if args.is_null() || args.as_object().is_some_and(serde_json::Map::is_empty) {
        return Ok(());
    }
    Err(CommandError::invalid_args(format!("`{verb}` takes no arguments")))
}

/// What `quarantine-restore` takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RestoreArguments {
    id: String,
    to: Option<PathBuf>,
    #[serde(default)]
    force: bool,
}

impl Parts {
    /// Loads the configuration anew, and has clamd load its signatures anew.
    async fn reload(self) -> Result<Value, CommandError> {
        let report = self.context.reloader().handle().reload(ReloadCause::Asked).await;
        let daemon = Daemon::new(
            self.context
                .live()
                .clamd
                .endpoint
                .parse()
                .map_err(|error| CommandError::failed("no_clamd", chain(&error)))?,
        );
        let clamd = match daemon.reload().await {
            Ok(()) => "told to load its signatures anew".to_owned(),
            Err(error) => chain(&error),
        };
        let is_applied = report.is_applied();
        let body = json!({
            "configuration": report.health().1,
            "clamd": clamd,
        });
        if is_applied {
            return Ok(body);
        }
        Err(CommandError::Failed {
            code: "configuration_refused".to_owned(),
            detail: "the configuration is wrong, and what was in force stays".to_owned(),
            body,
        })
    }

    async fn update_signatures(self, context: CommandContext) -> Result<Value, CommandError> {
        let update = {
            let updater = Arc::clone(&self.updater.borrow());
            updater.update(&context.cancel).await
        };
        let update = update.map_err(|error| CommandError::failed("not_updated", chain(&error)))?;
        serde_json::to_value(&update).map_err(|error| CommandError::failed("not_updated", error.to_string()))
    }

    /// Brings a file back from quarantine, to where it was or to where this machine lets a controller look. Never over
    /// another file.
    async fn restore(self, args: Value) -> Result<Value, CommandError> {
        let args: RestoreArguments = serde_json::from_value(args).map_err(|error| {
            CommandError::invalid_args(format!("`quarantine-restore` takes `id` and `to`: {error}"))
        })?;
        if args.force {
            return Err(CommandError::failed(
                "not_allowed",
                "a file that is there is never overwritten for a controller: do that on the machine",
            ));
        }
        let live = self.context.live();
        if let Some(to) = &args.to {
            let is_allowed = to.is_absolute()
                && live
                    .allowed_roots()
                    .iter()
                    .any(|root| real_path(to).starts_with(real_path(root)));
            if !is_allowed {
                let text = format!(
                    "`{}` lies outside of what this machine lets a controller touch (`allowed_roots`)",
                    to.display()
                );
                return Err(CommandError::failed("not_allowed", text));
            }
        }
        let (store, database) = (self.context.quarantine(), self.state.database.clone());
        let restored = blocking(move || {
            let restored = quarantine::restore(&store, &args.id, args.to.as_deref())?;
            let detection = detections::of_item(&database, &restored.id.to_string())?;
            Ok((restored, detection))
        });
        let (restored, detection) = restored
            .await
            .map_err(|error| CommandError::failed("not_restored", format!("{error:#}")))?;
        let mut body = serde_json::to_value(&restored).unwrap_or_default();
        let path = Path::new(OsStr::from_bytes(restored.path.bytes()));
        if let Some(warning) = taken_again(&live.rules, path) {
            body["warning"] = warning.into();
        }
        self.reporter.report(
            Utc::now(),
            MalwareRecord::Handled(Handled {
                detection: detection.map(|detection| detection.id),
                quarantine_id: restored.id.to_string(),
                path: WirePath::from_bytes(restored.path.bytes()),
                outcome: Outcome::Restored,
                detail: Some("the controller asked".to_owned()),
            }),
        );
        Ok(body)
    }
}
