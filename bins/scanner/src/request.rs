//! From settings and options to what the scan is asked to do.
use crate::{
    cli::{HashChoice, ScanArgs},
    settings::{ChangeDetection, HashAlgorithm, ScannerSettings},
};
use anyhow::{Context as _, bail};
use fsscan::{Algorithm, Hold, MimeOptions, Mode, RootRequest, ScanRequest};
use std::path::{Component, Path, PathBuf};

/// The scan that `scanner run` and `scanner diff` make: `rotation` is the number of the scan.
pub(crate) fn of_settings(settings: &ScannerSettings, rotation: u64) -> anyhow::Result<ScanRequest> {
    if settings.scan_paths.is_empty() {
        bail!(
            "nothing to scan: `scanner.scan_paths` is empty; name at least one directory in the configuration, or name the \
             configuration with --config"
        );
    }
    let roots = settings.scan_paths.iter().map(|path| {
        let mut root = RootRequest::new(absolute(&path.path)?);
        root.ignore = path.ignore_patterns.clone();
        root.hidden = path.hidden.unwrap_or(settings.hidden);
        root.max_file_size = path
            .max_file_size
            .or(settings.max_file_size)
            .map(core_model::ByteSize::bytes);
        root.follow_symlinks = path.follow_symlinks.unwrap_or(settings.follow_symlinks);
        root.one_file_system = path.one_file_system.unwrap_or(settings.one_file_system);
        Ok(root)
    });
    let mut request = ScanRequest::new(roots.collect::<anyhow::Result<_>>()?);
    request.ignore = settings.ignore_patterns.clone();
    request.ignore_files = settings.ignore_files.clone();
    request.mode = mode(settings, rotation);
    request.hold = Hold {
        share: settings.deletion_hold.share.fraction(),
        min_files: settings.deletion_hold.min_files,
    };
    request.mime = mime(settings);
    request.threads = settings.worker_count.map_or(request.threads, usize::from);
    request.run_records = settings.batch_size;
    Ok(request)
}

/// The look that `scanner scan` makes: the options of the call, and of the configuration what does not name paths.
pub(crate) fn of_options(args: &ScanArgs, settings: &ScannerSettings, rotation: u64) -> anyhow::Result<ScanRequest> {
    let mut paths: Vec<PathBuf> = args
        .paths
        .iter()
        .map(|path| absolute(path))
        .collect::<anyhow::Result<_>>()?;
    paths.sort();
    // A path inside another is looked at with it.
    paths.dedup_by(|later, earlier| later.starts_with(&*earlier));
    let roots = paths.into_iter().map(|path| {
        let mut root = RootRequest::new(path);
        root.hidden = settings.hidden && !args.no_hidden;
        root.max_file_size = settings.max_file_size.map(core_model::ByteSize::bytes);
        root.follow_symlinks = settings.follow_symlinks;
        root.one_file_system = settings.one_file_system || args.one_file_system;
        root
    });
    let mut request = ScanRequest::new(roots.collect());
    request.ignore = settings.ignore_patterns.iter().chain(&args.ignore).cloned().collect();
    request.ignore_files = settings.ignore_files.clone();
    request.mode = match args.hash {
        Some(HashChoice::Sha256) => Mode::Hash {
            algorithm: Algorithm::Sha256,
        },
        Some(HashChoice::Blake3) => Mode::Hash {
            algorithm: Algorithm::Blake3,
        },
        None => mode(settings, rotation),
    };
    // Nobody is told of a look's deletions, so there is nothing to hold back.
    request.hold = Hold {
        share: 1.0,
        min_files: u64::MAX,
    };
    request.mime = mime(settings);
    request.threads = args
        .threads
        .or(settings.worker_count)
        .map_or(request.threads, usize::from);
    Ok(request)
}

fn mode(settings: &ScannerSettings, rotation: u64) -> Mode {
    let algorithm = match settings.hash_algorithm {
        HashAlgorithm::Sha256 => Algorithm::Sha256,
        HashAlgorithm::Blake3 => Algorithm::Blake3,
    };
    match settings.change_detection {
        ChangeDetection::Metadata => Mode::Metadata,
        ChangeDetection::Hash => Mode::Hash { algorithm },
        ChangeDetection::Hybrid => Mode::Hybrid {
            algorithm,
            share: settings.hash_share.fraction(),
            rotation,
        },
    }
}

fn mime(settings: &ScannerSettings) -> MimeOptions {
    let own =
        |(extension, kind): (&String, &String)| (extension.trim_start_matches('.').to_ascii_lowercase(), kind.clone());
    MimeOptions {
        extensions: settings.custom_mime_types.iter().map(own).collect(),
        content: settings.mime_by_content,
    }
}

/// An absolute path without `.` and `..`, made from the text alone: a path that is not there has to stay nameable.
pub(crate) fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    let joined = std::path::absolute(path).with_context(|| format!("`{}` is no path", path.display()))?;
    let mut plain = PathBuf::new();
    for part in joined.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_made_absolute_without_asking_the_disk() {
        assert_eq!(
            absolute(Path::new("/srv/./data/../gone")).unwrap(),
            Path::new("/srv/gone")
        );
        assert_eq!(absolute(Path::new("/..")).unwrap(), Path::new("/"));
        assert!(absolute(Path::new("here")).unwrap().is_absolute());
    }
}
