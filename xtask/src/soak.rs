//! `cargo xtask soak`: a randomised test, many more times than the checks run it.
use crate::process;
use anyhow::{Result, bail};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which: `scan` compares scans of randomly changing trees with a plain model.
    name: String,
    /// How many trees, of some 400 mutations each.
    #[arg(long, default_value_t = 100)]
    count: u64,
    /// Where the randomness begins; the same seed does the same again.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let test: &[&str] = match args.name.as_str() {
        "scan" => &[
            "test",
            "--release",
            "-p",
            "fsscan",
            "--test",
            "it",
            "soak",
            "--",
            "--nocapture",
        ],
        other => bail!("there is no soak `{other}`; there is: scan"),
    };
    let mut command = process::cargo(test);
    command
        .env("FSSCAN_TREES", args.count.to_string())
        .env("FSSCAN_SEED", args.seed.to_string());
    process::run(command)
}
