//! The link to a fleet controller: commands, heartbeats, and the configuration that it keeps for this agent.
use super::{Membership, instance};
use crate::{Link, LinkHooks, LinkParts, LinkSettings, agent::AgentConfig};
use chrono::Utc;
use core_model::chain;
use daemon_kit::{
    live::{ReloadCause, ReloadOutcome, ReloadReport, ReloaderHandle, RemoteConfig},
    telemetry::process_sample,
};
use fleet_wire::link::{Config, ConfigOutcome, ConfigProblem, ConfigReport, ConfigVersion, HostSample};
use state_sqlite::CommandJournal;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use transport_http::{Client, ClientSettings, SocketSettings, WebSocketClient};

/// Keeps the link up until `stop`.
pub(super) async fn run<C: AgentConfig>(
    link: &Arc<Membership<C>>,
    settings: &ClientSettings,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let agent = &link.agent;
    link.profile().await;
    let reloader = agent.context.reloader.clone();
    let (asked, of_config, in_force) = (Arc::clone(link), reloader.clone(), reloader.report());
    let hooks = LinkHooks::new(move || {
        let link = Arc::clone(&asked);
        async move { link.how_it_is(None).await }
    })
    .with_sample(async || sample())
    .with_profile(link.watch_profile())
    .with_config(
        move || in_force.borrow().remote.clone().map(version),
        move |config| apply(of_config.clone(), config),
    )
    .on_snapshot_wanted({
        let link = Arc::clone(link);
        move || link.lacks_records()
    })
    .on_new_key_wanted({
        let link = Arc::clone(link);
        move || link.wants_new_key()
    });
    // The defaults hold for the life of the process.
    let (_kept, link_settings) = watch::channel(LinkSettings::default());
    let controller = Link::new(LinkParts {
        client: Client::new(settings.clone())?,
        socket: WebSocketClient::new(settings, SocketSettings::default())?,
        journal: CommandJournal::open(&agent.state.database)?,
        introduction: agent.context.introduction(),
        instance: instance(),
        verbs: agent.verbs.clone(),
        hooks,
        settings: link_settings,
    });
    agent.health.watch_link(controller.status());
    link.watch(controller.status());
    let mut reports = reloader.report();
    let tell = async {
        // What the controller itself asked for is answered by the hook.
        while reports.changed().await.is_ok() {
            let report = reports.borrow_and_update().clone();
            if report.cause != ReloadCause::Controller {
                controller.report_config(told(&report, None));
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = controller.run(stop.clone()) => {}
        () = tell => {}
        () = link.keep_profile() => {}
        () = link.follow(controller.status()) => {}
        // The link begins anew, without credentials.
        () = link.until_known_for_a_copy(controller.status()) => stop.cancel(),
    }
    Ok(())
}

/// Runs with what the controller wants, or says why not.
async fn apply<C: AgentConfig>(reloader: ReloaderHandle<C>, config: Config) -> ConfigReport {
    let Config { version: about, text } = config;
    let wanted = about.clone().map(|about| RemoteConfig {
        version: about.version,
        sha256: about.sha256,
        text,
    });
    match reloader.set_remote(wanted).await {
        Ok(report) => told(&report, about),
        Err(error) => {
            let error = chain(&error);
            tracing::error!(error, "the controller's configuration could not be kept");
            let running = reloader.report().borrow().remote.clone().map(version);
            ConfigReport {
                running,
                about,
                outcome: ConfigOutcome::Refused,
                problems: vec![ConfigProblem {
                    key: None,
                    file: None,
                    line: None,
                    column: None,
                    text: error,
                }],
                needs_restart: Vec::new(),
                at: Utc::now(),
            }
        }
    }
}

fn told(report: &ReloadReport, about: Option<ConfigVersion>) -> ConfigReport {
    let small = |number: Option<usize>| number.and_then(|number| u32::try_from(number).ok());
    let (outcome, problems) = match &report.outcome {
        ReloadOutcome::Applied { .. } => (ConfigOutcome::Applied, Vec::new()),
        ReloadOutcome::Refused { problems, .. } => {
            let problems = problems.iter().map(|problem| ConfigProblem {
                key: problem.key.clone(),
                file: problem.file.clone(),
                line: small(problem.line),
                column: small(problem.column),
                text: problem.text.clone(),
            });
            (ConfigOutcome::Refused, problems.collect())
        }
    };
    ConfigReport {
        running: report.remote.clone().map(version),
        about,
        outcome,
        problems,
        needs_restart: report.needs_restart.clone(),
        at: report.at,
    }
}

fn version((version, sha256): (u64, String)) -> ConfigVersion {
    ConfigVersion { version, sha256 }
}

/// How this process is; of the host the product that is about hosts tells more.
fn sample() -> Option<HostSample> {
    let process = process_sample()?;
    Some(HostSample {
        at: Utc::now(),
        cpu_percent: None,
        load_1m: None,
        memory_used_bytes: None,
        memory_total_bytes: None,
        process_resident_bytes: Some(process.resident_bytes),
        process_cpu_secs: Some(process.cpu_seconds),
        uptime_secs: None,
    })
}
