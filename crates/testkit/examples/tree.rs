//! Makes a tree of files: `cargo run -p testkit --example tree -- FOLDER [FILES]`.
use std::path::PathBuf;
use testkit::TreePlan;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let folder = args
        .next()
        .map_or_else(|| std::env::temp_dir().join("shoal-tree"), PathBuf::from);
    let files = args
        .next()
        .and_then(|files| files.to_str()?.parse().ok())
        .unwrap_or(1000);
    let tree = TreePlan { files, seed: 7 }.create(&folder)?;
    println!(
        "{} files in {} directories below {}",
        tree.files(),
        tree.directories(),
        tree.root().display()
    );
    Ok(())
}
