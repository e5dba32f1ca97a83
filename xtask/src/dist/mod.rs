//! `cargo xtask dist`: what is handed to those who run a product: an archive for each, its parts listed, all of it the
//! same bytes again from the same commit.
mod archive;
mod contents;
mod sbom;
mod stamp;

use crate::process;
use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use stamp::Stamp;
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this product, such as `scanner`; may be given several times. Without it all.
    #[arg(long, value_name = "NAME")]
    product: Vec<String>,
    /// For this target, such as `x86_64-unknown-linux-musl`, where it is installed and its programs run here. Without it
    /// for this machine.
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    /// Build there [default: the workspace's target directory]; what is made lies in `dist` below it.
    #[arg(long, value_name = "DIR")]
    target_dir: Option<PathBuf>,
}

/// A product, and the page of `docs` that its archive holds beside the one about configuration.
pub(crate) struct Product {
    pub(crate) name: &'static str,
    pub(crate) page: &'static str,
    /// It stays up, and so has a configuration and a unit.
    pub(crate) is_daemon: bool,
}

pub(crate) const PRODUCTS: [Product; 4] = [
    Product {
        name: "fleet-controller",
        page: "controller.md",
        is_daemon: true,
    },
    Product {
        name: "reef-agent",
        page: "reef-agent.md",
        is_daemon: true,
    },
    Product {
        name: "scanner",
        page: "scanner.md",
        is_daemon: true,
    },
    Product {
        name: "smotra-agent",
        page: "smotra-agent.md",
        is_daemon: false,
    },
];

pub(crate) fn run(args: &Args) -> Result<()> {
    for name in &args.product {
        ensure!(
            PRODUCTS.iter().any(|product| product.name == name),
            "there is no product `{name}`"
        );
    }
    let metadata = process::metadata()?;
    let target_dir = match &args.target_dir {
        Some(folder) => std::path::absolute(folder).context("could not tell where the target directory is")?,
        None => Path::new(metadata["target_directory"].as_str().context("no target directory")?).to_owned(),
    };
    let build = Build {
        target: args.target.clone().map_or_else(host, Ok)?,
        is_named: args.target.is_some(),
        stamp: Stamp::of_this_commit()?,
        target_dir,
    };
    let dist = build.target_dir.join("dist");
    fs::create_dir_all(&dist).with_context(|| format!("could not make {}", dist.display()))?;
    let wanted = |product: &&Product| args.product.is_empty() || args.product.iter().any(|name| name == product.name);
    let mut made = Vec::new();
    for product in PRODUCTS.iter().filter(wanted) {
        made.extend(build.product(product, &dist)?);
    }
    fs::write(dist.join("SHA256SUMS"), sums(&dist, &made)?).context("could not write SHA256SUMS")?;
    made.push("SHA256SUMS".to_owned());
    for name in &made {
        println!("{}", dist.join(name).display());
    }
    Ok(())
}

/// What is common to the products of one run.
struct Build {
    target: String,
    /// Whether cargo is told the target, and so puts programs into a folder of its name.
    is_named: bool,
    stamp: Stamp,
    target_dir: PathBuf,
}

impl Build {
    /// Makes the files of a product; gives their names.
    fn product(&self, product: &Product, dist: &Path) -> Result<Vec<String>> {
        let name = product.name;
        let program = self.compile(name)?;
        let version = said_version(&program, name)?;
        let full = format!("shoal-{name}-{version}-{}", self.target);
        let files = contents::gather(product, &program)?;
        let bytes = archive::pack(&full, files, self.stamp.epoch)?;
        let archive_name = format!("{full}.tar.gz");
        fs::write(dist.join(&archive_name), &bytes).with_context(|| format!("could not write {archive_name}"))?;
        check(&dist.join(&archive_name), &full, name, &version)?;

        let parts = sbom::parts(name, &self.target)?;
        let sbom = sbom::document(name, &parts, &self.stamp)?;
        let sbom_name = format!("{full}.cdx.json");
        fs::write(dist.join(&sbom_name), format!("{sbom:#}\n"))
            .with_context(|| format!("could not write {sbom_name}"))?;
        eprintln!(
            "{name}: {:.1} MB packed, {} components",
            bytes.len() as f64 / 1e6,
            parts.len()
        );
        Ok(vec![archive_name, sbom_name])
    }

