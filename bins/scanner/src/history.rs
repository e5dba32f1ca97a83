//! `scanner history`: past scans.
use crate::{
    cli::{HistoryArgs, Output},
    context::Context,
    session::{self, Session},
};
use daemon_kit::{Exit, Table, to_stdout};

pub(crate) fn run(context: &Context, args: &HistoryArgs) -> anyhow::Result<Exit> {
    let database = context.open_state(args.state.state)?;
    let sessions = session::history(&database, args.limit)?;
    match context.output {
        Output::Table => to_stdout(table(&sessions))?,
        Output::Json => to_stdout(serde_json::to_string(&sessions)? + "\n")?,
        Output::Jsonl => {
            for session in &sessions {
                to_stdout(format_args!("{}\n", serde_json::to_string(session)?))?;
            }
        }
        Output::Csv => {
            let mut csv = csv::Writer::from_writer(std::io::stdout());
            csv.write_record(HEADINGS.map(str::to_lowercase))?;
            for session in &sessions {
                csv.write_record(cells(session))?;
            }
            csv.flush()?;
        }
    }
    Ok(Exit::Done)
}

const HEADINGS: [&str; 10] = [
    "SCAN", "STARTED", "SECONDS", "STATUS", "FILES", "CREATED", "UPDATED", "MOVED", "DELETED", "ERRORS",
];

fn table(sessions: &[Session]) -> Table {
    let mut table = Table::new(&HEADINGS);
    for column in [0, 2, 4, 5, 6, 7, 8, 9] {
        table = table.right(column);
    }
    sessions.iter().for_each(|session| table.row(cells(session)));
    table
}

fn cells(session: &Session) -> [String; 10] {
    let seconds = session
        .completed_at
        .map(|end| (end - session.started_at).as_seconds_f64());
    [
        session.id.to_string(),
        session.started_at.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        seconds.map(|seconds| format!("{seconds:.1}")).unwrap_or_default(),
        session.status.clone(),
        session.files.to_string(),
        session.created.to_string(),
        session.updated.to_string(),
        session.moved.to_string(),
        session.deleted.to_string(),
        session.errors.to_string(),
    ]
}