    /// The released program. Each package is built by itself, so that it gets its own features and none of the tools'.
    fn compile(&self, name: &str) -> Result<PathBuf> {
        eprintln!("building {name} for {} …", self.target);
        let mut command = process::cargo(&["build", "--release", "--locked", "-p", name, "--bin", name]);
        command.arg("--target-dir").arg(&self.target_dir);
        if self.is_named {
            command.args(["--target", &self.target]);
        }
        command
            .env("SOURCE_DATE_EPOCH", self.stamp.epoch.to_string())
            .env("RUSTFLAGS", stamp::without_folders()?);
        process::run(command)?;
        let folder = if self.is_named {
            self.target_dir.join(&self.target)
        } else {
            self.target_dir.clone()
        };
        let program = folder.join("release").join(name);
        Ok(program.with_extension(if self.target.contains("windows") { "exe" } else { "" }))
    }
}

/// The target that cargo builds for when it is told none.
fn host() -> Result<String> {
    let mut rustc = Command::new("rustc");
    rustc.arg("-vV").current_dir(process::root());
    let said = process::output(rustc)?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host
        .context("rustc does not say for which target it builds")?
        .to_owned())
}

/// The version that a program says it has.
fn said_version(program: &Path, name: &str) -> Result<String> {
    let mut command = Command::new(program);
    command.arg("--version");
    let said = process::output(command)?;
    let version = said.trim().strip_prefix(name).map(str::trim);
    let version = version.filter(|version| version.starts_with(|c: char| c.is_ascii_digit()));
    Ok(version
        .with_context(|| format!("`{name} --version` says {said:?}"))?
        .to_owned())
}

/// Unpacks an archive with the system's own tar and asks the program in it for its version.
fn check(archive: &Path, full: &str, name: &str, version: &str) -> Result<()> {
    let folder = tempfile::tempdir().context("could not make a folder")?;
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(archive).arg("-C").arg(folder.path());
    process::run(tar)?;
    let unpacked = said_version(&folder.path().join(full).join(name), name)?;
    ensure!(
        unpacked == version,
        "the unpacked {name} says that it is version {unpacked}, not {version}"
    );
    Ok(())
}

/// Lines as `sha256sum --check` takes them.
fn sums(folder: &Path, names: &[String]) -> Result<String> {
    let mut names = names.to_vec();
    names.sort();
    let mut lines = String::new();
    for name in names {
        let bytes = fs::read(folder.join(&name)).with_context(|| format!("could not read {name}"))?;
        writeln!(lines, "{}  {name}", hex(&Sha256::digest(&bytes)))?;
    }
    Ok(lines)
}

/// In lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_binary_of_the_workspace_is_a_product_with_its_page_and_a_daemon_with_its_unit() {
        let metadata = process::metadata().unwrap();
        let packages = metadata["packages"].as_array().unwrap();
        let manifest = |package: &serde_json::Value| package["manifest_path"].as_str().unwrap().replace('\\', "/");
        let mut found: Vec<&str> = packages
            .iter()
            .filter(|package| manifest(package).contains("/bins/"))
            .filter_map(|package| package["name"].as_str())
            .collect();
        found.sort_unstable();
        assert_eq!(found, PRODUCTS.map(|product| product.name));
        for Product { name, page, is_daemon } in &PRODUCTS {
            assert!(process::root().join("docs").join(page).is_file(), "{page}");
            if !is_daemon {
                continue;
            }
            let unit = process::root().join(format!("packaging/systemd/{name}.service"));
            let unit = fs::read_to_string(&unit).unwrap();
            for line in ["Type=notify", "NoNewPrivileges=yes", "ProtectSystem=strict"] {
                assert!(unit.lines().any(|other| other == line), "{name}: {line}");
            }
            assert!(unit.contains(&format!("ExecStart=/usr/bin/{name} ")), "{name}");
        }
    }

    #[test]
    fn sums_are_what_sha256sum_makes() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("b"), "abc").unwrap();
        fs::write(folder.path().join("a"), "").unwrap();
        assert_eq!(
            sums(folder.path(), &["b".to_owned(), "a".to_owned()]).unwrap(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a\n\
             ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  b\n"
        );
    }

    fn scanner() -> &'static Product {
        PRODUCTS.iter().find(|product| product.name == "scanner").unwrap()
    }

    /// A product's program in four lines: what `dist` asks of one, it answers.
    #[cfg(unix)]
    fn tiny_program(folder: &Path) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let program = folder.join("scanner");
        let script = "#!/bin/sh\ncase \"$1\" in\n--version) echo scanner 1.2.3;;\nconfig) echo '# settings';;\n\
                      completions) echo \"# for $2\";;\nman) mkdir -p \"$3\" && echo page > \"$3/scanner.1\";;\nesac\n";
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        program
    }

    #[cfg(unix)]
    #[test]
    fn an_archive_holds_everything_runs_and_comes_out_the_same_again() {
        let folder = tempfile::tempdir().unwrap();
        let program = tiny_program(folder.path());
        assert_eq!(said_version(&program, "scanner").unwrap(), "1.2.3");
        let make = || {
            let files = contents::gather(scanner(), &program).unwrap();
            archive::pack("shoal-scanner-1.2.3-t", files, 1_700_000_000).unwrap()
        };
        let bytes = make();
        assert_eq!(make(), bytes, "the same files make another archive");
        let path = folder.path().join("a.tar.gz");
        fs::write(&path, &bytes).unwrap();
        check(&path, "shoal-scanner-1.2.3-t", "scanner", "1.2.3").unwrap();
        let wrong = check(&path, "shoal-scanner-1.2.3-t", "scanner", "1.2.4").unwrap_err();
        assert!(wrong.to_string().contains("1.2.3"), "{wrong}");

        let mut tar = Command::new("tar");
        tar.args(["--numeric-owner", "--utc", "-tvzf"]).arg(&path);
        let listed = process::output(tar).unwrap();
        let names: Vec<&str> = listed.lines().filter_map(|line| line.split(' ').next_back()).collect();
        assert!(names.is_sorted(), "{listed}");
        for name in [
            "scanner",
            "LICENSE",
            "CHANGELOG.md",
            "README.md",
            "scanner.example.yaml",
            "docs/scanner.md",
            "docs/configuration.md",
            "completions/scanner.bash",
            "completions/_scanner",
            "completions/scanner.fish",
            "man/scanner.1",
            "systemd/scanner.service",
            "sysusers.d/scanner.conf",
        ] {
            let full = format!("shoal-scanner-1.2.3-t/{name}");
            assert!(names.contains(&full.as_str()), "no {name} in\n{listed}");
        }
        assert!(
            listed
                .lines()
                .all(|line| line.contains(" 0/0 ") && line.contains("2023-11-14 22:13")),
            "{listed}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_program_without_completions_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let program = tiny_program(folder.path());
        let script = fs::read_to_string(&program).unwrap().replace("completions)", "other)");
        fs::write(&program, script).unwrap();
        let refused = contents::gather(scanner(), &program).unwrap_err();
        assert!(refused.to_string().contains("completions bash"), "{refused}");
    }

    #[test]
    fn entries_that_would_leave_the_folder_are_refused() {
        let entry = archive::Entry::file("../x", Vec::new());
        assert!(archive::pack("a", vec![entry], 0).is_err());
    }
}
